#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Clients that leave with a reset at every phase of a request: in the headers,
# in the body, while the request waits for its commit, in the reply, in an
# import, in an export. Afterwards the daemon answers, holds no connection and
# no request of theirs, and has no complaint of a sanitizer.
# RESETS says how many in total.
use strict;
use warnings;

use Jackdaw;
use Test::More;

my $total   = $ENV{RESETS} // { tsan => 1000 }->{ Jackdaw::mode() } // 10_000;
my $clients = 8;
my $program = Jackdaw::build() . '/tests/load/reset';

my $server = Jackdaw->start;
for my $store (qw(main cache)) {
    is $server->put("/v1/kv/$store/big", 'b' x 500_000)->{status}, 201, "$store: a large value";
    my $lines = join '', map { qq({"key":"line/$_","value":"@{['v' x 200]}"}\n) } 1 .. 1000;
    is $server->put("/v1/kv/$store/?op=import", $lines,
        { 'Content-Type' => 'application/x-ndjson' })->{status}, 200, "$store: many small ones";
}
my $connections = sub { $server->metric('jackdaw_http_connections') };
my $in_flight   = sub { $server->metric('jackdaw_http_requests_in_flight') };
my $descriptors = $server->descriptors;
my $baseline    = $connections->();
my $resting     = $in_flight->();
ok defined $baseline && defined $resting, 'metrics count connections and requests in flight';

my @pids;
for my $i (1 .. $clients) {
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', $server->tmp . "/reset.$i";
        exec $program, $server->address, $i % 2 ? 'main' : 'cache', $total / $clients, $i * 7919
            or POSIX::_exit(127);
    }
    push @pids, $pid;
}
my @failed = grep { waitpid($_, 0) != $_ || $? } @pids;
ok !@failed, 'the daemon took every connection';
ok $server->alive, 'it runs on' or diag $server->log;

my %left;
for my $i (1 .. $clients) {
    open my $in, '<', $server->tmp . "/reset.$i" or die $!;
    my $counts = <$in>;
    $left{$1} += $2 while $counts =~ /(\w+)=(\d+)/g;
}
diag join ', ', map { "$_: $left{$_}" } sort keys %left;

is $server->wait_until(10, sub { $connections->() == $baseline && $connections->() }), $baseline,
    'no connection of theirs is left' or diag $connections->();
is $server->wait_until(10, sub { $in_flight->() == $resting && $in_flight->() }), $resting,
    'no request of theirs is left' or diag $in_flight->();
cmp_ok $server->descriptors, '<=', $descriptors + 2, 'and no descriptor';
for my $store (qw(main cache)) {
    is $server->put("/v1/kv/$store/after", 'good')->{status}, 201, "$store: it writes";
    is $server->get("/v1/kv/$store/after")->{content}, 'good', "$store: and reads";
    is length $server->get("/v1/kv/$store/big")->{content}, 500_000, "$store: large values too";
}
is $server->get('/readyz')->{status}, 200, 'ready';
is $server->stop, 0, 'it ends in order';
done_testing;
