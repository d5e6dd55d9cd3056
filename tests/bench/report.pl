# SPDX-License-Identifier: MIT

# Makes a report of what was measured: README.md and SVG plots.
#
#   report.pl FROM TO     results.json and growth.json of FROM, as far as they
#                         are there, go to TO as well
use strict;
use warnings;

use lib 'tests/bench';
use Bench::Growth;
use Bench::Plot;
use Bench::Process;
use Bench::Report;
use File::Copy qw(copy);
use File::Path qw(make_path);
use JSON::PP;

my ($from, $to) = @ARGV;
die "usage: report.pl FROM TO\n" if !defined $to;
make_path($to);

sub stored {
    my ($name) = @_;
    my $text = Bench::Process::slurp("$from/$name");
    return if !length $text;
    if ($from ne $to) { copy("$from/$name", "$to/$name") or die "$to/$name: $!" }
    return JSON::PP->new->utf8->decode($text);
}

my $results = stored('results.json');
my $growth  = stored('growth.json');
die "nothing was measured: there is no $from/results.json\n" if !$results && !$growth;
my $plots = Bench::Plot::available();
print "no gnuplot: there are no plots\n" if !$plots;

# Each plot: its Markdown, or nothing where it has no data.
sub plot {
    my ($file, $title, $works, $field) = @_;
    return '' if !$plots;
    my $value = sub {
        my ($work, $system) = @_;
        my $of = $work->{systems}{$system};
        return $of && $of->{$field} ? $of->{$field}{median} : undef;
    };
    return Bench::Plot::bars("$to/$file", $title, $results, $works, $value) ? "![$title]($file)\n\n" : '';
}

sub about {
    my ($report) = @_;
    my $machine = $report->{machine};
    return "$machine->{cpu}, $machine->{cores} processors, $machine->{memory_gib} GiB, $machine->{system}, "
        . "$machine->{kernel}, $machine->{filesystem}; a write of 4 KiB and its sync take $machine->{sync_us} us. "
        . "Medians of $report->{settings}{rounds} rounds of $report->{settings}{seconds} s each.";
}

sub results_section {
    my @text = ("What each system costs for the same work, measured by turns on one machine, which the load generator "
        . "shares.\nNumbers of another machine differ; the ratios are what to look at. How to run this, how each system "
        . "is\nconfigured and how to read it: [guide/benchmarks.md](../guide/benchmarks.md).\n\n" . about($results) . "\n\n");
    push @text, "## Systems\n\n", Bench::Report::markdown([ 'system', 'version', 'settings' ],
        map { my $of = $results->{systems}{$_}; [ @$of{qw(title version settings)} ] }
            grep { !/,/ } sort keys %{ $results->{systems} }), "\n";
    my @main = qw(get put volatile_put mixed row fresh insert);
    push @text, "## Plots\n\n",
        plot('cpu.svg', 'CPU time of a request, us (less is better)', \@main, 'cpu_us'),
        plot('throughput.svg', 'Requests a second (more is better)', \@main, 'rate'),
        plot('p99.svg', 'p99, us (less is better)', [ qw(get_rate mixed_rate), @main ], 'p99_us'),
        plot('techempower.svg', 'The kinds of TechEmpower: requests a second',
            [qw(json rows_one rows_many updates fortunes rows_cached)], 'rate');
    my @tables = Bench::Report::tables($results);
    for (@tables[ $#tables, 0 .. $#tables - 1 ]) {
        my ($title, @rows) = @$_;
        push @text, "## $title\n\n", Bench::Report::markdown(@rows), "\n";
    }
    push @text, "## Verified, and left out\n\n",
        map({ "- verified by TechEmpower's rules: $_->{system}, $_->{checks} checks\n" } @{ $results->{verified} }),
        map({ '- left out: ' . join(', ', grep { defined } @$_{qw(system work)}) . ": $_->{why}\n" } @{ $results->{left_out} }),
        map({ "- FAILED: $_->{work}, $_->{system}: $_->{why}\n" } @{ $results->{failures} }), "\n";
    return @text;
}

sub growth_section {
    my @text = ("## Growth\n\nCPU time and p99 against size. What is counted beside them (replies from the cache, page "
        . "faults, sleeps of threads,\nbytes) tells the reason of a slope; where it does not, that is said.\n\n"
        . about($growth) . "\n\n");
    for my $axis (Bench::Growth::axes($growth)) {
        push @text, "### $axis->{title}\n\n";
        if ($plots) {
            Bench::Plot::lines("$to/growth-$axis->{name}.svg", $axis->{title}, $axis->{x_title}, map { [ $_->{title},
                map { [ $_->{x}, $_->{cpu_us}, $_->{p99_us} ] } @{ $_->{points} } ] } @{ $axis->{series} });
            push @text, "![$axis->{title}](growth-$axis->{name}.svg)\n\n";
        }
        push @text, Bench::Report::markdown(Bench::Growth::table($axis)), "\n",
            map({ "- $_\n" } Bench::Growth::reasons($axis)), "\n";
    }
    push @text, map { "- FAILED: $_->{work}, $_->{system}: $_->{why}\n" } @{ $growth->{failures} };
    push @text, map { "- left out: $_\n" } @{ $growth->{left_out} // [] };
    return @text;
}

open my $out, '>:utf8', "$to/README.md" or die "$to/README.md: $!";
print $out "# Benchmarks\n\n", $results ? results_section() : (), $growth ? growth_section() : ();
close $out or die "$to/README.md: $!";
print "$to/README.md\n";
