# SPDX-License-Identifier: MIT

# Deploying services: check, deploy, roll back, remove; folders and restarts.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Service;
use Test::More;

my $server = Service::start();

my $init = 'CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT NOT NULL) STRICT;';
my %shop = (
    'migrations/0001_init.sql' => "$init\n",
    'a.sql' => <<'SQL',
-- GET /version
-- reply: value
SELECT 'one';

-- GET /count
-- reply: value
SELECT count(*) FROM orders;

-- POST /orders
-- reply: one
-- status: 201
INSERT INTO orders(customer) VALUES (:customer) RETURNING id;
SQL
);

sub with { my (%more) = @_; return { %shop, %more } }

# The same with another answer to /version.
sub says {
    my ($word, %more) = @_;
    (my $text = $shop{'a.sql'}) =~ s/'one'/'$word'/;
    return with('a.sql' => $text, %more);
}

sub value { return $server->get($_[0])->{content} =~ s/\n\z//r }
sub list {
    my $reply = Service::admin($server, GET => '/v1/admin/services');
    return { map { $_->{name} => $_ } @{ $server->json($reply)->{services} } };
}
sub check {
    my ($name, $files) = @_;
    return Service::admin($server, POST => "/v1/admin/services/$name?op=check", { files => $files });
}
sub rollback { return Service::admin($server, POST => "/v1/admin/services/$_[0]?op=rollback") }
sub remove   { return Service::admin($server, DELETE => "/v1/admin/services/$_[0]") }
sub order    { return Service::post($server, '/shop/orders', { customer => 'ann' })->{status} }

# "file:line: text" of each mistake.
sub mistakes {
    my ($reply) = @_;
    return map { ($_->{file} // '-') . ":$_->{line}: $_->{text}" }
        grep { !$_->{hint} } @{ $server->json($reply)->{complaints} // [] };
}

subtest 'a check changes nothing' => sub {
    my $reply = check(shop => \%shop);
    is $reply->{status}, 200, 'it is good';
    is_deeply $server->json($reply), { name => 'shop', pending => 1, hints => [] }, 'one migration';
    is $server->get('/shop/version')->{status}, 404, 'it is not there';
    is_deeply list(), {}, 'nor in the list';
    ok !-e $server->dir . '/services/shop', 'nothing is on the disk';
    ok !-e $server->dir . '/services/.check', 'nor a copy';
};

subtest 'a deploy' => sub {
    my $reply = Service::deploy($server, shop => \%shop);
    is $reply->{status}, 200, 'goes well' or diag $reply->{content};
    is_deeply $server->json($reply),
        { name => 'shop', version => 1, migrations => 1, unchanged => JSON::PP::false, hints => [] },
        'what it says';
    is value('/shop/version'), 'one', 'it is there';
    is order(), 201, 'and writes';
    my $shop = list()->{shop};
    is $shop->{version}, 1, 'version';
    is $shop->{previous}, undef, 'nothing before';
    is $shop->{routes}, 3, 'routes';
    like $shop->{checksum}, qr/^[0-9a-f]{16}$/, 'checksum';
    cmp_ok abs($shop->{deployed} / 1000 - time), '<', 60, 'when';
    cmp_ok $shop->{database_bytes}, '>', 0, 'database';

    $reply = Service::deploy($server, shop => \%shop);
    ok $server->json($reply)->{unchanged}, 'the same again is unchanged';
    is $server->json($reply)->{version}, 1, 'and keeps its version';
};

subtest 'another version' => sub {
    my $reply = Service::deploy($server, shop => says('two',
        'migrations/0002_total.sql' => 'ALTER TABLE orders ADD COLUMN total INTEGER;'));
    is $server->json($reply)->{version}, 2, 'has the next number';
    is $server->json($reply)->{migrations}, 1, 'one migration more';
    is value('/shop/version'), 'two', 'it answers';
    is value('/shop/count'), '1', 'over the same data';
    is list()->{shop}{previous}, 1, 'the one before is kept';
};

# Each is the file, what it holds, and the mistake with its place.
my @bad = (
    [ 'service.conf', "max_rows = 10\nno_such = 1\n", qr/^service\.conf:2: .*no_such/ ],
    [ 'b.sql', "-- GET /b\n-- reply: two\nSELECT 1;\n", qr/^b\.sql:2: .*reply/ ],
    [ 'b.sql', "-- GET /b\n-- colour: red\nSELECT 1;\n", qr/^b\.sql:2: .*colour/ ],
    [ 'b.sql', "-- GET /b\nSELECT nothing\n  FROM orders;\n", qr/^b\.sql:2: .*nothing/ ],
    [ 'b.sql', "-- GET /b\nSELECT id\n  FROM nowhere;\n", qr/^b\.sql:\d: .*nowhere/ ],
    [ 'b.sql', "-- GET /b\n\nSELECT id,\n  FROM orders;\n", qr/^b\.sql:4: .*FROM/ ],
    [ 'b.sql', "-- GET /b/{x}\nSELECT 1;\n", qr/^b\.sql:1: no statement uses .*\{x\}/ ],
    [ 'b.sql', "-- GET /b\n-- optional: x=1\nSELECT 1;\n", qr/^b\.sql:1: optional: .*:x$/ ],
    [ 'b.sql', "-- GET /b/{x}\n-- optional: x=1\nSELECT :x;\n", qr/^b\.sql:1: optional: x is in the path/ ],
    [ 'b.sql', "-- GET /b\nSELECT ?;\n", qr/^b\.sql:2: parameter 1 has no name/ ],
    [ 'b.sql', "-- GET /b\nDELETE FROM orders RETURNING id;\n", qr/^b\.sql:2: a GET only reads/ ],
    [ 'b.sql', "-- QUERY /b\nDELETE FROM orders RETURNING id;\n", qr/^b\.sql:2: a QUERY only reads/ ],
    [ 'b.sql', "-- POST /b\nDELETE FROM orders;\n", qr/^b\.sql:2: the last statement gives no rows/ ],
    [ 'b.sql', "-- POST /b\n-- location: /b/{y}\nSELECT 1 AS x;\n", qr/^b\.sql:1: location: \{y\}/ ],
    [ 'b.sql', "-- GET /count\nSELECT 1;\n", qr/^b\.sql:1: .*GET \/count/ ],
    [ 'b.sql', "-- POST /b\n-- reply: none\nCREATE TABLE x(y);\n", qr/^b\.sql:3: / ],
    [ 'b.sql', "-- POST /b\n-- reply: none\nBEGIN;\n", qr/^b\.sql:3: / ],
    [ 'b.sql', "-- POST /b\n-- reply: none\nATTACH 'x' AS y;\n", qr/^b\.sql:3: / ],
    [ 'b.sql', "-- GET /b\nSELECT load_extension('x');\n", qr/^b\.sql:2: / ],
    [ 'migrations/0003_bad.sql', "SELECT 1;\nCREATE TABLE (;\n", qr/^migrations\/0003_bad\.sql:\d: / ],
    [ 'migrations/0003_twice.sql', "CREATE TABLE orders(x);\n", qr/^migrations\/0003_twice\.sql:\d: .*already exists/ ],
    [ 'service.conf', qq(stores = {"nowhere"}\n), qr/^service\.conf:\d: .*nowhere/ ],
    [ 'readme.pdf', 'x', qr/readme\.pdf/ ],
);
my $before = says('two', 'migrations/0002_total.sql' => 'ALTER TABLE orders ADD COLUMN total INTEGER;');
my $schema = "SELECT group_concat(sql, ';') FROM sqlite_master";

subtest 'what is wrong is said with its place, and changes nothing' => sub {
    my $was = Service::sql($server, shop => $schema)->{rows}[0][0];
    for my $bad (@bad) {
        my ($path, $text, $expected) = @$bad;
        (my $shown = $text) =~ s/\n/ | /g;
        for my $op (qw(check deploy)) {
            my $files = { %$before, $path => $text };
            my $reply = $op eq 'check' ? check(shop => $files) : Service::deploy($server, shop => $files);
            my @mistakes = mistakes($reply);
            ok $reply->{status} == 422 && grep({ /$expected/ } @mistakes), "$op: $path: $shown"
                or diag "$reply->{status} $reply->{content}";
        }
    }
    Jackdaw::is_problem(check(shop => { %$before, 'b.sql' => "-- GET /b\n" }), 422, 'invalid_service', 'a problem');
    is value('/shop/version'), 'two', 'the old version answers';
    is list()->{shop}{version}, 2, 'it is the one in force';
    is Service::sql($server, shop => $schema)->{rows}[0][0], $was, 'the schema is as it was';
    ok !-e $server->dir . '/services/shop/versions/3', 'no files are left';
};

subtest 'a name is one database' => sub {
    for my $reply (check(main => \%shop), Service::deploy($server, main => \%shop)) {
        Jackdaw::is_problem($reply, 422, 'invalid_service', 'a service cannot have that of one of the daemon');
        like join(' ', mistakes($reply)), qr/database main: a service needs another name/, 'it is said';
    }
    ok !-e $server->dir . '/services/main', 'nothing is left';
};

subtest 'all mistakes are said at once' => sub {
    my @mistakes = mistakes(check(shop => { %$before,
        'b.sql' => "-- GET /b\nSELECT a FROM orders;\n\n-- GET /c\nSELECT b FROM orders;\n",
        'c.sql' => "-- GET /d\n-- reply: two\nSELECT 1;\n" }));
    is @mistakes, 3, 'three in two files' or diag join "\n", @mistakes;
};

subtest 'migrations' => sub {
    my @mistakes = mistakes(check(shop => { %$before, 'migrations/0001_init.sql' => "$init -- changed\n" }));
    like "@mistakes", qr/0001_init/, 'one that was applied may not change';
    my %less = %$before;
    delete $less{'migrations/0002_total.sql'};
    like join(' ', mistakes(check(shop => \%less))), qr/0002_total/, 'nor be left out';
    is order(), 201, 'a second order of the same customer';
    my %unique = (%$before, 'migrations/0003_once.sql' => 'CREATE UNIQUE INDEX once ON orders(customer);');
    like join(' ', mistakes(Service::deploy($server, shop => \%unique))),
        qr/^migrations\/0003_once\.sql:.*UNIQUE/, 'data that is in its way is found on the copy';
    is order(), 201, 'and the database is not touched';
};

subtest 'hints' => sub {
    Service::sql($server, shop => 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3000) '
        . "INSERT INTO orders(customer) SELECT 'c' || x FROM c");
    my $reply = check(shop => { %$before,
        'b.sql' => "-- GET /find\nSELECT id FROM orders WHERE customer = :c;\n\n-- GET /dice\nSELECT random() AS n;\n" });
    my @hints = map { "$_->{file}:$_->{line}: $_->{text}" } @{ $server->json($reply)->{hints} };
    is $reply->{status}, 200, 'they stop nothing' or diag $reply->{content};
    ok scalar(grep { /^b\.sql:2: scans orders \(about 3\d\d\d rows\)/ } @hints), 'a scan' or diag "@hints";
    $reply = check(shop => { %$before, 'service.conf' => qq(max_size = "1G"\n) });
    is scalar(grep { $_->{text} =~ /max_size .* started again/ } @{ $server->json($reply)->{hints} }), 1,
        'a size that has to wait';
    ok scalar(grep { /^b\.sql:4: never cached/ } @hints), 'an unstable function' or diag "@hints";
};

subtest 'roll back' => sub {
    my $reply = rollback('shop');
    is_deeply $server->json($reply), { name => 'shop', version => 1 }, 'to the version before';
    is value('/shop/version'), 'one', 'it answers';
    is list()->{shop}{previous}, undef, 'nothing before it';
    Jackdaw::is_problem(rollback('shop'), 404, 'not_found', 'no further');
    Jackdaw::is_problem(rollback('nobody'), 404, 'not_found', 'no such service');
    $reply = Service::deploy($server, shop => $before);
    is $server->json($reply)->{version}, 3, 'a number is not used twice';
    is $server->json($reply)->{migrations}, 0, 'a migration is not applied twice';

    Service::deploy($server, shop => says('four', %$before{'migrations/0002_total.sql'},
        'migrations/0003_gone.sql' => 'ALTER TABLE orders RENAME COLUMN customer TO who;',
        'a.sql' => "-- GET /version\n-- reply: value\nSELECT 'four';\n"));
    is value('/shop/version'), 'four', 'a version that changes the schema';
    $reply = rollback('shop');
    like join(' ', mistakes($reply)), qr/^a\.sql:\d+: .*customer/, 'what does not fit the schema is refused';
    is $reply->{status}, 422, 'as a mistake';
    is value('/shop/version'), 'four', 'and changes nothing';
};

subtest 'remove' => sub {
    Jackdaw::is_problem(remove('nobody'), 404, 'not_found', 'no such service');
    is remove('shop')->{status}, 204, 'removed';
    is $server->get('/shop/version')->{status}, 404, 'it is gone';
    is_deeply list(), {}, 'from the list too';
    is Service::post($server, '/v1/sql/shop', { sql => 'SELECT 1' })->{status}, 404, 'and from SQL';
    ok -e $server->dir . '/services/shop/sql.db', 'its database is kept';
    Jackdaw::is_problem(rollback('shop'), 404, 'not_found', 'it cannot be rolled back');
    my $reply = Service::deploy($server, shop => { %$before,
        'migrations/0003_gone.sql' => 'ALTER TABLE orders RENAME COLUMN customer TO who;',
        'a.sql' => "-- GET /count\n-- reply: value\nSELECT count(*) FROM orders;\n" });
    is $server->json($reply)->{version}, 5, 'deployed again it goes on' or diag $reply->{content};
    is value('/shop/count'), '3003', 'with its data';
    is Service::admin($server, DELETE => '/v1/admin/services/shop?purge=1')->{status}, 204, 'purged';
    ok !-e $server->dir . '/services/shop', 'nothing is left';
    is Service::deploy($server, shop => \%shop)->{status}, 200, 'and again';
    is value('/shop/count'), '0', 'from nothing';
    is remove('shop')->{status}, 204, 'removed';
    is Service::admin($server, DELETE => '/v1/admin/services/shop?purge=1')->{status}, 204, 'purged later';
    ok !-e $server->dir . '/services/shop', 'nothing is left';
    is Service::admin($server, DELETE => '/v1/admin/services/shop?purge=1')->{status}, 404, 'once';
    is Service::admin($server, DELETE => '/v1/admin/services/shop?purge=yes')->{status}, 400, 'purge is 0 or 1';
};

subtest 'stores' => sub {
    my %cart = (
        'service.conf' => qq(stores = {"main"}\nstore cart { kind = volatile max_size = "16M" }\n),
        'a.sql' => "-- GET /cart/{k}\n-- reply: one\nSELECT kv_get('cart', :k) AS mine, kv_get('main', :k) AS its;\n",
    );
    my $reply = Service::deploy($server, carts => \%cart);
    is $reply->{status}, 200, 'one of its own' or diag $reply->{content};
    is $server->put('/v1/kv/carts-cart/a', 'own')->{status}, 201, 'is a store outside';
    is $server->put('/v1/kv/main/a', 'main')->{status}, 201, 'beside the daemon\'s';
    is_deeply $server->json($server->get('/carts/cart/a')), { mine => 'own', its => 'main' }, 'both in SQL';
    is $server->get('/v1/kv/carts-cart/a')->{content}, 'own', 'and read';
    like $server->get('/readyz?verbose')->{content}, qr/carts-cart/, 'it is looked after';
    like $server->get('/metrics')->{content}, qr/store="carts-cart"/, 'and counted';

    $cart{'service.conf'} = qq(store cart { kind = volatile max_size = "16M" }\n);
    is Service::deploy($server, carts => \%cart)->{status}, 200, 'without the daemon\'s';
    Jackdaw::is_problem($server->get('/carts/cart/a'), 403, 'forbidden', 'it is not to be seen');
    $cart{'service.conf'} = qq(stores = {"main"}\nstore cart { kind = durable max_size = "16M" }\n);
    like join(' ', mistakes(check(carts => \%cart))), qr/kind/, 'its kind cannot change';
    $cart{'service.conf'} = qq(stores = {"main"}\nstore cart { kind = volatile max_size = "32M" }\n);
    $reply = check(carts => \%cart);
    like $server->json($reply)->{hints}[0]{text}, qr/started again/, 'its size can, later';
    $cart{'service.conf'} = qq(stores = {"main"}\nstore main { kind = volatile }\n);
    my @mistakes = mistakes(check(carts => \%cart));
    like "@mistakes", qr/main/, 'a name is one store';
    is @mistakes, 1, 'which is said once' or diag join "\n", @mistakes;
    is Service::admin($server, DELETE => '/v1/admin/services/carts?purge=1')->{status}, 204, 'purged';
    is $server->get('/v1/kv/carts-cart/a')->{status}, 404, 'its store is empty';
    is $server->get('/v1/kv/main/a')->{content}, 'main', 'the daemon\'s is not';
};

# A statement's time: a removal waits for two seconds of it.
my $long = 3 + Jackdaw::slowness();

subtest 'a removal does not stop what runs' => sub {
    my %long = (
        'service.conf' => qq(timeout = "${long}s"\n),
        'a.sql' => "-- GET /long\n-- reply: value\nWITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
            . "SELECT max(x) FROM c;\n",
    );
    is Service::deploy($server, long => \%long)->{status}, 200, 'a service with a long statement';
    my $connection = $server->connect;
    $connection->send_request(GET => '/long/long');
    Service::wait_running($server, 'long');
    is remove('long')->{status}, 204, 'removed while it runs';
    is $server->get('/long/long')->{status}, 404, 'nobody finds it';
    my $reply = Service::deploy($server, long => \%long);
    like join(' ', mistakes($reply)), qr/still run: try again/, 'the name is not free yet'
        or diag $reply->{content};
    is $connection->read_reply('GET')->{status}, 504, 'the request has its answer';
    ok $server->wait_until(5, sub { Service::deploy($server, long => \%long)->{status} == 200 }), 'then it is';
    is remove('long')->{status}, 204, 'removed when nothing runs';
};

subtest 'nor does a purge, which is done when that has ended' => sub {
    my $dir = $server->dir . '/services/long';
    my $sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c;\n";
    for my $seconds ($long, 100) {
        my %long = ('service.conf' => qq(timeout = "${seconds}s"\n), 'a.sql' => "-- GET /long\n-- reply: value\n$sql");
        is Service::deploy($server, long => \%long)->{status}, 200, "a statement of $seconds s";
        my $connection = $server->connect;
        $connection->send_request(GET => '/long/long');
        Service::wait_running($server, 'long');
        is Service::admin($server, DELETE => '/v1/admin/services/long?purge=1')->{status}, 204, 'purged while it runs';
        ok -e "$dir/sql.db", 'its database is there meanwhile';
        if ($seconds > $long) {
            $server->kill9;
            $server->restart;
            ok !-e $dir, 'and gone after the next start, where a crash comes before the end';
        } else {
            is $connection->read_reply('GET')->{status}, 504, 'the request has its answer';
            ok $server->wait_until(10, sub { !-e $dir }), 'then it is gone, without another call';
        }
    }
};

subtest 'deploys at the same time' => sub {
    my @good = Crowd->run(3, sub {
        my ($index) = @_;
        my $good = grep { Service::deploy($server, "same$index" => says("n$_"))->{status} == 200 } 1 .. 4;
        $good += grep { Service::deploy($server, 'same' => says("n$index-$_"))->{status} == 200 } 1 .. 4;
        return $good;
    });
    is "@good", '8 8 8', 'go one after the other';
    is list()->{same}{version}, 12, 'each has its number';
    like value('/same/version'), qr/^n\d-4$/, 'the last one is in force';
    remove($_) for qw(same same0 same1 same2);
    is_deeply list(), {}, 'removed';
};

# ---- folders and restarts ---------------------------------------------------

sub hup {
    my ($pattern) = @_;
    my $seen = () = $server->log =~ /$pattern/g;
    $server->signal('HUP');
    return $server->wait_until(5, sub { $seen < (() = $server->log =~ /$pattern/g) });
}

subtest 'folders' => sub {
    my $dir = "$server->{services}";
    my $files = says('folder');
    Service::folder("$dir/shop", $files);
    ok hup(qr/service deployed service=shop /), 'HUP finds a new one';
    is value('/shop/version'), 'folder', 'it answers';
    $files = says('changed');
    Service::folder("$dir/shop", $files);
    ok hup(qr/service deployed service=shop /), 'HUP finds a changed one';
    is value('/shop/version'), 'changed', 'it answers';

    is Service::deploy($server, shop => says('by hand'))->{status}, 200, 'one by hand';
    ok hup(qr/loading services/), 'HUP';
    sleep 0.2;
    is value('/shop/version'), 'by hand', 'does not undo it';

    $files = says('by hand too');
    is Service::deploy($server, shop => $files)->{status}, 200, 'what the folder will have, by hand';
    Service::folder("$dir/shop", $files);
    ok hup(qr/loading services/), 'HUP notes that it is loaded';
    sleep 0.2;
    is rollback('shop')->{status}, 200, 'a rollback';
    ok hup(qr/loading services/), 'HUP';
    sleep 0.2;
    is value('/shop/version'), 'by hand', 'does not undo it';

    Service::folder("$dir/shop", says('broken', 'b.sql' => "-- GET /b\nSELECT x FROM y;\n"));
    ok hup(qr/service shop: b\.sql:2: .*\n.*not loaded/), 'what is wrong is logged';
    is value('/shop/version'), 'by hand', 'and what was in force goes on';

    Service::folder("$dir/Bad name", \%shop);
    ok hup(qr/not loaded.*service=Bad name/), 'a folder that cannot be a service';
    File::Path::remove_tree("$dir/Bad name", "$dir/shop");
    ok hup(qr/folder of a service is gone.*service=shop/), 'one that is gone is told of';
    is value('/shop/version'), 'by hand', 'and goes on';
};

subtest 'what was removed comes back when its folder changes' => sub {
    my ($dir, $kept) = ("$server->{services}/gone", $server->dir . '/services/gone');
    for my $purge (0, 1) {
        Service::folder($dir, says("gone$purge"));
        ok hup(qr/service deployed service=gone /), 'loaded';
        is Service::admin($server, DELETE => "/v1/admin/services/gone?purge=$purge")->{status}, 204, "purge=$purge";
        if ($purge) {
            ok !-e "$kept/$_", "$_ is gone" for qw(sql.db versions);
            is Service::admin($server, DELETE => '/v1/admin/services/gone?purge=1')->{status}, 404, 'once';
        }
        Service::folder("$server->{services}/beside", says("beside$purge"));
        ok hup(qr/service deployed service=beside /), 'HUP';
        is $server->get('/gone/version')->{status}, 404, 'does not bring it back';
        is $server->restart, 0, 'restart';
        is $server->get('/gone/version')->{status}, 404, 'nor does a start';
    }
    Service::folder($dir, says('again'));
    ok hup(qr/service deployed service=gone /), 'a change does';
    is value('/gone/version'), 'again', 'it answers';
    is value('/gone/count'), '0', 'from nothing';
    File::Path::remove_tree($dir, "$server->{services}/beside");
    is Service::admin($server, DELETE => "/v1/admin/services/$_?purge=1")->{status}, 204, "$_ purged" for qw(gone beside);
};

subtest 'a start brings all of it up again' => sub {
    is Service::deploy($server, other => says('other'))->{status}, 200, 'a second service';
    is order(), 201, 'some data';
    my $version = list()->{shop}{version};
    for my $how (qw(stop kill9)) {
        $server->$how;
        $server->restart;
        is value('/shop/version'), 'by hand', "after $how: the version in force";
        is list()->{shop}{version}, $version, 'its number';
        is value('/other/version'), 'other', 'the other one';
        is value('/shop/count'), '1', 'the data';
    }
    is rollback('shop')->{status}, 200, 'a rollback';
    Service::folder("$server->{services}/shop", says('changed'));
    is $server->restart, 0, 'restart';
    is value('/shop/version'), 'changed', 'is not undone by one';
    remove('other');
    is $server->restart, 0, 'restart';
    is $server->get('/other/version')->{status}, 404, 'nor is a removal';
};

subtest 'a purge empties what a start has not opened' => sub {
    my %cart = (
        'service.conf' => qq(store cart { kind = durable max_size = "16M" }\nstore more { kind = durable max_size = "16M" }\n),
        'a.sql' => "-- GET /{store}/{k}\n-- reply: one\nSELECT kv_get(:store, :k) AS mine;\n",
    );
    my %less = (%cart, 'service.conf' => qq(store more { kind = durable max_size = "16M" }\n));
    for my $case ([ 'removed before', 1 ], [ 'which a later version has no more', 0 ]) {
        my ($name, $removed) = @$case;
        is Service::deploy($server, basket => \%cart)->{status}, 200, "stores, $name";
        is value("/basket/$_/a"), '{"mine":null}', "$_ is empty" for qw(cart more);
        is $server->put("/v1/kv/basket-$_/a", 'secret')->{status}, 201, "a key in $_" for qw(cart more);
        is $removed ? remove('basket')->{status} : Service::deploy($server, basket => \%less)->{status}, $removed ? 204 : 200,
            $name;
        is $server->restart, 0, 'restart';
        is $server->get('/v1/kv/basket-cart/a')->{status}, 404, 'it is not open';
        is Service::admin($server, DELETE => '/v1/admin/services/basket?purge=1')->{status}, 204, 'purged';
        ok !-e $server->dir . '/kv/basket-cart', 'nothing of it is left';
    }
    is Service::deploy($server, basket => \%cart)->{status}, 200, 'once more';
    is value("/basket/$_/a"), '{"mine":null}', "$_ is empty" for qw(cart more);
    is Service::admin($server, DELETE => '/v1/admin/services/basket?purge=1')->{status}, 204, 'purged';
};

subtest 'a deploy that a crash has interrupted' => sub {
    my $dir = $server->dir . '/services/half';
    is Service::deploy($server, half => \%shop)->{status}, 200, 'a service';
    $server->stop;
    Service::folder("$dir/versions/2", says('half', 'migrations/0002_more.sql' => 'CREATE TABLE more(x);'));
    open my $out, '>', "$dir/current" or die $!;
    print $out "versions 2 1\nlast 2\ndeployed 1\n";
    close $out;
    $server->restart;
    is value('/half/version'), 'half', 'is gone on with';
    is Service::sql($server, half => 'SELECT count(*) FROM more')->{rows}[0][0], 0, 'its migration is applied';
    is rollback('half')->{status}, 200, 'the version before is there';
    is value('/half/version'), 'one', 'and answers';
    is $server->restart, 0, 'restart';
    is value('/half/version'), 'one', 'on a schema that is ahead of it';
    is remove('half')->{status}, 204, 'removed';
};

subtest 'a start finds a name that the configuration has taken' => sub {
    is Service::deploy($server, taken => says('taken'))->{status}, 200, 'a service';
    Service::folder("$server->{services}/fresh", says('fresh'));
    is $server->restart(args => [ map { ('--set', "database.$_.max_size=16M") } qw(main taken fresh) ]), 0,
        'databases of the same names';
    like $server->log, qr/service taken: .*needs another name(?s:.*)service fresh: .*needs another name/, 'it is said';
    is $server->get("/$_/version")->{status}, 404, "$_ is not served" for qw(taken fresh);
    is Service::sql($server, taken => 'SELECT count(*) FROM sqlite_master')->{rows}[0][0], 0, 'the database is the daemon\'s';
    is value('/shop/version'), 'changed', 'the others are served';
    File::Path::remove_tree("$server->{services}/fresh");
    is $server->restart(args => []), 0, 'without them';
    is value('/taken/version'), 'taken', 'it is brought up again';
    is remove('taken')->{status}, 204, 'removed';
};

subtest 'one that cannot be brought up leaves the others alone' => sub {
    my $dir = $server->dir . '/services';
    is Service::deploy($server, other => says('other'))->{status}, 200, 'a second service';
    $server->stop;
    open my $out, '>', "$dir/other/current" or die $!;
    print $out "nonsense\n";
    close $out;
    $server->restart;
    like $server->log, qr/service not brought up service=other/, 'it is logged';
    is $server->get('/other/version')->{status}, 404, 'it is not there';
    is value('/shop/version'), 'changed', 'the first is';
    Jackdaw::is_problem(Service::deploy($server, other => says('x')), 422, 'invalid_service', 'it is not written over');
};

subtest 'one that cannot be brought up can be rolled back, and removed' => sub {
    for my $way (\&rollback, \&remove) {
        is Service::deploy($server, torn => says($_))->{status}, 200, $_ for qw(first second);
        $server->stop;
        my ($newest) = sort { $b <=> $a } map { m{/(\d+)$} } glob $server->dir . '/services/torn/versions/*';
        open my $out, '>', $server->dir . "/services/torn/versions/$newest/a.sql" or die $!;
        print $out "damaged\n";
        close $out;
        $server->restart;
        is $server->get('/torn/version')->{status}, 404, 'it is not brought up';
        my $reply = $way->('torn');
        if ($way == \&rollback) {
            is $reply->{status}, 200, 'rolled back' or diag $reply->{content};
            is value('/torn/version'), 'first', 'the version before answers';
            is order(), 201, 'and others write';
            next;
        }
        is $reply->{status}, 204, 'removed' or diag $reply->{content};
        $server->restart;
        unlike $server->log, qr/service=torn/, 'the next start does not try it';
        is Service::deploy($server, torn => says('third'))->{status}, 200, 'and it can be deployed';
        is value('/torn/version'), 'third', 'again';
    }
};

is $server->stop, 0, 'the daemon ends well';

done_testing;
