#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# A volatile store of a few megabytes under a flood of new keys: it stays
# within its bound, refuses nothing, keeps what is read often, and is good
# after kill -9. EVICT_REQUESTS says how large the flood is.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep);

my $max   = 4 << 20;
my $hot   = 50;
my $flood = $ENV{EVICT_REQUESTS} // { asan => 30_000, tsan => 15_000 }->{ Jackdaw::mode() } // 60_000;
my $load  = Jackdaw::build() . '/tests/load/load';

# A stalled disk is not what this is about: nobody is refused for its queue.
my @patient = ('--set', 'limits.queue_age=1m');
my $server  = Jackdaw->start(args => \@patient,
    conf => "store cache { kind = volatile max_size = \"$max\" }");

sub value { my ($key) = @_; return "$key " x 20 }

# Bytes that the store takes on disk.
sub disk_use {
    my ($size) = `du -sk @{[ $server->dir ]}` =~ /^(\d+)/;
    return $size * 1024;
}

sub hot_left {
    return scalar grep {
        $server->get("/v1/kv/cache/hot-$_")->{content} eq value("hot-$_")
    } 1 .. $hot;
}

is $server->put("/v1/kv/cache/hot-$_", value("hot-$_"))->{status}, 201, "hot key $_" for 1 .. $hot;

# Reads the hot keys while the flood lasts.
my $flooding = $server->tmp . '/flooding';
open my $mark, '>', $flooding or die $!;
my $readers = Crowd->start(1, sub {
    my ($rounds, %lost) = (0);
    while (-e $flooding) {
        for (1 .. $hot) {
            my $reply = $server->get("/v1/kv/cache/hot-$_");
            $lost{$_}++ if $reply->{content} ne value("hot-$_");
        }
        $rounds++;
        sleep 0.01;
    }
    return { rounds => $rounds, lost => scalar keys %lost };
});
my ($status, $out, $err) = Jackdaw->run($load, '-c', 32, '-n', $flood, '-k', $flood, '-q',
    '-m', 'PUT', '-b', 200, '-e', '201', $server->address, '/v1/kv/cache/flood-',
    { timeout => 60 });
unlink $flooding;
my ($read) = $readers->wait;
is $status, 0, 'the store refuses nothing' or diag $out, $err;
diag $out;

cmp_ok $read->{rounds}, '>', 5, "hot keys were read $read->{rounds} times meanwhile";
cmp_ok $read->{lost}, '<=', $hot / 25, 'and stayed' or diag "lost $read->{lost} of $hot";
cmp_ok hot_left(), '>=', $hot - $hot / 25, 'they are there afterwards';
cmp_ok $server->metric('jackdaw_store_evicted_total', qr/cache/), '>', $flood / 4,
    'others were evicted';
my $live = $server->metric('jackdaw_store_live_bytes', qr/cache/);
cmp_ok $live, '<=', $max, 'within the bound';
cmp_ok $live, '>', $max / 2, 'and the room is used';
# Pages hold less than they could, and the file grows ahead by steps.
cmp_ok disk_use(), '<', 3 * $max + (16 << 20), 'on disk, too';
my $entries = $server->metric('jackdaw_store_entries', qr/cache/);

$server->kill9;
$server->restart;
cmp_ok hot_left(), '>=', $hot - $hot / 25, 'after kill -9 the hot keys are there';
cmp_ok $server->metric('jackdaw_store_entries', qr/cache/), '>', $entries * 0.9,
    'and nearly all of the others';
my $export = $server->get('/v1/kv/cache/?op=export')->{content};
my @bad = grep { !$server->json($_) } split /\n/, $export;
ok !@bad && length $export, 'all of it can be read';
is $server->put('/v1/kv/cache/new', 'value')->{status}, 201, 'and written';
is $server->stop, 0, 'it ends in order';
done_testing;
