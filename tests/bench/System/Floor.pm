# SPDX-License-Identifier: MIT

# The floor: libmicrohttpd alone with a constant reply (floor.c). It does no
# work at all; what the others cost is told in multiples of it.
package System::Floor;

use strict;
use warnings;
use parent 'System';

use Jackdaw;

sub name     { return 'floor' }
sub title    { return 'bare libmicrohttpd' }
sub settings { return 'a thread with epoll for each processor, a reply made once' }

sub version {
    my ($self) = @_;
    return 'libmicrohttpd ' . ($self->output_of(qw(pkg-config --modversion libmicrohttpd)) =~ /([\d.]+)/ ? $1 : '');
}

my $constant = { path => '/', size => 100 };

sub requests {
    my ($self) = @_;
    return {
        (map { ("value_$_" => { path => "/$_", size => $_ }) } @{ $self->{values} // [] }),
        (map { $_ => $constant } qw(get row json get_rate)),
        value_64k => { path => '/65536',   size => 65536 },
        value_1m  => { path => '/1048576', size => 1048576 },
        idle      => { path => '/' },
    };
}

sub start {
    my ($self, %options) = @_;
    my $process = $self->run_process(command => [ Jackdaw::build() . '/tests/bench/floor' ],
        log => "$options{data}/log");
    $self->{address} = $process->wait_until(sub { $process->log_text =~ /address=(\S+)/ ? $1 : undef });
    return;
}

1;
