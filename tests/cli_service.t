# SPDX-License-Identifier: MIT

# jackdaw service, statements and slow: against a server that answers what it
# is told to.
use strict;
use warnings;
use Fake;
use File::Path qw(make_path remove_tree);
use File::Temp;
use Jackdaw;
use JSON::PP;
use Terminal;
use Test::More;

my $client = Jackdaw::client();
my $slow   = Jackdaw::slowness();
my $tmp    = File::Temp->newdir;
my $json   = JSON::PP->new->utf8;

delete @ENV{qw(JACKDAW_URL JACKDAW_SOCKET)};
$ENV{LC_ALL} = 'C';
$ENV{TZ} = 'UTC';

# A folder of these files; its path.
sub folder {
    my ($name, %files) = @_;
    remove_tree("$tmp/$name");
    make_path("$tmp/$name");
    for (keys %files) {
        my ($below) = m{^(.*)/};
        make_path("$tmp/$name/$below") if defined $below;
        open my $out, '>', "$tmp/$name/$_" or die $!;
        print $out $files{$_};
        close $out or die $!;
    }
    return "$tmp/$name";
}

my @services = (
    { name => 'links', version => 1, previous => undef, routes => 3, deployed => 1_700_000_000_000,
        checksum => 'ab', database_bytes => 4096 },
    { name => 'shop', version => 12, previous => 11, routes => 120, deployed => 1_700_000_001_000,
        checksum => 'cd', database_bytes => 5 << 20 },
);
my @complaints = (
    { file => 'orders.sql', line => 3, text => 'no such column: totl', hint => JSON::PP::false },
    { file => 'service.conf', line => 0, text => "bad\e[31m\x{9b}1m", hint => JSON::PP::false },
    { file => undef, line => 0, text => 'no routes', hint => JSON::PP::false },
    { file => 'orders.sql', line => 9, text => 'scans orders', hint => JSON::PP::true },
);
my @hints = ({ file => 'orders.sql', line => 9, text => 'scans orders' });
my @statements = map { +{ database => 'shop', hits => 0, hints => [], route => undef, %$_ } } (
    { sql => 'SELECT a', calls => 10, rows => 5, total_us => 999, max_us => 900 },
    { sql => "SELECT  b\n  FROM\tt", calls => 2, rows => 9007199254740993, total_us => 1_234_567, max_us => 1_000_000,
        route => 'GET /shop/orders/{id}', hits => 7, hints => ['scans orders (about 120000 rows)'] },
    { sql => "INSERT '\x{e9}\e'", calls => 30, rows => 0, total_us => 54_321, max_us => 3_000_000 },
);
my @slow = (
    { time => 1_700_000_001_500, database => 'shop', route => 'GET /shop/x', sql => "SELECT\n " . 'x' x 200, us => 2_500_000,
        rows => 3, plan => "SCAN orders\n`--USE TEMP B-TREE" },
    { time => 1_700_000_000_500, database => 'main', route => undef, sql => 'SELECT 2', us => 300_000, rows => 0, plan => '' },
);

sub problem {
    my ($status, $code, $detail, %more) = @_;
    return [$status, $json->encode({ status => $status, code => $code, detail => $detail, %more })];
}

