# SPDX-License-Identifier: MIT

# Deploys that a failing or a slow disk holds up: what is in force goes on as
# it was, and an answer other than 2xx means that nothing was done.
use strict;
use warnings;

use Crowd;
use Faults;
use Jackdaw;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $server = Service::start({ env => Faults::environment() });

my %cart = (
    'service.conf' => qq(timeout = "20s"\nstore cart { kind = volatile }\n),
    'a.sql' => <<'SQL',
-- GET /cart/{k}
-- reply: value
-- cache: off
SELECT kv_get('cart', :k);

-- GET /long
-- reply: value
-- cache: off
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 2000000)
SELECT kv_get('cart', CASE WHEN max(x) > 0 THEN 'a' END) FROM c;
SQL
);
# Without the store, and without its name or with it.
my %without = ('a.sql' => "-- GET /cart/{k}\n-- reply: value\n-- cache: off\nSELECT 'new' || substr(:k, 1, 0);\n");
my %asks    = ('a.sql' => $cart{'a.sql'});

subtest 'a deploy that fails takes no store away' => sub {
    is Service::deploy($server, carts => \%cart)->{status}, 200, 'a service with a store';
    is $server->put('/v1/kv/carts-cart/a', 'v')->{status}, 201, 'a key';
    Faults::rule('fsync ENOSPC current.new');
    is Service::deploy($server, carts => \%without)->{status}, 507, 'a version without it is not put in force';
    Faults::rule('');
    is $server->get('/carts/cart/a')->{content}, 'v', 'the one in force reads it';
};

subtest 'nor does one while it is on its way' => sub {
    Faults::rule('fsync sleep-' . 700 * Jackdaw::slowness() . ' current.new');
    my $crowd = Crowd->start(1, sub { Service::deploy($server, carts => \%without)->{status} });
    my (%seen, $reply);
    my $end = time + 20 * Jackdaw::slowness();
    do {
        $reply = $server->get('/carts/cart/a');
        $seen{"$reply->{status} $reply->{content}"}++;
    } until $reply->{content} eq 'new' || time > $end;
    Faults::rule('');
    is_deeply [ sort keys %seen ], [ '200 new', '200 v' ], 'each answer is of one version';
    is_deeply [ $crowd->wait ], [200], 'it went well';
};

subtest 'what runs ends with the stores that it began with' => sub {
    is Service::deploy($server, carts => \%cart)->{status}, 200, 'the version with the store';
    my $connection = $server->connect;
    $connection->send_request(GET => '/carts/long');
    Service::wait_running($server, 'carts');
    is Service::deploy($server, carts => \%asks)->{status}, 200, 'one without it';
    my $reply = $connection->read_reply('GET', timeout => 60);
    is "$reply->{status} $reply->{content}", '200 v', 'the request reads it to its end';
    ok $server->wait_until(10, sub { $server->get('/carts/cart/a')->{status} == 403 }), 'then nobody sees it any more';
};

# A deploy of each of the names, in a process each, which says when it ended.
sub deploys {
    my (@names) = @_;
    return Crowd->start(scalar @names, sub {
        my $reply = Service::deploy($server, $names[ $_[0] ] => \%without);
        return { status => $reply->{status}, end => time };
    });
}

subtest 'who waits for a turn holds no thread' => sub {
    my $seconds = 2 * Jackdaw::slowness();
    Faults::rule("fsync sleep-${\ ($seconds * 1000)} one/current.new");
    my $first = deploys('one');
    $server->wait_until(10, sub { -e $server->dir . '/services/one' });
    my $second = deploys('two', 'three');
    my $gone   = $server->connect(address => Service::admin_address($server));
    $gone->send_request(PUT => '/v1/admin/services/gone', content => '{"files":{"a.sql":"-- GET /x\nSELECT 1 AS x;\n"}}',
        headers => { 'Content-Type' => 'application/json' });
    # This one reads on, and only says that it sends no more.
    my $half = $server->connect(address => Service::admin_address($server));
    $half->send_request(PUT => '/v1/admin/services/half', content => '{"files":{"a.sql":"-- GET /x\nSELECT 1 AS x;\n"}}',
        headers => { 'Content-Type' => 'application/json' });
    sleep 0.3;
    close $gone->socket;
    shutdown $half->socket, 1;
    is Service::admin($server, GET => '/v1/admin/statements')->{status}, 200, 'what else needs a slow thread';
    my $answered = time;
    my ($one) = $first->wait;
    Faults::rule('');
    cmp_ok $answered, '<', $one->{end}, 'has one while a deploy runs and others wait';
    is_deeply [ map { $_->{status} } $one, $second->wait ], [ 200, 200, 200 ], 'all of them went well';
    # A turn behind its turn.
    Service::admin($server, POST => '/v1/admin/services/two?op=check', { files => \%without });
    is $server->get('/gone/x')->{status}, 404, 'one whose client has left meanwhile is not begun';
    my $reply = $half->read_reply('PUT');
    ok $reply->{status} != 200 || $server->get('/half/x')->{status} == 200, 'nor answered as done'
        or diag $reply->{content};
};

