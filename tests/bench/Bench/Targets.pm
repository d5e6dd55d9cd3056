# SPDX-License-Identifier: MIT

# What has to hold: each with how it is taken from the results, and the bound.
package Bench::Targets;

use strict;
use warnings;

use Bench::Statistics;
use JSON::PP;

# [what, value, sign, bound]: value is { of => [work, system, field], over =>
# likewise }, a ratio; { quotient => [work, system, field, field] }; or { plain =>
# [work, system, field], unit => divisor }. Without a bound it is only shown.
my $third = 1 / 3;

sub _x {
    my ($work, $field, $over, $over_field) = @_;
    my ($other, $system) = @$over;
    return { of => [ $work, 'jackdaw', $field ], over => [ $other, $system, $over_field // $field ] };
}

my @floor_kv   = ('get', 'floor');
my @floor_sql  = ('row', 'floor');
my @floor_rate = ('get_rate', 'floor');

our @targets = (
    [ 'KV GET, 10^5 keys: CPU, x floor',           _x('get', 'cpu_us', \@floor_kv),              '<=', 1.10 ],
    [ 'KV GET, 10^5 keys: requests/s, x floor',    _x('get', 'rate',   \@floor_kv),              '>=', 0.95 ],
    [ 'KV GET, 10^5 keys: requests/s, x Node',     _x('get', 'rate',   [ 'get', 'node' ]),       '>=', 2 ],
    [ 'KV GET, 10^5 keys: requests/s, x nginx + memcached', _x('get', 'rate', [ 'get', 'nginx' ]), '>=', 1.8 ],
    [ 'KV GET, one key: CPU, x floor',             _x('get_one', 'cpu_us', \@floor_kv) ],
    [ 'KV GET, not modified: CPU, x floor',        _x('get_304', 'cpu_us', \@floor_kv) ],
    [ 'KV GET, 10^6 keys: CPU, x 10^5 keys',
        { of => [ 'get_many', 'jackdaw, 10^6 keys', 'cpu_us' ], over => [ 'get', 'jackdaw', 'cpu_us' ] }, '<=', 1.10 ],
    [ 'durable PUT: CPU, x floor',                 _x('put', 'cpu_us', \@floor_kv),              '<=', 2.5 ],
    [ 'durable PUT: requests/s, x Node + Redis(always)', _x('put', 'rate', [ 'put', 'node' ]),   '>=', 1.6 ],
    [ 'durable PUT: requests/s, x redis-benchmark on Redis(always)', _x('put', 'rate', [ 'put', 'redis' ]), '>=', 0.9 ],
    [ 'durable PUT: writes in a batch',            { quotient => [ 'put', 'jackdaw', 'writes', 'batches' ] }, '>', 1 ],
    [ 'SQL row, cached: CPU, x floor',             _x('row', 'cpu_us', \@floor_sql),             '<=', 1.15 ],
    [ 'SQL row, cached: requests/s, x Node',       _x('row', 'rate',   [ 'row', 'node' ]),       '>=', 2 ],
    [ 'SQL row, cached, one key: CPU, x floor',    _x('row_one', 'cpu_us', \@floor_sql),         '<=', 1.15 ],
    [ 'SQL row, not cached: CPU, x floor',         _x('fresh', 'cpu_us', \@floor_sql),           '<=', 1.6 ],
    [ 'SQL row, not cached: requests/s, x Node',   _x('fresh', 'rate', [ 'fresh', 'node' ]),     '>=', 1.6 ],
    [ 'SQL row, not modified: CPU, x floor',       _x('row_304', 'cpu_us', \@floor_sql),         '<=', 1.15 ],
    [ 'SQL durable insert: CPU, x floor',          _x('insert', 'cpu_us', \@floor_sql),          '<=', 3.0 ],
    [ 'SQL durable insert: requests/s, x Node + SQLite(FULL)', _x('insert', 'rate', [ 'insert', 'node' ]), '>=', 10 ],
    [ 'SQL durable insert: requests/s, x one commit an insert', _x('insert', 'rate', [ 'insert', 'sqlite' ]), '>=', 10 ],
    [ 'SQL durable insert, no RETURNING: CPU, x floor', _x('insert_none', 'cpu_us', \@floor_sql), '<=', 3.0 ],
    [ 'SQL row, cached, 1,000 routes: CPU, x 10 routes',
        { of => [ 'row_one', 'jackdaw, 1,000 routes', 'cpu_us' ], over => [ 'row_one', 'jackdaw', 'cpu_us' ] }, '<=', 1.05 ],
    [ 'SQL row, not cached, 1,000 routes: CPU, x 10 routes',
        { of => [ 'fresh_one', 'jackdaw, 1,000 routes', 'cpu_us' ], over => [ 'fresh_one', 'jackdaw', 'cpu_us' ] }, '<=', 1.05 ],
    [ 'KV GET at 16,667/s: CPU, x floor',          _x('get_rate', 'cpu_us', \@floor_rate),       '<=', 1.2 ],
    [ 'KV GET at 16,667/s: p99, x floor',          _x('get_rate', 'p99_us', \@floor_rate),       '<=', 1.2 ],
    [ 'KV GET at 16,667/s: p99, x Node',           _x('get_rate', 'p99_us', [ 'get_rate', 'node' ]), '<=', $third ],
    [ 'mixed at 16,667/s: CPU, x floor',           _x('mixed_rate', 'cpu_us', \@floor_rate),     '<=', 1.6 ],
    [ 'mixed at 16,667/s: p99, x Node',            _x('mixed_rate', 'p99_us', [ 'mixed_rate', 'node' ]), '<=', $third ],
    (map {
        my ($kind, $what, $bound) = @$_;
        ([ "$what beside four endless statements: p99, x alone",
            _x("beside_$kind", 'p99_us', [ "alone_$kind", 'jackdaw' ]), '<=', $bound ],
         [ 'the same with slices of 100 ms',
            { of   => [ "beside_$kind", 'jackdaw, slices of 100 ms', 'p99_us' ],
              over => [ "alone_$kind",  'jackdaw, slices of 100 ms', 'p99_us' ] } ])
    } [ kv => 'KV GET', 3 ], [ row => 'SQL row, cached,', 3 ], [ fresh => 'SQL row, not cached,', 10 ]),
    [ 'idle: MiB resident', { plain => [ 'idle', 'jackdaw, empty', 'idle_bytes' ], unit => 1 << 20 },           '<=', 10 ],
    [ 'idle connection: KiB', { plain => [ 'idle', 'jackdaw, empty', 'connection_bytes' ], unit => 1 << 10 },  '<=', 12 ],
);

sub _value {
    my ($results, $how) = @_;
    return Bench::Statistics::ratio($results, @$how{qw(of over)}) if $how->{of};
    return Bench::Statistics::quotient($results, @{ $how->{quotient} }) if $how->{quotient};
    my $median = Bench::Statistics::median(Bench::Statistics::values_of($results, @{ $how->{plain} }));
    return defined $median ? $median / $how->{unit} : undef;
}

# Errors in what is compared make a target missed, whatever the ratio.
sub _errors {
    my ($results, $how) = @_;
    my $errors = 0;
    for (grep { $_ } @$how{qw(of quotient plain)}) {
        $errors += $_ // 0 for Bench::Statistics::values_of($results, @$_[ 0, 1 ], 'errors');
    }
    return $errors;
}

# { what, value, sign, bound, holds } of each; value undef: not measured.
sub judge {
    my ($results) = @_;
    return map {
        my ($what, $how, $sign, $bound) = @$_;
        my $value = _value($results, $how);
        my %judged = (what => $what, value => $value, sign => $sign, bound => $bound);
        if ($sign && defined $value) {
            my $holds = $sign eq '>=' ? $value >= $bound : $sign eq '>' ? $value > $bound : $value <= $bound;
            $judged{holds} = $holds && !_errors($results, $how) ? JSON::PP::true : JSON::PP::false;
        }
        \%judged;
    } @targets;
}

1;
