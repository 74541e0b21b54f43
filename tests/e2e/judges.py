# SPDX-License-Identifier: Apache-2.0
"""Providers as judges: each mints logins, says how the program under test is to be told of it
(`words`, for a Swarm), and counts what it saw, in the same words: refreshes it answered, tokens it
saw twice (`reused`), logins it ended for that, and requests for one login that overlapped."""
import json
import time

import e2e

GRACE_S = 3600


class Practice:
    """The strict practice provider, or one of another rule."""

    token_path = "/oauth/token"

    def __init__(self, run, rule="strict", *options):
        self.peer = run.practice("--rotation=" + rule, f"--grace={GRACE_S}s", *options)
        self.url, self.port, self.rule = self.peer.url, self.peer.ready["port"], rule
        self.words = {"rotation": rule, "client_id": "practice", "token_path": self.token_path,
                      "encoding": "json",
                      "oauth": {"graceSeconds": GRACE_S} if rule == "grace" else None}

    def login(self):
        login = json.loads(e2e.http("POST", self.url + "/practice/login", "{}")[1])
        return {"access": login["access_token"], "refresh": login["refresh_token"],
                "expires": int(time.time() * 1000) + login["expires_in"] * 1000}

    def totals(self):
        stats = self.peer.stats()
        return {"refreshes": stats["rotations"] + stats["repeated"] + stats["kept"],
                "reused": stats["reused"], "ended": stats["families_ended"],
                "overlapping": stats["overlapping"]}


class Oidc:
    """npm's oidc-provider: rotates at each use, ends the grant at a reuse."""

    token_path, rule, batch = "/token", "strict", 24

    def __init__(self, run, access_s, delay_ms=0):
        self.run, self.logins = run, []
        self.peer = run.oidc(access_ttl=access_s, delay_ms=delay_ms)
        self.url, self.port = self.peer.url, self.peer.ready["port"]
        self.words = {"rotation": self.rule, "client_id": self.peer.ready["client_id"],
                      "token_path": self.token_path, "encoding": "form"}

    def login(self):
        if not self.logins:
            self.logins = self.run.oidc_logins(self.peer, self.batch)
        return self.logins.pop()

    def totals(self):
        stats = self.peer.stats()
        return {"refreshes": stats["rotations"], "reused": stats["reused"],
                "ended": stats["grants_revoked"], "overlapping": stats["overlapping"]}
