# SPDX-License-Identifier: MIT

# A profile of the running daemon: who and what is in it, and that taking it
# harms nobody.
use strict;
use warnings;

use IO::Socket::UNIX;
use Jackdaw;
use POSIX ();
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my %shop = (
    'migrations/0001_init.sql' => <<'SQL',
CREATE TABLE row(id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO row(text) VALUES ('one');
SQL
    'a.sql' => <<'SQL',
-- GET /row/{id}
-- reply: one
-- cache: off
SELECT id, text FROM row WHERE id = :id;

-- POST /row
-- reply: none
INSERT INTO row(text) VALUES ('more');

-- POST /many
-- reply: none
INSERT INTO row(text) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000) SELECT 't' || x FROM c;
DELETE FROM row WHERE id > 1;

-- GET /long
-- reply: value
-- cache: off
-- timeout: 60s
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1000000000)
SELECT max(x) FROM c;
SQL
);

my $server = Service::start(shop => \%shop);
my $socket = Service::admin_address($server);
my $client = Jackdaw::client();

sub profile {
    my ($query) = @_;
    return Service::admin($server, GET => "/v1/admin/profile$query");
}

# A process that does something over and over; ended by done().
my @children;
sub start {
    my ($code) = @_;
    my $pid = fork // die $!;
    if (!$pid) {
        $SIG{TERM} = 'DEFAULT';
        eval { $code->() while 1; };
        POSIX::_exit(1);
    }
    push @children, $pid;
    return $pid;
}

# The exit status of each: -N by signal N.
sub done {
    kill TERM => @children;
    my @status = map { waitpid $_, 0; $? & 127 ? -($? & 127) : $? >> 8 } @children;
    @children = ();
    return @status;
}

# What is expected, or the process ends.
sub expect {
    my ($reply, $status) = @_;
    return if $reply->{status} =~ $status;
    print STDERR "# $reply->{status} $reply->{content}\n";
    POSIX::_exit(2);
}

