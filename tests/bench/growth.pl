# SPDX-License-Identifier: MIT

# Cost against size; see run.sh and Bench::Growth. It writes growth.json.
use strict;
use warnings;

use lib 'tests/bench';
use Bench::Growth;
use Bench::Machine;
use Bench::Report;
use Bench::Run;
use Getopt::Long;

my %options = (rounds => 3, seconds => 2, out => 'build/bench', scale => 1);
GetOptions(\%options, 'rounds=i', 'seconds=f', 'requests=i', 'work=s', 'out=s', 'scale=f') or exit 2;
exit 2 if @ARGV;

my $plan  = Bench::Growth::plan($options{scale});
my @works = grep { !defined $options{work} || ",$options{work}," =~ /,$_->{group},/ } @{ $plan->{works} };
die "the axes are: @{[ sort keys %Bench::Growth::axes ]}\n" if !@works;

# Ten million keys, five gigabytes, and their logs.
my $run  = Bench::Run->new;
my $room = $run->free_bytes;
my @left_out;
if ($room < 20e9 * $options{scale}) {
    push @left_out, 'the largest sizes: they need 20 GB of free disk';
    my %largest;
    for (grep { $_->{group} =~ /^(?:keys|database)$/ } @works) {
        $largest{ $_->{group} } = $_->{x} if $_->{x} > ($largest{ $_->{group} } // 0);
    }
    @works = grep { $_->{x} != ($largest{ $_->{group} } // 0) } @works;
}

my $rounds = $run->rounds(works => \@works, systems => $plan->{systems},
    order => [ sort keys %{ $plan->{systems} } ], map { $_ => $options{$_} } qw(rounds seconds requests));
my $machine = $run->machine;
$rounds->run;
$run->quiet;
my $report = Bench::Report::collect($rounds, machine => $machine, left_out => \@left_out,
    settings => { map { $_ => $options{$_} + 0 } qw(rounds seconds scale) });
for my $axis (Bench::Growth::axes($report)) {
    print "\n$axis->{title}\n\n", Bench::Report::text(Bench::Growth::table($axis)), "\n";
    print "$_\n" for map { s/\*\*//gr } Bench::Growth::reasons($axis);
}
print "\nFAILED: $_->{work}, $_->{system}: $_->{why}\n" for @{ $report->{failures} };
$run->finish($options{out}, 'growth.json', $report);
exit(@{ $report->{failures} } ? 1 : 0);
