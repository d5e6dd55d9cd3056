# SPDX-License-Identifier: MIT

# The benchmark: what Jackdaw costs beside what it is compared with. Absolute
# numbers are of this machine and this hour; that is why everything is measured
# by turns. docs/guide/benchmarks.md tells how to run and to read it.
#
# run.sh starts it; it describes the options.
use strict;
use warnings;

use lib 'tests/bench';
use Bench::Report;
use Bench::Run;
use Bench::Verify;
use Bench::Works;
use Getopt::Long;
use System::Floor;
use System::H2o;
use System::Jackdaw;
use System::Nginx;
use System::Node;
use System::RedisBenchmark;
use System::Sqlite;
use System::Webdis;

my %options = (rounds => 5, seconds => 2, out => 'build/bench');
GetOptions(\%options, 'rounds=i', 'seconds=f', 'requests=i', 'systems=s', 'work=s', 'out=s', 'list') or exit 2;
exit 2 if @ARGV;

my $scale = $options{seconds} / 2;
my @works = Bench::Works::works($scale);
my @all   = (
    System::Floor->new,
    System::Jackdaw->new,
    System::Jackdaw->new(name => 'jackdaw, empty', title => 'Jackdaw, empty', empty => 1,
        only_if_named => 1),
    System::Jackdaw->new(name => 'jackdaw, 10^6 keys', title => 'Jackdaw', only_if_named => 1,
        keys => (map { $_->{keys} } grep { $_->{name} eq 'get_many' } @works)[0]),
    System::Jackdaw->new(name => 'jackdaw, 1,000 routes', title => 'Jackdaw, 1,000 routes', routes => 1000,
        only_if_named => 1),
    System::Jackdaw->new(name => 'jackdaw, slices of 100 ms', title => 'Jackdaw, slices of 100 ms', slice => '100ms',
        only_if_named => 1),
    System::Nginx->new,
    System::Webdis->new,
    System::Node->new,
    System::H2o->new,
    System::RedisBenchmark->new,
    System::Sqlite->new,
);

# "jackdaw" chooses its variants as well; a work is chosen by its name or that of
# its group.
sub chosen {
    my ($list, @names) = @_;
    return 1 if !defined $list;
    my %listed = map { $_ => 1 } split /,/, $list;
    return grep { $listed{$_} } @names;
}

if ($options{list}) {
    print "systems: @{[ grep { !/,/ } map { $_->name } @all ]}\n";
    printf "%-12s %-13s %s\n", $_->{group}, $_->{name}, $_->{title} for @works;
    exit 0;
}
my %known = map { $_ => 1 } (map { $_->name } @all), map { $_->{name}, $_->{group} } @works;
for (map { split /,/ } grep { defined } @options{qw(systems work)}) {
    die "there is no '$_'; --list shows what there is\n" if !$known{$_};
}
@works = grep { chosen($options{work}, $_->{name}, $_->{group}) } @works;

my (@systems, @left_out);
for my $system (@all) {
    my ($main) = split /,/, $system->name;
    next if !chosen($options{systems}, $main);
    my @missing = $system->missing;
    push @left_out, { system => $system->title, why => 'not installed: ' . join ', ', @missing } if @missing;
    push @systems, $system if !@missing;
}

# ---- the benchmark -----------------------------------------------------------

my @verified;
my $run    = Bench::Run->new;
my $rounds = $run->rounds(
    works => \@works, systems => { map { $_->name => $_ } @systems }, order => [ map { $_->name } @systems ],
    rounds => $options{rounds}, seconds => $options{seconds}, requests => $options{requests},
    verify => sub {
        my ($system) = @_;
        return if !$system->requests->{fortunes};
        my ($checks, @wrong) = Bench::Verify::techempower($system);
        die $system->title . " breaks TechEmpower's rules: " . join("\n", @wrong) . "\n" if @wrong;
        push @verified, { system => $system->title, checks => $checks };
    },
);
my $machine = $run->machine;
$rounds->run;
$run->quiet;

for my $system (@systems) {
    my $why = $system->left_out;
    push @left_out, { system => $system->title, work => $_->{title}, why => $why->{ $_->{name} } }
        for grep { $why->{ $_->{name} } } @works;
}
my $report = Bench::Report::collect($rounds, machine => $machine, left_out => \@left_out, verified => \@verified,
    settings => { map { $_ => $options{$_} + 0 } qw(rounds seconds) });

# ---- what it comes to --------------------------------------------------------

for (Bench::Report::tables($report)) {
    my ($title, @rows) = @$_;
    print "\n$title\n\n", Bench::Report::text(@rows);
}
print "\n";
print "verified by TechEmpower's rules: $_->{system}, $_->{checks} checks\n" for @verified;
print 'left out: ', join(', ', grep { defined } @$_{qw(system work)}), ": $_->{why}\n" for @left_out;
print "FAILED: $_->{work}, $_->{system}: $_->{why}\n" for @{ $report->{failures} };
$run->finish($options{out}, 'results.json', $report);
exit(@{ $report->{failures} } ? 1 : 0);
