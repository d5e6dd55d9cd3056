# SPDX-License-Identifier: MIT

# What the numbers are of: the machine, without its name and its paths.
package Bench::Machine;

use strict;
use warnings;

use Bench::Process;
use Bench::Statistics;
use IO::Handle;
use Time::HiRes qw(time);

sub cores {
    my ($count) = `nproc` =~ /(\d+)/;
    return $count || 1;
}

sub describe {
    my ($folder) = @_;
    my ($cpu)    = Bench::Process::slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)$/m;
    my ($kib)    = Bench::Process::slurp('/proc/meminfo') =~ /^MemTotal:\s+(\d+)/m;
    my ($kernel) = Bench::Process::slurp('/proc/sys/kernel/osrelease') =~ /^([\d.]+)/;
    my ($system) = Bench::Process::slurp('/etc/os-release') =~ /^PRETTY_NAME="?([^"\n]+)/m;
    my ($disk)   = `df --output=fstype '$folder'` =~ /^(?!Type)(\S+)$/m;
    return {
        cpu    => $cpu // 'unknown',
        cores  => cores() + 0,
        memory_gib => sprintf('%.0f', ($kib // 0) / (1 << 20)) + 0,
        kernel => 'Linux ' . ($kernel // ''),
        system => $system // '',
        filesystem => $disk // '',
        sync_us => sync_us($folder),
    };
}

# A write of 4 KiB to a file and its sync: the least that a durable write takes.
sub sync_us {
    my ($folder) = @_;
    my $path = "$folder/sync";
    open my $file, '>', $path or die "$path: $!";
    my @took;
    for (1 .. 200) {
        my $begin = time;
        syswrite $file, 'x' x 4096 or die "$path: $!";
        $file->sync or die "$path: $!";
        push @took, (time - $begin) * 1e6;
    }
    close $file;
    unlink $path;
    return sprintf('%.0f', Bench::Statistics::median(@took)) + 0;
}

1;
