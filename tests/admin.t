# SPDX-License-Identifier: MIT

# The administrator's API: who may call it, and what statements cost.
use strict;
use warnings;

use Jackdaw;
use Service;
use Test::More;

my $server = Service::start(
    shop => {
        'migrations/0001_init.sql' => <<'SQL',
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000)
INSERT INTO orders(customer) SELECT 'c' || x FROM c;
SQL
        'a.sql' => <<'SQL',
-- GET /orders/{id}
-- reply: one
SELECT id, customer FROM orders WHERE id = :id;

-- GET /by/{customer}
SELECT id FROM orders WHERE customer = :customer;

-- POST /orders
-- reply: none
INSERT INTO orders(customer) VALUES (:customer);
UPDATE orders SET customer = customer WHERE id = 1;

-- GET /slow
-- reply: value
-- cache: off
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 400000)
SELECT max(x) FROM c;
SQL
    },
    { conf => qq(limits { slow = "20ms" }\n) });
my $socket = Service::admin_address($server) =~ s/^unix://r;

my @calls = (
    [ GET    => '/v1/admin/services' ],
    [ PUT    => '/v1/admin/services/shop' ],
    [ POST   => '/v1/admin/services/shop?op=check' ],
    [ POST   => '/v1/admin/services/shop?op=rollback' ],
    [ DELETE => '/v1/admin/services/shop' ],
    [ GET    => '/v1/admin/statements' ],
    [ GET    => '/v1/admin/slow' ],
    [ GET    => '/v1/admin/nothing' ],
);

subtest 'over TCP nobody is an administrator' => sub {
    for my $call (@calls) {
        my ($method, $target) = @$call;
        Jackdaw::is_problem($server->request($method, $target, content => $method eq 'GET' ? undef : ''),
            403, 'forbidden', "$method $target");
    }
    is $server->get('/shop/orders/1')->{status}, 200, 'nothing was done';
};

subtest 'the socket' => sub {
    is sprintf('%o', (stat $socket)[2] & 0777), '660', 'is its owner\'s and group\'s';
    is Service::admin($server, GET => '/livez')->{status}, 200, 'everything else works on it';
    is Service::admin($server, GET => '/shop/orders/1')->{status}, 200, 'services too';
};

# What code returns in a process of another user.
sub as_nobody {
    my ($code) = @_;
    pipe my $in, my $out or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        $( = $) = '65534 65534';
        $< = $> = 65534;
        syswrite $out, eval { $code->() } // "died: $@";
        POSIX::_exit(0);
    }
    close $out;
    local $/;
    my $result = <$in>;
    waitpid $pid, 0;
    return $result;
}

SKIP: {
    skip 'only root can be somebody else', 1 if $> != 0;
    subtest 'other users' => sub {
        my $status = sub { Service::admin($server, GET => '/v1/admin/services')->{status} };
        # The folders on the way are open, so that the socket's own mode and
        # the look at the peer are what is tested.
        chmod 0755, $server->tmp, $server->dir;
        is as_nobody($status), 599, 'cannot connect';
        chmod 0666, $socket;
        is as_nobody($status), 403, 'and if they could they are refused';
        is as_nobody(sub { Service::admin($server, GET => '/livez')->{status} }), 200, 'but for the rest';
        chmod 0660, $socket;
        is $status->(), 200, 'root is not';
    };
}

subtest 'methods and bodies' => sub {
    my $admin = sub { Service::admin($server, @_) };
    Jackdaw::is_problem($admin->(GET => '/v1/admin/nothing'), 404, 'not_found', 'nothing is there');
    Jackdaw::is_problem($admin->(POST => '/v1/admin/services', ''), 405, 'method_not_allowed', 'POST to the list');
    like $admin->(DELETE => '/v1/admin/slow')->{headers}{allow}, qr/GET/, 'Allow';
    Jackdaw::is_problem($admin->(POST => '/v1/admin/services/shop', ''), 400, 'bad_request', 'POST without op');
    Jackdaw::is_problem($admin->(PUT => '/v1/admin/services/Shop', { files => {} }), 404, 'not_found', 'a bad name');
    Jackdaw::is_problem($admin->(PUT => '/v1/admin/services/metrics', { files => {} }), 404, 'not_found', 'a taken name');
    for my $body ('', '{', '[]', '{"files":[]}', '{"files":{"a.sql":1}}', '{"files":{},"more":1}', '{"files":{}}') {
        my $reply = $admin->(PUT => '/v1/admin/services/bad', $body);
        ok $reply->{status} == 400 || $reply->{status} == 422, "body $body" or diag $reply->{content};
    }
    my $reply = $admin->(PUT => '/v1/admin/services/bad', { files => { 'a.sql' => 'x' x (1 << 20) . 'x' } });
    Jackdaw::is_problem($reply, 413, 'too_large', 'a file that is too large');
    is $server->get('/bad/')->{status}, 404, 'none of it is there';
    is $admin->(GET => '/v1/admin/services')->{headers}{'cache-control'}, 'no-store', 'not for caches';
};

