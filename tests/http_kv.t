# SPDX-License-Identifier: MIT

# One key: everything that can be done to it over HTTP.
use strict;
use warnings;
use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep time);

my $server = Jackdaw->start(conf => <<'EOC');
store main { kind = durable max_size = "256M" }
store cache { kind = volatile max_size = "64M" }
store brief { kind = volatile max_size = "16M" ttl = "1h" }
EOC
my $kv = '/v1/kv/main';
my $etag = qr/^"[^"]+"$/;

sub status { return $_[0]{status} }
sub tag    { return $_[0]{headers}{etag} }
*is_problem = \&Jackdaw::is_problem;

for my $store ('main', 'cache') {
    subtest "$store: write, read, delete" => sub {
        my $key = "/v1/kv/$store/plain";
        is_problem($server->get($key), 404, 'not_found');
        my $put = $server->put($key, 'one', { 'Content-Type' => 'text/plain; charset=utf-8' });
        is status($put), 201, 'created';
        like tag($put), $etag, 'with a strong ETag';
        my $get = $server->get($key);
        is status($get), 200, 'read';
        is $get->{content}, 'one', 'its value';
        is tag($get), tag($put), 'its ETag is that of the write';
        my $headers = $get->{headers};
        is $headers->{'content-type'}, 'text/plain; charset=utf-8', 'its type';
        is $headers->{'content-length'}, 3, 'its length';
        is $headers->{'x-content-type-options'}, 'nosniff', 'nosniff';
        my $date = qr/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d GMT$/;
        like $headers->{'last-modified'}, $date, 'Last-Modified';
        like $headers->{date}, $date, 'Date';
        ok !defined $headers->{'cache-control'} || $headers->{'cache-control'} !~ /max-age/,
            'no max-age without a TTL';

        my $again = $server->put($key, 'two');
        is status($again), 204, 'replaced';
        isnt tag($again), tag($put), 'with another ETag';
        $get = $server->get($key);
        is $get->{content}, 'two', 'the new value';
        is $get->{headers}{'content-type'}, 'application/octet-stream', 'the type of none';
        is tag($server->put($key, 'two')), tag($server->get($key)), 'again';
        isnt tag($get), tag($server->get($key)), 'the same bytes get a new number';

        is status($server->delete($key)), 204, 'deleted';
        is_problem($server->get($key), 404, 'not_found', 'gone');
        is_problem($server->delete($key), 404, 'not_found', 'deleted twice');
        is status($server->put($key, 'three')), 201, 'created again';
        isnt tag($server->get($key)), tag($put), 'never an ETag of before';
    };
}

subtest 'HEAD is GET without the body' => sub {
    $server->put("$kv/head", 'x' x 1000, { 'Content-Type' => 'text/x-test' });
    $server->put("$kv/head-ttl?ttl=1h", 'x' x 10);
    for my $target ("$kv/head", "$kv/head-ttl", "$kv/head-missing", "$kv/?limit=5",
        '/livez', '/readyz', '/metrics', '/nowhere') {
        my $get = $server->get($target);
        my $head = $server->head($target);
        is status($head), status($get), "$target: status";
        for my $reply ($get, $head) {
            # These may differ; so may the length of what counts itself.
            delete @{ $reply->{headers} }{qw(date x-request-id cache-status)};
            delete $reply->{headers}{'content-length'} if status($reply) != 200
                || $target eq '/metrics';
            $reply->{headers}{'cache-control'} =~ s/\d+/n/ if $reply->{headers}{'cache-control'};
        }
        if ($get->{headers}{'transfer-encoding'}) {
            delete @{ $_->{headers} }{qw(transfer-encoding content-length)} for $get, $head;
        }
        is_deeply $head->{headers}, $get->{headers}, "$target: headers"
            or diag explain [$head->{headers}, $get->{headers}];
        is $head->{content}, '', "$target: no body";
    }
};

subtest 'values' => sub {
    my %values = (
        'empty' => '',
        'NUL' => "\0",
        'every byte' => join('', map chr, 0 .. 255),
        'a page' => 'p' x 4096,
        'much' => join('', map { pack 'N', $_ } 1 .. 50_000),
        'the largest' => 'v' x (1 << 20),
    );
    for my $name (sort keys %values) {
        my $target = "$kv/value/" . Jackdaw::encode($name);
        is status($server->put($target, $values{$name})), 201, "$name: written";
        my $get = $server->get($target);
        ok $get->{content} eq $values{$name}, "$name: read" or diag length $get->{content};
        is $get->{headers}{'content-length'}, length $values{$name}, "$name: its length";
    }
    my $problem = is_problem($server->put("$kv/value/huge", 'v' x ((1 << 20) + 1)),
        413, 'too_large', 'one byte more is too large');
    like $problem->{detail}, qr/1048576|1 ?Mi?B?\b/, 'and told the limit';
    is status($server->get("$kv/value/huge")), 404, 'it is not there';
    is status($server->put("$kv/value/empty", '')), 204, 'an empty one replaces';
    my $reply = $server->connect->request(PUT => "$kv/value/none", close => 1, headers => []);
    is status($reply), 201, 'no body is an empty value';
};

