# SPDX-License-Identifier: MIT

# The daemon under callgrind, and what of its instructions were locked.
#
#   my $callgrind = Callgrind->new;
#   my $server = Jackdaw->start(under => [$callgrind->command], wait => 0, ...);
#   my $locked = $callgrind->locked($server, sub { ...load... });
#   # [ { count => 500, function => 'hold', callers => ['run', ...], object => '...' }, ... ]
#
# Locked is what the processor's bus knows as such: an instruction with the
# lock prefix, or xchg with memory, which needs none. They are found by their
# bytes at the addresses that were executed, so code of all libraries counts.
package Callgrind;

use strict;
use warnings;
no warnings 'portable';    # addresses have 64 bits

use File::Temp;
use Jackdaw;

# Callers that are told beside a function.
my $callers = 3;

sub new {
    my ($class) = @_;
    return bless { tmp => File::Temp->newdir, dumps => 0 }, $class;
}

sub missing {
    return grep {
        my $name = $_;
        !grep { -x "$_/$name" } split /:/, $ENV{PATH};
    } qw(valgrind callgrind_control);
}

sub command {
    my ($self) = @_;
    return ('valgrind', '-q', '--tool=callgrind', '--instr-atstart=no', '--dump-instr=yes',
        '--dump-line=no', '--compress-pos=no', '--compress-strings=no',
        "--separate-callers=" . ($callers + 1), "--callgrind-out-file=$self->{tmp}/out");
}

sub _control {
    my ($server, @command) = @_;
    my ($status, $out, $err) = Jackdaw->run('callgrind_control', @command, $server->pid);
    die "callgrind_control @command: $out$err" if $status;
}

# What was locked while code ran, most frequent first.
sub locked {
    my ($self, $server, $code) = @_;
    _control($server, '-i', 'on');
    $code->();
    _control($server, '-i', 'off');
    _control($server, '--dump=now');
    my $file = "$self->{tmp}/out." . ++$self->{dumps};
    my ($locked, $instructions) = _read($file);
    unlink $file;
    return { instructions => $instructions, locked => $locked };
}

sub _read {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    my ($object, $function, $total, %counts) = ('', '', 0);
    while (<$in>) {
        if (/^0x([0-9a-f]+) (\d+)/) {
            $total += $2;
            $counts{$object}{$function}{ hex $1 } += $2;
        } elsif (/^ob=(.*)/) {
            $object = $1;
        } elsif (/^fn=(.*)/) {
            $function = $1;
        } elsif (/^calls=/) {
            <$in>;    # what the called function cost
        }
    }
    my @found;
    for my $path (keys %counts) {
        my $elf = _elf($path) or next;
        for my $context (keys %{ $counts{$path} }) {
            my $count = 0;
            my $at = $counts{$path}{$context};
            _is_locked($elf, $_) and $count += $at->{$_} for keys %$at;
            next if !$count;
            my ($name, @callers) = split /'/, $context;
            push @found, { count => $count, function => $name, callers => \@callers, object => $path };
        }
    }
    return ([ sort { $b->{count} <=> $a->{count} } @found ], $total);
}

# ---- instructions ------------------------------------------------------------

my %elves;

# The file's bytes, and where its executable segments lie.
sub _elf {
    my ($path) = @_;
    return $elves{$path} if exists $elves{$path};
    $elves{$path} = undef;
    open my $in, '<:raw', $path or return;
    local $/;
    my $bytes = <$in>;
    return if substr($bytes, 0, 5) ne "\x7fELF\x02";
    my ($offset) = unpack 'x32 Q<', $bytes;
    my ($size, $count) = unpack 'x54 S< S<', $bytes;
    my @segments;
    for my $i (0 .. $count - 1) {
        my ($type, $flags, $at, $address, undef, $len) =
            unpack 'L< L< Q< Q< Q< Q<', substr $bytes, $offset + $i * $size, 40;
        push @segments, [ $address, $at, $len ] if $type == 1 && $flags & 1;
    }
    return $elves{$path} = { bytes => $bytes, segments => \@segments, seen => {} };
}

sub _is_locked {
    my ($elf, $address) = @_;
    return $elf->{seen}{$address} //= _look_at($elf, $address);
}

sub _look_at {
    my ($elf, $address) = @_;
    my ($segment) = grep { $address >= $_->[0] && $address < $_->[0] + $_->[2] } @{ $elf->{segments} }
        or return 0;
    my $code = substr $elf->{bytes}, $address - $segment->[0] + $segment->[1], 15;
    my ($prefixes) = $code =~ /^([\x26\x2e\x36\x3e\x64-\x67\xf0\xf2\xf3]*)/;
    return 1 if $prefixes =~ /\xf0/;
    # xchg, unless both operands are registers.
    return $code =~ /^.{@{[length $prefixes]}}[\x40-\x4f]?[\x86\x87][\x00-\xbf]/s ? 1 : 0;
}

1;
