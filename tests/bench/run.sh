#!/bin/sh
# SPDX-License-Identifier: MIT
# The benchmark of one build: tests/bench/run.sh [build/release]
# BENCH_ROUNDS (5) and BENCH_SECONDS (2, of each measurement) set its length.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build/release}
export MODE="${build##*/}" JACKDAW_BUILD="$PWD/$build" TEST_TIMEOUT=1800
perl -Itests/lib tests/bench/bench.pl
exec perl -Itests/lib tests/bench/sql.pl
