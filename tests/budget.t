#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# What a request may cost, counted from outside: system calls by strace,
# allocations by a preloaded library. In plain builds only: a sanitizer has its
# own allocator and its own system calls.
use strict;
use warnings;

use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'a sanitizer would be counted along'
    if Jackdaw::mode() !~ /^(release|debug)$/;

my $load    = Jackdaw::build() . '/tests/load/load';
my $preload = Jackdaw::build() . '/tests/preload/malloc_count.so';
my $hits    = 1000;

my $counters = File::Temp->new;
my $server   = Jackdaw->start(env => { LD_PRELOAD => $preload, MALLOC_COUNT_FILE => "$counters" });

sub allocations {
    open my $in, '<:raw', "$counters" or die $!;
    read $in, my $data, 16;
    return unpack 'Q', $data;
}

my $connection = $server->connect;

sub get_hits {
    my ($count) = @_;
    for (1 .. $count) {
        my $reply = $connection->request(GET => '/v1/kv/main/k');
        die $reply->{content} if $reply->{status} != 200;
    }
}

sub put_many {
    my ($count) = @_;
    for (1 .. $count) {
        my $reply = $connection->request(PUT => '/v1/kv/main/k', content => 'value');
        die $reply->{content} if $reply->{status} !~ /^20[14]$/;
    }
}

sub load {
    my (@options) = @_;
    my ($status, $out, $err) = Jackdaw->run($load, '-c', 32, @options, '-e', '200,201,204',
        $server->address, '/v1/kv/main/k', { timeout => 60 });
    is $status, 0, "load @options" or diag $out, $err;
}

# ---- allocations -----------------------------------------------------------

put_many(1);
get_hits(200);    # every worker has the reply now
like $connection->request(GET => '/v1/kv/main/k')->{headers}{'cache-status'}, qr/hit/,
    'the reply comes from the cache';

# What runs beside the requests may allocate at times, so the best of a few.
my $least;
for (1 .. 5) {
    my $before = allocations();
    get_hits($hits);
    my $made = allocations() - $before;
    $least = $made if !defined $least || $made < $least;
    last if $least == 0;
}
cmp_ok allocations(), '>', 100, 'allocations are counted';
is $least, 0, "no allocation in $hits hits";
my $before = allocations();
put_many(200);
diag sprintf 'PUT: %.2f allocations', (allocations() - $before) / 200;

# ---- wake-ups --------------------------------------------------------------

# As the daemon counts them, and without the weight of a tracer on it.
my $wakes_before = $server->metric('jackdaw_sched_wakes_total');
get_hits($hits);
cmp_ok $server->metric('jackdaw_sched_wakes_total') - $wakes_before, '<=', $hits / 50,
    'a hit wakes no other worker';

# ---- system calls ----------------------------------------------------------

# Calls by name that the daemon makes while code runs; undef where tracing is
# not permitted.
sub trace {
    my ($code) = @_;
    my $file = $server->tmp . '/strace';
    my $pid  = fork // die "fork: $!";
    if (!$pid) {
        open STDERR, '>', "$file.err";
        exec 'strace', '-f', '-c', '-U', 'name,calls', '-o', $file, '-p', $server->pid
            or POSIX::_exit(127);
    }
    my $attached = $server->wait_until(5, sub {
        my $text = Jackdaw::_slurp("$file.err");
        return $text =~ /attached/ || (waitpid($pid, POSIX::WNOHANG) == $pid && 'ended');
    });
    return if !$attached || $attached eq 'ended';
    sleep 0.2;
    $code->();
    kill INT => $pid;
    waitpid $pid, 0;
    my %calls = Jackdaw::_slurp($file) =~ /^(\w+)\s+(\d+)$/mg;
    delete @calls{qw(total syscall)};
    return \%calls;
}

sub show {
    my ($name, $count, $calls) = @_;
    diag "$name: ", join ', ',
        map { sprintf '%s %.2f', $_, $calls->{$_} / $count } sort keys %$calls;
}

sub sum {
    my ($calls, @names) = @_;
    my $sum = 0;
    $sum += $calls->{$_} // 0 for @names;
    return $sum;
}

my @waits = qw(epoll_wait epoll_pwait epoll_pwait2 poll ppoll);
my @sends = qw(sendto sendmsg writev);
my @wakes = qw(write read eventfd2 futex);
# What runs beside the requests, and what a worker does that is so slow, traced,
# that others think it needs help.
my $noise = $hits / 10;

SKIP: {
    my $seconds;
    my $calls = trace(sub { my $begin = time; get_hits($hits); $seconds = time - $begin });
    skip 'strace is missing or may not attach', 1 if !$calls;
    show('GET hit, one connection', $hits, $calls);
    cmp_ok sum($calls, qw(recvfrom recvmsg)), '<=', $hits + $noise, 'one receive a hit';
    cmp_ok sum($calls, @sends), '<=', $hits + $noise, 'one send a hit';
    cmp_ok sum($calls, 'recvfrom'), '>=', $hits, 'they are counted';
    # libmicrohttpd's, in which the worker is parked; and a look at the
    # listening sockets once a millisecond, which is often, traced.
    cmp_ok sum($calls, @waits), '<=', $hits + $noise + 1000 * $seconds, 'one wait a hit';
    cmp_ok sum($calls, 'epoll_ctl'), '<=', 1, 'no change of what is waited for';
    cmp_ok sum($calls, @wakes), '<=', $noise, 'nobody is woken';
    my %other = %$calls;
    delete @other{ 'recvfrom', @wakes, @waits, @sends };
    cmp_ok sum(\%other, keys %other), '<=', $noise, 'and nothing else'
        or diag explain \%other;

    my $many = 10_000;
    $calls = trace(sub { load('-n', $many) });
    show('GET hit, 32 connections', $many, $calls);
    cmp_ok sum($calls, @waits, 'sched_yield'), '<', $many / 3, 'waits are shared by many hits';
    cmp_ok sum($calls, 'sched_yield'), '>', $many / 100, 'and clients run before';
    cmp_ok sum($calls, @sends), '<=', $many * 1.02 + 200, 'one send a hit';
    cmp_ok sum($calls, 'recvfrom'), '<=', $many * 1.02 + 200, 'one receive a hit';
    cmp_ok sum($calls, @wakes), '<', $many / 50, 'hardly anybody is woken';
    cmp_ok sum($calls, 'epoll_ctl'), '<=', 32 * 4, 'changes only where clients come and go';

    my $puts = 2000;
    $calls = trace(sub { load('-n', $puts, '-m', 'PUT', '-b', 100) });
    show('PUT, 32 connections', $puts, $calls);
    cmp_ok sum($calls, qw(fdatasync fsync msync sync_file_range)), '<', $puts / 2,
        'one sync for many writes';
}
is $server->stop, 0, 'it ends in order';
done_testing;
