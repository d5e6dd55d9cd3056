# SPDX-License-Identifier: MIT

# What every system is filled with before it is measured.
package Bench::Data;

use strict;
use warnings;

our $keys  = 100_000;
our $value = 'v' x 100;
our $rows  = 10_000;

# Returns pairs of key and value, then nothing: the keys that the generator's
# {key} names, and two large values.
sub pairs {
    my ($count) = @_;
    $count //= $keys;
    my ($next, @large) = (0, [ '64k', 'x' x 65536 ], [ '1m', 'x' x 1048576 ]);
    return sub {
        return (sprintf('%08d', $next++), $value) if $next < $count;
        return @{ shift @large // [] };
    };
}

1;
