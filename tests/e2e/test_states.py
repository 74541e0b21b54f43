# SPDX-License-Identifier: Apache-2.0
"""What people do to a state directory, and what must not cost the login: `up` killed in a refresh,
two `up` on one state, the directory copied elsewhere and started, an old backup put back, one login
under two names in two swarms. The provider is strict: one token sent twice would end it."""
import json
import os
import random
import shutil
import signal
import time

import e2e
from swarm import Swarm

LIVES = ("--min-valid", "1s")


def whole(practice):
    e2e.expect(practice.stats(), reused=0, families_ended=0, overlapping=0)


def up_killed_in_a_refresh():
    with e2e.Run() as run:
        practice = run.practice("--access-life=3s", "--refresh-delay=300ms")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.stop("keeper")
        for _ in range(3):
            swarm.up()
            asked = swarm.start("auth", "token", "lab:me", "--force")
            time.sleep(random.uniform(0.05, 0.3))
            swarm.kill("up")
            out, err = asked.communicate(timeout=60)
            assert asked.returncode == 0 and out.strip(), err  # the refresh went on
            e2e.wait_until("the nodes are gone with their up",
                           lambda: not {"home", "b"} & set(swarm.pids()))
            swarm.stop("keeper")
        assert swarm.call("auth", "token", "lab:me", *LIVES).stdout.strip()
        whole(practice)
        print("up killed in a refresh 3 times: its askers got the new token")


def two_up_on_one_state():
    with e2e.Run() as run:
        practice = run.practice("--access-life=3s")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        both = [swarm.start("up", swarm.file, "--detach") for _ in range(2)]
        codes = sorted((process.communicate(timeout=60), process.returncode)[1]
                       for process in both)
        assert codes[0] == 0 and codes[1] != 0, f"exit codes {codes}"
        # and two swarms of other names, which may live together on one keeper
        other = json.loads(json.dumps(swarm.config))
        other["swarm"] = "six"
        path = run.path("six.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(other, out)
        swarm.call("up", path, "--detach")
        keepers = [pid for kind, pid in swarm.pids().items() if kind == "keeper"]
        assert len(keepers) == 1
        for name in ("five", "six"):
            assert swarm.call("ask", "atlas", "hello", "--swarm", name).stdout.strip()
        time.sleep(3)
        running = [swarm.start("ask", "lumi", "hello", "--swarm", name)
                   for name in ("five", "six") * 3]
        for process in running:
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0 and out.strip(), err
        for name in ("five", "six"):
            swarm.call("down", "--swarm", name)
        whole(practice)
        print("two up on one state: one swarm each name, one keeper")


def copied_state_waits_for_adopt():
    with e2e.Run() as run:
        practice = run.practice("--access-life=2s")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.stop("keeper")
        other = Swarm(run, practice.url, state="copy")
        shutil.copytree(swarm.state, other.state, symlinks=True)
        before = practice.stats()["token_requests"]
        time.sleep(2.2)
        done = other.call("auth", "token", "lab:me", *LIVES, check=False)
        assert done.returncode != 0 and "adopt" in done.stderr, done
        assert practice.stats()["token_requests"] == before, "a copy spent the token"
        assert swarm.call("auth", "token", "lab:me", *LIVES).stdout.strip()  # the original may
        swarm.stop("keeper")
        # the machine moved for good: the copy is made anew, the original not used any more
        other.stop("keeper")
        shutil.rmtree(other.state)
        shutil.copytree(swarm.state, other.state, symlinks=True)
        other.call("auth", "adopt")
        time.sleep(2.2)
        assert other.call("auth", "token", "lab:me", *LIVES).stdout.strip()
        whole(practice)
        print("a copied state spends nothing until it is adopted")


def old_backup_is_not_spent():
    with e2e.Run() as run:
        practice = run.practice("--access-life=2s")
        swarm = Swarm(run, practice.url)
        swarm.practice_login(practice)
        swarm.stop("keeper")
        backup = run.path("backup")
        shutil.copytree(swarm.state + "/credentials", backup, symlinks=True)
        swarm.up()
        swarm.ask_all()
        time.sleep(2.2)
        swarm.ask_all()  # a generation or two have passed, and the nodes have seen them
        up = swarm.pids()["up"]
        os.kill(up, signal.SIGSTOP)  # or it would start a keeper before the backup is back
        swarm.kill("keeper")
        # written over in place, as a restore does: the directory stays the one it was
        credentials = swarm.state + "/credentials"
        for file in os.listdir(credentials):
            os.unlink(os.path.join(credentials, file))
        for file in os.listdir(backup):
            shutil.copy2(os.path.join(backup, file), credentials)
        os.kill(up, signal.SIGCONT)
        before = practice.stats()["token_requests"]
        time.sleep(2.2)
        done = swarm.ask("atlas", check=False)
        assert done.returncode != 0, done
        row = swarm.logins()["lab:me"]
        assert practice.stats()["token_requests"] == before, f"an old token was spent: {row}"
        e2e.expect(practice.stats(), reused=0, families_ended=0)
        swarm.call("down")
        print(f"an old backup is not spent: {row['why']}")


def one_login_under_two_names():
    with e2e.Run() as run:
        practice = run.practice("--access-life=2s", "--refresh-delay=50ms")
        swarm = Swarm(run, practice.url)
        login = swarm.practice_login(practice)
        second = json.loads(json.dumps(swarm.config))
        second["swarm"] = "six"
        second["auth"]["profiles"] = {"lab:you": {"provider": "lab", "mode": "oauth"}}
        path = run.path("six.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(second, out)
        swarm.file, first = path, swarm.file
        swarm.import_login({"access": login["access_token"], "refresh": login["refresh_token"],
                            "expires": int(time.time() * 1000) + 2000}, profile="lab:you")
        swarm.call("up", first, "--detach")
        swarm.call("up", path, "--detach")
        for _ in range(2):
            running = [swarm.start("ask", agent, "hello", "--swarm", name)
                       for name in ("five", "six") for agent in ("atlas", "lumi")]
            for process in running:
                out, err = process.communicate(timeout=60)
                assert process.returncode == 0 and out.strip(), err
            time.sleep(2.2)
        logins = swarm.logins()
        assert len(logins) == 1 and "lab:you" in logins["lab:me"]["aliases"], logins
        for name in ("five", "six"):
            swarm.call("down", "--swarm", name)
        whole(practice)
        print("one login under two names in two swarms: one owner, an alias")


def main():
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    random.seed(seed)
    print(f"SEED={seed}")
    up_killed_in_a_refresh()
    two_up_on_one_state()
    copied_state_waits_for_adopt()
    old_backup_is_not_spent()
    one_login_under_two_names()


main()
