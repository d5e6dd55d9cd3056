# SPDX-License-Identifier: MIT

# Made faults of a daemon's system calls: rules of tests/preload/fault.c.
#
#   my $server = Jackdaw->start(env => Faults::environment());
#   Faults::rule('fdatasync EIO data.mdb');
#   Faults::rule('');    # none
package Faults;

use strict;
use warnings;

use File::Temp;
use Jackdaw;

my $folder = File::Temp->newdir;

# Seen whole or not at all, by all daemons of the test.
sub rule {
    my ($line) = @_;
    open my $out, '>', "$folder/new" or die $!;
    print $out "$line\n" or die $!;
    close $out or die $!;
    rename "$folder/new", "$folder/rules" or die $!;
    return;
}

# For the start of a daemon; there is no rule yet.
sub environment {
    rule('');
    my $asan = join ':', grep { length } $ENV{ASAN_OPTIONS} // '', 'verify_asan_link_order=0';
    return { LD_PRELOAD => Jackdaw::build() . '/tests/preload/fault.so', JACKDAW_FAULT => "$folder/rules",
        ASAN_OPTIONS => $asan };
}

1;
