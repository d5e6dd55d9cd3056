#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Locked instructions of each hot path, of the whole process with its libraries,
# counted under callgrind. An instruction of that kind is what an atomic update
# or a mutex comes to: 20 cycles where the line is the thread's own, a fetch from
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

# Ours, by function: how often a request may run it. These are for many requests
# that came together, or for a sleep, or for a connection.
my %for_many = (
    source_try_hold     => 1.2,    # the shard's holder: a run of the shard
    source_open_parcels => 1.2,    # its inbox: answers that came together
    source_wake         => 1.2,
    parking_enter       => 1.2,    # who idles: a sleep
    parking_leave       => 1.2,
    parking_set_behind  => 0.4,    # who is late: a slice of 200 us
    parking_clear_behind => 0.4,
    parking_wake_one    => 0.4,
    parking_search_begin => 0.4,
    parking_search_end  => 0.4,
    claim               => 1.2,
    unpark              => 1.2,    # the committer
    take_queue          => 1.2,    # its batch
    complete            => 1.2,
    count_connection    => 0.5,    # 4 a connection
    source_post         => 0.2,
);

# own: the rest of ours. each: what every request does, of the whole process: a
# system call that may be cancelled is two (the C library's, on the thread's own
# word), and so is the use of a mutex; mutex: of those.
my %limits = (
    hit          => { each => 8,  mutex => 4 },
    lone         => { each => 20, mutex => 8 },     # each a run and a sleep
    not_modified => { each => 8,  mutex => 4 },
    miss         => { each => 10, mutex => 4 },     # and two allocations
    row          => { each => 8,  mutex => 4 },
    put          => { each => 22, mutex => 8, own => { lane_submit => 2, source_post => 1, sequence_take => 1 } },
    insert       => { each => 50, mutex => 10, own => {
        lane_submit => 2, source_post => 1, limit_statement_begin => 1, limit_statement_end => 1,
        json_decref => 1, sequence_take => 1 } },
    # Valgrind makes it so slow that it runs on a fiber: two runs of the shard, and
    # a task's way. Five mutexes of SQLite.
    fresh        => { each => 52, mutex => 28, own => {
        source_post => 1, limit_statement_begin => 1, limit_statement_end => 1,
        ck_ring_dequeue_spmc => 1.5, source_try_hold => 3 } },
);

my $callgrind = Callgrind->new;
my $server    = Sharing::server(under => [ $callgrind->command ], wait => 0);
$server->wait_ready(60) or BAIL_OUT('not ready under valgrind: ' . $server->log);
my %paths = Sharing::hot_paths($server, $count);

sub describe {
    my ($one) = @_;
    return sprintf '%.2f %s', $one->{count} / $count, join ' < ', $one->{function}, @{ $one->{callers} };
}

# What is in (nearly) every request.
sub each_of {
    my ($pattern, @found) = @_;
    return sum0 map { int($_->{count} / $count + 0.1) } grep { $_->{function} =~ $pattern } @found;
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

for my $name (sort keys %limits) {
    my @load = @{ $paths{$name} };
    Sharing::load($server, 100, @load) if $name ne 'miss';
    my $result = $callgrind->locked($server, sub { Sharing::load($server, $count, @load) });
    my @found  = @{ $result->{locked} };
    my @own    = grep { $_->{object} =~ m{/jackdawd$} } @found;
    my $each   = each_of(qr/./, @found);
    my $mutex  = each_of(qr/mutex/, @found);
    diag sprintf '%s: %d instructions, %.2f locked, %.2f of them ours; in each request %d, of mutexes %d', $name,
        $result->{instructions} / $count, (map { sum0(map { $_->{count} } @$_) / $count } \@found, \@own),
        $each, $mutex;
    ok((grep { $_->{function} eq 'source_try_hold' } @own), "$name: locked instructions are found");
    my @often = too_often($name, @own);
    my $good  = ok !@often, "$name: ours" or diag map { "  $_\n" } @often;
    $good &= cmp_ok $each, '<=', $limits{$name}{each}, "$name: of the whole process";
    $good &= cmp_ok $mutex, '<=', $limits{$name}{mutex}, "$name: of mutexes";
    next if $good && !$ENV{SHARING_VERBOSE};
    diag '  ' . describe($_) for grep { $_->{count} >= $count / 10 } @found;
}
is $server->stop, 0, 'it ends in order';
done_testing;
