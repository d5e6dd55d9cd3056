#!/bin/sh
# SPDX-License-Identifier: MIT
# prove's interpreter: Perl for .t files, the program itself otherwise.
case $1 in
*.t) exec perl -Itests/lib "$@" ;;
*) exec "$@" ;;
esac
