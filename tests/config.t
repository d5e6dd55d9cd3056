# SPDX-License-Identifier: MIT

# The command line, the file, and the life of the process.
use strict;
use warnings;
use File::Temp;
use IO::Socket::IP;
use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep time);

my $tmp = File::Temp->newdir('jackdaw-XXXXXX', TMPDIR => 1);
my $daemon = Jackdaw::daemon();

sub write_file {
    my ($name, $text) = @_;
    open my $out, '>', "$tmp/$name" or die $!;
    print $out $text or die $!;
    close $out or die $!;
    return "$tmp/$name";
}

subtest 'options' => sub {
    my ($status, $out, $err) = Jackdaw->run($daemon, '--version');
    is $status, 0, '--version';
    like $out, qr/^jackdawd \d+\.\d+\.\d+\n/, 'on standard output';
    is $err, '', 'and nothing else';
    ($status, $out, $err) = Jackdaw->run($daemon, '--help');
    is $status, 0, '--help';
    like $out, qr/--check-config/, 'names the options';
    for my $args (['--nothing'], ['-x'], ['-c'], ['--set'], ['stray'], ['--set', 'workers']) {
        ($status, $out, $err) = Jackdaw->run($daemon, @$args, { chdir => "$tmp" });
        isnt $status, 0, "@$args is refused";
        isnt $status, -9, 'and the daemon does not run';
        like $err, qr/\S/, 'with a word';
    }
};

subtest 'make install' => sub {
    my $mode = Jackdaw::mode();
    plan skip_all => "no build of $mode" if !-x "build/$mode/jackdawd" || !-x "build/$mode/jackdaw";
    # What is built already: not the makefile's state of an outer make, and nothing is built again.
    my @install = ('env', '-u', 'MAKEFLAGS', '-u', 'MAKELEVEL', 'make', '-s', '-o', 'all', "MODE=$mode",
        "DESTDIR=$tmp/dest", 'prefix=/usr', 'sysconfdir=/etc', 'install');
    is((Jackdaw->run(@install))[0], 0, 'into an empty folder');
    is system('cmp', '-s', "build/$mode/$_", "$tmp/dest/usr/bin/$_"), 0, "$_ is that of the mode"
        for qw(jackdawd jackdaw);
    my $conf = "$tmp/dest/etc/jackdaw/jackdaw.conf";
    is system('cmp', '-s', 'etc/jackdaw.conf', $conf), 0, 'with a configuration';
    write_file('dest/etc/jackdaw/jackdaw.conf', "workers = 1\n");
    is((Jackdaw->run(@install))[0], 0, 'once more');
    open my $in, '<', $conf or die $!;
    is scalar <$in>, "workers = 1\n", 'over which the administrator\'s stays';
};

my $good = <<'EOC';
# A comment.
listen   = {"127.0.0.1:0"}
data_dir = "data"
workers  = 1
store main { kind = durable max_size = "64M" }
store sessions {
    kind = volatile
    max_size = "16M"
    ttl = "30m"
}
limits {
    max_value = "64K"
    idle_timeout = "75s"
}
database main { max_size = "64M" }
database reports { }
service_dir = "services"
admin_socket = none
EOC

