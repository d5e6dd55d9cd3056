# SPDX-License-Identifier: MIT

# Nothing stale: writers of every kind against cached reads and conditional
# GETs over many connections. No read is older than what was acknowledged, or
# seen by anybody, before it began.
#
# Each thing has one writer, which counts it up. Whoever knows a value of it to
# be there writes it down in a file of its own before going on; a reader looks
# into all files first, and then asks.
use strict;
use warnings;

use Crowd;
use Fcntl qw(O_RDWR O_CREAT);
use File::Temp;
use Jackdaw;
use JSON::PP;
use List::Util qw(max);
use Service;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{STRESS_SECONDS} // 5;
my $readers = 4;
my $writers = 3;

my $server = Service::start(
    s => {
        'migrations/0001_init.sql' => <<'SQL',
CREATE TABLE direct(id INTEGER PRIMARY KEY, n INTEGER);
CREATE TABLE source(id INTEGER PRIMARY KEY, n INTEGER);
CREATE TABLE target(id INTEGER PRIMARY KEY, n INTEGER);
CREATE TRIGGER copied AFTER UPDATE ON source BEGIN UPDATE target SET n = new.n; END;
CREATE TABLE base(id INTEGER PRIMARY KEY, n INTEGER);
CREATE VIEW inner_view AS SELECT n FROM base;
CREATE VIEW outer_view AS SELECT max(n) AS n FROM inner_view;
CREATE TABLE replaced(id INTEGER PRIMARY KEY, n INTEGER);
CREATE TABLE bare(k TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
CREATE TABLE parent(n INTEGER PRIMARY KEY);
CREATE TABLE child(id INTEGER PRIMARY KEY, n INTEGER REFERENCES parent(n) ON UPDATE CASCADE);
CREATE VIRTUAL TABLE words USING fts5(n);
INSERT INTO direct VALUES (1, 0), (2, 0);
INSERT INTO source VALUES (1, 0);
INSERT INTO target VALUES (1, 0);
INSERT INTO base VALUES (1, 0);
INSERT INTO replaced VALUES (1, 0);
INSERT INTO bare VALUES ('k', 0);
INSERT INTO parent VALUES (0);
INSERT INTO child VALUES (1, 0);
INSERT INTO words(rowid, n) VALUES (1, '0');
SQL
        'routes.sql' => join("\n", map { "-- GET /$_->[0]\n-- reply: one\n$_->[1];\n\n-- PUT /$_->[0]\n-- reply: none\n$_->[2];\n" }
            ['direct', 'SELECT n FROM direct WHERE id = 1', 'UPDATE direct SET n = :n WHERE id = 1'],
            ['trigger', 'SELECT n FROM target', 'UPDATE source SET n = :n'],
            ['view', 'SELECT n FROM outer_view', 'UPDATE base SET n = :n'],
            ['replace', 'SELECT n FROM replaced WHERE id = 1', 'REPLACE INTO replaced VALUES (1, :n)'],
            ['bare', q(SELECT n FROM bare WHERE k = 'k'),
                q(INSERT INTO bare VALUES ('k', :n) ON CONFLICT DO UPDATE SET n = excluded.n)],
            ['cascade', 'SELECT n FROM child', 'UPDATE parent SET n = :n'],
            ['words', 'SELECT CAST(n AS INTEGER) AS n FROM words WHERE rowid = 1',
                'UPDATE words SET n = :n WHERE rowid = 1'],
            ) . <<'SQL',

-- GET /sql
-- reply: one
SELECT n FROM direct WHERE id = 2;

-- GET /key
-- reply: one
SELECT CAST(kv_get('main', 'key') AS INTEGER) AS n;

-- GET /keys
-- reply: one
SELECT max(CAST(value AS INTEGER)) AS n FROM kv WHERE store = 'main' AND key >= 'keys/' AND key < 'keys0';
SQL
        'service.conf' => qq(stores = {"main"}\n),
    },
    { conf => "store main { kind = durable }\n" });

my @things = qw(direct trigger view replace bare cascade words sql key keys);
$server->put('/v1/kv/main/key', '0');
$server->put('/v1/kv/main/keys/1', '0');

my $files = File::Temp->newdir;
my %place = map { $things[$_] => $_ } 0 .. $#things;

# One number for each thing, of who writes it down.
sub open_board {
    my ($name) = @_;
    sysopen my $board, "$files/$name", O_RDWR | O_CREAT or die $!;
    syswrite $board, pack('q*', map { 0 } @things);
    return $board;
}
my @boards = map { open_board($_) } 0 .. $readers + $writers - 1;

sub write_down {
    my ($board, $thing, $n) = @_;
    sysseek $board, 8 * $place{$thing}, 0;
    syswrite $board, pack 'q', $n;
}

# Descriptors of its own: a shared one would share its position.
sub look {
    my ($own, $thing) = @_;
    my $known = 0;
    for (@$own) {
        sysseek $_, 8 * $place{$thing}, 0;
        sysread $_, my $bytes, 8;
        $known = max($known, unpack 'q', $bytes);
    }
    return $known;
}

sub write_thing {
    my ($connection, $thing, $n) = @_;
    return $connection->request(PUT => '/v1/kv/main/key', content => $n) if $thing eq 'key';
    return $connection->request(PUT => '/v1/kv/main/keys/' . (1 + $n % 3), content => $n) if $thing eq 'keys';
    my $json = { 'Content-Type' => 'application/json' };
    return $connection->request(POST => '/v1/sql/s', headers => $json,
        content => qq({"sql":"UPDATE direct SET n = ? WHERE id = 2","params":[$n]})) if $thing eq 'sql';
    return $connection->request(PUT => "/s/$thing", headers => $json, content => qq({"n":$n}));
}

my $end = time + $seconds * (Jackdaw::slowness() > 1 ? 2 : 1);
my $write = sub {
    my ($index) = @_;
    my $connection = $server->connect;
    my @mine = grep { $place{$_} % $writers == $index } @things;
    my ($n, %failed) = (0);
    while (time < $end) {
        $n++;
        for my $thing (@mine) {
            my $reply = write_thing($connection, $thing, $n);
            if ($reply->{status} =~ /^2/) { write_down($boards[$index], $thing, $n) }
            else { $failed{"$thing $reply->{status} $reply->{content}"}++; return { n => $n, failed => \%failed } if keys %failed > 5 }
        }
    }
    return { n => $n, failed => \%failed };
};
my $read = sub {
    my ($index) = @_;
    my @own = map { sysopen my $board, "$files/$_", O_RDWR or die $!; $board } 0 .. $readers + $writers - 1;
    my $board = $boards[$writers + $index];
    my $connection = $server->connect;
    my (%tags, @stale, %count);
    while (time < $end && @stale < 5) {
        my $thing = $things[rand @things];
        my $known = look(\@own, $thing);
        my ($tag) = $tags{$thing} ? @{ $tags{$thing} } : ();
        my @conditional = $tag && rand() < 0.5 ? (headers => { 'If-None-Match' => $tag }) : ();
        my $reply = $connection->request(GET => "/s/$thing", @conditional);
        my $n;
        if ($reply->{status} == 304) { $n = $tags{$thing}[1] }
        elsif ($reply->{status} == 200) { ($n) = $reply->{content} =~ /"n":(\d+)/ }
        else { push @stale, "$thing: $reply->{status} $reply->{content}"; next }
        $count{ $reply->{status} }++;
        $count{hit}++ if ($reply->{headers}{'cache-status'} // '') =~ /hit/;
        $tags{$thing} = [$reply->{headers}{etag}, $n] if $reply->{status} == 200 && $reply->{headers}{etag};
        push @stale, "$thing: $n ($reply->{status} " . ($reply->{headers}{'cache-status'} // '') . "), after $known was known" if $n < $known;
        write_down($board, $thing, $n) if $n > $known;
    }
    return { stale => \@stale, count => \%count };
};

my $crowd = Crowd->start($readers + $writers, sub {
    my ($index) = @_;
    return $index < $writers ? $write->($index) : $read->($index - $writers);
});
my @results = $crowd->wait;
for my $index (0 .. $writers - 1) {
    my $result = $results[$index];
    is_deeply $result->{failed}, {}, "writer $index has written $result->{n} times";
    cmp_ok $result->{n}, '>', 10;
}
my %sum;
for my $index (0 .. $readers - 1) {
    my $result = $results[ $writers + $index ];
    is_deeply $result->{stale}, [], "reader $index has seen nothing stale";
    $sum{$_} += $result->{count}{$_} for keys %{ $result->{count} };
}
note join ', ', map { "$_: $sum{$_}" } sort keys %sum;
cmp_ok $sum{200}, '>', 100, 'there were reads';
cmp_ok $sum{304} // 0, '>', 10, 'and 304s';
cmp_ok $sum{hit} // 0, '>', 10, 'and hits';
is $server->stop, 0;
done_testing;
