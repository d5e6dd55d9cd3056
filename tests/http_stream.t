# SPDX-License-Identifier: MIT

# Import and export: NDJSON of any length in constant memory.
use strict;
use warnings;
use Jackdaw;
use JSON::PP;
use MIME::Base64;
use Test::More;
use Time::HiRes qw(sleep time);

# A client that has left while it should send is noticed at this deadline.
my $body_timeout = 2 * Jackdaw::slowness();
my $server = Jackdaw->start(conf => <<"EOC");
store main { kind = durable max_size = "512M" }
store copy { kind = durable max_size = "512M" }
store cache { kind = volatile max_size = "256M" }
limits { body_timeout = "${body_timeout}s" }
EOC
*is_problem = \&Jackdaw::is_problem;
my $json = JSON::PP->new->canonical;

sub import_lines {
    my ($store, $lines, $headers) = @_;
    return $server->put("/v1/kv/$store/?op=import", $lines,
        { 'Content-Type' => 'application/x-ndjson', %{ $headers // {} } });
}

sub export {
    my ($store) = @_;
    my $reply = $server->get("/v1/kv/$store/?op=export");
    is $reply->{status}, 200, "export of $store";
    return $reply->{content};
}

sub line { return $json->encode({@_}) . "\n" }

# Bytes as they stand in a line: text, or base64 where they are no UTF-8.
sub field {
    my ($name, $bytes) = @_;
    my $text = $bytes;
    return ($name => $text) if utf8::decode($text);
    return ($name => { base64 => encode_base64($bytes, '') }) if $name eq 'key';
    return (base64 => encode_base64($bytes, ''));
}

# Memory of the daemon's own: what LMDB maps does not count.
sub memory {
    open my $in, '<', '/proc/' . $server->pid . '/status' or die;
    local $/;
    return <$in> =~ /^RssAnon:\s+(\d+) kB/m ? $1 * 1024 : 0;
}

my $n = int 20_000 / Jackdaw::slowness();
my (@lines, %value_of);
subtest "$n records there and back" => sub {
    my $expires = int((time + 3600) * 1000);
    for my $i (1 .. $n) {
        my $key = sprintf 'k/%06d', $i;
        $key .= "\xff" if $i % 7 == 0;
        $key .= "\xc3\xa9" if $i % 5 == 0;
        my $value = $i % 3 == 0 ? join '', map { chr($i * $_ % 256) } 1 .. 40 : "value \"$i\"\n\xe2\x82\xac";
        $value_of{$key} = $value;
        push @lines, JSON::PP->new->utf8->canonical->encode({
            field(key => $key), field(value => $value),
            $i % 4 == 0 ? (type => "text/x-$i") : (),
        });
    }
    my $begin = time;
    my $reply = import_lines('main', join '', map { "$_\n" } @lines);
    is $reply->{status}, 200, 'imported' or diag $reply->{content};
    my $counts = $server->json($reply);
    ok((grep { $_ == $n } grep { /^\d+$/ } values %$counts), "and counted")
        or diag $reply->{content};
    note sprintf '%.1f s', time - $begin;
    my $wrong = 0;
    for my $key ((sort keys %value_of)[map { int rand $n } 1 .. 200]) {
        my $get = $server->get('/v1/kv/main/' . Jackdaw::encode($key));
        $wrong++ if $get->{status} != 200 || $get->{content} ne $value_of{$key};
    }
    is $wrong, 0, 'every value is there';
    my $text = export('main');
    my @got = split /\n/, $text;
    is scalar @got, $n, 'a line for each';
    $wrong = 0;
    my @order;
    for (@got) {
        my $record = JSON::PP->new->utf8->decode($_);
        my $key = ref $record->{key} ? decode_base64($record->{key}{base64}) : $record->{key};
        utf8::encode($key) if !ref $record->{key};
        my $value = exists $record->{base64} ? decode_base64($record->{base64}) : $record->{value};
        utf8::encode($value) if !exists $record->{base64};
        push @order, $key;
        my ($i) = $key =~ /(\d+)/;
        my $type = $i % 4 ? undef : 'text/x-' . (0 + $i);
        $wrong++ if $value ne $value_of{$key} || ($record->{type} // '') ne ($type // '')
            || defined $record->{expires};
    }
    is $wrong, 0, 'with its value and type';
    is_deeply \@order, [sort keys %value_of], 'in order';
    is import_lines('copy', $text)->{status}, 200, 'an export can be imported';
    ok export('copy') eq $text, 'and is exported alike';
    is import_lines('copy', $text)->{status}, 200, 'twice is as good as once';
    ok export('copy') eq $text, 'and is exported alike';
};

# All that a header can have.
subtest 'types' => sub {
    my @types = ("text/plain;\tcharset=utf-8", "text/\xc3\xa4", "text/pl\xe4in", "\x80\xff", 'x' x 255);
    $server->put("/v1/kv/cache/type/$_", 'v', { 'Content-Type' => $types[$_] }) for 0 .. $#types;
    my $text = export('cache');
    my $reply = import_lines('copy', $text);
    is $reply->{status}, 200, 'an export with any types is imported' or diag $reply->{content};
    is $server->get("/v1/kv/copy/type/$_")->{headers}{'content-type'}, $types[$_], "type $_" for 0 .. $#types;
    is $server->delete("/v1/kv/$_->[0]/type/$_->[1]")->{status}, 204, 'away with it'
        for map { my $i = $_; map { [$_, $i] } qw(cache copy) } 0 .. $#types;
    for my $bad ("a\x7f", "a\0b", "a\r\nb: c", { base64 => 'YQo=' }, { base64 => 'a' }, 'x' x 256) {
        is_problem(import_lines('copy', line(key => 'bad', value => 'v', type => $bad)), 400, 'bad_request',
            'not ' . JSON::PP->new->allow_nonref->encode($bad));
    }
};

subtest 'lifetimes' => sub {
    $server->put('/v1/kv/cache/ttl?ttl=1h', 'v', { 'Content-Type' => 'text/plain' });
    my $text = export('cache');
    my $record = $json->decode($text);
    ok defined $record->{expires}, 'an expiry is exported' or return;
    is import_lines('copy', $text)->{status}, 200, 'and imported';
    my $get = $server->get('/v1/kv/copy/ttl');
    like $get->{headers}{'cache-control'} // '', qr/\bmax-age=3[56]\d\d\b/, 'as the same instant';
    is $get->{headers}{'content-type'}, 'text/plain', 'the type as well';
    my ($again) = grep { /"key":"ttl"/ } split /\n/, export('copy');
    is $json->decode($again)->{expires}, $record->{expires}, 'exactly';
    my $ms = int 300 * Jackdaw::slowness();
    $server->put("/v1/kv/cache/brief?ttl=${ms}ms", 'v');
    sleep $ms / 1000;
    unlike export('cache'), qr/brief/, 'what has expired is not exported';
    is import_lines('copy', line(key => 'past', value => 'v', expires => 1))->{status}, 200,
        'an expiry in the past';
    is $server->get('/v1/kv/copy/past')->{status}, 404, 'is over at once';
    for my $expires (-1, '1h', 1.5, [], \1) {
        is_problem(import_lines('copy', line(key => 'bad', value => 'v', expires => $expires)),
            400, 'bad_request', 'malformed: ' . JSON::PP->new->allow_nonref->encode($expires));
    }
};

subtest 'forms of lines' => sub {
    my $import = sub { my $text = join '', @_; return import_lines('cache', $text) };
    my $good = line(key => 'form', value => 'v');
    chomp(my $bare = $good);
    is $import->('')->{status}, 200, 'no line';
    is $import->($bare)->{status}, 200, 'a last line without its end';
    is $import->("$bare\r\n$bare\r\n")->{status}, 200, 'CR LF';
    is $import->("  $bare \t\n")->{status}, 200, 'blanks around it';
    like $import->("$good\n\n$good")->{status}, qr/^(200|400)$/, 'empty lines';
    is $import->(line(key => 'form', value => ''))->{status}, 200, 'an empty value';
    is $server->get('/v1/kv/cache/form')->{content}, '', 'is empty';
    is $import->(line(key => 'form', value => "\x00"))->{status}, 200, 'NUL in a value';
    is $server->get('/v1/kv/cache/form')->{content}, "\0", 'stays';
    is $import->(map { line(key => 'twice', value => "$_") } 1 .. 3)->{status}, 200, 'one key thrice';
    is $server->get('/v1/kv/cache/twice')->{content}, 3, 'the last one wins';
};

subtest 'a bad line is named' => sub {
    my $good = line(key => 'good', value => 'v');
    my @bad = ('x', '{', '[]', '1', 'null', '{}', '{"key":"k"}', '{"value":"v"}',
        '{"key":1,"value":"v"}', '{"key":"","value":"v"}', '{"key":"k","value":1}',
        '{"key":"k","base64":"*"}', '{"key":"k","value":"v","base64":"dg=="}',
        '{"key":"k","value":"v"}x', '{"key":"k","value":"v"},', '{"key":"k","value":"v"} {}',
        '{"key":"k","value":"v","kind":"x"}', '{"key":"a\u0000b","value":"v"}',
        '{"key":{"base64":""},"value":"v"}', '{"key":{"base64":"*"},"value":"v"}',
        '{"key":{"base 64":"dg=="},"value":"v"}', '{"key":"k","value":"v","type":1}',
        '{"key":"k","value":"v","type":"a\nb"}', "{\"key\":\"k\",\"value\":\"\xff\"}",
        '{"key":"' . 'k' x 481 . '","value":"v"}');
    for my $bad (@bad) {
        for my $at (1, 3, 700) {
            my $text = $good x ($at - 1) . "$bad\n" . $good x 5;
            my $problem = is_problem(import_lines('cache', $text), qr/^4(00|13)$/, undef,
                substr($bad, 0, 50) . " as line $at");
            like $problem->{detail} // '', qr/\bline $at\b/, 'by its number';
        }
    }
    is $server->get('/v1/kv/cache/k')->{status}, 404, 'none was taken';
    my $reply = import_lines('cache', $good . line(key => 'long', value => 'x' x ((1 << 20) + 1)));
    my $problem = is_problem($reply, qr/^4(00|13)$/, undef, 'a value that is too long');
    like $problem->{detail}, qr/\bline 2\b/, 'by its number';
    like $problem->{detail}, qr/\b1048576\b/, 'with the limit';
    is $server->get('/v1/kv/cache/long')->{status}, 404, 'is not taken';
    $reply = import_lines('cache', $good . '{"key":"' . 'x' x 10_000_000);
    $problem = is_problem($reply, qr/^4(00|13)$/, undef, 'a line without an end');
    like $problem->{detail}, qr/\bline 2\b/, 'by its number';
    like $problem->{detail}, qr/\b6307840\b/, 'with the limit: a value of control characters, and 16 KiB';
    is import_lines('cache', line(key => 'most', value => 'x' x (1 << 20)))->{status}, 200,
        'a value of the largest size';
    is import_lines('cache', line(key => 'most', base64 => encode_base64("\xff" x (1 << 20), '')))
        ->{status}, 200, 'in base64 as well';
    is import_lines('cache', '{"key":"most","value":"' . '\u0001' x (1 << 20) . "\"}\n")->{status},
        200, 'and all of it escaped';
    is length $server->get('/v1/kv/cache/most')->{content}, 1 << 20, 'it is there';
    $server->delete('/v1/kv/cache/most');
};

# Sends text in chunks of these sizes, one after another.
sub import_chunked {
    my ($store, $text, @sizes) = @_;
    my $connection = $server->connect;
    $connection->send("PUT /v1/kv/$store/?op=import HTTP/1.1\r\nHost: a\r\n"
        . "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
    my $chunks = '';
    for (my $at = 0; $at < length $text; ) {
        my $size = $sizes[rand @sizes];
        my $piece = substr $text, $at, $size;
        $at += $size;
        $chunks .= sprintf "%x\r\n%s\r\n", length $piece, $piece;
        $connection->send($chunks), $chunks = '' if length $chunks > 5000;
    }
    $connection->send("${chunks}0\r\n\r\n");
    return $connection->read_reply('PUT');
}

subtest 'chunked' => sub {
    srand 1;
    my $some = join '', map { "$_\n" } @lines[0 .. 499];
    my $reply = import_chunked('cache', $some, 1, 2, 3, 50, 1000, 10_000);
    is $reply->{status}, 200, 'chunks of all sizes' or diag $reply->{content};
    my $wrong = 0;
    for my $key ((sort keys %value_of)[0 .. 499]) {
        $wrong++ if $server->get('/v1/kv/cache/' . Jackdaw::encode($key))->{content} ne $value_of{$key};
    }
    is $wrong, 0, 'every value is there';
    $reply = import_chunked('cache', $some . "x\n" . $some, 17, 700);
    is_problem($reply, 400, 'bad_request', 'a bad line');
    like $reply->{content}, qr/\bline 501\b/, 'by its number';
};

subtest 'parameters' => sub {
    for my $target ('/v1/kv/main/?op=import&x=1', '/v1/kv/main/?op=import&ttl=1x',
        '/v1/kv/main/?op=export', '/v1/kv/main/?op=') {
        is_problem($server->put($target, ''), 400, 'bad_request', "PUT $target");
    }
    is_problem($server->get("/v1/kv/main/?op=$_"), 400, 'bad_request', "GET ?op=$_")
        for 'export&x=1', 'import', 'batch', 'export&op=export';
    is_problem($server->get('/v1/kv/nowhere/?op=export'), 404, 'not_found', 'no such store');
    is_problem($server->put('/v1/kv/nowhere/?op=import', ''), 404, 'not_found', 'nor for import');
    my $head = "/v1/kv/copy/?op=export HTTP/1.1\r\nHost: a\r\n";
    my $got = $server->raw("HEAD $head\r\n", timeout => 0.5);
    like $got, qr/^HTTP\/1\.1 200 [^\r]*\r\n(?:[A-Z][^\r]*\r\n)+\r\n\z/, 'HEAD of an export is a head';
    $got = $server->raw("GET $head" . "Connection: close\r\n\r\n");
    like $got, qr/\r\n0\r\n\r\n\z/, 'one to HTTP/1.1 is chunked';
    $head =~ s{1\.1}{1.0};
    ($got, my $closed) = $server->raw("GET $head\r\n");
    ok $closed, 'one to HTTP/1.0 ends with the connection';
    like $got, qr/\r\n\r\n\{"key".*\}\n\z/s, 'and has no chunks';
    unlike $got, qr/^(Transfer-Encoding|Content-Length):/mi, 'nor says so';
    like $server->get('/v1/kv/copy/?op=export')->{headers}{'content-type'},
        qr{^application/x-ndjson\b}, 'its type';
};

# Two keys that always change together are the same in each export.
subtest 'export while writing' => sub {
    pipe my $end, my $begin or die;
    my $writer = fork // die;
    if (!$writer) {
        close $begin;
        my $connection = $server->connect;
        my $select = IO::Select->new($end);
        for (my $i = 0; !$select->can_read(0); $i++) {
            my $reply = $connection->request(POST => '/v1/kv/main/?op=batch', content =>
                "[{\"put\":\"a/first\",\"value\":\"$i\"},{\"put\":\"z/last\",\"value\":\"$i\"}]");
            POSIX::_exit(1) if $reply->{status} != 200;
        }
        POSIX::_exit(0);
    }
    close $end;
    my ($torn, $short, $before, %seen) = (0, 0, '');
    for (1 .. 5) {
        # The writer may have had no turn since.
        $server->wait_until(5, sub {
            my $reply = $server->get('/v1/kv/main/z/last');
            return $reply->{status} == 200 && $reply->{content} ne $before;
        });
        my $text = $server->get('/v1/kv/main/?op=export')->{content};
        my ($first) = $text =~ m{^\{"key":"a/first","value":"(\d+)"}m;
        my ($last) = $text =~ m{^\{"key":"z/last","value":"(\d+)"}m;
        $torn++ if !defined $first || !defined $last || $first != $last;
        $short++ if ($text =~ tr/\n//) != $n + 2;
        $seen{$before = $first // ''}++;
    }
    close $begin;
    waitpid $writer, 0;
    is $?, 0, 'the writer went on';
    is $torn, 0, 'an export is one moment';
    is $short, 0, 'and whole';
    is keys %seen, 5, 'of each its own' or diag explain \%seen;
};

subtest 'constant memory' => sub {
    plan skip_all => 'sanitizers keep what is freed' if Jackdaw::mode() =~ /san/;
    my $value = join '', map { chr(97 + $_ * 7 % 26) } 1 .. 100_000;
    my $connection = $server->connect;
    my $before = memory();
    my $most = 0;
    $connection->send("PUT /v1/kv/cache/?op=import HTTP/1.1\r\nHost: a\r\n"
        . "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
    for my $i (1 .. 500) {
        my $line = sprintf qq({"key":"heavy/%03d","value":"%s"}\n), $i, $value;
        $connection->send(sprintf "%x\r\n%s\r\n", length $line, $line);
        my $now = memory();
        $most = $now if $now > $most;
    }
    $connection->send("0\r\n\r\n");
    is $connection->read_reply('PUT')->{status}, 200, 'fifty megabytes in';
    my $grown = $most - $before;
    ok $grown < 24 << 20, 'memory stays bounded' or diag "$grown bytes more";
    note "$grown bytes more while importing";

    ($before, $most) = (memory(), 0);
    $connection->send("GET /v1/kv/cache/?op=export HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    my ($size, $n) = (0);
    while ($n = sysread $connection->socket, my $got, 1 << 20) {
        $size += $n;
        my $now = memory();
        $most = $now if $now > $most;
        sleep 0.2 if $size < 3_000_000;
    }
    ok $size > 50_000_000, 'fifty megabytes out' or diag $size;
    $grown = $most - $before;
    ok $grown < 16 << 20, 'memory stays bounded' or diag "$grown bytes more";
    note "$grown bytes more while exporting";
};

# Its chunks end where lines do not, so the same bytes are offered twice.
subtest 'a byte that came is counted once' => sub {
    my $name = 'jackdaw_http_request_body_bytes_total';
    my $text = join '', map { line(key => "k/$_", value => 'v' x 100) } 1 .. 3000;
    my $before = $server->metric($name);
    is import_lines('cache', $text)->{status}, 200, 'an import of some chunks';
    is $server->metric($name) - $before, length $text, 'is as long as it was';
};

subtest 'abandoned' => sub {
    my $some = join '', map { "$_\n" } @lines[0 .. 99];
    my $before = $server->descriptors;
    for my $i (1 .. 20) {
        my $socket = $server->raw_connect;
        syswrite $socket, "PUT /v1/kv/cache/?op=import HTTP/1.1\r\nHost: a\r\n"
            . "Content-Length: 1000000\r\n\r\n" . substr $some, 0, $i * 300;
        my $export = $server->raw_connect;
        syswrite $export, "GET /v1/kv/main/?op=export HTTP/1.1\r\nHost: a\r\n\r\n";
        sysread $export, my $got, $i * 500 if $i % 3;
        Jackdaw::hang_up($socket, $export) if $i % 2;
        is $server->get('/livez')->{status}, 200, 'others go on' if $i == 10;
    }
    my $left = $server->wait_until(10, sub { $server->descriptors <= $before + 1 });
    ok $left, 'every connection is gone' or diag $server->descriptors . " of $before";
    is import_lines('cache', $some)->{status}, 200, 'an import after them';
    is scalar(() = export('copy') =~ /\n/g), $n + 1, 'and an export';
    my $readers = $server->wait_until(10, sub {
        my $metrics = $server->metrics;
        my @behind = grep { /reader/ && $metrics->{$_} > 0 } grep { /oldest|behind/ } keys %$metrics;
        return !@behind;
    });
    ok $readers, 'no snapshot is kept';
};

# A record is read whatever limits.max_value is by now.
subtest 'a smaller limit' => sub {
    $server->put('/v1/kv/main/a/large', "\x01" x (1 << 20));
    is $server->restart(conf => <<"EOC"), 0, 'limits.max_value is lowered';
store main { kind = durable max_size = "512M" }
store copy { kind = durable max_size = "512M" }
store cache { kind = volatile max_size = "256M" }
limits { max_value = "64K" }
EOC
    my $text = $server->get('/v1/kv/main/?op=export&prefix=a/')->{content};
    my ($line) = $text =~ m{^\{"key":"a/large","value":"((?:\\u0001)+)"}m;
    is length($line // ''), 6 << 20, 'an export has the whole value';
    my $reply = $server->get('/v1/kv/main/?prefix=a/large&values=1');
    is $reply->{status}, 200, 'a scan is a page' or diag substr $reply->{content}, 0, 300;
    ($line) = $reply->{content} =~ m{"value":"((?:\\u0001)+)"};
    is length($line // ''), 6 << 20, 'and has it as well';
    $reply = $server->post('/v1/kv/main/?op=batch', '[{"get":"a/large"}]');
    is $reply->{status}, 200, 'so has a batch' or diag substr $reply->{content}, 0, 300;
};

# Bodies that wait may take limits.body_memory, and this line more of it.
subtest 'no room for a line' => sub {
    is $server->restart(conf => <<"EOC"), 0, 'limits.body_memory is lowered';
store main { kind = durable max_size = "512M" }
limits { max_value = "512K" max_body = "512K" body_memory = "1M" }
EOC
    my $text = join '', map { line(key => "room/$_", value => 'v' x 100) } 1 .. 3000;
    my $problem = is_problem(import_lines('main', $text . '{"key":"k","value":"' . '\u0001' x 400_000 . "\"}\n"),
        503, 'overloaded', 'an import with a line that does not fit');
    like $problem->{detail} // '', qr/\bline 3001\b/, 'names it';
    like $problem->{detail} // '', qr/\bimported: 3000\b/, 'and says what is in';
    is $server->get('/v1/kv/main/room/3000')->{status}, 200, 'which is so';
    is $server->get('/v1/kv/main/k')->{status}, 404, 'and no more';
};

is $server->stop, 0, 'the daemon ends well';
done_testing;
