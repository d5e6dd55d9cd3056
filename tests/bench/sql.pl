# SPDX-License-Identifier: MIT
# Services against the floor (floor.c): as bench.pl, whose words apply here too.
#
#   BENCH_ROUNDS (5), BENCH_SECONDS (2), BENCH_READS (1,000,000)
use strict;
use warnings;

use lib 'tests/bench';
use Bench;
use File::Temp;
use Jackdaw;
use JSON::PP;
use Service;
use Time::HiRes qw(sleep time);

my $rounds  = $ENV{BENCH_ROUNDS}  // 5;
my $seconds = $ENV{BENCH_SECONDS} // 2;
my $rows    = 10_000;
my $inserts = $ENV{BENCH_INSERTS} // 100_000;
my $reads   = $ENV{BENCH_READS}   // 1_000_000;
my $facts   = $ENV{BENCH_FACTS}   // 1_000_000;

# ---- the service -----------------------------------------------------------

# Routes that nobody calls, beside those that are.
sub files {
    my ($idle_routes) = @_;
    my $idle = join '', map { "-- GET /idle/$_/{id}\n-- reply: one\nSELECT id FROM world WHERE id = :id;\n\n" }
        1 .. $idle_routes;
    return {
        'migrations/0001_init.sql' => <<"SQL",
CREATE TABLE world(id INTEGER PRIMARY KEY, number INTEGER NOT NULL);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $rows)
INSERT INTO world SELECT x, abs(random()) % 10000 FROM c;
CREATE TABLE log(id INTEGER PRIMARY KEY, who TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL);
SQL
        'a.sql' => <<'SQL' . $idle,
-- GET /row/{id}
-- reply: one
SELECT id, number FROM world WHERE id = :id;

-- GET /fresh/{id}
-- reply: one
-- cache: off
SELECT id, number FROM world WHERE id = :id;

-- GET /log/{id}
-- reply: one
SELECT id, who, what, n FROM log WHERE id = :id;

-- POST /log
-- reply: none
INSERT INTO log(who, what, n) VALUES (:who, :what, :n);

-- POST /log/shown
-- reply: one
-- status: 201
INSERT INTO log(who, what, n) VALUES (:who, :what, :n) RETURNING id;

SQL
    };
}

my $conf = "limits { queue_age = \"10s\" }\nstore main { kind = durable max_size = \"1G\" }\n";
my $data = File::Temp->newdir('bench-XXXXXX', DIR => 'build');

sub start {
    my ($name, $idle_routes, %options) = @_;
    my $server = Service::start(b => files($idle_routes),
        { dir => "$data/$name", conf => $conf, %options });
    return { server => $server, pid => $server->pid, address => $server->address };
}

my $floor = Bench::start_floor("$data");
my $few   = start('few',  6);
my $many  = start('many', 996);

# ---- a row by its key ------------------------------------------------------

my $tag = $few->{server}->get('/b/row/00000001')->{headers}{etag};
my @timed = ('-s', $seconds);
my @post = ('-m', 'POST', '-H', 'Content-Type: application/json', '-e', '201,204',
    '-d', '{"who":"somebody","what":"' . 'x' x 60 . '","n":1}');
my @load = (
    [ floor        => $floor, '/',             @timed, '-l', 100 ],
    [ cached       => $few,   '/b/row/1?x=',   @timed, '-k', $rows ],
    [ cached_one   => $few,   '/b/row/4321',   @timed ],
    [ fresh        => $few,   '/b/fresh/4321', @timed ],
    [ not_modified => $few,   '/b/row/00000001', @timed, '-e', '304', '-H', "If-None-Match: $tag" ],
    [ insert       => $few,   '/b/log',        @timed, @post ],
    [ insert_shown => $few,   '/b/log/shown',  @timed, @post ],
    [ cached_many  => $many,  '/b/row/4321',   @timed ],
    [ fresh_many   => $many,  '/b/fresh/4321', @timed ],
);
Bench::measure($_, '/b/row/1?x=', '-n', 3 * $rows, '-k', $rows) for $few;
my $results = Bench::rounds($rounds, undef, @load);

