# SPDX-License-Identifier: MIT

# jackdaw sql: what it asks, what it shows, and the prompt. Against a server
# that answers what it is told to, so that each answer there can be comes.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8 decode_utf8);
use Fake;
use File::Temp;
use IO::Handle;
use IO::Select;
use IPC::Open2;
use Jackdaw;
use JSON::PP;
use Terminal;
use Test::More;
use Time::HiRes qw(time);

my $client = Jackdaw::client();
my $slow   = Jackdaw::slowness();
my $tmp    = File::Temp->newdir;
my $json   = JSON::PP->new->utf8;
my $end    = qq({"end":true,"rows":0}\n);

delete @ENV{qw(JACKDAW_URL JACKDAW_SOCKET JACKDAW_HISTORY)};
$ENV{LC_ALL} = 'C';
$ENV{HOME} = "$tmp";

sub spew {
    my ($name, $text) = @_;
    open my $out, '>', "$tmp/$name" or die $!;
    print $out $text;
    close $out or die $!;
    return "$tmp/$name";
}

sub slurp {
    open my $in, '<', $_[0] or return '';
    local $/;
    return <$in> // '';
}

sub problem {
    my ($status, $code, $detail) = @_;
    return [$status, $json->encode({ code => $code, detail => $detail, status => $status })];
}

