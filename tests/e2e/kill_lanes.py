# SPDX-License-Identifier: Apache-2.0
"""Lanes of the kill campaign: each has a state directory and a provider of its own, and kills
processes there at random moments until it has had its share.

A lane of keepers: somebody asks for a new token, and the keeper dies at a moment spread evenly over
the whole of that refresh, from its start to its last write; the asker starts another, which
recovers, and dies too, as often as the dice say. Where the provider forgives (none, grace) the
asker must get its token in the end. Where it does not (two-phase, strict) an unknown outcome takes
a minute to be told: that login is put aside, the lane goes on with a new one in the same state, so
that keepers die while they wait to recover as well, and at the end all that were put aside are
waited for and judged. A login that a strict provider rotated in the moment of a kill is lost, and
the audit has the recorded second attempt by which that is known; any other loss is a fault, and so
is any spent token that the provider saw again besides those.

A lane of swarms: agents ask while their nodes, their `up`, and where the provider grants a window
the keeper too, die; at the end every agent answers."""
import glob
import os
import random
import re
import signal
import statistics
import subprocess
import threading
import time

import e2e
from judges import Oidc, Practice
from swarm import Swarm, alive

SETTLE_S = 200     # a minute for the first request to end, and what it was given to end in
ASKER_S = 300
FORGIVING = ("none", "grace")


class Abandoned(Exception):
    """Another lane has failed: what this one started is ended."""


class Lane:
    """What both kinds have: the dice, the counters, the swarm."""

    def __init__(self, name, share, seed):
        self.name, self.share = name, share
        self.stop = self.skipped = False
        self.dice = random.Random(f"{seed} {name}")
        self.kills = self.uncertain = self.lost = 0
        self.provider = None
        self.totals = {"refreshes": 0, "reused": 0, "ended": 0, "overlapping": 0}

    def swarm_of(self, run, provider, agents=None):
        self.provider = provider
        return Swarm(run, provider.url, agents=agents, **provider.words)

    def go_on(self):
        if self.stop:
            raise Abandoned

    def judge(self):
        """Counters of the provider: what it saw twice is one attempt for each login it lost us."""
        self.totals = self.provider.totals()
        e2e.expect(self.totals, overlapping=0, reused=self.lost, ended=self.lost)

    def row(self):
        return {"lane": self.name, "kills": self.kills, "uncertain": self.uncertain,
                "lost": self.lost, "double spends": self.totals["reused"] - self.lost,
                "refreshes": self.totals["refreshes"]}


class KeeperLane(Lane):
    def run(self):
        with e2e.Run(needs=("node", "oidc") if self.name.startswith("oidc") else ()) as run:
            provider = Oidc(run, 20, delay_ms=10) if self.name.startswith("oidc") else Practice(
                run, self.name.split("#")[0], "--access-life=20s", "--refresh-delay=10ms")
            self.swarm = self.swarm_of(run, provider)
            self.aside = []
            profile = self.login_new()
            whole_s = self.measure(profile)
            while self.kills < self.share:
                if not self.trial(profile, whole_s):
                    self.uncertain += 1
                    self.aside.append(profile)
                    profile = self.login_new()
            self.settle(profile)
            self.judge()

    def login_new(self):
        profile = f"lab:p{self.uncertain}"
        self.swarm.import_login(self.provider.login(), profile=profile)
        return profile

    def ask(self, profile):
        return self.swarm.start("auth", "token", profile, "--force")

    def measure(self, profile):
        """What a refresh takes from the start of the asker, the start of a keeper included."""
        times = []
        for _ in range(5):
            self.kill()
            began = time.monotonic()
            out, err = self.ask(profile).communicate(timeout=ASKER_S)
            assert out.strip(), err
            times.append(time.monotonic() - began)
        self.kills = 0
        return statistics.median(times)

    def kill(self):
        """kill -9 of the keeper, where one lives: the lock file says which."""
        try:
            with open(self.swarm.state + "/credentials/lock", "rb") as lock:
                pid = int(re.search(rb"pid (\d+)", lock.read()).group(1))
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if os.fsencode(self.swarm.state) not in environ.read():
                    return False
            os.kill(pid, signal.SIGKILL)
        except (OSError, AttributeError):
            return False
        e2e.wait_until("the keeper is gone", lambda: not alive(pid), pause_s=0.002)
        self.kills += 1
        return True

    def trial(self, profile, whole_s):
        """False when the outcome of a refresh is not known."""
        self.go_on()
        if self.kill():
            self.kills -= 1  # it was at rest, and has to go for the next question to be a refresh
        asked = self.ask(profile)
        time.sleep(self.dice.uniform(0, 1.1 * whole_s))
        self.kill()
        while self.dice.random() < 0.4:
            time.sleep(self.dice.uniform(0, whole_s))
            self.kill()
        try:
            return self.answered(asked, profile, whole_s)
        finally:
            asked.kill()
            asked.communicate()

    def answered(self, asked, profile, whole_s):
        """True when the asker, or who asks after it, has a token; False: that takes a minute."""
        end = time.monotonic() + ASKER_S
        while time.monotonic() < end:
            try:
                out, err = asked.communicate(timeout=max(0.3, 4 * whole_s))
                if asked.returncode == 0 and out.strip():
                    return True
            except subprocess.TimeoutExpired:
                err = "it waits"
            row = self.swarm.logins()[profile]
            if row["state"] in ("uncertain", "needs_login"):
                assert row["state"] == "uncertain" or self.provider.rule == "strict", row
                if self.provider.rule not in FORGIVING:
                    return False
            if asked.returncode is not None:
                time.sleep(0.05)
                asked = self.ask(profile)
        raise AssertionError(f"{self.name}: no token in {ASKER_S} s: {err} {row}")

    def settle(self, profile):
        """Until the provider has said what became of each login that was put aside."""
        def unknown():
            self.go_on()
            return [name for name, row in self.swarm.logins().items()
                    if row["state"] not in ("valid", "needs_login")]
        e2e.wait_until(f"{self.name}: {self.uncertain} unknown outcomes are told",
                       lambda: not unknown(), timeout_s=SETTLE_S, pause_s=1)
        gone = {name: row["generation"] for name, row in self.swarm.logins().items()
                if row["state"] == "needs_login"}
        self.lost = len(gone)
        assert not gone or self.provider.rule == "strict", f"{self.name}: lost {gone}"
        assert set(gone) <= set(self.aside), f"{self.name}: lost outside the window: {gone}"
        unsaid = [name for name, generation in gone.items() if not self.resent(name, generation)]
        assert not unsaid, f"{self.name}: lost, and not by the stated limit: {unsaid}"
        assert self.swarm.call("auth", "token", profile, "--force").stdout.strip()


    def resent(self, profile, generation):
        """Whether the audit says that this one was sent again as one in doubt, and not afresh."""
        word = f" probe profile={profile} generation={generation} attempt="
        for path in glob.glob(self.swarm.state + "/credentials/audit.log*"):
            with open(path, encoding="utf-8", errors="replace") as audit:
                if any(word in line for line in audit):
                    return True
        return False


