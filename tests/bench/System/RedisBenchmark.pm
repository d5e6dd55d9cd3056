# SPDX-License-Identifier: MIT

# Redis without HTTP, asked by its own load generator.
package System::RedisBenchmark;

use strict;
use warnings;
use parent 'System';

use Bench::Data;
use System::Redis;
use Time::HiRes qw(time);

sub name       { return 'redis' }
sub title      { return 'redis-benchmark, no HTTP' }
sub needs      { return ('redis-benchmark' => 'redis-tools', System::Redis::needs()) }
sub version    { return System::Redis::version() }
sub durability { return { put => System::Redis::durability('durable') } }
sub settings   { return 'redis-benchmark -t set straight to Redis, over TCP, one command at a time' }
sub requests   { return { put => {} } }

sub start {
    my ($self, %options) = @_;
    $self->{redis} = System::Redis::start($self, 'durable', @options{qw(data sockets)});
    System::Redis::fill($self->{redis}, Bench::Data::pairs());
    $self->measure({ seconds => 1, keys => $Bench::Data::keys });
    return;
}

# It ends by count, so the rate of the round before says how many.
sub measure {
    my ($self, $load) = @_;
    my @pids   = $self->pids;
    my $count  = int(($self->{rate} // 2000) * $load->{seconds}) || 1;
    my $before = Bench::Process::cpu_seconds(@pids);
    my ($status, $out, $err) = Jackdaw->run('redis-benchmark', '-p', $self->{redis}{port}, '-t', 'set', '-c', 64,
        '-d', 100, '-r', $load->{keys}, '-n', $count, '--csv', { timeout => 300 });
    my ($rate, $mean, $p50, $p95, $p99, $max) =
        $out =~ /^"SET","([\d.]+)","([\d.]+)","[\d.]+","([\d.]+)","([\d.]+)","([\d.]+)","([\d.]+)"/m;
    die "redis-benchmark: $out$err" if $status != 0 || !$rate;
    $self->{rate} = $rate;
    return {
        requests => $count, errors => 0, rate => $rate, seconds => $count / $rate,
        cpu_us   => (Bench::Process::cpu_seconds(@pids) - $before) / $count * 1e6,
        memory   => Bench::Process::memory(@pids),
        mean_us  => $mean * 1e3, p50_us => $p50 * 1e3, p95_us => $p95 * 1e3, p99_us => $p99 * 1e3,
        max_us   => $max * 1e3,
    };
}

1;
