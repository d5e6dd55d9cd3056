# SPDX-License-Identifier: MIT

# Ordered scans with cursors.
use strict;
use warnings;
use Jackdaw;
use JSON::PP;
use MIME::Base64;
use Test::More;

my $server = Jackdaw->start;
my $base = '/v1/kv/main/';
*is_problem = \&Jackdaw::is_problem;

# Fills a store of its own kind: one prefix for each subtest.
sub put { $server->put($base . Jackdaw::encode($_[0]), $_[1] // 'v', $_[2]) }

# The bytes of a key or a value as it stands in an item.
sub bytes {
    my ($item, $name) = @_;
    return decode_base64($item->{$name}{base64}) if ref $item->{$name};
    return decode_base64($item->{base64}) if $name eq 'value' && exists $item->{base64};
    my $text = $item->{$name};
    utf8::encode($text) if defined $text;
    return $text;
}

sub scan {
    my ($query, $headers) = @_;
    my $reply = $server->get("$base?$query", undef, $headers);
    return ($server->json($reply), $reply);
}

sub keys_of { return map { bytes($_, 'key') } @{ $_[0]{items} } }

subtest 'order' => sub {
    my @keys = map { "order/$_" } '', "\x01", ' ', '0', '00', '1', '10', '2', 'A', 'a', 'a/', 'a/b',
        'a0', 'b', "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xa6", "\xfe", "\xff", "\xff\xff";
    put($_, "value of $_") for reverse @keys;
    put('order', 'before');
    put('order0', 'behind');
    my ($json, $reply) = scan('prefix=order/');
    is $reply->{status}, 200, 'a scan';
    is $reply->{headers}{'content-type'}, 'application/json', 'is JSON';
    is_deeply [keys_of($json)], [sort @keys], 'in the order of bytes';
    is $json->{next}, undef, 'without a next';
    ok exists $json->{next}, 'which is null';
    is $reply->{headers}{link}, undef, 'and no Link';
    ($json) = scan('prefix=order/&reverse=1');
    is_deeply [keys_of($json)], [reverse sort @keys], 'and backwards';
    my @base64 = grep { ref $_->{key} } @{ $json->{items} };
    is scalar @base64, 3, 'a key that is not UTF-8 is base64';
    my $expected = sub { [sort grep { $_[0]->($_) } @keys] };
    ($json) = scan('prefix=order/&start=order/2');
    is_deeply [keys_of($json)], $expected->(sub { $_[0] ge 'order/2' }), 'start is the first';
    ($json) = scan('prefix=order/&start=order/15');
    is_deeply [keys_of($json)], $expected->(sub { $_[0] ge 'order/15' }), 'start need not exist';
    ($json) = scan('prefix=order/&end=order/2');
    is_deeply [keys_of($json)], $expected->(sub { $_[0] lt 'order/2' }), 'end is not in it';
    ($json) = scan('start=order/1&end=order/a0');
    is_deeply [keys_of($json)],
        $expected->(sub { $_[0] ge 'order/1' && $_[0] lt 'order/a0' }), 'start and end';
    ($json) = scan('start=order/1&end=order/a0&reverse=1');
    is_deeply [keys_of($json)],
        [reverse @{ $expected->(sub { $_[0] ge 'order/1' && $_[0] lt 'order/a0' }) }],
        'start and end backwards';
    ($json) = scan('prefix=order/a&start=order/a/b');
    is_deeply [keys_of($json)], ['order/a/b', 'order/a0'], 'prefix and start';
    ($json) = scan('prefix=order/&start=a');
    is_deeply [keys_of($json)], [sort @keys], 'a start before the prefix';
    ($json) = scan('prefix=order/%ff');
    is_deeply [keys_of($json)], ["order/\xff", "order/\xff\xff"], 'a prefix of any bytes';
    ($json) = scan('prefix=order/%ff&reverse=1');
    is_deeply [keys_of($json)], ["order/\xff\xff", "order/\xff"], 'backwards from its end';
    for my $query ('prefix=nothing/', 'start=order/2&end=order/1', 'start=order/2&end=order/2',
        'prefix=order/&start=p', 'prefix=order/&end=a') {
        my ($json, $reply) = scan($query);
        like $reply->{content}, qr/^\{"items":\[\],"next":null\}$/, "nothing: $query";
    }
    is_deeply [keys_of((scan('prefix=order'))[0])], ['order', (sort @keys), 'order0'],
        'a prefix is no folder';
};

subtest 'items' => sub {
    put('item/a', 'text', { 'Content-Type' => 'text/plain' });
    put('item/b', "\xe2\x82\xac\"\\\n\0");
    put('item/c', "\xff\xfe");
    put('item/d', '');
    my ($json) = scan('prefix=item/');
    my @items = @{ $json->{items} };
    is_deeply [map { $_->{size} } @items], [4, 7, 2, 0], 'sizes';
    is $items[0]{type}, 'text/plain', 'a type';
    for my $item (@items) {
        ok !exists $item->{value} && !exists $item->{base64}, "$item->{key}: no value";
        my $etag = $server->get("$base$item->{key}")->{headers}{etag};
        is qq("$item->{etag}"), $etag, 'the ETag, without its quotes';
    }
    ($json) = scan('prefix=item/&values=1');
    @items = @{ $json->{items} };
    is_deeply [map { $_->{value} } @items], ['text', "\x{20ac}\"\\\n\0", undef, ''],
        'values that are text';
    is decode_base64($items[2]{base64}), "\xff\xfe", 'and in base64';
    ok !exists $items[2]{value}, 'not both';
};

subtest 'pages' => sub {
    my @keys = map { sprintf 'page/%03d', $_ } 0 .. 149;
    push @keys, "page/\xff\x01", "page/\xff\x02", "page/\xff\xff";
    put($_, "v$_") for @keys;
    my ($json, $reply) = scan('prefix=page/');
    is scalar @{ $json->{items} }, 100, '100 items by default';
    ok defined $json->{next}, 'and a next';
    for my $reverse (0, 1) {
        for my $limit (1, 7, 51, 153, 200) {
            my $query = "prefix=page/&limit=$limit&values=1" . ($reverse ? '&reverse=1' : '');
            my ($target, @got, @values, $pages) = ("$base?$query");
            while (defined $target && $pages++ < 300) {
                my $reply = $server->get($target);
                last if !is_page($reply, $limit);
                my $json = $server->json($reply);
                push @got, keys_of($json);
                push @values, map { bytes($_, 'value') } @{ $json->{items} };
                $target = $reply->{headers}{link};
                last if !defined $target;
                ($target) = $target =~ /^<([^>]+)>; ?rel="?next"?$/;
                $target =~ s{^http://[^/]+}{};
                like $target, qr/cursor=\Q@{[Jackdaw::encode($json->{next})]}\E/,
                    'Link has the same cursor'
                    if $pages == 1;
            }
            my @expected = $reverse ? reverse @keys : @keys;
            is_deeply \@got, \@expected, "by $limit" . ($reverse ? ' backwards' : '');
            is_deeply \@values, [map { "v$_" } @expected], 'with their values';
        }
    }
    my ($first) = scan('prefix=page/&limit=5');
    my $cursor = Jackdaw::encode($first->{next});
    my ($second) = scan("prefix=page/&limit=5&cursor=$cursor");
    is_deeply [keys_of($second)], [@keys[5 .. 9]], 'the cursor from the body';
    $server->delete("$base$_") for @keys[3 .. 6];
    ($second) = scan("prefix=page/&limit=5&cursor=$cursor");
    is_deeply [keys_of($second)], [@keys[7 .. 11]], 'its key may be gone';
    my ($last) = scan('prefix=page/&limit=10000');
    is scalar @{ $last->{items} }, @keys - 4, '10000 at most';
    # Keys of all lengths, so that cursors are long as well.
    put('long/' . 'k' x 470 . $_) for 1 .. 5;
    my @got;
    my $next = '';
    for (1 .. 5) {
        my ($json) = scan("prefix=long/&limit=1$next");
        push @got, keys_of($json);
        $next = '&cursor=' . Jackdaw::encode($json->{next} // last);
    }
    is_deeply \@got, [map { 'long/' . 'k' x 470 . $_ } 1 .. 5], 'long keys';
};

sub is_page {
    my ($reply, $limit) = @_;
    my $json = $server->json($reply);
    return 1 if $reply->{status} == 200 && $json && @{ $json->{items} } <= $limit
        && !defined $json->{next} == !defined $reply->{headers}{link};
    fail 'a page is good';
    diag "$reply->{head}$reply->{content}";
    return 0;
}

subtest 'writes meanwhile' => sub {
    put(sprintf 'busy/%03d', $_) for 0 .. 99;
    pipe my $end, my $begin or die;
    my $writer = fork // die;
    if (!$writer) {
        close $begin;
        my $connection = $server->connect;
        my $select = IO::Select->new($end);
        for (my $i = 0; !$select->can_read(0); $i = ($i + 37) % 100) {
            my $key = sprintf '%sbusy/%03d%s', $base, $i, $i % 2 ? '+' : '-';
            $connection->request(PUT => $key, content => 'x');
            $connection->request(DELETE => $key);
            $connection->request(PUT => sprintf('%sbusy/%03d', $base, $i), content => "n$i");
        }
        POSIX::_exit(0);
    }
    close $end;
    my $wrong = 0;
    for my $round (1 .. 10) {
        my ($next, @got) = ('');
        while (1) {
            my ($json) = scan("prefix=busy/&limit=7$next");
            push @got, keys_of($json);
            last if !defined $json->{next};
            $next = '&cursor=' . Jackdaw::encode($json->{next});
        }
        my @stable = grep { /\d$/ } @got;
        my @sorted = sort @got;
        my %seen;
        $wrong++ if "@stable" ne join(' ', map { sprintf 'busy/%03d', $_ } 0 .. 99)
            || "@got" ne "@sorted" || grep { $seen{$_}++ } @got;
    }
    is $wrong, 0, 'each key that stays comes once, in order';
    close $begin;
    waitpid $writer, 0;
    is $?, 0, 'the writer went on';
};

subtest 'NDJSON' => sub {
    put("lines/$_", "value $_") for 1 .. 5;
    put("lines/\xff", "\xff");
    my $accept = { Accept => 'application/x-ndjson' };
    my (undef, $reply) = scan('prefix=lines/&values=1', $accept);
    like $reply->{headers}{'content-type'}, qr{^application/x-ndjson\b}, 'its type';
    like $reply->{content}, qr/\n\z/, 'the last line ends';
    my @lines = map { $server->json($_) } split /\n/, $reply->{content};
    is_deeply [map { bytes($_, 'key') } @lines], [(map { "lines/$_" } 1 .. 5), "lines/\xff"],
        'an item a line';
    is $lines[0]{value}, 'value 1', 'with a value';
    is decode_base64($lines[5]{base64}), "\xff", 'or base64';
    my ($json) = scan('prefix=lines/&values=1');
    is_deeply \@lines, $json->{items}, 'the same as in JSON';
    (undef, $reply) = scan('prefix=lines/&limit=2', $accept);
    is scalar(() = $reply->{content} =~ /\n/g), 2, 'as many as asked for';
    my ($next) = ($reply->{headers}{link} // '') =~ /^<([^>]+)>; ?rel="?next"?$/;
    ok defined $next, 'Link has the next page' or return;
    $next =~ s{^http://[^/]+}{};
    $reply = $server->get($next, undef, $accept);
    like $reply->{content}, qr{^\{"key":"lines/3".*\n\{"key":"lines/4".*\n\z}, 'which goes on';
    (undef, $reply) = scan('prefix=nothing/', $accept);
    is "$reply->{status} $reply->{content}", '200 ', 'no item, no line';
    # As a client writes it that encodes no more than it must.
    put("odd>#/$_") for 1 .. 3;
    put('odd/other');
    (undef, $reply) = scan('limit=2&prefix=odd>#/', $accept);
    ($next) = ($reply->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/;
    ok defined $next, 'Link ends where it ends, whatever the query has in it' or diag $reply->{headers}{link};
    $reply = $server->get(($next // '/') =~ s/#.*//r, undef, $accept);
    like $reply->{content}, qr{^\{"key":"odd>#/3".*\n\z}, 'and leads to the rest of the same';
    my $long = "\xff\xfe" x 120;
    put($long . $_ x 240) for 'a', 'b';
    my $query = 'limit=1&prefix=' . Jackdaw::encode($long);
    (undef, $reply) = scan($query, $accept);
    is_problem($reply, 414, 'too_large', 'a cursor too long for Link is not left out');
    ($json, $reply) = scan($query);
    is $reply->{status}, 200, 'in JSON it is no matter';
    ok defined $json->{next}, 'as it is in the page';
    (undef, $reply) = scan("$query&cursor=$json->{next}", $accept);
    is "$reply->{status} " . ($reply->{content} =~ tr/\n//), '200 1', 'the last page needs none';
    for my $accept ('*/*', 'application/*', 'text/html, application/json;q=0.9', '') {
        (undef, $reply) = scan('prefix=lines/', { Accept => $accept });
        is $reply->{headers}{'content-type'}, 'application/json', "Accept: $accept";
    }
};

subtest 'parameters' => sub {
    for my $query ('limit=0', 'limit=-1', 'limit=10001', 'limit=x', 'limit=', 'limit=1.5',
        'limit=99999999999999999999', 'cursor=x', 'cursor=%00', 'cursor=%ff', 'cursor=AAAA',
        'nothing=1', 'limit=1&limit=2', 'reverse=maybe', 'values=maybe', 'prefix=%zz',
        'prefix=' . 'x' x 481, 'start=' . 'x' x 481, 'prefix=%00', 'op=nothing', 'ttl=1s') {
        my ($json, $reply) = scan($query);
        is_problem($reply, $query =~ /x{481}/ ? qr/^4(00|13|14)$/ : 400, undef,
            substr $query, 0, 40);
    }
    for my $query ('', 'prefix=', 'start=', 'end=', 'prefix=&start=&end=&limit=5', 'reverse=0',
        'values=0', 'limit=10000', 'values=true&reverse=true', 'values=false&reverse=false') {
        my ($json, $reply) = scan($query);
        is $reply->{status}, 200, "good: $query" or diag $reply->{content};
    }
    my ($json) = scan('prefix=page/&limit=3');
    my $cursor = $json->{next};
    for my $at (0 .. length($cursor) - 1) {
        my $other = $cursor;
        substr $other, $at, 1, substr($other, $at, 1) eq 'A' ? 'B' : 'A';
        my (undef, $reply) = scan('prefix=page/&limit=3&cursor=' . Jackdaw::encode($other));
        like $reply->{status}, qr/^(200|400)$/, 'a changed cursor does no harm';
    }
};

subtest 'large pages' => sub {
    my @ops = map { { put => sprintf('many/%05d', $_), value => 'x' x 20 } } 0 .. 11_999;
    while (my @some = splice @ops, 0, 1000) {
        my $reply = $server->post("$base?op=batch", JSON::PP->new->encode(\@some));
        is $reply->{status}, 200, 'a thousand keys' or diag $reply->{content};
    }
    # Read by hand: JSON::PP takes seconds for so much.
    my ($next, @numbers) = ('');
    for my $size (10_000, 2000) {
        my $reply = $server->get("$base?prefix=many/&limit=10000&values=1$next");
        my @page = $reply->{content} =~ m{"key":"many/(\d+)"}g;
        is scalar @page, $size, "$size items";
        push @numbers, @page;
        $next = $reply->{content} =~ /"next":"([^"]+)"\}\n?\z/ ? "&cursor=$1" : undef;
    }
    is $next, undef, 'are all';
    ok "@numbers" eq join(' ', map { sprintf '%05d', $_ } 0 .. 11_999), 'in order';
    # Large values end a page before its limit, or come; nothing is lost.
    put(sprintf('heavy/%02d', $_), chr(97 + $_) x 1_000_000) for 0 .. 11;
    $next = '';
    my @got;
    for (1 .. 12) {
        my $reply = $server->get("$base?prefix=heavy/&values=1&limit=100$next");
        is $reply->{status}, 200, 'a heavy page';
        push @got, substr($1, -1) . length $1 while $reply->{content} =~ /"value":"([a-z]+)"/g;
        $next = $reply->{content} =~ /"next":"([^"]+)"\}\n?\z/ ? "&cursor=$1" : last;
    }
    is_deeply \@got, [map { chr(97 + $_) . 1_000_000 } 0 .. 11], 'twelve megabytes of values';
};

is $server->stop, 0, 'the daemon ends well';
done_testing;
