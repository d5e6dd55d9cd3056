# SPDX-License-Identifier: MIT

# What operators look at: health and metrics.
use strict;
use warnings;
use Jackdaw;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $server = Jackdaw->start;
my $kv = '/v1/kv/main';

subtest 'health' => sub {
    for my $target ('/livez', '/readyz') {
        my $reply = $server->get($target);
        is $reply->{status}, 200, $target;
        like $reply->{headers}{'content-type'}, qr{^text/plain|^application/json}, 'its type';
        like $reply->{headers}{'cache-control'} // 'no-store', qr/no-(store|cache)/, 'not for caches';
    }
    my $reply = $server->get('/readyz?verbose');
    is $reply->{status}, 200, '/readyz?verbose';
    like $reply->{content}, qr/\b$_\b/, "has a check of $_" for qw(main cache);
    cmp_ok length $reply->{content}, '>', length $server->get('/readyz')->{content},
        'more than without';
    for my $flag ('verbose=', 'verbose=1', 'verbose=true') {
        like $server->get("/readyz?$flag")->{content}, qr/store main ok/, "?$flag: verbose";
    }
    is $server->get("/readyz?$_")->{content}, "ok\n", "?$_: not verbose" for qw(verbose=0 verbose=false);
    Jackdaw::is_problem($server->get('/readyz?verbose=maybe'), 400, 'bad_request', '?verbose=maybe: neither');
};

# Pages in the middle of a database, which nothing in its log is going to replace.
sub damage {
    my ($file) = @_;
    open my $out, '+<', $file or die "$file: $!";
    for my $page (20 .. 40) {
        seek $out, $page * 4096, 0 or die $!;
        print $out "\xee" x 4096;
    }
    close $out or die $!;
}

subtest 'a damaged database' => sub {
    my $table = 'CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)';
    my $fill  = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) '
        . 'INSERT INTO t SELECT i, hex(zeroblob(200)) FROM n';
    my $server = Service::start();
    my $reply  = Service::deploy($server, shop =>
        { 'migrations/0001_init.sql' => "$table;\n", 'a.sql' => "-- GET /a\nSELECT 1;\n" });
    is $reply->{status}, 200, 'a service' or diag $reply->{content};
    Service::sql($server, main => $table);
    Service::sql($server, $_ => $fill) for qw(main shop);
    my %files = (main => $server->dir . '/sql/main.db', shop => $server->dir . '/services/shop/sql.db');
    $server->restart;
    # They are checked after an end that leaves a log.
    Service::sql($server, $_ => 'CREATE TABLE later(a)') for sort keys %files;
    $reply = $server->get('/readyz?verbose');
    is $reply->{status}, 200, 'ready before' or diag $reply->{content};
    like $reply->{content}, qr/^\[\+\] database $_ ok$/m, "$_ is whole" for sort keys %files;
    $server->kill9;
    damage($_) for values %files;
    $server->restart(wait => 0);
    ok $server->wait_log(qr/$_: \S+ is damaged/, 10), "the check finds the damage of $_" for sort keys %files;
    # Which may be before it listens, and never ready.
    ok $server->wait_until(10, sub { $server->addresses && $server->get('/livez')->{status} == 200 }), 'it serves';
    $reply = $server->get('/readyz?verbose');
    is $reply->{status}, 503, 'not ready';
    like $reply->{content}, qr/^\[-\] database $_: .*damaged$/m, "because of $_" for sort keys %files;
    is $server->get('/readyz')->{status}, 503, 'nor for who asks no more';
    is $server->stop, 0, 'the daemon ends well';
};

# ---- the text format of Prometheus, strictly -------------------------------

my $name_pattern = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $label_pattern = qr/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/;

