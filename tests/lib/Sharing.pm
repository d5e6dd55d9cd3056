# SPDX-License-Identifier: MIT

# What the sharing build (tests/sharing/runtime.c) has counted.
#
#   my $sharing = Sharing->new;
#   my $server = Jackdaw->start(daemon => ..., env => $sharing->env);
#   $sharing->window('hit');  ...load...  $sharing->window(undef);
#   $server->stop;
#   $sharing->read($binary);
#   my @lines = $sharing->lines('hit');
package Sharing;

use strict;
use warnings;
no warnings 'portable';    # addresses have 64 bits

use File::Temp;
use List::Util qw(min sum0);

sub new {
    my ($class) = @_;
    my $self = bless { tmp => File::Temp->newdir, windows => [undef] }, $class;
    $self->_write(0);
    return $self;
}

sub _write {
    my ($self, $number) = @_;
    open my $out, -e "$self->{tmp}/control" ? '+<' : '>', "$self->{tmp}/control" or die $!;
    syswrite $out, pack 'Q', $number or die $!;
}

sub env {
    my ($self) = @_;
    return { SHARING_CONTROL => "$self->{tmp}/control", SHARING_REPORT => "$self->{tmp}/report" };
}

# Opens the window of that name; undef: closes it.
sub window {
    my ($self, $name) = @_;
    push @{ $self->{windows} }, $name if defined $name;
    return $self->_write(defined $name ? $#{ $self->{windows} } : 0);
}

sub read {
    my ($self, $binary) = @_;
    open my $in, '<', "$self->{tmp}/report" or die "no report: $!";
    my %sites;
    while (<$in>) {
        my ($what, @words) = split;
        if ($what eq 'thread') {
            $self->{threads}[$words[0]] = $words[1];
            $self->{lost} += $words[3];
        } elsif ($what eq 'use') {
            my ($window, $line, $thread, $reads, $writes, $fetches, $read, $written, @sites) = @words;
            my %use = (thread => $thread, reads => $reads, writes => $writes, fetches => $fetches,
                read => hex $read, written => hex $written);
            for (@sites) {
                my ($at, @counts) = split /:/;
                $use{sites}{$at} = \@counts;
                $sites{$at} = 1;
            }
            $self->{lines}{ $self->{windows}[$window] }{$line}{$thread} = \%use;
        }
        $self->{complete} = 1 if $what eq 'end';
    }
    $self->{places} = _places($binary, keys %sites);
    return;
}

# Address => 'function (file:line)': of our own code, not of what it inlines
# from Concurrency Kit.
sub _places {
    my ($binary, @sites) = @_;
    my %places;
    while (my @some = splice @sites, 0, 500) {
        # The call's own line: what is kept is where it returns to.
        my @addresses = map { sprintf '%x', hex($_) - 1 } @some;
        my $text = qx(addr2line -e $binary -a -f -i @addresses);
        for (split /^0x/m, $text) {
            my ($address, @frames) = split /\n/ or next;
            my @found;
            while (my ($function, $file) = splice @frames, 0, 2) {
                $file =~ s{ \(discriminator.*}{};
                $file =~ s{.*/((?:core|storage|http)/)}{$1};
                push @found, "$function ($file)" if $function !~ /^_?ck_/;
            }
            $places{ sprintf '%x', hex($address) + 1 } = $found[0] // '?';
        }
    }
    return \%places;
}

# The lines of a window that two threads use and one writes. A line may be
# fetched as often as it changes hands, which depends on who was quicker; but
# no thread fetches it more often than it uses it, nor more often than others
# do what makes it leave: `bound`.
sub lines {
    my ($self, $window) = @_;
    my @lines;
    my $all = $self->{lines}{$window} // {};
    for my $address (keys %$all) {
        my @uses = values %{ $all->{$address} };
        my ($reads, $writes) = map { my $what = $_; sum0 map { $_->{$what} } @uses } qw(reads writes);
        my %line = (address => $address, uses => \@uses, reads => $reads, writes => $writes,
            fetches => sum0(map { $_->{fetches} } @uses), read_bound => 0, write_bound => 0);
        for my $use (@uses) {
            my $others_write = $writes - $use->{writes};
            my $others_read  = $reads - $use->{reads};
            $line{read_bound}  += min($use->{reads},  $others_write);
            $line{write_bound} += min($use->{writes}, $others_write + $others_read);
        }
        $line{bound} = $line{read_bound} + $line{write_bound};
        $line{false} = _is_false(@uses);
        push @lines, \%line;
    }
    return sort { $b->{bound} <=> $a->{bound} } @lines;
}

# Nobody uses the bytes that another one writes.
sub _is_false {
    my (@uses) = @_;
    for my $use (@uses) {
        for my $other (@uses) {
            next if $use == $other;
            return 0 if $use->{written} & ($other->{written} | $other->{read});
        }
    }
    return 1;
}

# For people: who does what with a line.
sub describe {
    my ($self, $line, $count) = @_;
    my $text = sprintf "%s%s: bound %.3f (read %.3f, write %.3f), fetched %.3f\n", $line->{address},
        $line->{false} ? ' FALSE SHARING' : '',
        map { $line->{$_} / $count } qw(bound read_bound write_bound fetches);
    for my $use (sort { $a->{thread} <=> $b->{thread} } @{ $line->{uses} }) {
        $text .= sprintf "    %s: %.3f reads, %.3f writes [%016x %016x]\n", $self->{threads}[$use->{thread}],
            $use->{reads} / $count, $use->{writes} / $count, $use->{read}, $use->{written};
        my $sites = $use->{sites};
        for my $at (sort { $sites->{$b}[2] <=> $sites->{$a}[2] } keys %$sites) {
            $text .= sprintf "        %.3f r %.3f w %.3f f  %s\n", (map { $_ / $count } @{ $sites->{$at} }),
                $self->{places}{$at} // $at;
        }
    }
    return $text;
}

1;
