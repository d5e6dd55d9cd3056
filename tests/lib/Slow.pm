# SPDX-License-Identifier: MIT

# A server whose delays are known, for tests of what measures them.
#
#   my $server = Slow->start(stall => [0.5, 0.4]);
#   ... $server->url . '/wait/20' ...
#   my @requests = $server->requests;    # with log => 1: "METHOD TARGET HEADERS BODY"
#
# /ok answers at once, /wait/MS after so many milliseconds (one and the same in
# a run). stall => [AT, FOR]: AT seconds after the first request it does nothing
# for FOR seconds. each => SECONDS: it answers one request after the other, and
# each takes that long.
package Slow;

use strict;
use warnings;

use File::Temp;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

sub start {
    my ($class, %options) = @_;
    my $self = bless { %options, tmp => File::Temp->newdir }, $class;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 256, ReuseAddr => 1)
        or die "listen: $!";
    $self->{url} = 'http://127.0.0.1:' . $listen->sockport;
    pipe my $end, $self->{begin} or die;
    $self->{pid} = fork // die;
    return $self if $self->{pid};
    close $self->{begin};
    $SIG{PIPE} = 'IGNORE';
    $self->_serve($listen, $end);
    POSIX::_exit(0);
}

sub url { return $_[0]{url} }
sub pid { return $_[0]{pid} }

sub requests {
    my ($self) = @_;
    open my $in, '<', "$self->{tmp}/log" or return;
    chomp(my @lines = <$in>);
    return @lines;
}

sub stop {
    my ($self) = @_;
    close $self->{begin} if $self->{begin};
    $self->{begin} = undef;
    waitpid $self->{pid}, 0 if $self->{pid};
    $self->{pid} = undef;
    return;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    $self->stop if defined $self->{begin};
}

# ---- in the server's process -------------------------------------------------

my $big = 'x' x (1 << 20);
my %replies = (
    '/ok'        => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    '/missing'   => "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    '/close'     => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    '/until'     => "HTTP/1.1 200 OK\r\n\r\nuntil it closes",
    '/malformed' => "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
    '/twice'     => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" x 2,
    '/drop'      => '',
    '/early'     => "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno",
    '/chunks'    => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    '/big'       => "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n$big",
);
my %closes = map { $_ => 1 } qw(/close /until /drop);

sub _serve {
    my ($self, $listen, $end) = @_;
    my (%sockets, %buffers, @due);
    my ($stall_at, $stalled);
    open my $log, '>>', "$self->{tmp}/log" or die;
    $log->autoflush(1);
    my $watched = q{};
    vec($watched, fileno $listen, 1) = 1;
    vec($watched, fileno $end,    1) = 1;
    my $drop = sub {
        my ($fd) = @_;
        vec($watched, $fd, 1) = 0;
        close delete $sockets{$fd};
        delete $buffers{$fd};
    };
    my $answer = sub {
        my ($fd, $target) = @_;
        my $bytes = $replies{$target} // $replies{'/ok'};
        my $socket = $sockets{$fd} or return;
        $socket->blocking(1);
        syswrite $socket, $bytes if length $bytes;
        $socket->blocking(0);
        $drop->($fd) if $closes{$target};
    };
    while (1) {
        my $left = @due ? $due[0][0] - time : undef;
        $left = 0 if defined $left && $left < 0;
        select my $ready = $watched, undef, undef, $left;
        if ($stall_at && !$stalled && time >= $stall_at) {
            sleep $self->{stall}[1];
            $stalled = 1;
        }
        while (@due && $due[0][0] <= time) {
            my ($time, $fd, $target) = @{ shift @due };
            $answer->($fd, $target);
        }
        return if vec($ready, fileno $end, 1);
        if (vec($ready, fileno $listen, 1)) {
            my $socket = $listen->accept or next;
            $socket->blocking(0);
            $sockets{ fileno $socket } = $socket;
            $buffers{ fileno $socket } = '';
            vec($watched, fileno $socket, 1) = 1;
        }
        for my $fd (grep { vec($ready, $_, 1) } keys %sockets) {
            my $n = sysread $sockets{$fd}, $buffers{$fd}, 65536, length $buffers{$fd};
            if (!$n) {
                $drop->($fd);
                next;
            }
            my ($method, $target, $head, $body) = _take_request(\$buffers{$fd}) or next;
            vec($watched, $fd, 1) = 0 if $target eq '/early';
            $stall_at //= time + $self->{stall}[0] if $self->{stall};
            print {$log} "$method $target $head $body\n" if $self->{log};
            sleep $self->{each} if $self->{each};
            next if $target eq '/never';
            if ($target =~ m{^/wait/(\d+)}) {
                push @due, [time + $1 / 1000, $fd, $target];
            } else {
                $answer->($fd, $target);
            }
        }
    }
}

sub _take_request {
    my ($buffer) = @_;
    my $at = index $$buffer, "\r\n\r\n";
    return if $at < 0;
    my $head = substr $$buffer, 0, $at;
    # Answered before its body has come, of which nothing more is read.
    return (split(/ /, $head, 3))[0, 1], '', '' if $head =~ m{^\S+ /early };
    my $length = $head =~ /^Content-Length: (\d+)/m ? $1 : 0;
    return if length $$buffer < $at + 4 + $length;
    my $body = substr $$buffer, $at + 4, $length;
    $$buffer = substr $$buffer, $at + 4 + $length;
    my ($line, @fields) = split /\r\n/, $head;
    my ($method, $target) = split / /, $line;
    return ($method, $target, join(',', map { s/ //r } @fields), $body);
}

1;
