# SPDX-License-Identifier: Apache-2.0
"""The protocol is public: forty lines of Python with pyzmq get a token from a node and ask an
agent, wherever it lives."""
import glob
import os
import subprocess
import sys

import e2e
from swarm import Swarm

EXAMPLES = os.path.join(e2e.HERE, "..", "..", "examples")


def python():
    for path in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([path, "-c", "import zmq, msgpack"], capture_output=True, check=False)
        if done.returncode == 0:
            return path
    e2e.skip("no Python with zmq and msgpack (python3-zmq, python3-msgpack)")
    return None


def main():
    interpreter = python()
    with e2e.Run() as run:
        practice = run.practice("--access-life=1h")
        swarm = Swarm(run, practice.url)
        login = swarm.practice_login(practice)
        swarm.up()
        socket = glob.glob(run.path("run") + "/queenright/*/five.home.sock")[0]

        def client(*words):
            done = subprocess.run([interpreter, EXAMPLES + "/client.py", socket, *words],
                                  capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, f"{words}: {done.returncode} {done.stdout}{done.stderr}"
            return done.stdout.strip()

        assert client("token", "lab:me") == login["access_token"]
        answer = client("ask", "atlas", "What is the next step?")
        assert "atlas" in answer and "practice" in answer.lower(), answer
        # an agent on the other node answers over the first one's socket
        assert "lumi" in client("ask", "lumi", "And yours?")
        refused = subprocess.run([interpreter, os.path.join(EXAMPLES, "client.py"), socket, "token",
                                  "lab:nobody"], capture_output=True, text=True, timeout=60,
                                 check=False)
        assert refused.returncode == 1 and "lab:nobody" in refused.stdout, refused
        swarm.down()
        print("a stranger's program got a token and an answer")


main()
