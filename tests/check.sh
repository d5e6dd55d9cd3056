#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the tests of one build under prove: tests/check.sh [PATTERN]
# MODE says which build; the daemon and the client are taken from there.
set -eu
cd "$(dirname "$0")/.."
: "${MODE:=debug}"
build=build/$MODE
export MODE JACKDAW_BUILD="$PWD/$build"
# TSan and the model runs need a fixed address space.
run=
[ "$MODE" = tsan ] && command -v setarch >/dev/null && run="setarch -R"
export ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp:halt_on_error=0:exitcode=66:${TSAN_OPTIONS:-}"
tests=
for file in "$build"/tests/test_* "$build"/tests/fuzz/* tests/*.t; do
    case $file in *.o | *.d | *.so) continue ;; esac
    [ -e "$file" ] || continue
    # No threads of ours in these: the thread sanitizer has nothing to see.
    [ "$MODE" = tsan ] && case $file in
    */cli*.t | */readme.t | */config.t | */linear.t | */fuzz/*) continue ;;
    esac
    # Neither the folder nor the mode is part of its name.
    name=${file#"$build"/}
    [ -n "${1:-}" ] && case ${name#tests/} in *"$1"*) ;; *) continue ;; esac
    tests="$tests $file"
done
[ -n "$tests" ] || { echo "no test matches '${1:-}'" >&2; exit 2; }
echo "# $MODE"
# shellcheck disable=SC2086
# Two at a time: most of them wait most of their time.
exec $run prove --timer --jobs "${JOBS:-2}" --exec tests/exec.sh $tests
