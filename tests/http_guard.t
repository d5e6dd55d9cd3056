# SPDX-License-Identifier: MIT

# What is refused before a request is looked at, with raw bytes on a socket.
use strict;
use warnings;
use IO::Select;
use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep time);

my $server = Jackdaw->start(args => [
    '--set', 'limits.max_value=64K', '--set', 'limits.max_body=128K',
]);
my $next = "GET /livez HTTP/1.1\r\nHost: next\r\nX-Request-Id: smuggled\r\n\r\n";

# The status lines in what the daemon sent.
sub statuses { return join ' ', $_[0] =~ m{^HTTP/1\.[01] (\d{3})}mg }

# bytes, with a second request right behind them, get one reply and the end.
sub refused {
    my ($name, $bytes, $status, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($got, $closed) = $server->raw($bytes . $next);
    my $times = $options{repeated} ? qr/^$status( $status)?$/ : qr/^$status$/;
    my $fine = statuses($got) =~ $times && $closed && $got !~ /smuggled/
        && $got =~ /^Connection: close\r$/mi;
    ok $fine, $name or diag "closed: $closed, got: $got";
    return $got;
}

# Text of a request with headers, each a line.
sub text {
    my ($line, @headers) = @_;
    return join "\r\n", $line, @headers, '', '';
}

subtest 'header names' => sub {
    for my $name ('Na me', 'Name ', "Na\tme", "Name\t", "Na\x01me", "Na\x7fme", '') {
        (my $shown = $name) =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;
        refused "header name '$shown'",
            text('GET /livez HTTP/1.1', 'Host: a', "$name: b"), 400;
    }
    refused 'space before the colon of Transfer-Encoding',
        text('PUT /v1/kv/main/k HTTP/1.1', 'Host: a', 'Transfer-Encoding : chunked')
        . "0\r\n\r\n", 400;
    refused 'space before the colon of Content-Length',
        text('PUT /v1/kv/main/k HTTP/1.1', 'Host: a', 'Content-Length : 5') . 'hello', 400;
};

subtest 'lines' => sub {
    my $put = "PUT /v1/kv/main/guarded HTTP/1.1\r\nHost: a\r\n";
    refused 'a value that goes on in the next line', text('GET /livez HTTP/1.1',
        'Host: a', 'X-Long: one', ' two'), 400;
    refused 'a last value that does, by a tab', text('GET /livez HTTP/1.1', 'Host: a',
        "\tb"), 400;
    refused 'a coding in a continuation', "${put}X: y\r\n Transfer-Encoding: chunked\r\n\r\n"
        . "0\r\n\r\n", 400;
    refused 'a blank before the first header', text('GET /livez HTTP/1.1', ' Host: a'), 400;
    # libmicrohttpd takes a line that begins with a colon for the last one.
    refused 'a colon before a length', "${put}:\r\nContent-Length: 40\r\n\r\n", 400;
    refused 'a colon before a coding', "${put}: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        . "0\r\n\r\n", 400;
    refused 'a line without a colon', text('GET /livez HTTP/1.1', 'Host: a', 'nothing'), 400;
    for my $case (['the request line', "GET /livez HTTP/1.1\nHost: a\r\n\r\n"],
        ['a header', "GET /livez HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"],
        ['the last header', "GET /livez HTTP/1.1\r\nHost: a\n\r\n"],
        ['the empty line', "GET /livez HTTP/1.1\r\nHost: a\r\n\n"],
        ['every line', "GET /livez HTTP/1.1\nHost: a\n\n"]) {
        refused "LF alone after $case->[0]", $case->[1], 400;
    }
    for my $case (['a name', "X\0Y: a"], ['a value', "X: a\0b"], ['the end of a value', "X: a\0"],
        ['a line', "\0"]) {
        refused "NUL in $case->[0]", text('GET /livez HTTP/1.1', 'Host: a', $case->[1]), 400;
    }
    refused 'CR in a value', text('GET /livez HTTP/1.1', 'Host: a', "X: a\rb"), 400;
    refused 'a control in a value', text('GET /livez HTTP/1.1', 'Host: a', "X: a\x01b"), 400;
    my $got = $server->raw(text('GET /livez HTTP/1.1', 'Host:a', "X:\t y \t", 'Y:', 'Z: ',
        "N: \xc3\xa9\xff", 'Connection:close'));
    is statuses($got), 200, 'blanks around values, and values of none';
    $server->put('/v1/kv/main/blanks', '0123456789');
    $got = $server->raw(text('GET /v1/kv/main/blanks HTTP/1.1', "Host: a\t", "Range: bytes=2-4 \t",
        "X-Request-Id: mine ", 'Connection: close'));
    like $got, qr/^X-Request-Id: mine\r$/m, 'a blank behind an id is not of it';
    like $got, qr/\r\n\r\n234\z/, 'nor one behind a range';
    $got = $server->raw("\r\n" . text('GET /livez HTTP/1.1', 'Host: a', 'Connection: close'));
    is statuses($got), 200, 'an empty line before a request';
};

subtest 'transfer codings' => sub {
    my $put = 'PUT /v1/kv/main/guarded HTTP/1.1';
    my $body = "5\r\nhello\r\n0\r\n\r\n";
    for my $coding ('xchunked', 'gzip', 'gzip, chunked', 'chunked, gzip', 'identity',
        'chunked, chunked', 'chunked;q=1', '"chunked"', "chunked\x0b", 'chunked ', "chunked\t", '') {
        (my $shown = $coding) =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;
        refused "Transfer-Encoding: $shown",
            text($put, 'Host: a', "Transfer-Encoding: $coding") . $body, 400;
    }
    refused 'chunked twice', text($put, 'Host: a',
        'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') . $body, 400;
    refused 'chunked and another', text($put, 'Host: a',
        'Transfer-Encoding: chunked', 'Transfer-Encoding: identity') . $body, 400;
    refused 'chunked in HTTP/1.0', text('PUT /v1/kv/main/guarded HTTP/1.0', 'Host: a',
        'Transfer-Encoding: chunked') . $body, 400;
    refused 'length, then chunked', text($put, 'Host: a',
        'Content-Length: 5', 'Transfer-Encoding: chunked') . $body, 400;
    refused 'chunked, then length', text($put, 'Host: a',
        'Transfer-Encoding: chunked', 'Content-Length: 5') . $body, 400;
    refused 'length 0 and chunked', text('GET /livez HTTP/1.1', 'Host: a',
        'Content-Length: 0', 'Transfer-Encoding: chunked') . "0\r\n\r\n", 400;
    is $server->get('/v1/kv/main/guarded')->{status}, 404, 'nothing was written';
};

subtest 'lengths' => sub {
    my $put = 'PUT /v1/kv/main/guarded HTTP/1.1';
    refused 'the same length twice',
        text($put, 'Host: a', 'Content-Length: 5', 'Content-Length: 5') . 'hello', 400;
    refused 'two lengths',
        text($put, 'Host: a', 'Content-Length: 5', 'Content-Length: 9') . 'hello', 400;
    # libmicrohttpd finds these itself, and heads its reply twice.
    for my $length ('-1', '+5', '5x', '0x5', '5, 5', '5 5', '1e3', '', 'x',
        '99999999999999999999999') {
        my $status = $length =~ /^9/ ? '4(?:00|13)' : 400;
        refused "Content-Length: $length",
            text($put, 'Host: a', "Content-Length: $length") . 'hello', $status, repeated => 1;
    }
    is $server->get('/v1/kv/main/guarded')->{status}, 404, 'nothing was written';
};

subtest 'chunks' => sub {
    my $head = text('PUT /v1/kv/main/guarded HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked');
    for my $body ("zz\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n") {
        my ($got, $closed) = $server->raw($head . $body . $next);
        (my $shown = substr $body, 0, 12) =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;
        ok $closed && statuses($got) =~ /^(4\d\d)?$/ && $got !~ /smuggled/, "chunk '$shown'"
            or diag "closed: $closed, got: $got";
    }
    is $server->get('/v1/kv/main/guarded')->{status}, 404, 'nothing was written';
    my $got = $server->raw($head . "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
        . text('GET /v1/kv/main/guarded HTTP/1.1', 'Host: a', 'Connection: close'));
    is statuses($got), '201 200', 'a good one is taken, and the next request read';
    like $got, qr/hello world$/, 'its chunks are joined';
};

subtest 'fields that come once' => sub {
    refused 'two Hosts', text('GET /livez HTTP/1.1', 'Host: a', 'Host: b'), 400;
    refused 'the same Host twice', text('GET /livez HTTP/1.1', 'Host: a', 'host: a'), 400;
    refused 'two Authorizations', text('GET /livez HTTP/1.1', 'Host: a',
        'Authorization: Bearer a', 'authorization: Bearer b'), 400;
    for my $field ('Content-Type: a/b', 'If-Match: "1"', 'If-None-Match: "1"', 'Range: bytes=0-0',
        'If-Range: "1"', 'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT') {
        my ($name) = $field =~ /^([^:]+)/;
        refused "$name twice", text('GET /livez HTTP/1.1', 'Host: a', $field, $field), 400;
    }
    refused 'no Host', text('GET /livez HTTP/1.1'), 400;
    refused 'no Host, with a body',
        text('PUT /v1/kv/main/guarded HTTP/1.1', 'Content-Length: 5') . 'hello', 400;
    my ($got, $closed) = $server->raw(text('GET /livez HTTP/1.0'));
    is statuses($got) . " $closed", '200 1', 'HTTP/1.0 needs no Host';
};

subtest 'a part of a value' => sub {
    $server->put('/v1/kv/main/parted', 'the whole');
    refused 'PUT of a part', text('PUT /v1/kv/main/parted HTTP/1.1', 'Host: a', 'Content-Range: bytes 0-2/9',
        'Content-Length: 3') . 'The', 400;
    my $got = refused 'POST of a part', text('POST /v1/kv/main/parted?op=append HTTP/1.1', 'Host: a',
        'content-range: bytes 9-11/12', 'Content-Length: 3') . 'abc', 400;
    like $got, qr/"detail":"Content-Range/, 'told so';
    my $reply = $server->get('/v1/kv/main/parted', undef, { 'Content-Range' => 'bytes 0-2/9' });
    is "$reply->{status} $reply->{content}", '200 the whole', 'a GET does not mind';
};

subtest 'targets' => sub {
    for my $target ('/v1/kv/main/a%00b', '/v1/kv/main/a%00', '/%00', '/livez?a=%00',
        "/li\x01vez", "/livez\x7f", "/livez?\x02", 'livez', '?a=b', '*', 'v1/kv/main/k',
        'http:/livez', 'ftp://a/livez', 'http:///livez', 'http://') {
        (my $shown = $target) =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;
        refused "GET $shown", text("GET $target HTTP/1.1", 'Host: a'), 400;
    }
    for my $line ("PUT /v1/kv/main/cut\0off HTTP/1.1", "PUT /v1/kv/main/cut?ttl=1h\0off HTTP/1.1",
        "PUT\0OFF /v1/kv/main/cut HTTP/1.1", "PUT /v1/kv/main/cut HTTP/1.1\0off",
        "PUT \0/v1/kv/main/cut HTTP/1.1", 'PUT  /v1/kv/main/cut HTTP/1.1', 'PUT /v1/kv/main/cut  HTTP/1.1') {
        (my $shown = $line) =~ s/\0/\\0/;
        refused $shown, text($line, 'Host: a', 'Content-Length: 1') . 'x', 400;
    }
    is $server->get('/v1/kv/main/cut')->{status}, 404, 'nothing was written';
    my $got = $server->raw(text('OPTIONS * HTTP/1.1', 'Host: a', 'Connection: close'));
    like statuses($got), qr/^20[04]$/, 'OPTIONS *';
    $got = $server->raw(text('GET http://a/livez HTTP/1.1', 'Host: a', 'Connection: close'));
    is statuses($got), 200, 'the absolute form';
    $got = $server->raw(text('PUT http://a:80/v1/kv/main/absolute?ttl=1h HTTP/1.1', 'Host: a',
        'Content-Length: 1', 'Connection: close') . 'x');
    is statuses($got), 201, 'the absolute form with path and query';
    is $server->get('/v1/kv/main/absolute')->{content}, 'x', 'it is the same key';
    for my $target ('http://a', 'http://a?b=/livez') {
        $got = $server->raw(text("GET $target HTTP/1.1", 'Host: a', 'Connection: close'));
        is statuses($got), 404, "$target is /, where nothing is";
        like $got, qr/there is nothing here|no such service/, 'told so';
    }
    $got = $server->raw(text('OPTIONS http://a HTTP/1.1', 'Host: a', 'Connection: close'));
    like statuses($got), qr/^20[04]$/, 'OPTIONS http://a is OPTIONS *';
};

subtest 'garbage' => sub {
    my $noise = join '', map { chr(($_ * 7919) % 256) } 1 .. 3000;
    for my $bytes ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03$noise", "$noise\r\n\r\n",
        "GET\r\n\r\n", "GET /livez\r\n\r\n", "GET /livez HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET /livez HTTQ/1.1\r\nHost: a\r\n\r\n", "GET /livez HTTP/1.1\r\nno colon\r\n\r\n") {
        my $socket = $server->raw_connect;
        my $got = $server->raw($bytes, socket => $socket, timeout => 0.2);
        like statuses($got), qr/^(400|404|405|505)?$/, 'no reply or an error'
            or diag $got;
    }
    is $server->get('/livez')->{status}, 200, 'the daemon lives on';
};