subtest 'what was answered 500 has not happened, nor will it' => sub {
    my $says = sub { return { 'a.sql' => "-- GET /v\n-- reply: value\nSELECT '$_[0]';\n" } };
    is Service::deploy($server, shop => $says->($_))->{status}, 200, $_ for qw(one two);
    my %calls = (rollback => [ POST => '/v1/admin/services/shop?op=rollback' ], removal => [ DELETE => '/v1/admin/services/shop' ]);
    for my $what (sort keys %calls) {
        # After `current` was renamed.
        Faults::rule('fsync EIO services/shop$');
        is Service::admin($server, @{ $calls{$what} })->{status}, 500, "a $what whose sync fails";
        is $server->get('/shop/v')->{content}, 'two', 'the version of before is in force';
        Faults::rule('');
        is $server->restart, 0, 'restart';
        is $server->get('/shop/v')->{content}, 'two', 'so it is at the next start';
    }
};

subtest 'a store is noted before there is one, or a purge would not find it' => sub {
    Faults::rule('fsync ENOSPC noted/current.new');
    for my $try (1, 2) {
        is Service::deploy($server, noted => \%cart)->{status}, 507, "try $try: it cannot be noted";
        ok !-e $server->dir . '/kv/noted-cart', 'and is not made';
    }
    Faults::rule('');
    is Service::deploy($server, noted => \%cart)->{status}, 200, 'later it goes well';
    ok -e $server->dir . '/kv/noted-cart', 'and is made';
};

subtest 'nor is a disk that cannot be read a mistake in a service' => sub {
    my $says = sub { return { 'a.sql' => "-- GET /v\n-- reply: value\nSELECT '$_[0]';\n" } };
    is Service::deploy($server, read => $says->($_))->{status}, 200, $_ for qw(one two);
    my %calls = (
        deploy   => [ PUT  => '/v1/admin/services/read', { files => $says->('three') } ],
        check    => [ POST => '/v1/admin/services/read?op=check', { files => $says->('three') } ],
        rollback => [ POST => '/v1/admin/services/read?op=rollback' ],
    );
    # Then no slow thread has read it yet.
    is $server->restart, 0, 'restart';
    Faults::rule('pread EIO read/sql.db');
    for my $what (sort keys %calls) {
        my $reply = Service::admin($server, @{ $calls{$what} });
        Jackdaw::is_problem($reply, 500, 'storage_fault', $what);
        like $reply->{content}, qr/no connection to the database|the database cannot be read/, 'it is said';
    }
    Faults::rule('');
    is Service::admin($server, @{ $calls{deploy} })->{status}, 200, 'a deploy goes well when it can';
};

subtest 'a purge that fails is not answered 204' => sub {
    my %kept = (
        'service.conf' => qq(store cart { kind = durable max_size = "16M" }\n),
        'a.sql' => "-- GET /cart/{k}\n-- reply: one\nSELECT kv_get('cart', :k) AS mine;\n",
    );
    is Service::deploy($server, kept => \%kept)->{status}, 200, 'a service with a store';
    is $server->put('/v1/kv/kept-cart/a', 'v')->{status}, 201, 'a key';
    Faults::rule('pwrite ENOSPC kept-cart/data.mdb');
    my $reply = Service::admin($server, DELETE => '/v1/admin/services/kept?purge=1');
    is $reply->{status}, 507, 'its store cannot be emptied';
    like $reply->{content}, qr/out of service, but not all of it could be purged/, 'it is said';
    is $server->get('/kept/cart/a')->{status}, 404, 'it is out of service';
    $reply = Service::admin($server, DELETE => '/v1/admin/services/kept?purge=1');
    is $reply->{status}, 507, 'another purge fails as well';
    Faults::rule('');
    is Service::admin($server, DELETE => '/v1/admin/services/kept?purge=1')->{status}, 204, 'and goes well when it can';
    is $server->get('/v1/kv/kept-cart/a')->{status}, 404, 'the key is gone';
    ok !-e $server->dir . '/services/kept', 'so is the rest';
};

