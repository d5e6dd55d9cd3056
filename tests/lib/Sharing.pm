# SPDX-License-Identifier: MIT

# What the sharing build (tests/sharing/runtime.c) has counted.
#
#   my $sharing = Sharing->new;
#   my $server = Sharing::server(daemon => $binary, env => $sharing->env);
#   $sharing->window('hit');  ...load...  $sharing->window(undef);
#   $server->stop;
#   $sharing->read($binary);
#   my @lines = $sharing->steady('hit 1', 'hit 2');
package Sharing;

use strict;
use warnings;
no warnings 'portable';    # addresses have 64 bits

use File::Temp;
use Jackdaw;
use List::Util qw(min sum0);
use Service;

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

# False: tables were full, or the daemon did not come to its end.
sub is_complete { return $_[0]{complete} && !$_[0]{lost} }

# Address => 'function (file:line)', and those that it was inlined into; without
# what is Concurrency Kit's.
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
            $places{ sprintf '%x', hex($address) + 1 } = join(' < ', @found) || '?';
        }
    }
    return \%places;
}

# The lines of a window that two threads use and one writes. A line may be
# fetched as often as it changes hands, which depends on who was quicker; but
# no thread fetches it more often than it comes to use it, nor more often than
# others do what makes it leave. The sum of that is `bound`; `among` is the same
# if only workers had used the line: what grows with their number.
sub lines {
    my ($self, $window) = @_;
    my @lines;
    my $all = $self->{lines}{$window} // {};
    for my $address (keys %$all) {
        my @uses = values %{ $all->{$address} };
        my @workers = grep { $self->{threads}[ $_->{thread} ] =~ /^worker/ } @uses;
        my %line = (address => $address, uses => \@uses, false => _is_false(@uses),
            fetches => sum0(map { $_->{fetches} } @uses), bound => _bound(@uses), among => _bound(@workers));
        my @places = map { $self->{places}{$_} // '?' } map { keys %{ $_->{sites} } } @uses;
        $line{parking} = !grep { !m{^\S+ \(core/parking} } @places;
        push @lines, \%line;
    }
    return sort { $b->{bound} <=> $a->{bound} } @lines;
}

sub _bound {
    my (@uses) = @_;
    my ($reads, $writes) = map { my $what = $_; sum0 map { $_->{$what} } @uses } qw(reads writes);
    my $bound = 0;
    for my $use (@uses) {
        my $others_write = $writes - $use->{writes};
        my $others_read  = $reads - $use->{reads};
        $bound += min($use->{reads}, $others_write) + min($use->{writes}, $others_write + $others_read);
    }
    return $bound;
}

# The same over several windows of one path: of each line the least, which is
# what every request costs. Where the machine is busy with something else a
# worker runs its neighbour's shard now and then, and all that belongs to it comes
# along; but not in every window, nor each time the same.
sub steady {
    my ($self, @windows) = @_;
    my %least;
    my $first = shift @windows;
    $least{ $_->{address} } = $_ for $self->lines($first);
    for my $window (@windows) {
        my %here = map { $_->{address} => $_ } $self->lines($window);
        for my $address (keys %least) {
            my $line = $here{$address};
            if (!$line) { delete $least{$address}; next }
            $least{$address} = $line if $line->{among} < $least{$address}{among};
        }
    }
    return sort { $b->{among} <=> $a->{among} } values %least;
}

# What of a window is between workers and a committer, and what was fetched in
# all: sums over its lines.
sub sums {
    my ($self, $window) = @_;
    my @lines = $self->lines($window);
    return {
        handed  => sum0(map { $_->{bound} - $_->{among} } grep { !$_->{parking} } @lines),
        fetched => sum0(map { $_->{fetches} } @lines),
    };
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
    my $text = sprintf "%s%s: at most %.3f, among workers %.3f, fetched %.3f\n", $line->{address},
        $line->{false} ? ' (nobody uses what another one writes)' : '',
        map { $line->{$_} / $count } qw(bound among fetches);
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

# For people: the places that fetched most, of all lines.
sub places {
    my ($self, $window, $count) = @_;
    my %fetches;
    for my $use (map { @{ $_->{uses} } } $self->lines($window)) {
        my $thread = $self->{threads}[ $use->{thread} ] =~ s/-.*//r;
        my $sites  = $use->{sites};
        $fetches{"$thread: " . ($self->{places}{$_} // $_)} += $sites->{$_}[2] for keys %$sites;
    }
    return join '', map { sprintf "    %.2f  %s\n", $fetches{$_} / $count, $_ }
        grep { $fetches{$_} > $count / 20 } sort { $fetches{$b} <=> $fetches{$a} } keys %fetches;
}

# ---- what is measured ----------------------------------------------------------

# Small maps: under callgrind addresses are few. A stalled disk is not what this
# is about: nobody is refused for its queue.
sub server {
    my (%options) = @_;
    return Service::start(
        b => {
            'migrations/0001_init.sql' => <<'SQL',
CREATE TABLE world(id INTEGER PRIMARY KEY, number INTEGER NOT NULL);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000) INSERT INTO world SELECT x, x FROM c;
CREATE TABLE log(id INTEGER PRIMARY KEY, who TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL);
SQL
            'routes.sql' => Jackdaw::_slurp('tests/bench/service/routes.sql'),
        },
        {
            conf => "workers = 2\nstore main { kind = durable max_size = \"64M\" }",
            %options,
        });
}

# Runs the load program: count requests on so many connections.
sub load {
    my ($server, $count, $connections, $target, @options) = @_;
    my ($status, $out, $err) = Jackdaw->run(Jackdaw::build() . '/tests/load/load', '-n', $count,
        '-c', $connections, @options, '-e', '200,201,204,304', $server->address, $target, { timeout => 120 });
    die "load $target: $out$err" if $status;
    return;
}

# name => [connections, target, options]. Keys 0 to $keys - 1 are there.
sub hot_paths {
    my ($server, $keys) = @_;
    load($server, $keys, 16, '/v1/kv/main/', '-k', $keys, '-q', '-m', 'PUT', '-b', 100);
    my @key = ('/v1/kv/main/00000001');
    my $tag = $server->get(@key)->{headers}{etag};
    my @json = ('-m', 'POST', '-H', 'Content-Type: application/json', '-d', '{"who":"somebody","what":"something","n":1}');
    return (
        hit          => [ 16, @key ],
        lone         => [ 2,  @key ],
        not_modified => [ 16, @key, '-H', "If-None-Match: $tag" ],
        miss         => [ 16, '/v1/kv/main/', '-k', $keys, '-q' ],
        row          => [ 16, '/b/row/5' ],
        fresh        => [ 16, '/b/fresh/5' ],
        put          => [ 32, '/v1/kv/main/', '-k', $keys, '-m', 'PUT', '-b', 100 ],
        insert       => [ 32, '/b/log', @json ],
        scan         => [ 16, '/v1/kv/main?limit=20' ],
    );
}

1;
