# SPDX-License-Identifier: MIT

# README's walk-through works as it stands there: every command, pasted in
# order, prints what README says. So does the guide to services. The address
# alone is another one.
use strict;
use warnings;
use Cwd qw(getcwd);
use File::Temp;
use IO::Socket::IP;
use Jackdaw;
use Test::More;
use Time::HiRes qw(sleep time);

my $root  = getcwd();
my $build = Jackdaw::build();
my $tmp   = File::Temp->newdir;
my $patience = 20 * Jackdaw::slowness();
my $run;    # the pid of `make run`

delete $ENV{JACKDAW_URL};

sub slurp {
    open my $in, '<', $_[0] or return '';
    local $/;
    return <$in> // '';
}

# [commands, what they print] of each block of a text.
sub blocks {
    my ($text) = @_;
    my @blocks;
    while ($text =~ /^```(\w+)\n(.*?)^```\n/msg) {
        if ($1 eq 'sh') { push @blocks, [$2, ''] }
        elsif ($1 eq 'text') { $blocks[-1][1] = $2 }
        elsif ($1 ne 'sql') { fail "a block of $1" }
    }
    return @blocks;
}

# A line that is shown, as a pattern: numbers, request ids and "..." may differ.
sub pattern {
    my ($line) = @_;
    my @parts = split /(\.\.\.|request id \w+|\d+(?:\.\d+)?)/, $line;
    my $status = $line =~ m{^HTTP/1\.1 \d+|^exit status};
    return join '', map {
        $_ eq '...' ? '\\N*'
            : /^request id/ ? 'request id \w+'
            : /^\d/ && !$status ? '\d+(?:\.\d+)?'
            : quotemeta
    } @parts;
}

# A port that is free now.
sub free_port {
    return IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1)->sockport;
}

# A folder as a newcomer has it after `make`.
symlink "$root/etc", "$tmp/etc" or die $!;
mkdir "$tmp/build" or die $!;
symlink $build, "$tmp/build/release" or die $!;
my $address = '127.0.0.1:' . free_port();

# What `make run` does when everything is built.
sub run_sh {
    my $pid = fork // die;
    return $pid if $pid;
    chdir $tmp or POSIX::_exit(126);
    $ENV{LISTEN} = $address;
    $SIG{INT} = 'DEFAULT';
    open STDOUT, '>', "$tmp/run.out" or POSIX::_exit(126);
    open STDERR, '>&', \*STDOUT      or POSIX::_exit(126);
    exec 'etc/examples/run.sh', 'build/release' or POSIX::_exit(127);
}

# One shell for all blocks, as the reader's; it tells where each ends.
sub paste {
    my (@blocks) = @_;
    my $script = "exec 2>&1\n";
    for my $i (0 .. $#blocks) {
        $script .= $blocks[$i][0] . "printf '\\n#### $i %d\\n' \$?\n";
    }
    $script =~ s/127\.0\.0\.1:8080/$address/g;
    open my $file, '>', "$tmp/script" or die $!;
    print $file $script;
    close $file;
    my (undef, $out) = Jackdaw->run('bash', "$tmp/script",
        { chdir => $tmp, env => { JACKDAW_URL => "http://$address" }, timeout => 60 });

    for my $i (0 .. $#blocks) {
        my ($commands, $text) = @{ $blocks[$i] };
        my ($name) = $commands =~ /([^\n]+)\n\z/;
        subtest substr($name, 0, 60) => sub {
            my $found = $out =~ s/\A(.*?)^#### $i (\d+)\n//ms;
            ok $found, 'is run' or diag $out or return;
            my ($printed, $status) = ($1, $2);
            is $status, 0, 'works' or diag $printed;
            # What is shown is a part of it, in this order.
            my $rest = $printed;
            for my $line (split /\n/, $text) {
                my $pattern = pattern($line);
                ok $rest =~ s/\A.*?$pattern//s, "prints: $line" or diag $printed;
            }
        };
    }
}

