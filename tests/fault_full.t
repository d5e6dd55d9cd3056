#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# A full store and a full disk: writes get 507, reads and deletes go on, and it
# heals by itself when there is room again.
use strict;
use warnings;

use File::Temp;
use Jackdaw;
use Test::More;

my $value = 'v' x 4000;
my %json  = ('Content-Type' => 'application/json');

# Writes new keys until one is refused: the keys that went in, and the refusal.
sub fill {
    my ($server, $prefix, $most) = @_;
    my @keys;
    while (@keys < $most) {
        my $key   = $prefix . @keys;
        my $reply = $server->put("/v1/kv/main/$key", $value);
        return (\@keys, $reply) if $reply->{status} != 201;
        push @keys, $key;
    }
    return (\@keys, { status => 'none', content => '', headers => {} });
}

sub missing {
    my ($server, @keys) = @_;
    return grep { $server->get("/v1/kv/main/$_")->{content} ne $value } @keys;
}

sub not_deleted {
    my ($server, @keys) = @_;
    return grep { $server->delete("/v1/kv/main/$_")->{status} != 204 } @keys;
}

# What it does while it is full. keys are in it.
sub serves_while_full {
    my ($server, $name, $refusal, @keys) = @_;
    Jackdaw::is_problem($refusal, 507, 'storage_full', "$name: a write is refused");
    is_deeply [ missing($server, @keys) ], [], "$name: all " . @keys . ' keys are read';
    my $batch = qq([{"put":"batch/1","value":"1"},{"put":"batch/2","value":"@{[ $value x 10 ]}"}]);
    Jackdaw::is_problem($server->post('/v1/kv/main/?op=batch', $batch, \%json),
        507, 'storage_full', "$name: so is a batch");
    is $server->get('/v1/kv/main/batch/1')->{status}, 404, "$name: and none of it is there";
    is $server->get("/$_")->{status}, 200, "$name: $_ is good, since it serves" for qw(livez readyz);
}

# Memory, where there is some: it is about room, not about syncs.
my $fast = File::Temp->newdir(-w '/dev/shm' ? (DIR => '/dev/shm') : ());
{
    my $server = Jackdaw->start(dir => "$fast/data", conf => 'store main { kind = durable max_size = "2M" }');
    for my $round (1 .. 3) {
        my $name = "store full, round $round";
        my ($keys, $refusal) = fill($server, "r$round-", 2000);
        cmp_ok @$keys, '>', 200, "$name: " . @$keys . ' keys fill it';
        serves_while_full($server, $name, $refusal, @$keys);
        is_deeply [ not_deleted($server, @$keys) ], [], "$name: deletes go on";
        is $server->put("/v1/kv/main/room-$round", $value)->{status}, 201,
            "$name: and it takes writes again";
    }
    is $server->stop, 0, 'store full: it ends in order';
}

# Lines of one group of an import, of which the first does not fit.
{
    my $conf = "store main { kind = durable max_size = \"1M\" }\nlimits { max_value = \"32K\" }";
    my $server = Jackdaw->start(dir => "$fast/import", conf => $conf);
    my $n = 0;
    for my $size (30_000, 4000, 1000) {
        1 while $n < 2000 && $server->put('/v1/kv/main/f' . $n++, 'v' x $size)->{status} == 201;
    }
    my $line = sub { return sprintf qq({"key":"%s","value":"%s"}\n), $_[0], 'v' x $_[1] };
    for my $behind ($line->('long', (32 << 10) + 1), "{\n", $line->('small', 1)) {
        my $reply = $server->put('/v1/kv/main/?op=import', $line->('first', 20_000) . $line->('second', 1) . $behind);
        my $name = 'import into a full store, behind it ' . substr $behind, 0, 12;
        my $problem = Jackdaw::is_problem($reply, 507, 'storage_full', $name);
        like $problem->{detail}, qr/^line 1: /, "$name: the first that did not fit is named";
        my ($told) = ($problem->{detail} // '') =~ /; records imported: (\d+)$/;
        my $in = grep { $server->get("/v1/kv/main/$_")->{status} == 200 } qw(first second long small);
        is $told, $in, "$name: as many are in as it says";
        $server->delete("/v1/kv/main/$_") for qw(second small);
    }
    is $server->stop, 0, 'a full store: it ends in order';
}

SKIP: {
    my $disk = File::Temp->newdir;
    skip 'mounting a small disk is not permitted', 1
        if $> != 0 || system("mount -t tmpfs -o size=24M,mode=700 none $disk 2>/dev/null") != 0;
    my $server = Jackdaw->start(dir => "$disk/data", conf => 'store main { kind = durable max_size = "1G" }');
    eval {
        my ($keys) = fill($server, 'early-', 500);
        is @$keys, 500, 'disk full: 500 keys are in before';
        for my $round (1 .. 2) {
            my $name = "disk full, round $round";
            open my $ballast, '>', "$disk/ballast" or die $!;
            1 while syswrite $ballast, 'b' x 65536;
            1 while syswrite $ballast, 'b' x 512;
            close $ballast;

            my ($late, $refusal) = fill($server, "late$round-", 6000);
            serves_while_full($server, $name, $refusal, @$keys, @$late);
            my @some = splice @$keys, 0, 100;
            is_deeply [ not_deleted($server, @some) ], [], "$name: deletes go on";
            is $server->get("/v1/kv/main/$some[0]")->{status}, 404, "$name: and delete";
            unlink "$disk/ballast";
            ok $server->wait_until(3, sub {
                $server->put("/v1/kv/main/healed-$round", $value)->{status} == 201;
            }), "$name: it heals when there is room";
        }
        is $server->restart, 0, 'disk full: it ends in order';
        is_deeply [ missing($server, @$keys) ], [], 'disk full: all is there after a restart';
        1;
    } or fail "disk full: $@";
    $server->stop;
    system "umount $disk";
}

done_testing;
