# SPDX-License-Identifier: MIT

# The load generator, `jackdaw bench`: runs it and reads what it says.
#
# A load is a hash:
#   seconds or count    how long, or how many requests (closed loop)
#   settle              seconds before that, which do not count
#   connections (64), rate (requests/s: open loop), keys, zipf (an exponent)
#   method (GET), path, body or body_size, headers ['Name: value'...]
#   kinds               instead of those: a list of such hashes, each with its
#                       weight
#   expect (200)        right statuses, as "201,204"
#   size                bytes of each reply's body, where all have the same
package Bench::Load;

use strict;
use warnings;

use Bench::Process;
use File::Temp;
use Jackdaw;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep);

sub _request {
    my ($kind) = @_;
    my $body = defined $kind->{body} ? " $kind->{body}" : $kind->{body_size} ? " %$kind->{body_size}" : '';
    return ($kind->{weight} // 1) . ' ' . ($kind->{method} // 'GET') . " $kind->{path}$body";
}

# Each run draws other keys: those of the run before would be in the caches.
my $seed = 0;

sub command {
    my ($address, $load) = @_;
    my @kinds   = $load->{kinds} ? @{ $load->{kinds} } : $load;
    my @command = (Jackdaw::client(), 'bench', '--url', "http://$address", '-o', 'json', '--warmup',
        int(1000 * ($load->{settle} // 0)) . 'ms', '-c', $load->{connections} // 64, '--expect', $load->{expect} // '200');
    push @command, $load->{count} ? ('--requests', $load->{count})
        : ('-d', int($load->{seconds} * 1000) . 'ms');
    push @command, '--seed', ++$seed;
    push @command, "--$_", $load->{$_} for grep { $load->{$_} } qw(rate keys zipf);
    my $index;
    for my $kind (@kinds) {
        $index++;
        push @command, '--request', _request($kind);
        push @command, '--request-header', "$index $_" for @{ $kind->{headers} // [] };
    }
    return @command;
}

# begins is called when the time begins that counts.
sub run {
    my ($address, $load, $begins) = @_;
    my @command = command($address, $load);
    my $log     = File::Temp->new;
    $begins->() if !$load->{settle};
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>', "$log" or POSIX::_exit(126);
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    if ($load->{settle}) {
        sleep $load->{settle};
        $begins->();
    }
    my $text = do { local $/; <$out> };
    close $out;
    my $said = eval { JSON::PP->new->utf8->decode($text) };
    die Bench::Process::slurp("$log") || "status $?" if $? != 0 || !$said || !$said->{requests};
    my $latency = $said->{latency_us};
    my %result  = (
        requests      => $said->{requests},
        errors        => $said->{errors},
        seconds       => $said->{duration_s},
        rate          => $said->{requests_per_s},
        bytes_in      => $said->{bytes_in} / $said->{requests},
        client_cpu_us => $said->{client_cpu_us_per_request},
        late_p99_us   => ($said->{late_us} // {})->{p99},
        map { $_ . '_us' => $latency->{$_} } qw(mean p50 p95 p99 p99_9 max),
    );
    # Each reply carries its body and a head. Bytes that come after the end are
    # not counted, replies are.
    my $whole = $said->{requests} - ($load->{connections} // 64);
    die "replies are shorter than $load->{size} bytes\n"
        if !$result{errors} && $load->{size} && $said->{bytes_in} < $whole * $load->{size};
    return \%result;
}

1;
