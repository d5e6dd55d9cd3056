# SPDX-License-Identifier: MIT

# The report: what results.json holds, and its tables as text and as Markdown.
package Bench::Report;

use strict;
use warnings;

use Bench::Statistics;
use Bench::Targets;
use Bench::Works;
use JSON::PP;

my @fields = qw(cpu_us rate mean_us p50_us p95_us p99_us p99_9_us max_us late_p99_us client_cpu_us memory faults sleeps written
    bytes_in hits misses writes batches idle_bytes connection_bytes);

# A number as short as it tells what it has to.
sub number {
    my ($value) = @_;
    return ''                    if !defined $value;
    return sprintf '%.2f', $value if $value < 10;
    return sprintf '%.1f', $value if $value < 100;
    my $text = sprintf '%.0f', $value;
    1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
    return $text;
}

sub _rounded {
    my ($value) = @_;
    return sprintf('%.4g', $value) + 0;
}

# rounds: a Bench::Rounds that has run. more: machine and settings.
sub collect {
    my ($rounds, %more) = @_;
    my $results = $rounds->results;
    my @works;
    for my $work (@{ $rounds->{works} }) {
        my $name = $work->{name};
        my $of   = $results->{$name} or next;
        my %systems;
        for my $system (keys %$of) {
            my %fields;
            for my $field (@fields) {
                my $spread = Bench::Statistics::spread(Bench::Statistics::values_of($results, $name, $system, $field)) or next;
                $fields{$field} = { map { $_ => _rounded($spread->{$_}) } keys %$spread };
            }
            my $floor = $Bench::Works::floors{ $work->{group} } // $name;
            my $ratio = Bench::Statistics::ratio($results, [ $name, $system, 'cpu_us' ], [ $floor, 'floor', 'cpu_us' ]);
            $fields{cpu_x_floor} = _rounded($ratio) if defined $ratio;
            my $errors = 0;
            $errors += $_ // 0 for Bench::Statistics::values_of($results, $name, $system, 'errors');
            $fields{errors}   = $errors;
            $fields{requests} = 0;
            $fields{requests} += $_ // 0 for Bench::Statistics::values_of($results, $name, $system, 'requests');
            my $durability = $rounds->{systems}{$system}->durability->{$name};
            $fields{durability} = $durability if defined $durability;
            $systems{$system} = \%fields;
        }
        push @works, { name => $name, title => $work->{title}, group => $work->{group}, systems => \%systems,
            order => [ grep { $of->{$_} } @{ $rounds->{order} } ],
            map { $_ => $work->{$_} } grep { $work->{$_} } qw(rate keys connections x series) };
    }
    my @targets = Bench::Targets::judge($results);
    $_->{value} = defined $_->{value} ? _rounded($_->{value}) : undef for @targets;
    return {
        works    => \@works,
        targets  => \@targets,
        failures => [ $rounds->failures ],
        systems  => { map { my $system = $rounds->{systems}{$_};
            $_ => { title => $system->title, version => $system->version, settings => $system->settings } }
            @{ $rounds->{order} } },
        %more,
    };
}

# ---- tables: lists of rows of cells, the first one the head -------------------

sub _works_table {
    my ($report, $group) = @_;
    # How late the generator sent in an open loop: where that is much of p99, the
    # machine was too busy for its own clock.
    my $late = $group eq 'rate';
    my @rows = [ 'work', 'system', 'CPU us', 'x floor', 'requests/s', 'p50 us', 'p99 us', 'p99.9 us',
        $late ? 'sent late, p99 us' : (), 'MiB', 'durability' ];
    for my $work (grep { $_->{group} eq $group && !$_->{systems}{idle} } @{ $report->{works} }) {
        my $title = $work->{title};
        for my $name (@{ $work->{order} }) {
            my $of     = $work->{systems}{$name};
            my $median = sub { my $field = $of->{ $_[0] }; return $field ? $field->{median} : undef };
            my $memory = $median->('memory');
            push @rows, [ $title, $report->{systems}{$name}{title}, number($median->('cpu_us')),
                number($of->{cpu_x_floor}), number($median->('rate')),
                (map { number($median->($_)) } qw(p50_us p99_us p99_9_us), $late ? 'late_p99_us' : ()),
                defined $memory ? number($memory / (1 << 20)) : '',
                join ', ', grep { length } $of->{durability} // '',
                    $of->{errors} ? "$of->{errors} ERRORS" : '', $of->{requests} ? '' : 'FAILED' ];
            $title = '';
        }
    }
    return @rows;
}

sub _idle_table {
    my ($report) = @_;
    my ($idle) = grep { $_->{name} eq 'idle' } @{ $report->{works} } or return;
    my @rows = [ 'system', 'idle, MiB', 'KiB a connection' ];
    for my $name (@{ $idle->{order} }) {
        my $of = $idle->{systems}{$name};
        next if !$of->{idle_bytes};
        push @rows, [ $report->{systems}{$name}{title}, number($of->{idle_bytes}{median} / (1 << 20)),
            number($of->{connection_bytes}{median} / 1024) ];
    }
    return @rows;
}

sub _targets_table {
    my ($report) = @_;
    my @rows = [ 'what', 'measured', 'target', '' ];
    for (@{ $report->{targets} }) {
        push @rows, [ $_->{what}, defined $_->{value} ? number($_->{value}) : 'not measured',
            $_->{sign} ? "$_->{sign} " . number($_->{bound}) : '',
            defined $_->{holds} ? $_->{holds} ? 'holds' : 'MISSED' : '' ];
    }
    return @rows;
}

sub tables {
    my ($report) = @_;
    my %there = map { $_->{group} => 1 } @{ $report->{works} };
    my @tables = map { [ $Bench::Works::groups{$_}, _works_table($report, $_) ] } grep { $there{$_} }
        qw(kv sql techempower values rate beside);
    push @tables, [ $Bench::Works::groups{idle}, _idle_table($report) ] if $there{idle};
    return (@tables, [ 'Targets', _targets_table($report) ]);
}

# Columns of text; words to the left, numbers to the right.
sub text {
    my (@rows) = @_;
    my @width;
    for my $row (@rows) {
        for (0 .. $#$row) {
            $width[$_] = length $row->[$_] if !defined $width[$_] || length $row->[$_] > $width[$_];
        }
    }
    my @right = map { my $i = $_; !grep { $_->[$i] !~ /^(?:[\d.,]*|not measured)$/ } @rows[ 1 .. $#rows ] } 0 .. $#width;
    return join '', map {
        my $row = $_;
        (join '  ', map { my $pad = ' ' x ($width[$_] - length $row->[$_]); $right[$_] ? $pad . $row->[$_] : $row->[$_] . $pad }
            0 .. $#width) =~ s/\s+$//r . "\n";
    } @rows;
}

sub markdown {
    my (@rows) = @_;
    my ($head, @body) = @rows;
    my @lines = (join(' | ', @$head), join('|', ('---') x @$head), map { join ' | ', @$_ } @body);
    return join '', map { "| $_ |\n" } @lines;
}

1;
