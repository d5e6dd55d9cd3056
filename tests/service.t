# SPDX-License-Identifier: MIT

# A service's routes: parameters, replies, transactions, limits.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use JSON::PP;
use Service;
use Socket ();
use Test::More;
use Time::HiRes qw(time);

# The planner weighs so many ways that it takes some tenths of a second; there are no rows.
my $joins = join '', map {
    my $k = $_;
    " JOIN j t$k ON " . join ' AND ', map { my $i = $k - $_; $i < 0 ? () : "t$k.a = t$i.b AND t$k.c = t$i.d AND t$k.b = t$i.c" }
        1, 2, 3, 5, 8, 13;
} 1 .. 32;
my $server = Service::start(
    shop => {
        'migrations/0001_init.sql' => <<'SQL',
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT NOT NULL,
    total INTEGER NOT NULL CHECK(total >= 0), note TEXT, data BLOB) STRICT;
CREATE TABLE lines(order_id INTEGER NOT NULL REFERENCES orders(id), item TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX lines_once ON lines(order_id, item);
INSERT INTO orders(customer, total) VALUES ('ann', 10), ('bob', 20);
SQL
        'orders.sql' => <<'SQL',
-- GET /orders
-- optional: after=0, max=100
SELECT id, customer, total FROM orders WHERE id > :after ORDER BY id LIMIT :max;

-- GET /orders/{id}
-- reply: one
SELECT id, customer, total, note FROM orders WHERE id = :id;

-- POST /orders
-- reply: one
-- status: 201
-- location: /shop/orders/{id}
-- optional: note
INSERT INTO orders(customer, total, note) VALUES (:customer, :total, :note)
RETURNING id, customer, total, note;

-- PUT /orders/{id}
-- reply: one
UPDATE orders SET total = :total WHERE id = :id RETURNING id, total;

-- DELETE /orders/{id}
-- reply: none
DELETE FROM lines WHERE order_id = :id;
DELETE FROM orders WHERE id = :id;

-- POST /orders/{id}/lines
-- reply: none
INSERT INTO lines(order_id, item) SELECT :id, value FROM json_each(:items);
UPDATE orders SET total = total + json_array_length(:items) WHERE id = :id;

-- POST /checked
-- reply: one
INSERT INTO orders(customer, total) VALUES (:customer, 0);
SELECT CASE WHEN :customer = 'mallory' THEN fail(409, 'not mallory') ELSE 1 END AS ok;
SQL
        'kinds.sql' => <<'SQL' =~ s/300ms/300 * Jackdaw::slowness() . 'ms'/er,
-- GET /type/{x}
-- reply: one
SELECT typeof(:x) AS type, :x AS value;

-- POST /type
-- reply: one
SELECT typeof(:x) AS type, :x AS value;

-- GET /page
-- reply: value
-- type: text/html; charset=utf-8
SELECT '<h1>' || count(*) || ' orders</h1>' FROM orders;

-- GET /nothing
-- reply: value
SELECT note FROM orders WHERE id = -1;

-- POST /raw
-- reply: one
SELECT length(:body) AS length, typeof(:body) AS type;

-- POST /twice
-- reply: one
UPDATE orders SET data = :data WHERE id = 1;
SELECT CAST(data AS TEXT) AS first, CAST(:data AS TEXT) AS second FROM orders WHERE id = 1;

-- GET /whoami
-- reply: one
SELECT :auth_subject AS subject, :request_id AS id;

-- GET /random
-- reply: one
-- cache: off
SELECT random() AS r;

-- GET /files/{path...}
-- reply: one
SELECT :path AS path;

-- GET /go/{id}
-- reply: none
-- status: 302
-- location: /shop/orders/{id}
SELECT 1 WHERE :id;

-- GET /rows/{n}
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < :n) SELECT x FROM c;

-- GET /slow/{n}
-- reply: one
-- timeout: 300ms
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < :n) SELECT max(x) AS m FROM c;

-- GET /sorted/{n}
-- reply: one
-- timeout: 1m
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < :n)
SELECT x FROM c ORDER BY x % 1000, x DESC;

-- GET /big/{n}
-- reply: value
SELECT printf('%.*c', :n, 'x');
SQL
        'service.conf' => <<'CONF',
