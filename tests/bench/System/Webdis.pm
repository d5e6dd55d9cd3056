# SPDX-License-Identifier: MIT

# Webdis before Redis: Redis' commands as paths.
package System::Webdis;

use strict;
use warnings;
use parent 'System';

use Bench::Data;
use Bench::Process;
use JSON::PP;
use System::Redis;

sub name       { return 'webdis' }
sub title      { return 'Webdis + Redis' }
sub needs      { return (webdis => 'webdis', System::Redis::needs()) }
sub durability {
    my $durable = System::Redis::durability('durable');
    return { put => $durable, mixed => $durable, volatile_put => System::Redis::durability('volatile') };
}
sub settings   {
    return 'a Webdis with a thread for each processor and no log before each of two Redis, one with appendfsync '
        . 'always and one without persistence, over Unix sockets';
}

sub version {
    my ($self) = @_;
    my ($webdis) = $self->output_of('dpkg-query', '-W', '-f', '${Version}', 'webdis') =~ /^([\d.]+)/;
    return 'Webdis ' . ($webdis // '') . ', ' . System::Redis::version();
}

sub requests {
    my ($self) = @_;
    # The end of the name makes the reply the value as it is.
    my %get = (path => '/GET/{key}.txt', size => 100);
    my %put = (method => 'PUT', path => '/SET/{key}', body_size => 100);
    return {
        (map { $_ => \%get } qw(get get_rate)),
        put          => \%put,
        volatile_put => { %put, address => $self->{volatile_address} },
        mixed        => { kinds => [ { %get, weight => 95 }, { %put, weight => 5 } ] },
        value_64k    => { path => '/GET/64k.txt', size => 65536 },
        value_1m     => { path => '/GET/1m.txt',  size => 1048576 },
    };
}

sub start {
    my ($self, %options) = @_;
    my ($data, $sockets, $cores) = @options{qw(data sockets cores)};
    for my $kind (qw(durable volatile)) {
        my $redis = System::Redis::start($self, $kind, $data, $sockets);
        System::Redis::fill($redis, Bench::Data::pairs()) if $kind eq 'durable';
        my $port = Bench::Process::free_port();
        my $conf = $self->write_file("$data/webdis-$kind.json", JSON::PP->new->pretty->canonical->encode({
            redis_host => $redis->{socket}, redis_port => 0, http_host => '127.0.0.1', http_port => $port,
            threads => $cores, pool_size => 20, daemonize => JSON::PP::false, websockets => JSON::PP::false,
            database => 0, verbosity => 0, logfile => '/dev/null', http_max_request_size => 4 << 20,
        }));
        my $process = $self->run_process(log => "$data/webdis-$kind.log", command => [ 'webdis', $conf ]);
        $process->wait_port($port);
        $self->{$kind . '_address'} = "127.0.0.1:$port";
    }
    $self->{address} = $self->{durable_address};
    return;
}

1;
