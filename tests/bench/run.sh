#!/bin/sh
# SPDX-License-Identifier: MIT
# The benchmark of one build:
#
#   tests/bench/run.sh [OPTION]...
#     --build=DIR        the build (build/release)
#     --install          installs what the compared systems need, first
#     --growth           cost against size instead; --work: keys, connections,
#                        routes, database, values
#     --systems A,B      only these; --list shows all
#     --work A,B         only these kinds of work, or groups of them
#     --rounds N         (5)
#     --seconds S        of each measurement (2)
#     --requests N       of each measurement, instead, where there is no rate
#     --out DIR          where results.json goes (build/bench)
#     --list             shows systems and kinds of work
set -eu
cd "$(dirname "$0")/../.."
build=build/release
install=
program=bench
for argument; do
    shift
    case $argument in
    --build=*) build=${argument#*=} ;;
    --install) install=1 ;;
    --growth) program=growth ;;
    *) set -- "$@" "$argument" ;;
    esac
done
[ -z "$install" ] || tests/bench/install.sh
case $build in /*) ;; *) build=$PWD/$build ;; esac
export MODE="${MODE:-${build##*/}}" JACKDAW_BUILD="$build" TEST_TIMEOUT=7200
# Ten thousand connections have a descriptor each.
ulimit -n "$(ulimit -Hn)"
exec perl -Itests/lib "tests/bench/$program.pl" "$@"
