# SPDX-License-Identifier: MIT

# jackdaw profile: what it makes of what a server answers.
use strict;
use warnings;

use Fake;
use Jackdaw;
use JSON::PP;
use Test::More;

delete @ENV{qw(JACKDAW_URL JACKDAW_SOCKET)};
$ENV{LC_ALL} = 'C';

# 1000 samples at 100 a second: 10 s. "again" calls itself.
my $folded = join '', map { "$_\n" } (
    'commit-main;no route;commit;start;cut_where_it_ends 100',
    'worker-0;no route;source;start;MHD_run;sendmsg 300',
    'worker-0;route GET /shop/<a>&"{id}";fiber;base;again;again;sqlite3_step 350',
    'worker-0;route GET /shop/<a>&"{id}";fiber;base;again;sqlite3_step 50',
    'worker-1;route GET /x;request;start;libsqlite3.so.0+0x12ab 199',
    'worker-1;route GET /x;request;start;libsqlite3.so.0+0x12ab;a_function_with_a_name_that_is_rather_long 1',
);
my $figures = 'hz=100, ms=5000, samples=1000, dropped=0';
my ($body, $header, $status) = ($folded, $figures, 200);
my $fake;

sub serve {
    ($body, $header, $status) = @_;
    $fake->stop if $fake;
    $fake = Fake->start(sub {
        return [$status // 200, $body, defined $header ? ('Jackdaw-Profile' => $header) : ()];
    });
}

sub jackdaw { return Jackdaw->run(Jackdaw::client(), 'profile', '--socket', $fake->socket, @_) }

serve($folded, $figures);

subtest 'what is asked for' => sub {
    for ([[] => 'seconds=10&hz=99'], [['-d', '2m', '-r', '1000'] => 'seconds=120&hz=1000'],
        [['--duration', '3000ms', '--rate', 1] => 'seconds=3&hz=1']) {
        my ($arguments, $query) = @$_;
        $fake->requests;
        is((jackdaw(@$arguments))[0], 0, "@$arguments");
        my ($request) = $fake->requests;
        is "$request->{method} $request->{target}", "GET /v1/admin/profile?$query", $query;
    }
    for (['-d', '500ms'], ['-d', '1500ms'], ['-d', '301s'], ['-d', '5'], ['-r', 0], ['-r', 1001], ['-r', 'x'],
        ['-o', 'table'], ['-n', 0], ['more']) {
        $fake->requests;
        my ($status, $out, $err) = jackdaw(@$_);
        is "$status|$out", '2|', "@$_ is refused";
        like $err, qr/^jackdaw: /, 'with a reason';
        is_deeply [ $fake->requests ], [], 'nothing is asked';
    }
};

subtest 'text' => sub {
    my ($status, $out, $err) = jackdaw();
    is "$status|$err", '0|', 'good';
    like $out, qr/^5\.0 s, 1000 samples: 10\.00 s of processor time, 2\.00 processors$/m, 'the sum';
    my @functions = $out =~ /FUNCTION\n.*\n((?:.+\n)+)\n/ ? split /\n/, $1 : ();
    is_deeply [ map { s/^ +//r =~ s/ +/ /gr } @functions ], [
        '4.00 s 40.0% 4.00 s 40.0% sqlite3_step',
        '3.00 s 30.0% 3.00 s 30.0% sendmsg',
        '1.99 s 19.9% 2.00 s 20.0% libsqlite3.so.0+0x12ab',
        '1.00 s 10.0% 1.00 s 10.0% cut_where_it_ends',
        '0.01 s 0.1% 0.01 s 0.1% a_function_with_a_name_that_is_rather_long',
        '0.00 s 0.0% 6.00 s 60.0% start',
        '0.00 s 0.0% 4.00 s 40.0% again',
        '0.00 s 0.0% 4.00 s 40.0% base',
        '0.00 s 0.0% 3.00 s 30.0% MHD_run',
    ], 'functions by themselves and with what they call, each once a stack';
    like $out, qr/ROUTE\n.*\n *4\.00 s +40\.0% +no route\n *4\.00 s +40\.0% +GET \/shop\/<a>&"\{id\}"\n *2\.00 s +20\.0% +GET \/x\n/,
        'routes';
    like $out, qr/KIND\n.*\n *4\.00 s +40\.0% +fiber\n *3\.00 s +30\.0% +source\n/, 'kinds';
    like $out, qr/THREAD\n.*\n *7\.00 s +70\.0% +worker-0\n *2\.00 s +20\.0% +worker-1\n *1\.00 s +10\.0% +commit-main\n/, 'threads';
    ($status, $out) = jackdaw('-n', 2);
    like $out, qr/sendmsg\n\n/, 'the first --limit';
};

subtest 'folded' => sub {
    my ($status, $out, $err) = jackdaw('-o', 'folded');
    is "$status|$err", '0|', 'good';
    is $out, $folded, 'as it came';
};

subtest 'JSON' => sub {
    my ($status, $out, $err) = jackdaw('-o', 'json');
    is "$status|$err", '0|', 'good';
    my $profile = JSON::PP->new->utf8->decode($out);
    is_deeply [ @$profile{qw(hz ms samples dropped)} ], [100, 5000, 1000, 0], 'figures';
    is_deeply $profile->{stacks}[2], { samples => 350, thread => 'worker-0', route => 'GET /shop/<a>&"{id}"',
        kind => 'fiber', functions => [qw(base again again sqlite3_step)] }, 'a stack';
    is $profile->{stacks}[0]{route}, undef, 'none has a route';
    is_deeply $profile->{functions}[0], { name => 'sqlite3_step', self => 400, total => 400 }, 'a function';
    is_deeply $profile->{threads}, [ { name => 'worker-0', samples => 700 }, { name => 'worker-1', samples => 200 },
        { name => 'commit-main', samples => 100 } ], 'threads';
};

# The elements of XML as [name, attributes, children...], or dies: enough to
# see that it is well-formed.
sub parse_xml {
    my ($xml) = @_;
    $xml =~ s/^<\?xml version="1\.0" encoding="UTF-8"\?>\s*// or die "no declaration\n";
    my @open = ([ '', {} ]);
    while (length $xml) {
        if ($xml =~ s{^</([\w:]+)>}{}) {
            my $element = pop @open;
            die "</$1> ends <$element->[0]>\n" if $element->[0] ne $1 || !@open;
            push @{ $open[-1] }, $element;
        } elsif ($xml =~ s{^<([\w:]+)((?:\s+[\w:-]+="[^<&"]*")*)\s*(/?)>}{}) {
            my ($name, $attributes, $empty) = ($1, $2, $3);
            my $element = [ $name, { $attributes =~ /([\w:-]+)="([^"]*)"/g } ];
            push @{ $empty ? $open[-1] : \@open }, $element;
        } elsif ($xml =~ s/^([^<&\x00-\x08\x0b\x0c\x0e-\x1f]|&(?:amp|lt|gt|quot|#\d+);)+//) {
            push @{ $open[-1] }, $& =~ s/&lt;/</gr =~ s/&gt;/>/gr =~ s/&amp;/&/gr;
        } else {
            die 'not XML: ' . substr($xml, 0, 50) . "\n";
        }
    }
    die "not closed\n" if @open != 1;
    my @elements = grep { ref eq 'ARRAY' } @{ $open[0] };
    die "not one element\n" if @elements != 1;
    return $elements[0];
}

# Boxes of a flame graph: { name, samples, percent, x, y, width, text }.
sub boxes {
    my ($svg) = @_;
    my @boxes;
    for my $group (grep { ref eq 'ARRAY' && $_->[0] eq 'g' } @{ parse_xml($svg) }) {
        my %part = map { ref eq 'ARRAY' ? ($_->[0] => $_) : () } @$group;
        $part{title}[2] =~ /^(.*) \((\d+) samples, (\S+)%\)$/s or die "title $part{title}[2]\n";
        push @boxes, { name => $1, samples => $2, percent => $3, %{ $part{rect}[1] },
            text => $part{text} ? $part{text}[2] : '' };
    }
    return @boxes;
}

subtest 'a flame graph' => sub {
    my ($status, $out, $err) = jackdaw('-o', 'svg');
    is "$status|$err", '0|', 'good';
    my @boxes = eval { boxes($out) };
    is $@, '', 'is well-formed';
    unlike $out, qr/<script|javascript|\bon\w+=|href|url\(|\@import/i, 'with nothing that runs or is elsewhere';
    my ($root) = grep { $_->{name} eq 'all' } @boxes;
    is $root->{samples}, 1000, 'the root has all samples';
    is $root->{width}, '1180.00', 'and the whole width';
    my @wrong = grep { abs($_->{width} - 1.18 * $_->{samples}) > 0.011 || abs($_->{percent} - $_->{samples} / 10) > 0.006 } @boxes;
    is_deeply \@wrong, [], 'width and percentage are those of the samples';
    my %rows;
    push @{ $rows{ $_->{y} } }, $_ for @boxes;
    for my $y (sort { $b <=> $a } keys %rows) {
        my @row = sort { $a->{x} <=> $b->{x} } @{ $rows{$y} };
        my $overlap = grep { $row[$_]{x} < $row[$_ - 1]{x} + $row[$_ - 1]{width} - 0.02 } 1 .. $#row;
        # Each stands on one that it fits on.
        my @below = @{ $rows{ $y + 17 } // [$root] };
        my @loose = grep {
            my $box = $_;
            !grep { $box->{x} >= $_->{x} - 0.02 && $box->{x} + $box->{width} <= $_->{x} + $_->{width} + 0.02 } @below;
        } @row;
        is $overlap + @loose, 0, scalar(@row) . ' boxes of a row stand side by side, each on its caller';
    }
    is_deeply [ sort map { $_->{samples} } grep { $_->{name} eq 'again' } @boxes ], [350, 400], 'a call of itself stands on itself';
    my ($route) = grep { $_->{name} eq 'route GET /shop/<a>&"{id}"' } @boxes;
    is $route->{samples}, 400, 'names are escaped';
    my @long = grep { length $_->{text} && 7 * length $_->{text} > $_->{width} } @boxes;
    is_deeply \@long, [], 'no text is wider than its box';
    # 118, 235 and 1 wide; a letter is 7.3.
    my %text = map { $_->{name} => $_->{text} } @boxes;
    is $text{'libsqlite3.so.0+0x12ab'}, 'libsqlite3.so.0+0x12ab', 'a text that fits is whole';
    is $text{'commit-main'}, 'commit-main', 'so is one that just fits';
    is $text{'a_function_with_a_name_that_is_rather_long'}, '', 'where there is no room there is none';
    is $text{'route GET /shop/<a>&"{id}"'}, 'route GET /shop/<a>&"{id}"', 'a label';
    is $text{'cut_where_it_ends'}, 'cut_where_it_..', 'a text that does not fit is cut';
};

subtest 'odd profiles' => sub {
    my $row = "main;route GET /\xc3\xa9;other;caf\xc3\xa9;bad\xff;\x7f 10\n";
    serve($row, 'hz=10, ms=1000, samples=10, dropped=3');
    for my $form (qw(text svg json folded)) {
        my ($status, $out, $err) = jackdaw('-o', $form);
        is $status, 0, "odd names as $form";
        is $err, "jackdaw: 3 samples were dropped: there was no room for them\n", 'what was dropped is said';
        is eval { scalar boxes($out) }, 7, 'well-formed' if $form eq 'svg';
        ok eval { JSON::PP->new->utf8->decode($out) }, 'UTF-8' if $form eq 'json';
    }
    serve('', 'hz=99, ms=1000, samples=0, dropped=0');
    for my $form (qw(text svg json folded)) {
        my ($status, $out, $err) = jackdaw('-o', $form);
        is "$status|$err", '0|', "an idle server as $form";
        ok eval { parse_xml($out) }, 'well-formed' if $form eq 'svg';
        like $out, qr/^1\.0 s, 0 samples: 0\.00 s of processor time, 0\.00 processors$/m, 'its sum' if $form eq 'text';
    }
    for (['what?', $figures], ["a;b;c 1\n", $figures], ["a;b;c;d\n", $figures], ["a;b;c;d x\n", $figures],
        [$folded, undef], [$folded, 'hz=1'], [$folded, 'hz=0, ms=1, samples=1, dropped=0'], ["a;b;c;d 1", $figures]) {
        serve(@$_);
        my ($status, $out, $err) = jackdaw();
        is "$status|$out|$err", "1||jackdaw: the server's answer is not a profile\n", 'no profile';
    }
    serve('{"status":409,"code":"conflict","detail":"one at a time"}', undef, 409);
    my ($status, $out, $err) = jackdaw();
    is "$status|$out", '4|', 'a conflict';
    like $err, qr/one at a time/, 'is told';
};

subtest 'stacks of a file' => sub {
    my $folder = File::Temp->newdir;
    my $file   = "$folder/stacks";
    my $write  = sub { open my $out, '>', $file or die $!; print $out $_[0]; close $out };
    my $client = sub { return Jackdaw->run(Jackdaw::client(), 'profile', '--socket', "$folder/nobody", @_) };
    $write->("worker-0;-;perf;main;work 30\nworker-0;-;perf;main;rest 10\n");
    my ($status, $out, $err) = $client->('--file', $file, '-o', 'svg');
    is "$status|$err", '0|', 'are drawn, and no server is asked';
    is scalar boxes($out), 7, 'each has its box';
    like $out, qr/jackdaw: 40 samples</, 'and all are counted';
    my $greys = sub { return join ' ', map { $_->{name} } grep { $_->{fill} =~ /^hsl\(0,/ } boxes($_[0]) };
    is $greys->($out), 'all worker-0 - perf', 'labels are told from functions';
    $write->("jackdawd;main;work 30\njackdawd 10\njackdawd;main;rest;a;b 20");
    ($status, $out, $err) = $client->('--file', $file, '-o', 'svg');
    is "$status|$err", '0|', 'so are short ones, also the last without its line end';
    like $out, qr/jackdaw: 60 samples</, 'which all count';
    is $greys->($out), 'all jackdawd', 'and only the process is no function';
    # As deep as one that calls itself without end; the stack is ours to choose.
    $write->(join(';', 'jackdawd', ('again') x 40_000) . " 1\n");
    ($status, $out, $err) = Jackdaw->run('sh', '-c', 'ulimit -s 512 && exec "$@"', 'sh', Jackdaw::client(),
        'profile', '--file', $file, '-o', 'svg');
    is "$status|$err", '0|', 'one of any depth is drawn';
    is scalar(() = $out =~ /<title>again /g), 40_000, 'to its end';
    ($status, undef, $err) = $client->('--file', $file);
    is $status, 2, 'a table cannot be made of them';
    like $err, qr/can be drawn: -o svg/, 'which is said';
    for my $text ("nothing of the kind\n", " 1\n", "a;b\n", "a;b 1\n\n") {
        $write->($text);
        ($status, $out, $err) = $client->('--file', $file, '-o', 'svg');
        is "$status|$out|$err", "1||jackdaw: these are no folded stacks\n", 'something else is refused';
    }
    ($status, undef, $err) = $client->('--file', "$file.none", '-o', 'svg');
    is $status, 1, 'a file that is not there';
    like $err, qr/stacks\.none: No such file/, 'is named';
};

done_testing;
