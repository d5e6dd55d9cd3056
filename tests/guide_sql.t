# SPDX-License-Identifier: MIT

# What docs/guide/sql.md lets people paste gives what it says.
use strict;
use warnings;
use Jackdaw;
use Test::More;

my $server = Jackdaw->start;
my $port   = $server->port;

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!";
    local $/;
    return <$in>;
}

my $guide = slurp('docs/guide/sql.md');
my $count = 0;
while ($guide =~ /^```sh\n(.*?)^```\n\n```json\n(.*?)^```/msg) {
    my ($commands, $expected) = ($1, $2);
    $commands =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/g;
    my ($status, $out, $err) = Jackdaw->run('sh', '-c', $commands);
    $out =~ s/\r//g;    # of CSV
    my ($first) = split /\n/, $commands;
    is $out, $expected, substr $first, 0, 70 or diag $err;
    $count++;
}
cmp_ok $count, '>', 8, 'the blocks were found';
is $server->stop, 0, 'ends well';
done_testing;
