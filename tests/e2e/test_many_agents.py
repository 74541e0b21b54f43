# SPDX-License-Identifier: Apache-2.0
"""More agents than a mailbox has room for and than a screen has rows: all of them start, are listed
and answer under their own names, one more joins by a reload, and names that differ by a dash are
two. AGENTS in the environment sets how many (3000)."""
import os
import time

import e2e
from swarm import Swarm

AGENTS = int(os.environ.get("AGENTS", "3000"))


def main():
    with e2e.Run() as run:
        practice = run.practice("--access-life=1h")
        agents = {f"agent{i}": "home" for i in range(AGENTS)}
        swarm = Swarm(run, practice.url, agents={**agents, "agent-0": "home"}, name="many")
        swarm.practice_login(practice)
        begin = time.monotonic()
        swarm.up()
        print(f"{AGENTS} agents are up after {time.monotonic() - begin:.1f} s")
        listed = {row["agent"] for row in swarm.json("agents")}
        assert listed == {*agents, "agent-0"}, f"{len(listed)} agents are listed"
        for agent in ("agent0", "agent-0", f"agent{AGENTS - 1}"):
            assert f"from {agent}:" in swarm.ask(agent).stdout, f"another answers for {agent}"
        swarm.config["agents"]["entries"]["late"] = {"instructions": "You are late."}
        swarm.write()
        begin = time.monotonic()
        swarm.call("reload", swarm.file)
        print(f"one more after {time.monotonic() - begin:.1f} s")
        assert "from late:" in swarm.ask("late").stdout
        swarm.down()


main()
