#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# More clients than descriptors: those who are in are served, nobody spins, and
# the rest get in when there is room. And more than the kernel watches: who is
# turned away is forgotten.
use strict;
use warnings;

use Faults;
use Jackdaw;
use POSIX qw(sysconf _SC_CLK_TCK);
use Test::More;
use Time::HiRes qw(sleep);

my $server = Jackdaw->start(nofile => 64);

sub cpu_seconds {
    open my $in, '<', '/proc/' . $server->pid . '/stat' or die $!;
    my @fields = split ' ', <$in> =~ s/^.*\) //r;
    return ($fields[11] + $fields[12]) / sysconf(_SC_CLK_TCK);
}

my $old = $server->connect;
is $old->request(PUT => '/v1/kv/main/k', content => 'value')->{status}, 201, 'one is in early';

for my $round (1 .. 2) {
    my @crowd = grep { defined } map { $server->connect } 1 .. 200;
    is @crowd, 200, "round $round: 200 connections in the backlog and beyond the limit";
    $_->send_request(GET => '/v1/kv/main/k') for @crowd;
    sleep 0.5;
    my $before  = cpu_seconds();
    my $seconds = $round == 1 ? 2 : 0.5;
    sleep $seconds;
    cmp_ok cpu_seconds() - $before, '<', 0.2 * $seconds, "round $round: it does not spin";
    is $old->request(GET => '/v1/kv/main/k')->{content}, 'value',
        "round $round: who is in is served";
    is $old->request(PUT => '/v1/kv/main/k', content => 'value')->{status}, 204,
        "round $round: writes too";
    my $served = grep { IO::Select->new($_->socket)->can_read(0) } @crowd;
    cmp_ok $served, '>', 10, "round $round: so are those who fit" or diag $served;

    # As the first leave, the last get in.
    my $last = pop @crowd;
    close $_->socket for splice @crowd, 0, 190;
    is $last->read_reply('GET', timeout => 5)->{content}, 'value',
        "round $round: the last gets in as the first leave";
    close $_->socket for @crowd, $last;
    my $new = $server->connect;
    is $new->request(GET => '/v1/kv/main/k', timeout => 5)->{content}, 'value',
        "round $round: and a new one";
}
is $server->stop, 0, 'it ends in order';

{
    $server = Jackdaw->start(env => Faults::environment());
    my $connections = sub { $server->metric('jackdaw_http_connections') };
    is $server->put('/v1/kv/main/k', 'value')->{status}, 201, 'not watched: one is in early';
    my $before = $connections->();
    Faults::rule('epoll_ctl ENOSPC socket:');
    for my $turn (1 .. 20) {
        my $reply = $server->connect->request(GET => '/v1/kv/main/k', timeout => 5);
        next if $reply->{status} == 599;
        fail "not watched: who comes as number $turn is turned away";
        last;
    }
    ok $server->wait_log(qr/connection refused.*No space/), 'not watched: the log says so';
    is $server->get('/v1/kv/main/k')->{content}, 'value', 'not watched: who is in is served';
    is $connections->(), $before, 'not watched: nothing is counted twice, or left';
    Faults::rule('');
    is $server->connect->request(GET => '/v1/kv/main/k')->{content}, 'value', 'not watched: it heals';
    is $server->stop, 0, 'not watched: it ends in order';
}
done_testing;
