#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Locked instructions of each hot path, of the whole process with its libraries,
# counted under callgrind. An instruction of that kind is what an atomic update
# or a mutex comes to: some cycles where the line is the thread's own, a fetch from
# another processor where it is not. Which lines those are, sharing.t says.
use strict;
use warnings;

use Callgrind;
use Jackdaw;
use List::Util qw(sum0);
use POSIX qw(uname);
use Sharing;
use Test::More;

plan skip_all => 'counted once, in the debug build' if Jackdaw::mode() ne 'debug';
plan skip_all => 'knows the instructions of x86-64 alone' if (uname)[4] ne 'x86_64';
plan skip_all => join(' and ', Callgrind::missing()) . ' not found' if Callgrind::missing();

my $count = 400;

# Ours that serve many requests at once: their number is the load's doing, and
# only bounded here.
#   3      a run of a shard, its inbox, a batch of the committer
#   0.5    a worker that is late; a connection that comes and goes
my %for_many = (
    (map { $_ => 3 } qw(source_try_hold source_open_parcels source_wake parking_enter parking_leave claim
            unpark take_queue complete)),
    (map { $_ => 0.5 } qw(parking_set_behind parking_clear_behind parking_wake_one parking_search_begin
            parking_search_end count_connection source_post)),
);

# own: the rest of ours. each: what every request does, of the whole process: a
# system call that may be cancelled is two (the C library's, on the thread's own
# word), and so is the use of a mutex; mutex: of those.
my %limits = (
    (map { $_ => { each => 8, mutex => 4 } } qw(hit lone not_modified row)),
    miss   => { each => 10, mutex => 4 },     # two allocations
    fresh  => { each => 16, mutex => 10 },    # three mutexes of SQLite
    put    => { each => 14, mutex => 4, own => { lane_submit => 2, source_post => 1, sequence_take => 1 } },
    insert => { each => 50, mutex => 6, own => {
        lane_submit => 2, source_post => 1, limit_statement_begin => 1, limit_statement_end => 1,
        json_decref => 1, sequence_take => 1 } },
);
# A run of a shard: it is held; two mutexes of libmicrohttpd; two epoll_wait, of
# which one is the worker's own. A sleep: in and out of the word of those who idle;
# another epoll_wait.
my $run_limit   = 9;
my $sleep_limit = 2;

my $callgrind = Callgrind->new;
# With its own clock the daemon would find a statement of 10 us slow, and itself
# late for each request.
my $server = Sharing::server(under => [ $callgrind->command ], wait => 0,
    env => { LD_PRELOAD => Jackdaw::build() . '/tests/preload/slow_clock.so', SLOW_CLOCK => 100 });
$server->wait_ready(60) or BAIL_OUT('not ready under valgrind: ' . $server->log);
my %paths = Sharing::hot_paths($server, $count);

sub describe {
    my ($one) = @_;
    return sprintf '%.2f %s', $one->{count} / $count, join ' < ', $one->{function}, @{ $one->{callers} };
}

sub kind_of {
    my ($one) = @_;
    my @callers = ((grep { !/^pthread_mutex/ } @{ $one->{callers} }), ('') x 3);
    return 'sleep' if $one->{function} =~ /^parking_(?:enter|leave)$/;
    return 'run'   if $one->{function} eq 'source_try_hold' || $callers[0] =~ /^(?:epoll_wait|poll)$/;
    # What it does for a request has more callers in between.
    return 'run' if $one->{function} =~ /mutex/ && grep { $_ eq 'MHD_run_wait' } @callers[0 .. 2];
    return 'request';
}

# What is in (nearly) every request.
sub each_of {
    my (@found) = @_;
    return sum0 map { int($_->{count} / $count + 0.1) } @found;
}

sub count_of {
    return sum0 map { $_->{count} } @_;
}

# Of our functions: those that run more often than they may.
sub too_often {
    my ($name, @own) = @_;
    my %may = (%for_many, %{ $limits{$name}{own} // {} });
    my %does;
    $does{ $_->{function} } += $_->{count} / $count for @own;
    return map { sprintf '%s: %.2f, may %s', $_, $does{$_}, $may{$_} // 'not' }
        grep { $does{$_} > ($may{$_} // 0) * 1.02 + 0.1 } sort keys %does;
}

# One load of a path: what it does in each request, and what is wrong with that.
sub count_path {
    my ($name) = @_;
    my @load   = @{ $paths{$name} };
    my $result = $callgrind->locked($server, sub { Sharing::load($server, $count, @load) });
    my @found  = @{ $result->{locked} };
    my @own    = grep { $_->{object} =~ m{/jackdawd$} } @found;
    my %kind   = map { my $kind = $_; $kind => [ grep { kind_of($_) eq $kind } @found ] } qw(request run sleep);
    my $runs   = count_of(grep { $_->{function} eq 'source_try_hold' } @own);
    my $sleeps = count_of(grep { $_->{function} eq 'parking_enter' } @own);
    my $each   = each_of(@{ $kind{request} });
    my $mutex  = each_of(grep { $_->{function} =~ /mutex/ } @{ $kind{request} });
    my $said   = sprintf '%s: %d instructions, %.2f locked, %.2f of them ours; in each request %d, of mutexes %d; '
        . '%.2f runs of %.1f; %.2f sleeps of %.1f', $name,
        (map { $_ / $count } $result->{instructions}, count_of(@found), count_of(@own)), $each, $mutex,
        $runs / $count, count_of(@{ $kind{run} }) / ($runs || 1),
        $sleeps / $count, count_of(@{ $kind{sleep} }) / ($sleeps || 1);
    my @often = too_often($name, @own);
    # Each is a number and its bound.
    my @checks = (
        [ 'ours that run too often', scalar @often, 0 ],
        [ 'of the whole process', $each, $limits{$name}{each} ],
        [ 'of mutexes', $mutex, $limits{$name}{mutex} ],
        # A run that was begun before the count may end within it.
        [ 'a run', count_of(@{ $kind{run} }), $run_limit * ($runs + $sleeps) + 10 ],
        [ 'a sleep', count_of(@{ $kind{sleep} }), $sleep_limit * $sleeps + 4 ],
    );
    my @details = ($said, (map { "  $_" } @often),
        map { '  ' . kind_of($_) . ' ' . describe($_) } grep { $_->{count} >= $count / 10 } @found);
    return { runs => $runs, said => $said, details => \@details, checks => \@checks,
        good => !grep { $_->[1] > $_->[2] } @checks };
}

# Where other programs have the processors there are more runs and sleeps for as
# many requests: what is too much is counted again, twice at most.
for my $name (sort keys %limits) {
    Sharing::load($server, 100, @{ $paths{$name} }) if $name ne 'miss';
    my $path;
    for (1 .. 3) {
        $path = count_path($name);
        last if $path->{good};
    }
    diag $path->{said};
    ok $path->{runs}, "$name: locked instructions are found";
    cmp_ok $_->[1], '<=', $_->[2], "$name: $_->[0]" for @{ $path->{checks} };
    diag for $path->{good} && !$ENV{SHARING_VERBOSE} ? () : @{ $path->{details} };
}
is $server->stop, 0, 'it ends in order';
done_testing;
