# SPDX-License-Identifier: MIT

# SQLite itself, by its shell: one commit for each insert, one after the other,
# with the settings that Jackdaw gives it.
package System::Sqlite;

use strict;
use warnings;
use parent 'System';

use Jackdaw;
use Time::HiRes qw(time);

sub name       { return 'sqlite' }
sub title      { return 'sqlite3, one commit an insert' }
sub needs      { return (sqlite3 => 'sqlite3') }
sub version    { return 'SQLite ' . ($_[0]->output_of('sqlite3', '--version') =~ /^([\d.]+)/ ? $1 : '') }
sub durability { return { insert => 'WAL, synchronous=FULL' } }
sub settings   { return 'the shell, which reads one INSERT after the other; no HTTP' }
sub requests   { return { insert => {} } }

sub start {
    my ($self, %options) = @_;
    $self->{data} = $options{data};
    $self->measure({ seconds => 1 });
    return;
}

sub measure {
    my ($self, $load) = @_;
    my $count = int(($self->{rate} // 100) * $load->{seconds} / 2) || 1;
    my $db    = "$self->{data}/lone.db";
    unlink glob "$db*";
    my $sql = $self->write_file("$self->{data}/lone.sql", join '',
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;\n",
        "CREATE TABLE log(id INTEGER PRIMARY KEY, who TEXT, what TEXT, n INTEGER);\n",
        ("INSERT INTO log(who, what, n) VALUES ('somebody', '" . 'x' x 60 . "', 1);\n") x $count);
    my $begin = time;
    my ($status, undef, $err) = Jackdaw->run('sqlite3', $db, ".read $sql", { timeout => 120 });
    die "sqlite3: $err" if $status;
    my $seconds = time - $begin;
    $self->{rate} = $count / $seconds;
    return { requests => $count, errors => 0, seconds => $seconds, rate => $self->{rate} };
}

1;
