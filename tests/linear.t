#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# The judge is judged first: tests/lib/Linear.pm accepts what is linearizable
# and refuses what is not.
use strict;
use warnings;

use Linear;
use Test::More;

sub put {
    my ($call, $return, $value, %more) = @_;
    return { kind => 'put', call => $call, return => $return, value => $value,
             status => 204, etag => "t$value", %more };
}

sub get {
    my ($call, $return, $value, %more) = @_;
    return { kind => 'get', call => $call, return => $return, status => 200,
             got => $value, etag => "t$value", %more };
}

sub missing { my ($call, $return, $kind) = @_;
    return { kind => $kind // 'get', call => $call, return => $return, status => 404 } }

sub removed { my ($call, $return) = @_;
    return { kind => 'delete', call => $call, return => $return, status => 204 } }

sub incr { my ($call, $return, $got) = @_;
    return { kind => 'incr', call => $call, return => $return, by => 1, status => 200,
             got => $got, etag => "t$got" } }

sub good { my ($name, @ops) = @_; is Linear::check(@ops), undef, "accepted: $name" }
sub bad  { my ($name, @ops) = @_; ok defined Linear::check(@ops), "refused: $name" }

my @first = put(0, 1, 'a', status => 201);

good 'nothing';
good 'one after the other', @first, get(2, 3, 'a'), put(4, 5, 'b'), get(6, 7, 'b'),
    removed(8, 9), missing(10, 11), missing(12, 13, 'delete');
good 'a read beside a write sees the old value', @first, put(2, 5, 'b'), get(3, 4, 'a');
good 'a read beside a write sees the new value', @first, put(2, 5, 'b'), get(3, 4, 'b');
good 'two writes side by side, in either order',
    @first, put(2, 5, 'b'), put(2, 5, 'c'), get(6, 7, 'b');
good 'readers beside a write, each before its own end',
    @first, put(2, 9, 'b'), get(3, 4, 'a'), get(5, 6, 'b'), get(7, 8, 'b');

bad 'a read of a value that nobody wrote', @first, get(2, 3, 'z');
bad 'a stale read', @first, put(2, 3, 'b'), get(4, 5, 'a');
bad 'a read that goes back', @first, put(2, 9, 'b'), get(3, 4, 'b'), get(5, 6, 'a');
bad 'a read before the write was called', @first, get(2, 3, 'b'), put(4, 5, 'b');
bad 'a lost write', @first, put(2, 3, 'b'), put(4, 5, 'c'), get(6, 7, 'b');
bad 'a key that comes back after its delete', @first, removed(2, 3), get(4, 5, 'a');
bad 'a delete that did nothing', @first, removed(2, 3), removed(4, 5);
bad 'a write that says created twice', @first, put(2, 3, 'b', status => 201);
bad 'the value of one write under the tag of another',
    @first, put(2, 3, 'b'), get(4, 5, 'b', etag => 'ta');
bad 'another value under the same tag',
    @first, put(2, 3, 'b'), get(4, 5, 'c', etag => 'tb');
bad 'two readers that disagree about the order of two writes',
    @first, put(2, 20, 'b'), put(2, 20, 'c'),
    get(3, 4, 'b'), get(5, 6, 'c'), get(7, 8, 'b');

good 'increments', incr(0, 1, 1), incr(2, 9, 3), incr(3, 8, 2), get(10, 11, 3);
bad 'a lost update', incr(0, 1, 1), incr(2, 5, 2), incr(2, 5, 2);
bad 'an increment that counts twice', incr(0, 1, 1), incr(2, 3, 3);

good 'one of two CAS wins', @first, put(2, 5, 'b', if_match => 'ta'),
    put(2, 5, 'c', if_match => 'ta', status => 412, etag => 'tb');
bad 'both of two CAS win', @first, put(2, 5, 'b', if_match => 'ta'),
    put(2, 5, 'c', if_match => 'ta');
bad 'a CAS that fails against the tag it named', @first,
    put(2, 3, 'b', if_match => 'ta', status => 412, etag => 'ta');
bad 'a CAS that fails with an old tag', @first, put(2, 3, 'b'),
    put(4, 5, 'c', if_match => 'tz', status => 412, etag => 'ta');
good 'create only where absent', put(0, 5, 'a', status => 201, if_absent => 1),
    put(0, 5, 'b', if_absent => 1, status => 412, etag => 'ta');
bad 'two that create the same key', put(0, 5, 'a', status => 201, if_absent => 1),
    put(0, 5, 'b', status => 201, if_absent => 1);
bad 'a create refused where nothing is',
    put(0, 5, 'b', if_absent => 1, status => 412, etag => 'ta');
good 'not modified', @first, get(2, 3, 'a', if_none_match => 'ta', status => 304);
bad 'not modified, but it was', @first, put(2, 3, 'b'),
    get(4, 5, 'a', if_none_match => 'ta', status => 304);
bad 'the same again to one who has it', @first, get(2, 3, 'a', if_none_match => 'ta');
good 'take and delete', @first,
    { kind => 'getdel', call => 2, return => 3, status => 200, got => 'a' }, missing(4, 5);
bad 'taken twice', @first,
    map { { kind => 'getdel', call => 2, return => 3, status => 200, got => 'a' } } 1 .. 2;

my $lost = put(2, undef, 'b');
good 'a write without a reply that never happens', @first, $lost, get(4, 5, 'a'), get(6, 7, 'a');
good 'a write without a reply that happens late', @first, $lost, get(4, 5, 'a'), get(6, 7, 'b');
bad 'a write without a reply that happens and goes away',
    @first, $lost, get(4, 5, 'b'), get(6, 7, 'a');
bad 'a write without a reply before its call', @first, get(0.5, 1.5, 'b'), $lost;
bad 'one tag, then another, of the same write',
    @first, $lost, get(4, 5, 'b', etag => 't1'), get(6, 7, 'b', etag => 't2');

# Histories of a true register that clients use at random, and of one whose
# readers sometimes see what was there a while ago.
sub history {
    my ($count, $stale) = @_;
    my (@free, @plan, @ops);
    for my $client (0 .. 7) {
        my $now = rand;
        for (1 .. $count / 8) {
            my $call   = $now + rand;
            my $effect = $call + rand 3;
            $now = $effect + rand 3;
            push @plan, { call => $call, at => $effect, return => $now, client => $client };
        }
    }
    my ($value, $number, @old) = (undef, 0);
    for my $op (sort { $a->{at} <=> $b->{at} } @plan) {
        my %common = map { $_ => $op->{$_} } qw(call return client);
        $common{return} = undef if $stale < 0 && rand() < 0.01;
        if (rand() < 0.6) {
            my $seen = $stale > 0 && @old && rand() < $stale ? $old[ rand @old ] : $value;
            next if !defined $common{return};
            push @ops, { %{ defined $seen ? get(0, 0, $seen) : missing(0, 0) }, %common };
            next;
        }
        push @ops, { %{ put(0, 0, ++$number) }, %common, status => defined $value ? 204 : 201 };
        next if !defined $common{return} && rand() < 0.5;    # and it never happens
        push @old, $value if defined $value;
        $value = $number;
    }
    return @ops;
}

srand($ENV{SEED} // 1);
my ($wrong, $missed, $unsure) = (0, 0, 0);
for (1 .. 50) {
    $wrong++  if defined Linear::check(history(200, 0));
    $missed++ if !defined Linear::check(history(200, 0.2));
    $unsure++ if defined Linear::check(history(200, -1));
}
is $wrong,  0, 'fifty true histories are accepted';
is $unsure, 0, 'and fifty with replies that never came';
is $missed, 0, 'fifty with stale reads are refused';

done_testing;
