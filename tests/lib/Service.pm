# SPDX-License-Identifier: MIT

# Services for tests: their folders, and a daemon that serves them.
#
#   my $server = Service::start(shop => { 'a.sql' => '...', ... }, ...);
#   Service::write($server, shop => {...});   # then HUP, see Service::reload
#   my $reply = Service::admin($server, GET => '/v1/admin/services');
#   my $reply = Service::deploy($server, shop => {...});
package Service;

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use File::Temp;
use Jackdaw;
use JSON::PP;
use Test::More;

# Options in a hash as the last argument: conf (appended), and those of
# Jackdaw->start.
sub start {
    my (@services) = @_;
    my $options = @services % 2 ? pop @services : {};
    my $folder = File::Temp->newdir('services-XXXXXX', TMPDIR => 1);
    my $conf = delete $options->{conf} // '';
    while (my ($name, $files) = splice @services, 0, 2) {
        folder("$folder/$name", $files);
    }
    my $server = Jackdaw->start(%$options,
        conf => qq(service_dir = "$folder"\n$conf));
    $server->{services} = $folder;
    return $server;
}

sub folder {
    my ($dir, $files) = @_;
    remove_tree($dir);
    make_path("$dir/migrations");
    for my $path (keys %$files) {
        open my $out, '>', "$dir/$path" or die "$dir/$path: $!";
        print $out $files->{$path} or die $!;
        close $out or die $!;
    }
    rmdir "$dir/migrations";
    return $dir;
}

# Until a statement of it runs.
sub wait_running {
    my ($server, $name) = @_;
    return $server->wait_until(10, sub { $server->metric('jackdaw_service_statements', qr/"$name"/) });
}

sub admin_address { return 'unix:' . $_[0]->dir . '/admin.sock' }

# On the admin socket; a hash or list as content is sent as JSON.
sub admin {
    my ($server, $method, $target, $content) = @_;
    my $connection = Jackdaw::Connection->new($server, address => admin_address($server));
    $content = JSON::PP->new->utf8->encode($content) if ref $content;
    return $connection->request($method, $target,
        (defined $content ? (content => $content,
            headers => { 'Content-Type' => 'application/json' }) : ()),
        timeout => 30);
}

sub deploy {
    my ($server, $name, $files) = @_;
    return admin($server, PUT => "/v1/admin/services/$name", { files => $files });
}

# A POST of JSON.
sub post {
    my ($server, $target, $value, $method) = @_;
    return $server->request($method // 'POST', $target,
        content => JSON::PP->new->utf8->canonical->allow_nonref->encode($value),
        headers => { 'Content-Type' => 'application/json' });
}

# SQL as an administrator: the decoded reply, or dies.
sub sql {
    my ($server, $database, $sql, @params) = @_;
    my $reply = post($server, "/v1/sql/$database", { sql => $sql, params => \@params });
    die "$sql: $reply->{status} $reply->{content}" if $reply->{status} != 200;
    return $server->json($reply);
}

1;
