# SPDX-License-Identifier: MIT

# The services of etc/services, as `make run` serves them: each route is asked,
# and does what its file says.
use strict;
use warnings;
use Jackdaw;
use JSON::PP;
use Test::More;

my $server = Jackdaw->start(args => [ '--set', 'service_dir=etc/services' ]);
*is_problem = \&Jackdaw::is_problem;

# ---- routes ----------------------------------------------------------------

# "GET /shop/items/{id}" => [pattern, file:line, asked]
my %routes;
for my $file (glob 'etc/services/*/*.sql') {
    my ($service) = $file =~ m{/([^/]+)/[^/]+$};
    open my $in, '<', $file or die "$file: $!";
    while (<$in>) {
        my ($method, $path) = m{^-- ([A-Z]+) (/\S*)$} or next;
        $path = '' if $path eq '/';
        my $pattern = join '/', map { /^\{/ ? '[^/]+' : quotemeta } split m{/}, $path, -1;
        $routes{"$method /$service$path"} = [ qr{^/$service$pattern$}, "$file:$.", 0 ];
    }
}

sub note_route {
    my ($method, $target) = @_;
    my ($path) = split /\?/, $target;
    my @found = grep { /^$method / && $path =~ $routes{$_}[0] } sort keys %routes;
    # The one with the fewest placeholders is meant.
    my ($route) = sort { ($a =~ tr/{//) <=> ($b =~ tr/{//) } @found;
    $routes{$route}[2]++ if $route;
}

# ---- requests --------------------------------------------------------------

sub ask {
    my ($method, $target, $json, %headers) = @_;
    note_route($method, $target);
    my $content = defined $json ? JSON::PP->new->utf8->encode($json) : undef;
    $headers{'Content-Type'} //= 'application/json' if defined $json;
    return $server->request($method, $target, content => $content, headers => \%headers);
}

sub is_json {
    my ($reply, $status, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    subtest $name => sub {
        is $reply->{status}, $status, "status $status" or diag $reply->{content};
        is $reply->{headers}{'content-type'}, 'application/json', 'it is JSON';
        is_deeply $server->json($reply), $expected, 'and says so' or diag $reply->{content};
    };
}

sub json_of { return $server->json(ask('GET', $_[0])) }

# A read that is kept: the same again, and 304 for who has it, unless it leads
# elsewhere.
sub is_kept {
    my ($target, $status) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $status //= 200;
    subtest "$target is kept" => sub {
        # The first run of a statement may find out more of what it reads: it
        # is not kept yet.
        my $first = $server->wait_until(5, sub {
            my $reply = ask('GET', $target);
            return $reply->{headers}{etag} ? $reply : undef;
        });
        ok $first, 'has an ETag' or return;
        is $first->{status}, $status, "status $status";
        is $first->{headers}{'cache-control'}, 'no-cache', 'others ask again';
        my $again = ask('GET', $target);
        is $again->{content}, $first->{content}, 'the same again';
        is $again->{headers}{etag}, $first->{headers}{etag}, 'with the same ETag';
        like $again->{headers}{'cache-status'}, qr/^jackdaw; (hit|fwd=miss)/, 'and Cache-Status';
        my $hit = $server->wait_until(5, sub {
            ask('GET', $target)->{headers}{'cache-status'} eq 'jackdaw; hit';
        });
        ok $hit, 'from the cache';
        my $none = ask('GET', $target, undef, 'If-None-Match' => $first->{headers}{etag});
        is $none->{status}, $status == 200 ? 304 : $status, 'for who has it';
        is $none->{content}, '', 'without a body' if $none->{status} == 304;
        is ask('HEAD', $target)->{status}, $status, 'HEAD';
    };
}

sub is_not_kept {
    my ($target) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reply = ask('GET', $target);
    is $reply->{headers}{'cache-control'}, 'no-store', "$target is not kept";
    ok !exists $reply->{headers}{etag}, 'and has no ETag';
}

# ---- pages -----------------------------------------------------------------

# Every tag is closed, in order; text has no bare "<", ">" or "&".
sub is_page {
    my ($target) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reply = ask('GET', $target);
    my $html = $reply->{content};
    subtest "$target is a page" => sub {
        is $reply->{status}, 200, 'status 200';
        is $reply->{headers}{'content-type'}, 'text/html; charset=utf-8', 'it is HTML';
        is $reply->{headers}{'x-content-type-options'}, 'nosniff', 'and nothing else';
        my $text = $html;
        ok utf8::decode($text), 'in UTF-8';
        ok $text =~ s/\A<!DOCTYPE html>\s*//, 'it begins as one';
        my (@open, @wrong);
        while ($text =~ m{\G(?:<(/?)(\w+)((?: [\w-]+="[^"<>]*")*)(/?)>|([^<]+)|(.))}gcs) {
            my ($close, $tag, $attributes, $empty, $words, $bad) = ($1, $2, $3, $4, $5, $6);
            for ($attributes, $words) {
                next if !defined;
                push @wrong, "bare $& in $_" if /&(?!(?:amp|lt|gt|quot|#39);)|>/;
            }
            push @wrong, "a bare $bad at " . pos $text if defined $bad;
            next if !$tag || $empty;
            if (!$close) { push @open, $tag }
            elsif ((pop @open // '') ne $tag) { push @wrong, "</$tag>" }
        }
        is_deeply \@wrong, [], 'well-formed';
        is_deeply \@open, [], 'all closed';
    };
    return $html;
}

# ---- shop ------------------------------------------------------------------

subtest 'shop: customers' => sub {
    my $first = json_of('/shop/customers');
    is scalar @$first, 20, 'a page of twenty';
    is_deeply $first->[0], { id => 1, name => 'Ann Archer', email => 'ann.archer@example.com' },
        'in order';
    is json_of('/shop/customers?after=20&limit=3')->[0]{id}, 21, 'the next page';
    is scalar @{ json_of('/shop/customers?after=149&limit=100') }, 1, 'the last one';
    for my $limit (qw(0 101 -1 many)) {
        my $problem = is_problem(ask('GET', "/shop/customers?limit=$limit"), 400, 'bad_request',
            "limit=$limit");
        is $problem->{detail}, 'limit is a number from 1 to 100', 'and why';
    }
    is_kept('/shop/customers?limit=2');
    is_kept('/shop/customers/7');
    is_problem(ask('GET', '/shop/customers/0'), 404, 'not_found', 'no such customer');

    my $reply = ask('POST', '/shop/customers', { name => "Zo\xeb", email => 'zoe@example.com' });
    is_json($reply, 201, { id => 151, name => "Zo\xeb", email => 'zoe@example.com' }, 'a new one');
    is $reply->{headers}{location}, '/shop/customers/151', 'Location';
    is json_of($reply->{headers}{location})->{email}, 'zoe@example.com', 'is there';
    is_problem(ask('POST', '/shop/customers', { name => 'Z', email => 'ZOE@example.com' }), 409,
        'conflict', 'an address that is known');
    is_problem(ask('POST', '/shop/customers', { name => '', email => 'a@b' }), 422, 'constraint',
        'without a name');
    is_problem(ask('POST', '/shop/customers', { name => 'A', email => 'nowhere' }), 422,
        'constraint', 'an address that is none');
    is_problem(ask('POST', '/shop/customers', { name => 'A' }), 400, 'bad_request',
        'without an address');
    is_problem(ask('POST', '/shop/customers', { name => 'A', email => undef }), 422, 'constraint',
        'null');
    is_problem(ask('POST', '/shop/customers', ['A']), 400, 'bad_request', 'no object');

    is_json(ask('PATCH', '/shop/customers/151', { name => 'Zoe' }), 200,
        { id => 151, name => 'Zoe', email => 'zoe@example.com' }, 'what is given is changed');
    is_problem(ask('PATCH', '/shop/customers/999', { name => 'Zoe' }), 404, 'not_found',
        'PATCH of nobody');

    my $orders = json_of('/shop/customers/1/orders');
    is_deeply [ map { $_->{id} } @$orders ], [ 450, 300, 150 ], 'orders, the newest first';
    is_json(ask('GET', '/shop/customers/151/orders'), 200, [], 'none yet');
    is_kept('/shop/customers/1/orders');

    $reply = ask('DELETE', '/shop/customers/151');
    is $reply->{status}, 204, 'removed';
    is $reply->{content}, '', 'without a body';
    is_problem(ask('DELETE', '/shop/customers/151'), 404, 'not_found', 'once');
    is_problem(ask('DELETE', '/shop/customers/1'), 409, 'conflict', 'not one with orders');
    is json_of('/shop/customers/1')->{name}, 'Ann Archer', 'who is still there';
};

subtest 'shop: items' => sub {
    is scalar @{ json_of('/shop/items') }, 20, 'a page of twenty';
    is_problem(ask('GET', '/shop/items?limit=1000'), 400, 'bad_request', 'too long a page');
    is_kept('/shop/items?after=10');
    is_kept('/shop/items/5');
    is_problem(ask('GET', '/shop/items/none'), 404, 'not_found', 'no such item');

    my $item = { name => 'Tin whistle', description => '', price => 500, stock => 0 };
    my $reply = ask('POST', '/shop/items', { name => 'Tin whistle', price => 500 });
    is_json($reply, 201, { %$item, id => 121 }, 'a new one, with defaults');
    is $reply->{headers}{location}, '/shop/items/121', 'Location';
    $reply = $server->request('POST', '/shop/items', content => 'name=Tin+cup&price=90&stock=3',
        headers => { 'Content-Type' => 'application/x-www-form-urlencoded' });
    is_json($reply, 201, { id => 122, name => 'Tin cup', description => '', price => 90, stock => 3 },
        'by a form');

    $item = { name => 'Tin flute', description => 'high', price => 600, stock => 9 };
    is_json(ask('PUT', '/shop/items/121', $item), 200, { %$item, id => 121 }, 'replaced');
    is json_of('/shop/items/121')->{name}, 'Tin flute', 'and read so';
    is_problem(ask('PUT', '/shop/items/121', { name => 'x', price => 1 }), 400, 'bad_request',
        'PUT says all of it');
    is_problem(ask('PUT', '/shop/items/999', $item), 404, 'not_found', 'PUT of nothing');
    is_problem(ask('PUT', '/shop/items/121', { %$item, price => 'dear' }), 422, 'constraint',
        'a price that is no number');
    is_problem(ask('PUT', '/shop/items/121', { %$item, stock => -1 }), 422, 'constraint',
        'less than nothing');

    is_json(ask('POST', '/shop/items/121/stock', { by => -9 }), 200, { id => 121, stock => 0 },
        'all are taken');
    my $problem = is_problem(ask('POST', '/shop/items/121/stock', { by => -1 }), 409, 'conflict',
        'one more is not');
    is $problem->{detail}, 'there are only 0 in stock', 'and why';
    is_problem(ask('POST', '/shop/items/121/stock', { by => 'x' }), 422, 'constraint', 'no number');
    is_problem(ask('POST', '/shop/items/999/stock', { by => 1 }), 404, 'not_found',
        'of no item');

    is ask('DELETE', '/shop/items/122')->{status}, 204, 'removed';
    is_problem(ask('DELETE', '/shop/items/122'), 404, 'not_found', 'once');
    is_problem(ask('DELETE', '/shop/items/5'), 409, 'conflict', 'not one that was ordered');
};

subtest 'shop: search' => sub {
    is_json(ask('GET', '/shop/search?q=oak%20des'), 200,
        [ { id => 38, name => 'Oak desk', price => 27990,
            found => 'The [oak desk] has a drawer on each side.' } ],
        'a phrase whose last word goes on');
    is_deeply [ map { $_->{id} } @{ json_of('/shop/search?q=flute') } ], [121],
        'what was written above is found';
    is_json(ask('GET', '/shop/search?q=whistle'), 200, [], 'what it was before is not');
    for my $q ('"', '%22a%20OR', '*', 'NEAR(', '') {
        is_json(ask('GET', "/shop/search?q=$q"), 200, [], "'$q' is no syntax");
    }
    is scalar @{ json_of('/shop/search?q=tea&limit=4') }, 4, 'limit';
    is_problem(ask('GET', '/shop/search'), 400, 'bad_request', 'for what?');
    is_kept('/shop/search?q=lamp');
    ask('PUT', '/shop/items/121', { name => 'Tin lamp', price => 600, stock => 9 });
    ok((grep { $_->{id} == 121 } @{ json_of('/shop/search?q=lamp&limit=100') }),
        'a kept search sees the next write');
    is scalar(grep { $_->{id} == 121 } @{ json_of('/shop/search?q=lamp&limit=20') }), 1, 'once';
};

subtest 'shop: orders' => sub {
    is_deeply [ map { $_->{id} } @{ json_of('/shop/orders?limit=3') } ], [ 500, 499, 498 ],
        'the newest first';
    is_deeply [ map { $_->{id} } @{ json_of('/shop/orders?limit=2&before=498') } ], [ 497, 496 ],
        'the next page';
    is_kept('/shop/orders?limit=5');
    is_kept('/shop/orders/500');
    is_problem(ask('GET', '/shop/orders/501'), 404, 'not_found', 'no such order');
    is_deeply json_of('/shop/orders/500'),
        { id => 500, customer => 51, placed => '2025-12-17', state => 'open', total => 76170,
          items => [ { item => 101, name => 'Glass mirror', quantity => 3, price => 25390 } ] },
        'one with its items';

    my $five = json_of('/shop/items/5')->{stock};
    my $seven = json_of('/shop/items/7')->{stock};
    my $report = ask('GET', '/shop/reports/items?limit=1');
    my @lines = ({ item => 5, quantity => 2 }, { item => 7, quantity => 1 },
        { item => 5, quantity => 1 });
    my $reply = ask('POST', '/shop/orders', { customer => 3, items => \@lines });
    is $reply->{status}, 201, 'an order' or diag $reply->{content};
    is $reply->{headers}{location}, '/shop/orders/501', 'Location';
    my $order = $server->json($reply);
    is $order->{total}, 3 * 2660 + 18500, 'adds up';
    is_deeply [ map { [ $_->{item}, $_->{quantity} ] } @{ $order->{items} } ], [ [ 5, 3 ], [ 7, 1 ] ],
        'a line for each item';
    is_deeply json_of('/shop/orders/501'), $order, 'is read as it was answered';
    is json_of('/shop/items/5')->{stock}, $five - 3, 'takes from the stock';
    is json_of('/shop/items/7')->{stock}, $seven - 1, 'of each item';
    isnt ask('GET', '/shop/reports/items?limit=1')->{headers}{etag}, $report->{headers}{etag},
        'and the report is another one';

    my $orders = sub { json_of('/shop/orders?limit=1')->[0]{id} };
    my @bad = (
        [ [], 422, 'constraint', 'nothing' ],
        [ 'five', 422, 'constraint', 'no array' ],
        [ 5, 422, 'constraint', 'a number' ],
        [ { item => 5, quantity => 1 }, 422, 'constraint', 'an object' ],
        [ [5], 422, 'constraint', 'an array of numbers' ],
        [ ['five'], 400, 'bad_request', 'an array of words' ],
        [ [ { item => 5, quantity => 1 }, { item => 999, quantity => 1 } ], 422, 'constraint',
          'an item that is not there' ],
        [ [ { item => 7, quantity => 1 }, { item => 5, quantity => 1000 } ], 409, 'conflict',
          'more than there are' ],
        [ [ { item => 7, quantity => 1 }, { item => 5, quantity => 0 } ], 422, 'constraint', 'none' ],
        [ [ { item => 7, quantity => 1 }, { item => 5, quantity => -2 } ], 422, 'constraint',
          'less than none' ],
        [ [ { item => 5, quantity => 1.5 } ], 422, 'constraint', 'a half' ],
        [ [ { item => 5 } ], 422, 'constraint', 'of an unknown number' ],
    );
    for (@bad) {
        my ($items, $status, $code, $name) = @$_;
        is_problem(ask('POST', '/shop/orders', { customer => 3, items => $items }), $status, $code,
            "an order of $name");
    }
    is_problem(ask('POST', '/shop/orders', { customer => 999, items => \@lines }), 409, 'conflict',
        'an order of nobody');
    is $orders->(), 501, 'of all these nothing is left';
    is json_of('/shop/items/5')->{stock}, $five - 3, 'in the stock neither';
    is json_of('/shop/items/7')->{stock}, $seven - 1, 'of no item';

    my $problem = is_problem(ask('POST', '/shop/orders/501/state', { state => 'sent' }), 409,
        'conflict', 'it is not paid yet');
    is $problem->{detail}, 'an order that is open cannot become sent', 'and why';
    is_json(ask('POST', '/shop/orders/501/state', { state => 'paid' }), 200,
        { id => 501, state => 'paid' }, 'it is paid');
    is_problem(ask('POST', '/shop/orders/999/state', { state => 'paid' }), 404, 'not_found',
        'no such order');
    is ask('DELETE', '/shop/orders/501')->{status}, 204, 'cancelled';
    is json_of('/shop/orders/501')->{state}, 'cancelled', 'and read so';
    is json_of('/shop/items/5')->{stock}, $five, 'its items are back';
    is_problem(ask('DELETE', '/shop/orders/501'), 409, 'conflict', 'once');
    is_problem(ask('DELETE', '/shop/orders/1'), 409, 'conflict', 'not one that is sent');
    is_problem(ask('DELETE', '/shop/orders/999'), 404, 'not_found', 'not one that is not there');
    is json_of('/shop/items/5')->{stock}, $five, 'the stock is what it was';
};

subtest 'shop: reports' => sub {
    my $months = json_of('/shop/reports/months');
    is_deeply $months->[0],
        { month => '2025-01', orders => 43, items => 217, turnover => 3134400 }, 'by month';
    is scalar @$months, 12, 'a year';
    my $items = json_of('/shop/reports/items?limit=3');
    is_deeply [ map { [ $_->{place}, $_->{id}, $_->{sold} ] } @$items ],
        [ [ 1, 77, 39 ], [ 1, 101, 39 ], [ 3, 113, 37 ] ], 'by item, with places';
    is_kept('/shop/reports/months');
    is_kept('/shop/reports/items');
};

subtest 'shop: pages' => sub {
    my $page = is_page('/shop');
    is is_page('/shop/'), $page, 'with or without the last /';
    like $page, qr{<td><a href="/shop/pages/items/120">Nuts &amp; &lt;b&gt;olts</a></td>},
        'what looks like a tag is text';
    is scalar(() = $page =~ /<tr><td>/g), 121, 'all items';
    $page = is_page('/shop/pages/items/120');
    like $page, qr{<title>Nuts &amp; &lt;b&gt;olts</title>}, 'in the title as well';
    like $page, qr{<p>Assorted &quot;small&quot; parts</p>\n<p>283\.50, 103 in stock</p>}, 'and below';
    is_kept('/shop');
    is_kept('/shop/pages/items/120');
    is_problem(ask('GET', '/shop/pages/items/999'), 404, 'not_found', 'a page of nothing');
    ask('PUT', '/shop/items/121',
        { name => q(<script>alert('&')</script>), description => q("'><i>), price => 5, stock => 0 });
    like is_page('/shop'), qr{&lt;script&gt;alert\(&#39;&amp;&#39;\)}, 'a kept page sees the next write';
    like is_page('/shop/pages/items/121'), qr{<p>0\.05, sold out</p>}, 'small change';
};

# ---- links -----------------------------------------------------------------

subtest 'links' => sub {
    my $reply = ask('GET', '/links/sqlite');
    is $reply->{status}, 302, 'leads on';
    is $reply->{headers}{location}, 'https://sqlite.org/lang.html', 'to where it should';
    is $reply->{content}, 'https://sqlite.org/lang.html', 'and says so';
    is_kept('/links/sqlite', 302);
    is ask('GET', '/links/search')->{headers}{location}, 'https://example.com/?q=a&lang=<en>',
        'the address as it was put in';
    is_problem(ask('GET', '/links/nothing'), 404, 'not_found', 'to nowhere');

    $reply = ask('POST', '/links', { url => 'https://example.com/a?b=c#d' });
    is $reply->{status}, 201, 'a new one' or diag $reply->{content};
    my $link = $server->json($reply);
    like $link->{code}, qr/^[0-9a-f]{10}$/, 'gets a code';
    is $reply->{headers}{location}, "/links/$link->{code}", 'Location';
    is ask('GET', $reply->{headers}{location})->{headers}{location}, 'https://example.com/a?b=c#d',
        'leads on';
    is_json(ask('POST', '/links/', { url => 'http://a/', code => '42' }), 201,
        { code => '42', url => 'http://a/' }, 'with a code of digits');
    is ask('GET', '/links/42')->{headers}{location}, 'http://a/', 'which is text';
    is_problem(ask('POST', '/links', { url => 'http://b/', code => '42' }), 409, 'conflict',
        'a code that is taken');
    for my $code ('', 'a/b', 'a b', 'x' x 65, 'all', 'top') {
        is_problem(ask('POST', '/links', { url => 'http://b/', code => $code }), 422, 'constraint',
            "the code '$code'");
    }
    for my $url ('javascript:alert(1)', 'http://', "http://a/\r\nX: y", 'http://a b/',
        "http://\xfc/", 'ftp://a/', 'http://' . 'a' x 794) {
        is_problem(ask('POST', '/links', { url => $url }), 422, 'constraint',
            'the address ' . substr $url, 0, 20);
    }
    my $long = 'http://' . 'a' x 793;
    ask('POST', '/links', { url => $long, code => 'long' });
    is ask('GET', '/links/long')->{headers}{location}, $long, 'one of 800 bytes';

    is_deeply [ map { $_->{code} } @{ json_of('/links/all?limit=2') } ], [ '42', $link->{code} ],
        'all, by their codes' if $link->{code} gt '42' && $link->{code} lt 'http';
    is_deeply [ map { $_->{code} } @{ json_of('/links/all?after=lmdb&limit=2') } ],
        [ 'long', 'search' ], 'the next page';
    is_problem(ask('GET', '/links/all?limit=0'), 400, 'bad_request', 'no page');

    my $page = is_page('/links');
    like $page, qr{https://example\.com/\?q=a&amp;lang=&lt;en&gt;}, 'addresses are escaped';
    is_kept('/links');

    is ask('DELETE', '/links/42')->{status}, 204, 'removed';
    is_problem(ask('GET', '/links/42'), 404, 'not_found', 'it leads nowhere');
    is_problem(ask('DELETE', '/links/42'), 404, 'not_found', 'once');
};

subtest 'links: visits' => sub {
    is_json(ask('GET', '/links/top'), 200, [], 'none yet');
    is_kept('/links/sqlite/info');
    is_kept('/links/all');
    my $kept = ask('GET', '/links/sqlite', undef)->{headers}{etag};
    for my $n (1 .. 3) {
        is ask('POST', '/v1/kv/links-visits/sqlite?op=incr')->{status}, 200, "visit $n";
        is json_of('/links/sqlite/info')->{visits}, $n, 'is seen at once';
        is json_of('/links/all?after=search')->[0]{visits}, $n, 'in the list as well';
    }
    ask('POST', '/v1/kv/links-visits/http?op=incr');
    ask('POST', '/v1/kv/links-visits/nobody?op=incr');
    is_json(ask('GET', '/links/top'), 200,
        [ { code => 'sqlite', url => 'https://sqlite.org/lang.html', visits => 3 },
          { code => 'http', url => 'https://www.rfc-editor.org/rfc/rfc9110', visits => 1 } ],
        'the most visited first');
    is scalar @{ json_of('/links/top?limit=1') }, 1, 'limit';
    is_kept('/links/top');
    is ask('GET', '/links/sqlite')->{headers}{etag}, $kept, 'visits leave the redirect as it is kept';
    is json_of('/links/lmdb/info')->{visits}, 0, 'nobody was there';
    is_problem(ask('GET', '/links/nothing/info'), 404, 'not_found', 'no such link');
};

# ---- bench -----------------------------------------------------------------

subtest 'bench: single rows' => sub {
    is_json(ask('GET', '/bench/json'), 200, { message => 'Hello, World!' }, 'json');
    is_not_kept('/bench/json');
    my $reply = ask('GET', '/bench/plaintext');
    is $reply->{content}, 'Hello, World!', 'plaintext';
    is $reply->{headers}{'content-type'}, 'text/plain', 'its type';
    is_kept('/bench/plaintext');

    my %seen;
    for (1 .. 10) {
        my $row = json_of('/bench/db');
        is_deeply $row, json_of("/bench/world/$row->{id}"), 'a row that is there';
        $seen{ $row->{id} }++;
    }
    cmp_ok scalar keys %seen, '>', 5, 'not always the same';
    is_not_kept('/bench/db');
    is_kept('/bench/world/77');
    is_not_kept('/bench/world/77/uncached');
    is_deeply json_of('/bench/world/77/uncached'), json_of('/bench/world/77'), 'the same row';
    is_problem(ask('GET', '/bench/world/10001'), 404, 'not_found', 'behind the last');
};

subtest 'bench: many rows' => sub {
    for ([ 1, 1 ], [ 20, 20 ], [ 500, 500 ], [ 501, 500 ], [ 0, 1 ], [ -5, 1 ], [ 'many', 1 ]) {
        my ($n, $count) = @$_;
        my $rows = json_of("/bench/rows/$n");
        is scalar @$rows, $count, "rows/$n";
        is scalar(grep { $_->{id} >= 1 && $_->{id} <= 10000 && $_->{randomNumber} } @$rows), $count,
            'all good';
        is scalar @{ json_of("/bench/cached/$n") }, $count, "cached/$n";
        my $updated = $server->json(ask('POST', "/bench/updates/$n"));
        is scalar @$updated, $count, "updates/$n";
        my %ids = map { $_->{id} => 1 } @$updated;
        is scalar keys %ids, $count, 'all distinct';
        is_deeply json_of("/bench/world/$updated->[-1]{id}"), $updated->[-1], 'and written';
    }
    is_not_kept('/bench/rows/3');
    is_kept('/bench/cached/20');
    is_deeply [ map { $_->{id} } @{ json_of('/bench/cached/20?from=9999') } ], [ 9999, 10000 ],
        'from';
    is ask('GET', '/bench/updates/1')->{status}, 405, 'a GET updates nothing';
};

subtest 'bench: fortunes' => sub {
    my $page = is_page('/bench/fortunes');
    utf8::decode($page);
    my @messages = $page =~ m{<tr><td>\d+</td><td>([^<]*)</td></tr>}g;
    is scalar @messages, 13, 'one more than there are';
    is_deeply \@messages, [ sort @messages ], 'sorted';
    is $messages[0], '&lt;script&gt;alert(&quot;Nobody has escaped this.&quot;)&lt;/script&gt;', 'escaped';
    is $messages[-1], "\x{30c7}\x{30fc}\x{30bf}\x{30d9}\x{30fc}\x{30b9}\x{306f}\x{901f}\x{3044}",
        'in any language';
    ok((grep { $_ eq 'Additional fortune added at request time.' } @messages), 'the additional one');
    is_not_kept('/bench/fortunes');
};

subtest 'bench: the log' => sub {
    is_json(ask('GET', '/bench/log'), 200, { rows => 0 }, 'empty');
    is_json(ask('POST', '/bench/insert', { text => 'one' }), 201, { id => 1 }, 'an insert');
    is_json(ask('POST', '/bench/insert'), 201, { id => 2 }, 'one of nothing');
    is_json(ask('GET', '/bench/log/1'), 200, { id => 1, text => 'one' }, 'is there');
    is_json(ask('GET', '/bench/log'), 200, { rows => 2 }, 'both');
    is_kept('/bench/log/2');
    is ask('DELETE', '/bench/log')->{status}, 204, 'emptied';
    is_problem(ask('GET', '/bench/log/2'), 404, 'not_found', 'a kept row is gone');
    is_json(ask('GET', '/bench/log'), 200, { rows => 0 }, 'and all others');
};

# ---- all of it -------------------------------------------------------------

my @forgotten = grep { !$routes{$_}[2] } sort keys %routes;
is_deeply \@forgotten, [], 'every route was asked' or diag map { "$routes{$_}[1]: $_\n" } @forgotten;

my $metrics = $server->metrics;
is $metrics->{"jackdaw_service_info{service=\"$_\",version=\"1\"}"}, 1, "$_ is in /metrics"
    for qw(bench links shop);
cmp_ok $server->metric('jackdaw_route_cache_hits_total', qr/service="shop".*route="\/shop\/items\/\{id\}"/,
    $metrics), '>', 0, 'hits are counted by route';
unlike $server->log, qr/ hint: /, 'a deploy has nothing to remark';

subtest 'after a restart' => sub {
    is $server->restart, 0, 'it ends well';
    is json_of('/shop/orders/501')->{state}, 'cancelled', 'everything is there';
    unlike $server->log, qr/applied 0/, 'and no migration is applied twice';
    is json_of('/links/sqlite/info')->{visits}, 3, 'counters as well';
};
is $server->stop, 0, 'it ends well';
done_testing;
