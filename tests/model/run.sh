#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh MODEL.pml [-D...] [-- EXPECT]: checks one variant with Spin. EXPECT is `holds` (default) or
# `fails`; prints states and the verdict. Exit 77: no spin here.
set -eu
command -v spin >/dev/null 2>&1 || { echo "spin is not installed"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
model=$1; shift
expect=holds defines=
while [ $# -gt 0 ]; do
    case "$1" in
    --) expect=$2; shift ;;
    *) defines="$defines $1" ;;
    esac
    shift
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
case "$defines" in
*LIVENESS*) kind="-DNFAIR=8" search="-a -f" ;;
*) kind="-DSAFETY" search="-E" ;;
esac
# shellcheck disable=SC2086
{
    spin $defines -a "$here/$model" >spin.log
    gcc -O2 -w $kind -DVECTORSZ=2048 -o pan pan.c
    ./pan $search -m1000000 -w24 >pan.log 2>&1
}
errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log)
states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' pan.log)
[ -n "$errors" ] || { cat spin.log pan.log; exit 1; }
verdict=holds; [ "$errors" = 0 ] || verdict=fails
grep -q "max search depth too small" pan.log && { echo "search was cut short"; exit 1; }
echo "$model$defines: $states states, $verdict"
[ "$verdict" = "$expect" ] || { tail -40 pan.log; exit 1; }
