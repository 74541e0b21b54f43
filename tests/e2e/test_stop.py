# SPDX-License-Identifier: Apache-2.0
"""A process that stands still is not a process that is gone. The keeper is stopped (SIGSTOP) at a
random moment of a refresh and goes on (SIGCONT) later, after its askers have given up as well as
before; nodes are stopped in the middle of turns. Nothing takes over, nothing is sent twice, the
login lives and service returns. STOPS in the environment sets how often (12).

And a keeper that is told to end while one login refreshes, or dies, costs nobody an answer: who
asks for another login meanwhile gets it from the next keeper, by the same command."""
import os
import random
import signal
import time

import e2e
from judges import Practice
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


def provider_of_its_own(swarm, name, url):
    """A second provider, for a login that the first one's troubles must not touch."""
    lab = swarm.config["models"]["providers"]["lab"]
    swarm.config["models"]["providers"][name] = {
        **lab, "baseUrl": url + "/v1", "oauth": {**lab["oauth"], "tokenUrl": url + "/oauth/token"}}
    swarm.write()


def going(by, rule):
    """The keeper goes, by this signal, in a refresh that takes five seconds."""
    with e2e.Run() as run:
        slow, fast = (Practice(run, rule, "--access-life=1h", f"--refresh-delay={delay}")
                      for delay in ("5s", "0s"))
        swarm = Swarm(run, slow.url, **slow.words)
        provider_of_its_own(swarm, "quick", fast.url)
        swarm.import_login(slow.login())
        swarm.import_login(fast.login(), profile="quick:me")
        before = swarm.logins()
        first = swarm.pids()["keeper"]
        waits = swarm.start("auth", "token", "lab:me", "--force")
        e2e.wait_until("it refreshes", lambda: slow.peer.stats()["token_requests"] == 1)
        os.kill(first, by)
        asked = swarm.start("auth", "token", "quick:me", "--force")
        imported = swarm.start(*swarm.import_words(fast.login(), profile="quick:other"))
        for process in (waits, asked, imported):
            out, err = process.communicate(timeout=90)
            assert process.returncode == 0 and out.strip(), f"{process.args}: {err}"
        after = swarm.logins()
        assert after["quick:me"]["generation"] == before["quick:me"]["generation"] + 1, after
        assert after["lab:me"]["generation"] > before["lab:me"]["generation"], after
        assert "quick:other" in after, after
        assert swarm.pids()["keeper"] != first, "it did not go"
        for practice in (slow, fast):
            e2e.expect(practice.totals(), reused=0, ended=0, overlapping=0)
        with open(swarm.state + "/credentials/audit.log", encoding="utf-8") as audit:
            assert by != signal.SIGTERM or "code=stopping" in audit.read(), "none met it stopping"
        print(f"keeper ended by {by.name} in a refresh: three who asked meanwhile had their answer")


def resting():
    """Nobody needs it: it ends by itself, in the way of every end, and the next one goes on."""
    with e2e.Run() as run:
        practice = Practice(run)
        swarm = Swarm(run, practice.url, **practice.words)
        swarm.import_login(practice.login())
        e2e.wait_until("it has gone to rest", lambda: "keeper" not in swarm.pids(), timeout_s=60)
        with open(swarm.state + "/credentials/audit.log", encoding="utf-8") as audit:
            assert "drain why=nobody_needs_it" in audit.read()
        assert swarm.call("auth", "token", "lab:me", "--force").stdout.strip()
        e2e.expect(practice.totals(), reused=0, ended=0, overlapping=0)
        print("a keeper that nobody asked went to rest")


def main():
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    print(f"SEED={seed}")
    keeper(seed)
    nodes(seed)
    resting()
    going(signal.SIGTERM, "strict")
    going(signal.SIGKILL, "grace")


main()
