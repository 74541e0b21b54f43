# SPDX-License-Identifier: Apache-2.0
"""Promise 2: 64 agents meet one expiry at the same time; the provider sees one refresh."""
import json
import time

import e2e
from swarm import Swarm

AGENTS = {f"agent-{i}": "home" if i % 2 else "b" for i in range(64)}


def main():
    with e2e.Run() as run:
        practice = run.practice("--access-life=3s", "--refresh-delay=300ms")
        swarm = Swarm(run, practice.url, agents=AGENTS)
        swarm.practice_login(practice)
        swarm.up()
        time.sleep(4)  # nobody asked meanwhile: the token has ended
        before = practice.stats()
        swarm.ask_all()
        after = practice.stats()
        assert after["model_calls"] - before["model_calls"] == 64, after
        # the answers may take longer than one token lives; then, and only then, a second one
        e2e.expect(after, reused=0, overlapping=0, model_401=0)
        refreshes = after["token_requests"] - before["token_requests"]
        assert refreshes <= 2, after
        # the plain proof: tokens asked for at one moment, by 64 programs
        time.sleep(4)
        before = practice.stats()
        programs = [swarm.start("auth", "token", "lab:me", "--json") for _ in range(64)]
        grants = [json.loads(program.communicate(timeout=60)[0]) for program in programs]
        assert len({grant["access_token"] for grant in grants}) <= 2, "more than two generations"
        e2e.expect(practice.stats(), reused=0, overlapping=0)
        swarm.down()
        print(f"64 agents, {refreshes} refresh")


main()
