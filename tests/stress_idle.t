#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# What rest costs: the resident memory of an idle daemon, and of each idle
# keep-alive connection. The bounds hold in release and debug builds; with a
# sanitizer the numbers are only shown. IDLE_CONNECTIONS says how many.
use strict;
use warnings;

use IPC::Open2;
use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep);

my $plain   = Jackdaw::mode() =~ /^(release|debug)$/;
my $limit   = `sh -c 'ulimit -Hn'` + 0 || 1e9;    # "unlimited" counts as 0
my $count   = $ENV{IDLE_CONNECTIONS} // ($plain ? 10_000 : 2_000);
$count      = $limit - 200 if $count > $limit - 200;
my $program = Jackdaw::build() . '/tests/load/idle';

my $server = Jackdaw->start;
sleep 0.5;
my $idle = $server->rss;
diag sprintf 'idle: %.1f MiB resident', $idle / (1 << 20);
cmp_ok $idle, '<=', 10 << 20, 'idle within 10 MiB' if $plain;

my $pid = open2(my $out, my $in, $program, $server->address, $count);
is scalar <$out> // '', "ready\n", "$count connections stand";
is $server->metric('jackdaw_http_connections') >= $count, 1, 'all at the same time';
my $each = ($server->rss - $idle) / $count;
diag sprintf '%d connections: %.1f KiB each', $count, $each / 1024;
cmp_ok $each, '<=', 12 << 10, 'each within 12 KiB' if $plain;
is $server->put('/v1/kv/main/k', 'value')->{status}, 201, 'others are served beside them';
close $in;
my $alive = <$out> // '';
ok $alive =~ /^alive (\d+) of (\d+)$/ && $1 == $2 && $2 > 0, 'and they are, when they speak'
    or diag $alive;
waitpid $pid, 0;
ok $server->wait_until(10, sub { $server->metric('jackdaw_http_connections') < 10 }),
    'they are gone when they leave';
is $server->stop, 0, 'it ends in order';
done_testing;
