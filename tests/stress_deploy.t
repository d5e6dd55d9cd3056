# SPDX-License-Identifier: MIT

# Deploys under load: no request fails because of one, and each answer comes
# from one version as a whole.
use strict;
use warnings;

use Crowd;
use Jackdaw;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $deploys = $ENV{STRESS_DEPLOYS} // (Jackdaw::slowness() > 1 ? 60 : 200);
my $clients = 4;

# Version $n says $n in each of its routes; every tenth brings a migration.
sub files {
    my ($n) = @_;
    my %files = (
        'a.sql' => <<"SQL",
-- GET /version
-- reply: one
SELECT $n AS first, (SELECT count(*) FROM t) AS rows, $n AS second;

-- GET /uncached
-- reply: one
-- cache: off
SELECT $n AS first, $n AS second;

-- GET /long
-- reply: one
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)
SELECT $n AS first, max(x) AS m, $n AS second FROM c;

-- POST /row
-- reply: one
INSERT INTO t(n) VALUES ($n) RETURNING n AS first, $n AS second;
SQL
        'migrations/0001_init.sql' => "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER);\n",
    );
    for my $i (1 .. int $n / 10) {
        $files{ sprintf 'migrations/%04d_more.sql', 1 + $i } = "ALTER TABLE t ADD COLUMN c$i;\n";
    }
    return \%files;
}

my $server = Service::start(s => files(1));
my $end_file = File::Temp->new;

my $crowd = Crowd->start($clients, sub {
    my ($index) = @_;
    my $connection = $server->connect;
    my ($seen, $count, @wrong) = (0, 0);
    until (-s "$end_file" || @wrong > 3) {
        my $target = (qw(version uncached long row version))[rand 5];
        my $reply = $target eq 'row'
            ? $connection->request(POST => '/s/row', content => '')
            : $connection->request(GET => "/s/$target");
        $count++;
        my ($first, $second) = $reply->{content} =~ /"first":(\d+).*"second":(\d+)/;
        if ($reply->{status} != 200) { push @wrong, "$target: $reply->{status} $reply->{content}" }
        elsif ($first != $second) { push @wrong, "$target: $reply->{content}" }
        elsif ($first < $seen) { push @wrong, "$target: $first after $seen" }
        else { $seen = $first }
    }
    return { wrong => \@wrong, count => $count, seen => $seen };
});
my @failed;
for my $n (2 .. $deploys) {
    my $reply = Service::deploy($server, s => files($n));
    push @failed, "$n: $reply->{status} $reply->{content}" if $reply->{status} != 200;
    my $now = $server->json($server->get('/s/version'));
    push @failed, "after $n was deployed, $now->{first} answers" if $now->{first} != $n;
    last if @failed > 3;
}
is_deeply \@failed, [], "$deploys deploys, each in force when it is answered";
print $end_file "end\n";
$end_file->flush;
for my $result ($crowd->wait) {
    is_deeply $result->{wrong}, [], "$result->{count} requests, up to version $result->{seen}";
}
my $rows = Service::sql($server, 's', 'SELECT count(*) FROM _jackdaw_migrations')->{rows}[0][0];
is $rows, 1 + int $deploys / 10, 'each migration was applied once';
cmp_ok $server->rss, '<', 100 << 20, 'old versions are let go of' if Jackdaw::mode() eq 'debug';
is $server->stop, 0;
done_testing;
