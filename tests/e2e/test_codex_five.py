# SPDX-License-Identifier: Apache-2.0
"""Five real `codex exec` that take their bearer from `queenright auth token`, no swarm running,
over several expiries: all answer, nothing is reused."""
import time

import e2e
from swarm import Swarm, program

ROUNDS = 3


def main():
    with e2e.Run(needs=("node", "codex")) as run:
        practice = run.practice("--access-life=3s")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        for _ in range(ROUNDS):
            running = [run.codex(practice.url + "/v1", "Say hello.", program(), "auth", "token",
                                 "lab:me", "--min-valid", "2s", env=swarm.env) for _ in range(5)]
            for process in running:
                out, err = process.communicate(timeout=120)
                assert process.returncode == 0 and out.strip(), f"{process.returncode}\n{out}{err}"
            time.sleep(3)
        stats = practice.stats()
        e2e.expect(stats, reused=0, overlapping=0)
        assert stats["rotations"] >= ROUNDS - 1, stats
        assert stats["model_answers"] >= 5 * ROUNDS, stats
        print(f"{stats['model_answers']} answers, {stats['rotations']} rotations, nothing reused")


main()