max_body = "4K"
max_rows = 1000
max_reply = "64K"
CONF
    },
    joins => {
        'migrations/0001_init.sql' => join("\n", 'CREATE TABLE j(a, b, c, d);',
            map { "CREATE INDEX j_$_ ON j(" . join(', ', split //) . ');' } qw(ab bc cd da)),
        'a.sql' => "-- GET /many\n-- timeout: 10ms\nSELECT 1 FROM j t0$joins;\n",
    });

sub get_json { my $reply = $server->get($_[0]); return $server->json($reply) }

subtest 'replies' => sub {
    my $reply = $server->get('/shop/orders');
    is $reply->{status}, 200;
    is $reply->{headers}{'content-type'}, 'application/json';
    is $reply->{content}, qq([{"id":1,"customer":"ann","total":10},{"id":2,"customer":"bob","total":20}]\n),
        'rows: an array of objects';
    is $server->get('/shop/orders?after=1')->{content}, qq([{"id":2,"customer":"bob","total":20}]\n);
    is $server->get('/shop/orders?after=99')->{content}, "[]\n", 'none';
    is $server->get('/shop/orders/1')->{content},
        qq({"id":1,"customer":"ann","total":10,"note":null}\n), 'one: an object';
    is Jackdaw::is_problem($server->get('/shop/orders/77'), 404, 'not_found')->{detail},
        'there is no such row';
    $reply = $server->get('/shop/page');
    is $reply->{content}, '<h1>2 orders</h1>', 'value: the column as it is';
    is $reply->{headers}{'content-type'}, 'text/html; charset=utf-8';
    is $reply->{headers}{'x-content-type-options'}, 'nosniff';
    Jackdaw::is_problem($server->get('/shop/nothing'), 404, 'not_found');
    $reply = $server->get('/shop/go/5');
    is $reply->{status}, 302;
    is $reply->{headers}{location}, '/shop/orders/5', 'a location from the path';
    is $server->head('/shop/orders/1')->{headers}{'content-length'},
        length $server->get('/shop/orders/1')->{content}, 'HEAD';
};

subtest 'writes' => sub {
    my $reply = Service::post($server, '/shop/orders', { customer => 'cid', total => 5 });
    is $reply->{status}, 201;
    is $reply->{headers}{location}, '/shop/orders/3', 'a location from the row';
    is $reply->{content}, qq({"id":3,"customer":"cid","total":5,"note":null}\n);
    is get_json('/shop/orders/3')->{customer}, 'cid', 'which is there';
    $reply = Service::post($server, '/shop/orders/3', { total => 6 }, 'PUT');
    is $reply->{content}, qq({"id":3,"total":6}\n);
    is get_json('/shop/orders/3')->{total}, 6, 'and changed';
    Jackdaw::is_problem(Service::post($server, '/shop/orders/99', { total => 6 }, 'PUT'), 404, 'not_found');
    Jackdaw::is_problem(Service::post($server, '/shop/orders', { customer => 'x', total => -1 }),
        422, 'constraint');
    Jackdaw::is_problem(Service::post($server, '/shop/orders', { customer => undef, total => 1 }),
        422, 'constraint');
    Jackdaw::is_problem(Service::post($server, '/shop/orders', { customer => 'x', total => 'many' }),
        422, 'constraint');
    Jackdaw::is_problem(Service::post($server, '/shop/orders/99/lines', { items => ['a'] }),
        409, 'conflict', 'a foreign key');
    is Service::post($server, '/shop/orders/3/lines', { items => ['a', 'b'] })->{status}, 204;
    is get_json('/shop/orders/3')->{total}, 8, 'several statements';
    Jackdaw::is_problem(Service::post($server, '/shop/orders/3/lines', { items => ['c', 'a'] }),
        409, 'conflict');
    is get_json('/shop/orders/3')->{total}, 8, 'are one transaction';
    is Service::sql($server, 'shop', 'SELECT count(*) FROM lines')->{rows}[0][0], 2, 'all or nothing';
    is Jackdaw::is_problem(Service::post($server, '/shop/checked', { customer => 'mallory' }), 409, 'conflict')->{detail},
        'not mallory', 'fail()';
    is Service::sql($server, 'shop', q(SELECT count(*) FROM orders WHERE customer = 'mallory'))->{rows}[0][0],
        0, 'takes all back';
    is Service::post($server, '/shop/checked', { customer => 'eve' })->{content}, qq({"ok":1}\n);
    is $server->delete('/shop/orders/3')->{status}, 204;
    Jackdaw::is_problem($server->get('/shop/orders/3'), 404, 'not_found');
    Jackdaw::is_problem($server->put('/shop/orders/1', '{"total":1}',
        { 'Content-Type' => 'application/json', 'If-Match' => '"1"' }), 400, 'bad_request');
};

subtest 'parameters' => sub {
    my @path = (['7', 'integer', 7], ['-7', 'integer', -7], ['07', 'text', '07'], ['7.5', 'text', '7.5'],
        ['9223372036854775807', 'integer', '9223372036854775807'],
        ['9223372036854775808', 'text', '9223372036854775808'],
        ['a%20b', 'text', 'a b'], ['%C3%A9', 'text', "\x{e9}"], ['-0', 'text', '-0'], ['a+b', 'text', 'a+b']);
    for (@path) {
        my ($raw, $type, $value) = @$_;
        my $got = get_json("/shop/type/$raw");
        is $got->{type}, $type, "$raw is $type";
        is $got->{value}, $value, "$raw is itself";
    }
    Jackdaw::is_problem($server->get('/shop/type/%FF'), 400, 'bad_request', 'not UTF-8');
    my @json = (['1', 'integer'], ['1.5', 'real'], ['"1"', 'text'], ['null', 'null'], ['true', 'integer'],
        ['[1,2]', 'text'], ['{"a":1}', 'text'], ['{"base64":"AAE="}', 'blob'], ['-9223372036854775808', 'integer']);
    for (@json) {
        my $reply = $server->post('/shop/type', qq({"x":$_->[0]}), { 'Content-Type' => 'application/json' });
        is $server->json($reply)->{type}, $_->[1], "JSON $_->[0] is $_->[1]" or diag $reply->{content};
    }
    like $server->post('/shop/type', '{"x":9007199254740993}', { 'Content-Type' => 'application/json' })->{content},
        qr/"value":9007199254740993\b/, 'integers are exact';
    is $server->json($server->post('/shop/type', 'x=12', { 'Content-Type' => 'application/x-www-form-urlencoded' }))
        ->{type}, 'integer', 'a form';
    is $server->json($server->post('/shop/type', 'x=a+b%21',
        { 'Content-Type' => 'application/x-www-form-urlencoded' }))->{value}, 'a b!', 'decoded';
    is $server->json($server->post('/shop/type?x=3'))->{value}, 3, 'the query string';
    is $server->json($server->post('/shop/type?x=3', '{"x":4}', { 'Content-Type' => 'application/json' }))
        ->{value}, 4, 'the body before it';
    is $server->json($server->post('/shop/type', '{"x":5}',
        { 'Content-Type' => 'application/x-www-form-urlencoded' }))->{value}, 5, 'what curl -d says of JSON';
    my $missing = Jackdaw::is_problem($server->post('/shop/type'), 400, 'bad_request');
    is $missing->{detail}, 'parameter "x" is missing', 'says which';
    Jackdaw::is_problem($server->post('/shop/type', '{"x":', { 'Content-Type' => 'application/json' }),
        400, 'bad_request', 'malformed JSON');
    Jackdaw::is_problem($server->post('/shop/type', '[1]', { 'Content-Type' => 'application/json' }),
        400, 'bad_request', 'no object');
    Jackdaw::is_problem($server->post('/shop/type', '{"x":1e999}', { 'Content-Type' => 'application/json' }),
        400, 'bad_request', 'no number of ours');
    Jackdaw::is_problem($server->post('/shop/type', '<x/>', { 'Content-Type' => 'text/xml' }),
        415, 'unsupported_media_type');
    Jackdaw::is_problem($server->post('/shop/type', '{"x":{"base64":"?"}}',
        { 'Content-Type' => 'application/json' }), 400, 'bad_request');
    # What it stands for is itself base64.
    is Service::post($server, '/shop/twice', { data => { base64 => 'QUJDREVGR0hJSktM' } })->{content},
        qq({"first":"ABCDEFGHIJKL","second":"ABCDEFGHIJKL"}\n), 'a BLOB that two statements take';
    is $server->json($server->post('/shop/raw', 'any bytes', { 'Content-Type' => 'text/plain' }))->{length}, 9,
        'the raw body';
    my $who = $server->json($server->get('/shop/whoami', undef, { 'X-Request-Id' => 'abc' }));
    is $who->{id}, 'abc';
    is $who->{subject}, undef, 'nobody';
    is get_json('/shop/files/a/b%2Fc')->{path}, 'a/b/c', 'the rest of a path';
};

subtest 'what is not there' => sub {
    Jackdaw::is_problem($server->get('/nowhere'), 404, 'not_found');
    Jackdaw::is_problem($server->get('/shop/none'), 404, 'not_found');
    Jackdaw::is_problem($server->get('/shop/orders/'), 404, 'not_found');
    my $reply = $server->delete('/shop/orders');
    Jackdaw::is_problem($reply, 405, 'method_not_allowed');
    is $reply->{headers}{allow}, 'GET, HEAD, POST, OPTIONS';
    $reply = $server->request('OPTIONS', '/shop/orders/1');
    is $reply->{status}, 204;
    is $reply->{headers}{allow}, 'GET, HEAD, PUT, DELETE, OPTIONS';
};

subtest 'limits' => sub {
    is scalar @{ get_json('/shop/rows/1000') }, 1000, 'as many rows as it may';
    like Jackdaw::is_problem($server->get('/shop/rows/1001'), 413, 'too_large')->{detail}, qr/max_rows/;
    is length $server->get('/shop/big/65536')->{content}, 65536, 'as many bytes as it may';
    like Jackdaw::is_problem($server->get('/shop/big/65537'), 413, 'too_large')->{detail}, qr/max_reply/;
    Jackdaw::is_problem($server->post('/shop/raw', 'x' x 4097), 413, 'too_large');
    is $server->post('/shop/raw', 'x' x 4096)->{status}, 200;
    my $begin = time;
    Jackdaw::is_problem($server->get('/shop/slow/1000000000'), 504, 'deadline');
    cmp_ok time - $begin, '<', 2 * Jackdaw::slowness(), 'stopped at its time';
    is get_json('/shop/slow/10000')->{m}, 10000, 'a shorter one is not';
    Jackdaw::is_problem($server->get('/joins/many'), 504, 'deadline', 'what takes longer to prepare is, too');
    my $sorted = get_json('/shop/sorted/300000');
    is_deeply $sorted, { x => 300000 }, 'a large sort';
    cmp_ok $server->metric('jackdaw_route_on_fiber_total', qr{/shop/sorted/}), '>', 0;
    get_json('/shop/sorted/' . (300_000 + $_)) for 1 .. 3;
    cmp_ok $server->metric('jackdaw_route_on_slow_total', qr{/shop/sorted/}) // 0, '>', 0,
        'and its route goes to the slow lane from then on';
};
is $server->stop, 0, 'it ends well';

subtest 'requests a second, statements at the same time' => sub {
    my $server = Service::start(
        few => { 'a.sql' => "-- GET /x\nSELECT 1 AS x;\n", 'service.conf' => "requests_per_second = 5\n" },
        narrow => { 'migrations/0001_t.sql' => "CREATE TABLE t(x INTEGER);\n",
            'service.conf' => "max_statements = 2\n", 'a.sql' => <<'SQL' });
-- GET /long/{n}
-- reply: one
-- timeout: 3s
-- cache: off
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000000000) SELECT max(x) + :n AS m FROM c;

-- POST /write
-- reply: none
-- timeout: 2s
INSERT INTO t WITH RECURSIVE c(x) AS (SELECT :n UNION ALL SELECT x + 1 FROM c WHERE x < 1000000000) SELECT x FROM c;
SQL
    my @statuses = map { $server->get('/few/x')->{status} } 1 .. 12;
    is scalar(grep { $_ == 200 } @statuses[0 .. 4]), 5, 'a second\'s worth at once';
    cmp_ok scalar(grep { $_ == 429 } @statuses), '>=', 5, 'not more';
    my $reply = $server->get('/few/x');
    Jackdaw::is_problem($reply, 429, 'rate_limited');
    is $reply->{headers}{'retry-after'}, 1;
    is $server->get('/livez')->{status}, 200, 'others are not concerned';
    my @results = Crowd->run(6, sub {
        my ($index) = @_;
        return { status => $server->connect->request(GET => "/narrow/long/$index")->{status} };
    });
    my %count;
    $count{ $_->{status} }++ for @results;
    # A crowd that comes slowly may find a place that has become free.
    cmp_ok $count{504} // 0, '>=', 2, 'two run, to their end' or diag explain \%count;
    cmp_ok $count{503} // 0, '>=', 1, 'others are refused';
    is $count{503} + $count{504}, 6, 'and that is all';
    is $server->metric('jackdaw_service_statements', qr/narrow/), 0, 'and none is left over';
    for my $request ([GET => '/narrow/long/9'], [POST => '/narrow/write']) {
        my $connection = $server->connect;
        $connection->send_request(@$request, content => $request->[0] eq 'POST' ? '{"n":1}' : undef,
            headers => { 'Content-Type' => 'application/json' });
        $server->wait_until(3, sub { $server->metric('jackdaw_service_statements', qr/narrow/) });
        is $server->metric('jackdaw_service_statements', qr/narrow/), 1, "$request->[0] is counted";
        # The connection ends while the request waits.
        Jackdaw::hang_up($connection->socket);
        $server->wait_until(10, sub { !$server->metric('jackdaw_service_statements', qr/narrow/) });
        is $server->metric('jackdaw_service_statements', qr/narrow/), 0, 'and no longer when its client has left';
    }
    is $server->stop, 0;
};

done_testing;