subtest 'a refusal is a problem' => sub {
    my $connection = $server->connect;
    my $reply = $connection->request(GET => '/livez',
        headers => [Host => 'a', Host => 'b', 'X-Request-Id' => 'mine']);
    my $problem = Jackdaw::is_problem($reply, 400, 'bad_request');
    is $problem->{request_id}, 'mine', 'with the request id of the client';
    ok $reply->{closes}, 'and the end of the connection';
};

subtest 'bodies that are too long' => sub {
    for my $expect ([], ['Expect: 100-continue']) {
        my $note = @$expect ? ' (Expect)' : '';
        my $got = refused "a value, by its length$note",
            text('PUT /v1/kv/main/long HTTP/1.1', 'Host: a', @$expect, 'Content-Length: 65537'),
            413;
        unlike $got, qr/100 Continue/, "no 100$note";
        like $got, qr/"code":"too_large"/, "its code$note";
        like $got, qr/"detail":"[^"]*65536/, "its limit$note";
        $got = refused "a batch, by its length$note",
            text('POST /v1/kv/main/?op=batch HTTP/1.1', 'Host: a', @$expect,
            'Content-Length: 131073'), 413;
        like $got, qr/"detail":"[^"]*131072/, "its limit$note";
        refused "far too long$note",
            text('PUT /v1/kv/main/long HTTP/1.1', 'Host: a', @$expect,
            'Content-Length: 9000000000000000000'), 413;
    }
    my $chunk = sprintf "%x\r\n%s\r\n", 4096, 'x' x 4096;
    my $socket = $server->raw_connect;
    my $head = text('PUT /v1/kv/main/long HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked');
    my ($got, $closed) = $server->raw($head . $chunk x 64, socket => $socket);
    is statuses($got) . " $closed", '413 1', 'a value that grows in chunks';
    is $server->get('/v1/kv/main/long')->{status}, 404, 'nothing was written';
    is $server->put('/v1/kv/main/long', 'x' x 65536)->{status}, 201, 'the limit itself is good';
};

