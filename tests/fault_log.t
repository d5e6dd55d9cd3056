# SPDX-License-Identifier: MIT

# A log that nobody reads: the server goes on, ends when it shall, and says
# afterwards how much of the log is missing.
use strict;
use warnings;

use Fcntl;
use File::Temp;
use IO::Socket::UNIX;
use Jackdaw;
use POSIX ();
use Test::More;

my $tmp = File::Temp->newdir;
POSIX::mkfifo("$tmp/log", 0600) or die $!;
sysopen my $log, "$tmp/log", O_RDWR | O_NONBLOCK or die $!;
my $server = Jackdaw->start(wait => 0, listen => "unix:$tmp/socket", queue_age => '1m',
    under => ['sh', '-c', 'exec "$@" 2>"$0"', "$tmp/log"],
    conf => qq(workers = 2\nstore main { kind = durable max_size = "64K" }\n));
ok $server->wait_until(10 * Jackdaw::slowness(), sub { IO::Socket::UNIX->new(Peer => "$tmp/socket") }), 'it starts';

# Each value that does not fit is a line.
my $connection = Jackdaw::Connection->new($server, address => "unix:$tmp/socket");
my %seen;
for (1 .. 2000) {
    my $reply = $connection->request(PUT => "/v1/kv/main/k$_", content => 'x' x 20_000, timeout => 20);
    $seen{ $reply->{status} }++;
    last if $reply->{status} == 599;
}
is $seen{599}, undef, 'each request is answered';
cmp_ok $seen{507}, '>', 1000, 'most of them with what is logged';

my $read = sub {
    my $text = '';
    while (sysread $log, my $piece, 65536) { $text .= $piece }
    return $text;
};
my $lines = () = $read->() =~ /507|full/g;
cmp_ok $lines, '>', 10, 'the log has what there was room for';
cmp_ok $lines, '<', $seen{507}, 'and not all';
$connection->request(PUT => '/v1/kv/main/again', content => 'x' x 20_000);
like $read->(), qr/^\S+ warn log lines were lost count=\d+\n/, 'then it says that lines were lost';

# It is full again.
$connection->request(PUT => "/v1/kv/main/k$_", content => 'x' x 20_000, timeout => 20) for 1 .. 1000;
is $server->stop, 0, 'it ends when it shall';

# Without standard error, what is opened first does not get the log.
for my $closed ('2>&-', '0<&- 1>&- 2>&-') {
    $server = Jackdaw->start(wait => 0, listen => "unix:$tmp/socket",
        under => ['sh', '-c', qq(exec "\$0" "\$@" $closed)]);
    ok $server->wait_until(10 * Jackdaw::slowness(), sub { IO::Socket::UNIX->new(Peer => "$tmp/socket") }),
        "it starts with $closed";
    is readlink '/proc/' . $server->pid . "/fd/$_", '/dev/null', "descriptor $_ is nothing of ours" for 0 .. 2;
    is $server->stop, 0, 'it ends';
    is -s $server->dir . '/lock', 0, 'no file has the log';
}
done_testing;
