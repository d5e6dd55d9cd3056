# SPDX-License-Identifier: MIT

# jackdaw bench: what it is told, what it sends, what it shows.
use strict;
use warnings;
use File::Temp;
use Jackdaw;
use JSON::PP;
use Slow;
use Terminal;
use Test::More;
use Time::HiRes qw(sleep time);

my $client = Jackdaw::client();
my $tmp    = File::Temp->newdir;
my $json   = JSON::PP->new->utf8;

delete $ENV{JACKDAW_URL};

# What it measures, and what it says on standard error.
sub bench {
    my ($server, @options) = @_;
    my ($status, $out, $err) = Jackdaw->run($client, 'bench', '--url', $server->url,
        '-o', 'json', '--warmup', '0s', @options, { timeout => 40 });
    my $result = eval { $json->decode($out) } // {};
    @$result{qw(status err out)} = ($status, $err, $out);
    return $result;
}

sub between {
    my ($got, $low, $high, $name) = @_;
    return ok(($got >= $low && $got <= $high), "$name: $got, from $low to $high");
}

subtest 'what must fit together' => sub {
    my @cases = (
        [[],                                        qr/needs a TARGET or a --request/],
        [['/x', '-r', '0'],                         qr/--rate takes requests per second/],
        [['/x', '-r', 'fast'],                      qr/--rate takes requests per second, .*not 'fast'/],
        [['/x', '-c', '0'],                         qr/--connections takes a number above 0/],
        [['/x', '-c', '2', '-t', '3'],              qr/--threads 3 is more than --connections 2/],
        [['/x', '-d', '5'],                         qr/--duration takes a duration/],
        [['/x', '-d', '1s', '--requests', '5'],     qr/choose one of --duration and --requests/],
        [['/x', '-r', '5', '--requests', '5'],      qr/choose one of --rate and --requests/],
        [['/{key}'],                                qr/\{key\} and \{n\} need --keys/],
        [['/x', '-m', 'PUT', '--body', 'a{n}'],     qr/need --keys/],
        [['/x', '--keys', '0'],                     qr/--keys takes a number above 0/],
        [['/x', '--keys', '100000001'],             qr/--keys is at most 100000000/],
        [['/x', '--zipf', '1'],                     qr/--zipf needs --keys/],
        [['/x', '--keys', '5', '--zipf', '-1'],     qr/--zipf takes a number/],
        [['x'],                                     qr/'x' is no path/],
        [['/a b'],                                  qr{'/a b' is no path}],
        [['/x', '-m', 'G T'],                       qr/'G T' is no method/],
        [['/x', '-H', 'nothing'],                   qr/a header is 'Name: value'/],
        [['/x', '-H', "A: b\r\nC: d"],              qr/no control characters/],
        [['/x', '-H', 'Content-Length: 5'],         qr/the body decides/],
        [['/x', '--expect', '200-'],                qr/--expect takes statuses/],
        [['/x', '--expect', '700'],                 qr/--expect takes statuses/],
        [['/x', '--find-rate', 'p99'],              qr/--find-rate takes a percentile/],
        [['/x', '--find-rate', 'p100=5ms'],         qr/--find-rate takes a percentile/],
        [['/x', '--find-rate', 'p99=5'],            qr/--find-rate takes a percentile/],
        [['/x', '--request', '1 GET /x'],           qr{choose one of --request and '/x'}],
        [['--request', 'GET /x'],                   qr/--request takes 'WEIGHT METHOD PATH/],
        [['--request', '0 GET /x'],                 qr/--request takes 'WEIGHT METHOD PATH/],
        [['--request', '1 PUT /x %big'],            qr/a body of %SIZE takes a size/],
        [['--request', '1 PUT /x @/nowhere/x'],     qr{/nowhere/x: No such file}],
        [['--request', '1 GET /x', '--request-header', '2 A: b'], qr/INDEX from 1 to 1/],
        [['/x', '--url', 'https://127.0.0.1'],      qr{takes a URL of the form http://}],
        [['/x', '--url', 'http://127.0.0.1:1/a'],   qr{takes a URL of the form http://}],
        [['/x', '--url', 'http://127.0.0.1:98543'], qr{takes a URL of the form http://}],
        [['/x', '--url', 'http://127.0.0.1:0'],     qr{takes a URL of the form http://}],
        [['/x', '-d', '25h'],                       qr/a day is the longest duration/],
        # A little more than 2^64 nanoseconds.
        [['/x', '-d', '213504d'],                   qr/a day is the longest duration/],
        [['/x', '--limit', '5'],                    qr/bench does not take --limit/],
    );
    for (@cases) {
        my ($options, $wanted) = @$_;
        my ($status, $out, $err) = Jackdaw->run($client, 'bench', @$options);
        like $err, $wanted, "@$options";
        is $status, 2, '... is a matter of usage';
        is $out, '', '... and prints nothing';
    }
    for my $where (['--url', 'http://127.0.0.1:1'], ['--socket', "$tmp/nobody"]) {
        my ($status, undef, $err) = Jackdaw->run($client, 'bench', @$where, '/x');
        like $err, qr/^jackdaw: cannot connect to \S+: \w/, "nobody at @$where";
        is $status, 6, '... cannot connect';
    }
};

sub logged {
    my (@options) = @_;
    my $server = Slow->start(log => 1);
    my $result = bench($server, @options);
    return $server->requests;
}

subtest 'what is sent' => sub {
    open my $file, '>', "$tmp/body" or die;
    print {$file} 'k={key}';
    close $file;
    my @requests = logged(
        qw(-c 1 --requests 400 --keys 120), '-H', 'X-All: a', '-H', 'X-Too: c',
        '--request',        '3 GET /g/{key}?n={n}',
        '--request',        '1 PUT /p/{n} it is {n}, {key}',
        '--request',        "1 POST /f \@$tmp/body",
        '--request',        '1 PUT /m %70',
        '--request-header', '2 X-One: b');
    is scalar @requests, 400;
    my %count;
    for (@requests) {
        my ($method, $target, $head, $body) = split / /, $_, 4;
        my ($kind) = $target =~ m{^/(\w)};
        $count{$kind}++;
        my $good
            = $kind eq 'g' ? $target =~ m{^/g/(\d{8})\?n=(0|[1-9]\d*)$} && $1 == $2 && $1 < 120
            : $kind eq 'p' ? $target =~ m{^/p/(\d+)$} && $body eq sprintf 'it is %d, %08d', $1, $1
            : $kind eq 'f' ? $body =~ /^k=0{5}\d{3}$/
            :                $body =~ /^[a-z]{70}$/;
        $good &&= $head =~ /^Host:127\.0\.0\.1:\d+,X-All:a,X-Too:c(,|$)/ && ($kind eq 'p') == ($head =~ /,X-One:b/);
        fail "a request: $_" if !$good;
    }
    between($count{g}, 160, 240, 'three in six by weight');
    between($count{$_}, 40, 95, 'one in six') for qw(p f m);
};

subtest 'an address by name' => sub {
    my $server = Slow->start;
    my ($port) = $server->url =~ /(\d+)$/;
    my ($status, $out) = Jackdaw->run($client, 'bench', '--url', "http://localhost:$port/",
        qw(-o json --warmup 0s --requests 10 /ok));
    is $status, 0, 'localhost, whichever of its addresses the server has';
    my $result = eval { $json->decode($out) } // {};
    is $result->{requests}, 10;
    is $result->{url}, "http://localhost:$port";
};

subtest 'threads' => sub {
    my $server = Slow->start;
    my $threads = sub {
        my ($status, $out) = Jackdaw->run($client, 'bench', '--url', $server->url, qw(-o json --warmup 0s), @_, '/ok');
        return (eval { $json->decode($out) } // {})->{threads};
    };
    my ($all) = `nproc` =~ /(\d+)/;
    is $threads->(qw(--requests 200 -c 128)), $all, 'a closed loop has one for each processor';
    is $threads->(qw(--requests 20 -c 1)), 1, 'but none without a connection';
    is $threads->(qw(-d 100ms -r 1000)), 1, 'a schedule as many as its rate needs';
    is $threads->(qw(--requests 20 -t 3)), 3, 'or as many as are asked for';
};

subtest 'open files' => sub {
    my $server = Slow->start;
    my ($status, $out, $err) = Jackdaw->run('sh', '-c', 'ulimit -Sn 4 && exec "$@"', 'sh', $client,
        'bench', '--url', $server->url, qw(-o json --warmup 0s -c 20 --requests 40 /ok));
    is $status, 0, 'as many as it needs';
    is $err, '', '... without a word';
    is((eval { $json->decode($out) } // {})->{requests}, 40, '... and all is measured');
    ($status, undef, $err) = Jackdaw->run('sh', '-c', 'ulimit -n 40 && exec "$@"', 'sh', $client,
        'bench', '--url', $server->url, qw(--requests 40 /ok));
    is $status, 1, 'not more than it may have';
    like $err, qr/needs \d+ open files, and the limit is 40: see ulimit -Hn/, '... which is said';
};

subtest 'the same seed, the same requests' => sub {
    my @options = (qw(--requests 200 --keys 1000 --zipf 0.99), '--request', '1 GET /a/{key}',
        '--request', '1 GET /b/{key}');
    my $names = sub { map { (split / /)[1] } @_ };
    my @first = $names->(logged(@options, qw(-c 1 --seed 5)));
    is_deeply [$names->(logged(@options, qw(-c 1 --seed 5)))], \@first, 'in order';
    is_deeply [sort $names->(logged(@options, qw(-c 6 -t 3 --seed 5)))], [sort @first],
        'the same ones from three threads';
    isnt join(' ', $names->(logged(@options, qw(-c 1 --seed 6)))), join(' ', @first), 'another seed';
    my %keys;
    $keys{ substr $_, 3 }++ for @first;
    my ($most) = sort { $b <=> $a } values %keys;
    # 0.99 over 1000 keys: the first has 13%.
    between($most, 12, 50, 'some keys are popular');
};

subtest 'ended early' => sub {
    my $server = Slow->start;
    my $out = "$tmp/early";
    my $pid = fork // die;
    if (!$pid) {
        open STDOUT, '>', $out or POSIX::_exit(1);
        exec $client, qw(bench -d 60s --warmup 0s -o json --url), $server->url, '/wait/5';
    }
    sleep 0.7 * Jackdaw::slowness();
    kill INT => $pid;
    waitpid $pid, 0;
    is $?, 0, 'Ctrl-C ends it well';
    open my $in, '<', $out or die;
    my $result = eval { $json->decode(join '', <$in>) } // {};
    cmp_ok $result->{requests} // 0, '>', 5, 'with what it had';
    between($result->{duration_s} // 0, 0.1, 20, 'duration');
};

subtest 'for people' => sub {
    my $server = Slow->start;
    my ($status, $out, $err) = Jackdaw->run($client, 'bench', '--url', $server->url,
        qw(-r 100 -d 300ms --warmup 100ms --request), '1 GET /ok', '--request', '1 GET /missing');
    is $status, 0;
    is $err, '', 'no live line where nobody looks';
    like $out, qr{^http://127.0.0.1:\d+, open loop at 100/s, 64 connections, 1 thread, 300 ms$}m;
    like $out, qr/^requests    30, /m, 'the warm-up is not counted';
    like $out, qr/^statuses    200: \d+, 404: \d+$/m;
    like $out, qr/^late        p99 \S+ [um]s, max/m;
    like $out, qr/^GET \/missing +(\d+) +\1 /m, 'a row for each kind';
    like $out, qr/^all +30 /m;
    like $out, qr/^latency up to   requests\n( +[\d.]+ [um]s +[\d.]+%  #*\n)+/m, 'a histogram';
    my $terminal = Terminal->start([$client, 'bench', '--url', $server->url,
        qw(-r 50 -d 1200ms --warmup 0s /ok)], { stdout => "$tmp/screen" });
    ok $terminal->wait_for(qr{\d s: \d+/s, p50 \S+ [um]s, p99 \S+ [um]s, max \S+ [um]s, 0 errors}),
        'a line each second on a terminal';
    is $terminal->wait_exit(10), 0;
};

done_testing;
