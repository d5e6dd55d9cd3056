#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Which lines of memory the threads of the daemon pull to and fro, counted in a
# build of its own: see tests/sharing/runtime.c. Times on two processors say
# nothing of sixty-four; these counts do, and docs/architecture/sharing.md says
# what.
use strict;
use warnings;

use Jackdaw;
use List::Util qw(max min sum0);
use Sharing;
use Test::More;

# That build is its own mode, whichever the others are.
plan skip_all => 'counted once, beside the debug build' if Jackdaw::mode() ne 'debug';
my $binary = Jackdaw::build() . '/sharing/jackdawd';

my $count   = 2000;
my $windows = 5;
my $verbose = $ENV{SHARING_VERBOSE};

# What a request may cost, at most: lines fetched in the worst order, where two
# workers share the work.
#   among    of lines that workers write and others use: grows with their number
#   dearest  the same, of that line alone that costs most
#   parking  the same, of the words that say who sleeps: twice a sleep
#   handed   between workers and their committer, there and back
# A word that every request writes is 1, and less where one worker does most of
# the work in some window: twice that worker's neighbour's part.
my %limits = (
    hit          => { among => 0.1, parking => 1.2, handed => 0.1 },
    lone         => { among => 0.1, parking => 1.2, handed => 0.1 },
    not_modified => { among => 0.1, parking => 1.2, handed => 0.1 },
    miss         => { among => 0.1, parking => 1.2, handed => 0.1 },
    row          => { among => 0.1, parking => 1.2, handed => 0.1 },
    fresh        => { among => 0.3, parking => 1.2, handed => 0.1 },
    put          => { among => 1.7, parking => 1.2, handed => 38 },
    insert       => { among => 3.7, parking => 1.2, handed => 55 },
    # Tasks are stolen, with all that they use, so many lines are fetched now and then.
    scan         => { dearest => 0.5, parking => 1.2, handed => 0.1 },
);

my $sharing = Sharing->new;
my $server  = Sharing::server(daemon => $binary, env => $sharing->env);
my %paths   = Sharing::hot_paths($server, $count);
for my $name (sort keys %paths) {
    # Each worker has what it keeps. A miss has to be one.
    Sharing::load($server, 500, @{ $paths{$name} }) if $name ne 'miss';
    for my $i (1 .. $windows) {
        # Those of the window before are read by nobody any more.
        Sharing::load($server, $count, 16, '/v1/kv/main/', '-k', $count, '-q', '-m', 'PUT', '-b', 100)
            if $name eq 'miss';
        $sharing->window("$name $i");
        Sharing::load($server, $count, @{ $paths{$name} });
        $sharing->window(undef);
    }
}
is $server->stop, 0, 'it ends in order';
$sharing->read($binary);
ok $sharing->is_complete, 'every access was counted';

for my $name (sort keys %limits) {
    my @windows = map { "$name $_" } 1 .. $windows;
    my @lines   = $sharing->steady(@windows);
    my %found   = (
        among   => sum0(map { $_->{among} } grep { !$_->{parking} } @lines),
        dearest => max(0, map { $_->{among} } grep { !$_->{parking} } @lines),
        parking => sum0(map { $_->{among} } grep { $_->{parking} } @lines),
    );
    my @sums = map { $sharing->sums($_) } @windows;
    for my $what (qw(handed fetched)) {
        $found{$what} = min map { $_->{$what} } @sums;
    }
    $_ /= $count for values %found;
    diag sprintf '%s: %s', $name, join ', ', map { sprintf '%s %.2f', $_, $found{$_} } sort keys %found;
    my $bad = grep { !cmp_ok $found{$_}, '<=', $limits{$name}{$_}, "$name: $_" } sort keys %{ $limits{$name} };
    # Words of different threads that lie in one line.
    my @false = grep { $_->{false} && $_->{bound} > $count / 5 } @lines;
    $bad += !is scalar @false, 0, "$name: no false sharing";
    # Those that could cost most, and who uses them.
    my @dear = grep { $_->{among} > $count / 50 } @lines;
    next if !$bad && !$verbose;
    diag $sharing->describe($_, $count) for @dear;
    diag "fetched:\n" . $sharing->places($windows[0], $count);
}
done_testing;
