# SPDX-License-Identifier: MIT

# The benchmark's whole machinery, for a moment: it measures Jackdaw and the
# floor, verifies what it measures, and writes tables and JSON. Its numbers mean
# nothing here, since nothing else is ever quiet while tests run.
use strict;
use warnings;

use lib 'tests/bench';

use Bench::Growth;
use File::Temp;
use Jackdaw;
use JSON::PP;
use Test::More;

my $out = File::Temp->newdir;

sub bench {
    return Jackdaw->run('tests/bench/run.sh', '--build=' . Jackdaw::build(), '--rounds', 2, '--seconds', 0.2,
        '--requests', 200,
        '--out', "$out", @_, { timeout => 60, env => { MODE => Jackdaw::mode() } });
}

my ($status, $said, $err) = bench('--systems', 'floor,jackdaw',
    '--work', 'idle,get,put,row,insert,fortunes,value_1m,get_rate');
is $status, 0, 'it ends well' or diag $said, $err;
my $report = eval { JSON::PP->new->utf8->decode(Jackdaw::_slurp("$out/results.json")) } // {};
my %works = map { $_->{name} => $_->{systems} } @{ $report->{works} };
is_deeply [ sort keys %works ], [ sort qw(idle get put row insert fortunes value_1m get_rate) ], 'each work is there';
for (qw(get row value_1m get_rate)) {
    is_deeply [ sort keys %{ $works{$_} } ], [qw(floor jackdaw)], "$_: by both";
    my $of = $works{$_}{jackdaw};
    is $of->{errors}, 0, "$_: no errors";
    my @fields = grep { !($of->{$_}{median} && $of->{$_}{min} <= $of->{$_}{median} && $of->{$_}{median} <= $of->{$_}{max}) }
        qw(cpu_us rate p50_us p99_us p99_9_us memory);
    is "@fields", '', "$_: medians and spreads";
    cmp_ok $of->{cpu_x_floor}, '>', 0, "$_: beside the floor";
}
is $works{put}{jackdaw}{durability}, 'on disk when it is answered', 'what an answer means';
cmp_ok $works{idle}{'jackdaw, empty'}{connection_bytes}{median}, '>', 100, 'memory of an idle connection';

my %judged = map { $_->{what} => $_ } @{ $report->{targets} };
my $get = $judged{'KV GET, 10^5 keys: CPU, x floor'};
is $get->{holds}, ($get->{value} <= $get->{bound} ? JSON::PP::true : JSON::PP::false), 'a target is judged';
is $judged{'KV GET, 10^5 keys: requests/s, x Node'}{value}, undef, 'but not without what it is compared with';
ok !exists $judged{'KV GET, 10^5 keys: requests/s, x Node'}{holds}, 'and then it does not hold';
like $said, qr/^KV GET, 10\^5 keys +bare libmicrohttpd +[\d.]+ +1\.00 /m, 'a table of the work';
like $said, qr/^KV GET, 10\^5 keys: CPU, x floor +[\d.]+ +<= 1\.10 +(?:holds|MISSED)$/m, 'a table of the targets';
like $said, qr/^verified by TechEmpower's rules: Jackdaw, \d{3} checks$/m, 'what is measured was verified';
is_deeply $report->{failures}, [], 'nothing failed';
cmp_ok $report->{machine}{cores}, '>', 0, 'the machine is described';
unlike(JSON::PP->new->encode($report), qr{"/\w+|\btmp/}, 'and no path of it');

my $readme = Jackdaw::_slurp("$out/README.md");
like $readme, qr/^\| KV GET, 10\^5 keys \| bare libmicrohttpd \| [\d.]+ \| 1\.00 \|/m, 'a page of it';
like $readme, qr/^\| KV GET, 10\^5 keys: CPU, x floor \|/m, 'with the targets';

($status, $said, $err) = bench('--growth', '--scale', 0.001, '--work', 'routes,values', '--rounds', 1,
    '--requests', 50);
is $status, 0, 'cost against size' or diag $said, $err;
like $said, qr/^row, cached +10 .*\n +1,000 /m, 'its table';
like $said, qr/^GET: CPU time .*bytes of a reply go from \d+/m, 'and reasons that were counted';
like Jackdaw::_slurp("$out/README.md"), qr/^### Size of the value$/m, 'on the same page';

# What the sentences say is looked at with made numbers, which no noise can turn.
sub point { my ($x, $cpu) = @_; return { x => $x, cpu_us => $cpu, p99_us => 10 * $cpu, bytes_in => 100 } }
sub reasons {
    my (%series) = @_;
    return [ Bench::Growth::reasons({ series =>
        [ map { { name => $_, title => $_, points => [ point(10, $series{$_}[0]), point(1000, $series{$_}[1]) ] } } sort keys %series ] }) ];
}
is_deeply reasons(floor => [ 10, 20 ], get => [ 10, 30 ]), [
    '**floor**: CPU time grows 2.00 times, p99 2.0 times. Nothing that is counted here explains it: the reason is not known.',
    "**get**: CPU time grows 3.00 times, p99 3.0 times. Counted: the floor's grows 2.00 times.",
], 'a slope beside the floor\'s';
is_deeply reasons(floor => [ 10, 10.5 ], get => [ 10, 10.4 ], put => [ 10, 20 ]), [
    '**floor**: CPU time is the same within 10% (1.05 times), p99 1.1 times.',
    '**get**: CPU time is the same within 10% (1.04 times), p99 1.0 times.',
    '**put**: CPU time grows 2.00 times, p99 2.0 times. Nothing that is counted here explains it: the reason is not known.',
], 'a level floor explains nothing';

($status, undef, $err) = bench('--work', 'nonsense');
isnt $status, 0, 'an unknown work is refused';
like $err, qr/^there is no 'nonsense'/m, 'and named';
done_testing;