# One commit a request: SQLite itself, with our settings, on the same disk.
sub lone_commits {
    my $count = 2000;
    unlink glob "$data/lone.db*";
    open my $sql, '>', "$data/lone.sql" or die $!;
    print $sql "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;\n",
        "CREATE TABLE log(id INTEGER PRIMARY KEY, who TEXT, what TEXT, n INTEGER);\n",
        ("INSERT INTO log(who, what, n) VALUES ('somebody', '" . 'x' x 60 . "', 1);\n") x $count;
    close $sql;
    my $begin = time;
    my ($status, undef, $err) = Jackdaw->run('sqlite3', "$data/lone.db", '.read ' . "$data/lone.sql", { timeout => 120 });
    die $err if $status;
    return $count / (time - $begin);
}
# In turns, since a disk's syncs are not always the same.
my (@lone, @many_together);
for (1 .. $rounds) {
    push @lone, lone_commits();
    push @many_together, Bench::measure($few, '/b/log', '-s', 1, @post)->{rate};
}
my $together = Bench::median(map { $many_together[$_] / $lone[$_] } 0 .. $#lone);

# ---- much of it ------------------------------------------------------------

my $insert_all = Bench::measure($few, '/b/log', '-n', $inserts, @post);
my $read_all   = Bench::measure($few, '/b/log/', '-n', $reads, '-k', $inserts, '-e', '200,404');

# ---- beside endless statements ---------------------------------------------

my @endless = (
    'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c',
    'SELECT count(*) FROM facts a JOIN facts b ON a.n % 997 = b.n % 991',
    'SELECT k, sum(n) FROM facts CROSS JOIN world GROUP BY n % 7 ORDER BY 2 DESC LIMIT 3',
    'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT (x * 48271) % 2147483647 FROM c) SELECT count(*) FROM c, facts',
);

# p99 of three kinds of requests, alone and beside those four. Without slices
# at all they would never be answered: two workers, four statements without end.
sub tails {
    my ($name, %options) = @_;
    my $target = start($name, 6, %options);
    my $server = $target->{server};
    Service::sql($server, 'b', 'CREATE TABLE facts(id INTEGER PRIMARY KEY, k INTEGER, n INTEGER)');
    Service::sql($server, 'b', "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $facts) "
        . 'INSERT INTO facts(k, n) SELECT x % 100, x FROM c');
    $server->put('/v1/kv/main/00000001', 'v' x 100);
    my %kinds = (kv => '/v1/kv/main/00000001', cached => '/b/row/4321', fresh => '/b/fresh/4321');
    my $look = sub {
        return { map { $_ => Bench::measure($target, $kinds{$_}, '-s', 1, '-c', 16)->{p99_us} } sort keys %kinds };
    };
    # In turns, since what else the machine does changes.
    my (%alone, %beside, %ratio);
    for (1 .. $rounds) {
        my $alone   = $look->();
        my @clients = map {
            my $connection = $server->connect;
            $connection->send_request(POST => '/v1/sql/b', headers => { 'Content-Type' => 'application/json' },
                content => JSON::PP->new->encode({ sql => $_, timeout => '10m' }));
            $connection;
        } @endless;
        sleep 0.5;
        my $beside = $look->();
        close $_->socket for @clients;
        sleep 1;
        for (keys %kinds) {
            push @{ $alone{$_} },  $alone->{$_};
            push @{ $beside{$_} }, $beside->{$_};
            push @{ $ratio{$_} },  $beside->{$_} / $alone->{$_};
        }
    }
    $server->kill9;
    return { map { $_ => [ map { Bench::median(@$_) } $alone{$_}, $beside{$_}, $ratio{$_} ] } keys %kinds };
}
$_->{server}->stop for $few, $many;
my $sliced   = tails('sliced', args => ['--set', 'limits.statement_timeout=10m']);
my $unsliced = tails('unsliced', args => ['--set', 'limits.statement_timeout=10m', '--set', 'limits.slice=100ms']);

# ---- the report ------------------------------------------------------------

my $ratio = sub { return Bench::ratio($results, @_) };
my @cpu = ('cpu_us', 'floor');
my @report = (
    [ 'row by key, cached, 10^4 targets: CPU, x floor', $ratio->('cached', @cpu), '<=', 1.2 ],
    [ 'row by key, cached, one target: CPU, x floor', $ratio->('cached_one', @cpu), '<=', 1.2 ],
    [ 'row by key, not cached: CPU, x floor', $ratio->('fresh', @cpu), '<=', 1.7 ],
    [ '304: CPU, x floor', $ratio->('not_modified', @cpu), '<=', 1.15 ],
    [ 'durable insert: CPU, x floor', $ratio->('insert', @cpu), '<=', 3.5 ],
    [ 'durable insert with RETURNING: CPU, x floor', $ratio->('insert_shown', @cpu), '<=', 3.5 ],
    [ 'durable insert: throughput, x one commit a request',
        $together, '>=', 10 ],
    [ 'cached row, 1,000 routes: CPU, x 10 routes', $ratio->('cached_many', 'cpu_us', 'cached_one'), '<=', 1.05 ],
    [ 'row not cached, 1,000 routes: CPU, x 10 routes', $ratio->('fresh_many', 'cpu_us', 'fresh'), '<=', 1.05 ],
    (map { [ "$_ beside four endless statements: p99, x alone", $sliced->{$_}[2], '<=', $_ eq 'fresh' ? 10 : 3 ] }
        qw(kv cached fresh)),
    (map { [ "the same of $_, with slices of 100 ms", $unsliced->{$_}[2] ] } qw(kv cached fresh)),
);
Bench::report($rounds, @report);
Bench::table($results, map { $_->[0] } @load);
Bench::save('build/bench-sql.json', $results, report => \@report);
printf "one commit a request: %.0f/s; durable inserts of 64 connections: %.0f/s\n",
    Bench::median(@lone), Bench::median(@many_together);
printf "%d inserts by 64 clients: %.0f/s, p50 %.0f us, p95 %.0f us\n", $inserts,
    map { $insert_all->{$_} } qw(rate p50_us p95_us);
printf "%d reads by key: %.0f/s, p50 %.0f us, p95 %.0f us\n", $reads, map { $read_all->{$_} } qw(rate p50_us p95_us);
for my $kind (qw(kv cached fresh)) {
    printf "%s: p99 %.0f us alone, %.0f us beside, %.0f us beside with slices of 100 ms\n", $kind,
        @{ $sliced->{$kind} }[ 0, 1 ], $unsliced->{$kind}[1];
}
