# SPDX-License-Identifier: Apache-2.0
"""Helpers for end-to-end drivers: start a peer, wait until it serves, read its counters, end it.

A peer is a process that prints one line of JSON with its port when it serves. It is ended by its
own pid, and nothing is left behind: every peer started through `Run` dies with it, killed when it
does not end by itself. Ports are ephemeral, files live in a temporary folder.

A driver reads:
    with e2e.Run(needs=("node", "codex")) as run:
        practice = run.practice("--access-life=2s")
        ...
        practice.expect(rotations=3, reused=0)

Environment, set by ctest: E2E_MODULES is the folder with node_modules, E2E_PRACTICE the practice
provider's program, E2E_QUEENRIGHT the program under test (may be absent)."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = os.environ.get("E2E_MODULES", os.getcwd())
SKIPPED = 77
AGENTS = ("atlas", "axon", "nova", "nexis", "lumi")
PACKAGES = {"codex": "@openai/codex", "aimock": "@copilotkit/aimock", "oidc": "oidc-provider"}


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def package(name):
    return os.path.join(MODULES, "node_modules", *PACKAGES[name].split("/"))


def http(method, url, body=None, headers=None, timeout=10):
    """(status, text). A refusal by HTTP is an answer; no answer raises."""
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def wait_until(what, condition, timeout_s=20, pause_s=0.05):
    """Polls until condition() is true, and returns what it returned."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause_s)
    raise AssertionError(f"not within {timeout_s} s: {what}")


def expect(actual, **wanted):
    """Each named counter has its value; a callable judges it."""
    for name, value in wanted.items():
        ok = value(actual[name]) if callable(value) else actual[name] == value
        assert ok, f"{name} is {actual[name]}, wanted {value}; all: {actual}"


class Peer:
    """A running process that said where it serves."""

    def __init__(self, run, name, command, env=None):
        self.name = name
        self.log = open(os.path.join(run.folder, f"{name}.err"), "w+", encoding="utf-8")
        self.out = open(os.path.join(run.folder, f"{name}.out"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.log,
                                        stdin=subprocess.DEVNULL, env=env)
        self.ready = {}

    def read_ready(self, pattern=r"(\{.*\})\n", timeout_s=90):
        """What the pattern finds in its output: JSON with "port" or "url", or a URL."""
        end = time.monotonic() + timeout_s
        while not (found := re.search(pattern, self.output())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.name} did not come up: "
                                     f"{self.output()}{self.errors()}")
            time.sleep(0.01)
        word = found.group(1)
        self.ready = json.loads(word) if word.startswith("{") else {"url": word}
        self.url = self.ready.get("url") or f"http://127.0.0.1:{self.ready['port']}"
        return self

    def output(self):
        with open(self.out.name, encoding="utf-8") as out:
            return out.read()

    def errors(self):
        with open(self.log.name, encoding="utf-8") as log:
            return log.read()[-2000:]

    def stats(self):
        """Its counters; of aimock, the calls in its journal."""
        if self.name.startswith("aimock"):
            journal = json.loads(http("GET", self.url + "/__aimock/journal")[1])
            return {"model_calls": len(journal)}
        return json.loads(http("GET", self.url + "/stats")[1])

    def expect(self, **wanted):
        expect(self.stats(), **wanted)

    def kill(self):
        """kill -9, as a crash would."""
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        if self.process.poll() is None:
            self.kill()
        self.out.close()
        self.log.close()