subtest 'statements' => sub {
    $server->get('/shop/orders/1') for 1 .. 20;
    $server->get("/shop/by/c$_") for 1 .. 10;
    Service::post($server, '/shop/orders', { customer => 'x' }) for 1 .. 3;
    Service::sql($server, shop => 'SELECT count(*) FROM orders');
    Service::sql($server, main => 'SELECT 42');
    my $reply = Service::admin($server, GET => '/v1/admin/statements');
    my @list = @{ $server->json($reply)->{statements} };
    my %by_sql = map { $_->{sql} => $_ } @list;
    my ($one)  = grep { ($_->{route} // '') eq 'GET /shop/orders/{id}' } @list;
    my ($scan) = grep { ($_->{route} // '') eq 'GET /shop/by/{customer}' } @list;
    is $one->{sql}, 'SELECT id, customer FROM orders WHERE id = :id', 'a route\'s';
    is $one->{database}, 'shop', 'its database';
    cmp_ok $one->{calls}, '>=', 1, 'calls';
    is $one->{calls}, $one->{rows}, 'rows';
    cmp_ok $one->{hits}, '>=', 15, 'hits of the cache are its route\'s';
    cmp_ok $one->{max_us}, '<=', $one->{total_us}, 'times';
    is_deeply $one->{hints}, [], 'nothing to say of it';
    is $scan->{calls}, 10, 'calls of the other';
    like "@{ $scan->{hints} }", qr/^scans orders \(about 5\d\d\d rows\)$/, 'it scans';
    my @writes = grep { ($_->{route} // '') eq 'POST /shop/orders' } @list;
    is scalar @writes, 2, 'a write\'s statements';
    is $_->{calls}, 3, 'calls' for @writes;
    is $by_sql{'SELECT 42'}{database}, 'main', '/v1/sql';
    is $by_sql{'SELECT 42'}{route}, undef, 'is no route';
    is $by_sql{'SELECT count(*) FROM orders'}{database}, 'shop', 'also on a service';
    my @times = map { $_->{total_us} } @list;
    is_deeply \@times, [ sort { $b <=> $a } @times ], 'the dearest first';

    # In two bytes each: wherever it were cut, one of the two would be within a character.
    my @names = map { $_ . "\x{e9}" x 150 } '', 'x';
    for my $name (@names) {
        Service::sql($server, main => qq(CREATE TABLE "$name"(n)));
        Service::sql($server, main => qq(INSERT INTO "$name" WITH RECURSIVE )
            . 'c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000) SELECT x FROM c');
        Service::sql($server, main => qq(SELECT n FROM "$name" WHERE n = 7));
    }
    $reply = Service::admin($server, GET => '/v1/admin/statements');
    my $decoded = $server->json($reply) or fail 'JSON with long names' or return;
    my %hints = map { $_->{sql} => $_->{hints} } @{ $decoded->{statements} };
    is_deeply $hints{qq(SELECT n FROM "$_" WHERE n = 7)}, ["scans $_ (about 5000 rows)"], 'a long name is whole'
        for @names;
};

subtest 'slow ones' => sub {
    is $server->get('/shop/slow')->{content}, "400000", 'one runs';
    Service::sql($server, shop =>
        'WITH RECURSIVE c(x) AS (SELECT 7654321 UNION ALL SELECT x + 1 FROM c LIMIT 400000) SELECT max(x) FROM c');
    my (@slow, @two);
    $server->wait_until(5, sub {
        @slow = @{ $server->json(Service::admin($server, GET => '/v1/admin/slow'))->{slow} };
        # Others are slow too where the machine is.
        @two = grep { ($_->{route} // '') eq 'GET /shop/slow' || $_->{sql} =~ /7654321/ } @slow;
        return @two >= 2;
    });
    is scalar @two, 2, 'two are kept' or diag explain \@slow;
    is scalar(grep { $_->{us} < 20_000 } @slow), 0, 'and no fast one' or diag explain \@slow;
    my ($sql, $route) = @two;
    is $route->{route}, 'GET /shop/slow', 'the newest first';
    is $route->{database}, 'shop', 'its database';
    is $route->{rows}, 1, 'its rows';
    like $route->{plan}, qr/RECURSIVE|SCAN c/, 'its plan';
    cmp_ok abs($route->{time} / 1000 - time), '<', 60, 'when';
    is $sql->{route}, undef, '/v1/sql';
    like $sql->{sql}, qr/7654321/, 'is kept';
    like $server->log, qr/slow statement database=shop route="GET \/shop\/slow" ms=\d+/, 'the route\'s is logged';
    unlike $server->log, qr/7654321/, 'what a client wrote is not';
};

is $server->stop, 0, 'the daemon ends well';

subtest 'without a socket' => sub {
    my $other = Service::start({ conf => qq(admin_socket = "none"\n) });
    ok !-e $other->dir . '/admin.sock', 'there is none';
    is $other->stop, 0, 'and it ends';
    my $dir = File::Temp->newdir;
    $other = Service::start({ conf => qq(admin_socket = "$dir/a.sock"\n) });
    ok -S "$dir/a.sock", 'or where it is asked for';
    $other->kill9;
    ok -S "$dir/a.sock", 'what a crash leaves';
    $other->restart;
    ok $other->raw_connect("unix:$dir/a.sock"), 'is taken over';
    is $other->stop, 0, 'and it ends';
    ok !-e "$dir/a.sock", 'and removed';
};

done_testing;
