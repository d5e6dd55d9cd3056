# SPDX-License-Identifier: MIT

# SQL of somebody who means harm, or does not know better: a clear refusal or
# a deadline, bounded memory, and the next request is answered as ever.
use strict;
use warnings;
use Jackdaw;
use JSON::PP;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $slow   = Jackdaw::slowness();
# The address sanitizer keeps what was freed, for a while: here, less of it, so
# that memory can be looked at.
my $asan   = join ':', grep { length } $ENV{ASAN_OPTIONS} // '', 'quarantine_size_mb=8';
my $server = Jackdaw->start(env => { ASAN_OPTIONS => $asan }, conf => <<'EOC');
store main { kind = durable max_size = "64M" }
database main { max_size = "16M" }
limits { statement_timeout = "60s" }
EOC
*is_problem = \&Jackdaw::is_problem;
my $json    = JSON::PP->new->utf8;
my $outside = $server->tmp . '/outside.db';

sub send_sql {
    my ($members, @headers) = @_;
    return $server->request(POST => '/v1/sql/main', content => $json->encode($members),
        headers => ['Content-Type' => 'application/json', @headers], timeout => 60);
}

sub sql { return send_sql({ sql => $_[0], timeout => $_[1] // '10s' }) }

send_sql({ statements => [
    { sql => 'CREATE TABLE t(id INTEGER PRIMARY KEY, n INT, text TEXT)' },
    { sql => 'INSERT INTO t VALUES (1, 10, \'one\'), (2, 20, \'two\')' },
    { sql => 'CREATE TABLE big(x INT, y TEXT)' },
    { sql => 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000) '
            . "INSERT INTO big SELECT x, 'row ' || x FROM c" },
] })->{status} == 200 or die 'no tables';

# As ever: a key, a row, and a row written.
sub is_well {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $read = sql('SELECT n FROM t WHERE id = 2');
    my @ok   = ($read->{status} == 200 && $read->{content} =~ /"rows":\[\[20\]\]/,
        sql('UPDATE t SET n = n WHERE id = 1')->{content} =~ /"changes":1/,
        $server->get('/v1/kv/main/none')->{status} == 404, $server->alive);
    ok !(grep { !$_ } @ok), $name // 'all is well after it' or diag "@ok", $read->{content};
}

subtest 'what is not allowed' => sub {
    my @statements = (
        "ATTACH '$outside' AS o",
        "ATTACH ':memory:' AS o",
        'DETACH main',
        "VACUUM INTO '$outside'",
        "SELECT load_extension('$outside')",
        'BEGIN', 'BEGIN IMMEDIATE', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT s', 'RELEASE s',
        'ROLLBACK TO s',
        'CREATE TEMP TABLE x(a)',
        'CREATE TEMPORARY VIEW x AS SELECT 1',
        'CREATE TABLE temp.x(a)',
        'CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END',
        'PRAGMA journal_mode = DELETE',
        'PRAGMA journal_mode',
        'PRAGMA synchronous = OFF',
        'PRAGMA locking_mode = NORMAL',
        'PRAGMA writable_schema = ON',
        'PRAGMA schema_version = 1',
        'PRAGMA wal_checkpoint(TRUNCATE)',
        'PRAGMA wal_autocheckpoint = 1',
        'PRAGMA cache_size = 1000000',
        'PRAGMA mmap_size = 1000000000000',
        'PRAGMA max_page_count = 1000000000',
        'PRAGMA page_size = 512',
        'PRAGMA foreign_keys = OFF',
        'PRAGMA query_only = OFF',
        'PRAGMA trusted_schema = ON',
        'PRAGMA temp_store_directory = "/tmp"',
        'PRAGMA hard_heap_limit = 1000000',
        'PRAGMA busy_timeout = 100000',
        "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 2, 'CREATE TABLE x(a)')",
        'DELETE FROM sqlite_schema',
        'UPDATE sqlite_schema SET sql = NULL',
        'DROP TABLE sqlite_schema',
        'CREATE TABLE sqlite_mine(a)',
    );
    for my $sql (@statements) {
        my $reply   = sql($sql);
        my $problem = is_problem($reply, $reply->{status}, undef, $sql);
        like $reply->{status}, qr/^4/, "refused: $problem->{code}, $problem->{detail}";
    }
    ok !-e $outside, 'no file was made';
    is_well();
    my $again = send_sql({ statements => [{ sql => 'UPDATE t SET n = 0' }, { sql => 'COMMIT' }] });
    like $again->{status}, qr/^4/, 'nor within several';
    is_well('nothing was done');
    like sql("SELECT $_")->{status}, qr/^4/, "no $_" for "readfile('/etc/passwd')",
        "writefile('$outside', 'x')", "edit('x')", "fts3_tokenizer('x')";
};

subtest 'what asks for too much' => sub {
    my $deep = 300;
    my @statements = (
        ['a huge blob', 'SELECT zeroblob(1000000000)'],
        ['of a huge blob', 'SELECT hex(zeroblob(900000000))'],
        ['a huge text', "SELECT replace(hex(zeroblob(8000000)), '0', 'xx')"],
        ['a character 900,000,000 times', "SELECT printf('%.*c', 900000000, 'x')"],
        ['the same for format()', "SELECT format('%.900000000c', 'x')"],
        ['the same in a write', "INSERT INTO t SELECT length(printf('%*c', 900000000, 'x'))"],
        ['a replace that grows', "SELECT replace(replace(hex(zeroblob(100000)), '0', hex(zeroblob(1000))), '0', hex(zeroblob(1000)))"],
        ['a group that grows', "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT group_concat(hex(zeroblob(1000))) FROM c"],
        ['a text that doubles', "WITH RECURSIVE c(t) AS (SELECT 'x' UNION ALL SELECT t || t FROM c) SELECT length(t) FROM c WHERE 0"],
        ['deep brackets', 'SELECT ' . '(' x 20_000 . '1' . ')' x 20_000],
        ['a deep expression', 'SELECT 1' . '+1' x 20_000],
        ['deep negation', 'SELECT ' . 'NOT ' x 15_000 . '1'],
        ['deep queries', 'SELECT * FROM ' . '(SELECT * FROM ' x $deep . 't' . ')' x $deep],
        ['deep functions', 'SELECT ' . 'abs(' x 2000 . '1' . ')' x 2000],
        ['a long compound', join ' UNION ALL ', ('SELECT 1') x 5000],
        ['many tables', 'SELECT * FROM ' . join ', ', map { "t AS t$_" } 1 .. 65],
        ['many columns', 'SELECT ' . join ',', 1 .. 10_000],
        ['many arguments', 'SELECT max(' . join(',', 1 .. 1000) . ')'],
        ['a long pattern', "SELECT 'x' LIKE '" . '%x' x 30_000 . "'"],
        ['deep JSON', "SELECT json('" . '[' x 20_000 . ']' x 20_000 . "')"],
        ['a cross join', 'SELECT count(*) FROM big a, big b, big c WHERE a.y || b.y = c.y', '500ms'],
        ['a slow pattern', "SELECT count(*) FROM big a, big b WHERE a.y || b.y LIKE '%a%b%c%d%'", '500ms'],
        ['rows without end', 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c', '500ms'],
        ['a set without end', 'WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT count(*) FROM c', '500ms'],
        ['a sort without end', 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c ORDER BY -x', '500ms'],
        ['rows written without end', 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) INSERT INTO big SELECT x, x FROM c', '500ms'],
        ['larger than the database', 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) INSERT INTO big SELECT x, zeroblob(100000) FROM c'],
    );
    my $before = $server->rss;
    for (@statements) {
        my ($name, $sql, $timeout) = @$_;
        my $begin = time;
        my $reply = sql($sql, $timeout // '1s');
        my $took  = time - $begin;
        if ($reply->{status} == 200) {
            # Allowed, then, but within all bounds.
            cmp_ok length $reply->{content}, '<', 17 << 20, "$name is answered";
        } else {
            my $problem = is_problem($reply, $reply->{status}, undef, $name);
            like $reply->{status}, qr/^(4..|504|507)$/, "refused: $problem->{status} $problem->{detail}";
        }
        cmp_ok $took, '<', 5 * $slow, sprintf 'in time: %.1f s', $took;
        is_well();
    }
    my $grown = $server->rss - $before;
    # Sanitizers keep what was freed for a while.
    cmp_ok $grown, '<', 100 << 20, sprintf 'it grew by %d KiB', $grown / 1024 if $slow == 1;
};

# What is sent has megabytes, so most of the time is JSON's, and some the client's.
subtest 'values without end' => sub {
    my $names = 'SELECT ' . join ', ', map { ":p$_" } 0 .. 127;
    my $many  = join ',', map { qq("x$_":1) } 1 .. 250_000;
    my $ours  = join ',', map { qq(":p$_":1) } 0 .. 127;
    for (['first', "$many,$ours"], ['last', "$ours,$many"]) {
        my ($name, $members) = @$_;
        my $begin = time;
        my $reply = $server->request(POST => '/v1/sql/main', timeout => 60,
            content => qq({"sql":"$names","params":{$members}}), headers => ['Content-Type' => 'application/json']);
        my $took    = time - $begin;
        my $problem = is_problem($reply, 400, 'bad_request', "names that are not in it, $name");
        like $problem->{detail}, qr/"x\d+" is not in the statement/, 'one is said';
        cmp_ok $took, '<', 5 * $slow, sprintf 'in time: %.1f s', $took;
    }
    my $names_4 = join ',', map { my $p = $_; map { qq("${_}p$p":1) } '', ':', '@', '$' } 0 .. 127;
    like $server->request(POST => '/v1/sql/main', content => qq({"sql":"$names","params":{$names_4}}),
        headers => ['Content-Type' => 'application/json'])->{content}, qr/is not in the statement/, 'four for each';
    is_well();
};

# A planner weighs more ways than anybody can wait for; nothing of it runs.
subtest 'joins without end' => sub {
    my $join = 'FROM j t0';
    for my $k (1 .. 59) {
        my @on = map { my $i = $k - $_; $i < 0 ? () : "t$k.a = t$i.b AND t$k.c = t$i.d AND t$k.b = t$i.c" }
            1, 2, 3, 5, 8, 13;
        $join .= " JOIN j t$k ON " . join ' AND ', @on;
    }
    my @indexes = map { "CREATE INDEX j_$_->[0]$_->[1] ON j($_->[0], $_->[1])" } ['a', 'b'], ['b', 'c'], ['c', 'd'], ['d', 'a'];
    sql('CREATE TABLE j(a, b, c, d)');
    my $soon = sub {
        my ($name, $members, $target) = @_;
        my $client = $server->connect;
        my $begin  = time;
        $client->send_request(POST => $target // '/v1/sql/main', content => $json->encode({ %$members, timeout => '100ms' }),
            headers => { 'Content-Type' => 'application/json' });
        sleep 0.02;
        my $live = time;
        is $server->get('/livez')->{status}, 200, "$name: others are answered";
        cmp_ok time - $live, '<', 1 * $slow, 'soon';
        is_problem($client->read_reply('POST'), 504, 'deadline', "$name: not in time");
        my $took = time - $begin;
        cmp_ok $took, '<', 2 * $slow, sprintf 'and it is said: after %.2f s', $took;
    };
    is sql("SELECT count(*) $join")->{status}, 200, 'sixty tables' if $slow == 1;
    sql($_) for @indexes;
    $soon->('prepared anew', { sql => "SELECT count(*) $join" }) if $slow == 1;
    $soon->('a read', { sql => "SELECT 1 $join" });
    $soon->('among others', { statements => [{ sql => 'SELECT :a', params => { a => { base64 => 'AAAA' } } },
        { sql => "SELECT 2 $join" }] });
    $soon->('a write', { sql => "INSERT INTO j SELECT 1, 2, 3, 4 $join" });
    $soon->('after a change of the schema', { statements => [{ sql => 'CREATE TABLE j2(a)' },
        { sql => "INSERT INTO j2 SELECT 1 $join" }] });
    $soon->('a plan', { sql => "SELECT 3 $join" }, '/v1/sql/main/explain');
    # Short ones that are as long to plan, by way of a view. Who looks at what statements cost plans them again.
    sql("CREATE VIEW joins AS SELECT 1 " . $join =~ s/ JOIN j t43 .*//r);
    my $begin = time;
    is sql('SELECT count(*) FROM (' . join(' UNION ALL ', ('SELECT * FROM joins') x 2) . ')', '60s')->{status}, 200,
        'a view of joins';
    my ($took, $look) = (time - $begin, time);
    my ($listed) = grep { $_->{sql} =~ /joins/ }
        @{ $server->json(Service::admin($server, GET => '/v1/admin/statements'))->{statements} };
    is_deeply $listed->{hints}, [], 'statements: no hints' or note explain $listed;
    $look = time - $look;
    cmp_ok $look, '<', $took / 2, sprintf 'but soon: after %.2f s, of %.2f s', $look, $took;
    is_well();
    sql('DROP TABLE j');
};

subtest 'schemas that trap whoever reads them' => sub {
    my @traps = (
        ['a trigger that fires itself',
            'CREATE TABLE loop(n INT)',
            'CREATE TRIGGER again AFTER INSERT ON loop BEGIN INSERT INTO loop VALUES (new.n + 1); END',
            'INSERT INTO loop VALUES (1)', 'DROP TABLE loop'],
        ['a view of itself', 'CREATE VIEW v AS SELECT * FROM w', 'CREATE VIEW w AS SELECT * FROM v',
            'SELECT * FROM v', 'DROP VIEW v', 'DROP VIEW w'],
        ['a view of an unknown function', 'CREATE VIEW u AS SELECT nothing_like_it(n) AS n FROM t',
            'SELECT * FROM u', 'DROP VIEW u'],
        ['a generated column', "CREATE TABLE g(a INT, b AS (hex(zeroblob(a))))",
            'INSERT INTO g VALUES (900000000)', 'SELECT b FROM g', 'DROP TABLE g'],
        ['a check that never ends',
            'CREATE TABLE k(a CHECK (a LIKE \'' . '%a' x 1000 . '\'))',
            "INSERT INTO k VALUES (printf('%.*c', 100000, 'a'))", 'DROP TABLE k'],
        ['an index of a huge value', "CREATE INDEX i ON big(hex(zeroblob(x * 1000)))", 'DROP INDEX IF EXISTS i'],
    );
    for (@traps) {
        my ($name, @sql) = @$_;
        for (@sql) {
            my $begin = time;
            my $reply = sql($_, '2s');
            like $reply->{status}, qr/^(200|4..|504|507)$/, "$name: " . substr($_, 0, 60) . " is $reply->{status}";
            diag $reply->{content} if $reply->{status} >= 500 && $reply->{status} !~ /50[47]/;
            cmp_ok time - $begin, '<', 6 * $slow, 'in time';
        }
        is_well();
    }
};

subtest '10 million rows' => sub {
    my $rows = 10_000_000;
    my $sql  = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $rows) SELECT x FROM c";
    my $reply = sql($sql);
    is $reply->{status}, 200, 'in JSON they are truncated';
    like $reply->{content}, qr/,\[1000\]\],"truncated":true\}/, 'to 1000';
    $reply = sql("SELECT count(*) FROM ($sql)", '1s');
    like $reply->{status}, qr/^(200|504)$/, 'or counted, if there is time';
    is_well();
};

subtest 'one does not hold up another' => sub {
    my $cross = $json->encode({ sql => 'SELECT count(*) FROM big a, big b, big c WHERE a.y || b.y = c.y',
        timeout => '2s' });
    my @clients = map { $server->connect } 1 .. 4;
    $_->send_request(POST => '/v1/sql/main', content => $cross,
        headers => { 'Content-Type' => 'application/json' }) for @clients;
    sleep 0.2;
    my @times;
    for (1 .. 50) {
        my $begin = time;
        is $server->get('/v1/kv/main/none')->{status}, 404, 'a key' if $_ == 1;
        $server->get('/v1/kv/main/none');
        push @times, time - $begin;
    }
    @times = sort { $a <=> $b } @times;
    cmp_ok $times[40], '<', 0.1 * $slow, sprintf 'keys are read beside four: p80 %.1f ms, worst %.1f ms',
        $times[40] * 1000, $times[-1] * 1000;
    my $begin = time;
    is sql('SELECT n FROM t WHERE id = 2')->{status}, 200, 'and so is a row';
    cmp_ok time - $begin, '<', 1 * $slow, 'soon';
    is_problem($_->read_reply('POST'), 504, 'deadline', 'while they run into their deadline') for @clients;
    is_well();
};

subtest 'only this machine' => sub {
    my ($address) = grep { !/^127\./ } split ' ', `hostname -I 2>/dev/null`;
    plan skip_all => 'there is no other address' if !$address || $address =~ /:/;
    my $open = Jackdaw->start(listen => '0.0.0.0:0');
    my $port = $open->port;
    my $ask  = sub {
        return $open->connect(address => "$_[0]:$port")->request(POST => '/v1/sql/main',
            content => '{"sql":"SELECT 1"}', headers => { 'Content-Type' => 'application/json' });
    };
    is $ask->('127.0.0.1')->{status}, 200, 'over loopback';
    is $ask->('127.9.9.9')->{status}, 200, 'any of it';
    my $problem = is_problem($ask->($address), 403, 'forbidden', "over $address");
    like $problem->{detail}, qr/loopback/, 'says why';
    is $open->connect(address => "$address:$port")->request(GET => '/livez')->{status}, 200,
        'which is open for other things';
    is $open->stop, 0, 'ends well';
    my $path   = $server->tmp . '/http.sock';
    my $socket = Jackdaw->start(listen => "unix:$path");
    is $socket->post('/v1/sql/main', '{"sql":"SELECT 1"}', { 'Content-Type' => 'application/json' })->{status},
        200, 'over a Unix socket';
    is $socket->stop, 0, 'ends well';
};

is $server->stop, 0, 'ends well';
done_testing;
