# SPDX-License-Identifier: MIT

# Plots of a report as SVG, by gnuplot.
package Bench::Plot;

use strict;
use warnings;

use Bench::Process;
use POSIX qw(ceil floor);

# The same colour for a system in every plot.
my %colours = (
    floor => '#9e9e9e', jackdaw => '#1565c0', nginx => '#2e7d32', webdis => '#ef6c00', node => '#c62828',
    h2o   => '#6a1b9a', redis => '#ad1457', sqlite => '#4e342e',
);
my @others = ('#1565c0', '#2e7d32', '#ef6c00', '#c62828', '#6a1b9a', '#4e342e');

sub available { return Bench::Process::which('gnuplot') }

sub _run {
    my ($script) = @_;
    open my $gnuplot, '|-', 'gnuplot' or die "gnuplot: $!";
    print $gnuplot $script;
    close $gnuplot or die "gnuplot: status $?";
    return;
}

sub _quoted {
    my ($text) = @_;
    $text =~ s/["\\]//g;
    return qq("$text");
}

sub _terminal {
    my ($file, $width, $height) = @_;
    return <<"END";
set encoding utf8
set terminal svg size $width,$height dynamic noenhanced font "sans-serif,12" background rgb "white"
set output "$file"
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
END
}

# A range of whole decades around the values.
sub _decades {
    my @sorted = sort { $a <=> $b } grep { defined && $_ > 0 } @_ or return '[1:10]';
    my ($least, $most) = map { log($_) / log 10 } @sorted[ 0, -1 ];
    my ($from, $to) = (floor($least), ceil($most));
    $to++ if $to == $from;
    return "[1e$from:1e$to]";
}

# Bars: a cluster for each work, a bar for each system. value(work, system)
# returns the number, or undef.
sub bars {
    my ($file, $title, $report, $works, $value) = @_;
    my %works = map { $_->{name} => $_ } @{ $report->{works} };
    my @works = grep { $_ } map { $works{$_} } @$works;
    my @systems = grep { my $name = $_; $colours{$name} && grep { defined $value->($_, $name) } @works }
        qw(floor jackdaw nginx webdis node h2o redis sqlite);
    return 0 if !@works || !@systems;
    my $script = _terminal($file, 960, 420) . <<"END";
set title "$title"
set key outside bottom center horizontal
set style data histograms
set style histogram clustered gap 1
set style fill solid border -1
set boxwidth 0.9 relative
set logscale y
set xtics rotate by -15
END
    $script .= 'set yrange ' . _decades(map { my $work = $_; map { $value->($work, $_) } @systems } @works) . "\n";
    $script .= "\$data << EOD\n";
    for my $work (@works) {
        $script .= join(' ', _quoted($work->{title}), map { $value->($work, $_) // 'NaN' } @systems) . "\n";
    }
    $script .= "EOD\nplot " . join(', ', map {
        my $column = $_ + 2;
        "\$data using $column" . ($_ ? '' : ':xtic(1)') . ' title ' . _quoted($report->{systems}{ $systems[$_] }{title})
            . " lc rgb \"$colours{$systems[$_]}\"";
    } 0 .. $#systems) . "\n";
    _run($script);
    return 1;
}

# Two panels of lines against size: CPU time and p99. Each series is [title,
# [x, cpu, p99]...].
sub lines {
    my ($file, $title, $x_title, @series) = @_;
    my $script = _terminal($file, 960, 380);
    for (0 .. $#series) {
        my ($name, @points) = @{ $series[$_] };
        $script .= "\$data$_ << EOD\n" . join('', map { join(' ', map { $_ // 'NaN' } @$_) . "\n" } @points) . "EOD\n";
    }
    $script .= <<"END";
set multiplot layout 1,2 title "$title"
set xlabel "$x_title"
set logscale xy
set format x "%.0s%c"
set key bottom center outside horizontal
END
    for my $panel ([ 2, 'CPU us a request' ], [ 3, 'p99 us' ]) {
        my ($field, $what) = @$panel;
        my @points = map { @$_[ 1 .. $#$_ ] } @series;
        $script .= 'set xrange ' . _decades(map { $_->[0] } @points) . "\n"
            . 'set yrange ' . _decades(map { $_->[ $field - 1 ] } @points) . "\n";
        $script .= "set ylabel \"$what\"\nplot " . join(', ', map {
            "\$data$_ using 1:$field with linespoints lw 2 pt 7 ps 0.6 lc rgb \"$others[$_ % @others]\" title "
                . _quoted($series[$_][0])
        } 0 .. $#series) . "\n";
    }
    _run($script . "unset multiplot\n");
    return;
}

1;