subtest 'a purge that was answered stands, whatever comes of another' => sub {
    my %late = (
        'service.conf' => qq(timeout = "10m"\n),
        'a.sql' => <<'SQL',
-- GET /endless
-- cache: off
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) AS x FROM c;
SQL
    );
    is Service::deploy($server, late => \%late)->{status}, 200, 'a service';
    my $connection = $server->connect;
    $connection->send_request(GET => '/late/endless');
    Service::wait_running($server, 'late');
    my @purge = ($server, DELETE => '/v1/admin/services/late?purge=1');
    is Service::admin(@purge)->{status}, 204, 'it is to be purged when its last request has ended';
    Faults::rule('fsync ENOSPC late/current.new');
    is Service::admin(@purge)->{status}, 507, 'another purge cannot be noted';
    Faults::rule('');
    Jackdaw::hang_up($connection->socket);
    ok $server->wait_until(20, sub { !-e $server->dir . '/services/late' }), 'it is purged';
};

is $server->stop, 0, 'the daemon ends well';

subtest 'no descriptor is no mistake in a service' => sub {
    my $few = Service::start({ env => Faults::environment(), nofile => 64 });
    my $connection = $few->connect(address => Service::admin_address($few));
    is $connection->request(GET => '/livez')->{status}, 200, 'an administrator is in early';
    my @crowd = map { $few->raw_connect } 1 .. 200;
    ok $few->wait_until(10, sub { $few->descriptors >= 63 }), 'others have the rest' or diag $few->descriptors;
    my $reply = $connection->request(PUT => '/v1/admin/services/some',
        content => '{"files":{"a.sql":"-- GET /x\nSELECT 1 AS x;\n"}}', headers => { 'Content-Type' => 'application/json' });
    is $reply->{status}, 500, 'the deploy is not refused as wrong' or diag $reply->{content};
    @crowd = ();
    ok $few->wait_until(10, sub { Service::deploy($few, some => \%without)->{status} == 200 }), 'and goes well later';
    is $few->stop, 0, 'the end';
};

# ---- HUP --------------------------------------------------------------------

sub says { return { 'a.sql' => "-- GET /v\n-- reply: value\nSELECT '$_[0]';\n" } }

# A daemon in the middle of a load by HUP, which goes on for so long.
sub loading {
    my ($seconds, $conf) = @_;
    my $loading = Service::start({ env => Faults::environment(), conf => $conf // '' });
    Service::folder("$loading->{services}/shop", says('one'));
    Faults::rule("fsync sleep-${\ ($seconds * 1000)} shop/current.new");
    $loading->signal('HUP');
    ok $loading->wait_until(10, sub { -e $loading->dir . '/services/shop/current.new' }), 'HUP: a load has begun';
    return $loading;
}

subtest 'a failed sync ends the daemon while it loads services' => sub {
    my $loading = loading(100);
    Faults::rule("fdatasync EIO data.mdb\nfsync sleep-100000 shop/current.new");
    is $loading->put('/v1/kv/main/k', 'v')->{status}, 500, 'a write fails';
    is $loading->wait_exit(10 * Jackdaw::slowness()), 1, 'and the daemon ends';
};

subtest 'so does TERM' => sub {
    my $loading = loading(100, qq(limits { drain_timeout = "500ms" }\n));
    $loading->signal('TERM');
    is $loading->wait_exit(10 * Jackdaw::slowness()), 0, 'after drain_timeout';
    Faults::rule('');
    $loading->restart;
    is $loading->get('/shop/v')->{content}, 'one', 'and the next start loads it';
    is $loading->stop, 0, 'the end';
};

subtest 'a load that ends in time is waited for' => sub {
    my $loading = loading(1, qq(limits { drain_timeout = "1m" }\n));
    $loading->signal('TERM');
    is $loading->wait_exit(30 * Jackdaw::slowness()), 0, 'TERM';
    like $loading->log, qr/service deployed service=shop .*stopped/s, 'it went well before the end';
};

subtest 'HUP while a load runs is one more' => sub {
    my $loading = loading(1);
    Service::folder("$loading->{services}/shop", says('two'));
    $loading->signal('HUP');
    ok $loading->wait_until(30, sub { $loading->get('/shop/v')->{content} eq 'two' }), 'it sees what has changed since';
    Faults::rule('');
    is $loading->stop, 0, 'the end';
};

done_testing;
