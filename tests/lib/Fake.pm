# SPDX-License-Identifier: MIT

# A server on a Unix socket that answers what a test tells it to.
#
#   my $fake = Fake->start(sub {
#       my ($request) = @_;    # method, target, headers, content
#       return [200, '{"value":1}'];
#   });
#   ... $fake->socket ...
#   is_deeply [map { $_->{target} } $fake->requests], ['/v1/a'];
#   $fake->stop;
#
# The answer is [status, body, header => value...], or raw bytes as they are
# sent, or undef: nothing is sent and the connection stays open. Pieces of a
# body that is an array of strings are sent half a second apart. The code runs
# in the server's process. One connection is served at a time; those that were
# not answered are kept and told in what `events` gives: "request", and
# "closed" when the client left.
package Fake;

use strict;
use warnings;

use File::Temp;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->utf8;

sub start {
    my ($class, $code) = @_;
    my $self = bless { tmp => File::Temp->newdir, code => $code }, $class;
    $self->{path} = "$self->{tmp}/socket";
    my $listen = IO::Socket::UNIX->new(Local => $self->{path}, Listen => 8) or die "listen: $!";
    pipe my $end, $self->{begin} or die;
    $self->{pid} = fork // die;
    return $self if $self->{pid};
    close $self->{begin};
    $SIG{PIPE} = 'IGNORE';
    $self->_serve($listen, $end);
    POSIX::_exit(0);
}

sub socket { return $_[0]{path} }

sub stop {
    my ($self) = @_;
    close $self->{begin} if $self->{begin};
    $self->{begin} = undef;
    waitpid $self->{pid}, 0 if $self->{pid};
    $self->{pid} = undef;
    return;
}

# Requests since the last call, oldest first.
sub requests {
    my ($self) = @_;
    my @new = grep { $_->{event} eq 'request' } $self->_new_events;
    for (@new) {
        $_->{json} = eval { $json->decode($_->{content}) } if length $_->{content};
    }
    return @new;
}

# Waits until a client has closed a connection that was not answered.
sub wait_closed {
    my ($self, $seconds) = @_;
    my $end = time + $seconds;
    while (time < $end) {
        return 1 if grep { $_->{event} eq 'closed' } $self->_new_events;
        sleep 0.02;
    }
    return 0;
}

# Waits for a request to come in.
sub wait_request {
    my ($self, $seconds) = @_;
    my $end = time + $seconds;
    while (time < $end) {
        my ($first) = $self->requests;
        return $first if $first;
        sleep 0.02;
    }
    return;
}

sub _new_events {
    my ($self) = @_;
    open my $in, '<', "$self->{tmp}/events" or return;
    seek $in, $self->{seen} // 0, 0;
    my @lines = <$in>;
    $self->{seen} = tell $in;
    return map { $json->decode($_) } @lines;
}

# ---- in the server's process -------------------------------------------------

sub _log {
    my ($self, $event) = @_;
    open my $out, '>>', "$self->{tmp}/events" or die;
    syswrite $out, $json->encode($event) . "\n";
    close $out;
}

sub _serve {
    my ($self, $listen, $end) = @_;
    my $select = IO::Select->new($listen, $end);
    my %buffer;
    while (1) {
        for my $ready ($select->can_read) {
            return if $ready == $end;
            if ($ready == $listen) {
                my $socket = $listen->accept or next;
                $buffer{$socket} = '';
                $select->add($socket);
                next;
            }
            my $n = sysread $ready, $buffer{$ready}, 65536, length $buffer{$ready};
            my $open = $n && $self->_answer($ready, \$buffer{$ready});
            next if $open;
            $self->_log({ event => 'closed' });
            $select->remove($ready);
            delete $buffer{$ready};
            close $ready;
        }
    }
}

# False: the connection ends.
sub _answer {
    my ($self, $socket, $buffer) = @_;
    my $request = _take_request($buffer) or return 1;
    $self->_log({ event => 'request', %$request });
    my $reply = $self->{code}->($request);
    return 1 if !defined $reply;
    if (!ref $reply) {
        syswrite $socket, $reply;
        return 0;
    }
    my ($status, $body, @headers) = @$reply;
    my $head = "HTTP/1.1 $status Because\r\nX-Request-Id: r1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) { $head .= "$name: $value\r\n" }
    if (ref $body) {
        syswrite $socket, "${head}Transfer-Encoding: chunked\r\n\r\n";
        for my $i (0 .. $#$body) {
            sleep 0.5 if $i;
            syswrite $socket, sprintf("%x\r\n%s\r\n", length $body->[$i], $body->[$i]);
        }
        syswrite $socket, "0\r\n\r\n";
        return 1;
    }
    $head .= 'Content-Length: ' . length($body) . "\r\n" if $status != 204;
    my $bytes = "$head\r\n$body";
    my $sent = 0;
    while ($sent < length $bytes) {
        my $n = syswrite $socket, $bytes, length($bytes) - $sent, $sent;
        return 0 if !defined $n;
        $sent += $n;
    }
    return 1;
}

sub _take_request {
    my ($buffer) = @_;
    my $at = index $$buffer, "\r\n\r\n";
    return if $at < 0;
    my ($line, @lines) = split /\r\n/, substr $$buffer, 0, $at;
    my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } @lines;
    my $length = $headers{'content-length'} // 0;
    return if length $$buffer < $at + 4 + $length;
    my $content = substr $$buffer, $at + 4, $length;
    $$buffer = substr $$buffer, $at + 4 + $length;
    my ($method, $target) = split / /, $line;
    return { method => $method, target => $target, headers => \%headers, content => $content };
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    $self->stop if defined $self->{begin};
}

1;
