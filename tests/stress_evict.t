#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# A volatile store of a few megabytes under a flood of new keys: it stays
# within its bound, refuses nothing, keeps what is read often, and is good
# after kill -9. EVICT_PUTS says how large the flood is.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Test::More;

my $max     = 4 << 20;
my $hot     = 50;
my $puts    = $ENV{EVICT_PUTS} // { asan => 40_000, tsan => 24_000 }->{ Jackdaw::mode() } // 60_000;
my $load    = Jackdaw::build() . '/tests/load/load';
my $body    = 'h' x 250;

my $server  = Jackdaw->start(conf => "store cache { kind = volatile max_size = \"$max\" }");

# Bytes that the store takes on disk.
sub disk_use {
    my ($size) = `du -sk @{[ $server->dir ]}` =~ /^(\d+)/;
    return $size * 1024;
}

sub hot_key { return sprintf '/v1/kv/cache/hot-%08d', $_[0] }

sub hot_left {
    return scalar grep { $server->get(hot_key($_))->{content} eq $body } 0 .. $hot - 1;
}

# The load program with these options: (status, what it said, by name).
sub load {
    my (@options) = @_;
    my ($status, $out, $err) =
        Jackdaw->run($load, @options, { timeout => 60 });
    return { status => $status, text => "@options: $out$err", $out =~ /(\w+)=([\d.]+)/g };
}

is_deeply [ map { $server->put(hot_key($_), $body)->{status} } 0 .. $hot - 1 ],
    [ (201) x $hot ], "$hot hot keys";

# The flood fills the store in a tenth of a second, in which the readers may
# not have begun: what is hot has been read before.
is hot_left(), $hot, 'are read' for 1 .. 5;

# Two clients read them at random while thirty write new ones.
my $flooding = $server->tmp . '/flooding';
open my $mark, '>', $flooding or die $!;
my $readers = Crowd->start(1, sub {
    my %sum = map { $_ => 0 } qw(requests errors s4xx);
    while (-e $flooding) {
        my $result = load('-c', 2, '-s', 0.3, '-k', $hot, '-l', length $body,
            $server->address, '/v1/kv/cache/hot-');
        $sum{$_} += $result->{$_} for keys %sum;
    }
    return \%sum;
});
my $flood = load('-c', 30, '-n', $puts, '-k', 1e8, '-q', '-m', 'PUT', '-b', 400, '-e', '201',
    $server->address, '/v1/kv/cache/flood-');
unlink $flooding;
my ($read) = $readers->wait;
diag $flood->{text};
is $flood->{status}, 0, 'the store refuses nothing';
cmp_ok $puts * 400, '>', 2 * $max, 'the flood is larger than the store';
cmp_ok $read->{requests}, '>', $hot * 20, "$read->{requests} reads of hot keys meanwhile";
is $read->{errors} - $read->{s4xx}, 0, 'none of which fails';
cmp_ok $read->{s4xx}, '<=', $read->{requests} / 100, 'they stay'
    or diag "not found: $read->{s4xx}";
cmp_ok hot_left(), '>=', $hot - 2, 'and are there afterwards';
cmp_ok $server->metric('jackdaw_store_evicted_total', qr/cache/), '>',
    $puts / 4,
    'others were evicted';
my $live = $server->metric('jackdaw_store_live_bytes', qr/cache/);
cmp_ok $live, '<=', $max, 'within the bound';
cmp_ok $live, '>', $max / 2, 'and the room is used';
# Pages hold less than they could, and the file grows ahead by steps.
cmp_ok disk_use(), '<', 3 * $max + (16 << 20), 'on disk, too';
my $entries = $server->metric('jackdaw_store_entries', qr/cache/);

$server->kill9;
$server->restart;
cmp_ok hot_left(), '>=', $hot - 2, 'after kill -9 the hot keys are there';
cmp_ok $server->metric('jackdaw_store_entries', qr/cache/), '>', $entries * 0.9,
    'and nearly all of the others';
my $export = $server->get('/v1/kv/cache/?op=export')->{content};
my @bad = grep { !$server->json($_) } split /\n/, $export;
ok !@bad && length $export, 'all of it can be read';
is $server->put('/v1/kv/cache/new', 'value')->{status}, 201, 'and written';
is $server->stop, 0, 'it ends in order';
done_testing;
