#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the keeper, of nodes and of `up`, at moments spread over the whole of a refresh, its
saving included, under each rotation rule; the provider's own counters are the judge, npm's
oidc-provider among them. See kill_lanes.py for what is killed and what must hold.

Ordinary: a few hundred kills. The long run: --kills 10000, or `ninja soak_kill`."""
import argparse
import os
import sys
import time

import kill_lanes

COLUMNS = ("lane", "kills", "refreshes", "uncertain", "lost", "double spends")


def options():
    parser = argparse.ArgumentParser(description=__doc__, epilog="E2E_QUEENRIGHT and E2E_PRACTICE "
                                     "name the programs, E2E_MODULES the folder with node_modules.")
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS", "400")),
                        help="how many in all (400; KILLS in the environment)")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "0")),
                        help="for the dice; moments still differ with the machine")
    parser.add_argument("--width", type=int, default=1, help="lanes of each rule at a time (1)")
    parser.add_argument("--lanes", default=",".join(kill_lanes.SHARES),
                        help="which: %(default)s")
    parser.add_argument("--minutes", type=float, default=1e6,
                        help="kill no more after so long, and judge")
    parser.add_argument("--progress", type=float, metavar="S",
                        help="print where it stands every S seconds")
    return parser.parse_args()


def show(rows):
    widths = [max(len(name), 12) for name in COLUMNS]
    for row in [dict(zip(COLUMNS, COLUMNS)), *rows]:
        print("  ".join(str(row[name]).rjust(width) for name, width in zip(COLUMNS, widths)))


def total(rows):
    return {"lane": "all", **{name: sum(row[name] for row in rows) for name in COLUMNS[1:]}}


def main():
    call = options()
    seed = call.seed or time.time_ns() % 1000000
    print(f"SEED={seed}", flush=True)
    lanes = kill_lanes.lanes_of(call.kills, seed, call.lanes.split(","), call.width)
    began, failures = time.monotonic(), []
    threads = [kill_lanes.start(lane, failures) for lane in lanes]
    said = began
    while any(thread.is_alive() for thread in threads) and not failures:
        time.sleep(0.2)
        if time.monotonic() - began > 60 * call.minutes:
            for lane in lanes:
                lane.share = 0
        if call.progress and time.monotonic() - said >= call.progress:
            said = time.monotonic()
            done = sum(lane.kills for lane in lanes)
            print(f"{said - began:.0f} s: {done} kills ({done / (said - began):.1f}/s), " +
                  ", ".join(f"{lane.name} {lane.kills}/{lane.share}" for lane in lanes),
                  flush=True)
    for lane in lanes:
        lane.stop = True  # only matters after a failure: all others have ended
    for thread in threads:
        thread.join()
    if failures:
        for name, error in failures:
            print(f"{name}: {type(error).__name__}: {error}\n  again: test_kill.py --seed {seed} "
                  f"--kills {call.kills} --width {call.width}", file=sys.stderr)
    rows = [lane.row() for lane in lanes]
    show([*rows, total(rows)])
    print(f"{time.monotonic() - began:.0f} s; each login lost was rotated by a strict provider in "
          "the moment of a kill" if not failures else "FAILED")
    if failures:
        sys.exit(1)
    for lane in lanes:
        if lane.skipped:
            print(f"skipped: {lane.name}, its provider is not installed")


main()
