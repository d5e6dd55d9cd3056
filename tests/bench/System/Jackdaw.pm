# SPDX-License-Identifier: MIT

# Jackdaw as users run it: checks, metrics and log at their defaults.
#
# Options: name, title, routes (of the service b: 10), slice (limits.slice), keys
# (of the store main), values (sizes of more of them), big (rows of a table of 1
# kB each), empty (no services, no keys).
package System::Jackdaw;

use strict;
use warnings;
use parent 'System';

use Bench::Data;
use File::Copy qw(copy);
use File::Path qw(make_path);
use Jackdaw;
use JSON::PP;
use Service;

my $durable = 'on disk when it is answered';

sub name       { return $_[0]{name}  // 'jackdaw' }
sub title      { return $_[0]{title} // 'Jackdaw' }
sub durability { return { volatile_put => 'volatile store', map { $_ => $durable }
    qw(put mixed insert insert_none updates mixed_rate insert_all) } }
sub settings   {
    return 'defaults, but for limits that would refuse what is measured: queue_age and statement_timeout, and the '
        . "services' requests_per_second, max_statements and timeout";
}

sub version {
    my ($self) = @_;
    my ($own) = $self->output_of(Jackdaw::daemon(), '--version') =~ /([\d.]+)/;
    return 'Jackdaw ' . ($own // '');
}

# Routes that nobody calls, beside those that are.
sub service {
    my ($routes) = @_;
    my $idle = join '', map { "-- GET /idle/$_/{id}\n-- reply: one\nSELECT id FROM world WHERE id = :id;\n\n" }
        1 .. $routes - 7;
    return {
        'service.conf' => "requests_per_second = 0\nmax_statements = 10000\nmax_size = \"8G\"\ntimeout = \"10m\"\n",
        'migrations/0001_init.sql' => <<"SQL",
CREATE TABLE world(id INTEGER PRIMARY KEY, number INTEGER NOT NULL);
WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c WHERE x < $Bench::Data::rows)
INSERT INTO world SELECT x, abs(random()) % 10000 FROM c;
CREATE TABLE log(id INTEGER PRIMARY KEY, who TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL);
CREATE TABLE big(id INTEGER PRIMARY KEY, number INTEGER NOT NULL, filler BLOB NOT NULL);
SQL
        'routes.sql' => Jackdaw::_slurp('tests/bench/service/routes.sql'),
        'a.sql'      => <<'SQL' . $idle,
-- GET /big/{id}
-- reply: one
SELECT id, number FROM big WHERE id = :id;

-- GET /bigfresh/{id}
-- reply: one
-- cache: off
SELECT id, number FROM big WHERE id = :id;

-- GET /log/{id}
-- reply: one
SELECT id, who, what, n FROM log WHERE id = :id;

-- POST /log/shown
-- reply: one
-- status: 201
INSERT INTO log(who, what, n) VALUES (:who, :what, :n) RETURNING id;

SQL
    };
}

our @json = (headers => ['Content-Type: application/json']);
our $log_row = '{"who":"somebody","what":"' . 'x' x 60 . '","n":1}';

sub requests {
    my ($self) = @_;
    my %get = (path => '/v1/kv/main/{key}', size => 100);
    my %put = (method => 'PUT', body_size => 100, expect => '201,204');
    my %insert = (method => 'POST', path => '/b/log/shown', body => $log_row, @json, expect => '201');
    my %row = (path => '/b/row/{n}');
    return {
        (map { $_ => \%get } qw(get get_many get_rate)),
        get_one      => { path => '/v1/kv/main/00000001', size => 100 },
        get_304      => { path => '/v1/kv/main/00000001', expect => '304',
            headers => [ 'If-None-Match: ' . ($self->{kv_tag} // '') ] },
        put          => { %put, path => '/v1/kv/puts/{key}' },
        volatile_put => { %put, path => '/v1/kv/cache/{key}' },
        mixed        => { expect => '200,201,204', kinds =>
            [ { %get, weight => 95 }, { %put, path => '/v1/kv/main/{key}', weight => 5 } ] },
        value_64k    => { path => '/v1/kv/main/64k', size => 65536 },
        value_1m     => { path => '/v1/kv/main/1m',  size => 1048576 },
        row          => \%row,
        row_one      => { path => '/b/row/4321' },
        row_304      => { path => '/b/row/1', expect => '304',
            headers => [ 'If-None-Match: ' . ($self->{row_tag} // '') ] },
        fresh        => { path => '/b/fresh/{n}' },
        fresh_one    => { path => '/b/fresh/4321' },
        insert       => \%insert,
        insert_none  => { %insert, path => '/b/log', expect => '204' },
        insert_all   => { %insert, path => '/b/log', expect => '204' },
        read_all     => { path => '/b/log/{n}', expect => '200,404' },
        mixed_rate   => { expect => '200,201,204', kinds => [ { %get, weight => 90 }, { %row, weight => 5 },
            { %put, path => '/v1/kv/puts/{key}', weight => 5 } ] },
        json         => { path => '/bench/json' },
        rows_one     => { path => '/bench/db' },
        rows_many    => { path => '/bench/rows/20' },
        updates      => { method => 'POST', path => '/bench/updates/20' },
        fortunes     => { path => '/bench/fortunes' },
        rows_cached  => { path => '/bench/cached/20?from={n}' },
        idle         => { path => '/livez' },
        put_main     => { %put, path => '/v1/kv/main/{key}' },
        big          => { path => '/b/big/{n}' },
        big_fresh    => { path => '/b/bigfresh/{n}' },
        (map { ("value_$_" => { path => "/v1/kv/main/value$_", size => $_ },
            "put_$_" => { %put, path => '/v1/kv/puts/{key}', body_size => $_ }) } @{ $self->{values} // [] }),
    };
}

# Below a row's path: the row as it is now.
sub uncached { return '/uncached' }

sub _copy_bench {
    my ($to) = @_;
    make_path("$to/migrations");
    copy("etc/services/bench/$_", "$to/$_") or die "etc/services/bench/$_: $!"
        for qw(bench.sql service.conf migrations/0001_init.sql);
    return;
}

sub start {
    my ($self, %options) = @_;
    if ($self->{empty}) {
        $self->{server} = Jackdaw->start(dir => "$options{data}/data");
        $self->{address} = $self->{server}->address;
        return;
    }
    my $services = "$options{data}/services";
    _copy_bench("$services/bench");
    Service::folder("$services/b", service($self->{routes} // 10));
    my @args = $self->{slice} ? ('--set', "limits.slice=$self->{slice}") : ();
    my $server = $self->{server} = Jackdaw->start(dir => "$options{data}/data", args => \@args, conf => <<"END");
service_dir = "$services"
store main { kind = durable max_size = "16G" }
store puts { kind = durable max_size = "1G" }
store cache { kind = volatile max_size = "256M" }
limits {
    queue_age = "10s"
    statement_timeout = "10m"
}
END
    $self->{address} = $server->address;
    $self->import_pairs($options{say});
    $server->put("/v1/kv/main/value$_", 'x' x $_)->{success} or die "a value of $_ bytes" for @{ $self->{values} // [] };
    $self->fill_big($options{say}) if $self->{big};
    $self->{kv_tag}  = $server->get('/v1/kv/main/00000001')->{headers}{etag};
    $self->{row_tag} = $server->get('/b/row/1')->{headers}{etag};
    return;
}

sub warm_up { return $_[1] }

sub roots { return $_[0]{server} ? $_[0]{server}->pid : () }

sub stop {
    my ($self) = @_;
    my $server = delete $self->{server} or return;
    my $status = $server->stop;
    die "the daemon ends with $status: " . $server->log if $status != 0;
    return;
}

# A hundred thousand rows at a time, each a transaction.
sub fill_big {
    my ($self, $say) = @_;
    for (my $from = 0; $from < $self->{big}; $from += 100_000) {
        $say->("$from rows of $self->{big}");
        my $to = $from + 100_000 < $self->{big} ? $from + 100_000 : $self->{big};
        Service::sql($self->{server}, 'b', "WITH RECURSIVE c(x) AS (SELECT $from UNION ALL SELECT x + 1 FROM c "
            . "WHERE x < $to - 1) INSERT INTO big SELECT x, abs(random()) % 10000, zeroblob(1000) FROM c");
    }
    return;
}

# As one streamed import.
sub import_pairs {
    my ($self, $say) = @_;
    my $pairs      = Bench::Data::pairs($self->{keys});
    my $connection = $self->{server}->connect;
    $connection->send("PUT /v1/kv/main/?op=import HTTP/1.1\r\nHost: bench\r\n"
        . "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
    my ($lines, $count) = ('', 0);
    my $flush = sub {
        $connection->send(sprintf "%x\r\n%s\r\n", length $lines, $lines) if length $lines;
        $lines = '';
    };
    while (my ($key, $value) = $pairs->()) {
        $lines .= qq({"key":"$key","value":"$value"}\n);
        $flush->() if length $lines > 100_000;
        $say->("$count keys") if ++$count % 500_000 == 0;
    }
    $flush->();
    $connection->send("0\r\n\r\n");
    my $reply = $connection->read_reply('PUT', timeout => 600);
    die "import: $reply->{status} $reply->{content}" if $reply->{status} != 200;
    return;
}

my %counters = (
    batches => [ 'jackdaw_lane_batches_total' ],
    writes  => [ 'jackdaw_lane_items_total' ],
    hits    => [ 'jackdaw_cache_hits_total' ],
    misses  => [ 'jackdaw_cache_misses_total' ],
);

sub counters {
    my ($self) = @_;
    my $all = $self->{server}->metrics;
    return { map { $_ => $self->{server}->metric(@{ $counters{$_} }, undef, $all) // 0 } keys %counters };
}

# ---- beside endless statements ----------------------------------------------

my @endless = (
    'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c',
    'SELECT count(*) FROM facts a JOIN facts b ON a.n % 997 = b.n % 991',
    'SELECT k, sum(n) FROM facts CROSS JOIN world GROUP BY n % 7 ORDER BY 2 DESC LIMIT 3',
    'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT (x * 48271) % 2147483647 FROM c) SELECT count(*) FROM c, facts',
);

# Without slices at all nobody else would be answered: there are more of them
# than workers.
sub begin_beside {
    my ($self, $facts) = @_;
    my $server = $self->{server};
    if (!$self->{facts}++) {
        Service::sql($server, 'b', 'CREATE TABLE facts(id INTEGER PRIMARY KEY, k INTEGER, n INTEGER)');
        Service::sql($server, 'b', "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $facts) "
            . 'INSERT INTO facts(k, n) SELECT x % 100, x FROM c');
    }
    $self->{clients} = [ map {
        my $connection = $server->connect;
        $connection->send_request(POST => '/v1/sql/b', headers => { 'Content-Type' => 'application/json' },
            content => JSON::PP->new->encode({ sql => $_, timeout => '10m' }));
        $connection;
    } @endless ];
    return;
}

sub end_beside {
    my ($self) = @_;
    close $_->socket for splice @{ $self->{clients} };
    return;
}

1;