sub answer {
    my ($request) = @_;
    my ($method, $target) = @$request{qw(method target)};
    return [200, $json->encode({ services => \@services })] if $target eq '/v1/admin/services';
    return [200, $json->encode({ statements => \@statements })] if $target eq '/v1/admin/statements';
    return [200, $json->encode({ slow => \@slow })] if $target eq '/v1/admin/slow';
    my ($name, $query) = $target =~ m{^/v1/admin/services/([\w-]+)(?:\?(.*))?$} or return problem(404, 'not_found', $target);
    $query //= '';
    return problem(403, 'forbidden', 'root or the daemon only') if $name eq 'forbidden';
    return problem(404, 'not_found', "there is no service '$name'") if $name eq 'missing';
    return problem(422, 'invalid_service', 'the service is wrong', complaints => \@complaints) if $name eq 'wrong';
    return problem(422, 'invalid_service', 'the service is wrong', complaints => []) if $name eq 'vague';
    return problem(503, 'draining', 'is ending') if $name eq 'draining';
    return [200, 'what?'] if $name eq 'garbage';
    my @those = $name eq 'hinted' ? @hints : ();
    my $reply = sub { [200, $json->canonical->encode({ name => $name, @_ })] };
    return [204, ''] if $method eq 'DELETE';
    return $reply->(pending => { shop => 0, links => 1 }->{$name} // 2, hints => \@those) if $query eq 'op=check';
    return $reply->(version => 11) if $query eq 'op=rollback';
    return $reply->(version => 3, migrations => 0, unchanged => JSON::PP::true, hints => []) if $name eq 'same';
    return $reply->(version => 3, migrations => { shop => 2, links => 1 }->{$name} // 0, unchanged => JSON::PP::false,
        hints => \@those);
}

my $fake = Fake->start(\&answer);

sub jackdaw {
    my $options = ref $_[-1] eq 'HASH' ? pop : {};
    return Jackdaw->run($client, '--socket', $fake->socket, @_, $options);
}

# One test: the status and what is printed; standard error is empty or matches.
sub gives {
    my ($arguments, $status, $out, $err, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @got = jackdaw(@$arguments);
    $name //= join ' ', map { s{\Q$tmp\E/}{}r } grep { !ref } @$arguments;
    my $good = $got[0] == $status
        && (ref $out ? $got[1] =~ $out : $got[1] eq $out)
        && (!defined $err ? $got[2] eq '' : ref $err ? $got[2] =~ $err : $got[2] eq $err);
    ok $good, substr $name =~ s/[^ -~]/?/gr, 0, 70
        or diag explain { status => $got[0], out => substr($got[1], 0, 800), err => $got[2] };
    return $got[1];
}

my %good = (
    'service.conf' => "limits { }\n",
    'orders.sql' => "-- GET /orders\nSELECT '\xc3\xa9';\n",
    'empty.sql' => '',
    'README_items.sql' => "-- GET /items\nSELECT 1;\n",
    'migrations/0001_init.sql' => "CREATE TABLE orders(id);\n",
    'migrations/0002_more.sql' => "CREATE TABLE items(id);\n",
    'README' => 'read me', 'README.md' => 'read me', 'README.sql' => 'read me',
    'migrations/README' => 'read me',
    '.hidden' => "\xff", 'migrations/.0003.sql.swp' => "\xff", '.git/config' => '',
);

subtest 'a folder is sent' => sub {
    my $shop = folder('shop', %good);
    $fake->requests;
    gives ['service', 'deploy', $shop], 0, "shop: version 3 deployed (2 migrations applied)\n";
    my ($request) = $fake->requests;
    is "$request->{method} $request->{target}", 'PUT /v1/admin/services/shop', 'named after the folder';
    is $request->{headers}{'content-type'}, 'application/json', 'as JSON';
    is_deeply $request->{json}, { files => {
        'service.conf' => $good{'service.conf'}, 'orders.sql' => "-- GET /orders\nSELECT '\x{e9}';\n", 'empty.sql' => '',
        'README_items.sql' => $good{'README_items.sql'},
        map { ("migrations/$_" => $good{"migrations/$_"}) } qw(0001_init.sql 0002_more.sql),
    } }, 'with its files, and no others';
    gives ['service', 'check', "$shop//"], 0, "shop: good\n";
    ($request) = $fake->requests;
    is "$request->{method} $request->{target}", 'POST /v1/admin/services/shop?op=check', 'to be checked';
    gives ['service', 'check', $shop, '--name', 'links'], 0, "links: good, 1 migration would be applied\n";
    gives ['service', 'check', $shop, '--name', 'more'], 0, "more: good, 2 migrations would be applied\n";
    gives ['service', 'deploy', $shop, '--name', 'links'], 0, "links: version 3 deployed (1 migration applied)\n";
    gives ['service', 'deploy', $shop, '--name', 'other'], 0, "other: version 3 deployed\n";
    gives ['service', 'deploy', $shop, '--name', 'same'], 0, "same: nothing has changed (version 3)\n";
    gives ['service', 'deploy', '.', { chdir => $shop }], 0, qr/^shop: /, undef, 'the folder that we are in has a name';
    symlink $shop, "$tmp/link";
    gives ['service', 'deploy', "$tmp/link"], 0, qr/^shop: /, undef, 'so has one behind a link';
    gives ['service', 'deploy', $shop, '-o', 'json'], 0,
        qq({"hints":[],"migrations":2,"name":"shop","unchanged":false,"version":3}\n);
    gives ['service', 'deploy', folder('bare', 'a.sql' => '')], 0, qr/^bare: /, undef, 'one file is enough to be sent';
    gives ['service', 'deploy', $shop, '--name', 'a/b'], 3, '', qr/not_found/, 'a name is one part of the path';
};

subtest 'complaints' => sub {
    my $shop = folder('shop', %good);
    my $text = join '', map { "$shop/$_\n" } 'orders.sql:3: no such column: totl', 'service.conf: bad?[31m?1m';
    $text .= "wrong: no routes\n$shop/orders.sql:9: hint: scans orders\n";
    for my $command (qw(check deploy)) {
        gives ['service', $command, $shop, '--name', 'wrong'], 1, '', $text, "$command says each with its place";
        my $out = gives ['service', $command, $shop, '--name', 'wrong', '-o', 'json'], 1, qr/^\{.*\}\n\z/;
        is_deeply $json->decode($out), { name => 'wrong', complaints => \@complaints }, 'also as JSON';
        gives ['service', $command, $shop, '--name', 'hinted'], 0, qr/^hinted: /,
            "$shop/orders.sql:9: hint: scans orders\n", "$command shows hints";
    }
    gives ['service', 'rollback', 'wrong'], 1, '', $text =~ s{\Q$shop/\E}{}gr, 'a rollback has no folder to name';
    gives ['service', 'deploy', $shop, '--name', 'vague'], 1, '', qr/^jackdaw: the service is wrong \(invalid_service, /;
    gives ['service', 'deploy', $shop, '--name', 'forbidden'], 5, '', qr/\(forbidden, /;
    gives ['service', 'deploy', $shop, '--name', 'draining'], 8, '', qr/\(draining, /;
    gives ['service', 'deploy', $shop, '--name', 'garbage'], 1, '', qr/not JSON/;
};

subtest 'what does not belong in a folder' => sub {
    my @bad = (
        ['notes.txt' => 'x', qr{shop/notes\.txt: only service\.conf, files that end in \.sql}],
        ['migrations/init.txt' => 'x', qr{shop/migrations/init\.txt: only files that end in \.sql}],
        ['migrations/service.conf' => 'x', qr{shop/migrations/service\.conf: only files}],
        ['sql/a.sql' => 'x', qr{shop/sql: only service\.conf}],
        ['migrations/more/a.sql' => 'x', qr{shop/migrations/more: only files}],
        ['dir.sql/a' => 'x', qr{shop/dir\.sql: this is no file}],
        ['READMES' => 'x', qr{shop/READMES: only service\.conf}],
        ['.sql' => 'x', undef],
        ["bad\xff.sql" => 'x', qr{bad.+\.sql: the name is not UTF-8}],
        ['latin.sql' => "SELECT '\xe9'", qr{shop/latin\.sql: the file is not UTF-8}],
    );
    $fake->requests;
    for (@bad) {
        my ($name, $text, $err) = @$_;
        my $shop = folder('shop', %good, $name => $text);
        gives ['service', 'check', $shop], $err ? 1 : 0, $err ? '' : qr/./, $err && qr/^jackdaw: .*$err/;
        is scalar($fake->requests), $err ? 0 : 1, $err ? 'nothing is sent' : 'is left out';
    }
    my $shop = folder('shop', %good, 'a.txt' => '', 'b.txt' => '');
    gives ['service', 'check', $shop], 1, '', qr/a\.txt: .*\n.*b\.txt: /, 'all of it is said at once';
    $shop = folder('shop', %good);
    symlink "$tmp/nowhere", "$shop/gone.sql";
    gives ['service', 'check', $shop], 1, '', qr/gone\.sql: No such file/;
    $shop = folder('shop', %good);
    POSIX::mkfifo("$shop/fifo.sql", 0600) or die $!;
    gives ['service', 'check', $shop], 1, '', qr/fifo\.sql: this is no file/, 'a pipe does not stop it';
    gives ['service', 'check', "$tmp/nothing"], 1, '', qr/nothing: No such file/;
    gives ['service', 'check', "$shop/orders.sql"], 1, '', qr/orders\.sql: Not a directory/;
    gives ['service', 'check', '/'], 1, '', qr/has no name: --name gives one/;
};

subtest 'list, rollback, remove' => sub {
    gives ['service', 'list'], 0, <<'EOT';
NAME   VERSION  PREVIOUS  ROUTES  DATABASE  DEPLOYED
-----  -------  --------  ------  --------  -------------------
links        1         -       3   4.0 KiB  2023-11-14 22:13:20
shop        12        11     120   5.0 MiB  2023-11-14 22:13:21
EOT
    is_deeply $json->decode(gives ['service', 'list', '-o', 'json'], 0, qr/^\{.*\}\n\z/), { services => \@services },
        'as the server gives it';
    $fake->requests;
    gives ['service', 'rollback', 'shop'], 0, "shop: back at version 11\n";
    my ($request) = $fake->requests;
    is "$request->{method} $request->{target}", 'POST /v1/admin/services/shop?op=rollback', 'is asked for';
    is $request->{content}, '', 'without a body';
    gives ['service', 'rollback', 'shop', '-o', 'json'], 0, qq({"name":"shop","version":11}\n);
    gives ['service', 'rollback', 'missing'], 3, '', qr/there is no service 'missing' \(not_found, /;
    $fake->requests;
    gives ['service', 'remove', 'shop'], 0, "shop: removed, its data stays\n", undef, 'without a terminal nothing is asked';
    gives ['service', 'remove', 'shop', '--purge'], 2, '', qr/--purge without a terminal needs --yes/;
    gives ['service', 'remove', 'shop', '--purge', '--yes'], 0, "shop: removed, with its data\n";
    gives ['service', 'remove', 'shop', '--purge', '-y', '-o', 'json'], 0, qq({"removed":true,"purged":true}\n);
    is_deeply [map { "$_->{method} $_->{target}" } $fake->requests],
        ['DELETE /v1/admin/services/shop', ('DELETE /v1/admin/services/shop?purge=1') x 2], 'what was asked for';
    gives ['service', 'remove', 'missing'], 3, '', qr/not_found/;

    my $ask = sub {
        my ($answer, $pattern, $status, @arguments) = @_;
        my $t = Terminal->start([$client, '--socket', $fake->socket, 'service', 'remove', @arguments]);
        ok $t->wait_for(qr/$pattern\nRemove it\? \[y\/N\] \z/, 5 * $slow), "asks: @arguments" or diag $t->text;
        $t->type($answer);
        is $t->wait_exit(5 * $slow), $status, 'ends';
        return map { $_->{method} } $fake->requests;
    };
    $fake->requests;
    is_deeply [$ask->("y\n", qr/shop: its 120 routes will be gone; its database of 5\.0 MiB stays\./, 0, 'shop')],
        [qw(GET DELETE)], 'removes what is confirmed';
    is_deeply [$ask->("n\n", qr/shop: its database of 5\.0 MiB, its stores and all its versions will be lost\./, 1,
        'shop', '--purge')], ['GET'], 'and nothing else';
    is_deeply [$ask->("y\n", qr/old: is not deployed; the data that it left will be lost\./, 0, 'old', '--purge')],
        [qw(GET DELETE)], 'what an earlier one left can be purged';
    is_deeply [$ask->("\cD", qr/stays\./, 1, 'shop')], ['GET'], 'no answer is no';
    my $t = Terminal->start([$client, '--socket', $fake->socket, 'service', 'remove', 'nowhere']);
    is $t->wait_exit(5 * $slow), 3, 'what is not there is not asked about';
};

subtest 'statements' => sub {
    my $out = gives ['statements'], 0, <<'EOT', undef, 'those that took the most time first';
CALLS    TOTAL     MAX              ROWS  HITS  DATABASE  ROUTE                  STATEMENT
-----  -------  ------  ----------------  ----  --------  ---------------------  ---------------
    2    1.2 s   1.0 s  9007199254740993     7  shop      GET /shop/orders/{id}  SELECT b FROM t
    scans orders (about 120000 rows)
   30  54.3 ms   3.0 s                 0     0  shop      -                      INSERT 'é\x1b'
   10   999 us  900 us                 5     0  shop      -                      SELECT a
EOT
    my %first = (total => 'SELECT b', max => 'INSERT', calls => 'INSERT', rows => 'SELECT b');
    for my $sort (sort keys %first) {
        $out = gives ['statements', '--sort', $sort, '-n', '1'], 0, qr/^CALLS.*\n.*\n.*\Q$first{$sort}\E/;
        is scalar(() = $out =~ /SELECT|INSERT/g), 1, 'one';
    }
    my $got = $json->decode(gives ['statements', '-o', 'json', '--limit', '2'], 0, qr/"rows":9007199254740993/);
    is_deeply $got, { statements => [@statements[1, 2]] }, 'JSON has all of each';
    gives ['statements', '--sort', 'name'], 2, '', qr/takes total, max, calls or rows/;
    gives ['statements', '-n', '0'], 2, '', qr/a number above 0/;

    my $t = Terminal->start([$client, '--socket', $fake->socket, 'slow'], { columns => 90 });
    is $t->wait_exit(5 * $slow), 0, 'slow on a terminal';
    my @shown = split /\n/, $t->answer;
    like $shown[0], qr/^TIME +TOOK +ROWS +DATABASE +ROUTE +STATEMENT$/, 'has a head';
    like $shown[2], qr{^2023-11-14 22:13:21     2\.5 s     3  shop      GET /shop/x  SELECT x+\.\.\.$}, 'is shortened';
    cmp_ok length $shown[2], '<=', 90, 'to the width';
    is_deeply [@shown[3, 4]], ['    SCAN orders', '    `--USE TEMP B-TREE'], 'its plan stands below';
    $out = gives ['slow'], 0, qr/./;
    like $out, qr/SELECT x{200}\n/, 'whole where it is no terminal';
    like $out, qr/^2023-11-14 22:13:20  300\.0 ms     0  main      -            SELECT 2\n\z/m, 'the latest first';
    $out = gives ['slow', '-n', '1', '-o', 'json'], 0, qr/./;
    is_deeply $json->decode($out), { slow => [$slow[0]] }, 'as JSON';
};

subtest 'the admin socket' => sub {
    my $list = sub { Jackdaw->run($client, 'service', 'list', @_) };
    my $there = { JACKDAW_SOCKET => $fake->socket };
    is(($list->({ env => $there }))[0], 0, 'JACKDAW_SOCKET');
    is(($list->('--socket', "$tmp/none", { env => $there }))[0], 6, '--socket is before it');
    is(($list->('--url', 'http://127.0.0.1:1', { env => $there }))[0], 6, 'so is --url');
    make_path("$tmp/work/data");
    symlink $fake->socket, "$tmp/work/data/admin.sock";
    is(($list->({ chdir => "$tmp/work" }))[0], 0, 'data/admin.sock');
    is(($list->({ chdir => "$tmp/work", env => { JACKDAW_URL => 'http://127.0.0.1:1' } }))[0], 0,
        'JACKDAW_URL names another door');
    my ($status, $out, $err) = $list->('--socket', "$tmp/none");
    is $status, 6, 'none';
    is "$out$err", "jackdaw: cannot reach the admin socket $tmp/none: No such file or directory: is jackdawd running, "
        . "and are you its user or root?\n", 'is told';
    ($status, $out, $err) = $list->({ chdir => "$tmp" });
    like $err, qr{admin socket /var/lib/jackdaw/admin\.sock: }, 'the last place is the system\'s' if $status;
    my $listen = IO::Socket::UNIX->new(Local => "$tmp/left", Listen => 1) or die;
    close $listen;
    ($status, $out, $err) = $list->('--socket', "$tmp/left");
    is $status, 6, 'one that was left behind';
    like $err, qr{/left: Connection refused: is jackdawd running}, 'is told';
    SKIP: {
        skip 'not as root', 2 if $> == 0;
        chmod 0, "$tmp/left";
        ($status, $out, $err) = $list->('--socket', "$tmp/left");
        is $status, 6, 'one that is not for us';
        like $err, qr/Permission denied/, 'is told';
    }
};

subtest 'usage' => sub {
    my @bad = (
        [['service'], qr/no command 'service'/],
        [['service', 'nothing'], qr/no command 'service nothing'/],
        [['service', 'deploy'], qr/needs a DIR/],
        [['service', 'deploy', ''], qr/needs a DIR/],
        [['service', 'rollback'], qr/needs a NAME/],
        [['service', 'remove'], qr/needs a NAME/],
        [['service', 'list', 'x'], qr/'x'/],
        [['service', 'list', '--purge'], qr/service list does not take --purge/],
        [['service', 'list', '-o', 'csv'], qr/takes text or json, not 'csv'/],
        [['statements', 'x'], qr/'x'/],
        [['slow', '--sort', 'max'], qr/slow does not take --sort/],
    );
    gives $_->[0], 2, '', $_->[1] for @bad;
    for my $command ('sql', 'service list', 'service check', 'service deploy', 'service rollback', 'service remove',
        'statements', 'slow') {
        my $text = gives [split(/ /, $command), '--help'], 0, qr/^usage: jackdaw \Q$command\E/;
        is_deeply [grep { length > 80 } split /\n/, $text], [], 'fits a terminal';
    }
    gives ['service', '--help'], 0, qr/\A  service list .*  service remove [^\n]*\n\z/s;
};

$fake->stop;

# ---- the real server -------------------------------------------------------------

subtest 'the real server' => sub {
    my $server = Jackdaw->start;
    my $admin = $server->dir . '/admin.sock';
    my $service = sub { Jackdaw->run($client, '--socket', $admin, 'service', @_) };
    my %files = (
        'notes.sql' => "-- GET /list\nSELECT id, text FROM notes;\n\n-- POST /list\n-- reply: one\n-- status: 201\n"
            . "INSERT INTO notes(text) VALUES (:text) RETURNING id;\n",
        'migrations/0001_init.sql' => "CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT NOT NULL);\n",
        'README.md' => 'Notes.',
    );
    my $dir = folder('notes', %files);
    is_deeply [$service->('check', $dir)], [0, "notes: good, 1 migration would be applied\n", ''], 'check';
    is $server->get('/notes/list')->{status}, 404, 'changes nothing';
    is_deeply [$service->('deploy', $dir)], [0, "notes: version 1 deployed (1 migration applied)\n", ''], 'deploy';
    is $server->get('/notes/list')->{content}, "[]\n", 'brings it in';
    is_deeply [$service->('deploy', $dir)], [0, "notes: nothing has changed (version 1)\n", ''], 'again';
    $dir = folder('notes', %files, 'notes.sql' => $files{'notes.sql'} =~ s/id, text/id, txt/r);
    my ($status, $out, $err) = $service->('deploy', $dir);
    is "$status$out", '1', 'a mistake is an error';
    like $err, qr{^\Q$dir\E/notes\.sql:\d+: no such column: txt\n\z}, 'with its place';
    ($status, $out) = $service->('check', $dir, '-o', 'json');
    my $told = $json->decode($out);
    is $status, 1, 'in JSON as well';
    is $told->{complaints}[0]{file}, 'notes.sql', 'the file';
    like $told->{complaints}[0]{text}, qr/no such column/, 'the text';
    is $server->get('/notes/list')->{content}, "[]\n", 'nothing has changed';
    $dir = folder('notes', %files, 'notes.sql' => $files{'notes.sql'} =~ s/id, text/text/r);
    is_deeply [$service->('deploy', $dir)], [0, "notes: version 2 deployed\n", ''], 'the next version';
    like +($service->('list'))[1], qr/^notes +2 +1 +2 /m, 'is listed';
    is(($service->('rollback', 'notes'))[0], 0, 'rollback');
    my $list = $json->decode(($service->('list', '-o', 'json'))[1]);
    is scalar @{ $list->{services} }, 1, 'list as JSON';
    ($status, $out) = Jackdaw->run($client, '--socket', $admin, 'sql', 'notes', '-e', "INSERT INTO notes(text) VALUES('a')");
    is "$status$out", "01 row changed\n", 'its database has its name';
    is $server->get('/notes/list')->{content}, qq([{"id":1,"text":"a"}]\n), 'the version before is back';
    ($status, $out) = Jackdaw->run($client, '--socket', $admin, 'statements');
    like $out, qr{notes +GET /notes/list +SELECT id, text FROM notes}, 'its statements are counted';
    is(($service->('rollback', 'nothing'))[0], 3, 'no such service');
    ($status, $out) = Jackdaw->run($client, '--url', $server->url, 'status');
    like $out, qr/^database +notes: .*\nservice +notes: version \d+\n/m, 'status tells of it';
    is_deeply [$service->('remove', 'notes')], [0, "notes: removed, its data stays\n", ''], 'remove';
    is $server->get('/notes/list')->{status}, 404, 'takes it out';
    is(($service->('remove', 'notes'))[0], 3, 'once');
    is_deeply [$service->('remove', 'notes', '--purge', '--yes')], [0, "notes: removed, with its data\n", ''], 'purge';
    is $server->stop, 0, 'the daemon ends well';
};

done_testing;
