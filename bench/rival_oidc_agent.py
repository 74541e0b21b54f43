#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same three misfortunes for Queenright and for Debian's oidc-agent, in one run, against the
same strict provider; prints how many logins each lost.

    E2E_QUEENRIGHT=... E2E_PRACTICE=... bench/rival_oidc_agent.py [TRIALS]

kill -9: the owner of the login dies at a random moment after a refresh was asked for, within the
first 300 ms, and within the time a refresh of that program takes (its median here, measured
first). It is started again and asked for a new token; a login that gives none is lost. Under a
provider with 30 s of grace the same again.

read-only: the directory with the credentials turns read-only, a refresh is asked for, the directory
turns writable again and the owner is started anew. "told all is well" counts who answered with
success although nothing could be kept.

two names: one login under two names, each asked to refresh; lost when neither gives a token
afterwards.

A strict provider ends the whole login when a spent token comes again. Each trial has a login of
its own. Run as root, both programs run as nobody where a mode is to be felt."""
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/e2e"))
import e2e  # noqa: E402
from swarm import Swarm, alive  # noqa: E402

NOBODY = 65534
PROVIDER = ("--access-life=2s",)


class Place:
    """A folder of one trial, and who the programs in it run as."""

    def __init__(self, run, name):
        self.folder = run.path(name)
        os.makedirs(self.folder, 0o700)
        self.prefix = []

    def give_to_nobody(self):
        if os.geteuid() != 0:
            return
        self.prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        os.chmod(os.path.dirname(self.folder), 0o711)
        for folder, _, files in os.walk(self.folder):
            for path in [folder, *(os.path.join(folder, file) for file in files)]:
                os.chown(path, NOBODY, NOBODY)


class OidcAgent:
    """oidc-agent 4.2.6 as Debian 12 has it, without a desktop."""

    label = "oidc-agent"

    def __init__(self, run, practice, name, tokens, rotation=None):
        del rotation  # it has no such notion
        self.practice, self.place = practice, Place(run, name)
        self.store = os.path.join(self.place.folder, "config")
        self.env = {"PATH": os.environ["PATH"], "HOME": self.place.folder, "PW": "practice",
                    "OIDC_CONFIG_DIR": self.store, "TMPDIR": self.place.folder}
        os.makedirs(self.store, 0o700)
        self.pids = []
        self.start()
        self.names = [f"me{i}" for i in range(len(tokens))]
        for account, token in zip(self.names, tokens):
            made = self.call("oidc-gen", "--manual", "--issuer", practice.url, "--client-id",
                             "practice", "--client-secret=", "--scope=openid offline_access",
                             "--redirect-uri=http://localhost:8080", "--flow=refresh",
                             "--rt=" + token, "--pw-env=PW", "--prompt=none", "--confirm-default",
                             account)
            assert made.returncode == 0 or len(tokens) > 1, made

    def call(self, *words):
        return subprocess.run([*self.place.prefix, *words], env=self.env, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)

    def start(self):
        said = json.loads(self.call("oidc-agent", "--json", "--no-autoreauthenticate",
                                    "--pw-store").stdout)
        self.env["OIDC_SOCK"] = said["socket"]
        first = int(said["dpid"])
        # it is two processes, both our children's orphans; the second one's parent is the first
        self.pids = [first, *children(first)]
        e2e.wait_until("oidc-agent listens", lambda: listens(said["socket"]))

    def ask(self, account=None):
        return subprocess.Popen([*self.place.prefix, "oidc-token", "-f",
                                 account or self.names[0]], env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def kill(self):
        for pid in self.pids:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        e2e.wait_until("oidc-agent is gone", lambda: not any(map(alive, self.pids)))

    def lives(self, account=None):
        asked = self.ask(account)
        asked.communicate(timeout=60)
        return asked.returncode == 0

    def lives_anew(self):
        self.kill()
        self.start()
        added = [self.call("oidc-add", "--pw-env=PW", account) for account in self.names]
        return any(add.returncode == 0 and self.lives(account)
                   for add, account in zip(added, self.names))

    def end(self):
        self.kill()


class Queenright:
    label = "queenright"

    def __init__(self, run, practice, name, tokens, rotation="strict"):
        self.place = Place(run, name)
        self.names = [f"lab:me{i}" for i in range(len(tokens))]
        owner = self.place

        class Folder:  # what Swarm needs of a run
            folder, peers = owner.folder, []

            @staticmethod
            def path(word):
                return os.path.join(owner.folder, word)
        self.swarm = Swarm(Folder, practice.url, rotation=rotation,
                           oauth={"graceSeconds": 30} if rotation == "grace" else None)
        self.swarm.config["auth"]["profiles"] = {
            name: {"provider": "lab", "mode": "oauth"} for name in self.names}
        self.swarm.write()
        self.store = os.path.join(self.swarm.state, "credentials")
        for profile, token in zip(self.names, tokens):
            self.swarm.import_login({"refresh": token, "access": "none", "expires": 1}, profile)

    def ask(self, account=None):
        words = ["auth", "token", account or self.names[0], "--force"]
        return subprocess.Popen([*self.place.prefix, os.environ["E2E_QUEENRIGHT"], *words],
                                env=self.swarm.env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def kill(self):
        self.swarm.kill("keeper")

    def lives(self, account=None):
        """Judged when no outcome is in the dark; the question is repeated meanwhile."""
        end = time.monotonic() + 150  # a strict provider is left alone for 60 s first
        while time.monotonic() < end:
            asked = self.ask(account)
            _, err = asked.communicate(timeout=90)
            if asked.returncode == 0:
                return True
            if "login" in err and "needs" in err or self.needs_login():
                return False
            time.sleep(0.2)
        raise AssertionError("neither a token nor a refusal: " + err)

    def needs_login(self):
        listed = subprocess.run([*self.place.prefix, os.environ["E2E_QUEENRIGHT"], "auth", "list",
                                 "--json"], env=self.swarm.env, capture_output=True, text=True,
                                check=False).stdout
        return '"needs_login"' in listed

    def lives_anew(self):
        self.kill()
        return any(self.lives(account) for account in self.names)

    def end(self):
        self.kill()
        self.swarm.end()


def listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as text:
        return [int(word) for word in text.read().split()]


def tokens_of(practice, count=1):
    login = json.loads(e2e.http("POST", practice.url + "/practice/login", "{}")[1])
    return [login["refresh_token"]] * count


def refresh_ms(kind, run, practice):
    """The median of three undisturbed refreshes, each of a login of its own."""
    times = []
    for i in range(3):
        owner = kind(run, practice, f"{kind.label}-time-{i}", tokens_of(practice))
        before, begin = practice.stats()["rotations"], time.monotonic()
        assert owner.lives(), kind.label
        times.append((time.monotonic() - begin) * 1000)
        assert practice.stats()["rotations"] == before + 1
        owner.end()
    return statistics.median(times)


def kill_trial(kind, run, practice, name, window_ms, rotation):
    owner = kind(run, practice, name, tokens_of(practice), rotation)
    try:
        asked = owner.ask()
        time.sleep(random.uniform(0, window_ms / 1000))
        owner.kill()
        asked.communicate(timeout=60)
        return owner.lives_anew()
    finally:
        owner.end()


def read_only_trial(kind, run, practice, name):
    owner = kind(run, practice, name, tokens_of(practice))
    try:
        owner.kill()
        owner.place.give_to_nobody()
        if kind is OidcAgent:
            owner.start()
            assert owner.call("oidc-add", "--pw-env=PW", owner.names[0]).returncode == 0
        else:
            assert owner.lives()
            owner.kill()  # what asks next starts it again, and it refreshes
        os.chmod(owner.store, 0o500)
        for file in os.listdir(owner.store):
            os.chmod(os.path.join(owner.store, file), 0o400)
        asked = owner.ask()
        try:
            asked.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            asked.kill()
            asked.communicate()
        told = asked.returncode == 0
        owner.kill()
        os.chmod(owner.store, 0o700)
        for file in os.listdir(owner.store):
            os.chmod(os.path.join(owner.store, file), 0o600)
        return owner.lives_anew(), told
    finally:
        owner.end()


def two_names_trial(kind, run, practice, name):
    owner = kind(run, practice, name, tokens_of(practice, 2))
    try:
        for account in owner.names:
            owner.ask(account).communicate(timeout=60)
        return owner.lives_anew()
    finally:
        owner.end()


def campaign(kind, trials):
    lost = {}
    with e2e.Run() as run:
        practice = run.practice(*PROVIDER)
        took_ms = refresh_ms(kind, run, practice)
        for title, window_ms in (("strict, kill -9 in 300 ms", 300),
                                 ("strict, kill -9 in a refresh", took_ms)):
            lost[title] = [kill_trial(kind, run, practice, f"{kind.label}-{window_ms}-{i}",
                                      window_ms, "strict") for i in range(trials)].count(False)
        read_only = [read_only_trial(kind, run, practice, f"{kind.label}-ro-{i}")
                     for i in range(max(1, trials // 4))]
        lost["read-only directory"] = [ok for ok, _ in read_only].count(False)
        lost["read-only, told all is well"] = [told for _, told in read_only].count(True)
        lost["two names"] = [two_names_trial(kind, run, practice, f"{kind.label}-two-{i}")
                             for i in range(max(1, trials // 4))].count(False)
    with e2e.Run() as run:
        practice = run.practice(*PROVIDER, "--rotation=grace", "--grace=30s")
        lost["grace, kill -9 in a refresh"] = [
            kill_trial(kind, run, practice, f"{kind.label}-grace-{i}", took_ms, "grace")
            for i in range(trials)].count(False)
    return took_ms, lost


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    if not shutil.which("oidc-agent") or not shutil.which("oidc-gen"):
        e2e.skip("oidc-agent is not installed (oidc-agent-cli)")
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    print(f"SEED={seed}", flush=True)
    results = {}
    for kind in (OidcAgent, Queenright):
        random.seed(seed)
        results[kind.label] = campaign(kind, trials)
        print(f"{kind.label}: a refresh takes {results[kind.label][0]:.0f} ms", flush=True)
    print(f"\n{'logins lost / trials':32}" + "".join(f"{name:>16}" for name in results))
    for title in next(iter(results.values()))[1]:
        count = max(1, trials // 4) if title[0] in "rt" else trials
        print(f"{title:32}" + "".join(f"{lost[title]:>11} / {count:<2}"
                                      for _, lost in results.values()))


main()