subtest 'the head is too long' => sub {
    for my $length (20_000, 200_000) {
        my ($got, $closed) = $server->raw(text('GET /v1/kv/main/' . 'k' x $length
            . ' HTTP/1.1', 'Host: a'));
        is statuses($got) . " $closed", '414 1', "a URI of $length bytes";
        ($got, $closed) = $server->raw(text('GET /livez HTTP/1.1', 'Host: a',
            'X-Long: ' . 'h' x $length));
        is statuses($got) . " $closed", '431 1', "a header of $length bytes";
        ($got, $closed) = $server->raw(text('GET /livez HTTP/1.1', 'Host: a',
            map { "X-$_: " . 'h' x 90 } 1 .. $length / 100));
        is statuses($got) . " $closed", '431 1', "headers of $length bytes";
    }
    my $reply = $server->get('/livez?' . 'a' x 1024);
    isnt $reply->{status}, 414, 'a kilobyte of URI is good';
    is $server->get('/livez', undef, { 'X-Long' => 'h' x 2048 })->{status}, 200,
        'two kilobytes of header are good';
};

# libmicrohttpd closes without a word where its memory for a connection has no
# room left for the head of a reply.
subtest 'a head of any size is answered' => sub {
    my %count;
    for my $fields (1, 40) {
        for my $target (20, 3000) {
            for (my $size = 200; $size < 9000; $size += 90) {
                my $value = 'v' x ($size / $fields);
                my $got = $server->raw(text('GET /livez?' . 'x' x $target . ' HTTP/1.1', 'Host: a',
                    'Connection: close', map { "X-$_: $value" } 1 .. $fields));
                $count{ $got =~ m{^HTTP/1\.1 (\d+) } ? $1 : "nothing, $fields of $size, $target" }++;
            }
        }
    }
    is_deeply [sort keys %count], [400, 431], 'by 400 or by 431' or diag explain \%count;
};

