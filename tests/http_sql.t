# SPDX-License-Identifier: MIT

# SQL over HTTP: forms, parameters, transactions, and what is refused.
use strict;
use warnings;
use Jackdaw;
use JSON::PP;
use MIME::Base64;
use Test::More;

my $server = Jackdaw->start(conf => <<'EOC');
database main { max_size = "64M" }
database other { max_size = "64M" }
EOC
*is_problem = \&Jackdaw::is_problem;
my $json = JSON::PP->new->canonical->utf8->allow_nonref->allow_bignum;
my %json_type = ('Content-Type' => 'application/json');

# What is sent is bytes, as it stands, or a structure.
sub send_sql {
    my ($body, %options) = @_;
    $body = $json->encode($body) if ref $body;
    return $server->request($options{method} // 'POST', $options{target} // '/v1/sql/main',
        content => $body, headers => { %json_type, %{ $options{headers} // {} } });
}

sub sql {
    my ($sql, $params, %options) = @_;
    return send_sql({ sql => $sql, defined $params ? (params => $params) : () }, %options);
}

# The rows of a query that succeeds.
sub rows_of {
    my $reply = sql(@_);
    is $reply->{status}, 200, "200: $_[0]" or diag $reply->{content};
    return ($server->json($reply) // {})->{rows};
}

# The first value, as it stands in the reply.
sub raw_value {
    my $reply = sql(@_);
    return $reply->{content} =~ /"rows":\[\[(.*?)\]\]/ ? $1 : $reply->{content};
}

subtest 'a result in JSON' => sub {
    my $reply = sql('CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, '
            . 'n INT CHECK (n > 0), b BLOB)');
    is $reply->{status}, 200, 'a table is made';
    is $reply->{content}, qq({"changes":0,"last_insert_rowid":0}\n), 'which changes no rows';
    is $reply->{headers}{'content-type'}, 'application/json', 'the type';
    is $reply->{headers}{'cache-control'}, 'no-store', 'is not to be kept';
    is $reply->{headers}{'x-content-type-options'}, 'nosniff', 'nor guessed';
    is sql("INSERT INTO t(name, n) VALUES ('a', 1), ('b', 2)")->{content},
        qq({"changes":2,"last_insert_rowid":2}\n), 'rows are inserted';
    is sql('SELECT id, name, n + 1 AS more FROM t ORDER BY id')->{content},
        '{"columns":[{"name":"id","type":"INTEGER"},{"name":"name","type":"TEXT"},'
        . '{"name":"more","type":""}],"rows":[[1,"a",2],[2,"b",3]],"truncated":false}' . "\n",
        'and read';
    is sql('SELECT id FROM t WHERE 0')->{content},
        qq({"columns":[{"name":"id","type":"INTEGER"}],"rows":[],"truncated":false}\n),
        'no row';
    is sql('UPDATE t SET n = n WHERE 0')->{content}, qq({"changes":0,"last_insert_rowid":0}\n),
        'nothing changed, and no rowid of another request';
    is sql("INSERT INTO t(name) VALUES ('c') RETURNING id, name")->{content},
        '{"columns":[{"name":"id","type":"INTEGER"},{"name":"name","type":"TEXT"}],'
        . '"rows":[[3,"c"]],"truncated":false,"changes":1,"last_insert_rowid":3}' . "\n",
        'RETURNING';
    is sql("DELETE FROM t WHERE name = 'c'")->{content},
        qq({"changes":1,"last_insert_rowid":0}\n), 'DELETE';
    is sql('VACUUM')->{content}, qq({"changes":0,"last_insert_rowid":0}\n),
        'VACUUM, which changes nothing, and tells nothing of another request';
};

subtest 'objects' => sub {
    my $objects = sub { return sql($_[0], undef, target => '/v1/sql/main?shape=objects') };
    is $objects->('SELECT id, name FROM t ORDER BY id')->{content},
        '{"columns":[{"name":"id","type":"INTEGER"},{"name":"name","type":"TEXT"}],'
        . '"rows":[{"id":1,"name":"a"},{"id":2,"name":"b"}],"truncated":false}' . "\n", 'rows';
    like $objects->('SELECT 1 AS a, 2 AS a')->{content}, qr/\{"a":1,"a:1":2\}/,
        'no name comes twice';
    like $objects->("UPDATE t SET n = 5 WHERE id = 1 RETURNING id, n")->{content},
        qr/"rows":\[\{"id":1,"n":5\}\],"truncated":false,"changes":1/, 'RETURNING too';
    is_problem(sql('SELECT 1', undef, target => '/v1/sql/main?shape=tables'), 400, 'bad_request',
        'an unknown shape');
    is_problem(sql('SELECT 1', undef, target => '/v1/sql/main?size=1'), 400, 'bad_request',
        'an unknown parameter');
};

subtest 'values are exact' => sub {
    my @small = qw(0 -1 9007199254740992 -9007199254740992);
    my @large = qw(9007199254740993 -9007199254740993 9223372036854775807 -9223372036854775808);
    for my $integer (@small, @large) {
        my $reply = send_sql(qq({"sql":"SELECT ?","params":[$integer]}));
        like $reply->{content}, qr/"rows":\[\[\Q$integer\E\]\]/, "integer $integer";
        my $quoted = (grep { $_ eq $integer } @large) ? qq("$integer") : $integer;
        $reply = send_sql(qq({"sql":"SELECT ?","params":[$integer]}),
            target => '/v1/sql/main?int64=string');
        like $reply->{content}, qr/"rows":\[\[\Q$quoted\E\]\]/, "$quoted with int64=string";
    }
    for my $real (qw(0.1 1.0 -2.5 1e+100 1.7976931348623157e+308 0.30000000000000004)) {
        my $reply = send_sql(qq({"sql":"SELECT ?, typeof(?1)","params":[$real]}));
        like $reply->{content}, qr/"rows":\[\[\Q$real\E,"real"\]\]/, "real $real";
    }
    is raw_value('SELECT ?, ?, ?', [JSON::PP::true, JSON::PP::false, undef]), '1,0,null',
        'true is 1, false is 0';
    is raw_value('SELECT 9e999, -9e999'), 'null,null', 'infinite is null';
    my $text = "\x{20ac} \x{1f426} \x00 \" \\ \n";
    is_deeply rows_of('SELECT ?1, length(CAST(?1 AS BLOB))', [$text]),
        [[$text, 16]], 'any text';
    is raw_value("SELECT CAST(x'61ff' AS TEXT)"), '{"base64":"Yf8="}', 'text that is not UTF-8';
    my $blob = join '', map { chr } 0 .. 255;
    my $coded = encode_base64($blob, '');
    is_deeply rows_of('SELECT ?1, typeof(?1), length(?1)', [{ base64 => $coded }]),
        [[{ base64 => $coded }, 'blob', 256]], 'a blob there and back';
    is_deeply rows_of("SELECT ?1, typeof(?1)", [{ base64 => '' }]), [[{ base64 => '' }, 'blob']],
        'an empty one';
};

subtest 'parameters' => sub {
    my $named = 'SELECT :a, @b, $c, :a';
    is raw_value($named, { a => 1, b => 2, c => 3 }), '1,2,3,1', 'by name';
    is raw_value($named, { ':a' => 1, '@b' => 2, '$c' => 3 }), '1,2,3,1', 'with their sign';
    is raw_value($named, [1, 2, 3]), '1,2,3,1', 'in the order of their first use';
    is raw_value('SELECT ?2, ?1', [1, 2]), '2,1', 'by number';
    is raw_value('SELECT ?2, ?1', { 1 => 'x', 2 => 'y' }), '"y","x"', 'by number in an object';
    is raw_value('SELECT :x, @x', { x => { base64 => 'AA==' } }),
        '{"base64":"AA=="},{"base64":"AA=="}', 'one member for two';
    is raw_value('SELECT 1', $_), '1', 'none: ' . $json->encode($_) for [], {};
    is raw_value('SELECT 1'), '1', 'none at all';
    my @wrong = (
        [$named, { a => 1, b => 2 }, qr/"c" has no value/],
        [$named, { a => 1, b => 2, c => 3, d => 4 }, qr/"d" is not in the statement/],
        [$named, { a => 1, ':a' => 1, b => 2, c => 3 }, qr/"\:?a" is not in/],
        [$named, [1, 2], qr/"c" has no value/],
        [$named, [1, 2, 3, 4], qr/4 values.*3 parameters/],
        [$named, {}, qr/"a" has no value/],
        ['SELECT ?', [], qr/number 1 has no value/],
        ['SELECT ?3', [1, 2], qr/number 3 has no value/],
        ['SELECT 1', [1], qr/1 values.*0 parameters/],
        ['SELECT 1', { x => 1 }, qr/"x" is not in/],
        ['SELECT ?', [[]], qr/number 1 is an array/],
        ['SELECT :v', { v => { base65 => '' } }, qr/"v" is an object/],
        ['SELECT :v', { v => { base64 => 'A' } }, qr/"v" is an object, but not/],
        ['SELECT :v', { v => { base64 => 'AA==', x => 1 } }, qr/"v" is an object/],
        ['SELECT ?', 'x', qr/"params" must be an array or an object/],
        ['SELECT :v', { "v\x{e9}" x 60 => 1 }, qr/"v" has no value/],
        ['SELECT 1', { "\x{e9}" x 60 => 1 }, qr/is not in/],
    );
    for (@wrong) {
        my ($sql, $params, $detail) = @$_;
        my $problem = is_problem(sql($sql, $params), 400, 'bad_request',
            $json->encode($params) . " for $sql");
        like $problem->{detail}, $detail, 'says which';
    }
    for my $number (qw(9223372036854775808 -9223372036854775809 1234567890123456789012345)) {
        my $problem = is_problem(send_sql(qq({"sql":"SELECT ?","params":[1, $number]})),
            400, 'bad_request', "$number has no 64 bits");
        like $problem->{detail}, qr/number 2 does not fit 64 bits/, 'says which';
        $problem = is_problem(send_sql(qq({"sql":"SELECT :v","params":{"v":$number}})),
            400, 'bad_request', 'by name');
        like $problem->{detail}, qr/"v" does not fit 64 bits/, 'says which';
    }
    is raw_value('SELECT ' . join(',', ('?') x 128), [1 .. 128]), join(',', 1 .. 128),
        '128 parameters';
    is sql('SELECT ' . join('+', ('?') x 129), [1 .. 129])->{status}, 400, '129 are too many';
};

subtest 'errors have their status' => sub {
    my @cases = (
        ['SELEC 1', 400, 'sql_syntax', qr/SELEC/],
        ['SELECT * FROM nowhere', 400, 'sql_syntax', qr/no such table/],
        ['SELECT missing FROM t', 400, 'sql_syntax', qr/no such column/],
        ['SELECT missing()', 400, 'sql_syntax', qr/no such function/],
        ["SELECT 'open", 400, 'sql_syntax', undef],
        ['', 400, 'bad_request', undef],
        [' -- nothing', 400, 'bad_request', undef],
        ['SELECT 1; SELECT 2', 400, 'bad_request', undef],
        ["INSERT INTO t(name) VALUES ('a')", 409, 'conflict', qr/UNIQUE.*t\.name/],
        ["INSERT INTO t(id, name) VALUES (1, 'x')", 409, 'conflict', undef],
        ['INSERT INTO t(name) VALUES (NULL)', 422, 'constraint', qr/NOT NULL.*t\.name/],
        ["INSERT INTO t(name, n) VALUES ('x', 0)", 422, 'constraint', qr/CHECK/],
        ["INSERT INTO t(id, name) VALUES ('x', 'x')", 422, 'constraint', undef],
        ["SELECT abs(-9223372036854775808)", undef, undef, undef],
    );
    for (@cases) {
        my ($sql, $status, $code, $detail) = @$_;
        my $reply = sql($sql);
        if (!$status) {
            like $reply->{status}, qr/^4/, "4xx: $sql";
            next;
        }
        my $problem = is_problem($reply, $status, $code, "$status: $sql");
        like $problem->{detail}, $detail, 'says what' if $detail;
        ok !exists $problem->{index}, 'without an index';
    }
    sql('CREATE TABLE parent(id INTEGER PRIMARY KEY)');
    sql('CREATE TABLE child(parent REFERENCES parent(id))');
    is_problem(sql('INSERT INTO child VALUES (1)'), 409, 'conflict', 'a foreign key');
    sql('CREATE TABLE strict(i INT) STRICT');
    is_problem(sql("INSERT INTO strict VALUES ('x')"), 422, 'constraint', 'a type of a STRICT table');
    is_problem(sql('SELECT 1', undef, target => '/v1/sql/nowhere'), 404, 'not_found',
        'no such database');
    is_problem(sql('SELECT 1', undef, target => '/v1/sql/'), 404, 'not_found', 'no name');
    is_problem(sql('SELECT 1', undef, target => '/v1/sql/main/x'), 404, 'not_found', 'below it');
    is_problem(sql('SELECT 1', undef, method => $_), 405, 'method_not_allowed', $_)
        for qw(PUT PATCH);
    my $get = $server->get('/v1/sql/main');
    is_problem($get, 405, 'method_not_allowed', 'GET');
    like $get->{headers}{allow}, qr/\bPOST\b.*\bQUERY\b/, 'says what is';
};

subtest 'the body' => sub {
    my @cases = (
        ['', qr/body is expected/],
        ['[]', qr/object is expected/],
        ['{', qr/not JSON/],
        ['{"sql":1}', qr/"sql" must be a string/],
        ['{}', qr/"sql" is missing/],
        ['{"sql":"SELECT 1","x":1}', qr/unknown member/],
        ['{"sql":"SELECT 1","sql":"SELECT 2"}', qr/not JSON/],
        ['{"sql":"SELECT 1\u0000"}', qr/NUL/],
        ['{"sql":"SELECT 1","limit":0}', qr/"limit"/],
        ['{"sql":"SELECT 1","limit":-1}', qr/"limit"/],
        ['{"sql":"SELECT 1","limit":1.5}', qr/"limit"/],
        ['{"sql":"SELECT 1","limit":100001}', qr/100000/],
        ['{"sql":"SELECT 1","timeout":5}', qr/"timeout"/],
        ['{"sql":"SELECT 1","timeout":"5"}', qr/"timeout"/],
        ['{"sql":"SELECT 1","timeout":"0s"}', qr/"timeout"/],
        ['{"statements":[]}', qr/one or more/],
        ['{"statements":{}}', qr/one or more/],
        ['{"statements":[1]}', qr/object is expected/],
        ['{"statements":[{"sql":"SELECT 1","limit":1}]}', qr/unknown member/],
        ['{"statements":[{"sql":"SELECT 1"}],"sql":"SELECT 1"}', qr/one of "sql" and "statements"/],
        ['{"sql":"SELECT 1","params":' . '[' x 40 . ']' x 40 . '}', qr/nested/],
        ['{"sql":"SELECT 1","params":' . '[' x 100_000 . '}', qr/nested/],
    );
    for (@cases) {
        my ($body, $detail) = @$_;
        my $problem = is_problem(send_sql($body), 400, 'bad_request', substr $body, 0, 60);
        like $problem->{detail}, $detail, 'says what';
    }
    is send_sql('{"sql":"SELECT \'' . '[{' x 50 . '\\\\\'"}')->{status}, 200,
        'brackets in a string are none';
    my $body = '{"sql":"SELECT 1"}';
    for my $type (undef, '', 'text/plain', 'application/x-www-form-urlencoded',
        'application/jsonx', 'multipart/form-data') {
        is_problem($server->post('/v1/sql/main', $body, { defined $type ? ('Content-Type' => $type) : () }),
            415, 'unsupported_media_type', 'type ' . ($type // 'none'));
    }
    for my $type ('Application/JSON', 'application/json; charset=utf-8', 'application/json;charset=utf-8') {
        is $server->post('/v1/sql/main', $body, { 'Content-Type' => $type })->{status}, 200, $type;
    }
    my $long = 'SELECT 1 -- ' . 'x' x 65536;
    my $problem = is_problem(sql($long), 413, 'too_large', 'a long statement');
    like $problem->{detail}, qr/65536/, 'names the limit';
    is sql(substr $long, 0, 65536)->{status}, 200, 'at the limit';
    $problem = is_problem(sql('SELECT ?', ['x' x (5 << 20)]), 413, 'too_large', 'a long body');
};

subtest 'the limit of rows' => sub {
    my $count = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < %d) SELECT x FROM c';
    my $of = sub {
        my ($n, $limit, %options) = @_;
        return send_sql({ sql => sprintf($count, $n), $limit ? (limit => $limit) : () }, %options);
    };
    my $got = $server->json($of->(1000));
    is scalar @{ $got->{rows} }, 1000, '1000 rows';
    ok !$got->{truncated}, 'are all there are';
    $got = $server->json($of->(1001));
    is scalar @{ $got->{rows} }, 1000, 'of 1001 rows there are 1000';
    ok $got->{truncated}, 'and it is said';
    $got = $server->json($of->(50_000, 20_000));
    is scalar @{ $got->{rows} }, 20_000, 'more when asked for';
    ok $got->{truncated}, 'truncated';
    my $reply = $of->(5, 3, headers => { Accept => 'application/x-ndjson' });
    is $reply->{content}, qq({"x":1}\n{"x":2}\n{"x":3}\n{"end":true,"rows":3,"truncated":true}\n),
        'in lines';
    $reply = $of->(5, 3, headers => { Accept => 'text/csv' });
    is $reply->{content}, "x\r\n1\r\n2\r\n3\r\n", 'in CSV';
    $reply = send_sql({ sql => "INSERT INTO t(name) VALUES ('x1'), ('x2'), ('x3') RETURNING name", limit => 2 });
    like $reply->{content}, qr/"rows":\[\["x1"\],\["x2"\]\],"truncated":true,"changes":3,/,
        'what RETURNING gives is truncated, what it does is not';
    my $problem = is_problem(send_sql({ limit => 100_000, sql =>
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
        . "SELECT replace(hex(zeroblob(500)), '0', 'x') FROM c" }), 413, 'too_large', 'more than 16 MiB');
    like $problem->{detail}, qr/16777216.*x-ndjson/, 'names the limit and a way out';
};

subtest 'several statements' => sub {
    my $several = sub { return send_sql({ statements => [map { ref ? { sql => $_->[0], params => $_->[1] } : { sql => $_ } } @_] }) };
    my $reply = $several->("INSERT INTO t(name) VALUES ('s1')", 'SELECT count(*) FROM t WHERE name = \'s1\'',
        ['UPDATE t SET n = ? WHERE name = \'s1\' RETURNING n', [7]]);
    is $reply->{status}, 200, 'one transaction' or diag $reply->{content};
    my $results = $server->json($reply)->{results};
    is scalar @$results, 3, 'a result for each';
    is $results->[0]{changes}, 1, 'of a write';
    is_deeply $results->[1]{rows}, [[1]], 'a read sees what was written before it';
    ok !exists $results->[1]{changes}, 'and has no changes';
    is_deeply [$results->[2]{rows}, $results->[2]{changes}], [[[7]], 1], 'RETURNING';

    $reply = $several->('CREATE TABLE rowids(id INTEGER PRIMARY KEY, of UNIQUE)', 'INSERT INTO rowids VALUES (7, 1)',
        'UPDATE rowids SET of = 2', 'INSERT OR IGNORE INTO rowids VALUES (8, 2)',
        'INSERT INTO rowids(of) VALUES (last_insert_rowid())', 'DELETE FROM rowids WHERE of = 7 RETURNING id',
        'CREATE INDEX rowids_of ON rowids(of)', 'DROP TABLE rowids');
    is_deeply [map { "$_->{changes} $_->{last_insert_rowid}" } @{ $server->json($reply)->{results} }],
        ['0 0', '1 7', '1 0', '0 0', '1 8', '1 0', '0 0', '0 0'], 'a rowid is told where one was inserted'
        or diag $reply->{content};
    $reply = $several->('CREATE TABLE of(id INTEGER PRIMARY KEY, k UNIQUE, n DEFAULT 0)', 'CREATE TABLE log(k)',
        'CREATE TABLE bare(k PRIMARY KEY, id) WITHOUT ROWID', 'CREATE VIRTUAL TABLE text USING fts5(t)',
        'CREATE TRIGGER of_n AFTER UPDATE ON of BEGIN INSERT INTO log VALUES (new.k); END',
        "INSERT INTO of(id, k) VALUES (7, 'a')", "INSERT INTO bare VALUES ('a', last_insert_rowid())",
        "INSERT INTO of(k) VALUES ('a') ON CONFLICT DO UPDATE SET n = n + 1",
        "INSERT INTO of(k) VALUES ('b') ON CONFLICT DO UPDATE SET n = n + 1",
        "INSERT INTO text(rowid, t) VALUES (8, 'a')", "REPLACE INTO of(id, k) SELECT 8, 'b'",
        'DROP TABLE of', 'DROP TABLE log', 'DROP TABLE bare', 'DROP TABLE text');
    is_deeply [map { "$_->{changes} $_->{last_insert_rowid}" } @{ $server->json($reply)->{results} }[5 .. 10]],
        ['1 7', '1 0', '1 0', '1 8', '1 8', '1 8'], 'and not that of a statement before it'
        or diag $reply->{content};

    $reply = $several->("INSERT INTO t(name) VALUES ('s2')", "INSERT INTO t(name) VALUES ('s1')",
        "INSERT INTO t(name) VALUES ('s3')");
    my $problem = is_problem($reply, 409, 'conflict', 'the second fails');
    is $problem->{index}, 1, 'which is said';
    is_deeply rows_of("SELECT count(*) FROM t WHERE name IN ('s2', 's3')"), [[0]], 'nothing was done';

    $problem = is_problem($several->("INSERT INTO t(name) VALUES ('s4')", 'SELEC'), 400, 'sql_syntax', 'syntax');
    is $problem->{index}, 1, 'has its index';
    $problem = is_problem($several->(["INSERT INTO t(name) VALUES (?)", ['s4']], ['SELECT ?', []]),
        400, 'bad_request', 'a missing parameter');
    is $problem->{index}, 1, 'has its index';
    is_deeply rows_of("SELECT count(*) FROM t WHERE name = 's4'"), [[0]], 'nothing was done';

    $reply = $several->('SELECT 1', ['SELECT :x', { x => 2 }], 'SELECT 1 WHERE 0');
    is_deeply [map { $_->{rows} } @{ $server->json($reply)->{results} }], [[[1]], [[2]], []],
        'reads only';
    $reply = $several->('CREATE TABLE made(a, b)', ['INSERT INTO made VALUES (?, ?)', [1, 'x']],
        'SELECT * FROM made');
    is $reply->{status}, 200, 'a table and what is in it' or diag $reply->{content};
    is_deeply $server->json($reply)->{results}[2]{rows}, [[1, 'x']], 'at once';
    for ([[1], 'too few'], [[1, 2, 3], 'too many'], [{ a => 1, b => 2 }, 'by name']) {
        my ($params, $what) = @$_;
        $problem = is_problem($several->('CREATE TABLE made2(a, b)', ['INSERT INTO made2 VALUES (?, ?)', $params]),
            400, 'bad_request', "$what, for a table that is not there yet");
        is $problem->{index}, 1, 'has its index';
    }
    is_problem(sql('SELECT * FROM made2'), 400, 'sql_syntax', 'which was not made');
    is $several->(map { ['INSERT INTO made VALUES (?, ?)', [$_, $_]] } 1 .. 1000)->{status}, 200,
        '1000 statements';
    is_deeply rows_of('SELECT count(*) FROM made'), [[1001]], 'all of them';
    $problem = is_problem($several->(('SELECT 1') x 1001), 413, 'too_large', '1001 are too many');
    like $problem->{detail}, qr/1000/, 'names the limit';
    is $server->request(POST => '/v1/sql/main', headers => { %json_type, Accept => 'text/csv' },
        content => '{"statements":[{"sql":"SELECT 1"}]}')->{headers}{'content-type'},
        'application/json', 'always in JSON';
};

subtest 'lines and CSV' => sub {
    my $ndjson = sub { return send_sql($_[0], headers => { Accept => 'application/x-ndjson' }) };
    my $csv = sub { return send_sql($_[0], headers => { Accept => 'text/csv' }) };
    my $select = { sql => "SELECT 1 AS id, 'a,\"b' AS name UNION ALL SELECT 2, NULL" };
    my $reply = $ndjson->($select);
    is $reply->{headers}{'content-type'}, 'application/x-ndjson', 'the type';
    is $reply->{content}, qq({"id":1,"name":"a,\\"b"}\n{"id":2,"name":null}\n{"end":true,"rows":2}\n), 'lines';
    is $ndjson->({ sql => 'SELECT 1 WHERE 0' })->{content}, qq({"end":true,"rows":0}\n), 'none';
    $reply = $csv->($select);
    like $reply->{headers}{'content-type'}, qr{^text/csv; charset=utf-8}, 'the type';
    is $reply->{content}, qq(id,name\r\n1,"a,""b"\r\n2,\r\n), 'CSV';
    is $csv->({ sql => 'SELECT 1 AS "a" WHERE 0' })->{content}, "a\r\n", 'a header only';
    is $ndjson->({ sql => "INSERT INTO made VALUES (5, 'five') RETURNING *" })->{content},
        qq({"a":5,"b":"five"}\n{"end":true,"rows":1,"changes":1,"last_insert_rowid":1002}\n), 'a write';
    is $ndjson->({ sql => 'DELETE FROM made WHERE a = 5' })->{content},
        qq({"end":true,"rows":0,"changes":2,"last_insert_rowid":0}\n), 'without rows';
    is $csv->({ sql => 'DELETE FROM made WHERE a = 6' })->{content},
        "changes,last_insert_rowid\r\n1,0\r\n", 'in CSV';
    is $csv->({ sql => 'DELETE FROM made WHERE a = 7 RETURNING a' })->{content}, "a\r\n7\r\n", 'and with rows';
    is_problem($_->({ sql => 'SELECT * FROM nowhere' }), 400, 'sql_syntax', 'an error is a problem') for $ndjson, $csv;
    is_problem($ndjson->({ sql => "SELECT json('{') AS x" }), 400, undef, 'also of the first row');
};

subtest 'QUERY reads' => sub {
    my $reply = sql('SELECT 1 AS a', undef, method => 'QUERY');
    is $reply->{status}, 200, 'a read';
    like $reply->{content}, qr/"rows":\[\[1\]\]/, 'its rows';
    my $problem = is_problem(sql("INSERT INTO t(name) VALUES ('q')", undef, method => 'QUERY'),
        422, 'not_read_only', 'a write');
    like $problem->{detail}, qr/POST/, 'says what to do';
    $problem = is_problem(send_sql({ statements => [{ sql => 'SELECT 1' }, { sql => 'DELETE FROM t' }] },
        method => 'QUERY'), 422, 'not_read_only', 'one of several');
    is $problem->{index}, 1, 'has its index';
    is sql('EXPLAIN DELETE FROM t', undef, method => 'QUERY')->{status}, 200, 'EXPLAIN does nothing';
    ok rows_of('SELECT count(*) FROM t')->[0][0] > 0, 'really';
};

subtest 'the plan' => sub {
    my $plan = sub { return sql($_[0], undef, target => '/v1/sql/main/explain') };
    my $reply = $plan->('SELECT * FROM t WHERE id = :id');
    is $reply->{status}, 200, 'is told';
    like $server->json($reply)->{plan}, qr/SEARCH t USING INTEGER PRIMARY KEY/, 'what is searched';
    like $server->json($plan->('DELETE FROM t WHERE n = 1'))->{plan}, qr/SCAN t/, 'also of a write';
    ok rows_of('SELECT count(*) FROM t')->[0][0] > 0, 'which is not done';
    is_problem($plan->('SELEC'), 400, 'sql_syntax', 'syntax');
    is_problem(send_sql('{"statements":[{"sql":"SELECT 1"}]}', target => '/v1/sql/main/explain'),
        400, 'bad_request', 'one at a time');
    is_problem($server->get('/v1/sql/main/explain'), 405, 'method_not_allowed', 'GET');
};

subtest 'deadlines' => sub {
    my $endless = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';
    my $problem = is_problem(send_sql({ sql => $endless, timeout => '300ms' }), 504, 'deadline', 'without end');
    like $problem->{detail}, qr/300ms/, 'names the limit';
    $problem = is_problem(send_sql({ statements => [{ sql => 'SELECT 1' }, { sql => $endless }], timeout => '300ms' }),
        504, 'deadline', 'the second of two');
    is $problem->{index}, 1, 'has its index';
    is_problem(send_sql({ sql => "INSERT INTO made SELECT x, x FROM ($endless) AS e, (SELECT 1 AS x)", timeout => '300ms' }),
        504, 'deadline', 'a write without end');
    is raw_value('SELECT 1'), '1', 'and the next is answered';
    is sql('INSERT INTO made VALUES (0, 0)')->{status}, 200, 'the next write as well';
};

subtest 'databases are apart, and stay' => sub {
    my @other = (target => '/v1/sql/other');
    is sql('CREATE TABLE only_here(a)', undef, @other)->{status}, 200, 'a table in another';
    is_problem(sql('SELECT * FROM only_here'), 400, 'sql_syntax', 'is not in main');
    is sql('INSERT INTO only_here VALUES (1)', undef, @other)->{status}, 200, 'a row';
    $server->restart;
    is_deeply rows_of('SELECT a FROM only_here', undef, @other), [[1]], 'is there after a restart';
};

subtest 'written is seen at once, everywhere' => sub {
    sql('CREATE TABLE seen(n INT)');
    sql('INSERT INTO seen VALUES (0)');
    my @connections = map { $server->connect } 1 .. 8;
    my $ask = sub {
        my ($connection, $sql) = @_;
        return $server->json($connection->request(POST => '/v1/sql/main',
            headers => \%json_type, content => $json->encode({ sql => $sql })));
    };
    my $stale = 0;
    for my $n (1 .. 100) {
        $ask->($connections[$n % 8], "UPDATE seen SET n = $n");
        $stale += $ask->($connections[rand 8], 'SELECT n FROM seen')->{rows}[0][0] != $n;
    }
    is $stale, 0, 'no read is older than what was acknowledged';
};

is $server->stop, 0, 'ends well';
done_testing;
