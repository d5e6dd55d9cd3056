# SPDX-License-Identifier: MIT

# Read routes are cached, and never stale.
use strict;
use warnings;

use Crowd;
use Faults;
use Jackdaw;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

# What the dear route counts to: long enough for others to come meanwhile.
my $rows   = int 1_500_000 / Jackdaw::slowness();
my $server = Service::start(
    shop => {
        'migrations/0001_init.sql' => <<'SQL',
CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, price INTEGER);
CREATE TABLE log(id INTEGER PRIMARY KEY, what TEXT);
CREATE TABLE parents(id INTEGER PRIMARY KEY);
CREATE TABLE children(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents(id) ON DELETE CASCADE);
CREATE TABLE plain(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE VIEW cheap AS SELECT id, name FROM items WHERE price < 100;
CREATE TRIGGER items_logged AFTER UPDATE ON items BEGIN INSERT INTO log(what) VALUES (new.name); END;
INSERT INTO items VALUES (1, 'nail', 1), (2, 'saw', 200);
INSERT INTO parents VALUES (1), (2);
INSERT INTO children VALUES (1, 1), (2, 1), (3, 2);
CREATE VIRTUAL TABLE words USING fts5(text);
INSERT INTO words VALUES ('a nail');
SQL
        'a.sql' => <<'SQL' =~ s/ROWS/$rows/r,
-- GET /items/{id}
-- reply: one
SELECT id, name, price FROM items WHERE id = :id;

-- GET /cheap
SELECT name FROM cheap;

-- GET /logged
-- reply: one
SELECT count(*) AS n FROM log;

-- GET /children
-- reply: one
SELECT count(*) AS n FROM children;

-- GET /plain/{k}
-- reply: one
SELECT v FROM plain WHERE k = :k;

-- GET /words/{w}
-- reply: one
SELECT count(*) AS n FROM words WHERE words MATCH :w;

-- GET /key/{k}
-- reply: one
SELECT kv_get('main', :k) AS v;

-- GET /across/{k}/{n}
-- reply: one
SELECT kv_get('main', :k) AS before,
    (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < :n) SELECT max(x) FROM c) AS n,
    kv_get('main', :k) AS after;

-- GET /keys
SELECT key, value FROM kv WHERE store = 'main' AND key >= 'a';

-- GET /go/{k}
-- reply: none
-- status: 302
-- location: /shop/items/{id}
SELECT id FROM items WHERE name = :k;

-- GET /random
-- reply: one
SELECT abs(random()) AS r;

-- GET /now
-- reply: one
SELECT strftime('%f', 'now') AS t;

-- GET /uncached
-- reply: one
-- cache: off
SELECT count(*) AS n FROM items;

-- GET /dear/{n}
-- reply: one
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ROWS)
SELECT max(x) + :n + (SELECT count(*) FROM items) AS n FROM c;

-- PUT /items/{id}
-- reply: none
UPDATE items SET name = :name, price = :price WHERE id = :id;
SQL
        'service.conf' => qq(stores = {"main"}\ntimeout = "2m"\n),
    },
    { conf => "workers = 2\nstore main { kind = durable }\n" });

