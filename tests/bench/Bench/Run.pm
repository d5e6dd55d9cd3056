# SPDX-License-Identifier: MIT

# One run of a benchmark: its folders, what it says meanwhile, and its file.
package Bench::Run;

use strict;
use warnings;

use Bench::Machine;
use Bench::Rounds;
use File::Path qw(make_path);
use File::Temp;
use JSON::PP;
use Time::HiRes qw(time);

# Data is on the disk of the tree, since /tmp may be memory; sockets have short
# names there.
sub new {
    my ($class) = @_;
    my $self = bless { begin => time, last => '', terminal => -t STDERR ? 1 : 0 }, $class;
    mkdir 'build';
    $self->{data}    = File::Temp->newdir('bench-XXXXXX', DIR => 'build');
    $self->{sockets} = File::Temp->newdir('jackdaw-bench-XXXXXX', TMPDIR => 1);
    chmod 0755, "$self->{data}", "$self->{sockets}";
    my $path = `pwd`;
    chomp $path;
    $self->{path} = "$path/$self->{data}";
    return $self;
}

sub rounds {
    my ($self, %options) = @_;
    return Bench::Rounds->new(%options, cores => Bench::Machine::cores(), data => $self->{path},
        sockets => "$self->{sockets}", say => sub { $self->say_where(@_) });
}

sub machine    { return Bench::Machine::describe($_[0]{path}) }
sub free_bytes { return `df --output=avail -B1 '$_[0]{path}'` =~ /(\d+)/ ? $1 : 0 }

# A line for each round, or one that changes on a terminal.
sub say_where {
    my ($self, $text) = @_;
    my ($head) = $text =~ /^starts/ ? $text : $text =~ /^(\S+\s+\S+ ?\S*)/;
    if ($self->{terminal}) { printf STDERR "\r\e[K%s", $text }
    elsif ($head ne $self->{last}) { print STDERR "$text\n" }
    $self->{last} = $head;
    return;
}

sub quiet {
    my ($self) = @_;
    print STDERR "\r\e[K" if $self->{terminal};
    return;
}

sub finish {
    my ($self, $folder, $file, $report) = @_;
    make_path($folder);
    open my $json, '>', "$folder/$file" or die "$folder/$file: $!";
    print $json JSON::PP->new->pretty->canonical->utf8->encode($report);
    close $json or die "$folder/$file: $!";
    system $^X, '-Itests/lib', 'tests/bench/report.pl', $folder, $folder;
    printf "%.0f s\n", time - $self->{begin};
    return;
}

1;
