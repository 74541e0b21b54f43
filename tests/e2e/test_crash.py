# SPDX-License-Identifier: Apache-2.0
"""A node that dies in the middle of a turn: who asked is told at once, the other node goes on, the
node comes back by itself, and the transcript shows the turn as interrupted, never as an answer. A
keeper that dies again and again, before anyone has met it, is started again each time. While none
can start, `up` still answers, reloads and goes down."""
import contextlib
import fcntl
import json
import os
import signal
import time

import e2e
from swarm import Swarm


def keeper_dies_before_it_is_met():
    with e2e.Run() as run:
        practice = run.practice("--access-life=1s", "--rotation=grace", "--grace=60s")
        swarm = Swarm(run, practice.url, rotation="grace", oauth={"graceSeconds": 60})
        swarm.practice_login(practice)
        swarm.up()
        for i in range(24):
            e2e.wait_until("a keeper runs", lambda: "keeper" in swarm.pids(), pause_s=0.001)
            time.sleep(0.002 * i)  # some of these are after its start, and before our link to it
            swarm.kill("keeper")
        e2e.wait_until("a keeper runs again", lambda: "keeper" in swarm.pids())
        assert swarm.ask("atlas").stdout.strip()
        swarm.down()
        print("a keeper killed 24 times as soon as it ran: it is there again")


@contextlib.contextmanager
def store_held(swarm):
    """The keeper is gone, and somebody else has its store who does not listen."""
    up = swarm.pids()["up"]
    os.kill(up, signal.SIGSTOP)
    swarm.kill("keeper")
    with open(swarm.state + "/credentials/lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.kill(up, signal.SIGCONT)
        time.sleep(1)  # by now it has begun to look for a keeper
        yield


def keeper_state(swarm):
    shown = json.loads(swarm.call("status", "--json", check=False).stdout)
    return next(row["state"] for row in shown["processes"] if row["kind"] == "keeper")


def soon(what, call, limit_s=15):
    began = time.monotonic()
    result = call()
    took_s = time.monotonic() - began
    assert took_s < limit_s, f"{what}: {took_s:.1f} s"
    return result


def up_answers_while_no_keeper_can_start():
    with e2e.Run() as run:
        practice = run.practice("--access-life=1h")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.up()
        with store_held(swarm):
            for _ in range(3):
                assert soon("status", lambda: keeper_state(swarm)) == "down"
            soon("reload", lambda: swarm.call("reload"))
        e2e.wait_until("a keeper runs, and is met", lambda: keeper_state(swarm) == "up")
        assert swarm.ask("atlas").stdout.strip()
        with store_held(swarm):
            soon("down", swarm.down)
        e2e.wait_until("the swarm is gone", lambda: not set(swarm.pids()) - {"keeper"})
        print("while another held the store: status, reload and down were answered")


def node_dies_in_a_turn():
    with e2e.Run() as run:
        practice = run.practice("--access-life=1h", "--model-pace=150ms")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.up()
        pids = swarm.pids()
        asked = swarm.start("ask", "atlas", "Take your time.")
        other = swarm.start("ask", "lumi", "You too.")
        time.sleep(0.6)
        began = time.monotonic()
        swarm.kill("home")
        out, err = asked.communicate(timeout=30)
        assert asked.returncode != 0 and err.strip(), (asked.returncode, out, err)
        assert time.monotonic() - began < 5, "the asker was left waiting"
        out, err = other.communicate(timeout=60)
        assert other.returncode == 0 and "lumi" in out, f"the other node was disturbed: {err}"
        e2e.wait_until("home is back", lambda: swarm.pids().get("home", pids["home"])
                       != pids["home"])
        e2e.wait_until("atlas answers again",
                       lambda: swarm.ask("atlas", "Again?", check=False).returncode == 0)
        assert swarm.pids()["b"] == pids["b"] and swarm.pids()["keeper"] == pids["keeper"]
        path = os.path.join(swarm.state, "swarms/five/agents/atlas/main.jsonl")
        with open(path, encoding="utf-8") as lines:
            text = lines.read()
        kinds = [json.loads(line) for line in text.splitlines()]
        assert "interrupted" in text, text
        answers = [kind for kind in kinds if kind["type"] == "answer"]
        assert len(answers) == 1, text
        swarm.down()
        # after a restart of everything the session goes on
        swarm.up()
        swarm.ask("atlas", "Still there?")
        swarm.down()
        practice.expect(reused=0, model_401=0)
        print("told at once, back by itself, shown as interrupted")


def main():
    keeper_dies_before_it_is_met()
    up_answers_while_no_keeper_can_start()
    node_dies_in_a_turn()


main()
