# SPDX-License-Identifier: MIT
# Keys and values against the floor (floor.c), on this machine, in this hour;
# absolute numbers are of this machine only. See Bench.pm.
use strict;
use warnings;

use lib 'tests/bench';
use Bench;
use File::Temp;
use IPC::Open2;
use Jackdaw;
use List::Util qw(min);
use Time::HiRes qw(sleep time);

my $rounds  = $ENV{BENCH_ROUNDS}  // 5;
my $seconds = $ENV{BENCH_SECONDS} // 2;
my $small   = 100_000;
my $large   = $ENV{BENCH_LARGE} // 1_000_000;
my $value   = 'v' x 100;
# On the disk of the tree, since /tmp may be memory.
my $data    = File::Temp->newdir('bench-XXXXXX', DIR => 'build');

# ---- the servers -----------------------------------------------------------

sub start_daemon {
    my ($name) = @_;
    my $server = Jackdaw->start(dir => "$data/$name", conf => <<"END");
store main { kind = durable max_size = "2G" }
store puts { kind = durable max_size = "1G" }
# What is measured is cost: a stall of the disk refuses nobody.
limits { queue_age = "10s" }
END
    return { server => $server, pid => $server->pid, address => $server->address };
}

# Loads keys 00000000 on, as one streamed import.
sub import_keys {
    my ($daemon, $count) = @_;
    my $begin      = time;
    my $connection = $daemon->{server}->connect;
    $connection->send("PUT /v1/kv/main/?op=import HTTP/1.1\r\nHost: bench\r\n"
        . "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (my $from = 0; $from < $count; $from += 1000) {
        my $lines = join '', map { sprintf qq({"key":"%08d","value":"%s"}\n), $_, $value }
            $from .. min($from + 1000, $count) - 1;
        $connection->send(sprintf "%x\r\n%s\r\n", length $lines, $lines);
    }
    $connection->send("0\r\n\r\n");
    my $reply = $connection->read_reply('PUT', timeout => 120);
    die "import: $reply->{status} $reply->{content}" if $reply->{status} != 200;
    printf "imported %d keys in %.1f s\n", $count, time - $begin;
}

# ---- memory ----------------------------------------------------------------

sub measure_memory {
    my $daemon = start_daemon('idle');
    my $server = $daemon->{server};
    sleep 0.5;
    my $idle  = $server->rss;
    my $count = min(10_000, `sh -c 'ulimit -Hn'` + 0 || 10_000) - 200;
    my $pid   = open2(my $out, my $in, Jackdaw::build() . '/tests/load/idle',
        $daemon->{address}, $count);
    die 'idle connections are refused' if (<$out> // '') ne "ready\n";
    my $each = ($server->rss - $idle) / $count;
    close $in;
    waitpid $pid, 0;
    $server->stop;
    return { idle_mib => $idle / (1 << 20), connection_kib => $each / 1024 };
}

# ---- the benchmark ---------------------------------------------------------

my $memory = measure_memory();
my $floor = Bench::start_floor($data);
my $few    = start_daemon('few');
my $many   = start_daemon('many');
import_keys($few,  $small);
import_keys($many, $large);
my ($tag) = $few->{server}->get('/v1/kv/main/00000001')->{headers}{etag};

my @get  = ('-l', 100, '-s', $seconds);
my @load = (
    [ floor => $floor, '/',              @get ],
    [ get   => $few,   '/v1/kv/main/',   @get, '-k', $small ],
    [ put   => $few,   '/v1/kv/puts/',   '-s', $seconds, '-k', $small, '-m', 'PUT', '-b', 100,
        '-e', '201,204' ],
    [ large => $many,  '/v1/kv/main/',   @get, '-k', $large ],
    [ one   => $few,   '/v1/kv/main/00000001', @get ],
    [ not_modified => $few, '/v1/kv/main/00000001', '-s', $seconds, '-e', '304',
        '-H', "If-None-Match: $tag" ],
);

# Caches are warm and pages in memory before anything counts.
for (1 .. 2) {
    Bench::measure($few,  '/v1/kv/main/', '-l', 100, '-n', 2 * $small, '-k', $small);
    Bench::measure($many, '/v1/kv/main/', '-l', 100, '-n', 2 * $small, '-k', $large);
}

sub counters {
    my ($server) = @_;
    my $all = $server->metrics;
    my %now = map { $_ => $server->metric("jackdaw_$_", qr/puts/, $all) }
        qw(lane_batches_total lane_items_total lane_sync_seconds_total);
    $now{"cache_$_"} = $server->metric("jackdaw_cache_$_", undef, $all) for qw(hits_total misses_total);
    return \%now;
}

my $results = Bench::rounds($rounds, \&counters, @load);
sub ratio    { return Bench::ratio($results, @_) }
sub quotient { return Bench::quotient($results, @_) }

my @cpu    = ('cpu_us', 'floor');
my @report = (
    [ 'GET, 10^5 keys: CPU, x floor',        ratio('get', @cpu),            '<=', 1.15 ],
    [ 'GET, 10^5 keys: throughput, x floor', ratio('get', 'rate', 'floor'), '>=', 0.90 ],
    [ 'GET, one key: CPU, x floor',          ratio('one', @cpu) ],
    [ '304: CPU, x floor',                   ratio('not_modified', @cpu) ],
    [ 'durable PUT: CPU, x floor',           ratio('put', @cpu),            '<=', 3.0 ],
    [ 'durable PUT: writes in a batch',      quotient(qw(put lane_items_total lane_batches_total)),
        '>', 1 ],
    [ "GET, 10^6 keys: CPU, x 10^5 keys",    ratio('large', 'cpu_us', 'get'), '<=', 1.10 ],
    [ 'idle: MiB resident',                  $memory->{idle_mib},           '<=', 10 ],
    [ 'idle connection: KiB',                $memory->{connection_kib},     '<=', 12 ],
);

Bench::report($rounds, @report);
Bench::table($results, map { $_->[0] } @load);
Bench::save('build/bench.json', $results, memory => $memory, report => \@report);
$_->{server}->stop for $few, $many;
