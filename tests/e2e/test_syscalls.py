# SPDX-License-Identifier: Apache-2.0
"""Every system call of one refresh, in the real keeper, in turn: the process dies at it (strace
makes SIGKILL of it), or it fails with EIO, or with ENOSPC. The store's thread is traced, which does
all that a refresh does to files, one call after another; a second pass kills the process at each
socket call of any thread.

Dying, with a provider that grants grace: the login survives every time. With a strict one: a loss
is allowed only between the gate (the intent is on disk, the request may leave) and the answer's
fsync, and every other one is a fault. Failing calls, nobody dying: no loss and no reuse at all, and
what is on disk afterwards outlives a kill -9.

TRIALS_S in the environment is how long each pass may take (20); the points are taken in a random
order, and a long run (TRIALS_S=600) has them all."""
import collections
import os
import random
import re
import shutil
import subprocess
import time

import e2e
from swarm import Swarm, program

FILES = ("openat", "fsync", "fallocate", "pwrite64", "renameat", "unlinkat", "close")
SOCKETS = ("connect", "sendto", "recvfrom", "poll")
TRIALS_S = float(os.environ.get("TRIALS_S", "20"))


class Keeper:
    """The real keeper of a swarm's state, started here so that its threads are known."""

    def __init__(self, swarm):
        for _ in range(100):  # the last one's threads may still be leaving, with its lock
            self.process = subprocess.Popen([program(), "keeper", "--ready-fd", "1"],
                                            env=swarm.env, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            line = self.process.stdout.readline()
            if line == b"ready\n":
                return
            self.end()
            time.sleep(0.02)
        raise AssertionError(f"the keeper says {line}")

    def store_thread(self):
        """Pinned actors have a thread each, named after them."""
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/comm", encoding="utf-8") as comm:
                if "store" in comm.read():
                    return int(task)
        raise AssertionError("no thread of the store")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Strace:
    """Attached to one thread, or with all=True to the process; detached by end()."""

    def __init__(self, run, pid, calls, inject=None, everything=False):
        self.path = run.path("trace")
        words = ["strace", *(["-f"] if everything else []), "-p", str(pid), "-o", self.path,
                 "-e", "trace=" + ",".join(calls)]
        words += ["-e", f"inject={inject}"] if inject else []
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        for line in self.process.stderr:
            if b"attached" in line:
                return
            if b"ptrace" in line or b"not permitted" in line:
                e2e.skip("strace may not attach: " + line.decode().strip())
        raise AssertionError("strace ended")

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()
        with open(self.path, encoding="utf-8", errors="replace") as trace:
            return trace.read().splitlines()


class Trial:
    """One refresh with one fault in it."""

    def __init__(self, run, swarm, practice):
        self.run, self.swarm, self.practice = run, swarm, practice

    def refresh(self, calls, inject=None, everything=False):
        keeper = Keeper(self.swarm)
        pid = keeper.process.pid if everything else keeper.store_thread()
        strace = Strace(self.run, pid, calls, inject, everything)
        asked = self.swarm.start("auth", "token", "lab:me", "--force")
        asked.communicate(timeout=60)
        trace = strace.end()
        died = keeper.process.poll() is not None
        return keeper, trace, died

    def survives(self):
        """Judged when nothing is left in the dark: an access token that still lives proves little
        while the outcome of a refresh is not known."""
        end = time.monotonic() + 150
        while time.monotonic() < end:
            done = self.swarm.call("auth", "token", "lab:me", "--min-valid", "1s", check=False,
                                   timeout=130)
            state = self.swarm.logins()["lab:me"]["state"]
            if state in ("valid", "needs_login"):
                return done.returncode == 0
            time.sleep(0.2)
        raise AssertionError(f"after 150 s still {state}: {done.stderr}")

    def login_new(self):
        """In an empty state, for the old one may still wait for its answer."""
        self.swarm.kill("keeper")
        shutil.rmtree(self.swarm.state)
        self.swarm.practice_login(self.practice)
        assert self.survives(), self.swarm.logins()


def points_of(trace, calls):
    """(call, k) in the order of the trace, and the points where a strict login may be lost: after
    the intent is closed (the gate opens), until the answer's fsync has begun."""
    counts = collections.Counter()
    points, exposed, files, gate = [], set(), {}, False
    for line in trace:
        found = re.match(r"(?:\d+ +)?(\w+)\((\d+|AT_FDCWD)?(.*)", line)
        if not found or found.group(1) not in calls:
            continue
        call, fd, rest = found.groups()
        counts[call] += 1
        point = (call, counts[call])
        points.append(point)
        for suffix in (".intent", ".answer"):
            if call == "openat" and suffix in rest:
                files[suffix] = re.search(r"= (\d+)$", line).group(1)
        if gate:
            exposed.add(point)
        if call == "fsync" and gate and fd == files.get(".answer"):
            gate = False
        if call == "close" and fd == files.get(".intent"):
            gate = True
    assert exposed and not gate, "the trace has no refresh in it:\n" + "\n".join(trace)
    return points, exposed


def kill_pass(rotation, calls, everything=False):
    options = ("--rotation=grace", "--grace=60s") if rotation == "grace" else ()
    with e2e.Run(needs=("strace",)) as run:
        practice = run.practice("--access-life=2s", *options)
        swarm = Swarm(run, practice.url, rotation=rotation,
                      oauth={"graceSeconds": 60} if rotation == "grace" else None)
        swarm.practice_login(practice)
        swarm.kill("keeper")
        trial = Trial(run, swarm, practice)
        if everything:
            points, exposed = [(call, k) for call in calls for k in range(1, 9)], None
        else:
            keeper, trace, _ = trial.refresh(calls)
            keeper.end()
            points, exposed = points_of(trace, calls)
        random.shuffle(points)
        end, tried, died, dark, lost = time.monotonic() + TRIALS_S, 0, 0, 0, []
        for call, k in points:
            if time.monotonic() > end:
                break
            keeper, _, dead = trial.refresh(calls, f"{call}:signal=KILL:when={k}", everything)
            keeper.end()
            tried, died = tried + 1, died + dead
            if rotation == "strict" and (call, k) in exposed and TRIALS_S < 300:
                dark += 1  # a strict provider is left alone for a minute first: a long run waits
                trial.login_new()
            elif not trial.survives():
                lost.append((call, k))
                assert rotation == "strict", f"lost under grace: killed at {call} {k}"
                assert exposed is None or (call, k) in exposed, f"lost: killed at {call} {k}"
                row = swarm.logins()["lab:me"]
                assert row["state"] == "needs_login" and row["remedy"], row
                trial.login_new()
            swarm.kill("keeper")
        assert died, "no fault hit"
        stats = practice.stats()
        # after a loss, one attempt more ends the family: that is how it is known to be lost
        e2e.expect(stats, families_ended=len(lost))
        print(f"{rotation}: killed at {died} of {tried} points tried ({len(points)} there are),"
              f" lost {len(lost)}; {dark} of {len(exposed or [])} exposed points not judged")


def error_pass(error):
    with e2e.Run(needs=("strace",)) as run:
        practice = run.practice("--access-life=2s")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.kill("keeper")
        trial = Trial(run, swarm, practice)
        keeper, trace, _ = trial.refresh(FILES)
        keeper.end()
        points, _ = points_of(trace, FILES)
        random.shuffle(points)
        end, tried = time.monotonic() + TRIALS_S, 0
        for call, k in points:
            if time.monotonic() > end:
                break
            keeper, _, dead = trial.refresh(FILES, f"{call}:error={error}:when={k}")
            assert not dead, f"{call} {k} failed with {error}, and the keeper died"
            tried += 1
            assert trial.survives(), f"{call} {k} {error}: {swarm.logins()}"
            e2e.wait_until("it is saved", lambda: swarm.logins()["lab:me"]["state"] == "valid")
            keeper.end()
            assert trial.survives(), f"{call} {k} {error}, then kill -9: {swarm.logins()}"
            swarm.kill("keeper")
        e2e.expect(practice.stats(), reused=0, families_ended=0, overlapping=0)
        print(f"{error}: {tried} of {len(points)} calls failed in turn, nothing lost or reused")


def main():
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    random.seed(seed)
    print(f"SEED={seed}")
    kill_pass("grace", FILES)
    kill_pass("strict", FILES)
    kill_pass("grace", SOCKETS, everything=True)
    error_pass("EIO")
    error_pass("ENOSPC")


main()