sub answers {
    my $end = time + $patience;
    while (time < $end) {
        return 1 if IO::Socket::IP->new(PeerAddr => $address);
        sleep 0.02;
    }
    return 0;
}

# The exit status once it ends, as wait has it.
sub ends {
    my ($pid) = @_;
    my $end = time + $patience;
    while (time < $end) {
        return $? if waitpid($pid, POSIX::WNOHANG()) == $pid;
        sleep 0.02;
    }
    return -1;
}

END {
    local $?;
    kill KILL => $run if $run;
}

my $readme = slurp("$root/README.md");
my @first_screen = (split /\n/, $readme)[0 .. 23];
for my $goal (qw(run check)) {
    ok((grep { /\bmake $goal\b/ } @first_screen), "README's first screen has `make $goal`");
}
my ($walk) = $readme =~ /^(## Ten minutes.*?)^## /ms or die 'no walk-through';
my @blocks = blocks($walk);
cmp_ok scalar @blocks, '>=', 8, 'it has blocks of commands';

$run = run_sh();
ok answers(), '`make run` serves' or BAIL_OUT(slurp("$tmp/run.out"));

subtest 'what `make run` suggests' => sub {
    my $out = slurp("$tmp/run.out");
    my @curls = $out =~ /^ +(curl .*)$/mg;
    is scalar @curls, 4, 'four commands';
    for (@curls) {
        like $_, qr/\Q$address\E/, 'to where it listens';
        my ($status, $got, $err) = Jackdaw->run('sh', '-c', s/^curl/curl -sSf/r);
        is $status, 0, $_ or diag $err;
    }
};

my ($listed) = $readme =~ /^    apt-get install (gcc .*?)^    make/ms;
my ($needed) = slurp("$root/GNUmakefile") =~ /^debian_build := (.*?)^\w/ms;
s/[\s\\]+/ /g for $listed, $needed;
is $listed, $needed, '"Building it" lists the packages of the makefile';

paste(@blocks);

my (undef, $keys) = Jackdaw->run("$build/jackdaw", '--url', "http://$address", 'kv', 'export', 'main');
my $packages = () = $keys =~ /^\{"key":"pkg\//mg;
my $installed = grep { /^installed/ } `dpkg-query -W -f '\${db:Status-Status} \${Package}\n' | sort -u`;
is $packages, $installed, 'the store has every package';

subtest 'a second `make run`' => sub {
    my (undef, $before) = Jackdaw->run("$build/jackdaw", '--url', "http://$address", 'kv', 'get', 'main',
        'visits');
    my ($status, $out, $err) = Jackdaw->run("$root/etc/examples/run.sh", $build,
        { chdir => $tmp, env => { LISTEN => $address } });
    isnt $status, 0, 'fails';
    like $err, qr/\Q$address\E is taken/, 'and says why';
    is $out, '', 'and nothing else';
    my (undef, $after) = Jackdaw->run("$build/jackdaw", '--url', "http://$address", 'kv', 'get', 'main',
        'visits');
    is $after, $before, 'the first one goes on';
};

kill INT => $run;
is ends($run), 0, '^C ends it well' or diag slurp("$tmp/run.out");
ok -d "$tmp/data", 'the data stays in ./data';
$run = run_sh();
ok answers(), 'the next one serves';
my (undef, $visits) = Jackdaw->run("$build/jackdaw", '--url', "http://$address", 'kv', 'get', 'main', 'visits');
is $visits, 10, 'what was there before';

my @guide = blocks(slurp("$root/docs/guide/services.md"));
cmp_ok scalar @guide, '>=', 6, 'the guide has blocks of commands';
paste([ "PATH=\$PWD/build/release:\$PATH\n", '' ], @guide);

kill INT => $run;
is ends($run), 0, 'and ends well';
undef $run;
done_testing;
