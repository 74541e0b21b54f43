#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The runtime core beside CAF and Erlang, in one run on this machine: core.sh BUILD-DIRECTORY [RUNS]
# Runs take turns, so that a busy machine is busy for all; the median of each figure counts.
set -euo pipefail
build=${1:?usage: core.sh BUILD-DIRECTORY [RUNS]}
runs=${2:-3}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for run in $(seq "$runs"); do
    "$build/bench/core_bench" 2 >>"$work/queenright"
    [ -x "$build/bench/core_caf" ] && "$build/bench/core_caf" 2 >>"$work/caf"
    command -v escript >/dev/null && escript "$here/core_erlang.escript" >>"$work/erlang"
done

median() { # FILE NAME
    [ -f "$1" ] && awk -v name="$2" '$1 == name {print $2}' "$1" | sort -n |
        awk '{v[NR] = $1} END {if (NR) print v[int((NR + 1) / 2)]; else print "-"}' || echo -
}

row='%-20s %12s %12s %12s   %s\n'
# shellcheck disable=SC2059
printf "$row" figure queenright caf erlang 'beside the better peer (aim)'
while read -r name unit better aim; do
    q=$(median "$work/queenright" "$name")
    c=$(median "$work/caf" "$name")
    e=$(median "$work/erlang" "$name")
    ratio=$(awk -v q="$q" -v c="$c" -v e="$e" -v better="$better" 'BEGIN {
        best = c == "-" ? e : e == "-" ? c : better == "more" ? (c > e ? c : e) : (c < e ? c : e)
        if (best == "-" || best == 0) print "-"; else printf "%.2fx", q / best }')
    # shellcheck disable=SC2059
    printf "$row" "$name ($unit)" "$q" "$c" "$e" "$ratio ($better than $aim)"
done <<'END'
fan_in M/s more 2x
ping_pong ns less 0.5x
request_reply ns less 0.5x
spawn k/s more 3x
idle_bytes B less 256
idle_cpu ms/s less 1
END
