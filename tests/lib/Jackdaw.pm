# SPDX-License-Identifier: MIT

# Starts the daemon under test and speaks HTTP to it.
#
#   my $server = Jackdaw->start(conf => 'store main { kind = durable }');
#   my $reply  = $server->put('/v1/kv/main/k', 'value', { 'Content-Type' => 'text/plain' });
#   is $reply->{status}, 201;
#   is $server->stop, 0;
#
# A reply is what HTTP::Tiny returns: status, reason, headers (names in lower
# case, an array where a name came twice), content. It is read strictly: a
# reply that breaks the framing of HTTP/1.1 is status 599, with the reason as
# its content. So is a connection that cannot be made or breaks.
package Jackdaw;

use strict;
use warnings;

use Cwd qw(getcwd);
use File::Temp;
use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX qw(WNOHANG);
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(sleep time);

my $owner = $$;
my %running;    # by pid

my $build = $ENV{JACKDAW_BUILD} // getcwd() . '/build/' . ($ENV{MODE} // 'debug');
my $mode  = $ENV{MODE} // ($build =~ m{/(debug|release|asan|tsan)/?$} ? $1 : 'debug');

$SIG{PIPE} = 'IGNORE';
$SIG{INT} = $SIG{TERM} = sub { exit 1 };
# A test that hangs ends itself and its daemons.
$SIG{ALRM} = sub { die "the test took too long\n" };
alarm($ENV{TEST_TIMEOUT} // 300);

# How much longer than in a plain build things may take.
sub slowness { return { asan => 3, tsan => 8 }->{$mode} // 1 }
sub mode     { return $mode }
sub build    { return $build }
sub daemon   { return "$build/jackdawd" }
sub client   { return "$build/jackdaw" }

# Runs a program to its end: (exit status or -signal, stdout, stderr).
sub run {
    my ($class, @command) = @_;
    my $options = ref $command[-1] ? pop @command : {};
    my $tmp     = File::Temp->newdir;
    my $pid     = fork // die "fork: $!";
    if (!$pid) {
        open STDIN,  '<', $options->{stdin} // '/dev/null' or POSIX::_exit(126);
        open STDOUT, '>', "$tmp/out"                        or POSIX::_exit(126);
        open STDERR, '>', "$tmp/err"                        or POSIX::_exit(126);
        $ENV{$_} = $options->{env}{$_} for keys %{ $options->{env} // {} };
        chdir $options->{chdir} if $options->{chdir};
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    my $status = _reap($pid, ($options->{timeout} // 20) * slowness());
    if (!defined $status) {
        kill KILL => $pid;
        waitpid $pid, 0;
        $status = -9;
    }
    my $err = _slurp("$tmp/err");
    _check_sanitizers($err);
    return ($status, _slurp("$tmp/out"), $err);
}

# Options: conf (the text of a configuration file), args, env, nofile (the
# limit of descriptors), dir (the data folder, to be kept), listen (default
# 127.0.0.1:0; undef leaves it to conf), wait => 0 (do not wait for /readyz),
# queue_age (default 1m, not the daemon's 50ms), daemon (another binary),
# under (a command that it is given to).
sub start {
    my ($class, %options) = @_;
    my $self = bless { options => \%options }, $class;
    $self->{tmp} = File::Temp->newdir('jackdaw-XXXXXX', TMPDIR => 1);
    $self->{dir} = $options{dir} // "$self->{tmp}/data";
    $self->_launch;
    return $self;
}

sub _launch {
    my ($self) = @_;
    my $options = $self->{options};
    my @command = (@{ $options->{under} // [] }, $options->{daemon} // daemon());
    if (defined $options->{conf}) {
        $self->{conf} = "$self->{tmp}/jackdaw.conf";
        $self->write_conf($options->{conf});
        push @command, '-c', $self->{conf};
    }
    push @command, '--set', "data_dir=$self->{dir}";
    my $listen = exists $options->{listen} ? $options->{listen} : '127.0.0.1:0';
    push @command, '--set', "listen=$listen" if defined $listen;
    # A disk that is slow for a moment is no reason to refuse a test's writes.
    push @command, '--set', 'limits.queue_age=' . ($options->{queue_age} // '1m');
    push @command, @{ $options->{args} // [] };
    unshift @command, 'sh', '-c', 'ulimit -n "$0" && exec "$@"', $options->{nofile}
        if $options->{nofile};

    $self->{log_file} = "$self->{tmp}/log." . ++$self->{launches};
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN,  '<', '/dev/null'        or POSIX::_exit(126);
        open STDOUT, '>', '/dev/null'        or POSIX::_exit(126);
        open STDERR, '>', $self->{log_file} or POSIX::_exit(126);
        $ENV{$_} = $options->{env}{$_} for keys %{ $options->{env} // {} };
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    $self->{status} = undef;
    $self->{connection} = undef;
    $running{$pid} = $self;
    return if exists $options->{wait} && !$options->{wait};
    my $seconds = 10 * slowness();
    $self->wait_ready($seconds)
        or die "the daemon is not ready after $seconds s:\n" . $self->log;
}

sub write_conf {
    my ($self, $text) = @_;
    open my $out, '>', "$self->{tmp}/jackdaw.conf" or die $!;
    print $out $text or die $!;
    close $out or die $!;
}

# True once /readyz says 200; false at the timeout or when the daemon ended.
sub wait_ready {
    my ($self, $seconds) = @_;
    my $end = time + $seconds;
    while (time < $end) {
        return 0 if !$self->alive;
        if ($self->addresses) {
            my $reply = $self->request(GET => '/readyz', close => 1);
            return 1 if $reply->{status} == 200;
        }
        sleep 0.01;
    }
    return 0;
}

sub pid { return $_[0]{pid} }
sub dir { return $_[0]{dir} }
sub tmp { return "$_[0]{tmp}" }
sub log { return _slurp($_[0]{log_file}) }

# What it listens on, from its log: 127.0.0.1:1234, [::1]:1234, unix:/path.
sub addresses {
    my ($self) = @_;
    return $self->log =~ /^.*\blistening\b.*\baddress="?([^\s"]+)/mg;
}

sub address { return ($_[0]->addresses)[0] }
sub url     { return 'http://' . $_[0]->address }

sub port {
    my ($self) = @_;
    return ($self->address // '') =~ /:(\d+)$/ ? $1 : undef;
}

# Waits until the log matches; the match or undef.
sub wait_log {
    my ($self, $pattern, $seconds) = @_;
    my $end = time + ($seconds // 5) * slowness();
    do {
        return $& if $self->log =~ $pattern;
        sleep 0.02;
    } while (time < $end);
    return;
}

# Waits until code returns something true; what it returned, or its last.
sub wait_until {
    my ($self, $seconds, $code) = @_;
    my $end = time + $seconds * slowness();
    my $result;
    until (($result = $code->()) || time > $end) { sleep 0.02 }
    return $result;
}

# ---- requests --------------------------------------------------------------

# A socket to the daemon.
sub raw_connect {
    my ($self, $address) = @_;
    $address //= $self->address // return;
    return IO::Socket::UNIX->new(Peer => $1) if $address =~ /^unix:(.*)/;
    my ($host, $port) = $address =~ /^\[?(.*?)\]?:(\d+)$/ or die "address $address";
    return IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 10);
}

# Closes with a reset, of which the daemon hears at once. After an ordinary
# end, one that still has something to send hears it by its next attempt, for
# which TCP may wait for many seconds when the client's window was closed.
sub hang_up {
    for my $socket (@_) {
        setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
        close $socket;
    }
    return;
}

# Everything that the daemon sends to bytes, until it closes or is silent for
# timeout seconds. In a list also whether it closed.
sub raw {
    my ($self, $bytes, %options) = @_;
    my $socket = $options{socket} // $self->raw_connect or die "connect: $!";
    _send_all($socket, $bytes);
    my $timeout = ($options{timeout} // 2) * slowness();
    my $select  = IO::Select->new($socket);
    my ($got, $closed) = ('', 0);
    while ($select->can_read($timeout)) {
        my $n = sysread $socket, $got, 65536, length $got;
        if (!$n) { $closed = 1; last }
    }
    return wantarray ? ($got, $closed) : $got;
}

# A client's connection, kept open: see Jackdaw::Connection.
sub connect {
    my ($self, %options) = @_;
    return Jackdaw::Connection->new($self, %options);
}

# request($method, $target, content =>, headers => {} or [name => value...],
# timeout =>, close => 1) on one connection that is kept.
sub request {
    my ($self, $method, $target, %options) = @_;
    my $connection = $self->{connection};
    # A forked test must not share its parent's connection.
    $connection = undef
        if $connection && ($connection->{owner} != $$ || !$connection->usable);
    $connection //= $self->connect;
    $self->{connection} = $options{close} ? undef : $connection;
    return $connection->request($method, $target, %options);
}

# (target, content, headers)
sub get    { return shift->_short('GET',    @_) }
sub head   { return shift->_short('HEAD',   @_) }
sub delete { return shift->_short('DELETE', @_) }
sub put    { return shift->_short('PUT',    @_) }
sub post   { return shift->_short('POST',   @_) }

sub _short {
    my ($self, $method, $target, $content, $headers) = @_;
    return $self->request($method, $target,
        content => $content, headers => $headers // {});
}

# The decoded content of a reply, undef if it is not JSON.
sub json {
    my ($self, $reply) = @_;
    my $content = ref $reply ? $reply->{content} : $reply;
    return scalar eval { JSON::PP->new->utf8->allow_nonref->decode($content) };
}

# /metrics: 'name{labels}' => value.
sub metrics {
    my ($self) = @_;
    my $reply = $self->get('/metrics');
    my %metrics;
    for (split /\n/, $reply->{content}) {
        $metrics{$1} = $2 if /^([a-z_:][^\s{]*(?:\{.*\})?) (\S+)$/i;
    }
    return \%metrics;
}

# The sum of a metric over the labels that match.
sub metric {
    my ($self, $name, $labels, $metrics) = @_;
    $metrics //= $self->metrics;
    my ($sum, $found) = (0, 0);
    for my $key (keys %$metrics) {
        my ($its_name, $its_labels) = $key =~ /^([^{]+)(?:\{(.*)\})?$/ or next;
        next if $its_name ne $name;
        next if defined $labels && ($its_labels // '') !~ $labels;
        $sum += $metrics->{$key};
        $found = 1;
    }
    return $found ? $sum : undef;
}

# Resident bytes of the daemon.
sub rss {
    my ($self) = @_;
    return _slurp("/proc/$self->{pid}/status") =~ /^VmRSS:\s+(\d+) kB/m ? $1 * 1024 : undef;
}

# The most that it ever had.
sub most_rss {
    my ($self) = @_;
    return _slurp("/proc/$self->{pid}/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 * 1024 : undef;
}

# Descriptors that the daemon holds.
sub descriptors {
    my ($self) = @_;
    opendir my $folder, "/proc/$self->{pid}/fd" or return;
    return scalar grep { !/^\./ } readdir $folder;
}

# One test: reply is a problem of this status and code, complete and
# consistent. code undef: any.
sub is_problem {
    my ($reply, $status, $code, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @wrong;
    my $is = sub {
        my ($what, $got, $expected) = @_;
        my $same = ref $expected ? ($got // '') =~ $expected : ($got // '') eq $expected;
        push @wrong, "$what: " . ($got // 'undef') . ", expected $expected" if !$same;
    };
    my $headers = $reply->{headers};
    $is->('status', $reply->{status}, $status);
    $is->('Content-Type', $headers->{'content-type'}, 'application/problem+json');
    my $problem = eval { JSON::PP->new->utf8->decode($reply->{content}) };
    push @wrong, 'not JSON' if ref $problem ne 'HASH';
    $problem = {} if ref $problem ne 'HASH';
    $is->('status in it', $problem->{status}, $status);
    $is->('code', $problem->{code}, $code) if defined $code;
    $is->('type', $problem->{type}, qr/^urn:[a-z0-9][a-z0-9-]+:\S+$/);
    $is->('title', $problem->{title}, qr/^\S/);
    $is->('detail', $problem->{detail}, qr/^\S/);
    $is->('request_id', $problem->{request_id}, qr/^[A-Za-z0-9._-]{1,64}$/);
    $is->('X-Request-Id', $headers->{'x-request-id'}, $problem->{request_id} // 'one');
    ok(!@wrong, $name // "$status $code")
        or diag join "\n", @wrong, $reply->{head} // '', $reply->{content};
    return $problem;
}

# Percent-encodes all but the unreserved characters.
sub encode {
    my ($bytes) = @_;
    $bytes =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
    return $bytes;
}

# ---- the process -----------------------------------------------------------

sub alive {
    my ($self) = @_;
    return 0 if defined $self->{status};
    return !defined $self->wait_exit(0);
}

sub signal {
    my ($self, $name) = @_;
    return kill $name => $self->{pid};
}

# The exit status, -N for a death by signal N, undef if it runs on.
sub wait_exit {
    my ($self, $seconds) = @_;
    return $self->{status} if defined $self->{status};
    $self->{status} = _reap($self->{pid}, $seconds);
    if (defined $self->{status}) {
        delete $running{ $self->{pid} };
        _check_sanitizers($self->log);
    }
    return $self->{status};
}

# TERM, and the exit status; KILL when it does not listen.
sub stop {
    my ($self) = @_;
    return $self->{status} if defined $self->{status};
    $self->{connection} = undef;
    $self->signal('TERM');
    my $status = $self->wait_exit(15 * slowness());
    return $status if defined $status;
    diag 'the daemon ignores TERM';
    return $self->kill9;
}

sub kill9 {
    my ($self) = @_;
    return $self->{status} if defined $self->{status};
    $self->{connection} = undef;
    $self->signal('KILL');
    return $self->wait_exit(15 * slowness());
}

# Stops it if it runs, and starts it again with the same options, with those
# given here over them. Port 0 means a new port.
sub restart {
    my ($self, %options) = @_;
    my $status = $self->stop;
    $self->{options} = { %{ $self->{options} }, %options };
    $self->_launch;
    return $status;
}

sub _reap {
    my ($pid, $seconds) = @_;
    my $end = time + $seconds;
    while (1) {
        my $got = waitpid $pid, WNOHANG;
        return $? & 127 ? -($? & 127) : $? >> 8 if $got == $pid;
        return -1 if $got < 0;
        return if time >= $end;
        sleep 0.01;
    }
}

my $sanitizer = qr/ERROR: (?:Address|Leak)Sanitizer|runtime error: |WARNING: ThreadSanitizer/;
my $assertion = qr/Assertion `.*' failed/;

sub _check_sanitizers {
    my ($text) = @_;
    return if $text !~ $sanitizer && $text !~ $assertion;
    fail 'the daemon has no complaint of a sanitizer or an assertion';
    diag $text;
}

sub _slurp {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return <$in> // '';
}

sub _send_all {
    my ($socket, $bytes) = @_;
    my $sent = 0;
    while ($sent < length $bytes) {
        my $n = syswrite $socket, $bytes, length($bytes) - $sent, $sent;
        return 0 if !defined $n;
        $sent += $n;
    }
    return 1;
}

# One still alive when its test ends is stopped like any other, so that leaks
# show; the test's own status is kept.
END {
    if ($$ == $owner) {
        my $status = $?;
        local $@;
        alarm 0;
        $_->stop for values %running;
        $? = $status;
    }
}

package Jackdaw::Connection;

use strict;
use warnings;

use IO::Select;
use Time::HiRes qw(time);

# address => one of the daemon's others.
sub new {
    my ($class, $server, %options) = @_;
    my $socket = $server->raw_connect($options{address});
    return bless {
        socket => $socket,
        buffer => '',
        owner  => $$,
        error  => $socket ? undef : "connect: $!",
    }, $class;
}

sub socket { return $_[0]{socket} }

# Another request may be sent. One that reads as ended or has unasked bytes
# may not.
sub usable {
    my ($self) = @_;
    return 0 if $self->{error} || length $self->{buffer};
    return !IO::Select->new($self->{socket})->can_read(0);
}

sub request {
    my ($self, $method, $target, %options) = @_;
    $self->send_request($method, $target, %options);
    my $reply = $self->read_reply($method, timeout => $options{timeout});
    return $reply if !length $self->{buffer};
    $self->{error} = "bytes after the reply: $self->{buffer}";
    return _failed($self->{error});
}

sub _failed {
    my ($why) = @_;
    return {
        status => 599, success => '', reason => 'Internal Exception',
        headers => {}, content => $why,
    };
}

# Adds Host, and Content-Length with content, unless they are given.
sub send_request {
    my ($self, $method, $target, %options) = @_;
    my $headers = $options{headers} // [];
    my @headers = ref $headers eq 'HASH' ? %$headers : @$headers;
    my %given;
    my $text = "$method $target HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $given{ lc $name } = 1;
        $text .= "$name: $value\r\n";
    }
    my $content = $options{content};
    $content = '' if !defined $content && $method =~ /^(PUT|POST)$/;
    $text .= "Host: test\r\n" if !$given{host};
    $text .= "Connection: close\r\n" if $options{close} && !$given{connection};
    $text .= 'Content-Length: ' . length($content) . "\r\n"
        if defined $content && !$given{'content-length'} && !$given{'transfer-encoding'};
    return $self->send("$text\r\n" . ($content // ''));
}

sub send {
    my ($self, $bytes) = @_;
    return if $self->{error};
    Jackdaw::_send_all($self->{socket}, $bytes) or $self->{send_error} = "send: $!";
}

# The next reply; method tells whether it has a body.
sub read_reply {
    my ($self, $method, %options) = @_;
    local $self->{deadline} = time + ($options{timeout} // 30) * Jackdaw::slowness();
    my $reply = eval { $self->_read_reply($method) };
    if (!$reply) {
        ($self->{error} = $@) =~ s/\n\z// if !$self->{error};
        $self->{error} .= " ($self->{send_error})" if $self->{send_error};
        $reply = _failed($self->{error});
    }
    close $self->{socket} if $self->{error} && $self->{socket};
    return $reply;
}

sub _read_reply {
    my ($self, $method) = @_;
    die "$self->{error}\n" if $self->{error};
    my ($head, $reply);
    do {
        $head = $self->_take_until("\r\n\r\n");
        $reply = _parse_head($head);
        $reply->{continued} = 1 if $reply->{status} == 100;
        push @{ $self->{interim} }, $reply if $reply->{status} < 200;
    } while $reply->{status} < 200;

    my $headers = $reply->{headers};
    my ($length, $coding) = @$headers{qw(content-length transfer-encoding)};
    die "the header comes twice: $_\n" for grep { ref $headers->{$_} }
        qw(content-length transfer-encoding content-type etag date connection x-request-id);
    die "length and chunked together\n" if defined $length && defined $coding;
    $reply->{closes} = lc($headers->{connection} // '') eq 'close'
        || ($reply->{protocol} eq 'HTTP/1.0' && lc($headers->{connection} // '') ne 'keep-alive');

    $reply->{content} = '';
    if ($method eq 'HEAD' || $reply->{status} == 204 || $reply->{status} == 304) {
        # No body, whatever the length says.
    } elsif (defined $coding) {
        die "transfer coding $coding\n" if $coding ne 'chunked';
        $reply->{content} = $self->_take_chunks;
    } elsif (defined $length) {
        die "bad length $length\n" if $length !~ /^\d+$/;
        $reply->{content} = $self->_take($length);
    } else {
        die "a body without length on a kept connection\n" if !$reply->{closes};
        1 while $self->_fill(1);
        $reply->{content} = $self->{buffer};
        $self->{buffer} = '';
    }
    if ($reply->{closes}) {
        $self->_fill(1) and die "bytes after a reply that closes\n";
        $self->{error} = 'the daemon closed the connection';
        close $self->{socket};
    }
    return $reply;
}

sub _parse_head {
    my ($head) = @_;
    my ($line, @lines) = split /\r\n/, $head;
    my ($protocol, $status, $reason) = $line =~ m{^(HTTP/1\.[01]) (\d{3}) ?(.*)$}
        or die "status line: $line\n";
    my %headers;
    for (@lines) {
        my ($name, $value) = /^([!#\$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/
            or die "header line: $_\n";
        $name = lc $name;
        $headers{$name} = exists $headers{$name}
            ? [ ref $headers{$name} ? @{ $headers{$name} } : $headers{$name}, $value ]
            : $value;
    }
    return {
        protocol => $protocol, status => $status, reason => $reason,
        success => scalar($status =~ /^2/), headers => \%headers, head => $head,
    };
}

sub _take_chunks {
    my ($self) = @_;
    my $content = '';
    while (1) {
        my $line = $self->_take_until("\r\n");
        $line =~ /^([0-9A-Fa-f]+)(?:;.*)?\r\n$/ or die "chunk size: $line\n";
        my $size = hex $1;
        last if $size == 0;
        $content .= $self->_take($size);
        $self->_take(2) eq "\r\n" or die "no line end after a chunk\n";
    }
    1 while $self->_take_until("\r\n") ne "\r\n";
    return $content;
}

sub _take {
    my ($self, $size) = @_;
    while (length $self->{buffer} < $size) { $self->_fill }
    return substr $self->{buffer}, 0, $size, '';
}

sub _take_until {
    my ($self, $mark) = @_;
    my $at;
    $self->_fill while ($at = index $self->{buffer}, $mark) < 0;
    return substr $self->{buffer}, 0, $at + length $mark, '';
}

# More bytes into the buffer. At the end: false if that is allowed here.
sub _fill {
    my ($self, $may_end) = @_;
    my $left = $self->{deadline} - time;
    $left > 0 && IO::Select->new($self->{socket})->can_read($left)
        or die "no reply in time\n";
    my $n = sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
    return 1 if $n;
    return 0 if defined $n && $may_end;
    die defined $n ? "the daemon closed the connection\n" : "receive: $!\n";
}

1;
