#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""swarm_bench.py BUILD [IDLE_SECONDS]: what a swarm costs, on the practice provider.

Cold start (`up --detach` to the fifth agent's answer), memory of all processes (Pss) and CPU of all
of them over IDLE_SECONDS with five idle agents, and one `auth token` process. The provider answers
without delay, so nothing has to be subtracted."""
import json
import os
import re
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as rollup:
        return int(re.search(r"Pss:\s+(\d+)", rollup.read()).group(1))


def ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def cold_start(run, swarm):
    swarm.call("down", check=False)
    pid = swarm.pids().get("keeper")
    if pid:
        os.kill(pid, 15)
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.01)
    begin = time.monotonic()
    swarm.up()
    up = time.monotonic() - begin
    swarm.ask_all()
    return up * 1000, (time.monotonic() - begin) * 1000


def main():
    build, idle_s = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60
    os.environ["E2E_QUEENRIGHT"] = build + "/tools/queenright/queenright"
    import e2e
    from swarm import Swarm
    with e2e.Run() as run:
        practice = run.start("practice", [os.environ["E2E_QUEENRIGHT"], "practice", "--json",
                                          "--access-life=1h", "--model-delay=0ms",
                                          "--model-pace=0ms"]).read_ready()
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        starts = [cold_start(run, swarm) for _ in range(5)]
        print(f"up --detach: median {statistics.median(s[0] for s in starts):.0f} ms; to the fifth "
              f"agent's answer, five `ask` processes included: "
              f"median {statistics.median(s[1] for s in starts):.0f} ms")
        pids = swarm.pids()
        memory = {kind: pss_kb(pid) for kind, pid in pids.items()}
        print(f"memory, Pss: {sum(memory.values()) / 1024:.1f} MB of "
              + ", ".join(f"{kind} {kb / 1024:.1f}" for kind, kb in memory.items()))
        time.sleep(2)
        before = {kind: ticks(pid) for kind, pid in pids.items()}
        time.sleep(idle_s)
        used = sum(ticks(pid) - before[kind] for kind, pid in pids.items())
        print(f"CPU of all processes, idle for {idle_s} s: "
              f"{used / os.sysconf('SC_CLK_TCK'):.2f} s")
        times = []
        for _ in range(20):
            begin = time.monotonic()
            swarm.call("auth", "token", "lab:me")
            times.append((time.monotonic() - begin) * 1000)
        print(f"one `auth token` process: median {statistics.median(times):.1f} ms")
        asks = []
        for _ in range(20):
            begin = time.monotonic()
            swarm.ask("atlas")
            asks.append((time.monotonic() - begin) * 1000)
        print(f"one `ask` process: median {statistics.median(asks):.1f} ms")
        swarm.down()


main()
