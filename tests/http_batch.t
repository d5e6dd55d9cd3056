# SPDX-License-Identifier: MIT

# Many operations in one atomic commit.
use strict;
use warnings;
use Jackdaw;
use JSON::PP;
use MIME::Base64;
use Test::More;
use Time::HiRes qw(sleep);

my $server = Jackdaw->start;
my $kv = '/v1/kv/main';
*is_problem = \&Jackdaw::is_problem;

sub batch {
    my (@ops) = @_;
    my $body = @ops == 1 && !ref $ops[0] ? $ops[0] : JSON::PP->new->utf8->encode(\@ops);
    return $server->post("$kv/?op=batch", $body, { 'Content-Type' => 'application/json' });
}

sub results {
    my ($reply) = @_;
    is $reply->{status}, 200, 'a batch is done' or diag $reply->{content};
    my $json = $server->json($reply);
    return ref $json eq 'HASH' ? @{ $json->{results} } : ();
}

sub content { return $server->get("$kv/$_[0]")->{content} }
# As it stands in JSON: without its quotes.
sub tag     { return ($server->get("$kv/$_[0]")->{headers}{etag} // '') =~ tr/"//dr }
sub status  { return $server->get("$kv/$_[0]")->{status} }

subtest 'every kind' => sub {
    $server->put("$kv/kind/old", "old\xff", { 'Content-Type' => 'text/plain' });
    $server->put("$kv/kind/gone", 'x');
    $server->put("$kv/kind/n", 40);
    my $old = tag('kind/old');
    my @results = results(batch(
        { put => 'kind/text', value => "\x{20ac}", type => 'text/x-euro' },
        { put => 'kind/bytes', base64 => encode_base64("\0\xff", ''), type => { base64 => encode_base64("x/\t\xff", '') } },
        { get => 'kind/old' },
        { get => 'kind/text' },
        { get => 'kind/nothing' },
        { delete => 'kind/gone' },
        { incr => 'kind/n', by => 2 },
        { incr => 'kind/m' },
        { get => 'kind/n' },
    ));
    is scalar @results, 9, 'a result for each';
    is $results[0]{etag}, tag('kind/text'), 'put: its ETag, without its quotes';
    is content('kind/text'), "\xe2\x82\xac", 'put: text is UTF-8';
    is $server->get("$kv/kind/text")->{headers}{'content-type'}, 'text/x-euro', 'put: its type';
    is content('kind/bytes'), "\0\xff", 'put: base64';
    is $server->get("$kv/kind/bytes")->{headers}{'content-type'}, "x/\t\xff", 'put: a type in base64';
    is decode_base64($results[2]{base64} // ''), "old\xff", 'get: bytes';
    is $results[2]{etag}, $old, 'get: its ETag';
    is $results[2]{type}, 'text/plain', 'get: its type';
    is $results[3]{value}, "\x{20ac}", 'get: what the same batch put';
    ok !defined $results[4]{value} && !defined $results[4]{etag}, 'get: nothing';
    is status('kind/gone'), 404, 'delete';
    is $results[6]{value}, 42, 'incr: its value';
    is $results[7]{value}, 1, 'incr: from nothing';
    is $results[8]{value}, '42', 'get: what the same batch counted';
    is content('kind/n'), 42, 'and it stays';
};

subtest 'the empty batch' => sub {
    like batch('[]')->{content}, qr/^\{"results":\[\]\}$/, 'does nothing';
    is batch('[]')->{status}, 200, 'well';
    # One connection, so that one request object is used again.
    is batch('[{"delete":"nothing"}]')->{status}, 404, 'a batch that fails';
    like batch('[]')->{content}, qr/^\{"results":\[\]\}$/, 'does not speak for the next';
    is batch('[{"delete":"nothing"}]')->{status}, 404, 'once more';
    like batch(' ' x 5000 . '[]')->{content}, qr/^\{"results":\[\]\}$/, 'nor for a long one with nothing in it';
};

subtest 'all or nothing' => sub {
    $server->put("$kv/atomic/text", 'no number');
    $server->put("$kv/atomic/max", '9223372036854775807');
    $server->put("$kv/atomic/here", 'v');
    my $here = tag('atomic/here');
    my @cases = (
        [422, undef, { incr => 'atomic/text' }],
        [422, undef, { incr => 'atomic/max' }],
        [404, 'not_found', { delete => 'atomic/nothing' }],
        [412, 'precondition_failed', { put => 'atomic/here', value => 'w', if_match => '"x"' }],
        [412, 'precondition_failed', { put => 'atomic/here', value => 'w', if_none_match => '*' }],
        [412, 'precondition_failed', { put => 'atomic/nothing', value => 'w', if_match => '*' }],
        [412, 'precondition_failed', { delete => 'atomic/here', if_match => '"x"' }],
        [412, 'precondition_failed', { incr => 'atomic/max', by => -1, if_match => '"x"' }],
    );
    for my $case (@cases) {
        my ($status, $code, $bad) = @$case;
        my $name = JSON::PP->new->canonical->encode($bad);
        for my $index (0, 1, 3) {
            my @ops = map { { put => "atomic/new$_", value => 'x' } } 0 .. 3;
            $ops[2] = { put => 'atomic/here', value => 'changed' } if $index == 3
                && ($bad->{put} // $bad->{delete} // '') ne 'atomic/here';
            splice @ops, $index, 0, $bad;
            my $reply = batch(@ops);
            my $problem = is_problem($reply, $status, $code, "$name at $index");
            is $problem->{index}, $index, 'it names the operation';
            is status("atomic/new$_"), 404, "nothing was applied: $_" for 0 .. 3;
            is tag('atomic/here'), $here, 'nor changed';
        }
    }
    my $problem = is_problem(batch({ put => 'atomic/a', value => '1' }, { delete => 'atomic/no' },
        { incr => 'atomic/text' }), 404, undef, 'two that fail');
    is $problem->{index}, 1, 'the first is named';
};

subtest 'conditions' => sub {
    my @results = results(batch({ put => 'cond/a', value => '1', if_none_match => '*' }));
    my $tag = $results[0]{etag};
    is $tag, tag('cond/a'), 'made once';
    is batch({ put => 'cond/a', value => '2', if_none_match => '*' })->{status}, 412, 'not twice';
    @results = results(batch({ put => 'cond/a', value => '2', if_match => $tag }));
    is batch({ put => 'cond/a', value => '3', if_match => $tag })->{status}, 412, 'an old tag';
    @results = results(batch({ put => 'cond/a', value => '3', if_match => ['12345678', "\"$results[0]{etag}\""] }));
    is content('cond/a'), 3, 'a list of tags';
    # Conditions see what stands before them in the batch.
    is batch({ put => 'cond/b', value => '1' }, { put => 'cond/b', value => '2', if_none_match => '*' })
        ->{status}, 412, 'a key made in the same batch is there';
    is status('cond/b'), 404, 'and undone';
    results(batch({ delete => 'cond/a' }, { put => 'cond/a', value => '4', if_none_match => '*' }));
    is content('cond/a'), 4, 'one deleted in the same batch is not';
    is batch({ get => 'cond/a', if_match => '"x"' })->{status}, 412, 'a read can be conditional';
    for my $tags (1.5, -1, {}, { a => 1 }, JSON::PP::true, undef, [[]], [undef]) {
        for my $condition (qw(if_match if_none_match)) {
            is batch({ put => 'cond/c', value => '1', $condition => $tags })->{status}, 400,
                "malformed: $condition " . JSON::PP->new->allow_nonref->encode($tags);
        }
    }
    is status('cond/c'), 404, 'nothing was written';
};

subtest 'lifetimes' => sub {
    my $ms = int 300 * Jackdaw::slowness();
    results(batch(
        { put => 'life/hour', value => 'v', ttl => '1h' },
        { put => 'life/brief', value => 'v', ttl => "${ms}ms" },
        { incr => 'life/n', ttl => '1h' },
    ));
    for my $key ('life/hour', 'life/n') {
        like $server->get("$kv/$key")->{headers}{'cache-control'} // '',
            qr/\bmax-age=3[56]\d\d\b/, "$key: max-age";
    }
    results(batch({ incr => 'life/n' }));
    like $server->get("$kv/life/n")->{headers}{'cache-control'} // '', qr/\bmax-age=3[56]\d\d\b/,
        'incr keeps it';
    sleep $ms / 1000;
    is status('life/brief'), 404, 'over at once';
    for my $ttl ('1', '-1s', 'x', '', 60, undef) {
        is batch({ put => 'life/bad', value => 'v', ttl => $ttl })->{status}, 400,
            'malformed: ' . ($ttl // 'null');
    }
    is status('life/bad'), 404, 'nothing was written';
};

subtest 'malformed' => sub {
    my @bodies = ('', '{}', 'null', '1', '"x"', '[1]', '[null]', '["put"]', '[[]]', '[{}]',
        '[{"value":"v"}]', '[{"put":"k"}]', '[{"put":1,"value":"v"}]', '[{"put":null,"value":"v"}]',
        '[{"put":"k","value":1}]', '[{"put":"k","value":null}]', '[{"put":"k","value":{}}]',
        '[{"put":"k","value":"v","base64":"dg=="}]', '[{"put":"k","base64":"*"}]',
        '[{"put":"k","base64":"dg"}]', '[{"put":"k","base64":"dg=="," ttl":"1s"}]',
        '[{"put":"k","base64":" dg=="}]', '[{"put":"k","base64":1}]',
        '[{"put":"k","value":"v","vlaue":"w"}]', '[{"put":"k","value":"v","get":"k"}]',
        '[{"get":"k","value":"v"}]', '[{"delete":"k","value":"v"}]', '[{"get":1}]',
        '[{"incr":"k","by":"1"}]', '[{"incr":"k","by":1.5}]', '[{"incr":"k","value":"1"}]',
        '[{"put":"k","value":"v","by":1}]', '[{"rename":"k"}]', '[{"put":"","value":"v"}]',
        '[{"put":"a\u0000b","value":"v"}]', '[{"put":"k","value":"v","type":1}]',
        "[{\"put\":\"k\",\"value\":\"v\",\"type\":\"a\\nb: c\"}]",
        '[{"put":"k","value":"v"}', '[{"put":"k","value":"v"},]', '[{"put":"k","value":"v"}]]');
    for my $body (@bodies) {
        is_problem(batch($body), 400, 'bad_request', "body $body");
        my $behind = $body;
        next if $behind !~ s/^\[/[{"put":"behind","value":"v"},/;
        my $problem = is_problem(batch($behind), 400, 'bad_request', 'behind a good one');
        is $problem->{index}, 1, 'it names the operation' if defined $problem->{index};
    }
    is status('k'), 404, 'nothing was written';
    is status('behind'), 404, 'nor by a good one';
    is_problem(batch({ put => 'k' x 481, value => 'v' }), qr/^4(00|13|14)$/, undef, 'a long key');
    is_problem(batch({ get => 'k' x 481 }), qr/^4(00|13|14)$/, undef, 'reading it');
    results(batch({ put => 'k' x 480, value => 'v' }));
    is_problem(batch({ put => 'k', value => 'v' x ((1 << 20) + 1) }), 413, 'too_large',
        'a long value');
    is_problem(batch({ put => 'k', base64 => encode_base64('v' x ((1 << 20) + 1), '') }),
        413, 'too_large', 'a long one in base64');
    results(batch({ put => 'large', value => 'v' x (1 << 20) }));
    is_problem(batch(' ' x (4 << 20) . '[]'), 413, 'too_large', 'a long body');
    like $server->post("$kv/?op=batch", '[]', { 'Content-Type' => 'text/html' })->{status},
        qr/^(200|415)$/, 'another type of body';
};

subtest 'many operations' => sub {
    my $n = 1000;
    my @results = results(batch(map { { put => "many/$_", value => "v$_" } } 1 .. $n));
    is scalar @results, $n, 'a thousand';
    my %tags = map { $_->{etag} => 1 } @results;
    is scalar keys %tags, $n, 'each with its own ETag';
    @results = results(batch(map { { get => "many/$_" } } 1 .. $n));
    is_deeply [map { $_->{value} } @results], [map { "v$_" } 1 .. $n], 'read in order';
    @results = results(batch(map { { incr => 'many/n' } } 1 .. $n));
    is_deeply [map { $_->{value} } @results], [1 .. $n], 'one key a thousand times';
    @results = results(batch(map { { delete => "many/$_" } } 1 .. $n));
    is status("many/$_"), 404, "deleted: $_" for 1, 500, $n;
    my $reply = batch(map { { put => "more/$_", value => 'v' } } 1 .. 20_000);
    like $reply->{status}, qr/^(200|413)$/, 'twenty thousand are done or refused';
    is status('more/20000'), $reply->{status} == 200 ? 200 : 404, 'accordingly';
    is status('more/1'), $reply->{status} == 200 ? 200 : 404, 'the first as well';
};

# What cannot be answered is not done: "large" is of 1 MiB.
subtest 'many bytes of results' => sub {
    my $reply = batch(({ get => 'large' }) x 16);
    is $reply->{status}, 200, 'sixteen MiB of values' or diag substr $reply->{content}, 0, 200;
    cmp_ok length $reply->{content}, '>', 16 << 20, 'are given';
    $server->put("$kv/out/$_", $_) for 1, 2;
    my $problem = is_problem(batch({ put => 'out/new', value => 'v' }, { getdel => 'out/1' }, ({ get => 'large' }) x 20,
        { getdel => 'out/2' }), 413, 'too_large', 'twenty are refused');
    is $problem->{index}, 17, 'by the operation that passes the limit';
    like $problem->{detail}, qr/16777216/, 'which is told';
    is content("out/$_"), $_, "and what stood before and behind it was not done: $_" for 1, 2;
    is status('out/new'), 404, 'nor was anything made';
    SKIP: {
        skip 'sanitizers keep what is freed', 1 if Jackdaw::mode() =~ /san/;
        my $before = $server->most_rss;
        is_problem(batch(({ get => 'large' }) x 500), 413, 'too_large', 'five hundred are refused');
        my $grown = $server->most_rss - $before;
        cmp_ok $grown, '<', 64 << 20, 'without having been collected';
    }
};

# Transfers between four accounts from three clients at once: the sum of all
# that anybody sees is the same.
subtest 'isolation' => sub {
    results(batch(map { { put => "account/$_", value => '1000' } } 0 .. 3));
    my @writers;
    for my $child (1 .. 3) {
        my $pid = fork // die;
        push @writers, $pid and next if $pid;
        my $connection = $server->connect;
        srand $child;
        for (1 .. 60) {
            my ($from, $to, $sum) = (int rand 4, int rand 4, int rand 10);
            my $reply = $connection->request(POST => "$kv/?op=batch", content =>
                "[{\"incr\":\"account/$from\",\"by\":-$sum},{\"incr\":\"account/$to\",\"by\":$sum}]");
            POSIX::_exit(1) if $reply->{status} != 200;
        }
        POSIX::_exit(0);
    }
    my ($wrong, $failed, $sums) = (0, 0, 0);
    for (1 .. 100) {
        my $reply = $server->get("$kv/?prefix=account/&values=1");
        my $sum = 0;
        $sum += $_->{value} for @{ $server->json($reply)->{items} };
        $wrong++ if $sum != 4000;
        $sum = 0;
        $sum += $_->{value} for @{ $server->json(batch(map { { get => "account/$_" } } 0 .. 3))->{results} };
        $wrong++ if $sum != 4000;
        $sums++;
    }
    waitpid($_, 0), $failed += $? != 0 for @writers;
    is $failed, 0, 'all transfers are done';
    is $wrong, 0, "no scan or batch of $sums sees half of one";
};

is $server->stop, 0, 'the daemon ends well';
done_testing;