subtest 'Expect: 100-continue' => sub {
    my $connection = $server->connect;
    $connection->send(text('PUT /v1/kv/main/expected HTTP/1.1', 'Host: a',
        'Expect: 100-continue', 'Content-Length: 5'));
    my $socket = $connection->socket;
    ok(IO::Select->new($socket)->can_read(5 * Jackdaw::slowness()), 'an answer to the head');
    sysread $socket, my $interim, 1000;
    is $interim, "HTTP/1.1 100 Continue\r\n\r\n", 'it is 100';
    $connection->send('hello');
    is $connection->read_reply('PUT')->{status}, 201, 'then the reply';
    is $connection->request(GET => '/v1/kv/main/expected')->{content}, 'hello', 'it is there';
};

subtest 'connections' => sub {
    my $get = 'GET /livez HTTP/1.0';
    my ($got, $closed) = $server->raw(text($get, 'Host: a'));
    is statuses($got) . " $closed", '200 1', 'HTTP/1.0 closes';
    my $connection = $server->connect;
    for (1 .. 3) {
        $connection->send(text($get, 'Host: a', 'Connection: keep-alive'));
        my $reply = $connection->read_reply('GET');
        is $reply->{status}, 200, 'HTTP/1.0 with keep-alive stays';
        like $reply->{headers}{connection}, qr/^keep-alive$/i, 'and says so';
    }
    $connection = $server->connect;
    is $connection->request(GET => '/livez')->{status}, 200, 'HTTP/1.1 stays' for 1 .. 3;
    my $reply = $connection->request(GET => '/livez', close => 1);
    ok $reply->{status} == 200 && $reply->{closes}, 'Connection: close is honoured';
    is $reply->{headers}{connection}, 'close', 'and said';
};

