# SPDX-License-Identifier: MIT

# Node.js: a cluster of a worker for each processor, with Fastify, ioredis and
# libsql's SQLite (node/server.js).
package System::Node;

use strict;
use warnings;
use parent 'System';

use Bench::Data;
use Bench::Process;
use File::Copy qw(copy);
use JSON::PP;
use System::Jackdaw;
use System::Redis;

our $folder = 'build/bench/node';    # of the installed packages

my $synchronous = 'WAL, synchronous=FULL';

sub name       { return 'node' }
sub title      { return 'Node.js + Redis, SQLite' }
sub needs      { return (node => 'nodejs', System::Redis::needs()) }
sub durability {
    my $redis = System::Redis::durability('durable');
    return {
        put => $redis, mixed => $redis, mixed_rate => $redis,
        volatile_put => System::Redis::durability('volatile'),
        insert => $synchronous, updates => $synchronous,
    };
}
sub settings {
    return 'a cluster with a worker for each processor; Fastify without log, replies by schema; ioredis with automatic '
        . 'pipelines over Unix sockets; libsql with prepared statements, busy_timeout, mmap; "cached" rows are '
        . "in the worker's memory and are never made invalid";
}

sub missing {
    my ($self) = @_;
    my @missing = $self->SUPER::missing;
    push @missing, map { "npm $_" } grep { !-d "$folder/node_modules/$_" } qw(fastify ioredis libsql);
    return @missing;
}

sub version {
    my ($self) = @_;
    my $of = sub { JSON::PP->new->decode(Bench::Process::slurp("$folder/node_modules/$_[0]/package.json"))->{version} };
    return join ', ', 'Node.js ' . ($self->output_of('node', '--version') =~ /v([\d.]+)/ ? $1 : ''),
        (map { "$_ " . $of->($_) } qw(fastify ioredis libsql)), System::Redis::version();
}

sub requests {
    my %get = (path => '/kv/{key}', size => 100);
    my %put = (method => 'PUT', body_size => 100, headers => ['Content-Type: application/octet-stream'], expect => '204');
    my %row = (path => '/row/{n}');
    return {
        (map { $_ => \%get } qw(get get_rate)),
        put          => { %put, path => '/kv/{key}' },
        volatile_put => { %put, path => '/cache/{key}' },
        mixed        => { expect => '200,204', kinds => [ { %get, weight => 95 }, { %put, path => '/kv/{key}', weight => 5 } ] },
        value_64k    => { path => '/kv/64k', size => 65536 },
        value_1m     => { path => '/kv/1m',  size => 1048576 },
        row          => \%row,
        fresh        => { path => '/fresh/{n}' },
        insert       => { method => 'POST', path => '/log', body => $System::Jackdaw::log_row, @System::Jackdaw::json,
            expect => '201' },
        mixed_rate   => { expect => '200,204', kinds => [ { %get, weight => 90 }, { %row, weight => 5 },
            { %put, path => '/kv/{key}', weight => 5 } ] },
        json         => { path => '/json' },
        rows_one     => { path => '/db' },
        rows_many    => { path => '/rows/20' },
        updates      => { method => 'POST', path => '/updates/20' },
        fortunes     => { path => '/fortunes' },
        rows_cached  => { path => '/cached/20?from={n}' },
        idle         => { path => '/json' },
    };
}

sub start {
    my ($self, %options) = @_;
    my ($data, $sockets, $cores) = @options{qw(data sockets cores)};
    my $durable  = System::Redis::start($self, 'durable',  $data, $sockets);
    my $volatile = System::Redis::start($self, 'volatile', $data, $sockets);
    System::Redis::fill($durable, Bench::Data::pairs());
    # Beside its packages, since that is where it looks for them.
    copy("tests/bench/node/$_", "$folder/$_") or die "$folder/$_: $!" for qw(server.js package.json);
    my $port    = Bench::Process::free_port();
    my $process = $self->run_process(log => "$data/node.log", env => { NODE_ENV => 'production' },
        command => [ 'node', "$folder/server.js", $port, $cores, "$data/node.db",
            'etc/services/bench/migrations/0001_init.sql', $durable->{socket}, $volatile->{socket} ]);
    $process->wait_until(sub { $process->log_text =~ /^ready$/m });
    $self->{address} = "127.0.0.1:$port";
    return;
}

1;
