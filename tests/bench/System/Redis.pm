# SPDX-License-Identifier: MIT

# Redis, for the systems that stand before it: a durable one and a volatile one.
package System::Redis;

use strict;
use warnings;

use Bench::Process;
use IO::Socket::INET;

# No snapshots and no rewriting of the log: what would run beside the load.
my @common = ('--save', '', '--auto-aof-rewrite-percentage', 0, '--maxclients', 15000, '--daemonize', 'no',
    '--loglevel', 'warning', '--bind', '127.0.0.1', '--tcp-backlog', 511);
my %kinds = (
    durable  => [ '--appendonly', 'yes', '--appendfsync', 'always' ],
    volatile => [ '--appendonly', 'no' ],
);

sub needs      { return ('redis-server' => 'redis-server') }
sub version    { return ('Redis ' . (`redis-server --version` =~ /v=([\d.]+)/ ? $1 : '')) }
sub durability { return { durable => 'appendfsync always', volatile => 'memory only' }->{ $_[0] } }

# Starts one for a system; its port, and the path of its socket.
sub start {
    my ($system, $kind, $data, $sockets) = @_;
    my $port = Bench::Process::free_port();
    mkdir "$data/$kind" or die "$data/$kind: $!";
    my $process = $system->run_process(log => "$data/$kind/log", command => [ 'redis-server', '--port', $port,
        '--unixsocket', "$sockets/$kind.sock", '--dir', "$data/$kind", @common, @{ $kinds{$kind} } ]);
    $process->wait_port($port);
    return { port => $port, socket => "$sockets/$kind.sock" };
}

# Fills one: pairs of key and value, which next_pair returns until it returns
# nothing.
sub fill {
    my ($redis, $next_pair) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $redis->{port}) or die "redis: $!";
    my ($text, $count) = ('', 0);
    my $flush = sub {
        print $socket $text or die "redis: $!";
        $socket->flush;
        while ($count > 0) {
            my $answer = <$socket> // die 'redis: no answer';
            die "redis: $answer" if $answer !~ /^\+OK/;
            $count--;
        }
        $text = '';
    };
    while (my ($key, $value) = $next_pair->()) {
        $text .= sprintf "*3\r\n\$3\r\nSET\r\n\$%d\r\n%s\r\n\$%d\r\n%s\r\n", length $key, $key, length $value, $value;
        $flush->() if ++$count == 1000;
    }
    $flush->();
    return;
}

1;
