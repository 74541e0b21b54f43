# SPDX-License-Identifier: Apache-2.0
"""Import: before `up` and while it runs; the same login under other names becomes an alias, an
older copy is refused with the name of the fresher one, and neither reaches the provider; what
cannot be taken is refused by name, so is what the keeper has no room for; without --take-over
nothing is ever refreshed."""
import json
import os
import time

import e2e
from swarm import Swarm


def profiles(run, name, entries):
    path = run.path(name)
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"version": 1, "profiles": entries}, out)
    return path


def too_many_are_refused_by_name():
    with e2e.Run() as run:
        swarm = Swarm(run, "http://127.0.0.1:9")
        names = [f"lab:{i}" for i in range(259)]
        many = profiles(run, "many.json", {
            name: {"type": "api_key", "provider": "lab", "key": "key-of-" + name}
            for name in names})
        done = swarm.call("auth", "import", many, "--config", swarm.file, "--json", check=False)
        outcomes = {row["profile"]: row["outcome"] for row in json.loads(done.stdout)}
        refused = [name for name in names if outcomes[name] == "refused"]
        assert done.returncode == 1 and list(outcomes) == names, done
        assert refused == names[256:] and done.stderr.count("too many logins") == 3, done
        assert set(swarm.logins()) == set(names[:256])


def main():
    too_many_are_refused_by_name()
    with e2e.Run() as run:
        practice = run.practice("--access-life=1h")
        swarm = Swarm(run, practice.url)
        login = json.loads(e2e.http("POST", practice.url + "/practice/login", "{}")[1])
        entry = {"type": "oauth", "provider": "lab", "access": login["access_token"],
                 "refresh": login["refresh_token"], "expires": int(time.time() * 1000) + 3600000}
        words = ["--take-over", "--config", swarm.file, "--json"]

        first = profiles(run, "first.json", {"lab:me": entry})
        rows = json.loads(swarm.call("auth", "import", first, *words).stdout)
        assert rows[0]["outcome"] == "stored", rows

        # twice is once
        rows = json.loads(swarm.call("auth", "import", first, *words, check=False).stdout)
        assert rows[0]["outcome"] in ("unchanged", "alias"), rows

        # under another name: an alias that works
        other = profiles(run, "other.json", {"lab:copy": entry})
        rows = json.loads(swarm.call("auth", "import", other, *words, check=False).stdout)
        assert rows[0]["outcome"] == "alias" and rows[0]["profile"] == "lab:me", rows
        token = swarm.call("auth", "token", "lab:copy").stdout
        assert token == swarm.call("auth", "token", "lab:me").stdout

        # the login moves on; then the old copy is stale, under any name
        swarm.call("auth", "token", "lab:me", "--force")
        practice.expect(rotations=1)
        stale = profiles(run, "stale.json", {"lab:old": entry})
        done = swarm.call("auth", "import", stale, *words, check=False)
        assert "lab:me" in done.stdout + done.stderr, done
        practice.expect(rotations=1, reused=0, token_requests=1)

        # while the swarm runs
        swarm.up()
        second = json.loads(e2e.http("POST", practice.url + "/practice/login", "{}")[1])
        late = profiles(run, "late.json", {"lab:late": {
            **entry, "access": second["access_token"], "refresh": second["refresh_token"]}})
        rows = json.loads(swarm.call("auth", "import", late, *words).stdout)
        assert rows[0]["outcome"] == "stored", rows
        swarm.call("auth", "token", "lab:late")
        swarm.down()

        # what cannot be taken says why, and the rest is taken all the same
        third = json.loads(e2e.http("POST", practice.url + "/practice/login", "{}")[1])
        bad = profiles(run, "bad.json", {
            "lab:ref": {"type": "oauth", "provider": "lab", "oauthRef": {
                "source": "openclaw-credentials", "provider": "lab", "id": "0" * 32}},
            "lab:none": {"type": "oauth", "provider": "lab", "access": "x", "expires": 1},
            "lab:fence": {**entry, "access": "openclaw-oauth-refresh-fence:v1:c:access:" + "0" * 64,
                          "refresh": "openclaw-oauth-refresh-fence:v1:c:refresh:" + "0" * 64,
                          "expires": 1},
            "lab:good": {**entry, "access": third["access_token"],
                         "refresh": third["refresh_token"]}})
        done = swarm.call("auth", "import", bad, *words, check=False)
        outcomes = {row["profile"]: row["outcome"] for row in json.loads(done.stdout)}
        assert done.returncode == 1 and outcomes["lab:good"] == "stored", done
        assert [outcomes[name] for name in ("lab:ref", "lab:none", "lab:fence")] == ["refused"] * 3

        # a torn file: line and column
        torn = run.path("torn.json")
        with open(torn, "w", encoding="utf-8") as out:
            out.write(open(first, encoding="utf-8").read()[:-20])
        done = swarm.call("auth", "import", torn, *words, check=False)
        assert done.returncode == 1 and "line" in done.stderr, done

        # access-only: used, never refreshed
        fourth = json.loads(e2e.http("POST", practice.url + "/practice/login", "{}")[1])
        guest = profiles(run, "guest.json", {"lab:guest": {
            **entry, "access": fourth["access_token"], "refresh": fourth["refresh_token"]}})
        requests = practice.stats()["token_requests"]
        swarm.call("auth", "import", guest, "--config", swarm.file)
        assert swarm.call("auth", "token", "lab:guest").stdout.strip() == fourth["access_token"]
        forced = swarm.call("auth", "token", "lab:guest", "--force", check=False)
        assert forced.returncode == 0 or "access_only" in forced.stderr, forced
        practice.expect(token_requests=requests, reused=0)
        assert os.stat(swarm.state + "/credentials").st_mode & 0o077 == 0
        print("stored, aliased, refused; nothing reached the provider twice")


main()
