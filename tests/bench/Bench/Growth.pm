# SPDX-License-Identifier: MIT

# Cost against size: what is measured, and what the slopes come from.
package Bench::Growth;

use strict;
use warnings;

use Bench::Data;
use Bench::Report;
use System::Floor;
use System::Jackdaw;

my $row = 1050;    # bytes of a row of the big table, in its page

# Of each axis its sizes, and with each size the series: [name, title, system,
# settings of the work]. scale: below 1 makes all sizes smaller.
sub plan {
    my ($scale) = @_;
    my $some = sub { my $n = int($_[0] * ($scale < 1 ? $scale : 1)); return $n > 100 || $n == $_[0] ? $n : 100 };
    my (%systems, @works);
    my $system = sub {
        my ($name, %options) = @_;
        $systems{$name} //= System::Jackdaw->new(name => $name, title => $name, %options);
        return $name;
    };
    my $add = sub {
        my ($axis, $x, $series, $title, $on, %work) = @_;
        push @works, { group => $axis, name => "${axis}_${series}_$x", title => $title, on => [$on], x => $x,
            series => $series, %work };
    };
    $systems{floor} = System::Floor->new;

    for my $keys (map { $some->($_) } 1e5, 1e6, 1e7) {
        my $on = $system->("jackdaw, $keys keys", keys => $keys);
        $add->('keys', $keys, 'get', 'GET', $on, as => 'get', keys => $keys, warm => $some->(500_000));
        $add->('keys', $keys, 'zipf', 'GET, zipfian', $on, as => 'get', keys => $keys, zipf => 0.99,
            warm => $some->(500_000));
        $add->('keys', $keys, 'put', 'durable PUT', $on, as => 'put_main', keys => $keys);
    }

    for my $connections (map { $some->($_) } 64, 1000, 10_000) {
        my $on   = $system->('jackdaw');
        # They are all there before it counts.
        my @with = (connections => $connections, keys => $Bench::Data::keys, settle => 1 + $connections / 5000);
        $add->('connections', $connections, 'floor', 'floor', 'floor', as => 'get', @with);
        $add->('connections', $connections, 'get', 'GET', $on, as => 'get', @with, warm => $some->(200_000));
        $add->('connections', $connections, 'put', 'durable PUT', $on, as => 'put', @with);
    }

    for my $routes (10, 1000) {
        my $on = $system->("jackdaw, $routes routes", routes => $routes, keys => 100);
        $add->('routes', $routes, 'row', 'row, cached', $on, as => 'row_one');
        $add->('routes', $routes, 'fresh', 'row, not cached', $on, as => 'fresh_one');
    }

    for my $bytes (10_000_000, 5_000_000_000) {
        my $rows = $some->($bytes / $row);
        my $on = $system->("jackdaw, $rows rows", big => $rows, keys => 100);
        $add->('database', $rows * $row, 'row', 'row', $on, as => 'big', keys => $rows, warm => $some->(50_000));
        $add->('database', $rows * $row, 'fresh', 'row, not cached', $on, as => 'big_fresh', keys => $rows,
            warm => $some->(50_000));
        $add->('database', $rows * $row, 'insert', 'durable insert', $on, as => 'insert');
    }

    my @sizes = (10, 100, 1000, 10_000, 100_000, 1_048_576);
    $system->('jackdaw, values', values => \@sizes, keys => 100);
    $systems{floor}{values} = \@sizes;
    for my $size (@sizes) {
        $add->('values', $size, 'floor', 'floor', 'floor', as => "value_$size");
        $add->('values', $size, 'get', 'GET', 'jackdaw, values', as => "value_$size");
        $add->('values', $size, 'put', 'durable PUT', 'jackdaw, values', as => "put_$size", keys => 100);
    }
    return { works => \@works, systems => \%systems };
}

our %axes = (
    keys        => [ 'Keys in the store',        'keys' ],
    connections => [ 'Connections, all busy',    'connections' ],
    routes      => [ 'Routes of the service',    'routes' ],
    database    => [ 'Size of the database',     'bytes' ],
    values      => [ 'Size of the value',        'bytes' ],
);

# The report's works as axes of series of points.
sub axes {
    my ($report) = @_;
    my (@axes, %axis, %series);
    for my $work (@{ $report->{works} }) {
        my $name = $work->{group};
        my ($title, $x_title) = @{ $axes{$name} };
        if (!$axis{$name}) {
            $axis{$name} = { name => $name, title => $title, x_title => $x_title, series => [] };
            push @axes, $axis{$name};
        }
        my $series = $series{$name}{ $work->{series} };
        if (!$series) {
            $series = $series{$name}{ $work->{series} } = { name => $work->{series}, title => $work->{title}, points => [] };
            push @{ $axis{$name}{series} }, $series;
        }
        my ($of) = values %{ $work->{systems} };
        push @{ $series->{points} }, { x => $work->{x},
            map { $_ => ref $of->{$_} ? $of->{$_}{median} : $of->{$_} } keys %$of };
    }
    return @axes;
}

