# SPDX-License-Identifier: Apache-2.0
"""What an operator can get wrong, and what a provider can answer: each a named error, nothing lost,
nothing else disturbed."""
import concurrent.futures
import os
import subprocess
import time

import e2e
from swarm import Swarm, program

FAULTS = ["200-html", "403-html", "truncated-json", "no-expires-in", "huge-token", "drip",
          "500-before", "500-after", "hang", "drop-before", "429", "no-refresh-token"]


def operator(run, practice):
    swarm = Swarm(run, practice.url)
    swarm.practice_login(practice)
    swarm.up()
    again = swarm.call("up", swarm.file, check=False)
    assert again.returncode == 1 and "runs already" in again.stderr, again
    again = swarm.call("up", swarm.file, "--detach", check=False)
    assert again.returncode == 1 and "runs already" in again.stderr, again
    swarm.ask("atlas")
    # another swarm of the same state joins the same keeper
    keeper = swarm.pids()["keeper"]
    swarm.config["swarm"], first = "other", dict(swarm.config)
    swarm.write()
    swarm.call("up", swarm.file, "--detach")
    both = swarm.call("ask", "atlas", "hello", check=False)
    swarm.call("ask", "atlas", "hello", "--swarm", "other")
    swarm.call("ask", "atlas", "hello", "--swarm", "five")
    assert swarm.pids()["keeper"] == keeper
    assert both.returncode in (0, 64), both
    swarm.call("down", "--swarm", "other")
    swarm.call("down", "--swarm", "five")
    assert first
    # nobody there
    nobody = swarm.call("ask", "atlas", "hello", check=False)
    assert nobody.returncode == 69 and "queenright up" in nobody.stderr, nobody
    wrong = swarm.call("aks", "atlas", check=False)
    assert wrong.returncode == 64 and "ask" in wrong.stderr, wrong


def directories(run):
    """A state directory with the wrong modes, and one that cannot be made."""
    state = run.path("open")
    os.mkdir(state, 0o755)
    env = {**os.environ, "QUEENRIGHT_STATE": state, "XDG_RUNTIME_DIR": run.path("run")}
    done = e2e_call(env, "auth", "list")
    assert done.returncode == 77 and "chmod 700" in done.stderr, done
    done = e2e_call({**env, "QUEENRIGHT_STATE": "/proc/nowhere"}, "auth", "list")
    assert done.returncode != 0 and "/proc/nowhere" in done.stderr, done


def closed_streams(run, practice):
    """Started by something that closed what it does not use: no file may take a stream's place."""
    swarm = Swarm(run, practice.url, state="closed")
    swarm.practice_login(practice)
    for closed, code in (("<&- 2>&-", 0), ("<&- >&- 2>&-", 1)):
        swarm.stop("keeper")
        done = subprocess.run(["sh", "-c", f'exec "$0" auth token lab:me {closed}', program()],
                              env=swarm.env, stdout=subprocess.PIPE, timeout=30, check=False)
        assert done.returncode == code and bool(done.stdout) == (code == 0), (closed, done)
        assert "keeper" in swarm.pids(), closed
    with open(swarm.state + "/keeper.log", encoding="utf-8") as log:
        assert log.read().count("(pid ") == 3, "a keeper's log went elsewhere"


def e2e_call(env, *words):
    return subprocess.run([program(), *words], env=env, capture_output=True, text=True, timeout=30,
                          check=False, stdin=subprocess.DEVNULL)


def provider(fault):
    """A fault once, then a good answer: the login lives, or says that it does not."""
    with e2e.Run() as run:
        practice = run.practice("--access-life=30s", f"--token-faults={fault}:1:1",
                                "--rotation=grace", "--grace=600s")
        swarm = Swarm(run, practice.url, rotation="grace", oauth={"graceSeconds": 600})
        swarm.practice_login(practice)
        began = time.monotonic()
        swarm.call("auth", "token", "lab:me", "--force", check=False, timeout=100)
        login = swarm.logins()["lab:me"]
        assert login["state"] != "needs_login", f"{fault}: {login}"
        token = swarm.call("auth", "token", "lab:me", "--min-valid", "5s", timeout=150)
        assert token.stdout.strip(), fault
        practice.expect(families_ended=0)
        return f"{fault}: {login['state']} {login['why']} ({time.monotonic() - began:.1f} s)"


def main():
    with e2e.Run() as run:
        operator(run, run.practice("--access-life=1h"))
        directories(run)
        closed_streams(run, run.practice("--access-life=1h"))
    with concurrent.futures.ThreadPoolExecutor(len(FAULTS)) as pool:  # mostly they wait
        for line in pool.map(provider, FAULTS):
            print(line)


main()
