# SPDX-License-Identifier: MIT

# Memory: of a system that has nothing to do, and of each idle connection.
package Bench::Idle;

use strict;
use warnings;

use Bench::Process;
use IPC::Open2;
use Jackdaw;

# On a system that has just been started; the connections were served once.
sub measure {
    my ($system, $load) = @_;
    my $most   = `sh -c 'ulimit -Hn'` =~ /^(\d+)/ ? $1 - 200 : $load->{idle};
    my $count  = $load->{idle} < $most ? $load->{idle} : $most;
    my @pids   = $system->pids;
    my $before = Bench::Process::resident(@pids);
    my $pid    = open2(my $out, my $in, Jackdaw::build() . '/tests/load/idle', $system->address, $count, $load->{path});
    my $ready  = (<$out> // '') eq "ready\n";
    my $after  = Bench::Process::resident(@pids);
    close $in;
    my ($alive, $asked) = (<$out> // '') =~ /^alive (\d+) of (\d+)/;
    waitpid $pid, 0;
    die 'idle connections are refused' if !$ready;
    die "$alive of $asked idle connections live" if $alive != $asked;
    return {
        requests => $count, errors => 0, connections => $count,
        idle_bytes => $before, connection_bytes => ($after - $before) / $count,
    };
}

1;
