# SPDX-License-Identifier: MIT

# Paired measurements: rounds of the same load on each of several servers in
# turn, and the median over the rounds of what one costs relative to another.
#
# The cost of a request is the processor time of the server's process, user
# and system, over the requests served. Every reply's status and length are
# checked by the load program; one wrong reply ends the benchmark.
package Bench;

use strict;
use warnings;

use Jackdaw;
use JSON::PP;
use Time::HiRes qw(clock_gettime sleep);

my @floors;

# { pid, address } of a bare libmicrohttpd program; it ends with us.
sub start_floor {
    my ($dir) = @_;
    my $log = "$dir/floor.log";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDERR, '>', $log;
        exec Jackdaw::build() . '/tests/bench/floor' or POSIX::_exit(127);
    }
    push @floors, $pid;
    for (1 .. 500) {
        return { pid => $pid, address => $1 } if Jackdaw::_slurp($log) =~ /address=(\S+)/;
        sleep 0.01;
    }
    die 'the floor does not start';
}

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
    my ($status, $out, $err) = Jackdaw->run(Jackdaw::build() . '/tests/load/load', @options,
        $target->{address}, $path, { timeout => 300 });
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

# Each load is [name, target, path, options...]. By name, a list over the
# rounds. count(target), where given, returns counters, whose growth is added
# to a result.
sub rounds {
    my ($rounds, $count, @load) = @_;
    my %results;
    for my $round (1 .. $rounds) {
        for (@load) {
            my ($name, $target, @args) = @$_;
            my $before = $count && $target->{server} && $count->($target->{server});
            my $result = measure($target, @args);
            if ($before) {
                my $after = $count->($target->{server});
                $result->{$_} = ($after->{$_} // 0) - ($before->{$_} // 0) for keys %$after;
            }
            push @{ $results{$name} }, $result;
        }
    }
    return \%results;
}

# The median over the rounds of field, relative to that of base in its round.
sub ratio {
    my ($results, $name, $field, $base) = @_;
    return median(map { $results->{$name}[$_]{$field} / $results->{$base}[$_]{$field} }
            0 .. $#{ $results->{$name} });
}

sub middle {
    my ($results, $name, $field) = @_;
    return median(map { $_->{$field} // 0 } @{ $results->{$name} });
}

sub quotient {
    my ($results, $name, $over, $under) = @_;
    return median(map { $_->{$under} ? $_->{$over} / $_->{$under} : 0 } @{ $results->{$name} });
}

# Each line is [what, got, sign, target], the last two may be left out.
sub report {
    my ($rounds, @report) = @_;
    printf "\n%-50s %9s   %s\n", "median of $rounds rounds", 'measured', 'target';
    for (@report) {
        my ($what, $got, $sign, $target) = @$_;
        my $holds = !$sign ? '' : ($sign eq '>=' ? $got >= $target
            : $sign eq '>' ? $got > $target : $got <= $target) ? 'holds' : 'MISSED';
        printf "%-50s %9.2f   %s\n", $what, $got, $sign ? "$sign $target $holds" : '';
    }
}

sub table {
    my ($results, @names) = @_;
    printf "\n%-14s %10s %12s %10s %10s %8s\n", '', 'CPU us', 'requests/s', 'p50 us', 'p99 us', 'hits';
    for (@names) {
        my $hits  = middle($results, $_, 'cache_hits_total');
        my $reads = $hits + middle($results, $_, 'cache_misses_total');
        printf "%-14s %10.2f %12.0f %10.0f %10.0f %8s\n", $_,
            middle($results, $_, 'cpu_us'), middle($results, $_, 'rate'), middle($results, $_, 'p50_us'),
            middle($results, $_, 'p99_us'), $reads ? sprintf('%.0f%%', 100 * $hits / $reads) : '';
    }
}

sub save {
    my ($file, $results, %more) = @_;
    my $report = delete $more{report};
    open my $json, '>', $file or die $!;
    print $json JSON::PP->new->pretty->canonical->encode({
        rounds => $results, %more,
        report => [ map { { name => $_->[0], value => $_->[1], sign => $_->[2], target => $_->[3] } } @$report ],
    });
    close $json or die $!;
}

END {
    # Also where something has failed: nobody waits for what is left.
    for (@floors) {
        kill TERM => $_;
        waitpid $_, 0;
    }
}

1;
