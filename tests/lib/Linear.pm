# SPDX-License-Identifier: MIT

# Decides whether what clients saw of one key is linearizable: whether each
# operation can have taken effect at one moment between its call and its
# return, so that all replies fit together.
#
# The search is Wing and Gong's with Lowe's memory of configurations ("Testing
# for linearizability", 2017): take an operation that was called before the
# first return among those not taken yet, apply it to the state, go on; where
# that is not possible, step back; never enter the same set of operations with
# the same state twice. Linearizability is local, so keys are judged one by one.
#
# An operation is a hash:
#   call, return    moments; return undef: the reply never came, so it may take
#                   effect at any later time, or never
#   kind            get, put, delete, incr, getdel
#   value           what put writes; by: what incr adds
#   if_match        an entity tag; if_absent => 1: If-None-Match: *
#   if_none_match   an entity tag, of a get
#   status, got, etag   of the reply
package Linear;

use strict;
use warnings;

# undef: linearizable. Otherwise a text for a person.
sub check {
    my (@ops) = @_;
    @ops = sort { $a->{call} <=> $b->{call} } @ops;

    # Calls and returns in order of time, as a doubly linked list of numbers;
    # 0 is the head, the last one the end.
    my @events = map { ([ $ops[$_]{call}, 0, $_ ],
                        defined $ops[$_]{return} ? [ $ops[$_]{return}, 1, $_ ] : ()) } 0 .. $#ops;
    @events = sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @events;
    my $end  = @events + 1;
    my @next = (1 .. $end, $end);
    my @prev = (0, 0 .. $end - 1);
    my (@return_at, @op_at, @is_call);
    for my $i (1 .. $end - 1) {
        my (undef, $is_return, $op) = @{ $events[ $i - 1 ] };
        $op_at[$i]   = $op;
        $is_call[$i] = !$is_return;
        $return_at[$op] = $i if $is_return;
    }

    my $left = grep { defined $_->{return} } @ops;
    my ($least, $stuck) = ($left, undef);
    my ($state, $done) = ('', '');
    my (@taken, %seen);
    my $at = $next[0];
    while ($left) {
        if ($at != $end && $is_call[$at]) {
            my $op  = $op_at[$at];
            my $new = _apply($state, $ops[$op]);
            if (defined $new) {
                my $set = $done;
                vec($set, $op, 1) = 1;
                if (!$seen{"$set $new"}++) {
                    push @taken, [ $at, $state, $done ];
                    ($state, $done) = ($new, $set);
                    for my $event ($at, $return_at[$op] // ()) {
                        $next[ $prev[$event] ] = $next[$event];
                        $prev[ $next[$event] ] = $prev[$event];
                    }
                    $left-- if defined $return_at[$op];
                    $at = $next[0];
                    next;
                }
            }
            $at = $next[$at];
            next;
        }
        # Nothing more can come before this return: step back.
        if ($at != $end && (!defined $stuck || $left < $least)) {
            ($least, $stuck) = ($left, [ $op_at[$at], $state ]);
        }
        my $last = pop @taken or return _explain(\@ops, $stuck);
        ($at, $state, $done) = @$last;
        my $op = $op_at[$at];
        for my $event ($return_at[$op] // (), $at) {
            $next[ $prev[$event] ] = $event;
            $prev[ $next[$event] ] = $event;
        }
        $left++ if defined $return_at[$op];
        $at = $next[$at];
    }
    return;
}

# The state after op, undef where its reply does not fit the state. A state is
# '' (no such key) or "tag value"; a tag that nobody has seen yet is '?', and
# the first reply that shows it fixes it.
sub _apply {
    my ($state, $op) = @_;
    my ($tag, $value) = $state eq '' ? () : split / /, $state, 2;
    my ($kind, $status) = @$op{qw(kind status)};

    return _apply_unknown($value, $op) if !defined $op->{return};
    if ($status == 412) {
        return $state if !defined $value && !$op->{if_absent};
        return if !defined $value;
        return if !_tag_fits($tag, $op->{etag});
        return if defined $op->{if_match} && $op->{if_match} eq $op->{etag};
        return "$op->{etag} $value";
    }
    if ($kind ne 'get' && $status < 300) {
        return if $op->{if_absent} && defined $value;
        return if defined $op->{if_match} && (!defined $value || $tag ne $op->{if_match});
    }
    if ($status == 404) {
        return defined $value ? undef : '';
    }
    if ($kind eq 'get') {
        return if !defined $value;
        return $tag eq $op->{if_none_match} ? $state : undef if $status == 304;
        return if $value ne $op->{got} || !_tag_fits($tag, $op->{etag});
        return if defined $op->{if_none_match} && $op->{if_none_match} eq $op->{etag};
        return "$op->{etag} $value";
    }
    if ($kind eq 'put') {
        return if $status != (defined $value ? 204 : 201);
        return "$op->{etag} $op->{value}";
    }
    if ($kind eq 'incr') {
        return if $op->{got} != ($value // 0) + $op->{by};
        return ($op->{etag} // '?') . " $op->{got}";
    }
    return if !defined $value;
    return if $kind eq 'getdel' && $op->{got} ne $value;
    return '';
}

# No reply came: op is one without conditions, and it takes effect here.
sub _apply_unknown {
    my ($value, $op) = @_;
    return "? $op->{value}" if $op->{kind} eq 'put';
    return '? ' . (($value // 0) + $op->{by}) if $op->{kind} eq 'incr';
    return '';
}

sub _tag_fits {
    my ($tag, $seen) = @_;
    return defined $seen && ($tag eq '?' || $tag eq $seen);
}

sub _explain {
    my ($ops, $stuck) = @_;
    my ($op, $state) = @$stuck;
    my $bad  = $ops->[$op];
    my @near = grep {
        $_->{call} < $bad->{return} && ($_->{return} // 9**99) > $bad->{call} - 0.002
    } @$ops;
    return join "\n", 'no order of these fits; the furthest search had the state "'
        . $state . '" and could not place the one marked *',
        map { ($_ == $bad ? '* ' : '  ') . _show($_) } @near;
}

sub _show {
    my ($op) = @_;
    return join ' ', map { "$_=" . ($op->{$_} // '-') } grep { exists $op->{$_} }
        qw(call return client kind value by if_match if_absent if_none_match status got etag);
}

1;
