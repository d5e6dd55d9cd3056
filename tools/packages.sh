#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs those of the named Debian packages that are missing. Does nothing,
# and needs no network and no rights, when all of them are there.
set -eu
missing=
for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null |
        grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "install these as root, then run this again:$missing" >&2
        exit 1
    }
    sudo=sudo
fi
$sudo apt-get update -q
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends $missing
