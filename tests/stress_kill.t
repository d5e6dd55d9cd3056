#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# kill -9 under eight writers, again and again: what was acknowledged is there
# with its value and its tag, what was in flight is there whole or not at all,
# and the daemon is ready again within two seconds. KILL_CYCLES says how often.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep time);

my $writers = 8;
my $keys    = 40;    # of each writer
my $cycles  = $ENV{KILL_CYCLES} // { asan => 5, tsan => 3 }->{ Jackdaw::mode() } // 20;

# A value tells whose it is and fills several pages at times, so that a torn
# one shows.
sub value {
    my ($writer, $number) = @_;
    my $word = "writer $writer, number $number; ";
    return $word x (1 + int(rand() < 0.1 ? rand 400 : rand 20));
}

# One change is a list of [key, value or undef]: all of it or nothing.
sub random_change {
    my ($writer, $number, $known) = @_;
    my ($one, $other) = map { "w$writer/" . int rand $keys } 1 .. 2;
    my $kind = rand;
    return [ $one, value($writer, $number) ] if $kind < 0.7 || $one eq $other;
    return [ $one, undef ] if $kind < 0.8 && defined $known->{$one};
    return ([ $one, value($writer, $number) ], [ $other, value($writer, $number) ]);
}

sub request_change {
    my ($connection, @change) = @_;
    my ($key, $value) = @{ $change[0] };
    return $connection->request(DELETE => "/v1/kv/main/$key") if !defined $value;
    return $connection->request(PUT => "/v1/kv/main/$key", content => $value) if @change == 1;
    my $ops = join ',', map { qq({"put":"$_->[0]","value":"$_->[1]"}) } @change;
    return $connection->request(POST => '/v1/kv/main/?op=batch', content => "[$ops]",
        headers => { 'Content-Type' => 'application/json' });
}

# Writes until the connection breaks. Returns what it knows and what was in
# flight.
sub write_until_killed {
    my ($server, $writer, $number, $known) = @_;
    my $connection = $server->connect;
    my (%tags, @change, @seen_tags);
    while (1) {
        @change = random_change($writer, ++$number, $known);
        my $reply = request_change($connection, @change);
        last if $reply->{status} == 599;
        next if $reply->{status} == 503;
        die "$reply->{status} $reply->{content}" if $reply->{status} !~ /^20[014]$/;
        $known->{ $_->[0] } = $_->[1] for @change;
        delete $tags{ $_->[0] } for @change;
        if (@change == 1 && defined $change[0][1]) {
            $tags{ $change[0][0] } = $reply->{headers}{etag};
            push @seen_tags, $reply->{headers}{etag};
        }
    }
    return { number => $number, known => $known, tags => \%tags, seen => \@seen_tags,
             in_flight => \@change };
}

# What is wrong after the restart, in words; nothing if all is well. Where a
# change in flight happened, known says so afterwards.
sub look_for_damage {
    my ($server, $result) = @_;
    my ($known, %wrong) = $result->{known};
    my %new = map { $_->[0] => $_->[1] } @{ $result->{in_flight} };
    my %state;
    for my $key (keys %$known) {
        my $reply = $server->get("/v1/kv/main/$key");
        my $found = $reply->{status} == 200 ? $reply->{content} : undef;
        $wrong{$key} = "status $reply->{status}" if $reply->{status} !~ /^(200|404)$/;
        my $tag = $result->{tags}{$key};
        if (_same($found, $known->{$key})) {
            $wrong{$key} = "tag $reply->{headers}{etag}, not $tag"
                if defined $tag && !exists $new{$key} && $tag ne $reply->{headers}{etag};
        } elsif (!exists $new{$key} || !_same($found, $new{$key})) {
            $wrong{$key} = 'found ' . _short($found) . ', acknowledged ' . _short($known->{$key});
        }
        if (exists $new{$key} && !_same($known->{$key}, $new{$key})) {
            $state{ _same($found, $new{$key}) ? 'there' : 'not there' } = 1;
            $known->{$key} = $found;
        }
    }
    $wrong{'the change in flight'} = 'is there by half' if keys %state > 1;
    return map { "$_: $wrong{$_}" } sort keys %wrong;
}

sub _same {
    my ($one, $other) = @_;
    return defined $one ? defined $other && $one eq $other : !defined $other;
}

sub _short {
    my ($text) = @_;
    return 'nothing' if !defined $text;
    return length($text) . " bytes of '" . substr($text, 0, 30) . "'";
}

my $server  = Jackdaw->start;
my @results = map {
    my $writer = $_;
    { number => 0, known => { map { ("w$writer/$_" => undef) } 0 .. $keys - 1 } };
} 0 .. $writers - 1;
my ($changes, $slowest) = (0, 0);
my (%tag_seen, @twice);
for my $cycle (1 .. $cycles) {
    my $crowd = Crowd->start($writers, sub {
        my ($writer) = @_;
        return write_until_killed($server, $writer, @{ $results[$writer] }{qw(number known)});
    });
    sleep 0.05 + rand 0.25;
    is $server->kill9, -9, "cycle $cycle: killed";
    @results = $crowd->wait;

    my $begin = time;
    $server->restart;
    my $seconds = time - $begin;
    $slowest = $seconds if $seconds > $slowest;
    my @damage = map { look_for_damage($server, $_) } @results;
    ok !@damage, "cycle $cycle: what was acknowledged is there, nothing is torn"
        or diag join "\n", @damage[ 0 .. ($#damage < 9 ? $#damage : 9) ];
    push @twice, grep { $tag_seen{$_}++ } map { @{ $_->{seen} } } @results;
}
$changes += $_->{number} for @results;
ok !@twice, 'no tag was given twice' or diag "@twice[0 .. ($#twice < 9 ? $#twice : 9)]";
cmp_ok $slowest, '<', 2 * Jackdaw::slowness(), 'ready again within two seconds';
cmp_ok $changes, '>', $cycles * $writers, 'the writers did write';
diag sprintf '%d changes in %d cycles, ready after %.2f s at most', $changes, $cycles, $slowest;
is $server->stop, 0, 'and it ends in order';
done_testing;
