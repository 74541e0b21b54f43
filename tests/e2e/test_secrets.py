# SPDX-License-Identifier: Apache-2.0
"""Where the tokens are, and where they must not be. The practice provider's tokens are canaries:
each says what it is and of which generation, so that every copy is found and told apart.

API keys are canaries too: of a model that takes a bearer and of one that takes x-api-key. They are
imported, replaced, sent with calls, refused by a model that repeats the key in its refusal, and put
where a config must not have them.

A login goes through import, refreshes, grants, rejections, turns, a tap with bodies, status and
lists, with refusals among them. Then nothing that was printed, logged, audited or stored (the
import file aside), no socket's directory, no argument and no environment of any process holds a
token of either kind; no process but the keeper has a refresh token in its memory; the keeper has
none of a past generation, and neither have the nodes of an access token. Directories are 0700,
files 0600. Keeper and nodes that crash (SIGSEGV) leave no core; a node whose debugging was allowed
leaves one, with the access token in it, so that the search is known to find what is there.

Memory is read as root; without, that part is left out and the test says so."""
import collections
import glob
import http.server
import json
import os
import re
import resource
import secrets
import signal
import stat
import subprocess
import threading
import time

import e2e
from swarm import Swarm, alive

REFRESH = re.compile(rb"practice-refresh-(\d+)-(\d+)-[0-9a-f]{32}")
# the last part of an access token, behind its claims
ACCESS = re.compile(rb"practice-(\d+)-(\d+)-\d+-\d+-[0-9a-f]{32}")
KEY = re.compile(rb"canary-key-([a-z]+-\d)-[0-9a-f]{32}")
# of a refresh token, what free() leaves where it has overwritten the first 16 bytes of a block
REMAINS = re.compile(rb"h-(\d+)-(\d+)-[0-9a-f]{32}")


def writable_memory(pid):
    """The bytes of every writable mapping, one after another."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            span, access = line.split()[:2]
            if access[0] != "r" or access[1] != "w":
                continue
            first, last = (int(word, 16) for word in span.split("-"))
            try:
                mem.seek(first)
                yield span, mem.read(last - first)
            except (OSError, OverflowError, ValueError):
                continue


def in_memory(pid):
    """Copies of refresh tokens, by (login, generation)."""
    found = collections.Counter()
    for _, data in writable_memory(pid):
        for match in REMAINS.finditer(data):
            found[tuple(map(int, match.groups()))] += 1
    return found


class KeyedModel(http.server.ThreadingHTTPServer):
    """A model of two forms. It takes the keys of the round; in a round without, it repeats them."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), KeyedAnswer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.good, self.status, self.calls, self.refused = {}, 401, 0, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def new_keys(self, number):
        self.good = {provider: f"canary-key-{provider}-{number}-{secrets.token_hex(16)}"
                     for provider in ("plain", "crown")}
        return self.good


class KeyedAnswer(http.server.BaseHTTPRequestHandler):
    RESPONSES = [{"type": "response.output_text.delta", "delta": "hello"},
                 {"type": "response.completed", "response": {}}]
    MESSAGES = [{"type": "message_start", "message": {}},
                {"type": "content_block_start", "index": 0,
                 "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0,
                 "delta": {"type": "text_delta", "text": "hello"}},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
                {"type": "message_stop"}]

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        crown = self.path.endswith("/messages")
        key = self.headers["x-api-key"] if crown else (self.headers["Authorization"] or "")[7:]
        if key == self.server.good.get("crown" if crown else "plain"):
            self.server.calls += 1
            events = self.MESSAGES if crown else self.RESPONSES
            self.answer(200, "text/event-stream", "".join(
                f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events))
        else:
            self.server.refused += 1
            told = "" if self.server.good else key
            self.answer(self.server.status, "application/json", json.dumps({"error": {
                "message": f"Incorrect API key provided: {told}."}}))

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class Watched(Swarm):
    """Keeps all that the program printed, what it was asked to print aside."""

    printed = b""

    def start(self, *words, **options):
        nothing_in("an argument", " ".join(words).encode())
        return super().start(*words, **options)

    def call(self, *words, check=True, **options):
        nothing_in("an argument", " ".join(words).encode())
        done = super().call(*words, check=check, **options)
        if words[:2] != ("auth", "token"):
            self.printed += done.stdout.encode()
        self.printed += done.stderr.encode()
        return done


