# SPDX-License-Identifier: MIT

# Paired measurements: rounds of the same work on each system in turn, so that
# what else the machine does meets all of them alike.
package Bench::Rounds;

use strict;
use warnings;

use Bench::Idle;
use Cwd qw(getcwd);
use File::Path qw(remove_tree);
use Time::HiRes qw(sleep time);

# systems: all, by name. works: the list. rounds, seconds, requests (of each
# measurement, instead), data (a folder on a disk), sockets (a folder with a
# short name), cores, say => sub.
sub new {
    my ($class, %options) = @_;
    return bless { %options, started => {}, results => {}, failures => [] }, $class;
}

# {work}{system} => a list of results, one a round.
sub results  { return $_[0]{results} }
sub failures { return @{ $_[0]{failures} } }

# [work, system] of a group, in the order of a round.
sub _loads {
    my ($self, @works) = @_;
    my @loads;
    for my $work (@works) {
        my @names = $work->{on} ? @{ $work->{on} } : grep { !$self->{systems}{$_}{only_if_named} } @{ $self->{order} };
        for my $name (@names) {
            my $system = $self->{systems}{$name} or next;
            push @loads, [ $work, $system ] if _request($work, $system);
        }
    }
    # Statements that never end begin once for each system and round.
    return sort { $a->[1]->name cmp $b->[1]->name || !!$a->[0]{beside} <=> !!$b->[0]{beside} } @loads
        if grep { $_->{beside} } @works;
    return @loads;
}

sub _request {
    my ($work, $system) = @_;
    return $system->requests->{ $work->{as} // $work->{name} };
}

sub _seconds {
    my ($self, $work) = @_;
    return 10 if $work->{single};
    return $self->{seconds} * ($work->{part} // 1);
}

sub run {
    my ($self) = @_;
    my (@groups, %of);
    for (@{ $self->{works} }) {
        push @groups, $_->{group} if !$of{ $_->{group} };
        push @{ $of{ $_->{group} } }, $_;
    }
    my %loads = map { $_ => [ $self->_loads(@{ $of{$_} }) ] } @groups;
    for (map { @$_ } values %loads) {
        my ($work) = @$_;
        $self->{left} += $self->_cost($work) * ($work->{single} ? 1 : $self->{rounds});
    }
    while (my $group = shift @groups) {
        $self->_run_group($group, @{ $loads{$group} });
        # Whoever had ten thousand connections begins anew.
        $self->_stop_all($group eq 'idle' ? () : map { $_->[1]->name } map { @{ $loads{$_} } } @groups);
    }
    return $self->{results};
}

# What a measurement takes: some of it goes into starting and stopping.
sub _cost {
    my ($self, $work) = @_;
    return $self->_seconds($work) * 1.02 + 0.15 + ($work->{settle} // 0) + ($work->{beside} ? 0.8 : 0);
}

sub _run_group {
    my ($self, $group, @loads) = @_;
    return if !@loads;
    my %starts = map { $_->name => eval { $self->_start($_); 1 } || $self->_fail($group, $_) }
        _unique(map { $_->[1] } @loads);
    @loads = grep { $starts{ $_->[1]->name } } @loads;
    my @single = grep { $_->[0]{single} } @loads;
    my @rounds = grep { !$_->[0]{single} } @loads;
    if ($self->{verify} && $group eq 'techempower') {
        for (_unique(map { $_->[1] } @loads)) {
            eval { $self->{verify}->($_); 1 } or $self->_fail($group, $_);
        }
    }
    for (@rounds) {
        my ($work, $system) = @$_;
        next if !$work->{warm};
        $self->_warm_up($group, $work, $system, $work->{warm});
    }
    for my $round (1 .. $self->{rounds}) {
        $self->_measure($group, "round $round/$self->{rounds}", @$_) for @rounds;
        $self->_beside(undef);
    }
    $self->_measure($group, 'once', @$_) for @single;
    return;
}

sub _unique {
    my %seen;
    return grep { !$seen{$_}++ } @_;
}

sub _load {
    my ($self, $work, $system, %more) = @_;
    my @bound = $self->{requests} && !$work->{rate} ? (count => $self->{requests}) : ();
    return { %$work, seconds => $self->_seconds($work), @bound, %{ _request($work, $system) }, %more };
}

sub _warm_up {
    my ($self, $group, $work, $system, $count) = @_;
    $self->_tell($group, 'warm-up', $work, $system);
    eval { $system->measure($self->_load($work, $system, count => $system->warm_up($count), rate => undef)) }
        or $self->_fail($work->{name}, $system);
    return;
}

sub _measure {
    my ($self, $group, $when, $work, $system) = @_;
    $self->_warm_up($group, $work, $system, $work->{again}) if $work->{again};
    $self->_tell($group, $when, $work, $system);
    $self->_beside($work->{beside} ? $system : undef, $work->{beside});
    my $load   = $self->_load($work, $system);
    my $result = eval { $work->{idle} ? Bench::Idle::measure($system, $load) : $system->measure($load) };
    $self->{left} -= $self->_cost($work);
    $self->_fail($work->{name}, $system) if !$result;
    push @{ $self->{results}{ $work->{name} }{ $system->name } }, $result;
    return;
}

# One system that fails, which $@ tells, does not take the others' results.
sub _fail {
    my ($self, $work, $system) = @_;
    chomp(my $why = $@);
    # A report names no path of the machine.
    $why =~ s{\Q$_\E/?}{}g for $self->{data}, $self->{sockets}, getcwd();
    push @{ $self->{failures} }, { work => $work, system => $system->name, why => $why };
    return 0;
}

# Endless statements run on that system, and on no other.
sub _beside {
    my ($self, $system, $facts) = @_;
    my $now = $self->{beside};
    return if ($now // 0) == ($system // 0);
    if ($now) {
        $now->end_beside;
        sleep 0.3;
    }
    if ($system) {
        $system->begin_beside($facts);
        sleep 0.5;
    }
    $self->{beside} = $system;
    return;
}

sub _tell {
    my ($self, $group, $when, $work, $system) = @_;
    my $left = $self->{left} > 0 ? $self->{left} : 0;
    $self->{say}->(sprintf '%-11s %-10s %-24s %-26s %d:%02d left',
        $group, $when, $work->{name}, $system->name, $left / 60, $left % 60);
    return;
}

sub _start {
    my ($self, $system) = @_;
    my $name = $system->name;
    return if $self->{started}{$name};
    $self->{say}->("starts $name");
    (my $folder = $name) =~ s/[^a-z0-9]+/-/g;
    my ($data, $sockets) = map { "$_/$folder" } @$self{qw(data sockets)};
    for ($data, $sockets) {
        mkdir $_ or die "$_: $!";
        # Some give up root's rights.
        chmod 0777, $_;
    }
    $self->{started}{$name} = $system;
    $system->start(data => $data, sockets => $sockets, cores => $self->{cores},
        say => sub { $self->{say}->("starts $name, $_[0]") });
    return;
}

# But for those named.
sub _stop_all {
    my ($self, @but) = @_;
    my %but = map { $_ => 1 } @but;
    for my $name (grep { !$but{$_} } sort keys %{ $self->{started} }) {
        (delete $self->{started}{$name})->stop;
        (my $folder = $name) =~ s/[^a-z0-9]+/-/g;
        remove_tree("$_/$folder") for @$self{qw(data sockets)};
    }
    return;
}

1;
