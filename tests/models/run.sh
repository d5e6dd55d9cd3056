#!/bin/sh
# SPDX-License-Identifier: MIT
# Checks the models with spin, and prints TAP. Each model must hold as it is,
# and must fail with each of the switches in its "breaks:" lines, which take
# out one fence or check: a model that cannot fail shows nothing.
# tests/models/run.sh [MODEL...]
set -u
cd "$(dirname "$0")" || exit 2
if ! command -v spin >/dev/null; then
    echo "1..0 # SKIP spin is not installed"
    exit 0
fi
here=$PWD
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT INT TERM
count=0
failed=0

# verify MODEL SWITCH: prints holds, fails, or what went wrong. A failure is
# found at once, so there compiling is what takes time.
verify() {
    optimize=-O${2:+0}
    rm -rf "$work/run" && mkdir "$work/run" && cd "$work/run" || return
    if ! spin ${2:+-D$2} -a "$here/$1.pml" >log 2>&1; then
        echo "spin: $(head -1 log)"
    elif ! ${CC:-cc} "$optimize" -w -DSAFETY -o pan pan.c >log 2>&1; then
        echo "cc: $(head -1 log)"
    else
        ./pan -m100000 >log 2>&1
        if grep -q 'max search depth too small\|out of memory' log; then
            echo "the search is not complete"
        elif grep -q 'errors: 0$' log; then
            echo holds
        elif grep -q 'errors: 1$' log; then
            echo fails
        else
            echo "pan: $(tail -1 log)"
        fi
    fi
}

# expect WHAT MODEL SWITCH NAME
expect() {
    count=$((count + 1))
    got=$(verify "$2" "$3")
    if [ "$got" = "$1" ]; then
        echo "ok $count - $4"
    else
        echo "not ok $count - $4"
        echo "# expected '$1', got '$got'"
        failed=1
    fi
}

[ $# -gt 0 ] || set -- *.pml
for model; do
    model=${model%.pml}
    expect holds "$model" "" "$model holds"
    for switch in $(sed -n 's/^ \* breaks: //p' "$model.pml"); do
        expect fails "$model" "$switch" "$model fails with $switch"
    done
done
echo "1..$count"
exit $failed
