# SPDX-License-Identifier: MIT
# The daemon against the floor (floor.c), on this machine, in this hour: rounds
# of the same load on each in turn, and the median over the rounds of what one
# costs relative to the other. Absolute numbers are of this machine only.
#
# The cost of a request is the processor time of the server's process, user
# and system, over the requests served. Every reply's status and length are
# checked by the load program; one wrong reply ends the benchmark.
use strict;
use warnings;

use File::Temp;
use IPC::Open2;
use Jackdaw;
use JSON::PP;
use List::Util qw(min);
use Time::HiRes qw(clock_gettime sleep time);

my $rounds  = $ENV{BENCH_ROUNDS}  // 5;
my $seconds = $ENV{BENCH_SECONDS} // 2;
my $small   = 100_000;
my $large   = $ENV{BENCH_LARGE} // 1_000_000;
my $value   = 'v' x 100;
my $load    = Jackdaw::build() . '/tests/load/load';
# On the disk of the tree, since /tmp may be memory.
my $data    = File::Temp->newdir('bench-XXXXXX', DIR => 'build');

# ---- the servers -----------------------------------------------------------

sub start_floor {
    my $log = "$data/floor.log";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDERR, '>', $log;
        exec Jackdaw::build() . '/tests/bench/floor' or POSIX::_exit(127);
    }
    for (1 .. 500) {
        return { pid => $pid, address => $1 } if Jackdaw::_slurp($log) =~ /address=(\S+)/;
        sleep 0.01;
    }
    die 'the floor does not start';
}

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

# ---- measuring -------------------------------------------------------------

# Processor seconds of a process so far, of all its threads: its CPU clock, as
# clock_getcpuclockid(3) names it.
sub cpu_seconds {
    my ($pid) = @_;
    return clock_gettime(-8 * ($pid + 1) + 2);
}

# One load on one server: what the load program says, and cpu_us a request.
sub measure {
    my ($target, $path, @options) = @_;
    my $before = cpu_seconds($target->{pid});
    my ($status, $out, $err) = Jackdaw->run($load, @options, $target->{address}, $path,
        { timeout => 120 });
    my %result = $out =~ /(\w+)=([\d.]+)/g;
    $_ += 0 for values %result;
    die "load @options $path: $out$err" if $status != 0 || !$result{requests};
    $result{cpu_us} = (cpu_seconds($target->{pid}) - $before) / $result{requests} * 1e6;
    return \%result;
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return ($sorted[ @sorted / 2 ] + $sorted[ $#sorted / 2 ]) / 2;
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
our $floor;
$floor = start_floor();
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
    measure($few,  '/v1/kv/main/', '-l', 100, '-n', 2 * $small, '-k', $small);
    measure($many, '/v1/kv/main/', '-l', 100, '-n', 2 * $small, '-k', $large);
}

sub counters {
    my ($server) = @_;
    my $all = $server->metrics;
    my %now = map { $_ => $server->metric("jackdaw_$_", qr/puts/, $all) }
        qw(lane_batches_total lane_items_total lane_sync_seconds_total);
    $now{"cache_$_"} = $server->metric("jackdaw_cache_$_", undef, $all) for qw(hits_total misses_total);
    return \%now;
}

my %results;
for my $round (1 .. $rounds) {
    for (@load) {
        my ($name, $target, @args) = @$_;
        my $before = $target->{server} && counters($target->{server});
        my $result = measure($target, @args);
        if ($before) {
            my $after = counters($target->{server});
            $result->{$_} = ($after->{$_} // 0) - ($before->{$_} // 0) for keys %$after;
        }
        push @{ $results{$name} }, $result;
    }
}

# The median over the rounds of field, relative to that of base in its round.
sub ratio {
    my ($name, $field, $base) = @_;
    return median(map { $results{$name}[$_]{$field} / $results{$base}[$_]{$field} }
            0 .. $rounds - 1);
}

sub middle {
    my ($name, $field) = @_;
    return median(map { $_->{$field} // 0 } @{ $results{$name} });
}

sub quotient {
    my ($name, $over, $under) = @_;
    return median(map { $_->{$under} ? $_->{$over} / $_->{$under} : 0 } @{ $results{$name} });
}

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

printf "\n%-38s %9s   %s\n", "median of $rounds rounds", 'measured', 'target';
for (@report) {
    my ($what, $got, $sign, $target) = @$_;
    my $holds = !$sign ? '' : ($sign eq '>=' ? $got >= $target
        : $sign eq '>' ? $got > $target : $got <= $target) ? 'holds' : 'MISSED';
    printf "%-38s %9.2f   %s\n", $what, $got, $sign ? "$sign $target $holds" : '';
}
printf "\n%-14s %10s %12s %10s %10s %8s\n", '', 'CPU us', 'requests/s', 'p50 us', 'p99 us', 'hits';
for (map { $_->[0] } @load) {
    my $hits  = middle($_, 'cache_hits_total');
    my $reads = $hits + middle($_, 'cache_misses_total');
    printf "%-14s %10.2f %12.0f %10.0f %10.0f %8s\n", $_,
        middle($_, 'cpu_us'), middle($_, 'rate'), middle($_, 'p50_us'), middle($_, 'p99_us'),
        $reads ? sprintf('%.0f%%', 100 * $hits / $reads) : '';
}

open my $json, '>', 'build/bench.json' or die $!;
print $json JSON::PP->new->pretty->canonical->encode({
    rounds => \%results, memory => $memory,
    report => [ map { { name => $_->[0], value => $_->[1], sign => $_->[2], target => $_->[3] } } @report ],
});
close $json or die $!;

END {
    # Also where something has failed: nobody waits for what is left.
    if ($floor) {
        kill TERM => $floor->{pid};
        waitpid $floor->{pid}, 0;
    }
}
$_->{server}->stop for $few, $many;