class SwarmLane(Lane):
    """"nodes": nodes and `up` under a strict provider; "swarm": the keeper too, under grace."""

    agents = {"atlas": "home", "axon": "home", "nova": "b", "nexis": "c", "lumi": "d"}

    def run(self):
        kinds = {"home", "b", "c", "d", "up"}
        strict = self.name.startswith("nodes")
        victims = sorted(kinds) * 2 + ["home", "b"] * 4 + ["keeper"] * (0 if strict else 12)
        with e2e.Run() as run:
            swarm = self.swarm_of(run, Practice(run, "strict" if strict else "grace",
                                                "--access-life=2s", "--refresh-delay=10ms"),
                                  self.agents)
            swarm.import_login(self.provider.login())
            asked = []
            while self.kills < self.share:
                self.go_on()
                pids = swarm.pids()
                if "up" not in pids:
                    e2e.wait_until("the nodes are gone with their up",
                                   lambda: not kinds & set(swarm.pids()))
                    swarm.up()
                    continue
                asked = self.collect(asked, 4)
                asked.append(swarm.start("ask", self.dice.choice(list(self.agents)), "hello"))
                time.sleep(self.dice.uniform(0, 0.15))
                self.kill(pids, self.dice.choice(victims))
            self.collect(asked, 0)
            if "up" not in swarm.pids():
                e2e.wait_until("the nodes are gone", lambda: not kinds & set(swarm.pids()))
                swarm.up()
            for agent in self.agents:
                e2e.wait_until(f"{agent} answers again", timeout_s=60, condition=lambda agent=agent:
                               swarm.ask(agent, check=False).returncode == 0)
            assert swarm.logins()["lab:me"]["state"] in ("valid", "refreshing"), swarm.logins()
            self.judge()

    def kill(self, pids, kind):
        pid = pids.get(kind)
        if pid is None or not alive(pid):
            return
        os.kill(pid, signal.SIGKILL)
        e2e.wait_until(f"{kind} is gone", lambda: not alive(pid), pause_s=0.002)
        self.kills += 1

    def collect(self, asked, most):
        """Each question ends: with an answer, or with a word on why there is none."""
        while len(asked) > most:
            out, err = asked[0].communicate(timeout=ASKER_S)
            assert out.strip() or err.strip(), "a question ended without a word"
            asked.pop(0)
        return asked


# How a hundred kills are shared out.
SHARES = {"none": 14, "grace": 22, "two-phase": 10, "strict": 18, "oidc": 8, "nodes": 12,
          "swarm": 16}


def lanes_of(kills, seed, names, width):
    """Lanes for so many kills; `width` of each, where there are cores for more."""
    chosen = {name: part for name, part in SHARES.items() if name in names}
    whole = sum(chosen.values()) * width
    return [(SwarmLane if name in ("nodes", "swarm") else KeeperLane)(
        f"{name}#{i}", -(-kills * part // whole), seed)
        for name, part in chosen.items() for i in range(width)]


def start(lane, failures):
    """In a thread of its own; what went wrong is added to failures."""
    def body():
        try:
            lane.run()
        except SystemExit:
            lane.skipped = True  # its provider is not installed here
        except Abandoned:
            pass
        except BaseException as error:  # a thread's own end would only be printed
            failures.append((lane.name, error))
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread
