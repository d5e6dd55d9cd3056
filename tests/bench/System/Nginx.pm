# SPDX-License-Identifier: MIT

# nginx before memcached: what its memcached module does, which is to read.
package System::Nginx;

use strict;
use warnings;
use parent 'System';

use Bench::Data;
use Bench::Process;
use IO::Socket::UNIX;

sub name     { return 'nginx' }
sub title    { return 'nginx + memcached' }
sub needs    { return (nginx => 'nginx-light', memcached => 'memcached') }
sub settings {
    return 'a worker for each processor, no access log, kept connections to memcached over a Unix socket; '
        . 'memcached with a thread for each processor';
}

sub version {
    my ($self) = @_;
    my ($nginx) = $self->output_of(Bench::Process::which('nginx'), '-v') =~ m{nginx/([\d.]+)};
    my ($memcached) = $self->output_of('memcached', '--version') =~ /([\d.]+)/;
    return 'nginx ' . ($nginx // '') . ', memcached ' . ($memcached // '');
}

sub requests {
    return {
        (map { $_ => { path => '/{key}', size => 100 } } qw(get get_rate)),
        value_64k => { path => '/64k', size => 65536 },
        value_1m  => { path => '/1m',  size => 1048576 },
        idle      => { path => '/00000001' },
    };
}

sub left_out {
    return { map { $_ => 'its memcached module only reads' } qw(put volatile_put mixed) };
}

sub start {
    my ($self, %options) = @_;
    my ($data, $sockets, $cores) = @options{qw(data sockets cores)};
    my $memcached = $self->run_process(log => "$data/memcached.log", command => [ 'memcached', '-u', 'nobody',
        '-s', "$sockets/memcached.sock", '-a', '0777', '-t', $cores, '-m', 512, '-I', '4m', '-c', 16000 ]);
    my $socket = $memcached->wait_socket("$sockets/memcached.sock");
    fill($socket);
    my $port = Bench::Process::free_port();
    my $conf = $self->write_file("$data/nginx.conf", <<"END");
user nobody nogroup;
worker_processes $cores;
worker_rlimit_nofile 16384;
daemon off;
pid $data/nginx.pid;
error_log $data/error.log;
events {
    worker_connections 16384;
    use epoll;
}
http {
    access_log off;
    default_type application/octet-stream;
    tcp_nodelay on;
    server_tokens off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path $data/body;
    proxy_temp_path $data/proxy;
    fastcgi_temp_path $data/fastcgi;
    uwsgi_temp_path $data/uwsgi;
    scgi_temp_path $data/scgi;
    upstream memcached {
        server unix:$sockets/memcached.sock;
        keepalive 256;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:$port backlog=4096;
        set \$memcached_key \$uri;
        location / {
            memcached_pass memcached;
        }
        # A larger buffer costs small values time.
        location = /64k {
            memcached_pass memcached;
            memcached_buffer_size 64k;
        }
        location = /1m {
            memcached_pass memcached;
            memcached_buffer_size 256k;
        }
    }
}
END
    my $nginx = $self->run_process(log => "$data/nginx.log",
        command => [ Bench::Process::which('nginx'), '-p', $data, '-c', $conf, '-e', "$data/error.log" ]);
    $nginx->wait_port($port);
    $self->{address} = "127.0.0.1:$port";
    return;
}

sub fill {
    my ($socket) = @_;
    my $pairs = Bench::Data::pairs();
    while (my ($key, $value) = $pairs->()) {
        printf $socket "set /%s 0 0 %d noreply\r\n%s\r\n", $key, length $value, $value;
    }
    print $socket "version\r\n";
    $socket->flush;
    my $answer = <$socket> // '';
    die "memcached: $answer" if $answer !~ /^VERSION/;
    return;
}

1;
