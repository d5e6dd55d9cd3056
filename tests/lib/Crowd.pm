# SPDX-License-Identifier: MIT

# Several client processes at once.
#
#   my $crowd = Crowd->start(8, sub { my ($index) = @_; ...; return {...} });
#   ...                          # meanwhile
#   my @results = $crowd->wait;  # what each returned, in order
#
# A client that dies fails the test with its message.
package Crowd;

use strict;
use warnings;

use POSIX ();
use Storable ();

sub start {
    my ($class, $count, $code) = @_;
    my @clients;
    for my $index (0 .. $count - 1) {
        pipe my $read, my $write or die "pipe: $!";
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            srand($$ ^ time);
            my $result = eval { [ $code->($index) ] } // "client $index: $@";
            Storable::store_fd(\$result, $write);
            close $write;
            # Not exit: what the test made is its own to take down.
            POSIX::_exit(0);
        }
        close $write;
        push @clients, { pid => $pid, pipe => $read };
    }
    return bless { clients => \@clients }, $class;
}

sub wait {
    my ($self) = @_;
    my @results;
    for my $client (@{ $self->{clients} }) {
        my $result = eval { ${ Storable::fd_retrieve($client->{pipe}) } };
        waitpid $client->{pid}, 0;
        die $result // 'a client ended without a result' if ref $result ne 'ARRAY';
        push @results, $result->[0];
    }
    return @results;
}

sub run { my ($class, @args) = @_; return $class->start(@args)->wait }

1;