# The faults of text, each a line.
sub faults_of {
    my ($text) = @_;
    my (@faults, %type, %help, %family_done, %series, %buckets, %totals);
    my $family = '';
    push @faults, 'the last line does not end' if $text !~ /\n\z/;
    for my $line (split /\n/, $text) {
        my $fault = sub { push @faults, "$_[0]: $line" };
        if ($line =~ /^# (HELP|TYPE) ($name_pattern) (.+)$/) {
            my ($kind, $name, $rest) = ($1, $2, $3);
            $fault->('this family was over') if $family_done{$name};
            $family_done{$family} = 1 if $family ne '' && $family ne $name;
            $family = $name;
            if ($kind eq 'HELP') {
                $fault->('a second HELP') if exists $help{$name};
                $fault->('a bad escape') if $rest =~ /\\(?![\\n])/;
                $help{$name} = $rest;
            } else {
                $fault->('a second TYPE') if exists $type{$name};
                $fault->('no such type') if $rest !~ /^(counter|gauge|histogram|summary|untyped)$/;
                $type{$name} = $rest;
            }
            next;
        }
        if ($line !~ /^($name_pattern)(?:\{(.*)\})? (\S+)$/) {
            $fault->('no sample');
            next;
        }
        my ($name, $labels, $value) = ($1, $2 // '', $3);
        $fault->('no number') if $value !~ /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]Inf|NaN)$/i;
        my %labels;
        my $rest = $labels;
        while ($rest =~ s/^$label_pattern(?:,(?=.)|$)//) {
            $fault->("label $1 twice") if exists $labels{$1};
            $labels{$1} = $2;
        }
        $fault->('bad labels') if $rest ne '';
        my $sorted = join ',', map { "$_=$labels{$_}" } sort keys %labels;
        $fault->('the same series twice') if $series{"$name $sorted"}++;
        my $base = $name;
        $base =~ s/_(bucket|sum|count)$// if ($type{$family} // '') eq 'histogram';
        $fault->('a sample of another family') if $base ne $family;
        $fault->('no TYPE before it') if !$type{$family};
        $fault->('no HELP before it') if !$help{$family};
        $fault->('no prefix') if $name !~ /^(jackdaw|process)_/;
        $fault->('below zero') if ($type{$family} // '') ne 'gauge' && $value =~ /^-/;
        if (($type{$family} // '') eq 'counter') {
            $fault->('a counter is named _total') if $name !~ /_total$/;
        } elsif (($type{$family} // '') eq 'gauge') {
            $fault->('a gauge is not named _total') if $name =~ /_total$/;
        } elsif (($type{$family} // '') eq 'histogram') {
            my $le = delete $labels{le};
            my $key = join ',', $base, map { "$_=$labels{$_}" } sort keys %labels;
            if ($name =~ /_bucket$/) {
                $fault->('a bucket without le') if !defined $le;
                push @{ $buckets{$key} }, [$le, $value];
            } elsif ($name =~ /_(sum|count)$/) {
                $totals{$key}{$1} = $value;
            } else {
                $fault->('no part of a histogram');
            }
        }
        # Base units: seconds and bytes, never their fractions.
        $fault->('no base unit') if $name =~ /_(ms|us|ns|milliseconds|microseconds|nanoseconds|kb|mb|kilobytes|megabytes|percent|minutes)(_|$)/i;
    }
    for my $name (keys %type) {
        push @faults, "no HELP: $name" if !defined $help{$name};
    }
    for my $key (sort keys %buckets) {
        my ($before, $le_before) = (0, -1);
        for my $bucket (@{ $buckets{$key} }) {
            my ($le, $count) = @$bucket;
            my $number = $le eq '+Inf' ? 9**9**9 : $le;
            push @faults, "le does not grow: $key $le" if $number <= $le_before;
            push @faults, "a bucket is below the one before: $key $le" if $count < $before;
            ($le_before, $before) = ($number, $count);
        }
        push @faults, "no +Inf: $key" if $buckets{$key}[-1][0] ne '+Inf';
        push @faults, "no sum or count: $key" if grep { !defined $totals{$key}{$_} } qw(sum count);
        push @faults, "count is not +Inf's: $key"
            if ($totals{$key}{count} // -1) != $buckets{$key}[-1][1];
    }
    return (\@faults, \%type);
}

subtest 'the checker' => sub {
    my $good = "# HELP jackdaw_a_total Things.\n# TYPE jackdaw_a_total counter\n"
        . "jackdaw_a_total{x=\"1\"} 1\njackdaw_a_total{x=\"a\\\"b\"} 2\n";
    my $histogram = "# HELP jackdaw_h_seconds Times.\n# TYPE jackdaw_h_seconds histogram\n"
        . "jackdaw_h_seconds_bucket{le=\"0.1\"} 1\njackdaw_h_seconds_bucket{le=\"+Inf\"} 2\n"
        . "jackdaw_h_seconds_sum 0.5\njackdaw_h_seconds_count 2\n";
    is_deeply((faults_of($good . $histogram))[0], [], 'takes what is good');
    my @bad = (
        $good =~ s/\n\z//r, $good =~ s/counter/count/r, $good =~ s/# HELP.*\n//r,
        $good =~ s/# TYPE.*\n//r, $good . $good, $good =~ s/x="1"/x="1",x="2"/r,
        $good =~ s/a\\"b/1/r, $good =~ s/x="1"/x=1/r, $good =~ s/ 1$/ one/mr,
        $good =~ s/_a_total/_a/gr, $good =~ s/ 1$/ -1/mr,
        $histogram =~ s/\+Inf/0.2/r, $histogram =~ s/count 2/count 3/r, $histogram =~ s/\} 2/} 0/r,
        $histogram =~ s/_seconds/_ms/gr, $histogram =~ s/"0.1"/"+Inf"/r,
        $histogram =~ s/.*_sum.*\n//r, $good . $histogram . "jackdaw_a_total{x=\"9\"} 1\n",
    );
    for my $text (@bad) {
        isnt scalar @{ (faults_of($text))[0] }, 0, 'finds a fault' or diag $text;
    }
};

subtest 'the format of /metrics' => sub {
    $server->put("$kv/format", 'v');
    $server->get("$kv/format") for 1 .. 5;
    $server->get('/nowhere');
    $server->request(BREW => "$kv/format");
    my $reply = $server->get('/metrics');
    is $reply->{status}, 200, 'is there';
    like $reply->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4(; charset=utf-8)?$}, 'its type';
    my ($faults, $types) = faults_of($reply->{content});
    is_deeply $faults, [], 'no fault' or diag explain $faults;
    my %families = (
        scheduler => [qr/task/, qr/steal|stolen/, qr/park/, qr/queue.*(wait|seconds)|wait.*seconds/],
        shard => [qr/connections/, qr/requests/, qr/duration|request_seconds/],
        cache => [qr/cache.*hit/, qr/cache.*miss/, qr/cache.*evict/, qr/cache.*bytes/],
        lane => [qr/batch/, qr/commit.*seconds/, qr/sync.*seconds/, qr/queue_age|age.*seconds/],
        store => [qr/map.*used/, qr/entries/, qr/readers/],
    );
    for my $part (sort keys %families) {
        for my $pattern (@{ $families{$part} }) {
            ok((grep { $_ =~ $pattern } keys %$types), "$part: $pattern");
        }
    }
    my ($durations) = grep { $types->{$_} eq 'histogram' && /request.*seconds/ } sort keys %$types;
    ok defined $durations, 'a histogram of durations' or return;
    my ($smallest) = sort { $a <=> $b } $reply->{content} =~ /^\Q$durations\E_bucket\{.*le="([\d.e-]+)"/mg;
    cmp_ok $smallest, '==', 0.00005, 'from 50 us';
};

subtest 'the longest route is a label like any other' => sub {
    my $server = Service::start();
    my $path   = join '', map { sprintf '/%s%02d', 'p' x 98, $_ } 1 .. 16;
    my $name   = 's' x 48;
    my $reply  = Service::deploy($server, $name => { 'a.sql' => "-- GET $path\nSELECT 1 AS x;\n" });
    is $reply->{status}, 200, 'a service' or diag $reply->{content};
    is $server->get("/$name$path")->{status}, 200, 'a request';
    my $counted = sub { $server->metric('jackdaw_route_requests_total', qr{route="/$name$path"}) };
    is $server->wait_until(5, $counted), 1, 'it is counted';
    my ($faults) = faults_of($server->get('/metrics')->{content});
    is scalar @$faults, 0, 'no fault' or diag $faults->[0];
    is $server->stop, 0, 'the daemon ends well';
};

# How much a sum of series grows over code.
sub growth {
    my ($code, %what) = @_;
    my $before = $server->metrics;
    $code->();
    my $after = $server->metrics;
    my %grown;
    for my $name (keys %what) {
        my ($metric, $labels) = @{ $what{$name} };
        my @sums = map { $server->metric($metric, $labels, $_) } $before, $after;
        $grown{$name} = defined $sums[1] ? $sums[1] - ($sums[0] // 0) : undef;
    }
    return \%grown;
}

# Metrics by what is in their names, so that a test reads as its meaning.
sub named {
    my ($pattern) = @_;
    my %names = map { /^([^{]+)/ ? ($1 => 1) : () } keys %{ $server->metrics };
    my @found = grep { $_ =~ $pattern } sort keys %names;
    return $found[0] // "none like $pattern";
}

subtest 'figures move' => sub {
    my $requests = named(qr/^jackdaw_(http_)?requests_total$/);
    my $hits = named(qr/cache_hits_total$/);
    my $misses = named(qr/cache_misses_total$/);
    my $store = qr/"main"/;
    $server->put("$kv/figure", 'v');
    $server->get("$kv/figure") for 1 .. 20;
    my $grown = growth(sub { $server->get("$kv/figure") for 1 .. 50 },
        hits => [$hits], misses => [$misses], requests => [$requests, qr/status="200"/]);
    cmp_ok $grown->{hits}, '>=', 45, 'reads again are hits' or diag explain $grown;
    cmp_ok $grown->{hits} + $grown->{misses}, '==', 50, 'each is one or the other' or diag explain $grown;
    cmp_ok $grown->{requests}, '>=', 50, 'and requests';

    my $batches = named(qr/lane_.*batch(es|_\w+)?(_count)?$|batches_total$/);
    my $ops = named(qr/(lane|commit).*(ops|operations)_total$/);
    my $entries = named(qr/(store|kv)_entries$/);
    $grown = growth(sub { $server->put("$kv/figure/$_", 'v') for 1 .. 10 },
        ops => [$ops, $store], entries => [$entries, $store], requests => [$requests, qr/status="201"/],
        batches => [named(qr/batches_total$|batch_\w+_count$/), $store]);
    is $grown->{ops}, 10, 'ten writes are ten operations' or diag explain $grown;
    is $grown->{entries}, 10, 'and ten entries' or diag explain $grown;
    is $grown->{requests}, 10, 'and ten requests that created';
    ok $grown->{batches} >= 1 && $grown->{batches} <= 10, 'in some batches' or diag explain $grown;

    for my $case ([404, GET => "$kv/no"], [405, PATCH => "$kv/no"], [400, GET => "$kv/%"],
        [412, PUT => "$kv/figure", 'If-None-Match' => '*'], [204, DELETE => "$kv/figure"]) {
        my ($status, $method, $target, @headers) = @$case;
        $grown = growth(sub { $server->request($method, $target, headers => \@headers) },
            requests => [$requests, qr/status="$status"/]);
        is $grown->{requests}, 1, "a $status is counted as one";
    }
    my $connections = named(qr/^jackdaw_(http_)?connections$/);
    $server->get('/livez');
    my $before = $server->metric($connections);
    my @open = map { my $c = $server->connect; $c->request(GET => '/livez'); $c } 1 .. 10;
    is $server->metric($connections), $before + 10, 'ten connections';
    undef @open;
    ok $server->wait_until(5, sub { $server->metric($connections) == $before }), 'and gone';

    my $text = $server->get('/metrics')->{content};
    my ($faults) = faults_of($text);
    is_deeply $faults, [], 'still no fault';
    unlike $text, qr{figure|%|/no\b|BREW|PATCH /|127\.0\.0\.1|nowhere}, 'no key, path or client in it';
    my $series = () = $text =~ /^jackdaw/mg;
    $server->get("/$_/$_"), $server->request("M$_", "/$_") for 1 .. 50;
    my $more = () = $server->get('/metrics')->{content} =~ /^jackdaw/mg;
    cmp_ok $more - $series, '<', 60, 'strange requests make no series without end';
};

# A worker that has a connection waits in libmicrohttpd, from one look at deadlines
# to the next. What a crowded machine takes from it in between is counted as well.
subtest 'waiting is not work' => sub {
    my $name = 'jackdaw_sched_busy_seconds_total';
    my ($begin, $before) = (time, $server->metric($name));
    sleep 3;
    my $busy = $server->metric($name) - $before;
    my $took = time - $begin;
    cmp_ok $busy, '<', $took / 2, 'where nothing comes' or diag "$busy s of $took s";
};

subtest 'OPTIONS and Allow' => sub {
    for my $target ('/livez', '/readyz', '/metrics', "$kv/k", "$kv/", '/v1/kv/cache/k') {
        my $reply = $server->request(OPTIONS => $target);
        like $reply->{status}, qr/^20[04]$/, "OPTIONS $target";
        my $allow = $reply->{headers}{allow} // '';
        like $allow, qr/\b$_\b/, "$target: $_" for qw(GET HEAD OPTIONS);
        my $other = $server->request(PATCH => $target);
        is $other->{status}, 405, "PATCH $target";
        is $other->{headers}{allow}, $allow, 'with the same Allow';
        for my $method (split /\s*,\s*/, $allow) {
            isnt $server->request($method, $target, content => '')->{status}, 405,
                "$method $target is allowed";
        }
    }
};

is $server->stop, 0, 'the daemon ends well';
done_testing;