sub _hits {
    my ($point) = @_;
    my $reads = ($point->{hits} // 0) + ($point->{misses} // 0);
    return $reads ? 100 * $point->{hits} / $reads : undef;
}

sub _batch {
    my ($point) = @_;
    return $point->{batches} ? $point->{writes} / $point->{batches} : undef;
}

sub table {
    my ($axis) = @_;
    my @rows = [ '', $axis->{x_title}, 'CPU us', 'requests/s', 'p99 us', 'from the cache', 'writes in a batch',
        'faults a request', 'sleeps a request', 'bytes written', 'MiB' ];
    for my $series (@{ $axis->{series} }) {
        my $title = $series->{title};
        for (@{ $series->{points} }) {
            my $hits = _hits($_);
            my $x = $_->{x};
            1 while $x =~ s/^(\d+)(\d{3})/$1,$2/;
            push @rows, [ $title, $x, (map { Bench::Report::number($_) } @$_{qw(cpu_us rate p99_us)}),
                defined $hits ? sprintf('%.0f%%', $hits) : '', Bench::Report::number(_batch($_)),
                Bench::Report::number($_->{faults}), Bench::Report::number($_->{sleeps}),
                Bench::Report::number($_->{written}),
                Bench::Report::number(defined $_->{memory} ? $_->{memory} / (1 << 20) : undef) ];
            $title = '';
        }
    }
    return @rows;
}

# ---- why ----------------------------------------------------------------------

# What was counted at the smallest and at the largest size, where it differs
# enough to matter. These are findings about the run, not beliefs about the code.
sub _facts {
    my ($first, $last) = @_;
    my @facts;
    my $from_to = sub { return 'from ' . Bench::Report::number($_[0]) . ' to ' . Bench::Report::number($_[1]) };
    my ($hits, $hits_then) = (_hits($first), _hits($last));
    push @facts, sprintf 'replies from the cache go from %.0f%% to %.0f%%; the others read the store', $hits, $hits_then
        if defined $hits && defined $hits_then && abs($hits - $hits_then) > 5;
    my ($batch, $batch_then) = (_batch($first), _batch($last));
    push @facts, 'writes that share a sync go ' . $from_to->($batch, $batch_then)
        if $batch && $batch_then && abs(log($batch_then / $batch)) > log 1.3;
    # With each, what is too little to matter.
    for ([ faults => 'page faults', 0.02 ], [ sleeps => 'sleeps of threads', 0.1 ], [ written => 'bytes written', 100 ]) {
        my ($field, $what, $little) = @$_;
        my ($then, $now) = map { $_->{$field} // 0 } $first, $last;
        my ($less, $more) = sort { $a <=> $b } $then, $now;
        push @facts, "$what for a request go " . $from_to->($then, $now) if $more - $less > $little && $more > 1.3 * $less;
    }
    my ($bytes, $bytes_then) = ($first->{bytes_in} // 0, $last->{bytes_in} // 0);
    push @facts, 'bytes of a reply go ' . $from_to->($bytes, $bytes_then) . sprintf ', which is %.2f ns for each byte more',
        ($last->{cpu_us} - $first->{cpu_us}) * 1e3 / ($bytes_then - $bytes) if $bytes_then > 2 * $bytes;
    my ($memory, $memory_then) = ($first->{memory} // 0, $last->{memory} // 0);
    push @facts, sprintf 'resident memory goes from %.0f to %.0f MiB', map { $_ / (1 << 20) } $memory, $memory_then
        if $memory && $memory_then > 2 * $memory;
    return @facts;
}

# The points of the smallest and the largest size; none where there is but one.
sub _ends {
    my ($series) = @_;
    my ($first, $last) = (grep { $_->{cpu_us} } @{ $series->{points} })[ 0, -1 ];
    return $first && $first != $last ? ($first, $last) : ();
}

# A sentence for each series.
sub reasons {
    my ($axis) = @_;
    my @reasons;
    my ($floor) = map { my ($first, $last) = _ends($_); $first ? $last->{cpu_us} / $first->{cpu_us} : () }
        grep { $_->{name} eq 'floor' } @{ $axis->{series} };
    for my $series (@{ $axis->{series} }) {
        my ($first, $last) = _ends($series) or next;
        my $slope = $last->{cpu_us} / $first->{cpu_us};
        my $text  = sprintf '**%s**: CPU time grows %.2f times, p99 %.1f times.', $series->{title}, $slope,
            $last->{p99_us} / $first->{p99_us};
        $text = sprintf '**%s**: CPU time is the same within 10%% (%.2f times), p99 %.1f times.', $series->{title}, $slope,
            $last->{p99_us} / $first->{p99_us} if $slope > 0.9 && $slope < 1.1;
        my @facts = _facts($first, $last);
        unshift @facts, sprintf 'the floor\'s grows %.2f times', $floor
            if $series->{name} ne 'floor' && $slope >= 1.1 && ($floor // 0) >= 1.1;
        $text .= ' Counted: ' . join('; ', @facts) . '.' if @facts;
        $text .= ' Nothing that is counted here explains it: the reason is not known.' if !@facts && $slope >= 1.1;
        push @reasons, $text;
    }
    return @reasons;
}

1;
