# SPDX-License-Identifier: MIT

# What is measured: each kind of work, its settings and who does it.
#
# name, title; group: those of a group are measured by turns, round by round,
# with the same systems running. Then settings of the load (Bench::Load), that
# a system completes by its requests().
#   as      the work of the systems' requests(), if it has another name
#   on      the systems, where not all that offer it
#   warm    requests before the first round counts
#   again   and before each round: what writes of other work have made stale is
#           read anew
#   part    of --seconds, where not all
#   single  measured once, not in rounds
package Bench::Works;

use strict;
use warnings;

use Bench::Data;

my $million_a_minute = 16_667;

# scale: below 1 where less than the usual time is given to each measurement;
# what is bounded by count is shortened by it.
sub works {
    my ($scale) = @_;
    my $some = sub { my $n = int($_[0] * ($scale < 1 ? $scale : 1)); return $n > 100 ? $n : 100 };
    my @keys = (keys => $Bench::Data::keys);
    my @rows = (keys => $Bench::Data::rows);
    my @ours = (on   => ['jackdaw']);
    return (
        # First, while nobody has memory left over from work.
        { group => 'idle', name => 'idle', title => '10,000 idle connections', single => 1, idle => $some->(10_000),
            on => [ 'floor', 'jackdaw, empty', qw(nginx webdis node h2o) ] },

        { group => 'kv', name => 'get', title => 'KV GET, 10^5 keys', @keys, warm => $some->(500_000),
            again => $some->(400_000) },
        { group => 'kv', name => 'get_one', title => 'KV GET, one key' },
        { group => 'kv', name => 'get_304', title => 'KV GET, not modified' },
        { group => 'kv', name => 'get_many', title => 'KV GET, 10^6 keys', on => ['jackdaw, 10^6 keys'],
            keys => $some->(1_000_000), warm => $some->(200_000) },
        { group => 'kv', name => 'put', title => 'durable PUT', @keys },
        { group => 'kv', name => 'volatile_put', title => 'volatile PUT', @keys },
        { group => 'kv', name => 'mixed', title => '95% GET, 5% durable PUT, zipfian', @keys, zipf => 0.99,
            warm => $some->(100_000) },

        { group => 'sql', name => 'row', title => 'SQL row by key, cached', @rows, warm => $some->(60_000) },
        { group => 'sql', name => 'row_one', title => 'SQL row, cached, one key',
            on => [ 'jackdaw', 'jackdaw, 1,000 routes' ] },
        { group => 'sql', name => 'row_304', title => 'SQL row, not modified' },
        { group => 'sql', name => 'fresh', title => 'SQL row by key, not cached', @rows },
        { group => 'sql', name => 'fresh_one', title => 'SQL row, not cached, one key',
            on => [ 'jackdaw', 'jackdaw, 1,000 routes' ] },
        { group => 'sql', name => 'insert', title => 'SQL durable insert' },
        { group => 'sql', name => 'insert_none', title => 'SQL durable insert, no RETURNING' },
        { group => 'sql', name => 'insert_all', title => '10^5 durable inserts', single => 1, @ours,
            count => $some->(100_000) },
        { group => 'sql', name => 'read_all', title => '10^6 reads of them', single => 1, @ours,
            count => $some->(1_000_000), keys => $some->(100_000) },

        { group => 'techempower', name => 'json', title => 'JSON', part => 0.5 },
        { group => 'techempower', name => 'rows_one', title => 'one row', part => 0.5 },
        { group => 'techempower', name => 'rows_many', title => '20 rows', part => 0.5 },
        { group => 'techempower', name => 'updates', title => '20 updates', part => 0.5 },
        { group => 'techempower', name => 'fortunes', title => 'fortunes', part => 0.5 },
        { group => 'techempower', name => 'rows_cached', title => '20 cached rows', part => 0.5,
            keys => 9980, warm => $some->(30_000) },

        { group => 'values', name => 'value_64k', title => 'KV GET, 64 KiB', part => 0.5 },
        { group => 'values', name => 'value_1m', title => 'KV GET, 1 MiB', part => 0.5 },

        { group => 'rate', name => 'get_rate', title => 'KV GET at 16,667/s', @keys, rate => $million_a_minute,
            warm => $some->(500_000) },
        { group => 'rate', name => 'mixed_rate', title => '90% GET, 5% SQL row, 5% durable PUT at 16,667/s', @rows,
            rate => $million_a_minute, warm => $some->(60_000) },

        (map {
            my $when = $_;
            map { { group => 'beside', name => "${when}_$_->[0]",
                title => $_->[1] . ($when eq 'beside' ? ' beside four endless statements' : ', 16 connections'),
                on => [ 'jackdaw', 'jackdaw, slices of 100 ms' ], connections => 16, part => 0.5,
                as => $_->[2], $when eq 'beside' ? (beside => $some->(1_000_000)) : () } }
                [ kv => 'KV GET', 'get_one' ], [ row => 'SQL row, cached', 'row_one' ],
                [ fresh => 'SQL row, not cached', 'fresh_one' ]
        } qw(alone beside)),
    );
}

# Of each group, the work whose floor its CPU time is compared with.
our %floors = (kv => 'get', sql => 'row', techempower => 'json', rate => 'get_rate');

our %groups = (
    kv          => 'Keys and values',
    sql         => 'SQL over HTTP',
    techempower => 'The kinds of TechEmpower',
    values      => 'Large values',
    rate        => 'A million requests a minute (open loop)',
    beside      => 'Beside endless statements',
    idle        => 'Idle connections',
);

1;
