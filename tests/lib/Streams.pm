# SPDX-License-Identifier: MIT

# Clients of long results of SQL, on sockets of their own: they read as they
# like, and leave when they like.
#
#   my $socket = begin(rows_to(1000), accept => 'text/csv', small => 1);
#   my ($got, $state) = to_the_end($socket, '');
#   my ($text, $whole) = chunks($got);
package Streams;

use strict;
use warnings;

use Exporter qw(import);
use IO::Select;
use Jackdaw;
use JSON::PP;
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(server start conf body sql rows_to begin receive to_the_end busy cpu ends chunks);

my $slow = Jackdaw::slowness();
my $json = JSON::PP->new->utf8;
my $server;

sub conf {
    my ($snapshot) = @_;
    return <<"EOC";
store main { kind = durable max_size = "64M" }
database main { max_size = "64M" }
limits { snapshot_timeout = "${snapshot}s" statement_timeout = "120s" drain_timeout = "1s" }
EOC
}

# The one that the others use; its snapshots end after so many seconds.
sub start {
    my ($snapshot) = @_;
    $server->stop if $server;
    return $server = Jackdaw->start(conf => conf($snapshot));
}

sub server { return $server }

sub body {
    my ($sql, %members) = @_;
    return $json->encode({ sql => $sql, %members });
}

sub sql {
    my ($sql, @headers) = @_;
    return $server->request(POST => '/v1/sql/main', content => body($sql),
        headers => ['Content-Type' => 'application/json', @headers], timeout => 60);
}

sub rows_to {
    my ($n) = @_;
    my $where = $n ? "WHERE x < $n" : '';
    return "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c $where) "
        . "SELECT x, 'row ' || x AS text FROM c";
}

# A connection on which the request was sent. Its window may be small, so that
# the daemon notices soon that nobody reads; but not smaller than a segment of
# the loopback interface, with which TCP itself waits for seconds.
sub begin {
    my ($sql, %options) = @_;
    my $socket = $server->raw_connect or die "connect: $!";
    my $body   = body($sql, %{ $options{members} // {} });
    my $accept = $options{accept} // 'application/x-ndjson';
    my $http   = $options{http} // '1.1';
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, pack 'l', 256 << 10 if $options{small};
    syswrite $socket, "POST /v1/sql/main HTTP/$http\r\nHost: test\r\nAccept: $accept\r\n"
        . "Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    return $socket;
}

# What comes until the end, or for so many bytes or seconds.
sub receive {
    my ($socket, %options) = @_;
    my ($end, $got) = (time + ($options{seconds} // 60), '');
    while (!$options{bytes} || length $got < $options{bytes}) {
        my $left = $end - time;
        last if $left <= 0 || !IO::Select->new($socket)->can_read($left);
        my $n = sysread $socket, $got, 65536, length $got;
        return ($got, defined $n ? 'closed' : 'reset') if !$n;
    }
    return ($got, 'open');
}

# Reads on until the reply has ended, in chunks or by closing: all of it, and
# its state.
sub to_the_end {
    my ($socket, $got) = @_;
    my ($end, $state) = (time + 20 * $slow, 'open');
    while (substr($got, -7) ne "\r\n0\r\n\r\n" && $state eq 'open' && time < $end) {
        (my $piece, $state) = receive($socket, bytes => 1, seconds => 1);
        $got .= $piece;
    }
    return ($got, $state);
}

sub busy { return $server->metric('jackdaw_database_readers_busy') }

# Processor seconds of the daemon.
sub cpu {
    open my $in, '<', '/proc/' . $server->pid . '/stat' or die;
    my ($rest) = <$in> =~ /\) (.*)/;
    my @fields = split ' ', $rest;
    return ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# The statements of clients that left have ended, and their requests; but not
# those of so many others.
sub ends {
    my ($name, $seconds, $others) = @_;
    my $begin = time;
    # The one that asks is in flight itself.
    my ($busy, $flying);
    my $ended = $server->wait_until($seconds // 5, sub {
        my $metrics = $server->metrics;
        $busy   = $server->metric('jackdaw_database_readers_busy', undef, $metrics) // 'unknown';
        $flying = $server->metric('jackdaw_http_requests_in_flight', undef, $metrics) // 'unknown';
        return $busy eq '0' && $flying eq 1 + ($others // 0);
    });
    ok $ended, $name or diag "busy readers: $busy, requests in flight: $flying";
    note sprintf '%.2f s', time - $begin;
}

sub chunks {
    my ($bytes) = @_;
    my $text = '';
    $bytes =~ /\r\n\r\n/g or return ('', 0);
    while ($bytes =~ /\G([0-9a-f]+)\r\n/gci) {
        my $size = hex $1;
        return ($text, 1) if !$size;
        $text .= substr $bytes, pos $bytes, $size;
        pos($bytes) += $size;
        $bytes =~ /\G\r\n/gc or last;
    }
    return ($text, 0);
}

1;
