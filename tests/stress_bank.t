# SPDX-License-Identifier: MIT

# A bank: transfers between accounts while others look at the sum, through
# kill -9 too. Every sum is the same; nothing acknowledged is lost; migrations
# are applied once.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $cycles   = $ENV{STRESS_CYCLES} // (Jackdaw::slowness() > 1 ? 6 : 20);
my $clients  = 4;
my $accounts = 20;

my $server = Service::start(
    bank => {
        'migrations/0001_init.sql' => <<"SQL",
CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK(balance >= 0)) STRICT;
CREATE TABLE transfers(client INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(client, n)) STRICT, WITHOUT ROWID;
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $accounts)
INSERT INTO accounts SELECT x, 1000 FROM c;
SQL
        'migrations/0002_once.sql' => "CREATE TABLE once(n INTEGER);\nINSERT INTO once VALUES (1);\n",
        'a.sql' => <<'SQL',
-- POST /transfer
-- reply: none
UPDATE accounts SET balance = balance - :amount WHERE id = :from;
UPDATE accounts SET balance = balance + :amount WHERE id = :to;
INSERT INTO transfers VALUES (:client, :n);

-- GET /sum
-- reply: one
SELECT sum(balance) AS total, count(*) AS n FROM accounts;

-- GET /known/{client}
-- reply: one
SELECT coalesce(max(n), 0) AS last, count(*) AS n FROM transfers WHERE client = :client;
SQL
    });

my @last = (0) x $clients;    # acknowledged by each client

sub transfer {
    my ($connection, $client, $n) = @_;
    my ($from, $to) = map { 1 + int rand $accounts } 1 .. 2;
    my $amount = 1 + int rand 30;
    return $connection->request(POST => '/bank/transfer', timeout => 10,
        headers => { 'Content-Type' => 'application/json' },
        content => qq({"from":$from,"to":$to,"amount":$amount,"client":$client,"n":$n}));
}

# Until the daemon dies.
sub client {
    my ($client, $n) = @_;
    my $connection = $server->connect;
    my ($acked, @wrong) = (0);    # n may have been sent only
    while (1) {
        if (rand() < 0.3) {
            my $reply = $connection->request(GET => '/bank/sum');
            last if $reply->{status} == 599;
            push @wrong, $reply->{content}
                if $reply->{content} !~ /"total":@{[ $accounts * 1000 ]},"n":$accounts\}/;
            next;
        }
        my $reply = transfer($connection, $client, $n + 1);
        last if $reply->{status} == 599;
        $n++;
        if    ($reply->{status} == 204) { $acked = $n }
        elsif ($reply->{status} != 422) { push @wrong, "$reply->{status} $reply->{content}"; last }
    }
    return { acked => $acked, tried => $n + 1, wrong => \@wrong };
}

my @tried = (0) x $clients;
for my $cycle (1 .. $cycles) {
    my $crowd = Crowd->start($clients, sub { return client($_[0], $tried[$_[0]]) });
    sleep 0.1 + rand 0.3;
    $server->kill9;
    my @results = $crowd->wait;
    $server->restart;
    my @wrong = map { @{ $_->{wrong} } } @results;
    for my $client (0 .. $clients - 1) {
        my $known = $server->json($server->get("/bank/known/$client"));
        my $result = $results[$client];
        push @wrong, "client $client: $result->{acked} was acknowledged, $known->{last} is there"
            if $known->{last} < $result->{acked};
        push @wrong, "client $client: $known->{last} was never sent" if $known->{last} > $result->{tried};
        $tried[$client] = $result->{tried};
    }
    my $sum = $server->json($server->get('/bank/sum'));
    push @wrong, "the sum is $sum->{total}" if $sum->{total} != $accounts * 1000;
    my $once = Service::sql($server, 'bank', 'SELECT count(*) FROM once')->{rows}[0][0];
    push @wrong, "a migration was applied $once times" if $once != 1;
    is_deeply \@wrong, [], "cycle $cycle, up to transfer $tried[0]";
    last if @wrong;
}
cmp_ok $tried[0], '>', $cycles, 'there were transfers';
is $server->stop, 0, 'it ends well';
my ($status, $out) = Jackdaw->run('sqlite3', $server->dir . '/services/bank/sql.db', 'PRAGMA integrity_check');
is $out, "ok\n", 'the file is whole';
done_testing;
