# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments of a refresh. With a provider that grants 30 s of grace the login
survives whatever is killed, the keeper included; with a strict one it survives the death of
everything but the keeper. KILLS in the environment sets how often (40)."""
import os
import random
import time

import e2e
from swarm import Swarm

KILLS = int(os.environ.get("KILLS", "40"))


def token(swarm, *words):
    return swarm.start("auth", "token", "lab:me", *words)


def survives(swarm):
    """A token that the model takes, after whatever happened."""
    done = swarm.call("auth", "token", "lab:me", "--min-valid", "1s", check=False, timeout=120)
    assert done.returncode == 0, f"{done.stderr}\n{swarm.logins()}"


def keeper_and_grace(seed):
    random.seed(seed)
    with e2e.Run() as run:
        practice = run.practice("--access-life=2s", "--refresh-delay=20ms", "--rotation=grace",
                                "--grace=30s")
        swarm = Swarm(run, practice.url, rotation="grace", oauth={"graceSeconds": 30})
        swarm.practice_login(practice)
        for _ in range(KILLS):
            asked = token(swarm, "--force")
            time.sleep(random.uniform(0, 0.06))
            swarm.kill("keeper")
            asked.communicate(timeout=60)
            survives(swarm)
        e2e.expect(practice.stats(), families_ended=0)
        stats = practice.stats()
        print(f"grace: keeper killed {KILLS} times, the login lives: {stats['rotations']}"
              f" rotations, {stats['repeated']} repeated")


def nodes_and_strict(seed):
    random.seed(seed)
    with e2e.Run() as run:
        practice = run.practice("--access-life=1s", "--refresh-delay=20ms")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        for _ in range(max(3, KILLS // 8)):
            swarm.up()
            asked = [swarm.start("ask", agent, "hello") for agent in ("atlas", "lumi")]
            time.sleep(random.uniform(0, 0.3))
            for kind in random.sample(["home", "b", "up"], 3):
                swarm.kill(kind)
            for process in asked:
                process.communicate(timeout=60)
            e2e.wait_until("the nodes are gone with their up",
                           lambda: not {"home", "b", "up"} & set(swarm.pids()))
            survives(swarm)
        e2e.expect(practice.stats(), reused=0, families_ended=0)
        print("strict: everything but the keeper killed, the login lives")


def main():
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    print(f"SEED={seed}")
    keeper_and_grace(seed)
    nodes_and_strict(seed)


main()