sub seconds_of_processor {
    open my $in, '<', '/proc/' . $server->pid . '/stat' or die $!;
    my @fields = split ' ', (<$in> =~ s/^.*\) //r);
    return ($fields[11] + $fields[12]) / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

if (Jackdaw::mode() eq 'tsan') {
    Jackdaw::is_problem(profile('?seconds=1'), 501, 'not_implemented', 'not with the thread sanitizer');
    is $server->stop, 0, 'it stops';
    done_testing;
    exit;
}

subtest 'who may, and what' => sub {
    Jackdaw::is_problem($server->get('/v1/admin/profile'), 403, 'forbidden', 'not over TCP');
    for my $query ('?seconds=0', '?seconds=301', '?hz=0', '?hz=1001', '?hz=', '?seconds=1.5', '?seconds=-1', '?more=1') {
        Jackdaw::is_problem(profile($query), 400, 'bad_request', $query);
    }
    Jackdaw::is_problem(Service::admin($server, POST => '/v1/admin/profile', ''), 405, 'method_not_allowed', 'POST');
};

# ---- under load ------------------------------------------------------------

$server->put('/v1/kv/main/k', 'value');
start(sub {
    my $connection = $server->connect;
    for (1 .. 1000) {
        expect($connection->request(GET => '/v1/kv/main/k'), qr/^200$/);
        expect($connection->request(PUT => '/v1/kv/main/' . $_ % 10, content => 'v'), qr/^20[14]$/);
        expect($connection->request(GET => '/shop/row/1'), qr/^200$/);
        expect($connection->request(POST => '/shop/row'), qr/^204$/);
        expect($connection->request(GET => '/v1/kv/main/?limit=10'), qr/^200$/);
    }
});
start(sub {
    my $connection = $server->connect;
    expect($connection->request(POST => '/shop/many'), qr/^204$/) for 1 .. 100;
});
start(sub {
    my $connection = $server->connect;
    # It has no end: it is left.
    $connection->send_request(GET => '/shop/long');
    sleep 60;
});

# Requests in place, as many as there may be; each reply is looked at.
sub start_loads {
    my @loads;
    for my $path ('/v1/kv/main/k', '/shop/row/1') {
        my $pid = fork // die $!;
        if (!$pid) {
            open STDOUT, '>', '/dev/null';
            exec Jackdaw::build() . '/tests/load/load', '-c', 8, '-s', 2, $server->address, $path or POSIX::_exit(127);
        }
        push @loads, $pid;
    }
    return @loads;
}

my @wanted = (
    'a worker' => qr/^worker-0;/m,
    'a fiber, its route, and SQLite below' => qr/^worker-\d;route GET \/shop\/long;fiber;(?:.*;)?fiber_main;.*sqlite3_step/m,
    'libmicrohttpd' => qr/^worker-\d;no route;source;.*;MHD_run/m,
    'a key\'s route' => qr/^worker-\d;route (?:GET|PUT) \/v1\/kv\/\{store\}\/(?:\{key\})?;(?:request|task);/m,
    'a service\'s route in place' => qr/^worker-\d;route (?:GET \/shop\/row\/\{id\}|POST \/shop\/row);request;/m,
    'a committer' => qr/^commit-shop;no route;commit;.*;sqlite3_step/m,
);
my $all = '';
my $has_all_time;

sub is_complete {
    for my $i (grep { $_ % 2 } 0 .. $#wanted) {
        return 0 if $all !~ $wanted[$i];
    }
    return 1;
}

# On a busy machine the daemon may have had little of it, and be met by few of
# the kernel's ticks: so once more.
for my $try (1 .. 6) {
    my @loads = start_loads();
    subtest "a profile under load, $try" => sub {
        my ($begun, $used) = (time, seconds_of_processor());
        my $reply = profile('?seconds=2&hz=250');
        $used = seconds_of_processor() - $used;
        is $reply->{status}, 200, 'is taken';
        cmp_ok time - $begun, '>=', 2, 'for its time';
        like $reply->{headers}{'content-type'}, qr{^text/plain}, 'is text';
        my %figures = ($reply->{headers}{'jackdaw-profile'} // '') =~ /(\w+)=(\d+)/g;
        is $figures{hz}, 250, 'says its rate';
        is $figures{dropped}, 0, 'nothing is dropped';
        my ($sum, @bad) = (0);
        for (split /\n/, $reply->{content}) {
            push @bad, $_ if !/^[^;]+;(?:route [A-Z]+ [^;]+|route [^;]+|no route);\w+;[^;].* (\d+)$/;
            $sum += $1 // 0;
        }
        is_deeply \@bad, [], 'each line has thread, route, kind, functions and a number';
        is $sum, $figures{samples}, 'they add up';
        # Both count the same threads; /proc in hundredths, and until the end
        # of the reply.
        my $sampled = $figures{samples} / $figures{hz};
        $has_all_time ||= abs($sampled - $used) < 0.25 * $used + 0.2;
        note "$sampled s of $used s";
        is_deeply [ map { waitpid $_, 0; $? } @loads ], [0, 0], 'no request failed meanwhile';
        $all .= $reply->{content};
    };
    last if is_complete() && $has_all_time;
}
ok $has_all_time, 'it has all of the processor time';
while (my ($name, $pattern) = splice @wanted, 0, 2) {
    ok $all =~ $pattern, $name;
}
# Or their worker's, just before they go on and just after.
my @fibers = $all =~ /^[^;]*;[^;]*;fiber;(.*)/mg;
is_deeply [ grep { !/^context_base;fiber_main/ && !/clone.*;worker_main/ } @fibers ], [], 'fibers have their base';
cmp_ok scalar(grep { /^context_base;fiber_main/ } @fibers), '>', 0.9 * @fibers, 'nearly all';

subtest 'one at a time' => sub {
    my $first = Jackdaw::Connection->new($server, address => $socket);
    $first->send_request(GET => '/v1/admin/profile?seconds=1');
    sleep 0.2;
    Jackdaw::is_problem(profile('?seconds=1'), 409, 'conflict', 'the second is refused');
    is $first->read_reply('GET')->{status}, 200, 'the first goes on';
};

subtest 'the client leaves' => sub {
    my $first = Jackdaw::Connection->new($server, address => $socket);
    $first->send_request(GET => '/v1/admin/profile?seconds=300');
    sleep 0.3;
    close $first->socket;
    my $reply;
    ok $server->wait_until(5, sub {
        $reply = profile('?seconds=1&hz=50');
        $reply->{status} == 200;
    }), 'it ends, and the next may begin' or diag $reply->{content};
};

subtest 'deploys, and threads that come and go' => sub {
    my $fill = "INSERT INTO t WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 30000) SELECT x FROM c;\n";
    start(sub {
        # New names of routes, a new committer, work on a slow thread.
        for my $n (1 .. 1000) {
            my $name = 'new' . $n % 3;
            my %files = ('a.sql' => "-- POST /r$n\n-- reply: none\n$fill", 'migrations/0001_init.sql' => "CREATE TABLE t(a);\n");
            expect(Service::deploy($server, $name => \%files), qr/^200$/);
            expect($server->post("/$name/r$n"), qr/^204$/);
            expect(Service::admin($server, DELETE => "/v1/admin/services/$name?purge=1"), qr/^204$/);
        }
    });
    my $slow      = qr/^slow-\d;route PUT \/v1\/admin\/services\/\{service\};slow;/m;
    my $committer = qr/^commit-new\d;/m;
    my $reply;
    # Where the machine is busy some of them may have no time in one.
    for (1 .. 5) {
        $reply = profile('?seconds=2&hz=1000');
        last if $reply->{content} =~ $slow && $reply->{content} =~ $committer;
    }
    is $reply->{status}, 200, 'at the highest rate';
    like $reply->{content}, $slow, 'a slow thread';
    like $reply->{content}, $committer, 'a committer that came meanwhile';
};

my @status = done();
is_deeply \@status, [ (-15) x @status ], 'no other request failed';

# ---- the command -----------------------------------------------------------

sub jackdaw {
    return Jackdaw->run($client, 'profile', '--socket', $socket =~ s/^unix://r, @_);
}

start(sub { expect($server->get('/v1/kv/main/k'), qr/^200$/) });
subtest 'jackdaw profile' => sub {
    my ($status, $out, $err) = jackdaw('-d', '1s', '-r', '200');
    is $status, 0, 'as text' or diag $err;
    like $out, qr/^1\.\d s, \d+ samples: /, 'its sum';
    like $out, qr/^\s*TIME +% +ROUTE$/m, 'routes';
    like $out, qr/\b(?:MHD_run|sendmsg)$/m, 'functions';
    ($status, $out, $err) = jackdaw('-d', '1s', '-o', 'svg');
    is $status, 0, 'as a flame graph' or diag $err;
    like $out, qr/^<\?xml.*<svg .*<title>all \(\d+ samples, 100\.00%\)<\/title>.*<\/svg>$/s, 'SVG';
};
done();

subtest 'a drain ends it' => sub {
    my $connection = Jackdaw::Connection->new($server, address => $socket);
    $connection->send_request(GET => '/v1/admin/profile?seconds=300');
    sleep 0.3;
    my $begun = time;
    $server->signal('TERM');
    is $connection->read_reply('GET')->{status}, 200, 'with what it has';
    is $server->wait_exit(10 * Jackdaw::slowness()), 0, 'the daemon stops';
    cmp_ok time - $begun, '<', 10 * Jackdaw::slowness(), 'soon';
};

done_testing;
