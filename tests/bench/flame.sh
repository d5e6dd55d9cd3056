#!/bin/sh
# SPDX-License-Identifier: MIT
# Flame graphs of a daemon under load, kernel and all, by perf(1):
#
#   tests/bench/flame.sh [DIR [BUILD]]     (build/bench, build/release)
#
# Writes DIR/flame-get.svg, flame-put.svg, flame-row.svg, flame-fresh.svg and
# flame-insert.svg: five seconds each, 64 connections, 199 samples a second.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-build/bench}
build=${2:-build/release}
command -v perf >/dev/null || { echo "flame.sh needs perf (linux-perf)" >&2; exit 1; }
mkdir -p "$out"
tmp=$(mktemp -d build/flame-XXXXXX)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || :; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

mkdir -p "$tmp/services/b/migrations"
cat >"$tmp/services/b/migrations/0001_init.sql" <<'END'
CREATE TABLE world(id INTEGER PRIMARY KEY, number INTEGER NOT NULL);
WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c WHERE x < 9999)
INSERT INTO world SELECT x, abs(random()) % 10000 FROM c;
CREATE TABLE log(id INTEGER PRIMARY KEY, who TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL);
END
cp tests/bench/service/routes.sql "$tmp/services/b/"
"$build/jackdawd" --set listen=127.0.0.1:0 --set "data_dir=$tmp/data" \
    --set "service_dir=$tmp/services" --set limits.queue_age=10s 2>"$tmp/log" &
pid=$!
url=
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    url=$(sed -n 's/.*address=\(127[0-9.]*:[0-9]*\).*/http:\/\/\1/p' "$tmp/log" | head -n 1)
    [ -z "$url" ] || break
    sleep 0.25
done
[ -n "$url" ] || { cat "$tmp/log" >&2; exit 1; }

# perf's stacks, innermost first, to a line each.
fold() {
    perf script -i "$1" -F comm,ip,sym 2>/dev/null | perl -ne '
        if (/^(\S.*?)\s*$/) { $thread = $1; @frames = () }
        elsif (/^\s+[0-9a-f]+ (.+?)\s*$/) { my $name = $1; $name =~ s/[;\s]+/ /g; unshift @frames, $name }
        elsif (@frames) { $count{ join ";", $thread, "-", "perf", @frames }++; @frames = () }
        END { print "$_ $count{$_}\n" for sort keys %count }'
}

draw() {
    name=$1
    shift
    "$build/jackdaw" bench --url "$url" -d 7s --warmup 1s -o json "$@" >"$tmp/bench.json" &
    load=$!
    sleep 2
    perf record -q -e cpu-clock -F 199 --call-graph dwarf,8192 -p "$pid" -o "$tmp/perf" -- sleep 5 >/dev/null 2>&1
    wait "$load"
    fold "$tmp/perf" >"$tmp/folded"
    "$build/jackdaw" profile --file "$tmp/folded" -o svg >"$out/flame-$name.svg"
    echo "$out/flame-$name.svg: $(awk '{ n += $NF } END { print n + 0 }' "$tmp/folded") samples"
}

"$build/jackdaw" bench --url "$url" --requests 400000 --keys 100000 -m PUT --body-size 100 \
    -o json '/v1/kv/main/{key}' >"$tmp/bench.json"
draw get --keys 100000 '/v1/kv/main/{key}'
draw put --keys 100000 -m PUT --body-size 100 '/v1/kv/main/{key}'
draw row --keys 10000 '/b/row/{n}'
draw fresh --keys 10000 '/b/fresh/{n}'
draw insert -m POST -H 'Content-Type: application/json' --body '{"who":"somebody","what":"x","n":1}' /b/log
