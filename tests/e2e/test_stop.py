# SPDX-License-Identifier: Apache-2.0
"""A process that stands still is not a process that is gone. The keeper is stopped (SIGSTOP) at a
random moment of a refresh and goes on (SIGCONT) later, after its askers have given up as well as
before; nodes are stopped in the middle of turns. Nothing takes over, nothing is sent twice, the
login lives and service returns. STOPS in the environment sets how often (12)."""
import os
import random
import signal
import time

import e2e
from swarm import Swarm

STOPS = int(os.environ.get("STOPS", "12"))


def keeper(seed):
    random.seed(seed)
    with e2e.Run() as run:
        practice = run.practice("--access-life=3s", "--refresh-delay=30ms")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        for _ in range(STOPS):
            swarm.stop("keeper")  # so that the next question is a refresh
            swarm.call("auth", "list", check=False)
            asked = swarm.start("auth", "token", "lab:me", "--force")
            time.sleep(random.uniform(0, 0.08))
            pid = swarm.pids()["keeper"]
            os.kill(pid, signal.SIGSTOP)
            second = swarm.start("auth", "token", "lab:me", "--min-valid", "1s")
            time.sleep(random.choice((0.05, 0.3, 1.5)))
            os.kill(pid, signal.SIGCONT)
            for process in (asked, second):
                process.communicate(timeout=60)
            done = swarm.call("auth", "token", "lab:me", "--min-valid", "1s")
            assert done.stdout.strip() and swarm.pids()["keeper"] == pid, "another keeper"
        stats = practice.stats()
        e2e.expect(stats, reused=0, families_ended=0, overlapping=0)
        print(f"keeper stopped {STOPS} times in a refresh: {stats['rotations']} rotations,"
              " nothing sent twice")


def nodes(seed):
    random.seed(seed)
    with e2e.Run() as run:
        practice = run.practice("--access-life=2s", "--refresh-delay=30ms")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.up()
        for _ in range(max(2, STOPS // 4)):
            asked = {agent: swarm.start("ask", agent, "hello")
                     for agent in ("atlas", "axon", "lumi")}
            time.sleep(random.uniform(0, 0.3))
            pid = swarm.pids()["b"]
            os.kill(pid, signal.SIGSTOP)
            # what runs elsewhere goes on meanwhile
            assert swarm.ask("nova").stdout.strip()
            assert swarm.call("auth", "token", "lab:me", "--min-valid", "500ms").stdout.strip()
            os.kill(pid, signal.SIGCONT)
            for agent, process in asked.items():
                out, err = process.communicate(timeout=90)
                assert process.returncode == 0 and out.strip(), f"{agent}: {err}"
            assert swarm.pids()["b"] == pid, "the stopped node was replaced"
        e2e.expect(practice.stats(), reused=0, families_ended=0, overlapping=0)
        swarm.down()
        print("node stopped in turns: the others went on, and so did it afterwards")


def main():
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    print(f"SEED={seed}")
    keeper(seed)
    nodes(seed)


main()