subtest 'content types' => sub {
    for my $type ('text/html', 'application/json', 'a/b; x="y z"', 'x' x 200 . '/y') {
        $server->put("$kv/type", 'v', { 'Content-Type' => $type });
        is $server->get("$kv/type")->{headers}{'content-type'}, $type, substr $type, 0, 30;
    }
    my $reply = $server->put("$kv/type", 'v', { 'Content-Type' => 'x' x 300 });
    like status($reply), qr/^(400|413|415|431)$/, 'one of 300 bytes is refused';
    is status($server->put("$kv/type", 'v', { 'Content-Type' => '' })), 204, 'an empty one';
    is $server->get("$kv/type")->{headers}{'content-type'}, 'application/octet-stream',
        'is none';
};

subtest 'media types of bodies' => sub {
    my %bodies = ("$kv/media?op=incr" => '{}', "$kv/?op=batch" => '[]', "$kv/?op=import" => '');
    for my $target (sort keys %bodies) {
        my $method = $target =~ /import/ ? 'PUT' : 'POST';
        my $body = $bodies{$target} || qq({"key":"media/lines","value":"v"}\n);
        my $send = sub {
            return $server->request($method, $target, content => $body,
                headers => defined $_[0] ? { 'Content-Type' => $_[0] } : {});
        };
        is status($send->($_)), 200, "$target: " . ($_ // 'none')
            for undef, 'application/json', 'Application/JSON; charset=utf-8',
            'application/x-ndjson', 'application/x-www-form-urlencoded';
        is_problem($send->($_), 415, 'unsupported_media_type', "$target: $_")
            for 'text/html', 'image/png', 'multipart/form-data; boundary=x', 'application/xml';
    }
};

subtest 'keys' => sub {
    my %keys = (
        'a' => 'a',
        'a/b/c' => 'a/b/c',
        'with%20space' => 'with space',
        'plus+stays' => 'plus+stays',
        '%E2%82%AC' => "\xe2\x82\xac",
        '%ff%fe' => "\xff\xfe",
        '%01%7f' => "\x01\x7f",
        '%3Fquery%3D%26%23' => '?query=&#',
        '%25' => '%',
        '%2525' => '%25',
        '..' => '..',
        '../up' => '../up',
        './here' => './here',
        '/' => '/',
        '//' => '//',
        '/lead' => '/lead',
        'trail/' => 'trail/',
        "~!\$&'()*,;=:@" => "~!\$&'()*,;=:@",
        'k' x 480 => 'k' x 480,
        '%6B' x 479 . 'l' => 'k' x 479 . 'l',
    );
    for my $path (sort keys %keys) {
        my $put = $server->put("$kv/$path", "value of $path");
        is status($put), 201, 'written: ' . substr $path, 0, 40;
        my $encoded = Jackdaw::encode($keys{$path});
        is $server->get("$kv/$encoded")->{content}, "value of $path",
            'read with all encoded: ' . substr $encoded, 0, 40;
        (my $lower = $encoded) =~ s/(%..)/lc $1/ge;
        is status($server->delete("$kv/$lower")), 204, 'deleted: ' . substr $lower, 0, 40;
    }
    for my $path ('k' x 481, '%6B' x 481, '/' x 481) {
        my $problem = is_problem($server->put("$kv/$path", 'v'), qr/^41[34]$/, 'too_large',
            '481 bytes: ' . substr $path, 0, 10);
        like $problem->{detail}, qr/480/, 'and told the limit';
        like status($server->get("$kv/$path")), qr/^4(04|13|14)$/, 'reading it';
    }
    for my $path ('%', '%2', 'a%zz', '%g0', 'a%', '%%41', '%u0041') {
        is_problem($server->put("$kv/$path", 'v'), 400, 'bad_request', "malformed: $path");
        is_problem($server->get("$kv/$path"), 400, 'bad_request', "reading it: $path");
    }
    for my $method (qw(PUT DELETE POST)) {
        my $reply = $server->request($method, "$kv/", content => 'x');
        like status($reply), qr/^40[05]$/, "$method of the empty key is refused";
    }
};

subtest 'stores and routes that are not there' => sub {
    for my $target ('/v1/kv/nowhere/k', '/v1/kv/nowhere/', '/v1/kv/Main/k', '/v1/kv//k',
        '/v1/kv', '/v1/kv/', '/v1', '/', '/nowhere', '/v2/kv/main/k', '/V1/kv/main/k',
        '/livez/', '/v1/kv/mai%6E/k%00', '/v1/kv/main%2Fk') {
        my $status = $target =~ /%00/ ? 400 : 404;
        is_problem($server->get($target), $status, undef, "GET $target");
    }
    is_problem($server->put('/v1/kv/nowhere/k', 'v'), 404, 'not_found', 'PUT');
    is_problem($server->delete('/v1/kv/nowhere/k'), 404, 'not_found', 'DELETE');
    is_problem($server->post('/v1/kv/nowhere/k?op=incr', ''), 404, 'not_found', 'POST');
};

subtest 'methods' => sub {
    $server->put("$kv/method", 'v');
    my %expected = (
        "$kv/method" => [qw(DELETE GET HEAD OPTIONS POST PUT)],
        "$kv/" => [qw(GET HEAD OPTIONS POST PUT)],
        '/livez' => [qw(GET HEAD OPTIONS)],
        '/readyz' => [qw(GET HEAD OPTIONS)],
        '/metrics' => [qw(GET HEAD OPTIONS)],
    );
    for my $target (sort keys %expected) {
        my $reply = $server->request(OPTIONS => $target);
        like status($reply), qr/^20[04]$/, "OPTIONS $target";
        my @allowed = sort split /\s*,\s*/, $reply->{headers}{allow} // '';
        is_deeply \@allowed, $expected{$target}, "OPTIONS $target: Allow" or diag "@allowed";
        for my $method (qw(GET HEAD PUT POST DELETE PATCH FOO TRACE)) {
            next if grep { $_ eq $method } @allowed;
            $reply = $server->request($method, $target);
            is_problem($reply, 405, 'method_not_allowed', "$method $target");
            my @again = sort split /\s*,\s*/, $reply->{headers}{allow} // '';
            is_deeply \@again, \@allowed, "$method $target: Allow";
        }
    }
    is $server->get("$kv/method")->{content}, 'v', 'nothing was done';
};

subtest 'parameters' => sub {
    $server->put("$kv/parameter", 1);
    for my $target ("$kv/parameter?nothing=1", "$kv/parameter?ttl=1s", "$kv/parameter?op=incr",
        "$kv/parameter?&=", '/livez?x=1') {
        like status($server->get($target)), qr/^(200|400)$/, "GET $target";
    }
    is_problem($server->get("$kv/parameter?nothing=1"), 400, 'bad_request', 'unknown in GET');
    for my $query ('tll=1s', 'ttl=1s&ttl=2s', 'ttl=1s&x=y', 'op=put', 'op=incr') {
        is_problem($server->put("$kv/parameter?$query", 'v'), 400, 'bad_request', "PUT ?$query");
    }
    for my $query ('', '?op=', '?op=nothing', '?op=INCR', '?op=incr&op=incr', '?op=incr&x=1',
        '?op=batch', '?op=import', '?op=export', '?ttl=1s', '?op=touch&tll=1s') {
        is_problem($server->post("$kv/parameter$query", ''), 400, 'bad_request', "POST $query");
    }
    is_problem($server->delete("$kv/parameter?x=1"), 400, 'bad_request', 'DELETE ?x=1');
    is $server->get("$kv/parameter")->{content}, 1, 'nothing was done';
};

subtest 'ranges' => sub {
    my $target = "$kv/range";
    my $tag = tag($server->put($target, '0123456789', { 'Content-Type' => 'text/plain' }));
    my @cases = (
        ['0-0', '0', '0-0/10'],
        ['0-4', '01234', '0-4/10'],
        ['3-6', '3456', '3-6/10'],
        ['5-', '56789', '5-9/10'],
        ['9-9', '9', '9-9/10'],
        ['-3', '789', '7-9/10'],
        ['-10', '0123456789', '0-9/10'],
        ['-100', '0123456789', '0-9/10'],
        ['7-100', '789', '7-9/10'],
        ['0-99999999999999999999', '0123456789', '0-9/10'],
    );
    for my $case (@cases) {
        my ($range, $content, $content_range) = @$case;
        my $reply = $server->get($target, undef, { Range => "bytes=$range" });
        is status($reply), 206, "bytes=$range: 206";
        is $reply->{content}, $content, "bytes=$range: content";
        my $headers = $reply->{headers};
        is $headers->{'content-range'}, "bytes $content_range", "bytes=$range: Content-Range";
        is $headers->{etag}, $tag, "bytes=$range: ETag";
        is $headers->{'content-type'}, 'text/plain', "bytes=$range: type";
    }
    for my $range ('bytes=10-', 'bytes=10-20', 'bytes=-0', 'bytes=99999999999999999999-') {
        my $reply = $server->get($target, undef, { Range => $range });
        is_problem($reply, 416, undef, "$range: 416");
        is $reply->{headers}{'content-range'}, 'bytes */10', "$range: Content-Range";
    }
    for my $range ('bytes=0-1,3-4', 'bytes=5-2', 'items=0-1', 'bytes=', 'bytes=-', 'bytes=a-b',
        'bytes', '0-1', 'bytes=0-1-2', 'bytes=+1-2', 'bytes=1 -2') {
        my $reply = $server->get($target, undef, { Range => $range });
        is status($reply), 200, "$range: ignored";
        is $reply->{content}, '0123456789', "$range: all of it";
    }
    my $modified = $server->get($target)->{headers}{'last-modified'};
    for my $case ([$tag, 206], ['"other"', 200], ["W/$tag", 200],
        [$modified, 200], ['Thu, 01 Jan 1970 00:00:00 GMT', 200], ['nonsense', 200]) {
        my ($validator, $status) = @$case;
        my $reply = $server->get($target, undef,
            { Range => 'bytes=0-0', 'If-Range' => $validator });
        is status($reply), $status, "If-Range: $validator";
    }
    is status($server->get($target, undef, { Range => 'bytes=0-0', 'If-None-Match' => $tag })),
        304, 'If-None-Match comes first';
    is status($server->get($target, undef, { Range => 'bytes=0-0', 'If-Match' => '"x"' })),
        412, 'If-Match comes first';
    $server->put("$kv/range-empty", '');
    is status($server->get("$kv/range-empty", undef, { Range => 'bytes=0-' })), 416,
        'no byte of an empty value';
    is status($server->get("$kv/range-missing", undef, { Range => 'bytes=0-' })), 404,
        'no byte of nothing';
};

subtest 'conditions of reads' => sub {
    my $target = "$kv/condition";
    my $tag = tag($server->put($target, 'v'));
    my $get = sub { $server->get($target, undef, {@_}) };
    for my $value ($tag, "W/$tag", "\"a\", $tag", "$tag, \"b\"", "\"a\",$tag,W/\"b\"", '*') {
        my $reply = $get->('If-None-Match' => $value);
        is status($reply), 304, "If-None-Match: $value";
        is tag($reply), $tag, 'with its ETag';
        is $reply->{content}, '', 'without a body';
        is status($server->head($target, undef, { 'If-None-Match' => $value })), 304, 'HEAD too';
    }
    is status($get->('If-None-Match' => $_)), 200, "If-None-Match: $_"
        for '"a"', '"a", "b"', 'W/"a"', '"a,b"', '""';
    is status($get->('If-Match' => $_)), 200, "If-Match: $_" for $tag, "\"a\", $tag", '*';
    for my $value ('"a"', "W/$tag", '"a", "b"') {
        my $reply = $get->('If-Match' => $value);
        is_problem($reply, 412, 'precondition_failed', "If-Match: $value");
        is tag($reply), $tag, 'with the current ETag';
    }
    (my $bare = $tag) =~ tr/"//d;
    is status($get->('If-None-Match' => "\"0$bare\"")), 200, 'a tag is text, no number';
    for my $value ($bare, "\"$bare", "$tag $tag", "$tag;", 'w/' . $tag, "*, $tag") {
        like status($get->('If-None-Match' => $value)), qr/^(200|400)$/, "malformed: $value";
        like status($get->('If-Match' => $value)), qr/^4(00|12)$/, "malformed: $value";
    }
    is status($server->get("$kv/condition-missing", undef, { 'If-None-Match' => '*' })), 404,
        'nothing there: 404';
    like status($server->get("$kv/condition-missing", undef, { 'If-Match' => '*' })),
        qr/^4(04|12)$/, 'nothing to match';
    # The length is that of the value, which does not come.
    my %sizes = ("$kv/value/empty" => 0, $target => 1, "$kv/value/much" => 200_000,
        "$kv/value/the%20largest" => 1 << 20);
    for my $sized (sort keys %sizes) {
        for my $method (qw(GET HEAD)) {
            my $connection = $server->connect;
            my $reply = $connection->request($method, $sized, headers => { 'If-None-Match' => '*' });
            is status($reply), 304, "$method: 304";
            is $reply->{headers}{'content-length'} // $sizes{$sized}, $sizes{$sized},
                "$method: the length of $sizes{$sized}";
            is $connection->request(GET => '/livez')->{content}, "ok\n", 'and nothing behind it';
        }
    }
    # A cached reply and one that is read answer alike.
    for (1 .. 3) {
        is status($get->()), 200, 'read';
        is status($get->('If-None-Match' => $tag)), 304, 'not modified';
        is status($get->('If-Match' => '"a"')), 412, 'not matched';
        is status($get->(Range => 'bytes=0-0')), 206, 'a part';
    }
};

subtest 'conditions of writes' => sub {
    my $target = "$kv/cas";
    my $put = sub { my $value = shift; $server->put($target, $value, {@_}) };
    my $reply = $put->('a', 'If-Match' => '*');
    is_problem($reply, 412, 'precondition_failed', 'If-Match: * of nothing');
    is tag($reply), undef, 'and nothing has no ETag';
    is_problem($put->('a', 'If-Match' => '"1"'), 412, 'precondition_failed', 'a tag of nothing');
    is status($put->('a', 'If-None-Match' => '*')), 201, 'If-None-Match: * of nothing';
    my $tag = tag($server->get($target));
    $reply = $put->('b', 'If-None-Match' => '*');
    is_problem($reply, 412, 'precondition_failed', 'If-None-Match: * of something');
    is tag($reply), $tag, 'with the current ETag';
    for my $value ('"x"', "W/$tag", '"x", "y"') {
        $reply = $put->('b', 'If-Match' => $value);
        is_problem($reply, 412, 'precondition_failed', "If-Match: $value");
        is tag($reply), $tag, 'with the current ETag';
    }
    is_problem($put->('b', 'If-None-Match' => $tag), 412, undef, 'If-None-Match: its own tag');
    is $server->get($target)->{content}, 'a', 'nothing was written';
    $reply = $put->('b', 'If-Match' => "\"x\", $tag");
    is status($reply), 204, 'If-Match: a list with its tag';
    isnt tag($reply), $tag, 'a new ETag';
    is_problem($put->('c', 'If-Match' => $tag), 412, 'precondition_failed', 'the old tag');
    is status($put->('c', 'If-None-Match' => $tag)), 204, 'If-None-Match: the old tag';
    is status($put->('c', 'If-Match' => '*')), 204, 'If-Match: * of something';

    (my $bare = tag($server->get($target))) =~ tr/"//d;
    for my $value ($bare, "\"$bare", '"a" "b"', '"a";', ',', '*,', "*, \"$bare\"") {
        my $reply = $put->('d', 'If-Match' => $value);
        is_problem($reply, qr/^4(00|12)$/, undef, "malformed: If-Match: $value");
        $reply = $put->('d', 'If-None-Match' => $value) if $value ne ',';
        is_problem($reply, qr/^4(00|12)$/, undef, "malformed: If-None-Match: $value");
    }
    is $server->get($target)->{content}, 'c', 'nothing was written';

    $tag = tag($server->get($target));
    $reply = $server->delete($target, undef, { 'If-Match' => '"x"' });
    is_problem($reply, 412, 'precondition_failed', 'DELETE with another tag');
    is tag($reply), $tag, 'with the current ETag';
    is status($server->delete($target, undef, { 'If-Match' => $tag })), 204, 'with its tag';
    like status($server->delete($target, undef, { 'If-Match' => $tag })), qr/^4(04|12)$/,
        'once only';

    $server->put($target, 1);
    $tag = tag($server->get($target));
    for my $op ('incr', 'append', 'touch&ttl=1h', 'getdel') {
        my $reply = $server->post("$target?op=$op", '', { 'If-Match' => '"x"' });
        is_problem($reply, 412, 'precondition_failed', "$op with another tag");
    }
    is status($server->post("$target?op=incr", '', { 'If-Match' => $tag })), 200,
        'incr with its tag';
    is status($server->post("$target?op=incr", '', { 'If-Match' => $tag })), 412, 'once only';
};

subtest 'lifetimes' => sub {
    my %units = ('90000ms' => 90, '90s' => 90, '2m' => 120, '3h' => 10_800, '1d' => 86_400);
    for my $ttl (sort keys %units) {
        is status($server->put("$kv/ttl/$ttl?ttl=$ttl", 'v')), 201, "ttl=$ttl";
        my $control = $server->get("$kv/ttl/$ttl")->{headers}{'cache-control'} // '';
        my ($age) = $control =~ /\bmax-age=(\d+)/;
        ok defined $age && $age <= $units{$ttl} && $age > $units{$ttl} - 20,
            "ttl=$ttl: max-age" or diag $control;
        # From the store or from memory.
        for (1 .. 3) {
            my $reply = $server->get("$kv/ttl/$ttl", undef, { 'If-None-Match' => '*' });
            my ($left) = ($reply->{headers}{'cache-control'} // '') =~ /\bmax-age=(\d+)/;
            ok status($reply) == 304 && defined $left && $left <= $age, "ttl=$ttl: and of a 304" or diag $reply->{head};
        }
    }
    for my $ttl ('', '5', 's', '-1s', '+1s', '1.5s', '1 s', '1S', '1w', '1ss', 's1', '0x1s',
        '99999999999999999999s', '999999999999999d') {
        my $query = Jackdaw::encode($ttl);
        is_problem($server->put("$kv/ttl/bad?ttl=$query", 'v'), 400, 'bad_request', "ttl=$ttl");
    }
    is status($server->get("$kv/ttl/bad")), 404, 'nothing was written';

    my $span = 0.3 * Jackdaw::slowness();
    my $ms = int 1000 * $span;
    my $target = "$kv/ttl/brief";
    my $begin = time;
    is status($server->put("$target?ttl=${ms}ms", 'v')), 201, 'a brief one';
    my $status = status($server->get($target));
    ok $status == 200 || time - $begin > $span, 'is there at first' or diag $status;
    is status($server->get($target)), $status, 'and cached' if time - $begin < $span / 2;
    sleep $span;
    is_problem($server->get($target), 404, 'not_found', 'is gone at once');
    unlike $server->get("$kv/?prefix=ttl/b")->{content}, qr/brief/, 'from a scan as well';
    is status($server->delete($target)), 404, 'nothing to delete';
    is status($server->post("$target?op=touch&ttl=1h", '')), 404, 'nothing to touch';
    is status($server->post("$target?op=getdel", '')), 404, 'nothing to get';
    is status($server->put($target, 'w', { 'If-Match' => '*' })), 412, 'nothing to match';
    is status($server->put($target, 'w', { 'If-None-Match' => '*' })), 201, 'it can be made anew';

    $server->put("$kv/ttl/reset?ttl=${ms}ms", 'v');
    is status($server->put("$kv/ttl/reset", 'w')), 204, 'a write without a TTL';
    sleep $span;
    is status($server->get("$kv/ttl/reset")), 200, 'takes it away';
    is status($server->put('/v1/kv/brief/k', 'v')), 201, 'a store with a TTL of its own';
    like $server->get('/v1/kv/brief/k')->{headers}{'cache-control'}, qr/\bmax-age=3[56]\d\d\b/,
        'gives it to a write without';
    $server->put('/v1/kv/brief/k?ttl=10s', 'v');
    like $server->get('/v1/kv/brief/k')->{headers}{'cache-control'}, qr/\bmax-age=(\d|10)\b/,
        'not to one with';
};

subtest 'touch' => sub {
    my $target = "$kv/touch";
    is_problem($server->post("$target?op=touch&ttl=1h", ''), 404, 'not_found', 'nothing');
    my $tag = tag($server->put("$target?ttl=60s", 'v'));
    my $reply = $server->post("$target?op=touch&ttl=1h", '');
    like status($reply), qr/^20[04]$/, 'touched';
    my $get = $server->get($target);
    like $get->{headers}{'cache-control'}, qr/\bmax-age=3[56]\d\d\b/, 'it lives longer';
    is $get->{content}, 'v', 'its value stays';
    is tag($get), $tag, 'its ETag stays';
    for my $ttl ('x', '1', '-1s', '') {
        is_problem($server->post("$target?op=touch&ttl=$ttl", ''), 400, 'bad_request', "ttl=$ttl");
    }
    my $ms = int 200 * Jackdaw::slowness();
    $server->post("$target?op=touch&ttl=${ms}ms", '');
    sleep $ms / 1000;
    is status($server->get($target)), 404, 'it can live shorter';
};

subtest 'incr' => sub {
    my $n = 0;
    my $incr = sub {
        my ($key, $body, $query) = @_;
        return $server->post("$kv/incr/$key?op=incr" . ($query // ''), $body,
            { 'Content-Type' => 'application/json' });
    };
    my $value = sub { my $json = $server->json($_[0]); ref $json eq 'HASH' ? $json->{value} : undef };
    my $reply = $incr->('a', '');
    is status($reply), 200, 'an empty body';
    like $reply->{content}, qr/^\{"value":1\}$/, 'is one more than nothing';
    is $reply->{headers}{'content-type'}, 'application/json', 'as JSON';
    is $value->($incr->('a', '{}')), 2, 'an empty object';
    is $value->($incr->('a', '{"by":40}')), 42, 'by 40';
    is $value->($incr->('a', '{"by":-50}')), -8, 'by -50';
    is $value->($incr->('a', '{"by":0}')), -8, 'by 0';
    is $value->($incr->('a', '{"initial":100}')), -7, 'initial is for a new key';
    is $server->get("$kv/incr/a")->{content}, '-7', 'it reads as a number';
    is $value->($incr->('b', '{"by":5,"initial":10}')), 15, 'initial, then by';
    is $value->($incr->('c', '{"initial":-10}')), -9, 'initial and the default of by';
    $server->put("$kv/incr/d", '41');
    is $value->($incr->('d', '')), 42, 'a number that was put';

    my ($max, $min) = ('9223372036854775807', '-9223372036854775808');
    $server->put("$kv/incr/max", $max);
    is_problem($incr->('max', ''), 422, undef, 'above the largest');
    is $server->get("$kv/incr/max")->{content}, $max, 'it stays';
    $server->put("$kv/incr/min", $min);
    is_problem($incr->('min', '{"by":-1}'), 422, undef, 'below the smallest');
    like $incr->('min', '{"by":9223372036854775807}')->{content}, qr/"value":-1\}/, 'by the largest';
    like $incr->('max', "{\"by\":$min}")->{content}, qr/"value":-1\}/, 'by the smallest';
    is_problem($incr->('new', "{\"by\":1,\"initial\":$max}"), 422, undef, 'a new one too large');
    is status($server->get("$kv/incr/new")), 404, 'is not made';
    my $problem = is_problem($incr->('a', "{\"by\":9223372036854775808}"), 400, 'bad_request', 'by beyond 64 bits');
    like $problem->{detail}, qr/^JSON with a number out of range at column \d+$/, 'which is JSON';
    $problem = is_problem($incr->('a', "{\n\"by\":}"), 400, 'bad_request', 'no number');
    like $problem->{detail}, qr/^not JSON at line 2, column \d+$/, 'which is none';

    for my $text ('', 'x', '1x', ' 1', '1 ', '01', '+1', '-0', '1.0', '1e3', '0x1', '--1',
        '9223372036854775808', "1\0", "1\n") {
        $server->put("$kv/incr/text", $text);
        (my $shown = $text) =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;
        is_problem($incr->('text', ''), 422, undef, "'$shown' is not a number");
        is $server->get("$kv/incr/text")->{content}, $text, 'it stays';
    }
    for my $body ('1', '[]', 'null', '"by"', '{"by":1.5}', '{"by":"1"}', '{"by":null}',
        '{"by":true}', '{"by":1e2}', '{"initial":[]}', '{"bye":1}', '{"by":1', '{by:1}',
        '{"by":1}x', 'by=1') {
        is_problem($incr->('a', $body), 400, 'bad_request', "body $body");
    }
    is $server->get("$kv/incr/a")->{content}, '-7', 'nothing was done';

    $server->put("$kv/incr/ttl?ttl=1h", 1);
    $incr->('ttl', '');
    like $server->get("$kv/incr/ttl")->{headers}{'cache-control'} // '', qr/\bmax-age=3[56]\d\d\b/,
        'the TTL is kept';
    my $tag = tag($server->get("$kv/incr/d"));
    $incr->('d', '');
    isnt tag($server->get("$kv/incr/d")), $tag, 'a new ETag';

    # From four processes at once.
    my @children;
    for my $child (1 .. 4) {
        my $pid = fork // die;
        push @children, $pid and next if $pid;
        my $connection = $server->connect;
        my $good = 1;
        $good &&= $connection->request(POST => "$kv/incr/crowd?op=incr", content => '')->{status} == 200
            for 1 .. 50;
        POSIX::_exit(!$good);
    }
    my $failed = 0;
    waitpid($_, 0), $failed += $? != 0 for @children;
    is $failed, 0, '200 increments of four clients';
    is $server->get("$kv/incr/crowd")->{content}, 200, 'give 200';
};

subtest 'append' => sub {
    my $target = "$kv/append";
    my $reply = $server->post("$target?op=append", 'one', { 'Content-Type' => 'text/plain' });
    like status($reply), qr/^20[014]$/, 'to nothing';
    $reply = $server->post("$target?op=append", ',two');
    like status($reply), qr/^20[04]$/, 'to something';
    my $get = $server->get($target);
    is $get->{content}, 'one,two', 'both are there';
    is $get->{headers}{'content-type'}, 'text/plain', 'of the type of the first';
    is tag($reply), tag($get), 'the reply has the ETag' if defined tag($reply);
    like status($server->post("$target?op=append", '')), qr/^20[04]$/, 'nothing more';
    is $server->get($target)->{content}, 'one,two', 'adds nothing';
    $server->post("$target?op=append", "\0\xff");
    is $server->get($target)->{content}, "one,two\0\xff", 'any bytes';
    $server->put("$target-ttl?ttl=1h", 'v');
    $server->post("$target-ttl?op=append", 'w');
    like $server->get("$target-ttl")->{headers}{'cache-control'} // '', qr/\bmax-age=3[56]\d\d\b/,
        'the TTL is kept';
    $server->put("$target-large", 'x' x (1 << 20));
    is_problem($server->post("$target-large?op=append", 'y'), 413, 'too_large', 'beyond the limit');
    is length $server->get("$target-large")->{content}, 1 << 20, 'it stays';
};

subtest 'getdel' => sub {
    my $target = "$kv/getdel";
    is_problem($server->post("$target?op=getdel", ''), 404, 'not_found', 'nothing');
    $server->put($target, "value\0", { 'Content-Type' => 'text/plain' });
    my $reply = $server->post("$target?op=getdel", '');
    is status($reply), 200, 'something';
    is $reply->{content}, "value\0", 'its value';
    is $reply->{headers}{'content-type'}, 'text/plain', 'its type';
    is status($server->get($target)), 404, 'is gone';
    is status($server->post("$target?op=getdel", '')), 404, 'once only';
};

subtest 'Cache-Status' => sub {
    my $target = "$kv/cached";
    $server->put($target, 'v1');
    my $connection = $server->connect;
    my @seen = map { $connection->request(GET => $target)->{headers}{'cache-status'} } 1 .. 20;
    is $seen[0], 'jackdaw; fwd=miss', 'a first read misses';
    ok((grep { $_ eq 'jackdaw; hit' } @seen), 'a later one hits');
    ok !(grep { !/^jackdaw; (hit|fwd=miss)$/ } @seen), 'and nothing else' or diag explain \@seen;
    $connection->request(PUT => $target, content => 'v2');
    my $get = $connection->request(GET => $target);
    is "$get->{content} $get->{headers}{'cache-status'}", 'v2 jackdaw; fwd=miss',
        'a write ends it';
    # Every change of a key is seen by the very next read, on any connection.
    my @connections = ($connection, map { $server->connect } 1 .. 7);
    my $stale = 0;
    for my $i (1 .. 100) {
        $connections[$i % 8]->request(PUT => $target, content => "round $i");
        for my $reader (@connections) {
            $stale += $reader->request(GET => $target)->{content} ne "round $i";
        }
    }
    is $stale, 0, 'no read after a write is stale, on eight connections';
    $connection->request(DELETE => $target);
    is status($_->request(GET => $target)), 404, 'nor after a delete' for @connections;
};

subtest 'request ids' => sub {
    for my $id ('a', 'A-Z_0.9', 'x' x 64) {
        my $reply = $server->get('/livez', undef, { 'X-Request-Id' => $id });
        is $reply->{headers}{'x-request-id'}, $id, "$id is kept";
    }
    my %seen;
    for my $id ('', 'x' x 65, 'a b', 'a/b', "\xc3\xa9", 'a,b', '"a"', 'a=b') {
        my $reply = $server->get("$kv/none", undef, { 'X-Request-Id' => $id });
        my $its = $reply->{headers}{'x-request-id'} // '';
        like $its, qr/^[A-Za-z0-9._-]{1,64}$/, 'ours in its place';
        isnt $its, $id, 'not that one';
        is $server->json($reply)->{request_id}, $its, 'the same in the problem';
        $seen{$its}++;
    }
    $seen{ $server->get('/livez')->{headers}{'x-request-id'} }++ for 1 .. 50;
    is scalar keys %seen, 58, 'each has its own';
};

is $server->stop, 0, 'the daemon ends well';
done_testing;
