#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Power failures: the process is killed, and of what it wrote since its last
# sync nothing, or some of it, is on the disk. What was acknowledged is there
# all the same, and the store is whole. POWER_CYCLES sets how many.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep);

my $writers = 8;
my $cycles  = $ENV{POWER_CYCLES} // { asan => 6, tsan => 4 }->{ Jackdaw::mode() } // 12;
my $folder  = File::Temp->newdir;
my $log     = "$folder/undone";
my $asan    = join ':', grep { length } $ENV{ASAN_OPTIONS} // '', 'verify_asan_link_order=0';
my $server  = Jackdaw->start(env => {
    LD_PRELOAD    => Jackdaw::build() . '/tests/preload/power.so',
    JACKDAW_POWER => "/main/data.mdb:$log", ASAN_OPTIONS => $asan });

# New keys, and one that is written over and over, until the power fails.
sub write_on {
    my ($writer, $cycle) = @_;
    my $connection = $server->connect;
    my ($count, $last) = (0, 0);
    while (1) {
        my $reply = $connection->request(PUT => "/v1/kv/main/c$cycle/w$writer/$count", content => "value $count");
        last if $reply->{status} != 201;
        $count++;
        $reply = $connection->request(PUT => "/v1/kv/main/w$writer", content => "$cycle $count");
        last if $reply->{status} !~ /^20[14]$/;
        $last = $count;
    }
    return { count => $count, last => $last };
}

# Writes back what stood there before, of all writes or of some. Of those that
# stay, later ones hide earlier ones. Returns how many there were.
sub undo {
    my ($file, $share) = @_;
    my $text = Jackdaw::_slurp($log);
    my @entries;
    for (my $at = 0; $at + 16 <= length $text;) {
        my ($offset, $len) = unpack 'QQ', substr $text, $at, 16;
        last if $at + 16 + $len > length $text;    # killed while it was written: before the write itself
        push @entries, [ $offset, substr $text, $at + 16, $len ];
        $at += 16 + $len;
    }
    open my $out, '+<:raw', $file or die "$file: $!";
    my @stay;
    for my $entry (reverse @entries) {
        my ($offset, $bytes) = @$entry;
        my $hidden = grep { $_->[0] < $offset + length $bytes && $offset < $_->[1] } @stay;
        if (rand() < $share && !$hidden) {
            seek $out, $offset, 0;
            print $out $bytes;
        } else {
            push @stay, [ $offset, $offset + length $bytes ];
        }
    }
    close $out or die $!;
    return scalar @entries;
}

my ($file) = map { $server->dir . "/$_" } 'stores/main/data.mdb';
($file) = glob $server->dir . '/*/main/data.mdb' if !-e $file;
ok -e $file, 'the store is there';
my (@acknowledged, @last);
my $undone = 0;
# The power fails when something is not synced, as far as one process can see
# that of another: where it was synced just then, there are more cycles.
for (my $cycle = 1; $cycle <= $cycles || $undone <= $cycles && $cycle <= 5 * $cycles; $cycle++) {
    my $crowd = Crowd->start($writers, sub { write_on($_[0], $cycle) });
    sleep 0.05 + rand 0.15 * Jackdaw::slowness();
    for (my $end = time + 5; time < $end && !-s $log;) {}
    $server->kill9;
    my @results = $crowd->wait;
    $undone += undo($file, $cycle % 2 ? 1 : 0.5);
    push @acknowledged, map { my $w = $_; map { "c$cycle/w$w/$_" } 0 .. $results[$w]{count} - 1 } 0 .. $writers - 1;
    $results[$_]{last} and $last[$_] = [ $cycle, $results[$_]{last} ] for 0 .. $writers - 1;
    $server->restart;
    my $export = $server->get('/v1/kv/main/?op=export');
    is $export->{status}, 200, "cycle $cycle: the store is read whole";
    my %there = map { my $record = $server->json($_); $record->{key} => $record->{value} } split /\n/, $export->{content};
    my @lost = grep { !defined $there{$_} || $there{$_} ne 'value ' . (m{(\d+)$})[0] } @acknowledged;
    is_deeply \@lost, [], "cycle $cycle: what was acknowledged is there, " . @acknowledged . ' in all';
    for my $w (grep { $last[$_] } 0 .. $writers - 1) {
        my ($at, $n) = split / /, $there{"w$w"} // '0 0';
        ok $at > $last[$w][0] || $at == $last[$w][0] && $n >= $last[$w][1], "cycle $cycle: the last of writer $w"
            or diag "there is $at $n, acknowledged was @{ $last[$w] }";
    }
}
cmp_ok scalar @acknowledged, '>', 20 * $cycles, 'much was acknowledged';
cmp_ok $undone, '>', $cycles, "and $undone writes had not been synced";
is $server->stop, 0, 'it ends in order';
done_testing;
