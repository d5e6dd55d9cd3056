# SPDX-License-Identifier: MIT

# The command line client: what it prints, what it exits with.
use strict;
use warnings;
use File::Temp;
use IO::Select;
use IO::Socket::IP;
use Jackdaw;
use JSON::PP;
use MIME::Base64;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $client = Jackdaw::client();
my $tmp    = File::Temp->newdir;
my $json   = JSON::PP->new->utf8;
our $url;

delete $ENV{JACKDAW_URL};

sub slurp {
    open my $in, '<', $_[0] or return undef;
    local $/;
    return <$in> // '';
}

sub spew {
    my ($name, $text) = @_;
    open my $out, '>', "$tmp/$name" or die $!;
    print $out $text;
    close $out or die $!;
    return "$tmp/$name";
}

# (status, stdout, stderr) of the client with these arguments.
sub jackdaw {
    my $options = ref $_[-1] ? pop : {};
    my @url = defined $url ? ('--url', $url) : ();
    return Jackdaw->run($client, @url, @_, $options);
}

# One test: the status and standard output; standard error is empty, or
# matches.
sub runs {
    my ($arguments, $status, $out, $err, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @got = jackdaw(@$arguments);
    $name //= join ' ', grep { !ref } @$arguments;
    my $good = $got[0] == $status
        && (ref $out ? $got[1] =~ $out : $got[1] eq $out)
        && (defined $err ? $got[2] =~ $err : $got[2] eq '');
    ok $good, substr $name =~ s/[^ -~]/?/gr, 0, 70
        or diag explain { status => $got[0], out => substr($got[1], 0, 500), err => $got[2] };
    return $got[1];
}

# ---- without a server --------------------------------------------------------

subtest 'help' => sub {
    runs [qw(--version)], 0, qr/^jackdaw \d+\.\d+\.\d+\n\z/;
    runs [qw(-V)], 0, qr/^jackdaw \d/;
    my $help = runs [qw(--help)], 0, qr/^usage: jackdaw .*\nExit status: 0 ok/s;
    is_deeply [grep { length > 80 } split /\n/, $help], [], 'fits a terminal';
    my @commands = $help =~ /^  (kv \w+|status) /mg;
    is scalar @commands, 8, 'names every command';
    for my $command (@commands) {
        my $text = runs [split(/ /, $command), '--help'], 0, qr/^usage: jackdaw \Q$command\E/;
        is_deeply [grep { length > 80 } split /\n/, $text], [], 'fits a terminal';
    }
    runs [qw(kv --help)], 0, qr/\A  kv get .*  kv export [^\n]*\n\z/s;
    runs [qw(nothing --help)], 2, '', qr/no command 'nothing'/;
    runs [], 2, '', qr/^usage: jackdaw /;
};

subtest 'usage' => sub {
    my @bad = (
        [['nothing'], qr/no command 'nothing'/],
        [['kv'], qr/no command 'kv'/],
        [['kv', 'nothing'], qr/no command 'kv nothing'/],
        [['kv', 'ge', 'main', 'k'], qr/no command/],
        [['kv', 'get'], qr/needs a STORE/],
        [['kv', 'get', '', 'k'], qr/needs a STORE/],
        [['kv', 'get', 'main'], qr/needs a KEY/],
        [['kv', 'get', 'main', ''], qr/needs a KEY/],
        [['kv', 'get', 'main', 'k', 'l'], qr/'l'/],
        [['kv', 'get', '-s', 'main', 'main', 'k'], qr/'k'/],
        [['kv', 'get', 'main', 'k', '--ttl', '1s'], qr/kv get does not take --ttl/],
        [['kv', 'scan', 'main', 'k'], qr/'k'/],
        [['status', 'k'], qr/'k'/],
        [['--nothing', 'status'], qr/unknown option --nothing/],
        [['kv', 'get', '-zV', 'main', 'k'], qr/unknown option -z$/],
        [['kv', 'scan', '--all=1', 'main'], qr/--all takes no argument/],
        [['kv', 'scan', '--re', 'main'], qr/--re is the beginning of several options/],
        [['status', '--timeout'], qr/--timeout needs an argument/],
        [['status', '-hs'], qr/: -s needs an argument/],
        [['status', '-o', 'xml'], qr/text or json/],
        [['status', '--timeout', '5'], qr/a duration/],
        [['status', '--timeout', '0s'], qr/a duration/],
        [['kv', 'put', 'main', 'k', '--ttl', '1 s'], qr/a duration/],
        [['kv', 'put', 'main', 'k', '--value', 'a', '--file', 'b'], qr/choose one/],
        [['kv', 'put', 'main', 'k', '--type', "a\r\nb: c"], qr/a media type/],
        [['kv', 'put', 'main', 'k', '--if-match', ''], qr/an entity tag/],
        [['kv', 'put', 'main', 'k', '--if-none-match', "*\n"], qr/an entity tag/],
        [['kv', 'incr', 'main', 'k', '--by', '1.5'], qr/a 64-bit integer/],
        [['kv', 'incr', 'main', 'k', '--by', '9223372036854775808'], qr/a 64-bit integer/],
        [['kv', 'incr', 'main', 'k', '--initial', ''], qr/a 64-bit integer/],
        [['kv', 'scan', 'main', '--limit', '0'], qr/a number/],
        [['--url', 'http://a', '--socket', 'b', 'status'], qr/choose one/],
        [['--url', 'ftp://127.0.0.1/', 'status'], qr/is not the URL/],
        [['--url', 'file:///etc/passwd', 'kv', 'get', 'main', 'k'], qr/is not the URL/],
    );
    runs $_->[0], 2, '', $_->[1] for @bad;
};

# ---- a server that answers what it is told to --------------------------------

# Replies by store; the part behind the head is sent as it stands.
my %canned = (
    unauthenticated => [401, ''],
    forbidden => [403, ''],
    conflict => [409, ''],
    limited => [429, ''],
    overloaded => [503, ''],
    deadline => [504, ''],
    full => [507, ''],
    teapot => [418, ''],
    escape => [400, '{"detail":"bad \u001b[31mthing\u0007","code":"x\ny"}'],
    escape8 => [400, '{"detail":"bad \u009b31mth\u00e9ng\u0080","code":"x"}'],
    titled => [400, '{"title":"Only a title"}'],
    html => [502, '<html>Bad Gateway</html>'],
    notjson => [200, 'what?'],
    late => [200, 'slowly'],
    huge => [200, '{"value":99999999999999999999}'],
    mock_scan => [200, '{"items":[{"key":"a\u0000b\\\\c","value":"\u009bx"},'
        . '{"key":{"base64":"/w=="},"base64":"AAn/"},{"key":"a\tb\nc","value":""}],"next":null}'],
);
my %raw = (
    silent => undef,
    empty => '',
    cut => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n{\"key\":\"a\",\"value\"",
    within => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{\"key",
    short => "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"key\":\"a\",\"value\":\"b\"}\n",
);

sub canned_reply {
    my ($head) = @_;
    my ($store) = $head =~ m{^\w+ /v1/kv/(\w+)/};
    select undef, undef, undef, 0.2 if ($store // '') eq 'late';
    $store = 'teapot' if !defined $store;
    return $raw{$store} if exists $raw{$store};
    my ($status, $body) = @{ $canned{$store} // [404, ''] };
    $body = qq({"detail":"told to","code":"$store","request_id":"r1"}) if $body eq '';
    return "HTTP/1.1 $status Because\r\nX-Request-Id: r1\r\nConnection: close\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}

# Serves until its parent closes the pipe.
sub mock {
    my $listen = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 5) or die;
    pipe my $end, my $begin or die;
    my $pid = fork // die;
    return ($listen->sockport, $begin, $pid) if $pid;
    close $begin;
    my @silent;
    my $select = IO::Select->new($listen, $end);
    while (!grep { $_ == $end } my @ready = $select->can_read) {
        my $socket = $listen->accept or next;
        my $head = '';
        while ($head !~ /\r\n\r\n/) { sysread $socket, $head, 4096, length $head or last }
        my $reply = canned_reply($head);
        push @silent, $socket if !defined $reply;
        syswrite $socket, $reply if defined $reply;
    }
    POSIX::_exit(0);
}

subtest 'exit statuses' => sub {
    my ($port, $pipe, $pid) = mock();
    local $url = "http://127.0.0.1:$port/";
    my %expected = (unauthenticated => 5, forbidden => 5, conflict => 4, limited => 8,
        overloaded => 8, deadline => 7, full => 1, teapot => 1, other => 3);
    for my $store (sort keys %expected) {
        runs ['kv', 'get', $store, 'k'], $expected{$store}, '',
            qr/^jackdaw: told to \((?:$store|other), request id r1\)\n\z/;
    }
    runs ['kv', 'get', 'escape', 'k'], 1, '', qr/^jackdaw: bad \?\[31mthing\? \(x\?y, request id r1\)\n\z/;
    runs ['kv', 'get', 'escape8', 'k'], 1, '', qr/^jackdaw: bad \?31mth\xc3\xa9ng\? \(x, request id r1\)\n\z/;
    runs ['kv', 'get', 'titled', 'k'], 1, '', qr/^jackdaw: Only a title\n\z/;
    runs ['kv', 'get', 'html', 'k'], 1, '', qr/^jackdaw: the server answered 502\n\z/;
    runs ['kv', 'incr', 'notjson', 'k'], 1, '', qr/has no number/;
    runs ['kv', 'incr', 'huge', 'k'], 1, '', qr/has no number/;
    runs ['kv', 'scan', 'notjson'], 1, '', qr/not a page/;
    runs ['kv', 'scan', 'notjson', '-o', 'json'], 1, '', qr/not a page/;
    runs ['status'], 1, '', qr/told to/;
    runs ['kv', 'scan', 'mock_scan'], 0, "a\\x00b\\\\c\n\\xff\na\\tb\\nc\n";
    runs ['kv', 'scan', 'mock_scan', '--values'], 0,
        "a\\x00b\\\\c\t\\xc2\\x9bx\n\\xff\t\\x00\\t\\xff\na\\tb\\nc\t\n";

    my $begin = time;
    runs ['kv', 'get', 'silent', 'k', '--timeout', '200ms'], 7, '', qr/no answer in time/;
    cmp_ok time - $begin, '<', 5 * Jackdaw::slowness(), 'at once';
    # A little less and a little more than 2^64 nanoseconds.
    runs ['kv', 'get', 'late', 'k', '--timeout', $_], 0, 'slowly' for '18446744073709ms', '18446744073710ms';
    runs ['kv', 'put', 'silent', 'k', '--value', 'v', '--timeout', '200ms'], 7, '', qr/not known/;
    runs ['kv', 'export', 'silent', '--timeout', '200ms'], 7, '', qr/no answer/;
    runs ['kv', 'get', 'empty', 'k'], 1, '', qr/broke/;
    runs ['kv', 'get', 'short', 'k'], 1, '', qr/broke/;

    for my $store ('cut', 'within', 'short', 'empty', 'full', 'forbidden') {
        for my $there (0, 1) {
            unlink "$tmp/export";
            spew('export', 'old') if $there;
            my @got = jackdaw('kv', 'export', $store, "$tmp/export");
            is $got[0], $store eq 'forbidden' ? 5 : 1, "export: $store is an error" or diag $got[2];
            is slurp("$tmp/export"), $there ? 'old' : undef, 'and the file is as it was';
        }
    }
    is_deeply [grep { !m{/export$} } glob "$tmp/export*"], [], 'nothing half is left';
    my @got = jackdaw('kv', 'export', 'cut');
    is $got[0], 1, 'to standard output as well';
    is $got[1], '{"key":"a","value"', 'where what came is printed';

    close $pipe;
    waitpid $pid, 0;
    runs ['kv', 'get', 'main', 'k'], 6, '', qr{^jackdaw: cannot connect to http://127\.0\.0\.1:$port: };
    runs ['--url', 'http://host.invalid', 'status'], 6, '', qr/cannot connect/;
    local $url;
    runs ['--socket', "$tmp/nothing", 'status'], 6, '', qr{cannot connect to \Q$tmp\E/nothing: };
    runs ['kv', 'get', 'main', 'k', { env => { JACKDAW_URL => "http://127.0.0.1:$port" } }],
        6, '', qr/:$port: /, 'the environment names the server';
    runs ['kv', 'get', 'main', 'k', { env => { JACKDAW_URL => "unix:$tmp/nothing" } }],
        6, '', qr{\Q$tmp\E/nothing: }, 'or its socket';
};

# ---- the real server -----------------------------------------------------------

my $server = Jackdaw->start(
    listen => undef,
    conf => <<"EOC");
listen = {"127.0.0.1:0", "unix:$tmp/socket"}
store main { kind = durable max_size = "64M" }
store cache { kind = volatile max_size = "16M" }
store copy { kind = volatile max_size = "64M" }
EOC
$url = $server->url;

subtest 'one key' => sub {
    runs ['kv', 'put', 'main', 'one', '--value', 'hello', '--type', 'text/plain'], 0, '';
    runs ['kv', 'get', 'main', 'one'], 0, 'hello';
    is $server->get('/v1/kv/main/one')->{headers}{'content-type'}, 'text/plain', 'its type';
    my $etag = $server->get('/v1/kv/main/one')->{headers}{etag} =~ tr/"//dr;
    my $got = $json->decode(runs ['kv', 'get', 'main', 'one', '-o', 'json'], 0, qr/^\{.*\}\n\z/);
    is_deeply $got, { key => 'one', value => 'hello', type => 'text/plain', size => 5, etag => $etag },
        'as JSON';
    runs ['-s', 'main', 'kv', 'get', 'one'], 0, 'hello', undef, 'the store as an option';
    runs ['kv', 'get', '--store=main', '--', 'one'], 0, 'hello', undef, 'anywhere';
    runs ['--socket', "$tmp/socket", 'kv', 'get', 'main', 'one', { url => undef }], 2, '', qr/choose/;
    {
        local $url;
        runs ['--socket', "$tmp/socket", 'kv', 'get', 'main', 'one'], 0, 'hello';
    }
    runs ['kv', 'get', 'main', 'none'], 3, '', qr/^jackdaw: .+ \(not_found, request id [\w.-]+\)\n\z/;
    runs ['kv', 'get', 'nowhere', 'one'], 3, '', qr/\(not_found, /;
    runs ['kv', 'del', 'main', 'one'], 0, '';
    runs ['kv', 'del', 'main', 'one'], 3, '', qr/not_found/;
    runs ['kv', 'put', 'main', 'one', '--value', '', '-o', 'json'], 0,
        qr/^\{"created":true,"etag":"\d+"\}\n\z/;
    runs ['kv', 'put', 'main', 'one', '--value', '', '-o', 'json'], 0, qr/^\{"created":false,/;
    runs ['kv', 'get', 'main', 'one'], 0, '', undef, 'an empty value';
    runs ['kv', 'del', 'main', 'one', '-o', 'json'], 0, "{\"deleted\":true}\n";
};

subtest 'any bytes' => sub {
    my $bytes = join '', map chr, 0 .. 255;
    my $file = spew('bytes', $bytes x 1000);
    runs ['kv', 'put', 'main', 'bytes', { stdin => $file }], 0, '', undef, 'from standard input';
    is((jackdaw('kv', 'get', 'main', 'bytes'))[1], $bytes x 1000, 'and back');
    runs ['kv', 'put', 'main', 'bytes', '--file', '-', { stdin => $file }], 0, '';
    runs ['kv', 'put', 'main', 'bytes2', '--file', $file], 0, '', undef, 'from a file';
    is((jackdaw('kv', 'get', 'main', 'bytes2'))[1], $bytes x 1000, 'and back');
    my $got = $json->decode((jackdaw('kv', 'get', 'main', 'bytes', '-o', 'json'))[1]);
    is decode_base64($got->{base64}), $bytes x 1000, 'base64 in JSON';
    ok !exists $got->{value}, 'and no text';
    runs ['kv', 'put', 'main', 'bytes', '--file', "$tmp/nothing"], 1, '', qr/nothing: No such file/;
    runs ['kv', 'put', 'main', 'bytes', '--file', "$tmp"], 1, '', qr/Is a directory/;
    spew('large', 'x' x ((1 << 20) + 1));
    runs ['kv', 'put', 'main', 'large', '--file', "$tmp/large"], 1, '', qr/\(too_large, /;
    truncate spew('sparse', ''), (256 << 20) + 1 or die $!;
    runs ['kv', 'put', 'main', 'large', '--file', "$tmp/sparse"], 1, '', qr/sparse is larger than 256 MiB/;
    unlink "$tmp/sparse";
    my @keys = ('a b', 'a/b//c', '/', '..', 'x/../y', './z', '%41', '%', '?a=b&c#d', "\xff\xfe",
        "\xe2\x82\xac", join('', map chr, 1 .. 255), '-dash', "new\nline", 'k' x 480);
    for my $key (@keys) {
        my $name = substr $key =~ s/[^ -~]/?/gr, 0, 40;
        runs ['kv', 'put', 'main', '--value', $key, '--', $key], 0, '', undef, "key: $name";
        my $path = '/v1/kv/main/' . Jackdaw::encode($key);
        is $server->get($path)->{content}, $key, 'is the same key elsewhere';
        is((jackdaw('kv', 'get', 'main', '--', $key))[1], $key, 'and here');
        is $server->delete($path)->{status}, 204, 'and goes';
    }
    runs ['kv', 'get', 'main', 'k' x 481], 1, '', qr/\(too_large, /;
};

subtest 'conditions and lifetimes' => sub {
    runs ['kv', 'put', 'main', 'cas', '--value', '1', '--if-none-match', '*'], 0, '';
    runs ['kv', 'put', 'main', 'cas', '--value', '2', '--if-none-match', '*'], 4, '',
        qr/\(precondition_failed, /;
    my $etag = $json->decode((jackdaw(qw(kv get main cas -o json)))[1])->{etag};
    runs ['kv', 'put', 'main', 'cas', '--value', '2', '--if-match', $etag], 0, '';
    runs ['kv', 'put', 'main', 'cas', '--value', '3', '--if-match', $etag], 4, '', qr/precondition/;
    $etag = $json->decode((jackdaw(qw(kv put main cas --value 3 -o json)))[1])->{etag};
    runs ['kv', 'put', 'main', 'cas', '--value', '4', '--if-match', "\"$etag\""], 0, '',
        undef, 'with quotes as well';
    runs ['kv', 'del', 'main', 'cas', '--if-match', $etag], 4, '', qr/precondition/;
    runs ['kv', 'get', 'main', 'cas'], 0, '4';
    runs ['kv', 'put', 'main', 'brief', '--value', 'v', '--ttl', '1h'], 0, '';
    my $got = $json->decode((jackdaw(qw(kv get main brief -o json)))[1]);
    cmp_ok $got->{ttl_seconds}, '>', 3500, 'the seconds left';
    runs ['kv', 'put', 'main', 'brief', '--value', 'v', '--ttl', '1ms'], 0, '';
    select undef, undef, undef, 0.01;
    runs ['kv', 'get', 'main', 'brief'], 3, '', qr/not_found/;
};

subtest 'incr' => sub {
    runs ['kv', 'incr', 'main', 'n'], 0, "1\n";
    runs ['kv', 'incr', 'main', 'n', '--by', '41'], 0, "42\n";
    runs ['kv', 'incr', 'main', 'n', '--by', '-50', '-o', 'json'], 0, "{\"value\":-8}\n";
    runs ['kv', 'incr', 'main', 'm', '--initial', '10', '--by', '0'], 0, "10\n";
    runs ['kv', 'incr', 'main', 'm', '--initial', '10', '--ttl', '1h'], 0, "11\n";
    like $server->get('/v1/kv/main/m')->{headers}{'cache-control'}, qr/max-age/, 'with a lifetime';
    runs ['kv', 'put', 'main', 'n', '--value', '9223372036854775806'], 0, '';
    runs ['kv', 'incr', 'main', 'n'], 0, "9223372036854775807\n";
    runs ['kv', 'incr', 'main', 'n'], 1, '', qr/\(constraint, /;
    runs ['kv', 'incr', 'main', 'n', '--by', '-9223372036854775808'], 0, "-1\n";
};

subtest 'scan' => sub {
    $server->put("/v1/kv/cache/s/$_", "v$_") for map { sprintf '%03d', $_ } 0 .. 149;
    $server->put('/v1/kv/cache/t/' . Jackdaw::encode("\xff\n"), "\t\xff");
    my @all = map { sprintf 's/%03d', $_ } 0 .. 149;
    my $lines = sub { join '', map { "$_\n" } @_ };
    runs ['kv', 'scan', 'cache'], 0, $lines->(@all[0 .. 99]), qr/more keys: --all/,
        'a hundred, and that there are more';
    runs ['kv', 'scan', 'cache', '--limit', '3'], 0, $lines->(@all[0 .. 2]), qr/more keys: .* --cursor \S/,
        'the same at a limit';
    runs ['kv', 'scan', 'cache', '--prefix', 's/14', '--limit', '10'], 0, $lines->(@all[140 .. 149]), undef,
        'not where a limit is all';
    runs ['kv', 'scan', 'cache', '--prefix', 's/14'], 0, $lines->(@all[140 .. 149]);
    runs ['kv', 'scan', 'cache', '--start', 's/010', '--end', 's/012'], 0, $lines->(@all[10, 11]);
    runs ['kv', 'scan', 'cache', '--prefix', 's/', '--reverse', '--limit', '2'], 0,
        $lines->(@all[149, 148]), qr/more keys/;
    $server->put('/v1/kv/cache/' . Jackdaw::encode("u/\xc2A"), 'v');
    runs ['kv', 'scan', 'cache', '--prefix', 'u/'], 0, "u/\\xc2A\n";
    runs ['kv', 'scan', 'cache', '--prefix', 'nothing'], 0, '';
    runs ['kv', 'scan', 'cache', '--prefix', 's/', '--all'], 0, $lines->(@all);
    runs ['kv', 'scan', 'cache', '--prefix', 's/', '--all', '--limit', '7'], 0, $lines->(@all);
    runs ['kv', 'scan', 'cache', '--prefix', 's/', '--all', '--limit', '7', '--reverse'], 0,
        $lines->(reverse @all);
    runs ['kv', 'scan', 'cache', '--prefix', 's/000', '--values'], 0, "s/000\tv000\n";
    runs ['kv', 'scan', 'cache', '--prefix', 't/', '--values'], 0, "t/\\xff\\n\t\\t\\xff\n";
    my $out = runs ['kv', 'scan', 'cache', '--prefix', 's/', '--limit', '2', '--values', '-o', 'json'],
        0, qr/^\{"items":\[\n\{.*\},\n\{.*\}\n\],"next":"[^"]+"\}\n\z/;
    my $page = $json->decode($out);
    my $reply = $server->json($server->get('/v1/kv/cache/?prefix=s/&limit=2&values=1'));
    is_deeply $page, $reply, 'as the server gives it';
    runs ['kv', 'scan', 'cache', '--prefix', 's/', '--limit', '2', '--cursor', $page->{next}], 0,
        $lines->(@all[2, 3]), qr/more keys/, 'a cursor goes on';
    $out = runs ['kv', 'scan', 'cache', '--prefix', 's/', '--all', '--limit', '50', '-o', 'json'], 0,
        qr/"next":null\}\n\z/;
    is scalar @{ $json->decode($out)->{items} }, 150, 'all pages are one document';
    $out = runs ['kv', 'scan', 'cache', '--prefix', 'nothing', '-o', 'json'], 0, qr/./;
    is_deeply $json->decode($out), { items => [], next => undef }, 'none';
    runs ['kv', 'scan', 'nowhere', '-o', 'json'], 3, '', qr/not_found/;
    runs ['kv', 'scan', 'cache', '--cursor', 'x'], 1, '', qr/bad_request/;
    runs ['kv', 'scan', 'cache', '--limit', '10001'], 1, '', qr/bad_request/;
};

subtest 'a scan of more than a page of the server' => sub {
    my %big = map { ("big/$_" => $_ x 900_000) } 1 .. 6;
    $server->put("/v1/kv/main/$_", $big{$_}) for sort keys %big;
    my $lines = sub { join '', map { "$_\t$big{$_}\n" } map { "big/$_" } @_ };
    my @scan = qw(kv scan main --prefix big/ --values);
    my $first = $server->json($server->get('/v1/kv/main/?prefix=big/&values=1'));
    cmp_ok scalar @{ $first->{items} }, '<', 5, 'the server ends its page early';
    runs [@scan], 0, $lines->(1 .. 6), undef, 'is as long as it may be';
    my (undef, $out, $err) = jackdaw(@scan, '--limit', '5');
    ok $out eq $lines->(1 .. 5), 'or as it was asked for' or diag length $out;
    my ($cursor) = $err =~ /--cursor (\S+)$/;
    runs [@scan, '--limit', '5', '--cursor', $cursor // ''], 0, $lines->(6), undef, 'and its cursor goes on';
    my $page = $json->decode((jackdaw(@scan, '--limit', '5', '-o', 'json'))[1]);
    is scalar @{ $page->{items} }, 5, 'as JSON too';
    is $page->{next}, $cursor, 'with the last cursor';
    $server->delete("/v1/kv/main/$_") for keys %big;
};

subtest 'import and export' => sub {
    my $lines = join '', map { sprintf "{\"key\":\"i/%05d\",\"value\":\"value %d\"}\n", $_, $_ } 1 .. 5000;
    my $file = spew('lines', $lines);
    runs ['kv', 'import', 'main', $file], 0, "5000 imported\n";
    runs ['kv', 'import', 'main', { stdin => $file }], 0, "5000 imported\n";
    runs ['kv', 'import', 'main', '-', '-o', 'json', { stdin => $file }], 0, qr/^\{"imported":5000\b.*\}\n\z/;
    runs ['kv', 'get', 'main', 'i/04999'], 0, 'value 4999';
    runs ['kv', 'import', 'main'], 0, "0 imported\n", undef, 'nothing';
    runs ['kv', 'import', 'main', spew('past', '{"key":"past","value":"v","expires":1}')], 0,
        "0 imported, 1 had expired\n";
    my $out = runs ['kv', 'export', 'main', '--prefix', 'i/'], 0, qr/\A\{"key":"i\/00001"/;
    is scalar(() = $out =~ /\n/g), 5000, 'export writes a line for each';
    runs ['kv', 'export', 'main', "$tmp/main.ndjson", '-o', 'json'], 0,
        qr/^\{"items":\d+,"bytes":\d+\}\n\z/;
    my $main = slurp("$tmp/main.ndjson");
    runs ['kv', 'export', 'main', '-'], 0, $main, undef, 'the same to a file and to standard output';
    is((stat "$tmp/main.ndjson")[2] & 0777, 0666 & ~umask, 'with the usual mode');
    runs ['kv', 'import', 'copy', "$tmp/main.ndjson"], 0, qr/imported/;
    runs ['kv', 'export', 'copy'], 0, $main, undef, 'there and back';

    chmod 0600, "$tmp/main.ndjson";
    symlink "$tmp/main.ndjson", "$tmp/link";
    runs ['kv', 'export', 'copy', "$tmp/link"], 0, '', undef, 'through a symbolic link';
    ok -l "$tmp/link", 'which stays';
    is((stat "$tmp/main.ndjson")[2] & 0777, 0600, 'as the mode does');
    mkdir "$tmp/links";
    symlink 'behind', "$tmp/links/first";
    symlink 'links/first', "$tmp/second";
    runs ['kv', 'export', 'copy', "$tmp/second"], 0, '', undef, 'through links to where no file is';
    ok -l "$tmp/second" && -l "$tmp/links/first", 'which stay';
    is slurp("$tmp/links/behind"), $main, 'and lead to it now';
    symlink 'round', "$tmp/round";
    runs ['kv', 'export', 'copy', "$tmp/round"], 1, '', qr/round: Too many levels/;
    # What is no file is written to, never replaced. These are our own: run by
    # root, a client that renames over them would break the machine's.
    POSIX::mkfifo("$tmp/fifo", 0600) or die "mkfifo: $!";
    my $reader = fork // die;
    if (!$reader) {
        open my $in, '<', "$tmp/fifo" or POSIX::_exit(1);
        local $/;
        spew('from-fifo', <$in> // '');
        POSIX::_exit(0);
    }
    runs ['kv', 'export', 'copy', "$tmp/fifo"], 0, '';
    ok -p "$tmp/fifo", 'a pipe stays one' or kill KILL => $reader;
    waitpid $reader, 0;
    is slurp("$tmp/from-fifo"), $main, 'and gets it all';
    runs ['kv', 'export', 'copy', "$tmp/no/where"], 1, '', qr/No such file/;
    SKIP: {
        skip 'cannot make a device', 3
            if system("mknod '$tmp/full' c 1 7 2>&1 && : >>'$tmp/full'") != 0;
        my ($status, undef, $err) = jackdaw('kv', 'export', 'copy', "$tmp/full");
        is $status, 1, 'a full device is an error';
        like $err, qr/No space left/, 'and told';
        ok -c "$tmp/full", 'and stays one';
    }

    runs ['kv', 'import', 'main', spew('bad', "{\"key\":\"b/1\",\"value\":\"1\"}\nnonsense\n")], 1, '',
        qr/line 2\b.*\(bad_request, /;
    spew('bad', $lines . "nonsense\n" . $lines x 20);
    runs ['kv', 'import', 'main', "$tmp/bad"], 1, '', qr/line 5001\b/, 'long before the end';
    runs ['kv', 'import', 'nowhere', $file], 3, '', qr/not_found/;
    runs ['kv', 'import', 'main', "$tmp/nothing"], 1, '', qr/No such file/;
    runs ['kv', 'import', 'main', "$tmp"], 1, '', qr/Is a directory/;
};

subtest 'standard output' => sub {
    my $quiet = sub {
        my ($command) = @_;
        my ($status, $out, $err) = Jackdaw->run('sh', '-c', $command, $client, $url);
        is $err, '', "quiet: $command";
        return $out;
    };
    is $quiet->('"$0" --url "$1" kv export main | head -c 5'), '{"key', 'what was read';
    is $quiet->('"$0" --url "$1" kv scan main --all | head -n 1') =~ tr/\n//, 1, 'one line';
    my ($status, $out, $err) = Jackdaw->run('sh', '-c', '"$0" --url "$1" kv get main n >/dev/full',
        $client, $url);
    is $status, 1, 'a full device';
    like $err, qr/standard output: No space left/, 'is told';
};

subtest 'progress' => sub {
    plan skip_all => 'no script(1)' if system 'command -v script >/dev/null';
    my $command = "'$client' --url $url kv import main $tmp/lines";
    my ($status, $out) = Jackdaw->run('script', '-qec', $command, '/dev/null');
    is $status, 0, 'on a terminal';
    like $out, qr/\r\e\[Kimport: 5000 items, [\d.]+ KiB, [\d.]+ [KM]iB\/s, 100%\r?\n5000 imported/,
        'the last state';
    # A slow producer: redrawn meanwhile, five times a second at most.
    $command = "(cat $tmp/lines; sleep 0.7; cat $tmp/lines) | '$client' --url $url kv import main";
    my $begin = time;
    ($status, $out) = Jackdaw->run('script', '-qec', $command, '/dev/null');
    my $drawn = () = $out =~ /\e\[K/g;
    cmp_ok $drawn, '>=', 2, 'is drawn';
    cmp_ok $drawn, '<=', 5 * (time - $begin) + 2, 'but not too often';
    like $out, qr/import: 10000 items/, 'and counts all';
    $command = "'$client' --url $url kv export main >$tmp/out";
    ($status, $out) = Jackdaw->run('script', '-qec', $command, '/dev/null');
    like $out, qr/\r\e\[Kexport: [1-9]\d+ items, .*\n\z/, 'an export as well';
    is slurp("$tmp/out") =~ /\e/, '', 'not in what it writes';
};

subtest 'constant memory' => sub {
    plan skip_all => 'sanitizers keep what is freed' if Jackdaw::mode() =~ /san/;
    my $limited = sub { Jackdaw->run('sh', '-c', "ulimit -v 400000; $_[0]", $client, $url) };
    my $value = 'x' x 100_000;
    open my $out, '>', "$tmp/heavy" or die;
    print $out "{\"key\":\"heavy/$_\",\"value\":\"$value\"}\n" for 1 .. 400;
    close $out;
    my $peak = sub {
        my ($err) = @_;
        return $err =~ /^VmHWM:\s+(\d+) kB/m ? $1 : undef;
    };
    # The shell's child is the client: its peak is that of RUSAGE_CHILDREN.
    my $measure = q{perl -e 'system @ARGV; my $r = "\0" x 144; syscall(98, -1, $r);'}
        . q{ -e 'print STDERR "VmHWM: ", (unpack "q*", $r)[4], " kB\n"' };
    my (undef, $imported, $err) = $limited->("$measure \"\$0\" --url \"\$1\" kv import copy $tmp/heavy");
    is $imported, "400 imported\n", 'forty megabytes in' or diag $err;
    cmp_ok $peak->($err) // 1e9, '<', 30_000, 'in 30 MB' or diag $err;
    (undef, undef, $err) = $limited->("$measure \"\$0\" --url \"\$1\" kv export copy $tmp/heavy");
    cmp_ok -s "$tmp/heavy", '>', 40_000_000, 'forty megabytes out' or diag $err;
    cmp_ok $peak->($err) // 1e9, '<', 30_000, 'in 30 MB' or diag $err;
};

subtest 'an interrupted export leaves nothing' => sub {
    my ($port, $pipe, $mock) = mock();
    for my $signal (qw(INT TERM HUP)) {
        my $pid = fork // die;
        if (!$pid) {
            $SIG{INT} = $SIG{TERM} = 'DEFAULT';
            open STDERR, '>', '/dev/null';
            exec $client, '--url', "http://127.0.0.1:$port", qw(kv export silent), "$tmp/stopped"
                or POSIX::_exit(127);
        }
        my @left;
        my $begun = $server->wait_until(10, sub { @left = glob "$tmp/stopped*"; @left });
        ok $begun, 'it has begun';
        kill $signal => $pid;
        waitpid $pid, 0;
        is $? & 127, POSIX->can("SIG$signal")->(), "ends by $signal";
        is_deeply [glob "$tmp/stopped*"], [], 'nothing is left';
    }
    close $pipe;
    waitpid $mock, 0;
};

subtest 'status' => sub {
    my $out = runs ['status'], 0, qr/^server +http\N*\nready +yes\nversion +\d+\.\d+\.\d+\nstarted +\d{4}-/;
    like $out, qr/^store +main: \d+ keys, \d+\.\d [KM]iB of 64\.0 MiB$/m, 'a store';
    my $status = $json->decode(runs ['status', '-o', 'json'], 0, qr/^\{.*\}\n\z/);
    ok $status->{ready}, 'ready';
    is $status->{server}, $url, 'which one';
    like $status->{version}, qr/^\d+\.\d+\.\d+$/, 'its version';
    is_deeply [sort map { $_->{name} } @{ $status->{stores} }], [qw(cache copy main)], 'its stores';
    my ($main) = grep { $_->{name} eq 'main' } @{ $status->{stores} };
    cmp_ok $main->{entries}, '>=', 5000, 'how much is in one';
    is $main->{max_bytes}, 64 << 20, 'and fits';
    is_deeply [map { $_->{name} } @{ $status->{databases} }], ['main'], 'its databases';
    cmp_ok $status->{databases}[0]{max_bytes}, '>', 0, 'with their bounds';
    like $out, qr/^database +main: [\d.]+ \w+ of [\d.]+ \w+, \d+ writes$/m, 'as text too';
    is_deeply $status->{services}, [], 'and its services';
    for my $name (qw(start_time_seconds workers connections requests status_500 status_503 status_507
        cache_hits cache_misses steals memory_bytes)) {
        like $status->{$name} // '', qr/^\d+$/, $name;
    }
    cmp_ok $status->{requests}, '>', 100, 'requests are counted';
    cmp_ok $status->{workers}, '>', 0, 'so are workers';
};

is $server->stop, 0, 'the daemon ends well';
runs ['status'], 6, '', qr/cannot connect/, 'nobody is there';
done_testing;