class Run:
    """A temporary folder and the peers started in it."""

    def __init__(self, needs=()):
        for need in needs:
            if need in PACKAGES and not os.path.isdir(package(need)):
                skip(f"{PACKAGES[need]} is not installed in {MODULES}")
            if need not in PACKAGES and not shutil.which(need):
                skip(f"{need} is not there")
        self.folder = tempfile.mkdtemp(prefix="queenright-e2e-")
        self.peers = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for peer in reversed(self.peers):
            if kind is not None:
                print(f"--- {peer.name}: {peer.errors()}", file=sys.stderr)
            peer.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, name, command, env=None):
        peer = Peer(self, f"{name}-{len(self.peers)}", command, env)
        self.peers.append(peer)
        return peer

    def environment(self):
        """For the program under test: state, sockets and home in this run's folder."""
        places = {"QUEENRIGHT_STATE": "state", "XDG_RUNTIME_DIR": "run", "HOME": "home"}
        for name in places.values():
            os.makedirs(self.path(name), mode=0o700, exist_ok=True)
        return {**os.environ, **{key: self.path(name) for key, name in places.items()}}

    def config(self, base_url, token_url, client_id, rotation="strict", encoding="form",
               agents=AGENTS, profile="lab:me", spread=False, name="queenright.json"):
        """Writes a config of these agents on one login; spread: every other one on node b."""
        provider = profile.split(":")[0]
        entries = {agent: {"instructions": f"You are {agent.capitalize()}. Be brief."}
                   for agent in agents}
        for agent in agents[1::2] if spread else ():
            entries[agent]["node"] = "b"
        config = {
            "swarm": "e2e",
            "models": {"providers": {provider: {
                "baseUrl": base_url, "api": "openai-responses", "auth": "oauth",
                "oauth": {"tokenUrl": token_url, "clientId": client_id, "rotation": rotation,
                          "encoding": encoding}}}},
            "auth": {"profiles": {profile: {"provider": provider, "mode": "oauth"}},
                     "order": {provider: [profile]}},
            "agents": {"defaults": {"model": {"primary": f"{provider}/practice-1"}},
                       "entries": entries},
            "nodes": {"home": {}, **({"b": {}} if spread else {})}}
        with open(self.path(name), "w", encoding="utf-8") as file:
            json.dump(config, file, indent=2)
        return self.path(name)

    def practice_login(self, practice, profile, file):
        """A new login as an auth-profiles.json; returns the profile's entry."""
        status, text = http("POST", f"{practice.url}/practice/login?form=openclaw"
                                    f"&profile={profile}", "")
        assert status == 200, text
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)
        return json.loads(text)["profiles"][profile]

    def practice(self, *options):
        program = os.environ.get("E2E_PRACTICE")
        if not program or not os.path.exists(program):
            skip("the practice provider's program is not built (E2E_PRACTICE)")
        return self.start("practice", [program, "--json", *options]).read_ready()

    def oidc(self, **options):
        """options: access_ttl (seconds), delay_ms, model (URL of a model server)."""
        command = ["node", os.path.join(HERE, "oidc.mjs")]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        return self.start("oidc", command, {**os.environ, "E2E_MODULES": MODULES}).read_ready()

    def oidc_login(self, oidc, profile, file):
        """Logs in and writes an auth-profiles.json; returns the profile's entry."""
        subprocess.run(["node", os.path.join(HERE, "login.mjs"), oidc.url, oidc.ready["client_id"],
                        profile, file], check=True, timeout=30)
        with open(file, encoding="utf-8") as text:
            return json.load(text)["profiles"][profile]

    def oidc_logins(self, oidc, count):
        """Several at once, each a grant of its own; a list of entries."""
        file = self.path("oidc-logins.json")
        profiles = ",".join(f"lab:{i}" for i in range(count))
        subprocess.run(["node", os.path.join(HERE, "login.mjs"), oidc.url, oidc.ready["client_id"],
                        profiles, file], check=True, timeout=120)
        with open(file, encoding="utf-8") as text:
            return list(json.load(text)["profiles"].values())

    def aimock(self, fixtures=os.path.join(HERE, "fixtures")):
        """The model server of @copilotkit/aimock; any bearer is good to it."""
        program = os.path.join(MODULES, "node_modules", ".bin", "llmock")
        peer = self.start("aimock", [program, "--port", "0", "--fixtures", fixtures,
                                     "--validate-on-load"])
        return peer.read_ready(r"listening on (http://[0-9.:]+)")

    def codex(self, base_url, prompt, *token_command, env=None):
        """Starts one `codex exec`; its answer comes on stdout. The caller waits for it."""
        home = tempfile.mkdtemp(prefix="codex-", dir=self.folder)
        return subprocess.Popen(
            ["bash", os.path.join(HERE, "codex.sh"), base_url, prompt, *token_command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            env={**os.environ, **(env or {}), "CODEX_HOME": home, "E2E_MODULES": MODULES})
