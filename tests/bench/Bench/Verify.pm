# SPDX-License-Identifier: MIT

# Whether the replies of the TechEmpower kinds are what their rules ask for:
# shapes, counts, types, escaping; updates are read back. What is measured
# afterwards has to be the work and not a short cut.
package Bench::Verify;

use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP;

my $json = JSON::PP->new->utf8->allow_nonref;

# The checks that failed, as text; and how many there were.
sub techempower {
    my ($system) = @_;
    my $self = bless { http => HTTP::Tiny->new(keep_alive => 1), wrong => [], checks => 0 };
    my $requests = $system->requests;
    $self->{base} = 'http://' . $system->address;
    (my $prefix = $requests->{json}{path}) =~ s{/json$}{};
    $self->_json("$prefix/json");
    $self->_row("$prefix/db");
    $self->_rows('GET', "$prefix/rows");
    $self->_updates("$prefix/updates", "$prefix/world/", $system->can('uncached') ? '/uncached' : '');
    $self->_fortunes("$prefix/fortunes");
    $self->_cached("$prefix/cached");
    return ($self->{checks}, @{ $self->{wrong} });
}

sub _check {
    my ($self, $ok, $what) = @_;
    $self->{checks}++;
    push @{ $self->{wrong} }, $what if !$ok;
    return $ok;
}

sub _ask {
    my ($self, $method, $path, $type) = @_;
    my $reply = $self->{http}->request($method, $self->{base} . $path);
    $self->_check($reply->{status} == 200, "$path: $reply->{status} $reply->{content}");
    $self->_check(($reply->{headers}{'content-type'} // '') =~ $type, "$path: Content-Type");
    $self->_check($reply->{headers}{date}, "$path: no Date");
    $self->_check($reply->{headers}{'content-length'} // $reply->{headers}{'transfer-encoding'}, "$path: no length");
    return $reply->{content};
}

sub _ask_json {
    my ($self, $method, $path) = @_;
    my $content = $self->_ask($method, $path, qr{^application/json});
    return eval { $json->decode($content) };
}

sub _json {
    my ($self, $path) = @_;
    my $value = $self->_ask_json(GET => $path);
    $self->_check(ref $value eq 'HASH' && keys %$value == 1 && ($value->{message} // '') eq 'Hello, World!', $path);
    return;
}

# A number of JSON, not a string.
sub _is_number {
    my ($value) = @_;
    return defined $value && $json->encode($value) =~ /^\d+$/ && $value >= 1 && $value <= 10_000;
}

sub _is_world {
    my ($row) = @_;
    return ref $row eq 'HASH' && keys %$row == 2 && _is_number($row->{id}) && _is_number($row->{randomNumber});
}

sub _row {
    my ($self, $path) = @_;
    my %ids;
    for (1 .. 20) {
        my $row = $self->_ask_json(GET => $path);
        $self->_check(_is_world($row), "$path: a row") or return;
        $ids{ $row->{id} } = 1;
    }
    $self->_check(keys %ids > 10, "$path: random rows");
    return;
}

# A count that is no number is 1; it is 1 to 500.
my %counts = (foo => 1, 0 => 1, 1 => 1, 20 => 20, 500 => 500, 501 => 500);

sub _rows {
    my ($self, $method, $path) = @_;
    for my $count (sort keys %counts) {
        my $rows = $self->_ask_json($method, "$path/$count");
        $self->_check(ref $rows eq 'ARRAY' && @$rows == $counts{$count}, "$path/$count: how many") or next;
        $self->_check(!(grep { !_is_world($_) } @$rows), "$path/$count: rows");
    }
    return;
}

sub _updates {
    my ($self, $path, $row, $end) = @_;
    $self->_rows(POST => $path);
    my $changed = $self->_ask_json(POST => "$path/20");
    $changed = [] if ref $changed ne 'ARRAY';
    my %ids = map { $_->{id} => 1 } @$changed;
    $self->_check(keys %ids == 20, "$path: distinct rows");
    for my $world (@$changed) {
        my $now = $self->_ask_json(GET => "$row$world->{id}$end") // {};
        $self->_check(($now->{randomNumber} // 0) == $world->{randomNumber}, "$path: row $world->{id} is in the database");
    }
    return;
}

sub _fortunes {
    my ($self, $path) = @_;
    my $page = $self->_ask(GET => $path, qr{^text/html; ?charset=utf-8}i);
    $self->_check($page =~ m{^<!DOCTYPE html><html><head><title>Fortunes</title></head><body><table>
        <tr><th>id</th><th>message</th></tr>(?:<tr><td>\d+</td><td>[^<]*</td></tr>)+</table></body></html>$}x,
        "$path: the page");
    my @messages = $page =~ m{<td>([^<]*)</td></tr>}g;
    $self->_check(@messages == 13, "$path: how many");
    $self->_check((grep { $_ eq 'Additional fortune added at request time.' } @messages) == 1, "$path: one more");
    $self->_check($page =~ /&lt;script&gt;alert\((?:&quot;|&#34;)/, "$path: escaped");
    $self->_check($page =~ /\xe3\x83\x87\xe3\x83\xbc\xe3\x82\xbf/, "$path: UTF-8");
    my %escaped = ('&amp;' => '&', '&lt;' => '<', '&gt;' => '>', '&quot;' => '"', '&#39;' => "'");
    s/(&[a-z#0-9]+;)/$escaped{$1} \/\/ $1/ge for @messages;
    $self->_check("@messages" eq join(' ', sort @messages), "$path: sorted");
    return;
}

sub _cached {
    my ($self, $path) = @_;
    for my $count (1, 20, 500) {
        my $rows = $self->_ask_json(GET => "$path/$count?from=100");
        $self->_check(ref $rows eq 'ARRAY' && @$rows == $count, "$path/$count: how many") or next;
        $self->_check(!(grep { !_is_world($_) } @$rows), "$path/$count: rows");
        $self->_check($rows->[0]{id} == 100, "$path/$count: those that were asked for");
    }
    return;
}

1;
