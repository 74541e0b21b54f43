# SPDX-License-Identifier: Apache-2.0
"""A swarm under test: the real program in a state of its own, driven by its command line.

    with e2e.Run() as run:
        swarm = Swarm(run, provider=practice.url, agents=FIVE)
        swarm.login(access=..., refresh=...)
        swarm.up()
        print(swarm.ask("atlas", "hello"))
"""
import glob
import json
import os
import signal
import subprocess
import time

import e2e

FIVE = {"atlas": "home", "axon": "home", "nova": "home", "nexis": "b", "lumi": "b"}


def program():
    path = os.environ.get("E2E_QUEENRIGHT")
    if not path or not os.path.exists(path):
        e2e.skip("the program is not built (E2E_QUEENRIGHT)")
    return path


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Swarm:
    def __init__(self, run, provider, agents=None, name="five", model_base=None,
                 token_path="/oauth/token", encoding="json", rotation="strict",
                 client_id="practice", model="lab/gpt-5.5",
                 api="openai-responses", oauth=None, state="state"):
        self.run = run
        self.name = name
        self.state = run.path(state)
        self.env = {**os.environ, "QUEENRIGHT_STATE": self.state, "HOME": run.folder,
                    "XDG_RUNTIME_DIR": run.path("run")}
        self.file = run.path("queenright.json")
        agents = agents or FIVE
        self.config = {
            "swarm": name,
            "models": {"providers": {"lab": {
                "baseUrl": model_base or provider + "/v1", "api": api, "auth": "oauth",
                "oauth": {"tokenUrl": provider + token_path, "clientId": client_id,
                          "encoding": encoding, "rotation": rotation, **(oauth or {})}}}},
            "auth": {"profiles": {"lab:me": {"provider": "lab", "mode": "oauth"}}},
            "agents": {"defaults": {"model": {"primary": model}},
                       "entries": {agent: {"instructions": f"You are {agent}.", "node": node}
                                   for agent, node in agents.items()}},
            "nodes": {node: {} for node in dict.fromkeys(agents.values())},
        }
        os.makedirs(run.path("run"), mode=0o700, exist_ok=True)
        self.write()
        run.peers.append(self)

    # a peer, as e2e.Run sees it
    def errors(self):
        text = ""
        for log in [self.state + "/keeper.log", *glob.glob(self.state + "/swarms/*/*.log")]:
            if os.path.exists(log):
                with open(log, encoding="utf-8", errors="replace") as lines:
                    text += f"\n{os.path.basename(log)}:\n" + lines.read()[-1500:]
        return text

    def end(self):
        for pid in self.pids().values():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)

    def write(self):
        with open(self.file, "w", encoding="utf-8") as out:
            json.dump(self.config, out, indent=2)

    def start(self, *words, **options):
        return subprocess.Popen([program(), *words], env=self.env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                **options)

    def call(self, *words, check=True, timeout=60, stdin=None):
        done = subprocess.run([program(), *words], env=self.env, capture_output=True, text=True,
                              timeout=timeout, check=False,
                              **({"input": stdin} if stdin is not None
                                 else {"stdin": subprocess.DEVNULL}))
        if check and done.returncode != 0:
            raise AssertionError(f"queenright {' '.join(words)}: exit {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def json(self, *words, **options):
        return json.loads(self.call(*words, "--json", **options).stdout)

    def import_words(self, entry, profile="lab:me", take_over=True):
        """The command that imports an auth-profiles.json with this one entry."""
        path = self.run.path(profile.replace(":", "-") + ".json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"version": 1, "profiles": {profile: {
                "type": "oauth", "provider": profile.split(":")[0], **entry}}}, out)
        words = ["auth", "import", path, "--config", self.file]
        return words + (["--take-over"] if take_over else [])

    def import_login(self, entry, profile="lab:me", take_over=True):
        return self.call(*self.import_words(entry, profile, take_over))

    def practice_login(self, practice):
        login = json.loads(e2e.http("POST", practice.url + "/practice/login", "{}")[1])
        self.import_login({"access": login["access_token"], "refresh": login["refresh_token"],
                           "expires": int(time.time() * 1000) + login["expires_in"] * 1000})
        return login

    def up(self):
        return self.call("up", self.file, "--detach")

    def down(self):
        return self.call("down")

    def ask(self, agent, text="hello", check=True, session=None):
        return self.call("ask", agent, text, *(["--session", session] if session else []),
                         check=check)

    def ask_all(self, agents=None, text="hello"):
        """All at once; the answers by agent. Each must succeed."""
        agents = agents or list(self.config["agents"]["entries"])
        running = {agent: self.start("ask", agent, text) for agent in agents}
        answers = {}
        for agent, process in running.items():
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0 and out.strip(), f"{agent}: {process.returncode} {err}"
            answers[agent] = out.strip()
        return answers

    def logins(self):
        done = self.call("auth", "list", "--json", check=False)  # not 0 where one needs its user
        assert done.stdout, f"queenright auth list: exit {done.returncode}\n{done.stderr}"
        return {row["profile"]: row for row in json.loads(done.stdout)}

    def pids(self):
        """Processes of this state, by what they are: keeper, up, and the nodes' names."""
        found = {}
        for path in glob.glob("/proc/[0-9]*"):
            try:
                with open(path + "/environ", "rb") as environ:
                    mark = b"QUEENRIGHT_STATE=" + self.state.encode()
                    if mark not in environ.read().split(b"\0"):
                        continue
                with open(path + "/cmdline", "rb") as cmdline:
                    words = cmdline.read().decode().split("\0")
            except OSError:
                continue
            kind = words[1] if len(words) > 1 else ""
            if kind == "node":
                kind = words[words.index("--node") + 1]
            if kind in ("keeper", "up") or "--node" in words:
                found[kind] = int(os.path.basename(path))
        return found

    def kill(self, kind, by=signal.SIGKILL):
        pid = self.pids().get(kind)
        if pid:
            os.kill(pid, by)
            e2e.wait_until(f"{kind} is gone", lambda: not alive(pid))
        return pid

    def stop(self, kind):
        """Asked to end: a refresh in flight, which may be nobody's, comes to its end first."""
        return self.kill(kind, by=signal.SIGTERM)
