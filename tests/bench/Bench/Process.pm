# SPDX-License-Identifier: MIT

# Processes of the systems under test: starts and ends them, and says what they
# and all that they have started cost.
package Bench::Process;

use strict;
use warnings;

use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(clock_gettime sleep time);

my $owner = $$;
my %running;    # by pid

# command => [...], log => a file for what it says, env => {}.
sub spawn {
    my ($class, %options) = @_;
    my @command = @{ $options{command} };
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN,  '<',  '/dev/null'     or POSIX::_exit(126);
        open STDOUT, '>',  $options{log}   or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT        or POSIX::_exit(126);
        $ENV{$_} = $options{env}{$_} for keys %{ $options{env} // {} };
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    my $self = bless { pid => $pid, command => $command[0], log => $options{log} }, $class;
    return $running{$pid} = $self;
}

sub pid { return $_[0]{pid} }

sub log_text {
    my ($self) = @_;
    return slurp($self->{log});
}

# Waits until code returns something true, which it returns, or dies with what
# the process has said.
sub wait_until {
    my ($self, $code) = @_;
    my $end = time + 15;
    while (time < $end) {
        my $got = $code->();
        return $got if $got;
        last if waitpid($self->{pid}, WNOHANG) == $self->{pid};
        sleep 0.01;
    }
    delete $running{ $self->{pid} } if !kill 0 => $self->{pid};
    die "$self->{command} does not start: " . $self->log_text . "\n";
}

sub wait_port {
    my ($self, $port) = @_;
    return $self->wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) });
}

sub wait_socket {
    my ($self, $path) = @_;
    return $self->wait_until(sub { IO::Socket::UNIX->new(Peer => $path) });
}

sub stop {
    my ($self) = @_;
    my $pid = $self->{pid};
    return if !delete $running{$pid};
    my @tree = tree($pid);
    kill TERM => $pid;
    my $end = time + 10;
    while (waitpid($pid, WNOHANG) == 0) {
        if (time > $end) {
            kill KILL => @tree;
            waitpid $pid, 0;
            last;
        }
        sleep 0.01;
    }
    return;
}

END {
    if ($$ == $owner) {
        local $?;
        $_->stop for values %running;
    }
}

# ---- what they cost ---------------------------------------------------------

# The processes and all their descendants.
sub tree {
    my (@roots) = @_;
    my %children;
    for my $stat (glob '/proc/[0-9]*/stat') {
        # The name is in parentheses, and may hold anything.
        my ($pid, $parent) = slurp($stat) =~ /^(\d+) \(.*\) \S (\d+)/s or next;
        push @{ $children{$parent} }, $pid;
    }
    my @tree = @roots;
    for (my $i = 0; $i < @tree; $i++) {
        push @tree, @{ $children{ $tree[$i] } // [] };
    }
    return @tree;
}

# Processor seconds so far of all threads of the processes: their CPU clocks, as
# clock_getcpuclockid(3) names them.
sub cpu_seconds {
    my (@pids) = @_;
    my $sum = 0;
    $sum += clock_gettime(-8 * ($_ + 1) + 2) for @pids;
    return $sum;
}

# Resident bytes; what processes share counts once.
sub memory { return _sum(sub { slurp("/proc/$_[0]/smaps_rollup") =~ /^Pss:\s+(\d+) kB/m ? $1 * 1024 : 0 }, @_) }

# Resident bytes as ps shows them, of each process.
sub resident { return _sum(sub { slurp("/proc/$_[0]/status") =~ /^VmRSS:\s+(\d+) kB/m ? $1 * 1024 : 0 }, @_) }

# Page faults so far.
sub faults {
    my $stat = qr/^\d+ \(.*\) \S (?:\S+ ){6}(\d+) \d+ (\d+)/s;
    return _sum(sub { slurp("/proc/$_[0]/stat") =~ $stat ? $1 + $2 : 0 }, @_);
}

# How often a thread has waited for something so far.
sub sleeps {
    return _sum(sub {
        my $sum = 0;
        for (glob "/proc/$_[0]/task/*/status") {
            $sum += slurp($_) =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0;
        }
        return $sum;
    }, @_);
}

# Bytes given so far to write() and its like, which is to files; what is sent
# to clients is not among them. (write_bytes would count whole folios.)
sub written { return _sum(sub { slurp("/proc/$_[0]/io") =~ /^wchar: (\d+)/m ? $1 : 0 }, @_) }

sub _sum {
    my ($code, @pids) = @_;
    my $sum = 0;
    $sum += $code->($_) for @pids;
    return $sum;
}

# ---- helpers ----------------------------------------------------------------

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return <$in> // '';
}

# The full path of a program, sbin included, or undef.
sub which {
    my ($program) = @_;
    my ($path) = grep { -x } map { "$_/$program" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
    return $path;
}

sub free_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "a free port: $!";
    return $socket->sockport;
}

1;