def walk_through(swarm, practice):
    """Every flow that a token takes part in."""
    swarm.up()
    tap = swarm.start("zmq", "tap", "home/token", "--bodies", "--json")
    model = swarm.start("zmq", "tap", "b/model", "--bodies")
    keeper = swarm.start("zmq", "tap", "keeper/token", "--bodies")
    for _ in range(5):
        swarm.ask_all()
        access = swarm.call("auth", "token", "lab:me").stdout.strip()
        time.sleep(0.6)
        digest = subprocess.run(["sha256sum"], input=access, capture_output=True, text=True,
                                check=True).stdout.split()[0]
        swarm.call("auth", "token", "lab:me", "--rejected-sha256", digest, check=False)
        for words in (("status",), ("status", "--json"), ("auth", "list"),
                      ("auth", "list", "--json"), ("zmq", "ls"), ("zmq", "show", "keeper/token"),
                      ("zmq", "show", "home/token"), ("zmq", "show", "home/model"),
                      ("zmq", "links"), ("zmq", "drops"), ("agents",),
                      ("zmq", "ls", "--json"), ("zmq", "drops", "--json"),
                      ("zmq", "show", "keeper/store"), ("config", "check", swarm.file),
                      ("auth", "import", swarm.run.path("nothing-here"))):
            swarm.call(*words, check=False)
    swarm.call("auth", "token", "lab:nobody", check=False)
    e2e.http("POST", practice.url + "/practice/options", '{"token-faults": "200-html:1:1"}')
    swarm.kill("keeper")
    swarm.call("auth", "token", "lab:me", "--force", check=False)
    swarm.call("reload", check=False)
    for process in (tap, model, keeper):
        process.terminate()
        out, err = process.communicate(timeout=20)
        swarm.printed += out.encode() + err.encode()
        assert out.strip(), f"a tap saw nothing: {err}"


def use_keys(swarm, model):
    """nova, at home, calls the one form, lumi, on b, the other."""
    for agent, provider, api in (("nova", "plain", "openai-responses"),
                                 ("lumi", "crown", "anthropic-messages")):
        swarm.config["models"]["providers"][provider] = {
            "baseUrl": model.url + "/v1", "api": api, "auth": "api-key"}
        swarm.config["auth"]["profiles"][provider + ":me"] = {
            "provider": provider, "mode": "api_key"}
        swarm.config["agents"]["entries"][agent]["model"] = {"primary": provider + "/small"}
    swarm.write()


def import_keys(swarm, keys, check=True):
    path = swarm.run.path("keys.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"version": 1, "profiles": {
            f"{provider}:me": {"type": "api_key", "provider": provider, "key": key}
            for provider, key in keys.items()}}, out)
    return swarm.call("auth", "import", path, "--config", swarm.file, check=check)


def ask_both(swarm, check=True):
    return [swarm.ask(agent, check=check).returncode for agent in ("nova", "lumi")]


def keys_are_replaced_and_refused(swarm, model):
    import_keys(swarm, model.new_keys(2))
    calls = model.calls
    ask_both(swarm)
    assert model.calls == calls + 2, "the new keys did not arrive"
    model.good, model.refused = {}, 0
    for model.status in (400, 403, 401):
        assert 0 not in ask_both(swarm, check=False)
    assert model.refused >= 6, model.refused
    keys = model.new_keys(3)
    import_keys(swarm, {name: key + " and more" for name, key in keys.items()}, check=False)
    import_keys(swarm, keys)
    ask_both(swarm)
    good, key = json.dumps(swarm.config), f"canary-key-config-0-{secrets.token_hex(16)}"
    for field, value in (("apiKey", key), ("baseUrl", key), ("headers", {"x-api-key": key}),
                         ("headers", {"X-Mine": key + "\n"})):
        swarm.config["models"]["providers"]["plain"][field] = value
        swarm.write()
        for words in (("config", "check", swarm.file), ("reload",)):
            done = swarm.call(*words, check=False)
            assert done.returncode != 0, f"a key under {field} was taken"
        swarm.config = json.loads(good)
    swarm.write()
    ask_both(swarm)


def nothing_in(what, data):
    for pattern in (REFRESH, ACCESS, KEY):
        match = pattern.search(data)
        assert not match, f"{what} holds {match.group(0)[:30]}..."


def files_hold_none(run, swarm):
    count = 0
    for top in (swarm.state, run.path("run")):
        for folder, _, files in os.walk(top):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
            for name in files:
                path = os.path.join(folder, name)
                info = os.lstat(path)
                if stat.S_ISSOCK(info.st_mode):
                    continue
                assert info.st_mode & 0o077 == 0, f"{path}: {oct(info.st_mode)}"
                with open(path, "rb") as file:
                    nothing_in(path, file.read())
                count += 1
    credentials = os.path.join(swarm.state, "credentials")
    for name in os.listdir(credentials):
        mode = stat.S_IMODE(os.stat(os.path.join(credentials, name)).st_mode)
        assert mode == 0o600, f"{name}: {oct(mode)}"
    return count


def processes_show_none(pids):
    for pid in pids.values():
        for name in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                nothing_in(f"/proc/{pid}/{name}", file.read())
    for kind in set(pids) - {"up"}:
        with open(f"/proc/{pids[kind]}/limits", encoding="utf-8") as limits:
            assert re.search(r"Max core file size +0 +0 ", limits.read()), f"{kind}: a core"


def past_access(kind, pid):
    """A node wipes what it frees: of each login it has the newest access tokens at most."""
    found = collections.Counter()
    for _, data in writable_memory(pid):
        for match in ACCESS.finditer(data):
            found[tuple(map(int, match.groups()))] += 1
    newest = {login: max(generation for of, generation in found if of == login)
              for login, _ in found}
    past = [key for key in found if newest[key[0]] != key[1]]
    print(f"{kind}'s memory: copies of access tokens by (login, generation) {dict(found)}")
    assert not past, f"access tokens of past generations in the memory of {kind}: {past}"