subtest 'pipelining' => sub {
    my $requests = join '', map {
        my $value = "value $_";
        text("PUT /v1/kv/main/pipe$_ HTTP/1.1", 'Host: a', "X-Request-Id: put-$_",
            'Content-Length: ' . length $value) . $value
            . text("GET /v1/kv/main/pipe$_ HTTP/1.1", 'Host: a', "X-Request-Id: get-$_");
    } 1 .. 20;
    my $connection = $server->connect;
    $connection->send($requests);
    my $right = 0;
    for my $i (1 .. 20) {
        my $put = $connection->read_reply('PUT');
        my $get = $connection->read_reply('GET');
        $right += $put->{status} == 201 && $get->{content} eq "value $i"
            && $put->{headers}{'x-request-id'} eq "put-$i"
            && $get->{headers}{'x-request-id'} eq "get-$i";
    }
    is $right, 20, '20 writes and 20 reads are answered in order';
    ok $connection->usable, 'and nothing more';

    $connection->send(text('HEAD /v1/kv/main/pipe1 HTTP/1.1', 'Host: a') x 3
        . text('GET /v1/kv/main/pipe1 HTTP/1.1', 'Host: a'));
    my @heads = map { $connection->read_reply('HEAD') } 1 .. 3;
    is_deeply [map { $_->{headers}{'content-length'} } @heads], [7, 7, 7],
        'HEAD has the length of the body';
    is $connection->read_reply('GET')->{content}, 'value 1', 'and no body';

    # One byte at a time.
    $connection = $server->connect;
    for my $byte (split //, text('GET /v1/kv/main/pipe2 HTTP/1.1', 'Host: a')) {
        $connection->send($byte);
        sleep 0.001;
    }
    is $connection->read_reply('GET')->{content}, 'value 2', 'a request byte by byte';
};
is $server->stop, 0, 'the daemon ends well';

