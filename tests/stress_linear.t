#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Eight clients, four keys: reads, writes, deletes, CAS and increments, some of
# them given up before the reply. What they saw is linearizable, in both kinds
# of store. LINEAR_OPS says how many operations each client makes.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Linear;
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $clients = 8;
my $keys    = 4;
my $count   = $ENV{LINEAR_OPS} // { asan => 300, tsan => 150 }->{ Jackdaw::mode() } // 500;

# The request of an operation: method, query, headers, content.
my %request_of = (
    get    => sub { (GET    => '', { _header('If-None-Match' => $_[0]{if_none_match}) }) },
    put    => sub { (PUT    => '', { _header('If-Match' => $_[0]{if_match}),
                                     _header('If-None-Match' => $_[0]{if_absent} && '*') },
                     $_[0]{value}) },
    delete => sub { (DELETE => '', { _header('If-Match' => $_[0]{if_match}) }) },
    incr   => sub { (POST   => '?op=incr', { 'Content-Type' => 'application/json' },
                     qq({"by":$_[0]{by}})) },
    getdel => sub { (POST   => '?op=getdel', {}) },
);

sub _header { my ($name, $value) = @_; return defined $value && length $value ? ($name => $value) : () }

# Numbers as values, so that every key can be incremented; each written once.
sub random_op {
    my ($client, $number, $tag) = @_;
    my $value = $client * 1e9 + $number * 1e4;
    my $dice  = rand;
    return { kind => 'get' } if $dice < 0.35;
    return { kind => 'get', _header(if_none_match => $tag) } if $dice < 0.45;
    return { kind => 'put', value => $value } if $dice < 0.60;
    return { kind => 'put', value => $value, _header(if_match => $tag) } if $dice < 0.72;
    return { kind => 'put', value => $value, if_absent => 1 } if $dice < 0.78;
    return { kind => 'incr', by => 1 } if $dice < 0.90;
    return { kind => 'delete' } if $dice < 0.94;
    return { kind => 'delete', _header(if_match => $tag) } if $dice < 0.97;
    return { kind => 'getdel' };
}

# Sends the operation and leaves: nobody knows whether it happens.
sub give_up {
    my ($connection) = @_;
    Jackdaw::hang_up($connection->socket);
}

sub client {
    my ($server, $store, $client) = @_;
    my $connection = $server->connect;
    my (@history, %tag);
    for my $number (1 .. $count) {
        my $key = 'k' . int rand $keys;
        my $op  = random_op($client, $number, $tag{$key});
        my ($method, $query, $headers, $content) = $request_of{ $op->{kind} }->($op);
        my $plain = !grep { exists $op->{$_} } qw(if_match if_absent);
        $op->{client} = $client;
        $op->{key}    = $key;
        $op->{call}   = clock_gettime(CLOCK_MONOTONIC);
        $connection->send_request($method, "/v1/kv/$store/$key$query",
            headers => $headers, content => $content);
        if ($plain && $op->{kind} ne 'get' && rand() < 0.02) {
            give_up($connection);
            $connection = $server->connect;
            push @history, $op;
            next;
        }
        my $reply = $connection->read_reply($method);
        $op->{return} = clock_gettime(CLOCK_MONOTONIC);
        next if $reply->{status} == 503;
        die "$op->{kind}: $reply->{status} $reply->{content}"
            if $reply->{status} !~ /^(20[014]|304|404|412)$/;
        $op->{status} = $reply->{status};
        $op->{etag}   = $reply->{headers}{etag};
        $op->{got}    = $op->{kind} eq 'incr' ? $server->json($reply)->{value} : $reply->{content}
            if $op->{status} == 200;
        $tag{$key}    = $op->{etag} if defined $op->{etag};
        push @history, $op;
    }
    return \@history;
}

my $server = Jackdaw->start;
for my $store (qw(main cache)) {
    my @history = map { @$_ } Crowd->run($clients, sub { client($server, $store, $_[0]) });
    my %ops;
    push @{ $ops{ $_->{key} } }, $_ for @history;
    for my $key (sort keys %ops) {
        is Linear::check(@{ $ops{$key} }), undef,
            "$store: " . @{ $ops{$key} } . " operations on $key are linearizable";
    }
    my %seen;
    $seen{"$_->{kind} " . ($_->{status} // 'lost')}++ for @history;
    diag "$store: ", join ', ', map { "$_: $seen{$_}" } sort keys %seen;
    ok $seen{$_}, "$store: some saw '$_'"
        for 'get 200', 'get 304', 'get 404', 'put 201', 'put 204', 'put 412', 'put lost',
        'delete 204', 'delete 412', 'incr 200', 'getdel 200';
}
is $server->stop, 0, 'the daemon ends in order';
done_testing;
