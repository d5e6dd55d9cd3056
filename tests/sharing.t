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

# One run of the daemon, with a window or more for each of the paths.
sub count_paths {
    my (@names) = @_;
    my $sharing = Sharing->new;
    my $server  = Sharing::server(daemon => $binary, env => $sharing->env);
    my %paths   = Sharing::hot_paths($server, $count);
    for my $name (@names) {
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
    die 'it did not end in order' if $server->stop;
    $sharing->read($binary);
    die 'not every access was counted' if !$sharing->is_complete;
    return $sharing;
}

# What a path costs, and what is wrong with that.
sub cost_of {
    my ($sharing, $name) = @_;
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
    # Words of different threads that lie in one line.
    $found{false} = grep { $_->{false} && $_->{bound} > $count / 5 } @lines;
    my $limits = { %{ $limits{$name} }, false => 0 };
    # Those that could cost most, and who uses them.
    my @dear = map { $sharing->describe($_, $count) } grep { $_->{among} > $count / 50 } @lines;
    return { found => \%found, limits => $limits, details => [ @dear, "fetched:\n" . $sharing->places($windows[0], $count) ],
        bad => scalar grep { $found{$_} > $limits->{$_} } keys %$limits };
}

# Where other programs have the processors, workers sleep and help more often,
# which costs lines too: what is too dear is counted again, twice at most.
my @names = sort keys %limits;
my %cost;
for (my ($turn, @left) = (1, @names); @left && $turn <= 3; $turn++) {
    my $sharing = count_paths(@left);
    $cost{$_} = cost_of($sharing, $_) for @left;
    @left = grep { $cost{$_}{bad} } @left;
}
for my $name (@names) {
    my ($found, $limits) = @{ $cost{$name} }{qw(found limits)};
    diag sprintf '%s: %s', $name, join ', ', map { sprintf '%s %.2f', $_, $found->{$_} } grep { $_ ne 'false' } sort keys %$found;
    cmp_ok $found->{$_}, '<=', $limits->{$_}, "$name: $_" for sort keys %$limits;
    diag for $cost{$name}{bad} || $verbose ? @{ $cost{$name}{details} } : ();
}
done_testing;