subtest '--check-config' => sub {
    my $file = write_file('good.conf', $good);
    my ($status, $out, $err) = Jackdaw->run($daemon, '--check-config', '-c', $file,
        { chdir => "$tmp" });
    is $status, 0, 'a good file' or diag $err;
    ok !-e "$tmp/data", 'makes nothing';
    ($status, $out, $err) = Jackdaw->run($daemon, '--check-config', { chdir => "$tmp" });
    is $status, 0, 'no file' or diag $err;

    ($status, my $dump, $err) = Jackdaw->run($daemon, '--dump-config', '-c', $file);
    is $status, 0, '--dump-config';
    my $again = write_file('dump.conf', $dump);
    ($status, $out, $err) = Jackdaw->run($daemon, '--dump-config', '-c', $again);
    is $out, $dump, 'is read back to the same';
    ($status, undef, $err) = Jackdaw->run('sh', '-c', 'exec "$0" --dump-config >/dev/full', $daemon);
    isnt $status, 0, 'a full disk';
    like $err, qr/^jackdawd: standard output: /, 'is said';
    like $dump, qr/sessions/, 'with its stores';
    like $dump, qr/^database reports \{\s*max_size = "8G"/m, 'its databases';
    like $dump, qr/^service_dir = "services"\nadmin_socket = ""$/m, 'and its paths';

    # What is wrong, its line, and a word of the reason.
    my @wrong = (
        ['workers = -1', 1, qr/workers/],
        ['workers = many', 1, qr/\S/],
        ["\n\nwrokers = 1", 3, qr/wrokers/],
        ["workers = 1\nstore main { kind = durable", 2, qr/\S/],
        ["workers = 1\nstore main { kind = sometimes max_size = \"64M\" }", 2, qr/kind|sometimes/],
        ["store main { kind = durable max_size = \"lots\" }", 1, qr/max_size|lots/],
        ["store main { kind = durable max_size = \"64M\" }\nstore main { kind = durable max_size = \"64M\" }",
            2, qr/main/],
        ["store \"a/b\" { kind = durable max_size = \"64M\" }", 1, qr/\S/],
        ["store \"\" { kind = durable max_size = \"64M\" }", 1, qr/\S/],
        ["store main { kind = durable max_size = \"64M\" ttl = \"30\" }", 1, qr/ttl|30/],
        ["store main { kind = durable max_size = \"64M\" colour = red }", 1, qr/colour/],
        ["listen = {\"nowhere\"}", 1, qr/listen|nowhere/],
        ["listen = {\"127.0.0.1:99999\"}", 1, qr/listen|99999/],
        ["listen = {\"127.0.0.1:0x50\"}", 1, qr/\S/],
        ["limits {\n  max_value = \"1X\"\n}", 2, qr/max_value|1X/],
        ["limits {\n  idle_timeout = \"75\"\n}", 2, qr/idle_timeout|75/],
        ["limits {\n  speed = 1\n}", 2, qr/speed/],
        ["limits {\n  statement_timeout = \"30\"\n}", 2, qr/statement_timeout|30/],
        ["database main { max_size = \"lots\" }", 1, qr/max_size|lots/],
        ["database main { kind = durable }", 1, qr/kind/],
        ["database a { }\ndatabase a { }", 2, qr/a/],
        ["database \"a/b\" { }", 1, qr/name/],
        ["\nadmin_socket = \"admin.sock\"", 2, qr/admin_socket/],
        ["}", 1, qr/\S/],
        ["data_dir = \"unfinished", 1, qr/\S/],
    );
    for my $case (@wrong) {
        my ($text, $line, $reason) = @$case;
        my $file = write_file('wrong.conf', "$text\n");
        for my $mode (['--check-config'], []) {
            my ($status, $out, $err) = Jackdaw->run($daemon, @$mode, '-c', $file,
                { chdir => "$tmp", timeout => 5 });
            ok $status > 0 && $status < 126, "refused @$mode: $text" or diag "status $status";
            my ($told) = $err =~ /\Q$file\E:(\d+): (.*)/;
            my $why = $2;
            # An unfinished string or section is noticed at the end.
            my $lines = $text =~ tr/\n// + 2;
            ok defined $told && ($told == $line || $text =~ /unfinished|durable$/ && $told <= $lines)
                && $why =~ $reason, 'by file, line and reason' or diag $err;
        }
    }
    my ($s, $o, $e) = Jackdaw->run($daemon, '--check-config', '-c', "$tmp/missing.conf");
    ok $s > 0 && $s < 126, 'a file that is missing';
    like $e, qr/missing\.conf/, 'is named';
    ($s, $o, $e) = Jackdaw->run($daemon, '--check-config', '-c', "$tmp");
    ok $s > 0 && $s < 126, 'a folder in its place';
};

subtest '--set' => sub {
    my $file = write_file('good.conf', $good);
    my ($status, $dump, $err) = Jackdaw->run($daemon, '--dump-config', '-c', $file,
        '--set', 'workers=3', '--set', 'limits.max_value=32K', '--set', 'store.main.max_size=128M');
    is $status, 0, 'over the file' or diag $err;
    like $dump, qr/^\s*workers\s*=\s*3$/m, 'a value';
    like $dump, qr/max_value\s*=\s*"?(32K|32768)"?/, 'of a section';
    like $dump, qr/max_size\s*=\s*"?(128M|134217728)"?/, 'of a store';
    ($status, $dump, $err) = Jackdaw->run($daemon, '--dump-config', '-c', $file,
        '--set', 'database.main.max_size=1G', '--set', 'database.new.max_size=2G',
        '--set', 'service_dir=/srv/x', '--set', 'admin_socket=/run/x');
    is $status, 0, 'databases and paths' or diag $err;
    like $dump, qr/^database main \{\s*max_size = "1G"/m, 'one of the file';
    like $dump, qr/^database new \{\s*max_size = "2G"/m, 'a new one';
    like $dump, qr{^service_dir = "/srv/x"\nadmin_socket = "/run/x"$}m, 'both paths';
    for my $set ('wrokers=3', 'workers=x', 'workers=-1', 'limits.max_value=1X', 'limits.speed=1',
        'database.main.max_size=1', 'database.main.kind=durable', 'database.main=1', 'admin_socket=x',
        'store.main.kind=x', 'store.main.colour=red', 'store.absent.colour=red', '=', '=1', 'limits=1',
        'listen=nowhere', '') {
        ($status, my $out, $err) = Jackdaw->run($daemon, '--check-config', '-c', $file,
            '--set', $set);
        ok $status > 0 && $status < 126, "refused: $set" or diag "status $status";
        like $err, qr/\Q$set\E|--set/, 'and named';
    }
    my $server = Jackdaw->start(args => ['--set', 'limits.max_value=100']);
    is $server->put('/v1/kv/main/k', 'x' x 100)->{status}, 201, 'a limit is good';
    is $server->put('/v1/kv/main/k', 'x' x 101)->{status}, 413, 'and holds';
    is $server->stop, 0, 'the daemon ends well';
};

subtest 'without a file' => sub {
    mkdir "$tmp/alone" or die;
    my $server = Jackdaw->start;
    is $server->put("/v1/kv/$_/k", 'v')->{status}, 201, "a store $_" for qw(main cache);
    is $server->get('/v1/kv/other/k')->{status}, 404, 'and no other';
    is $server->stop, 0, 'the daemon ends well';
};

subtest 'listening' => sub {
    my $socket = "$tmp/http.sock";
    my $server = Jackdaw->start(listen => undef,
        conf => "listen = {\"127.0.0.1:0\", \"[::1]:0\", \"unix:$socket\"}\n");
    my @addresses = $server->addresses;
    is scalar @addresses, 3, 'three addresses' or diag $server->log;
    for my $address (@addresses) {
        my $connection = $server->connect(address => $address);
        my $n = 0;
        $n += $connection->request(GET => '/livez')->{status} == 200 for 1 .. 3;
        is $n, 3, $address =~ s/\d+$//r =~ s/\Q$tmp\E//r;
    }
    # A socket left behind by a crash is taken over, one in use is not.
    $server->kill9;
    ok -S $socket, 'a crash leaves the socket';
    $server->restart;
    is $server->connect(address => "unix:$socket")->request(GET => '/livez')->{status}, 200,
        'it is taken over';
    my ($status, $out, $err) = Jackdaw->run($daemon, '--set', "data_dir=$tmp/second",
        '--set', "listen=unix:$socket", { timeout => 10 });
    ok $status > 0 && $status < 126, 'one in use is not' or diag $status;
    is $server->connect(address => "unix:$socket")->request(GET => '/livez')->{status}, 200,
        'and the first goes on';
    my $port = $server->port;
    ($status, $out, $err) = Jackdaw->run($daemon, '--set', "data_dir=$tmp/third",
        '--set', "listen=127.0.0.1:$port", { timeout => 10 });
    ok $status > 0 && $status < 126, 'a port in use' or diag $status;
    like $err, qr/$port/, 'is named';
    is $server->get('/livez')->{status}, 200, 'and the first goes on';
    is $server->stop, 0, 'the daemon ends well';
    ok !-e $socket, 'and takes its socket away';
};

subtest 'a second daemon on the same data' => sub {
    my $server = Jackdaw->start;
    $server->put('/v1/kv/main/k', 'v');
    my ($status, $out, $err) = Jackdaw->run($daemon, '--set', 'data_dir=' . $server->dir,
        '--set', 'listen=127.0.0.1:0', { timeout => 10 });
    ok $status > 0 && $status < 126, 'is refused' or diag $status;
    my $dir = $server->dir;
    like $err, qr/(another|in use|lock|already).*\Q$dir\E/i, 'with a clear word';
    is $server->get('/v1/kv/main/k')->{content}, 'v', 'the first reads';
    is $server->put('/v1/kv/main/k', 'w')->{status}, 204, 'and writes';
    is $server->restart, 0, 'ends well';
    is $server->get('/v1/kv/main/k')->{content}, 'w', 'and its data are good';
    is $server->stop, 0, 'the daemon ends well';
};

subtest 'data folders' => sub {
    my $file = write_file('file', 'x');
    for my $dir ($file, "$file/below") {
        my ($status, $out, $err) = Jackdaw->run($daemon, '--set', "data_dir=$dir",
            '--set', 'listen=127.0.0.1:0', { timeout => 10 });
        ok $status > 0 && $status < 126, 'a file in its place' or diag $status;
        like $err, qr/\Q$file\E/, 'is named';
    }
    my $server = Jackdaw->start(dir => "$tmp/new/deep/data");
    ok -d "$tmp/new/deep/data", 'folders are made';
    is $server->stop, 0, 'the daemon ends well';
};

subtest 'data over a restart' => sub {
    my $server = Jackdaw->start;
    my (%tags, %values);
    for my $store (qw(main cache)) {
        for my $i (1 .. 50) {
            my $target = "/v1/kv/$store/k$i";
            $values{$target} = "$store value $i " . 'x' x ($i * 100);
            $tags{$target} = $server->put($target, $values{$target},
                { 'Content-Type' => "text/x-$i" })->{headers}{etag};
        }
        $server->put("/v1/kv/$store/ttl?ttl=1h", 'v');
        $server->put("/v1/kv/$store/brief?ttl=1ms", 'v');
    }
    for my $how ('a stop', 'kill -9') {
        $server->kill9 if $how eq 'kill -9';
        my $status = $server->restart;
        is $status, 0, 'it ended well' if $how eq 'a stop';
        my $wrong = 0;
        for my $target (sort keys %values) {
            my $get = $server->get($target);
            my ($i) = $target =~ /(\d+)$/;
            $wrong++ if $get->{content} ne $values{$target} || $get->{headers}{etag} ne $tags{$target}
                || $get->{headers}{'content-type'} ne "text/x-$i";
        }
        is $wrong, 0, "values, types and ETags are there after $how";
        for my $store (qw(main cache)) {
            like $server->get("/v1/kv/$store/ttl")->{headers}{'cache-control'} // '',
                qr/max-age=3[56]\d\d/, "$store: so is a TTL after $how";
            is $server->get("/v1/kv/$store/brief")->{status}, 404,
                "$store: and what expired is not";
        }
        my %old = reverse %tags;
        my $twice = 0;
        for my $i (1 .. 20) {
            my $target = "/v1/kv/main/k$i";
            $values{$target} = "after $how $i";
            my $put = $server->put($target, $values{$target}, { 'Content-Type' => "text/x-$i" });
            $tags{$target} = $put->{headers}{etag};
            $twice++ if $old{ $tags{$target} };
        }
        is $twice, 0, "no ETag comes twice after $how";
        my ($largest) = sort { $b <=> $a } map { /(\d+)/ } keys %old;
        cmp_ok $tags{'/v1/kv/main/k1'} =~ s/\D//gr, '>', $largest, 'the numbers go on'
            if defined $largest && $tags{'/v1/kv/main/k1'} =~ /^"\d+"$/;
        is $server->get('/v1/kv/main/k1', undef, { 'If-None-Match' => $tags{'/v1/kv/main/k1'} })
            ->{status}, 304, 'and are those of before';
    }
    is $server->stop, 0, 'the daemon ends well';
};

subtest 'TERM drains' => sub {
    my $server = Jackdaw->start;
    $server->put('/v1/kv/main/k', 'v');
    my $idle = $server->connect;
    $idle->request(GET => '/livez');
    my $busy = $server->connect;
    $busy->send("PUT /v1/kv/main/late HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf ");
    my $watch = $server->connect;
    $watch->send("GET /readyz HTTP/1.1\r\nHost: a\r\n");
    sleep 0.1;
    my $begin = time;
    $server->signal('TERM');
    ok $server->wait_log(qr/drain/i), 'the log says that it drains';
    my $refused = $server->wait_until(2, sub { !$server->raw_connect });
    ok $refused, 'nobody is accepted any more';
    $watch->send("\r\n");
    my $ready = $watch->read_reply('GET');
    is $ready->{status}, 503, '/readyz is not ready';
    ok defined $ready->{headers}{'retry-after'}, 'with Retry-After';
    ok $ready->{closes}, 'and closes';
    ok $server->alive, 'while a request is under way';
    $busy->send('whole');
    my $reply = $busy->read_reply('PUT');
    is $reply->{status}, 201, 'which ends well';
    ok $reply->{closes}, 'and closes';
    is $server->wait_exit(5 * Jackdaw::slowness()), 0, 'exit 0';
    ok time - $begin < 5 * Jackdaw::slowness(), 'within five seconds';
    $server->restart;
    is $server->get('/v1/kv/main/late')->{content}, 'half whole', 'what was acknowledged is there';

    # Nothing under way: at once.
    $begin = time;
    $server->connect->request(GET => '/livez');
    is $server->stop, 0, 'idle connections do not hold it';
    ok time - $begin < 2 * Jackdaw::slowness(), 'it ends at once';
};

subtest 'a drain has an end' => sub {
    my $server = Jackdaw->start(args => ['--set', 'limits.drain_timeout=1s']);
    my $stuck = $server->raw_connect;
    syswrite $stuck, "PUT /v1/kv/main/stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    sleep 0.1;
    my $begin = time;
    $server->signal('TERM');
    is $server->wait_exit(10 * Jackdaw::slowness()), 0, 'exit 0';
    my $took = time - $begin;
    ok $took > 0.5 && $took < 4 * Jackdaw::slowness(), 'at its deadline' or diag $took;
};

subtest 'a second TERM' => sub {
    my $server = Jackdaw->start(args => ['--set', 'limits.drain_timeout=60s']);
    my $stuck = $server->raw_connect;
    syswrite $stuck, "PUT /v1/kv/main/stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    is $server->put('/v1/kv/main/k', 'v')->{status}, 201, 'a write';
    $server->signal('TERM');
    ok $server->wait_log(qr/drain/i), 'it drains';
    sleep 0.2;
    ok $server->alive, 'and waits';
    $server->signal('TERM');
    ok defined $server->wait_exit(2 * Jackdaw::slowness()), 'until the second one';
    $server->restart;
    is $server->get('/v1/kv/main/k')->{content}, 'v', 'what was acknowledged is there';
    is $server->stop, 0, 'the daemon ends well';
};

subtest 'INT is TERM, and PIPE is nothing' => sub {
    my $server = Jackdaw->start;
    $server->signal('PIPE');
    is $server->get('/livez')->{status}, 200, 'it lives';
    $server->signal('INT');
    is $server->wait_exit(5 * Jackdaw::slowness()), 0, 'exit 0';
};

done_testing;
