# SPDX-License-Identifier: MIT

# A program on a pseudo-terminal, and a user who types and reads.
#
#   my $terminal = Terminal->start([$program, @arguments], { columns => 60 });
#   $terminal->wait_for(qr/main> $/) or ...;
#   $terminal->type("SELECT 1;\r");
#   is $terminal->wait_exit(5), 0;
#
# Options: env (undef takes a variable away), columns, stdout (a file instead
# of the terminal).
package Terminal;

use strict;
use warnings;

use IO::Select;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

# From asm-generic/ioctls.h, where Linux has them on the machines that we
# build for.
use constant { TIOCSCTTY => 0x540E, TIOCSWINSZ => 0x5414, TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430 };

sub start {
    my ($class, $command, $options) = @_;
    $options //= {};
    open my $master, '+<', '/dev/ptmx' or die "/dev/ptmx: $!";
    my ($unlock, $number) = (pack('i', 0), pack('I', 0));
    ioctl $master, TIOCSPTLCK, $unlock or die "unlock: $!";
    ioctl $master, TIOCGPTN, $number or die "number: $!";
    my $size = pack 'SSSS', 24, $options->{columns} // 80, 0, 0;
    ioctl $master, TIOCSWINSZ, $size or die "size: $!";
    my $slave = '/dev/pts/' . unpack 'I', $number;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $SIG{INT} = $SIG{QUIT} = $SIG{TERM} = $SIG{PIPE} = 'DEFAULT';
        POSIX::setsid();
        open STDIN, '+<', $slave or POSIX::_exit(126);
        my $none = 0;
        ioctl STDIN, TIOCSCTTY, $none;
        open STDERR, '>&', \*STDIN or POSIX::_exit(126);
        if (defined $options->{stdout}) {
            open STDOUT, '>', $options->{stdout} or POSIX::_exit(126);
        } else {
            open STDOUT, '>&', \*STDIN or POSIX::_exit(126);
        }
        close $master;
        $ENV{TERM} = 'xterm';
        my $env = $options->{env} // {};
        for (keys %$env) {
            if (defined $env->{$_}) { $ENV{$_} = $env->{$_} } else { delete $ENV{$_} }
        }
        exec { $command->[0] } @$command or POSIX::_exit(127);
    }
    return bless { master => $master, pid => $pid, text => '' }, $class;
}

sub pid { return $_[0]{pid} }

# All that was shown so far, escape sequences included.
sub text { return $_[0]{text} }

sub type {
    my ($self, $bytes) = @_;
    # What was shown before is no answer to this.
    $self->{mark} = length $self->{text};
    syswrite $self->{master}, $bytes;
    return;
}

# What was shown since the last type(), without escape sequences; line ends are
# \n alone.
sub answer {
    my ($self) = @_;
    my $text = substr $self->{text}, $self->{mark} // 0;
    $text =~ s/\e\[[0-9;?]*[A-Za-z]//g;
    $text =~ s/\r+\n/\n/g;
    return $text;
}

# True once the answer matches.
sub wait_for {
    my ($self, $pattern, $seconds) = @_;
    my $end = time + ($seconds // 5);
    my $select = IO::Select->new($self->{master});
    until ($self->answer =~ $pattern) {
        my $left = $end - time;
        return 0 if $left <= 0;
        next if !$select->can_read($left);
        # An error: nobody has the other side open any more.
        sysread $self->{master}, $self->{text}, 65536, length $self->{text} or return $self->answer =~ $pattern;
    }
    return 1;
}

# The exit status, or -signal; undef: it runs on.
sub wait_exit {
    my ($self, $seconds) = @_;
    my $end = time + $seconds;
    my $select = IO::Select->new($self->{master});
    while (1) {
        if ($select->can_read(0.02)) {
            sysread $self->{master}, $self->{text}, 65536, length $self->{text} or sleep 0.01;
        }
        if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
            $self->{pid} = undef;
            return $? & 127 ? -($? & 127) : $? >> 8;
        }
        return if time >= $end;
    }
}

sub DESTROY {
    my ($self) = @_;
    return if !$self->{pid};
    local $?;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
