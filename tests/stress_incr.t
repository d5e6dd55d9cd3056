#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# 1,600 concurrent increments give 1,600, each number once: one by one, inside
# batches, and both beside each other, in both kinds of store.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Test::More;

my ($clients, $connections, $rounds) = (16, 5, 20);
my $total = $clients * $connections * $rounds;

my %one = (
    single => sub {
        my ($connection, $store, $key) = @_;
        $connection->send_request(POST => "/v1/kv/$store/$key?op=incr", content => '{"by":1}',
            headers => { 'Content-Type' => 'application/json' });
        return sub { $_[0]{value} };
    },
    # Beside another key that the same commit changes.
    batch => sub {
        my ($connection, $store, $key) = @_;
        $connection->send_request(POST => "/v1/kv/$store/?op=batch",
            content => qq([{"incr":"$key-beside","by":3},{"incr":"$key","by":1}]),
            headers => { 'Content-Type' => 'application/json' });
        return sub { $_[0]{results}[1]{value} };
    },
);

# Each client asks on all of its connections before it reads the first reply.
sub increment {
    my ($server, $store, $key, @kinds) = @_;
    my @connections = map { $server->connect } 1 .. $connections;
    my @numbers;
    for my $round (1 .. $rounds) {
        my @number_of = map { $one{ $kinds[ ($_ + $round) % @kinds ] }->($connections[$_], $store, $key) }
            0 .. $#connections;
        for my $i (0 .. $#connections) {
            my $reply = $connections[$i]->read_reply('POST');
            die "$reply->{status} $reply->{content}" if $reply->{status} != 200;
            push @numbers, $number_of[$i]->($server->json($reply));
        }
    }
    return \@numbers;
}

my $server  = Jackdaw->start;
for my $store (qw(main cache)) {
    for my $kinds (['single'], ['batch'], [qw(single batch)]) {
        my $name = "$store, @$kinds";
        (my $key = "n-@$kinds") =~ tr/ /-/;
        my @numbers = sort { $a <=> $b } map { @$_ }
            Crowd->run($clients, sub { increment($server, $store, $key, @$kinds) });
        is $server->get("/v1/kv/$store/$key")->{content}, $total, "$name: $total in the end";
        is_deeply \@numbers, [ 1 .. $total ], "$name: each number was given once";
    }
    is $server->get("/v1/kv/$store/n-batch-beside")->{content}, 3 * $total,
        "$store: the other key of each batch went along";
}
is $server->stop, 0, 'the daemon ends in order';
done_testing;
