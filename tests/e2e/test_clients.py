# SPDX-License-Identifier: Apache-2.0
"""Many, slow and idle. CLIENTS (200; a long run: 1000) programs ask for a token that has ended, and
one refresh serves them all. A provider that takes 5 s to answer does not hold up another account.
A swarm of five with nothing to do does nothing: its threads stay asleep over IDLE_S (20) seconds,
but for connections that are closed. Prints what it measured."""
import json
import glob
import os
import time

import e2e
from swarm import Swarm

CLIENTS = int(os.environ.get("CLIENTS", "200"))
IDLE_S = int(os.environ.get("IDLE_S", "20"))


def one_expiry():
    """All are there before the answer is: the provider holds it back until they have asked."""
    with e2e.Run() as run:
        practice = run.practice("--access-life=600s",
                                f"--refresh-delay={min(50, 5 + CLIENTS // 10)}s")
        swarm = Swarm(run, practice.url)
        swarm.import_login(expired(practice))
        programs = [swarm.start("auth", "token", "lab:me", "--json") for _ in range(CLIENTS)]
        most = 0
        while not any(program.poll() is not None for program in programs):
            most = max(most, int(swarm.logins()["lab:me"]["waiters"]))
            time.sleep(0.5)
        grants = set()
        for program in programs:
            out, err = program.communicate(timeout=60)
            assert program.returncode == 0, err
            grants.add(json.loads(out)["access_token"])
        e2e.expect(practice.stats(), token_requests=1, rotations=1, reused=0)
        assert len(grants) == 1
        print(f"{CLIENTS} clients at one expiry: 1 refresh, {most} waited for it together")


def expired(practice):
    login = json.loads(e2e.http("POST", practice.url + "/practice/login", "{}")[1])
    return {"access": login["access_token"], "refresh": login["refresh_token"], "expires": 1000}


def slow_beside_fast():
    with e2e.Run() as run:
        slow = run.practice("--access-life=60s", "--refresh-delay=5s")
        fast = run.practice("--access-life=2s")
        swarm = Swarm(run, fast.url)
        providers = swarm.config["models"]["providers"]
        providers["tar"] = json.loads(json.dumps(providers["lab"]))
        providers["tar"]["oauth"]["tokenUrl"] = slow.url + "/oauth/token"
        providers["tar"]["baseUrl"] = slow.url + "/v1"
        swarm.config["auth"]["profiles"]["tar:me"] = {"provider": "tar", "mode": "oauth"}
        swarm.write()
        swarm.practice_login(fast)
        swarm.import_login({**expired(slow), "provider": "tar"}, profile="tar:me")
        waiting = swarm.start("auth", "token", "tar:me")
        e2e.wait_until("the slow refresh runs", lambda: slow.stats()["token_requests"] == 1)
        times, begin = [], time.monotonic()
        while time.monotonic() - begin < 4:
            asked = time.monotonic()
            swarm.call("auth", "token", "lab:me", "--min-valid", "1s")
            times.append((time.monotonic() - asked) * 1000)
        assert waiting.poll() is None, "the slow one was not slow"
        out, err = waiting.communicate(timeout=60)
        assert waiting.returncode == 0 and out.strip(), err
        refreshes = fast.stats()["rotations"]
        assert refreshes >= 1 and max(times) < 2500, (refreshes, max(times))
        times.sort()
        print(f"beside a provider that takes 5 s: {len(times)} tokens of another account,"
              f" {refreshes} refreshes among them; median {times[len(times) // 2]:.0f} ms,"
              f" slowest {times[-1]:.0f} ms, the start of the program included")


def ticks(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def wakes(pids):
    """How often their threads went to sleep so far, which is how often they had woken."""
    total = 0
    for status in (path for pid in pids for path in glob.glob(f"/proc/{pid}/task/*/status")):
        with open(status, encoding="utf-8") as lines:
            total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    return total


def idle():
    with e2e.Run() as run:
        practice = run.practice("--access-life=3600s")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.up()
        swarm.ask_all()
        time.sleep(3)  # what the turns left behind: connections kept open, batches
        pids = list(swarm.pids().values())
        assert len(pids) == 4, swarm.pids()  # up, two nodes, the keeper
        before, woken = ticks(pids), wakes(pids)
        time.sleep(IDLE_S)
        used, woken = ticks(pids) - before, wakes(pids) - woken
        share = used / (IDLE_S * os.sysconf("SC_CLK_TCK"))
        assert share <= 0.01, f"{used} ticks in {IDLE_S} s: {share:.2%} of one processor"
        assert woken / IDLE_S < 20, f"{woken} wakes in {IDLE_S} s"  # connections close now and then
        swarm.down()
        print(f"idle: {used} CPU ticks, {woken} wakes of {len(pids)} processes in {IDLE_S} s")


def main():
    one_expiry()
    slow_beside_fast()
    idle()


main()
