# SPDX-License-Identifier: MIT

# What rounds come to. A field of a work and a system is a list, one value a
# round; a ratio is taken within each round first.
package Bench::Statistics;

use strict;
use warnings;

sub median {
    my @sorted = sort { $a <=> $b } grep { defined } @_;
    return if !@sorted;
    return ($sorted[ @sorted / 2 ] + $sorted[ $#sorted / 2 ]) / 2;
}

sub values_of {
    my ($results, $work, $system, $field) = @_;
    return map { $_ ? $_->{$field} : undef } @{ $results->{$work}{$system} // [] };
}

# { median, min, max } or undef.
sub spread {
    my @sorted = sort { $a <=> $b } grep { defined } @_;
    return if !@sorted;
    return { median => median(@sorted), min => $sorted[0], max => $sorted[-1] };
}

# The rounds' ratios of two [work, system, field].
sub ratios {
    my ($results, $of, $over) = @_;
    my @of   = values_of($results, @$of);
    my @over = values_of($results, @$over);
    return map { defined $of[$_] && $over[$_] ? $of[$_] / $over[$_] : undef } 0 .. $#of;
}

sub ratio { return median(ratios(@_)) }

# What tells that something is compared in the round's load itself.
sub quotient {
    my ($results, $work, $system, $over, $under) = @_;
    return ratio($results, [ $work, $system, $over ], [ $work, $system, $under ]);
}

1;
