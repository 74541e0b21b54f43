# SPDX-License-Identifier: Apache-2.0
"""Promises 11 and 12: a reload adds, removes, changes and moves agents; what did not change is not
restarted, no token is refreshed by it; a bad file changes nothing and says why; the operator's file
is never written."""
import os

import e2e
from swarm import Swarm


def actors(swarm):
    return {row["name"]: row for row in swarm.json("zmq", "ls")}


def main():
    with e2e.Run() as run:
        practice = run.practice("--access-life=1h")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.up()
        swarm.ask_all()
        before, pids = practice.stats(), swarm.pids()

        # a bad file: refused with its line, nothing changes
        good = dict(swarm.config)
        swarm.config = {**good, "auth": {**good["auth"], "routing": {}}}
        swarm.write()
        refused = swarm.call("reload", check=False)
        assert refused.returncode == 78 and "auth.routing" in refused.stderr, refused
        assert "auth.order" in refused.stderr and ":" in refused.stderr, refused.stderr
        swarm.ask_all(good["agents"]["entries"])

        # add, remove, change, move
        entries = dict(good["agents"]["entries"])
        del entries["nexis"]
        entries["vesta"] = {"instructions": "You are vesta.", "node": "b"}
        entries["axon"] = {**entries["axon"], "instructions": "You are axon, and brief."}
        entries["nova"] = {**entries["nova"], "node": "b"}
        swarm.config = {**good, "agents": {**good["agents"], "entries": entries}}
        swarm.write()
        stamp = os.stat(swarm.file)
        changed = swarm.json("reload")
        assert {row["subject"] for row in changed} == {"nexis", "vesta", "axon", "nova"}, changed
        assert os.stat(swarm.file).st_mtime_ns == stamp.st_mtime_ns
        swarm.ask_all(entries)
        gone = swarm.ask("nexis", check=False)
        assert gone.returncode != 0 and "nexis" in gone.stderr, gone
        where = {row["agent"]: row for row in swarm.json("agents")}
        assert where["nova"]["node"] == "b" and where["vesta"]["node"] == "b", where
        assert where["atlas"]["turns"] == 3, f"atlas was restarted: {where['atlas']}"
        assert swarm.pids() == pids, "a process was restarted"
        assert actors(swarm)["atlas"]["restarts"] == 0

        # the session moved with nova: it goes on where it was
        transcript = os.path.join(swarm.state, "swarms/five/agents/nova/main.jsonl")
        assert os.path.getsize(transcript) > 0

        # nothing changed: nothing happens
        assert swarm.json("reload") == []
        e2e.expect(practice.stats(), rotations=before["rotations"], model_401=0)

        # a node more, and one less
        swarm.config["nodes"] = {**good["nodes"], "c": {}}
        swarm.config["agents"]["entries"]["lumi"]["node"] = "c"
        swarm.write()
        swarm.call("reload")
        e2e.wait_until("node c runs", lambda: "c" in swarm.pids())
        e2e.wait_until("lumi answers",
                       lambda: swarm.ask("lumi", check=False).returncode == 0)
        swarm.down()
        assert not {"up", "home", "b", "c"} & set(swarm.pids())
        print("added, removed, changed, moved; no refresh, no restart")


main()
