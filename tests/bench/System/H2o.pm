# SPDX-License-Identifier: MIT

# h2o, which serves a file of 100 bytes: what a fast server of files costs.
package System::H2o;

use strict;
use warnings;
use parent 'System';

use Bench::Data;
use Bench::Process;

sub name     { return 'h2o' }
sub title    { return 'h2o, a file' }
sub needs    { return (h2o => 'h2o') }
sub settings { return 'a thread for each processor, no log; one file of 100 bytes' }

sub version {
    my ($self) = @_;
    return 'h2o ' . ($self->output_of('h2o', '--version') =~ /version ([\d.]+)/ ? $1 : '');
}

sub requests {
    return {
        get      => { path => '/value', size => 100 },
        get_rate => { path => '/value', size => 100 },
        idle     => { path => '/value' },
    };
}

sub left_out { return { map { $_ => 'it serves files' } qw(put volatile_put mixed) } }

sub start {
    my ($self, %options) = @_;
    my ($data, $cores) = @options{qw(data cores)};
    my $port = Bench::Process::free_port();
    mkdir "$data/files" or die "$data/files: $!";
    $self->write_file("$data/files/value", $Bench::Data::value);
    my $conf = $self->write_file("$data/h2o.conf", <<"END");
listen:
  host: 127.0.0.1
  port: $port
num-threads: $cores
max-connections: 16384
http1-request-timeout: 3600
hosts:
  default:
    paths:
      /:
        file.dir: $data/files
END
    my $process = $self->run_process(log => "$data/log", command => [ 'h2o', '-m', 'worker', '-c', $conf ]);
    $process->wait_port($port);
    $self->{address} = "127.0.0.1:$port";
    return;
}

1;
