#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# A disk that fails its syncs: who is in that batch gets 500, /readyz turns
# red, the process ends, and nothing acknowledged is lost. A disk that is slow
# holds up those who write, and nobody else.
use strict;
use warnings;

use Crowd;
use Faults;
use Jackdaw;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $writers = 8;

sub start {
    my (%options) = @_;
    return Jackdaw->start(%options, env => Faults::environment());
}

# Writes new keys until one is not acknowledged.
sub write_until_refused {
    my ($server, $writer) = @_;
    my $connection = $server->connect;
    my @acknowledged;
    while (1) {
        my $key   = "w$writer/" . @acknowledged;
        my $reply = $connection->request(PUT => "/v1/kv/main/$key", content => "value of $key");
        return { acknowledged => \@acknowledged, reply => $reply, moment => time }
            if $reply->{status} != 201;
        push @acknowledged, $key;
    }
}

# The answers of /readyz, each with the moment it was asked, until it is gone.
sub watch {
    my ($server) = @_;
    my $connection = $server->connect;
    my @seen;
    while (1) {
        my $asked = time;
        my $reply = $connection->request(GET => '/readyz');
        return \@seen if $reply->{status} == 599;
        push @seen, [ $asked, $reply->{status} ];
        sleep 0.005;
    }
}