subtest 'deadlines' => sub {
    my $seconds = Jackdaw::slowness() > 1 ? 3 : 1;
    my $server = Jackdaw->start(args => ['--set', 'limits.max_value=16M', map { ('--set', "limits.$_=${seconds}s") }
        qw(header_timeout body_timeout write_timeout idle_timeout)]);
    is $server->put('/v1/kv/main/large', 'x' x 1_000_000)->{status}, 201, 'a large value';
    my $other = $server->connect;

    # Each is dripped a byte at a time and must be cut after its deadline.
    my %slow = (
        'header' => ["GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ", 'x'],
        'request line' => ['GET /', 'x'],
        'body' => [text('PUT /v1/kv/main/slow HTTP/1.1', 'Host: a', 'Content-Length: 1000'), 'x'],
        'chunked body' => [text('PUT /v1/kv/main/slow HTTP/1.1', 'Host: a',
            'Transfer-Encoding: chunked'), "1\r\nx\r\n"],
        'import' => [text('PUT /v1/kv/main/?op=import HTTP/1.1', 'Host: a',
            'Content-Length: 1000'), ' '],
        'import, after a chunk of it' => [text('PUT /v1/kv/main/?op=import HTTP/1.1', 'Host: a',
            'Content-Length: 1000000') . qq({"key":"slow","value":"of many lines"}\n) x 2500, ' '],
        'nothing at all' => ['', ''],
        'nothing after a reply' => [text('GET /livez HTTP/1.1', 'Host: a'), ''],
    );
    my %sockets = map { $_ => $server->raw_connect } keys %slow;
    syswrite $sockets{$_}, $slow{$_}[0] for keys %slow;
    # Readers that do not read.
    my @deaf = map { $server->raw_connect($_) } undef, 'unix:' . $server->dir . '/admin.sock';
    setsockopt $deaf[0], Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 4096;
    syswrite $_, text('GET /v1/kv/main/large HTTP/1.1', 'Host: a') x 20 for @deaf;

    my $begin = time;
    my (%ended, $worst);
    while (keys %ended < keys %sockets && time < $begin + 8 * $seconds) {
        for my $name (grep { !$ended{$_} } keys %sockets) {
            my $socket = $sockets{$name};
            syswrite $socket, $slow{$name}[1] if length $slow{$name}[1];
            next if !IO::Select->new($socket)->can_read(0);
            my $n = sysread $socket, my $got, 65536;
            $ended{$name} = time - $begin if !$n;
        }
        my $sent = time;
        $other->request(GET => '/livez')->{status} == 200 or last;
        my $took = time - $sent;
        $worst = $took if !defined $worst || $took > $worst;
        sleep 0.05;
    }
    for my $name (sort keys %slow) {
        my $ended = $ended{$name};
        ok defined $ended && $ended > 0.8 * $seconds && $ended < 5 * $seconds,
            "$name: cut at its deadline" or diag 'after ' . ($ended // 'nothing');
    }
    ok $worst < 0.5 * Jackdaw::slowness(), 'others are answered meanwhile' or diag $worst;
    my $sockets = $server->wait_until(8 * $seconds, sub {
        ($server->metric('jackdaw_http_connections') // 9) <= 2 });
    ok $sockets, 'readers that do not read are cut as well';

    # What it takes is more than the kernel keeps of a reply, for longer than
    # any of the deadlines.
    is $other->request(PUT => '/v1/kv/main/huge', content => 'x' x (16 << 20))->{status}, 201, 'a huge value';
    my $steady = $server->raw_connect;
    setsockopt $steady, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 256 << 10;
    syswrite $steady, text('GET /v1/kv/main/huge HTTP/1.1', 'Host: a');
    my ($read, $n) = (0, 1);
    $begin = time;
    while ($n && $read < 16 << 20) {
        my $due = (16 << 20) * (time - $begin) / (5 * $seconds);
        if ($read > $due) { sleep 0.01; next }
        $read += $n = sysread($steady, my $got, 65536) // 0;
    }
    ok $read >= 16 << 20, 'one that reads slowly, but reads, gets all'
        or diag sprintf '%d bytes in %.1f s', $read, time - $begin;
    is $server->stop, 0, 'the daemon ends well';
};

done_testing;
