#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the systems that the benchmark compares with: Debian's packages, and
# Node's into build/bench/node. None of their services is started.
set -eu
cd "$(dirname "$0")/../.."
policy=/usr/sbin/policy-rc.d
ours=
if [ "$(id -u)" -eq 0 ] && [ ! -e $policy ]; then
    # Debian starts what it installs, unless this says no.
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    ours=1
fi
status=0
tools/packages.sh nginx-light memcached redis-server redis-tools webdis h2o \
    gnuplot-nox sqlite3 || status=$?
[ -z "$ours" ] || rm -f $policy
[ "$status" -eq 0 ] || exit "$status"
if ! command -v npm >/dev/null; then
    echo 'no npm: the Node.js stack is left out' >&2
    exit 0
fi
folder=build/bench/node
mkdir -p $folder
cp tests/bench/node/package.json tests/bench/node/package-lock.json \
    tests/bench/node/.npmrc tests/bench/node/server.js $folder/
npm ci --prefix $folder
