# SPDX-License-Identifier: MIT

# Long results of SQL: in constant memory, to clients of any kind.
use strict;
use warnings;
use Jackdaw;
use JSON::PP;
use Socket qw(SHUT_WR);
use Streams;
use Test::More;
use Time::HiRes qw(sleep time);

my $slow   = Jackdaw::slowness();
my $server = start(120);
*is_problem = \&Jackdaw::is_problem;
my $json   = JSON::PP->new->utf8;
my @ndjson = (Accept => 'application/x-ndjson');

my $n = int 300_000 / $slow;
subtest "$n rows" => sub {
    my $begin = time;
    my $reply = sql(rows_to($n), @ndjson);
    note sprintf '%.2f s', time - $begin;
    is $reply->{status}, 200, 'lines';
    is $reply->{headers}{'transfer-encoding'}, 'chunked', 'of unknown length';
    my @lines = split /\n/, $reply->{content};
    is pop @lines, qq({"end":true,"rows":$n}), 'the last one says that it is';
    is scalar @lines, $n, 'a line for each row';
    my $wrong = grep { $lines[$_ - 1] ne qq({"x":$_,"text":"row $_"}) } 1 .. $n;
    is $wrong, 0, 'in order, none torn';
    $reply = sql(rows_to($n), Accept => 'text/csv');
    @lines = split /\r\n/, $reply->{content};
    is shift @lines, 'x,text', 'CSV with its header';
    $wrong = grep { ($lines[$_ - 1] // '') ne "$_,row $_" } 1 .. $n;
    is $wrong, 0, 'in order, none torn';
    is scalar @lines, $n, 'to the end';
    is sql('SELECT 1')->{status}, 200, 'the connection goes on';
    ends('no reader is held');
};

subtest 'memory does not grow with the rows' => sub {
    sql(rows_to(20_000), @ndjson);
    my $before = $server->rss;
    my $rows   = int 1_000_000 / $slow;
    my $socket = begin(rows_to($rows));
    my ($peak, $bytes, $tail) = (0, 0, '');
    while (1) {
        my ($got, $state) = receive($socket, bytes => 1 << 20, seconds => 0.3);
        $bytes += length $got;
        $tail = substr $tail . $got, -100;
        my $rss = $server->rss;
        $peak = $rss if $rss > $peak;
        last if $state ne 'open' || $tail =~ /\r\n0\r\n\r\n\z/;
    }
    like $tail, qr/"rows":$rows\}/, "$rows rows came";
    cmp_ok $peak - $before, '<', (4 << 20) * ($slow > 1 ? 8 : 1),
        sprintf '%d MB were read, the daemon grew by %d KiB', $bytes / 1e6, ($peak - $before) / 1024;
};

subtest 'a slow reader gets everything' => sub {
    my $rows   = 200_000;
    my $socket = begin(rows_to($rows), small => 1);
    my $got    = '';
    for (1 .. 20) {
        my ($piece) = receive($socket, bytes => 65536);
        $got .= $piece;
        sleep 0.02;
    }
    ($got) = to_the_end($socket, $got);
    my ($text, $whole) = chunks($got);
    ok $whole, 'the last chunk came';
    my @lines = split /\n/, $text;
    is pop @lines, qq({"end":true,"rows":$rows}), 'the end';
    my $wrong = grep { $lines[$_ - 1] ne qq({"x":$_,"text":"row $_"}) } 1 .. $rows;
    is $wrong, 0, 'and all before it';
};

subtest 'one that stops reading holds its snapshot for a while only' => sub {
    my $snapshot = 1 * $slow;
    $server = start($snapshot);
    my $before = $server->rss;
    my $socket = begin(rows_to(0), small => 1);
    my ($first) = receive($socket, bytes => 1000);
    like $first, qr/^HTTP\/1\.1 200 /, 'it begins';
    ok $server->wait_until(5, sub { busy() }), 'its statement rests';
    my ($cpu, $begin) = (cpu(), time);
    sleep 0.3;
    cmp_ok +(cpu() - $cpu), '<', 0.4 * $slow, 'and costs nothing';
    cmp_ok $server->rss - $before, '<', (4 << 20) * ($slow > 1 ? 8 : 1), 'but bounded memory';
    ends("after $snapshot s it is ended", $snapshot / $slow + 5, 1);
    cmp_ok time - $begin, '>', $snapshot * 0.5, 'not before';
    my ($got) = to_the_end($socket, $first);
    my ($text, $whole) = chunks($got);
    ok $whole, 'the reply is ended';
    my @lines = split /\n/, $text;
    my $last  = $json->decode($lines[-1]);
    is $last->{error}{status}, 504, 'with the reason in its last line';
    is $last->{error}{code}, 'deadline', 'its code';
    like $last->{error}{detail}, qr/snapshot_timeout/, 'and its name';
    my $wrong = grep { $lines[$_ - 1] ne qq({"x":$_,"text":"row $_"}) } 1 .. @lines - 1;
    is $wrong, 0, 'the lines before are whole';
    syswrite $socket, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    like +(receive($socket, bytes => 20))[0], qr/^HTTP\/1\.1 200/, 'the connection goes on';
    $server = start(120);
};

subtest 'a CSV that ends early is cut' => sub {
    my $socket = begin(rows_to(0), accept => 'text/csv', members => { timeout => '500ms' });
    my ($got, $state) = to_the_end($socket, '');
    isnt $state, 'open', 'the connection is closed';
    my ($text, $whole) = chunks($got);
    ok !$whole, 'before the last chunk';
    like $text, qr/^x,text\r\n1,row 1\r\n/, 'rows came before';
    ends('the statement ended');
};

subtest 'a deadline within a stream' => sub {
    my $socket = begin(rows_to(0), members => { timeout => '300ms' });
    my ($got) = to_the_end($socket, '');
    my ($text, $whole) = chunks($got);
    ok $whole, 'the reply ends';
    my $last = $json->decode((split /\n/, $text)[-1]);
    is $last->{error}{status}, 504, 'with an error';
    like $last->{error}{detail}, qr/300ms/, 'that names the limit';
    is_problem($server->request(POST => '/v1/sql/main',
        headers => ['Content-Type' => 'application/json', @ndjson],
        content => body('SELECT count(*) FROM (' . rows_to(0) . ')', timeout => '300ms')),
        504, 'deadline', 'before the first row it is a problem');
};

subtest 'the time that a statement rests is not counted' => sub {
    # More than the buffers of a connection hold.
    my $rows    = 300_000;
    my $timeout = 2 + 2 * $slow;
    my $socket  = begin(rows_to($rows), small => 1, members => { timeout => "${timeout}s" });
    my ($got) = receive($socket, bytes => 1000);
    sleep $timeout + 0.2;
    is busy(), 1, 'it rests after its timeout';
    ($got) = to_the_end($socket, $got);
    like $got, qr/\{"end":true,"rows":$rows\}/, 'and ends well';
};

subtest 'an error after rows' => sub {
    my $sql = rows_to(200_000) =~ s/'row ' \|\| x/CASE WHEN x = 150000 THEN json('{') ELSE x END/r;
    my $reply = sql($sql, @ndjson);
    is $reply->{status}, 200, 'has begun';
    my @lines = split /\n/, $reply->{content};
    is scalar @lines, 150_000, 'the rows before it came';
    my $last = $json->decode($lines[-1]);
    is $last->{error}{status}, 400, 'and the error';
    like $last->{error}{detail}, qr/JSON/i, 'with its reason';
    # 20 MiB and more in base64.
    my $wide = join ', ', map { "CASE WHEN x = 50000 THEN zeroblob(1000000) END AS b$_" } 1 .. 20;
    $reply = sql(rows_to(60_000) =~ s/'row ' \|\| x AS text/$wide/r, @ndjson);
    @lines = split /\n/, $reply->{content};
    is scalar @lines, 50_000, 'a row that is too large for a line';
    is scalar(grep { !/^\{"x":\d+(?:,"b\d+":null){20}\}$/ } @lines[0 .. 49_998]), 0, 'leaves those before it whole';
    is $json->decode($lines[-1])->{error}{status}, 413, 'and is said';
};

subtest 'rows that come slowly are not held back' => sub {
    my $begin  = time;
    my $each   = int 100_000 / $slow;
    my $socket = begin("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 200), "
        . "d(y) AS (SELECT 1 UNION ALL SELECT y + 1 FROM d WHERE y < $each) "
        . "SELECT x, (SELECT count(*) FROM d WHERE y > x) AS n FROM c");
    my ($got) = receive($socket, bytes => 300);
    like $got, qr/\{"x":1,"n":/, 'the first rows are there';
    unlike $got, qr/"end"/, 'before the last';
    close $socket;
    ends('left');
};

subtest 'a client that leaves ends its statement' => sub {
    my %ways = (
        'closes' => sub { close $_[0] },
        'resets' => \&Jackdaw::hang_up,
        'sends no more' => sub { shutdown $_[0], SHUT_WR },
    );
    my $count = 'SELECT count(*) FROM (' . rows_to(0) . ')';
    # Its output is small, so nothing is ever written to the client.
    my $rare = rows_to(0) . ' WHERE x % 1000000000000 = 0';
    # Sorting takes all its time on a slow thread.
    my $sort = 'SELECT count(*) FROM (' . rows_to(0) . ') UNION SELECT 2 ORDER BY 1';
    for my $way (sort keys %ways) {
        for ([$count, 'application/json'], [$count, 'application/x-ndjson'], [$rare, 'text/csv'],
            [$sort, 'application/json']) {
            my ($sql, $accept) = @$_;
            my $socket = begin($sql, accept => $accept);
            ok $server->wait_until(5, sub { busy() }), 'runs';
            $ways{$way}->($socket);
            ends("ended: $way, $accept");
        }
        # Rows come, and then none: it has taken all there is.
        my $silent = begin(rows_to(0) . ' WHERE x < 20000');
        my ($got) = receive($silent, bytes => 500_000, seconds => 1);
        like $got, qr/"x":1\d{4},/, 'rows came';
        $ways{$way}->($silent);
        ends("ended: $way while the stream has nothing to say");
        next if $way eq 'sends no more';    # it may read on
        my $socket = begin(rows_to(0));
        receive($socket, bytes => 100_000);
        $ways{$way}->($socket);
        ends("ended: $way within the stream");
        $socket = begin(rows_to(0), small => 1);
        receive($socket, bytes => 1000);
        sleep 0.1;
        $ways{$way}->($socket);
        ends("ended: $way while the stream rests");
    }
    cmp_ok $server->metric('jackdaw_http_requests_total', qr/sql.*status="(?:gone|0|499)?"/) // 0, '>=', 0,
        'counted';
};

subtest 'a sort goes to a slow thread' => sub {
    my $rows  = int 200_000 / $slow;
    my $reply = sql("SELECT x, text FROM (" . rows_to($rows) . ") ORDER BY x % 1000, x DESC", @ndjson);
    is $reply->{status}, 200, 'sorted';
    my @lines = split /\n/, $reply->{content};
    is pop @lines, qq({"end":true,"rows":$rows}), 'all of it';
    my ($last, $wrong) = (-1, 0);
    for (@lines) {
        my ($x) = /"x":(\d+)/;
        $wrong++ if $x % 1000 < $last;
        $last = $x % 1000;
    }
    is $wrong, 0, 'in order';
    my $socket = begin("SELECT x, text FROM (" . rows_to($rows) . ") ORDER BY x % 1000", small => 1);
    my ($got) = receive($socket, bytes => 1000);
    sleep 0.2;
    ($got) = to_the_end($socket, $got);
    ok +(chunks($got))[1], 'a slow reader of one gets everything';
    $socket = begin("SELECT x, text FROM (" . rows_to($rows) . ") ORDER BY x % 1000", small => 1);
    receive($socket, bytes => 1000);
    close $socket;
    ends('one that leaves ends it');
};

subtest 'HTTP/1.0' => sub {
    my ($got, $state) = receive(begin(rows_to(20_000), http => '1.0'));
    is $state, 'closed', 'ends by closing';
    my ($text) = $got =~ /\r\n\r\n(.*)/s;
    unlike $got, qr/^transfer-encoding/mi, 'no chunks';
    my @lines = split /\n/, $text;
    is $lines[-1], '{"end":true,"rows":20000}', 'whole';
};

is $server->stop, 0, 'ends well';
done_testing;
