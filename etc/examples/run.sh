#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make run` starts: run.sh BUILD. Serves $LISTEN (127.0.0.1:8080) with the
# example services, the built-in settings and its data in ./data, until ^C.
set -eu
build=${1:?usage: run.sh BUILD}
listen=${LISTEN:-127.0.0.1:8080}
url=http://$listen

# 6 means that nobody answers there.
status=0
"$build/jackdaw" --url "$url" --timeout 2s status >/dev/null 2>&1 || status=$?
if [ "$status" -ne 6 ]; then
    echo "run.sh: $listen is taken: something answers there already." >&2
    echo "Stop that, or choose another address: make run LISTEN=127.0.0.1:8081" >&2
    exit 1
fi

cat <<END
Jackdaw serves $url with its data in ./data; ^C ends it.
It has the services of etc/services: shop, links and bench.
Open $url/shop, or try it from another terminal:

    curl -i $url/shop/items/5
    curl -i --json '{"customer":3,"items":[{"item":5,"quantity":1}]}' $url/shop/orders
    curl -i $url/links/sqlite
    curl -i -X PUT -H 'Content-Type: text/plain' -d 'hello' $url/v1/kv/main/greeting

README.md goes on from there.

END
exec "$build/jackdawd" --set "listen=$listen" --set data_dir=data \
    --set service_dir=etc/services
