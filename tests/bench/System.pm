# SPDX-License-Identifier: MIT

# A system under test: the base of System::*. One object is one running set of
# processes, which start() starts and stop() ends.
#
# A system says which kinds of work it does, in requests(): work => what the
# load generator sends, see Bench::Load. What it does not do is in left_out():
# work => the reason.
package System;

use strict;
use warnings;

use Bench::Load;
use Bench::Process;

sub new {
    my ($class, %options) = @_;
    return bless { processes => [], %options }, $class;
}

# ---- what each says ---------------------------------------------------------

sub name     { die 'each has one' }
sub title    { die 'each has one' }
sub needs    { return () }    # pairs of program and Debian package
sub version  { return '' }
sub settings { return '' }    # how it is configured, for the report
# What an answered write means there: work => text.
sub durability { return {} }
sub requests   { return {} }
sub left_out   { return {} }
# address: where it listens. data: a folder of its own, on a disk.
sub start { die 'each has one' }

# ---- what all do ------------------------------------------------------------

# What is not installed; () where all is there.
sub missing {
    my ($self) = @_;
    my %needs = $self->needs;
    return map { $needs{$_} } grep { !Bench::Process::which($_) } sort keys %needs;
}

sub address { return $_[0]{address} }

sub run_process {
    my ($self, @options) = @_;
    my $process = Bench::Process->spawn(@options);
    push @{ $self->{processes} }, $process;
    return $process;
}

sub stop {
    my ($self) = @_;
    $_->stop for reverse splice @{ $self->{processes} };
    return;
}

sub roots { return map { $_->pid } @{ $_[0]{processes} } }
sub pids  { return Bench::Process::tree($_[0]->roots) }

# How many requests it needs before it is as fast as it gets: count where all
# data is to be cached, else what a compiler at run time wants to see.
sub warm_up { return $_[1] > 20_000 ? 20_000 : $_[1] }

# Counters of its own that grow with the work; by name.
sub counters { return {} }

# Runs one load. By name: what the generator says; a request's cpu_us, faults,
# sleeps and bytes written; memory in bytes, and how much the system's counters
# grew.
sub measure {
    my ($self, $load) = @_;
    my @pids = $self->pids;
    my $count = sub { return { map { $_ => Bench::Process->can($_)->(@pids) } qw(faults sleeps written) } };
    my ($counts, $before);
    # To ask costs time, and more of it while there is load.
    my $counters = $load->{settle} ? undef : $self->counters;
    my $result = Bench::Load::run($load->{address} // $self->address, $load, sub {
        $before = Bench::Process::cpu_seconds(@pids);
        $counts = $count->();
        $counters //= $self->counters;
    });
    my $seconds  = Bench::Process::cpu_seconds(@pids) - $before;
    my $requests = $result->{requests};
    $result->{cpu_us} = $seconds / $requests * 1e6;
    $result->{memory} = Bench::Process::memory(@pids);
    my $counts_then = $count->();
    $result->{$_} = ($counts_then->{$_} - $counts->{$_}) / $requests for keys %$counts_then;
    my $after = $self->counters;
    $result->{$_} = ($after->{$_} // 0) - ($counters->{$_} // 0) for keys %$after;
    return $result;
}

# Text of a program's answer, for version().
sub output_of {
    my ($self, @command) = @_;
    open my $out, '-|', 'sh', '-c', '"$@" 2>&1', 'sh', @command or return '';
    local $/;
    return <$out> // '';
}

sub write_file {
    my ($self, $path, $text) = @_;
    open my $out, '>', $path or die "$path: $!";
    print $out $text or die "$path: $!";
    close $out or die "$path: $!";
    return $path;
}

1;
