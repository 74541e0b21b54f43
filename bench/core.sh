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

printf '%-14s %12s %12s %12s  %s\n' figure queenright caf erlang 'against the better peer (aim)'
for figure in 'fan_in M/s more 2' 'ping_pong ns less 0.5' 'request_reply ns less 0.5' \
    'spawn k/s more 3' 'idle_bytes B less 256B' 'idle_cpu ms/s less 0'; do
    read -r name unit better aim <<<"$figure"
    awk -v name="$name ($unit)" -v better="$better" -v aim="$aim" \
        -v q="$(median "$work/queenright" "$name")" \
        -v c="$(median "$work/caf" "$name")" -v e="$(median "$work/erlang" "$name")" 'BEGIN {
        best = c == "-" ? e : e == "-" ? c : better == "more" ? (c > e ? c : e) : (c < e ? c : e)
        ratio = best == "-" || best == 0 ? "-" : sprintf("%.2f", q / best)
        printf "%-20s %12s %12s %12s  %sx (%s%s)\n", name, q, c, e, ratio,
               better == "more" ? ">= " : "<= ", aim }' | sed 's/^\(.\{20\}\)      /\1/'
done