for my $rule ('fdatasync EIO data.mdb', 'dsync EIO data.mdb', 'pwrite EIO data.mdb') {
    my $server  = start();
    my $watcher = Crowd->start(1, sub { watch($server) });
    my $crowd   = Crowd->start($writers, sub { write_until_refused($server, $_[0]) });
    my $acknowledged = sub { ($server->metric('jackdaw_http_requests_total', qr/status="201"/) // 0) >= 2 * $writers };
    ok $server->wait_until(10, $acknowledged), "$rule: writes are acknowledged";
    is $server->get('/readyz')->{status}, 200, "$rule: ready before";
    Faults::rule($rule);
    my $status = $server->wait_exit(5 * Jackdaw::slowness());
    my $ended  = time;
    my @results = $crowd->wait;
    my ($seen)  = $watcher->wait;

    cmp_ok $status // 0, '>', 0, "$rule: the process ends, and not as if all were well";
    my @refused = sort { $a->{moment} <=> $b->{moment} }
        grep { $_->{reply}{status} == 500 } @results;
    cmp_ok scalar @refused, '>', 0, "$rule: writers are told";
    Jackdaw::is_problem($_->{reply}, 500, 'storage_fault', "$rule: with 500") for @refused;
    is_deeply [ grep { $_ != 500 && $_ != 599 } map { $_->{reply}{status} } @results ], [],
        "$rule: nobody is told anything else";
    my $first = @refused ? $refused[0]{moment} : 0;
    cmp_ok $ended - $first, '<', Jackdaw::slowness(), "$rule: it ends within a second";
    is_deeply [ grep { $_->[0] > $first && $_->[1] == 200 } @$seen ], [],
        "$rule: it is not ready from then on";
    diag "$rule: /readyz was seen red ", scalar(grep { $_->[1] == 503 } @$seen), ' times';

    Faults::rule('');
    $server->restart;
    my @keys = map { @{ $_->{acknowledged} } } @results;
    cmp_ok scalar @keys, '>=', $writers, "$rule: " . @keys . ' writes were acknowledged';
    my @lost = grep { $server->get("/v1/kv/main/$_")->{content} ne "value of $_" } @keys;
    is_deeply \@lost, [], "$rule: all of them are there after a restart";
    is $server->put('/v1/kv/main/after', 'good')->{status}, 201, "$rule: and it takes new ones";
    is $server->stop, 0, "$rule: and ends in order";
}

# So it ends while it drains, though others are still under way.
{
    my $server = start(args => ['--set', 'limits.drain_timeout=10m']);
    my @writes = map { $server->connect } 1 .. 2;
    $writes[$_]->send("PUT /v1/kv/main/k$_ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf ") for 0, 1;
    ok $server->wait_until(10, sub { $server->metric('jackdaw_http_requests_in_flight') >= 3 }), 'draining: two writes have begun';
    $server->signal('TERM');
    ok $server->wait_log(qr/draining/), 'draining: it has begun';
    Faults::rule('fdatasync EIO data.mdb');
    $writes[0]->send('whole');
    Jackdaw::is_problem($writes[0]->read_reply('PUT'), 500, 'storage_fault', 'draining: a write fails');
    is $server->wait_exit(10 * Jackdaw::slowness()), 1, 'draining: the process ends, and not as if all were well';
}

{
    my $server = start();
    is $server->put('/v1/kv/main/k', 'value')->{status}, 201, 'slow disk: one write before';
    Faults::rule('fdatasync sleep-400 data.mdb');
    my $crowd = Crowd->start($writers, sub {
        my ($writer) = @_;
        return $server->connect->request(PUT => "/v1/kv/main/slow-$writer", content => 'v')->{status};
    });
    my ($reads, $late, $end) = (0, 0, time + 0.6);
    while (time < $end) {
        my $begin = time;
        my $reply = $server->get($reads % 2 ? '/v1/kv/main/k' : '/v1/kv/main/absent');
        die $reply->{content} if $reply->{status} !~ /^(200|404)$/;
        $reads++;
        $late++ if time - $begin > 0.1;
        sleep 0.002;
    }
    cmp_ok $reads, '>', 20, "slow disk: $reads reads meanwhile";
    cmp_ok $late, '<=', $reads / 20, 'slow disk: they do not wait for it';
    is_deeply [ $crowd->wait ], [ (201) x $writers ], 'slow disk: the writes succeed in the end';
    Faults::rule('');
    is $server->stop, 0, 'slow disk: it ends in order';
}

# Where writes wait longer than they may, more are refused, at once and with a
# clear answer; nothing of those is written, and it heals by itself.
{
    my $server = start(queue_age => '50ms');
    Faults::rule('fdatasync sleep-300 data.mdb');
    my $crowd = Crowd->start($writers, sub {
        my ($writer) = @_;
        my $connection = $server->connect;
        my (%seen, $late);
        for (my ($n, $end) = (0, time + 1.5); time < $end; $n++) {
            sleep 0.06 * $writer if !$n;    # else all wait at the same time, and none comes later
            my ($begin, $key) = (time, "age-$writer-$n");
            my $reply = $connection->request(PUT => "/v1/kv/main/$key", content => 'v');
            push @{ $seen{ $reply->{status} } }, $key;
            next if $reply->{status} == 201;
            $late = 1 if time - $begin > 0.25 * Jackdaw::slowness();
            return { wrong => $reply } if $reply->{status} != 503 || $server->json($reply->{content})->{status} != 503
                || ($reply->{headers}{'retry-after'} // '') !~ /^[1-9]\d*$/;
            sleep 0.05;
        }
        return { %seen, late => $late };
    });
    my @results = $crowd->wait;
    Faults::rule('');
    is_deeply [ map { $_->{wrong} // () } @results ], [], 'old queue: 201, or 503 with Retry-After';
    my @refused = map { @{ $_->{503} // [] } } @results;
    my @written = map { @{ $_->{201} // [] } } @results;
    cmp_ok scalar @refused, '>', 0, 'old queue: some are refused';
    is scalar(grep { $_->{late} } @results), 0, '... and do not wait for it';
    cmp_ok scalar @written, '>', 0, '... others written';
    my %is = map { $server->json($_)->{key} => 1 } split /\n/, $server->get('/v1/kv/main/?op=export')->{content};
    is_deeply [ grep { $is{$_} } @refused ], [], '... the refused are not there';
    is_deeply [ grep { !$is{$_} } @written ], [], '... the written are';
    is $server->put('/v1/kv/main/after', 'v')->{status}, 201, '... and it heals';
    is $server->stop, 0, '... and ends in order';
}

# What a write takes from its headers must not go with its connection: the
# client resets it while the committer is busy with the batch before.
{
    my $server = start();
    Faults::rule('fdatasync sleep-400 data.mdb');
    my $before = $server->raw_connect;
    syswrite $before, "PUT /v1/kv/main/before HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nv";
    sleep 0.15;
    my $type = 'text/' . 't' x 100;
    my @gone = map {
        my $socket = $server->raw_connect;
        syswrite $socket, "PUT /v1/kv/main/gone-$_ HTTP/1.1\r\nHost: a\r\nContent-Type: $type\r\n"
            . "Content-Length: 1\r\n\r\nv";
        $socket;
    } 1 .. 8;
    sleep 0.05;
    Jackdaw::hang_up(@gone);
    # Others use the memory that the connections had.
    my @other = map { my $c = $server->connect; $c->request(GET => '/livez'); $c } 1 .. 16;
    Faults::rule('');
    ok $server->wait_until(5, sub { $server->get('/v1/kv/main/gone-8')->{status} == 200 }),
        'a client that left: its write is done';
    is $server->get("/v1/kv/main/gone-$_")->{headers}{'content-type'}, $type,
        "a client that left: the type of write $_" for 1 .. 8;
    is $server->stop, 0, 'a client that left: it ends in order';
}

# Routes that write. What a route says of its rows ("there is no such row") is
# not said where its batch has failed: it may be about rows of that batch, or,
# where it was not run, of another request.
sub start_service {
    return Service::start(shop => {
        'migrations/0001_init.sql' => 'CREATE TABLE a(id INTEGER PRIMARY KEY, n INTEGER) STRICT;',
        'service.conf' => qq(timeout = "2m"\n),
        'a.sql' => <<'SQL' }, { conf => "workers = 1\n", env => Faults::environment() });
-- PUT /a/{id}
-- reply: one
UPDATE a SET n = n + 1 WHERE id = :id RETURNING n;

-- DELETE /a/{id}
-- reply: none
DELETE FROM a WHERE id = :id;

-- POST /a/{n}
-- reply: one
INSERT OR REPLACE INTO a WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < :n)
SELECT 1, max(x) FROM c RETURNING n;
SQL
}

# Their replies: each is sent when those before it are with the committer, and
# then, while it is with the first one, comes the rule.
sub one_by_one {
    my ($server, $rule, @requests) = @_;
    my @connections;
    for (@requests) {
        push @connections, $server->connect;
        $connections[-1]->send_request(@$_);
        $server->wait_until(5, sub { $server->metric('jackdaw_service_statements') == @connections });
    }
    Faults::rule($rule);
    return map { $_->[0]->read_reply($_->[1][0], timeout => 60) } map { [ $connections[$_], $requests[$_] ] } 0 .. $#requests;
}

{
    my ($server, $n) = (start_service(), 300_000);
    is $server->post('/shop/a/1')->{status}, 200, 'service: a row';
    my @replies = one_by_one($server, '', [POST => "/shop/a/$n"], ([PUT => '/shop/a/99']) x 3);
    is_deeply [ map { $_->{status} } @replies ], [200, 404, 404, 404], 'service: other rows are not there';
    # Once more where the disk failed too late.
    for (1 .. 6) {
        @replies = one_by_one($server, 'fdatasync EIO sql.db-wal', [POST => "/shop/a/$n"], [PUT => '/shop/a/1']);
        last if $replies[1]{status} != 200;
        Faults::rule('');
        $n *= 2;
    }
    Jackdaw::is_problem($replies[1], 500, 'storage_fault', 'service: a write that was not run');
    cmp_ok $server->wait_exit(5 * Jackdaw::slowness()) // 0, '>', 0, 'service: and the process ends';
}

{
    my ($server, $ms) = (start_service(), 500);
    my @replies;
    for (1 .. 5) {
        is $server->post('/shop/a/1')->{status}, 200, 'service: a row';
        Faults::rule("fdatasync sleep-$ms sql.db-wal");
        @replies = one_by_one($server, 'fdatasync EIO sql.db-wal',
            [PUT => '/shop/a/1'], [DELETE => '/shop/a/1'], [PUT => '/shop/a/1']);
        last if $replies[1]{status} != 204;
        Faults::rule('');
        $ms *= 2;
    }
    Jackdaw::is_problem($replies[1], 500, 'storage_fault', 'service: a row is not deleted');
    Jackdaw::is_problem($replies[2], 500, 'storage_fault', 'service: and nobody is told that it was');
    cmp_ok $server->wait_exit(5 * Jackdaw::slowness()) // 0, '>', 0, 'service: and the process ends';
}

done_testing;