def crash(swarm, kind):
    """The core that kind leaves where it stands, when it dies of a fault: its bytes, or None."""
    pid = swarm.pids()[kind]
    place = os.readlink(f"/proc/{pid}/cwd")
    os.kill(pid, signal.SIGSEGV)
    e2e.wait_until(f"{kind} is gone", lambda: not alive(pid))
    cores = [path for path in glob.glob(place + "/core*") + glob.glob(swarm.state + "/**/core*")
             if os.path.isfile(path) and os.stat(path).st_mtime > time.time() - 60]
    if not cores:
        return None
    with open(cores[0], "rb") as file:
        data = file.read()
    for path in cores:
        os.unlink(path)
    return data


def crashes_leave_no_token():
    with e2e.Run() as run:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        os.chdir(run.folder)
        practice = run.practice("--access-life=60s")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.up()
        swarm.ask_all()
        for kind in ("home", "keeper"):
            assert crash(swarm, kind) is None, f"{kind} left a core"
        swarm.down()
        swarm.env["QUEENRIGHT_DEBUG_NODES"] = "1"
        swarm.up()
        swarm.ask_all()
        core = crash(swarm, "home")
        os.chdir("/")
        if core is None:
            print("no core of home, of keeper; this machine leaves none of others either")
        else:
            assert ACCESS.search(core), "the search does not find the token that must be there"
            assert not REMAINS.search(core), "a node's core holds a refresh token"
            print("no core of home, of keeper; with debugging allowed one of home, and its token")


def keys_in_memory(kind, pid):
    """The living keys. A buffer of libzmq, which nobody can wipe, may have a past one in the grant
    that it carried, until another batch of messages is as long."""
    found, carried = collections.Counter(), collections.Counter()
    for _, data in writable_memory(pid):
        for match in KEY.finditer(data):
            packed = bytes((0xd9, len(match.group(0)))) == data[match.start() - 2:match.start()]
            (carried if packed else found)[match.group(1).decode()] += 1
    print(f"{kind}'s memory: copies of API keys {dict(found)}, in messages {dict(carried)}")
    living = {"plain-3", "crown-3"}
    assert kind != "keeper" or set(found) >= living, "the living keys are not found"
    past = {key: count for key, count in carried.items() if key not in living and count > 1}
    if kind == "up":
        living = {"config-0"}  # it has read that config
    elif kind != "keeper":
        living |= {"plain-2", "crown-2"}  # what a model itself repeats is no secret of ours
    past.update({key: count for key, count in found.items() if key not in living})
    assert not past, f"API keys in the memory of {kind}: {past}"


def memory_holds_the_newest_only(swarm, pids):
    print("generations now:", {name: row["generation"] for name, row in swarm.logins().items()})
    for kind, pid in pids.items():
        keys_in_memory(kind, pid)
        tokens = in_memory(pid)
        if kind != "keeper":
            assert not tokens, f"{kind} has a refresh token in memory: {tokens}"
            past_access(kind, pid)
            continue
        print(f"keeper's memory: copies of refresh tokens by (login, generation) {dict(tokens)}")
        newest = {login: max(generation for of, generation in tokens if of == login)
                  for login, _ in tokens}
        assert len(newest) == 2, "the search finds not even the living tokens"
        past = [key for key in tokens if newest[key[0]] != key[1]]
        assert not past, f"refresh tokens of past generations in the keeper's memory: {past}"


def main():
    crashes_leave_no_token()
    with e2e.Run() as run:
        practice = run.practice("--access-life=2s", "--rotation=grace", "--grace=60s")
        swarm = Watched(run, practice.url, rotation="grace", oauth={"graceSeconds": 60})
        model = KeyedModel()
        use_keys(swarm, model)
        swarm.practice_login(practice)
        import_keys(swarm, model.new_keys(1))
        walk_through(swarm, practice)
        assert model.calls >= 10, model.calls
        keys_are_replaced_and_refused(swarm, model)
        # the keeper was started anew in between: an import and a few refreshes of this one's own
        second = json.loads(e2e.http("POST", practice.url + "/practice/login", "{}")[1])
        swarm.import_login({"access": second["access_token"], "refresh": second["refresh_token"],
                            "expires": int(time.time() * 1000) + 1000}, profile="lab:two")
        for _ in range(4):
            swarm.ask_all()
            swarm.call("auth", "token", "lab:two", "--min-valid", "1s")
            time.sleep(1.2)
        pids = swarm.pids()
        nothing_in("what was printed", swarm.printed)
        count = files_hold_none(run, swarm)
        processes_show_none(pids)
        if os.geteuid() == 0:
            memory_holds_the_newest_only(swarm, pids)
        else:
            print("memory not read: not root")
        swarm.down()
        count += files_hold_none(run, swarm)
        print(f"no token and no key in {len(swarm.printed)} bytes printed, {count} files,"
              f" {len(pids)} processes' arguments and environments")


main()