sub state_of { return $_[0]{headers}{'cache-status'} // 'none' }

# Asks until a worker that has it answers: with two, twice is enough.
sub is_kept {
    my ($target, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reply;
    for (1 .. 4) {
        $reply = $server->get($target);
        last if state_of($reply) eq 'jackdaw; hit';
    }
    is state_of($reply), 'jackdaw; hit', $name // "$target is kept";
    return $reply;
}

# A write, and the next read sees it and misses; then it is kept again.
sub is_seen {
    my ($target, $name, $write, $expected) = @_;
    subtest $name => sub {
        my $before = is_kept($target);
        $write->();
        my $after = $server->get($target);
        isnt state_of($after), 'jackdaw; hit', 'not from the cache';
        like $after->{content}, $expected, 'the new one';
        isnt $after->{headers}{etag}, $before->{headers}{etag}, 'another tag';
        like is_kept($target)->{content}, $expected, 'kept as it is now';
    };
}

my $sql = sub { my @args = @_; return sub { Service::sql($server, 'shop', @args) } };

is state_of($server->get('/shop/items/1')), 'jackdaw; fwd=miss', 'the first time';
my $kept = is_kept('/shop/items/1');
like $kept->{headers}{etag}, qr/^"\d+"$/;
is $kept->{headers}{'cache-control'}, 'no-cache';

subtest 'not modified' => sub {
    my $reply = $server->get('/shop/items/1', undef, { 'If-None-Match' => $kept->{headers}{etag} });
    is $reply->{status}, 304;
    is $reply->{headers}{etag}, $kept->{headers}{etag};
    is $reply->{headers}{'content-length'}, length $kept->{content}, 'the length of the 200';
    $reply = $server->get('/shop/items/1', undef, { 'If-None-Match' => '"1", "2"' });
    is $reply->{status}, 200;
    is $server->get('/shop/items/1', undef, { 'If-None-Match' => '*' })->{status}, 304;
    Jackdaw::is_problem($server->get('/shop/items/1', undef, { 'If-Match' => '"1"' }), 412, 'precondition_failed');
    Jackdaw::is_problem($server->get('/shop/items/1', undef, { 'If-None-Match' => 'nonsense' }), 400, 'bad_request');
    my $runs = $server->metric('jackdaw_route_runs_total', qr{items/\{id\}});
    $server->get('/shop/items/1', undef, { 'If-None-Match' => $kept->{headers}{etag} }) for 1 .. 20;
    is $server->metric('jackdaw_route_runs_total', qr{items/\{id\}}), $runs, 'runs nothing';
};

subtest 'preconditions are of what succeeds' => sub {
    # Before it is kept, and after.
    for my $turn ('run', 'kept') {
        my $tag = $turn eq 'kept' ? is_kept('/shop/go/nail')->{headers}{etag} : undef;
        for my $headers ({ 'If-None-Match' => '*' }, { 'If-Match' => '"1"' }, $tag ? { 'If-None-Match' => $tag } : ()) {
            my $reply = $server->get('/shop/go/nail', undef, $headers);
            is $reply->{status}, 302, "$turn: a redirect is one, with @{[ %$headers ]}";
            is $reply->{headers}{location}, '/shop/items/1', 'and says where';
        }
    }
};

is_seen('/shop/items/1', 'a write by SQL', $sql->("UPDATE items SET price = 2 WHERE id = 1"), qr/"price":2/);
is_seen('/shop/items/1', 'a write by a route',
    sub { Service::post($server, '/shop/items/1', { name => 'nail', price => 3 }, 'PUT') }, qr/"price":3/);
is_seen('/shop/cheap', 'a table below a view', $sql->("UPDATE items SET price = 50 WHERE id = 2"), qr/saw/);
is_seen('/shop/logged', 'a trigger', $sql->("UPDATE items SET price = 51 WHERE id = 2"), qr/"n":4/);
is_seen('/shop/children', 'a cascade', $sql->("DELETE FROM parents WHERE id = 1"), qr/"n":1/);
Service::sql($server, 'shop', "INSERT INTO plain VALUES ('a', 1)");
is_seen('/shop/plain/a', 'REPLACE in a table WITHOUT ROWID', $sql->("REPLACE INTO plain VALUES ('a', 2)"), qr/"v":2/);
is_seen('/shop/words/nail', 'full-text search', $sql->("INSERT INTO words VALUES ('one more nail')"), qr/"n":2/);
is_seen('/shop/items/1', 'another schema', $sql->("ALTER TABLE items ADD COLUMN more DEFAULT 5"), qr/"price":3/);
is_seen('/shop/children', 'DELETE without WHERE', $sql->("DELETE FROM children"), qr/"n":0/);

$server->put('/v1/kv/main/a', 'one');
is_seen('/shop/key/a', 'a key of a store', sub { $server->put('/v1/kv/main/a', 'two') }, qr/two/);
is_seen('/shop/key/b', 'a key that comes', sub { $server->put('/v1/kv/main/b', 'new') }, qr/new/);
is_seen('/shop/keys', 'keys of a store', sub { $server->put('/v1/kv/main/c', 'three') }, qr/three/);
is_seen('/shop/keys', 'a key that goes', sub { $server->delete('/v1/kv/main/c') }, qr/\A(?!.*three)/s);

subtest 'a write of another table leaves it' => sub {
    is_kept('/shop/plain/a');
    Service::sql($server, 'shop', "INSERT INTO parents VALUES (77)");
    is state_of($server->get('/shop/plain/a')), 'jackdaw; hit' for 1 .. 2;
};

# The store sweeps another key shortly before, and makes a pause then: this one
# is still there, expired, for a while.
sub put_for {
    my ($key, $ms) = @_;
    $server->put("/v1/kv/main/$_->[0]?ttl=$_->[1]ms", 'here') for ['another', $ms - 200], [$key, $ms];
}

subtest 'a key that expires' => sub {
    put_for('soon', 500 * Jackdaw::slowness());
    my $here = is_kept('/shop/key/soon');
    like $here->{content}, qr/here/;
    my $tag = $here->{headers}{etag};
    $server->wait_until(5, sub { $server->get('/v1/kv/main/soon')->{status} == 404 });
    for my $headers ({ 'If-None-Match' => $tag }, {}) {
        my $reply = $server->get('/shop/key/soon', undef, $headers);
        is $reply->{status}, 200;
        like $reply->{content}, qr/null/, 'is gone at once';
        isnt $reply->{headers}{etag}, $tag, 'with its tag';
    }
    ok $server->wait_until(5, sub { state_of($server->get('/shop/key/soon')) eq 'jackdaw; hit' }),
        'what there is without it is kept';
};

subtest 'a key that expires while a statement runs' => sub {
    my ($n, $ttl, $reply, $got) = (int $rows / 4, 300 * Jackdaw::slowness());
    for (1 .. 8) {
        put_for('across', $ttl);
        $reply = $server->request(GET => "/shop/across/across/$n", timeout => 60);
        $got = $server->json($reply);
        # It was not read while it was there, or read twice meanwhile.
        last if $got->{before} && !$got->{after};
        $got->{before} ? ($n *= 2) : ($ttl *= 2);
    }
    is $got->{before}, 'here', 'read while it was there';
    is $got->{after}, undef, 'and once more, later';
    is $reply->{headers}{etag}, undef, 'what is of two times has no tag';
};

subtest 'what is not stable is not kept' => sub {
    for my $target (qw(/shop/random /shop/now)) {
        my %seen;
        for (1 .. 5) {
            my $reply = $server->get($target);
            $seen{ $reply->{content} }++;
            is $reply->{headers}{etag}, undef, 'no tag';
            is $reply->{headers}{'cache-control'}, 'no-store';
            sleep 0.002;
        }
        cmp_ok scalar keys %seen, '>', 3, "$target runs each time";
    }
    isnt state_of($server->get('/shop/uncached')), 'jackdaw; hit', 'nor what is switched off' for 1 .. 4;
};

subtest 'identical misses run once' => sub {
    my $get = sub { return $server->connect->request(GET => '/shop/dear/' . $_[0], timeout => 60) };
    $get->(1);    # so that it is known as dear
    my $runs = sub { return $server->metric('jackdaw_route_runs_total', qr{dear}) };
    my ($before, $now, $later) = ($runs->(), $rows + 2 + 2, $rows + 3 + 3);
    my @results = Crowd->run(12, sub { my $reply = $get->(2); return { map { $_ => $reply->{$_} } qw(status content headers) } });
    is scalar(grep { $_->{status} == 200 && $_->{content} =~ /$now/ } @results), 12, 'all have it';
    is $runs->() - $before, 1, 'from one run';
    my %tags = map { ($_->{headers}{etag} // 'none') => 1 } @results;
    is scalar keys %tags, 1, 'with one tag';
    cmp_ok scalar(grep { ($_->{headers}{'cache-status'} // '') =~ /collapsed|hit/ } @results), '>=', 11;
    # Other workers have it without a run.
    $before = $runs->();
    $get->(2) for 1 .. 8;
    is $runs->() - $before, 0, 'and nobody runs it again';
    # A write while it runs: who began after it gets the new one.
    my $crowd = Crowd->start(4, sub { return { content => $get->(3)->{content} } });
    sleep 0.05;
    Service::sql($server, 'shop', "INSERT INTO items(name) VALUES ('more')");
    like $get->(3)->{content}, qr/$later/, 'a read after the write, while the old run goes on';
    $crowd->wait;
};
is $server->stop, 0;

# What workers share is addresses: of this process, and of no other.
for my $rule ('readdir unknown', 'unlinkat EIO') {
    my $server = Service::start(
        shop => {
            'migrations/0001_init.sql' => 'CREATE TABLE a(id INTEGER PRIMARY KEY);',
            'a.sql' => <<'SQL',
-- GET /dear/{n}
-- reply: one
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100000)
SELECT max(x) + :n + (SELECT count(*) FROM a) AS n FROM c;
SQL
        },
        { conf => "workers = 1\n", env => Faults::environment() });
    my $ask = sub { return [ map { $server->get("/shop/dear/$_")->{content} } 1 .. 6 ] };
    my $all = [ map { qq({"n":$_}\n) } 100_001 .. 100_006 ];
    is_deeply $ask->(), $all, "$rule: dear replies";
    Faults::rule("$rule replies");
    $server->restart;
    is_deeply $ask->(), $all, "$rule: none is that of another process";
    is $server->stop, 0;
}
done_testing;
