# SPDX-License-Identifier: MIT

# Many clients of long results of SQL, of which some do not read and some
# leave: nobody is held up, and nothing is kept.
use strict;
use warnings;
use Jackdaw;
use IO::Select;
use JSON::PP;
use Streams;
use Test::More;
use Time::HiRes qw(sleep time);

my $slow   = Jackdaw::slowness();
my $server = start(120);

# Reads all sockets as they have something, until one has got what is looked for.
sub first_with {
    my ($pattern, $seconds, @sockets) = @_;
    my ($end, $select, %tail) = (time + $seconds, IO::Select->new(@sockets));
    while ($select->count && time < $end) {
        for my $socket ($select->can_read(1)) {
            my $n = sysread $socket, my $piece, 1 << 20;
            $select->remove($socket) if !$n;
            $tail{$socket} = substr(($tail{$socket} // '') . ($piece // ''), -(1 << 20) - 1000);
            return 1 if $tail{$socket} =~ $pattern;
        }
    }
    return 0;
}

subtest 'more readers than connections' => sub {
    my $endless = 'SELECT count(*) FROM (' . rows_to(0) . ')';
    my @clients = map { begin($endless, accept => 'application/json', members => { timeout => '1s' }) } 1 .. 20;
    my $begin = time;
    is $server->get('/v1/kv/main/nothing')->{status}, 404, 'a key is read at once';
    my %status;
    for (@clients) {
        my ($got) = receive($_, bytes => 12, seconds => 20 * $slow);
        $status{ $got =~ /^HTTP\/1.1 (\d+)/ ? $1 : 'none' }++;
    }
    note join ', ', map { "$_: $status{$_}" } sort keys %status;
    is +($status{504} // 0) + ($status{503} // 0), 20, 'each ends with 504, or 503 when it had no turn';
    ok $status{504}, 'some had one';
    is sql('SELECT 1')->{status}, 200, 'the next is answered';
    ends('none is held', 6);
};

subtest 'who rests makes way for who waits' => sub {
    # Which worker gets a connection is not ours to say: more come until one
    # of them has to wait.
    my ($begin, @resting) = (time);
    my $yields = sub {
        push @resting, begin(rows_to(0), small => 1) if @resting < 10 + 2 * (time - $begin);
        return $server->log =~ /stream ended early .*error="too much is waiting/;
    };
    ok $server->wait_until(20, $yields), 'one that rested makes way';
    note sprintf '%d clients, after %.1f s', scalar(@resting), time - $begin;
    ok $server->wait_until(10, sub { sql('SELECT 1')->{status} == 200 }),
        'a connection to the database becomes free';
    # It stands behind all that the buffers hold; others have no end.
    my $told = qr/"status":503,"code":"overloaded","detail":"the client took nothing/;
    ok first_with($told, 20 * $slow, @resting), 'and it was told so';
    Jackdaw::hang_up(@resting);
    ends('none is held', 6);
    # Slow threads are two.
    my $rows = int 300_000 / $slow;
    my $sort = "SELECT x, text, hex(text) AS h FROM (" . rows_to($rows) . ") ORDER BY x % 1000, x";
    @resting = map { begin($sort, small => 1) } 1 .. 2;
    receive($_, bytes => 1000) for @resting;
    sleep 0.3;
    $begin = time;
    $sort = "SELECT count(*) AS n FROM (SELECT x FROM (" . rows_to(100_000 / $slow) . ") ORDER BY -x LIMIT 100000)";
    ok $server->wait_until(10, sub { sql($sort)->{status} == 200 }), 'a slow thread, too';
    note sprintf 'after %.1f s', time - $begin;
    Jackdaw::hang_up(@resting);
    ends('none is held', 6);
};

subtest 'many at once, of which some leave' => sub {
    my @clients;
    for my $i (1 .. 24) {
        push @clients, begin(rows_to($i % 4 ? 20_000 : 0), small => $i % 3 == 0,
            accept => $i % 2 ? 'application/x-ndjson' : 'text/csv');
    }
    my $whole = 0;
    for my $i (1 .. 24) {
        my $socket = $clients[$i - 1];
        if ($i % 4 == 0) { receive($socket, bytes => 5000, seconds => 1); Jackdaw::hang_up($socket); next }
        my ($got) = receive($socket, bytes => 12);
        ($got) = to_the_end($socket, $got) if $got !~ m{^HTTP/1.1 503};
        $whole++ if $got =~ m{^HTTP/1.1 503} || (chunks($got))[1];
    }
    is $whole, 18, 'those that stay are served, or told that there is no room';
    ends('none is held', 4);
};

subtest 'the end of the daemon' => sub {
    my $socket = begin(rows_to(0), small => 1);
    receive($socket, bytes => 1000);
    my $other = begin('SELECT count(*) FROM (' . rows_to(0) . ')', accept => 'application/json');
    sleep 0.1;
    is $server->stop, 0, 'does not wait for clients without end';
    $server = start(120);
    $socket = begin(rows_to(2_000_000));
    receive($socket, bytes => 1000);
    close $socket;
    is $server->stop, 0, 'nor trips over one that just left';
};

done_testing;