# Answers by what the statement says.
my %answers = (
    one => qq({"n":1}\n$end),
    rows => qq({"id":1,"name":"Ann","total":10.50}\n{"id":20,"name":null,"total":7}\n$end),
    none => $end,
    ints => qq({"i":9223372036854775807}\n{"i":-9223372036854775808}\n{"i":9007199254740993}\n$end),
    reals => qq({"r":1.0}\n{"r":0.1}\n{"r":1e300}\n{"r":null}\n$end),
    twice => qq({"a":1,"a":"x","":2}\n$end),
    wide => encode_utf8(qq({"name":"日本","n":1}\n{"name":"é","n":2}\n{"name":"e\x{301}x","n":3}\n$end)),
    unsafe => qq({"a\\tb":"\\u001b[31m\\u0000\\n","c":"\\u009b\\\\"}\n$end),
    blobs => qq({"b":{"base64":"AAH/"}}\n{"b":{"base64":"@{['A' x 40]}"}}\n{"b":{"base64":""}}\n$end),
    odd => qq({"error":{"base64":"AA=="},"end":true}\n$end),
    brackets => qq({"s":"}],{[\\"","t":"a,b:c"}\n$end),
    insert => qq({"end":true,"rows":0,"changes":3,"last_insert_rowid":9}\n),
    insert1 => qq({"end":true,"rows":0,"changes":1,"last_insert_rowid":9}\n),
    returning => qq({"id":4}\n{"id":5}\n{"end":true,"rows":2,"changes":2,"last_insert_rowid":5}\n),
    create => qq({"end":true,"rows":0,"changes":0,"last_insert_rowid":0}\n),
    limited => qq({"n":1}\n{"end":true,"rows":1,"truncated":true}\n),
    failing => qq({"n":1}\n{"error":{"status":504,"code":"deadline","detail":"it took too long"}}\n),
    early => qq({"n":1}\n{"n":2}\n),
    garbage => "what?\n$end",
    broken => qq({"n":1,"m":2}\n{"n":1,"m":x}\n$end),
    uneven => qq({"n":1}\n{"n":1,"m":2}\n$end),
    huge => join('', map { qq({"n":$_,"name":"row $_"}\n) } 1 .. 3000) . $end,
    late => qq({"n":1}\n) x 1000 . qq({"n":1234567}\n{"n":2}\n$end),
);
my @malformed = ('', '{}', '[1]', '{"a"', '{"a":', '{"a":}', '{"a":1', '{"a":1}}', '{"a":1]', '{"a":1,}', 
    '{"a":"x', '{"a":"\\', '{1:2}', '{"a" 1}', '{"a":{"b":1}}', '{"a":{"base64":"*"}}', '{"a":{"base64":1}}', '{"a":[1]}',
    '{"a":"\\u12"}', '{"a":"\\ud800"}', '{"\\ud800":1}', '{"a":{"b":1}', "{\"a\":\"\xff\\n\"}", '{"a":-}', '{"a":nul}');
$answers{"bad$_"} = "$malformed[$_]\n$end" for 0 .. $#malformed;
$answers{"later$_"} = qq({"a":1}\n$malformed[$_]\n$end) for 0 .. $#malformed;
my %problems = (
    syntax => [400, 'sql_syntax', 'near "FRM": syntax error'],
    forbidden => [403, 'forbidden', 'not for you'],
    missing => [404, 'not_found', 'no such database'],
    unique => [409, 'conflict', 'UNIQUE constraint failed: t.a'],
    constraint => [422, 'constraint', 'NOT NULL constraint failed: t.a'],
    overloaded => [503, 'overloaded', 'come again'],
    deadline => [504, 'deadline', 'it took too long'],
    full => [507, 'storage_full', 'no room'],
);

sub answer {
    my ($request) = @_;
    my $body = eval { $json->decode($request->{content}) } or return problem(400, 'bad_request', 'no JSON');
    my ($word) = $body->{sql} =~ /(\w+)\W*$/;
    if ($request->{target} =~ m{/explain$}) {
        return [200, $json->encode({ plan => "SCAN t\n`--\\ \x{1b}x" })];
    }
    return [200, $json->encode({ columns => [], rows => [['items'], ['orders']], truncated => \0 })]
        if $body->{sql} =~ /^SELECT name FROM sqlite_schema/;
    return [200, $json->encode({ columns => [], rows =>
            @{ $body->{params} // [] } ? [["CREATE TABLE one(a\n\tTEXT)"]] : [['CREATE TABLE t(a)'], [undef]] })]
        if $body->{sql} =~ /^SELECT sql FROM sqlite_schema/;
    return undef if $word eq 'forever';
    return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"n\":1}\n\r\n" if $word eq 'cut';
    return [200, (sprintf qq({"n":%d,"text":"%s"}\n), 1, 'x' x 100) x 100_000 . $end] if $word eq 'many';
    return [200, [qq({"n":1}\n), qq({"n":2}\n), $end]] if $word eq 'slowly';
    return problem(@{ $problems{$word} }) if $problems{$word};
    return [200, '{"columns":[{"name":"n","type":"INTEGER"}],"rows":[[9223372036854775807]],"truncated":false}']
        if ($request->{headers}{accept} // '') eq 'application/json';
    return [200, "n\r\n9223372036854775807\r\n"] if $request->{headers}{accept} eq 'text/csv';
    return [200, $answers{$word} // $answers{one}, 'Content-Type' => 'application/x-ndjson'];
}

my $fake = Fake->start(\&answer);

sub sql {
    my $options = ref $_[-1] eq 'HASH' ? pop : {};
    return Jackdaw->run($client, '--socket', $fake->socket, 'sql', @_, $options);
}

# One test: the status and what is printed; standard error is empty or matches.
sub gives {
    my ($arguments, $status, $out, $err, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @got = sql(@$arguments);
    $name //= join ' ', grep { !ref } @$arguments;
    $out = encode_utf8($out) if !ref $out;
    my $good = $got[0] == $status
        && (ref $out ? $got[1] =~ $out : $got[1] eq $out)
        && (defined $err ? $got[2] =~ $err : $got[2] eq '');
    ok $good, substr $name =~ s/[^ -~]/?/gr, 0, 70
        or diag explain { status => $got[0], out => substr($got[1], 0, 800), err => $got[2] };
    return $got[1];
}

subtest 'requests' => sub {
    $fake->requests;
    gives ['-e', 'SELECT one'], 0, "n\n-\n1\n";
    my ($request) = $fake->requests;
    is "$request->{method} $request->{target}", 'POST /v1/sql/main', 'the database is main';
    is_deeply $request->{json}, { sql => 'SELECT one' }, 'the statement alone';
    is $request->{headers}{'content-type'}, 'application/json', 'is JSON';
    is $request->{headers}{accept}, 'application/x-ndjson', 'and lines are asked for';
    sql('a b/c', '--limit', '005', '--timeout', '1500ms', '-e', ' SELECT one ; ');
    ($request) = $fake->requests;
    is $request->{target}, '/v1/sql/a%20b%2Fc', 'another database';
    is_deeply $request->{json}, { sql => 'SELECT one ', limit => 5, timeout => '1500ms' }, 'its limits';
    like $request->{content}, qr/"limit":5[,}]/, 'as a number';
    sql('-e', 'SELECT 1; SELECT 2;;', '-e', encode_utf8(q{-- one; two
SELECT ';é"', "a;b", [c;d], `e;f` /* ; ' */;
CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END; SELECT 3}), '-e', ' ; -- no',
        '-e', '', '-e', 'EXPLAIN CREATE TABLE trigger(a); CREATE TABLE b(trigger); SELECT x-y/z');
    is_deeply [map { $_->{json}{sql} } $fake->requests], [
        'SELECT 1', 'SELECT 2', qq(SELECT ';é"', "a;b", [c;d], `e;f` /* ; ' */),
        'CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END', 'SELECT 3',
        'EXPLAIN CREATE TABLE trigger(a)', 'CREATE TABLE b(trigger)', 'SELECT x-y/z',
    ], 'each statement alone, and in order';
    gives ['-e', "SELECT '\xff'"], 1, '', qr/not UTF-8/;
    is scalar($fake->requests), 0, 'is not sent';
};

subtest 'tables' => sub {
    gives ['-e', 'rows'], 0, <<'EOT';
id  name  total
--  ----  -----
 1  Ann   10.50
20  NULL      7
EOT
    gives ['-e', 'none'], 0, '';
    gives ['-e', 'ints'], 0, <<'EOT', undef, 'whole numbers are exact';
                   i
--------------------
 9223372036854775807
-9223372036854775808
    9007199254740993
EOT
    gives ['-e', 'reals'], 0, "    r\n-----\n  1.0\n  0.1\n1e300\n NULL\n", undef, 'numbers are as the server writes them';
    gives ['-e', 'twice'], 0, "a  a   \n-  -  -\n1  x  2\n", undef, 'names may come twice, or be empty';
    gives ['-e', 'wide'], 0, "name  n\n----  -\n日本  1\né     2\ne\x{301}x    3\n", undef, 'widths are those of a terminal';
    gives ['-e', 'unsafe'], 0, <<'EOT', undef, 'nothing steers the terminal';
a\tb            c
--------------  ----------
\x1b[31m\x00\n  \xc2\x9b\\
EOT
    gives ['-e', 'blobs'], 0, <<'EOT';
b
------------------------------------------------
x'0001ff'
x'00000000000000000000000000000000..' (30 bytes)
x''
EOT
    gives ['-e', 'odd'], 0, "error  end\n-----  ----\nx'00'  true\n", undef, 'a row is no end';
    gives ['-e', 'brackets'], 0, qq(s       t\n------  -----\n}],{["  a,b:c\n);
    my $out = gives ['-e', 'huge'], 0, qr/^   n  name\n----  --------\n   1  row 1\n/;
    is scalar(() = $out =~ /\n/g), 3002, 'all of many rows';
    like $out, qr/^3000  row 3000\n\z/m, 'to the last';
    $out = gives ['-e', 'late'], 0, qr/^n\n-\n1\n/;
    like $out, qr/1\n1234567\n2\n\z/, 'a late wide one stands out';
};

subtest 'writes' => sub {
    gives ['-e', 'insert'], 0, "3 rows changed\n";
    gives ['-e', 'insert1'], 0, "1 row changed\n";
    gives ['-e', 'returning'], 0, "id\n--\n 4\n 5\n2 rows changed\n";
    gives ['-e', 'CREATE TABLE create'], 0, '';
    gives ['-e', 'UPDATE create'], 0, "0 rows changed\n";
    gives ['-e', 'limited'], 0, "n\n-\n1\n", qr/^jackdaw: there are more rows than --limit\n\z/;
};

subtest 'other forms' => sub {
    $fake->requests;
    my $whole = '{"columns":[{"name":"n","type":"INTEGER"}],"rows":[[9223372036854775807]],"truncated":false}';
    gives ['-o', 'json', '-e', 'one'], 0, "$whole\n", undef, 'JSON is the server\'s';
    gives ['-o', 'json', '-e', 'one', '-e', 'one'], 0, "$whole\n" x 2;
    gives ['-o', 'ndjson', '-e', 'rows'], 0, $answers{rows}, undef, 'so are lines';
    gives ['-o', 'ndjson', '-e', 'huge'], 0, $answers{huge};
    gives ['-o', 'csv', '-e', 'one'], 0, "n\r\n9223372036854775807\r\n";
    is_deeply [map { $_->{headers}{accept} } $fake->requests],
        [('application/json') x 3, ('application/x-ndjson') x 2, 'text/csv'], 'asked for by their types';
};

subtest 'exit statuses' => sub {
    my %expected = (syntax => 1, forbidden => 5, missing => 3, unique => 4, constraint => 1,
        overloaded => 8, deadline => 7, full => 1);
    for my $word (sort keys %expected) {
        my (undef, $code, $detail) = @{ $problems{$word} };
        for my $form ($word eq 'syntax' ? qw(table json ndjson csv) : 'table') {
            gives ['-o', $form, '-e', $word], $expected{$word}, '',
                qr/^jackdaw: \Q$detail\E \($code, request id r1\)\n\z/;
        }
    }
    gives ['-e', 'failing'], 7, "n\n-\n1\n", qr/^jackdaw: it took too long \(deadline\)\n\z/, 'an end that is an error';
    gives ['-o', 'ndjson', '-e', 'failing'], 7, $answers{failing}, qr/too long/;
    gives ['-e', 'early'], 1, qr/^n\n-\n1\n/, qr/ends early/;
    gives ['-o', 'ndjson', '-e', 'early'], 1, $answers{early}, qr/ends early/;
    gives ['-e', 'cut'], 1, '', qr/broke/;
    gives ['-o', 'ndjson', '-e', 'cut'], 1, qq({"n":1}\n), qr/broke/;
    gives ['-e', 'garbage'], 1, '', qr/not the result of a statement/;
    gives ['-e', 'broken'], 1, "n  m\n-  -\n1  2\n1\n", qr/not the result of a statement/;
    gives ['-e', 'uneven'], 1, qr/^n\n-\n1\n/, qr/not the result of a statement/;
    for my $i (0 .. $#malformed) {
        (my $name = "malformed: $malformed[$i]") =~ s/[^ -~]/?/g;
        gives ['-e', "bad$i"], 1, qr/^(?:[ab]  )?(?:a\n-+\n)?\z/, qr/not the result of a statement/, $name;
        next if $malformed[$i] =~ /^\{"\\ud/;    # names are read once
        gives ['-e', "later$i"], 1, "a\n-\n1\n", qr/not the result of a statement/, 'and later';
    }
    gives ['-e', 'syntax; SELECT one'], 1, '', qr/FRM/, 'the first that fails ends it';
    my $begin = time;
    gives ['--timeout', '100ms', '-e', 'forever'], 7, '', qr/no answer in time/;
    cmp_ok time - $begin, '<', 4 + 2 * $slow, 'the server has a little longer than its limit';
    # With the little longer it is 1 ms more than 2^64, and more than libcurl has.
    gives ['--timeout', $_, '-e', 'slowly'], 0, "n\n-\n1\n2\n", undef for '18446744073709549617ms', '18446744073709551ms';
    gives ['-e', 'SELECT one', '-f', "$tmp/x"], 2, '', qr/choose one of --execute and --file/;
    gives ['a', 'b', '-e', 'SELECT one'], 2, '', qr/'b'/;
    gives ['-o', 'xml'], 2, '', qr/takes table, json, ndjson or csv, not 'xml'/;
    gives ['-e'], 2, '', qr/-e needs an argument/;
    gives ['', '-e', 'SELECT one'], 2, '', qr/needs the name of a DATABASE/;
    my ($status, $out, $err) = Jackdaw->run('sh', '-c', '"$0" --socket "$1" sql -e huge -e huge | head -n 1',
        $client, $fake->socket);
    is "$out$err", "   n  name\n", 'a reader that leaves is no complaint';
    ($status, $out, $err) = Jackdaw->run('sh', '-c', '"$0" --socket "$1" sql -e huge >/dev/full', $client, $fake->socket);
    is $status, 1, 'a full device';
    like $err, qr/standard output: No space left/, 'is told';
};

subtest 'files' => sub {
    my $file = spew('good.sql', "-- a file\nSELECT rows;\n\nINSERT insert;;\n  SELECT one");
    gives ['-f', $file], 0, qr/^id .* 7\n3 rows changed\nn\n-\n1\n\z/s;
    gives [{ stdin => $file }], 0, qr/^id .* 7\n3 rows changed\nn\n-\n1\n\z/s, undef, 'standard input';
    gives ['-f', '-', { stdin => $file }], 0, qr/changed/;
    gives ['-f', spew('empty.sql', '')], 0, '';
    gives ['-f', spew('blank.sql', "\n-- nothing\n/* ; */ ;\n")], 0, '';
    $file = spew('bad.sql', "SELECT one;\n/* two\nlines */\n\n  SELECT\n 'a\nb' syntax;\nSELECT one;\n");
    gives ['-f', $file], 1, "n\n-\n1\n", qr/^jackdaw: \Q$file\E:5: near "FRM": .*\(sql_syntax, /;
    gives [{ stdin => $file }], 1, "n\n-\n1\n", qr/^jackdaw: standard input:5: near/;
    gives ['-f', spew('end.sql', "SELECT one;\nSELECT syntax")], 1, qr/1/, qr/end\.sql:2: near/;
    gives ['-f', "$tmp/nothing.sql"], 1, '', qr/nothing\.sql: No such file/;
    gives ['-f', "$tmp"], 1, '', qr/Is a directory/;
    # With a byte order mark: the first word is the first word.
    my $trigger = 'CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END /* one */';
    $fake->requests;
    gives ['-o', 'csv', '-f', spew('marked.sql', "\xef\xbb\xbf$trigger;\nSELECT one;\n")], 0, qr/^n\r\n/;
    is_deeply [map { $_->{json}{sql} } $fake->requests], [$trigger, 'SELECT one'], 'a mark is no word';
    gives ['-f', spew('marked.sql', "\xef\xbb\xbf")], 0, '';
    # Longer than a piece that is read at once; a mark stands across two.
    my $long = join '', map { sprintf "INSERT INTO t VALUES('%s;''%05d') insert1;\n", 'x' x ($_ * 7 % 997), $_ } 1 .. 300;
    $fake->requests;
    my $out = gives ['-f', spew('long.sql', $long)], 0, qr/^(1 row changed\n)+\z/;
    is $out =~ tr/\n//, 300, 'all of a long file';
    my @sent = map { $_->{json}{sql} . ";\n" } $fake->requests;
    is join('', @sent), $long, 'as they stand there';
    # What comes in slowly is run when it is complete.
    my $pid = open2(my $shown, my $typed, $client, '--socket', $fake->socket, 'sql', '-o', 'csv');
    $typed->autoflush;
    my ($first, $select) = ('', IO::Select->new($shown));
    print $typed "SELECT one;\n";
    while ($first !~ /\n.*\n/ && $select->can_read(20 * $slow)) {
        sysread $shown, $first, 4096, length $first or last;
    }
    like $first, qr/^n\r?\n9223372036854775807\r?\n\z/, 'statements do not wait for the end of the input';
    close $typed;
    waitpid $pid, 0;
    is $?, 0;
};

subtest 'streams' => sub {
    my ($status, $shown) = Jackdaw->run('sh', '-c',
        '"$0" --socket "$1" sql -o ndjson -e slowly | while read -r x; do date +%s%N; done', $client, $fake->socket);
    my @times = split /\n/, $shown;
    is scalar @times, 3, 'three lines';
    cmp_ok $times[1] - $times[0], '>', 3e8, 'each is shown when it comes';
};

subtest 'constant memory' => sub {
    plan skip_all => 'sanitizers keep what is freed' if Jackdaw::mode() =~ /san/;
    # The shell's child is the client: its peak is that of RUSAGE_CHILDREN.
    my $measure = q{perl -e 'system @ARGV; my $r = "\0" x 144; syscall(98, -1, $r);'}
        . q{ -e 'print STDERR "peak: ", (unpack "q*", $r)[4], " kB\n"' };
    for my $form (qw(table ndjson)) {
        my (undef, $out, $err) = Jackdaw->run('sh', '-c', "$measure \"\$0\" --socket \"\$1\" sql -o $form -e many | wc -c",
            $client, $fake->socket);
        cmp_ok $out, '>', 10_000_000, "ten megabytes as $form";
        cmp_ok $err =~ /^peak: (\d+) kB/m ? $1 : 1e9, '<', 20_000, 'in 20 MB' or diag $err;
    }
};

subtest 'where the server is' => sub {
    my $run = sub { Jackdaw->run($client, @_) };
    my @sql = ('sql', '-e', 'SELECT one');
    my $there = { env => { JACKDAW_SOCKET => $fake->socket } };
    is(($run->(@sql, $there))[0], 0, 'JACKDAW_SOCKET');
    is(($run->('--url', 'http://127.0.0.1:1', @sql, $there))[0], 6, '--url is before it');
    is(($run->('--socket', "$tmp/none", @sql, $there))[0], 6, 'so is --socket');
    is(($run->(@sql, { env => { JACKDAW_URL => 'unix:' . $fake->socket } }))[0], 0, 'JACKDAW_URL');
    is(($run->(@sql, { env => { JACKDAW_URL => 'http://127.0.0.1:1', JACKDAW_SOCKET => $fake->socket } }))[0], 6,
        'which is before JACKDAW_SOCKET');
    is(($run->('--socket', $fake->socket, @sql, { env => { JACKDAW_URL => 'http://127.0.0.1:1' } }))[0], 0,
        'and behind --socket');
    mkdir "$tmp/work"; mkdir "$tmp/work/data";
    symlink $fake->socket, "$tmp/work/data/admin.sock";
    is(($run->(@sql, { chdir => "$tmp/work" }))[0], 0, 'data/admin.sock');
    is(($run->(@sql, { chdir => "$tmp/work", env => { JACKDAW_URL => 'http://127.0.0.1:1' } }))[0], 6,
        'JACKDAW_URL is before it as well');
    my ($status, undef, $err) = $run->('--socket', "$tmp/none", @sql);
    is $status, 6, 'nobody there';
    like $err, qr{cannot reach the admin socket \Q$tmp\E/none: No such file.*is jackdawd running, and are you}, 'is told';
};

# ---- the prompt ----------------------------------------------------------------

sub prompt {
    my ($options, @arguments) = @_;
    $options = { columns => 200, %{ $options // {} } };
    my $terminal = Terminal->start([$client, '--socket', $fake->socket, 'sql', @arguments], $options);
    ok $terminal->wait_for(qr/> \z/, 5 * $slow), 'a prompt' or diag $terminal->text;
    return $terminal;
}

# Types a line and waits for what it gives; a match is the test.
sub typed {
    my ($terminal, $line, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $terminal->type("$line\r");
    ok $terminal->wait_for($pattern, 5 * $slow), $name // $line or diag $terminal->answer;
}

subtest 'the prompt' => sub {
    my $history = "$tmp/.jackdaw_history";
    unlink $history;
    my $t = prompt();
    like $t->text, qr/\Ajackdaw \d\S*, database main of \S+; \.help tells more\r\n/, 'a greeting, and no more';
    typed $t, 'SELECT rows;', qr/\n20  NULL      7\n2 rows\nmain> \z/;
    typed $t, 'SELECT none;', qr/\n0 rows\nmain> \z/;
    typed $t, 'INSERT insert;', qr/\n3 rows changed\nmain> \z/;
    typed $t, 'SELECT ', qr/\n \.\.\.> \z/, 'goes on in a second line';
    typed $t, "'it''s;", qr/\n \.\.\.> \z/, 'a mark in quotes is no end';
    $fake->requests;
    typed $t, "' one; -- ;", qr/\n1 row\nmain> \z/, 'the mark outside is';
    is((map { $_->{json}{sql} } $fake->requests)[0], "SELECT \n'it''s;\n' one", 'with its line ends');
    typed $t, '-- nothing', qr/\nmain> \z/;
    typed $t, '/* a', qr/\n \.\.\.> \z/;
    typed $t, 'b */', qr/\nmain> \z/;
    typed $t, 'SELECT syntax; SELECT one;', qr/near "FRM".*\(sql_syntax, request id r1\)\nmain> \z/;
    unlike $t->answer, qr/1 row/, 'after an error the rest of the line is not run';
    typed $t, 'SELECT one; SELECT rows;', qr/1 row\n.*2 rows\nmain> \z/s;
    typed $t, "SELECT\tone;", qr/1 row\nmain> \z/, 'a tab stays a blank';

    typed $t, '.help', qr/\.schema \[TABLE\].*main> \z/s;
    typed $t, '.tables', qr/\nitems\norders\nmain> \z/;
    typed $t, '.schema', qr/\nCREATE TABLE t\(a\);\nmain> \z/;
    typed $t, '.schema one', qr/\nCREATE TABLE one\(a\n\s+TEXT\);\nmain> \z/;
    is_deeply((map { $_->{json}{params} } $fake->requests)[-1], ['one'], 'asks for that one');
    typed $t, '.explain SELECT one;', qr/\nSCAN t\n`--\\ \\x1bx\nmain> \z/;
    my ($request) = $fake->requests;
    is $request->{target}, '/v1/sql/main/explain', 'is asked there';
    is_deeply $request->{json}, { sql => 'SELECT one' }, 'about the statement';
    typed $t, '.mode', qr/\ntable\nmain> \z/;
    typed $t, '.mode csv', qr/\nmain> \z/;
    typed $t, 'SELECT one;', qr/\nn\n9223372036854775807\nmain> \z/;
    typed $t, '.mode xml', qr/takes table, json, ndjson or csv\nmain> \z/;
    typed $t, '.mode table', qr/\nmain> \z/;
    typed $t, '.timer on', qr/\nmain> \z/;
    typed $t, 'SELECT one;', qr/1 row\n[\d.]+ ms\nmain> \z/;
    typed $t, '.timer off', qr/\nmain> \z/;
    typed $t, '.timer x', qr/takes on or off/;
    typed $t, '.nothing', qr/no command \.nothing: see \.help\nmain> \z/;

    $t->type("SELECT 'unfinished");
    $t->wait_for(qr/unfinished/, 5);
    $t->type("\cC");
    ok $t->wait_for(qr/\^C\nmain> \z/, 5 * $slow), '^C clears the line' or diag $t->answer;
    typed $t, 'SELECT one;', qr/1 row\nmain> \z/, 'which is gone';
    typed $t, 'SELECT (', qr/\.\.\.> \z/;
    $t->type("\cC");
    ok $t->wait_for(qr/\^C\nmain> \z/, 5 * $slow), 'and the lines before it';
    typed $t, 'SELECT rows;', qr/2 rows\nmain> \z/;
    $fake->requests;
    $t->type("SELECT forever;\r");
    ok $fake->wait_request(5 * $slow), 'a statement runs';
    $t->type("\cC");
    ok $t->wait_for(qr/interrupted\nmain> \z/, 5 * $slow), '^C ends it' or diag $t->answer;
    ok $fake->wait_closed(5 * $slow), 'by leaving';
    typed $t, 'SELECT one;', qr/1 row\nmain> \z/, 'the prompt goes on';
    typed $t, '.tables', qr/\norders\nmain> \z/, 'with all it has';

    typed $t, encode_utf8('SELECT wide;'), qr/3 rows\nmain> \z/;
    like decode_utf8($t->answer), qr/日本  1\n/, 'other scripts';
    my $quits = prompt();
    $quits->type("\c\\");
    is $quits->wait_exit(5 * $slow), -3, '^\\ quits';
    $t->type("\e[A");
    ok $t->wait_for(qr/SELECT wide;/, 5), 'the line before comes back';
    $t->type("\r");
    # In between the terminal is no editor's, and ^D would be lost.
    ok $t->wait_for(qr/3 rows\nmain> \z/, 5 * $slow), 'and runs';
    $t->type("\cD");
    is $t->wait_exit(5 * $slow), 0, '^D leaves';

    is((stat $history)[2] & 0777, 0600, 'the history is for us alone');
    $t = prompt({}, 'shop');
    like $t->answer, qr/shop> \z/, 'named after the database';
    $t->type("\e[A\r");
    ok $t->wait_for(qr/SELECT wide;.*3 rows/s, 5 * $slow), 'what was typed before comes back' or diag $t->answer;
    typed $t, "SELECT\rone;", qr/1 row/, 'two lines';
    $t->type("\e[A");
    ok $t->wait_for(qr/SELECT\n.*one;/s, 5 * $slow), 'come back as one entry' or diag $t->answer;
    $t->type("\cC");
    $t->wait_for(qr/shop> \z/, 5);
    $t->type(".quit\r");
    is $t->wait_exit(5 * $slow), 0, '.quit leaves';
};

subtest 'a shell stops it and goes on' => sub {
    my $t = Terminal->start(['sh', '-i'], { columns => 200, env => { PS1 => 'shell$ ', ENV => undef } });
    ok $t->wait_for(qr/shell\$ \z/, 5 * $slow), 'a shell';
    typed $t, "'$client' --socket " . $fake->socket . ' sql', qr/\nmain> \z/, 'with a prompt';
    $t->type("SELECT \cZ");
    ok $t->wait_for(qr/Stopped.*shell\$ \z/s, 5 * $slow), '^Z stops it' or diag $t->answer;
    typed $t, 'stty -a', qr/[^-]icanon\b.*[^-]echo\b.*shell\$ \z/s, 'the terminal is the shell\'s';
    typed $t, 'fg', qr/main> /, 'and it goes on';
    typed $t, ' one;', qr/1 row\nmain> \z/, 'as before';
    $t->type("SELECT 'x\cC");
    ok $t->wait_for(qr/\^C\nmain> \z/, 5 * $slow), '^C too' or diag $t->answer;
    $t->type("\cD");
    ok $t->wait_for(qr/shell\$ \z/, 5 * $slow), 'and ^D';
    typed $t, 'stty -a', qr/[^-]isig\b.*[^-]icanon\b.*shell\$ \z/s, 'the terminal is as it was';
    $t->type("exit\r");
    is $t->wait_exit(5 * $slow), 0, 'leaves';
};

subtest 'the history' => sub {
    my $history = "$tmp/history";
    spew('history', "_HiStOrY_V2_\n" . join '', map { "SELECT\\040$_;\n" } 1 .. 1200);
    my $t = prompt({ env => { JACKDAW_HISTORY => $history } });
    typed $t, 'SELECT one;', qr/1 row\nmain> \z/;
    typed $t, 'SELECT one;', qr/1 row\nmain> \z/;
    $t->type("\cD");
    is $t->wait_exit(5 * $slow), 0, 'leaves';
    my @lines = split /\n/, slurp($history);
    cmp_ok scalar @lines, '<=', 1003, 'is bounded';
    is $lines[-1], 'SELECT\040one;', 'has what was typed';
    isnt $lines[-2], 'SELECT\040one;', 'once';
    is((stat $history)[2] & 0777, 0600, 'is for us alone');

    # Nobody's files are written to, and nothing that is no file.
    for my $env ({ HOME => undef }, { HOME => '' }, { JACKDAW_HISTORY => '' }, { JACKDAW_HISTORY => "$tmp/no/where" },
        { JACKDAW_HISTORY => "$tmp" }) {
        my $work = File::Temp->newdir;
        $t = prompt({ env => $env });
        typed $t, 'SELECT one;', qr/1 row\nmain> \z/, 'works without a history';
        unlike $t->text, qr/history/, 'and says nothing of it';
        $t->type("\cD");
        is $t->wait_exit(5 * $slow), 0, 'leaves';
    }
    POSIX::mkfifo("$tmp/fifo", 0644) or die "mkfifo: $!";
    is((stat "$tmp")[2] & 0777, 0700, 'a folder stays as it was');
};

subtest 'a terminal on one side only is no prompt' => sub {
    my $out = "$tmp/out";
    my $t = Terminal->start([$client, '--socket', $fake->socket, 'sql'], { stdout => $out });
    $t->type("SELECT one;\n\cD");
    is $t->wait_exit(5 * $slow), 0, 'ends';
    is slurp($out), "n\n-\n1\n", 'reads statements';
};

$fake->stop;

# ---- the real server -------------------------------------------------------------

my $server = Jackdaw->start;
my $admin = $server->dir . '/admin.sock';

sub real {
    my $options = ref $_[-1] eq 'HASH' ? pop : {};
    return Jackdaw->run($client, '--socket', $admin, 'sql', @_, $options);
}

subtest 'the real server' => sub {
    my ($status, $out, $err) = real('-f', spew('real.sql', <<'EOT'));
-- A table, and what happens to it.
CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB);
CREATE TRIGGER ends AFTER DELETE ON items BEGIN
    UPDATE items SET name = name || ';' WHERE id = old.id;
    DELETE FROM items WHERE 0;
END;
INSERT INTO items VALUES (1, 'Ann', x'00ff'), (9223372036854775807, NULL, NULL);
INSERT INTO items(name) SELECT 'x' WHERE 0;
UPDATE items SET name = 'Bob' WHERE id = 1 RETURNING id, name;
SELECT * FROM items;
EOT
    is $err, '', 'no complaint';
    is $status, 0, 'a script';
    is $out, <<'EOT', 'gives';
2 rows changed
0 rows changed
id  name
--  ----
 1  Bob
1 row changed
                 id  name  data
-------------------  ----  -------
                  1  Bob   x'00ff'
9223372036854775807  NULL  NULL
EOT
    my %forms = (
        json => qr/^\{"columns":\[\{"name":"id".*"rows":\[\[1\],\[9223372036854775807\]\],"truncated":false\}\n\z/,
        ndjson => qr/^\{"id":1\}\n\{"id":9223372036854775807\}\n\{"end":true,"rows":2\}\n\z/,
        csv => qr/^id\r\n1\r\n9223372036854775807\r\n\z/,
    );
    for my $form (sort keys %forms) {
        ($status, $out, $err) = real('-o', $form, '-e', 'SELECT id FROM items ORDER BY id');
        like $out, $forms{$form}, "as $form";
        is "$status$err", '0', 'without complaint';
    }
    my %failures = (
        'SELECT * FROM nowhere' => [1, qr/no such table: nowhere/],
        'SELEC 1' => [1, qr/near "SELEC".*\(sql_syntax, /],
        "INSERT INTO items(name) VALUES('Bob')" => [4, qr/\(conflict, /],
    );
    for my $sql (sort keys %failures) {
        ($status, $out, $err) = real('-e', $sql);
        is $status, $failures{$sql}[0], $sql;
        like $err, $failures{$sql}[1], 'is told';
    }
    is((real('nowhere', '-e', 'SELECT 1'))[0], 3, 'no such database');
    my $endless = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n';
    ($status, $out, $err) = real('--timeout', '200ms', '-e', $endless);
    is $status, 7, 'a deadline';
    like $err, qr/\(deadline, /, 'is the server\'s';
    ($status, $out, $err) = real('-e', 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000) SELECT i FROM n');
    is scalar(() = $out =~ /\n/g), 50002, 'tables have no limit';
    is((real('-n', '10', '-e', 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n'))[1],
        " i\n--\n" . join('', map { sprintf "%2d\n", $_ } 1 .. 10), 'but the one that is asked for');

    my $t = Terminal->start([$client, '--socket', $admin, 'sql'], { columns => 200 });
    ok $t->wait_for(qr/main> \z/, 5 * $slow), 'a prompt' or diag $t->text;
    typed $t, '.tables', qr/\nitems\nmain> \z/;
    typed $t, '.schema items', qr/CREATE TABLE items\(.*BLOB\);\nCREATE TRIGGER ends .*END;\nmain> \z/s;
    typed $t, '.explain SELECT * FROM items WHERE id = 1', qr/SEARCH items USING INTEGER PRIMARY KEY.*\nmain> \z/;
    my $running = sub { $server->metric('jackdaw_database_readers_busy', qr/main/) };
    is $running->(), 0, 'nothing runs';
    $t->type("$endless;\r");
    ok $server->wait_until(5, sub { $running->() > 0 }), 'an endless statement runs';
    $t->type("\cC");
    ok $t->wait_for(qr/interrupted\nmain> \z/, 5 * $slow), '^C comes back' or diag $t->answer;
    ok $server->wait_until(5, sub { $running->() == 0 }), 'and the server ends the statement';
    typed $t, 'SELECT count(*) FROM items;', qr/\n +2\n1 row\nmain> \z/;
    $t->type("\cD");
    is $t->wait_exit(5 * $slow), 0, 'leaves';
};

is $server->stop, 0, 'the daemon ends well';
done_testing;
