# SPDX-License-Identifier: Apache-2.0
"""The refresh exchange, broken at each byte offset in both directions (promises 1, 3 and 6).

With a provider that grants a grace window every break is survived, and the login ends with a valid
token. With a strict one a break is survived wherever the provider had not seen the whole request,
and wherever the whole answer came through; in between, and only there, the token is spent and the
new one lost. Then the old access token is served to its end, n is sent once more when nothing is
left to lose, and the provider's own word ends the login: needs_login, never a loop. In no case are
two requests for one generation in flight. The strict ones are the practice provider and npm's
oidc-provider, whose own counters judge: one attempt more for each login lost, and no other.

STEP in the environment is the distance between offsets (16). `ninja soak_cut` sets it to 1: then
each way to break is tried at every offset. A request sent twice by a box in between (duplicate) is
tried under grace alone: a strict provider ends the login for it, whoever holds the tokens."""
import concurrent.futures
import json
import os
import shutil
import time

import e2e
from fault_proxy import FaultProxy, Plan
from judges import Oidc, Practice
from swarm import Swarm

STEP = int(os.environ.get("STEP", "16"))
WIDE = STEP if STEP == 1 else 8 * STEP
LOGINS = 64        # broken at the same time where each break is survived
FORCE_S = 5.2      # who forces a refresh sooner after one gets that one
BATCH = 100        # logins of one keeper where each break has its own
ACCESS_S = 60
DRAIN_S = 60       # what the keeper waits before it sends again to a strict provider


def breaks(sizes, kinds, step):
    """Plans for offsets `step` apart, the last byte and the one after it included."""
    plans = []
    for direction, size in sizes.items():
        offsets = sorted({*range(0, size, step), size - 1, size})
        for i, at in enumerate(offsets):
            plans.append(Plan(kinds[i % len(kinds)], direction, at))
    return plans


def every_kind(sizes, kinds):
    """Each kind at every offset, or where offsets are left out, one after another."""
    if WIDE > 1:
        return breaks(sizes, kinds, WIDE)
    return [plan for kind in kinds for plan in breaks(sizes, (kind,), 1)]


def import_logins(swarm, judge, profiles_by_provider):
    """Imports a login for each (provider, name); the profiles."""
    profiles = {f"{provider}:{name}": {**judge.login(), "type": "oauth", "provider": provider}
                for provider, name in profiles_by_provider}
    path = swarm.run.path("auth-profiles.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"version": 1, "profiles": profiles}, out)
    swarm.call("auth", "import", path, "--take-over", "--config", swarm.file)
    return list(profiles)


def force(swarm, profile):
    return swarm.start("auth", "token", profile, "--force")


def finish(process, timeout=100):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out.strip(), err.strip()


def measure(swarm, proxy, profile):
    """Bytes of one whole exchange."""
    code, _, err = finish(force(swarm, profile))
    assert code == 0, err
    return {direction: len(data) for direction, data in proxy.last_passed.items()}


def provider_each(swarm, judge, proxies):
    """Makes a provider of each proxy, so that a plan meets the login it is meant for."""
    providers = swarm.config["models"]["providers"]
    pattern = providers["lab"]
    for i, proxy in enumerate(proxies):
        oauth = {**pattern["oauth"], "tokenUrl": proxy.url + judge.token_path}
        providers[f"lab{i}"] = {**pattern, "oauth": oauth}
    swarm.write()


def grace():
    with e2e.Run() as run:
        judge = Practice(run, "grace", "--access-life=1h")
        practice = judge.peer
        proxies = [FaultProxy(judge.port) for _ in range(LOGINS)]
        swarm = Swarm(run, proxies[0].url, **judge.words)
        provider_each(swarm, judge, proxies)
        profiles = import_logins(swarm, judge, [(f"lab{i}", "me") for i in range(LOGINS)]
                                 + [("lab", "probe")])
        sizes = measure(swarm, proxies[0], profiles[-1])
        plans = breaks(sizes, ("cut",), STEP) + breaks(sizes, ("reset",), STEP)
        plans += every_kind(sizes, ("stall", "slow", "duplicate"))
        began = time.monotonic()
        for first in range(0, len(plans), LOGINS):
            asked = []
            for i, plan in enumerate(plans[first:first + LOGINS]):
                proxies[i].plans.append(plan)
                asked.append((plan, force(swarm, profiles[i])))
            for plan, process in asked:
                code, token, err = finish(process)
                assert code == 0 and token, f"{plan}: {code} {err}"
                assert plan.over.wait(10), plan
            time.sleep(FORCE_S)
        assert all(row["state"] == "valid" for row in swarm.logins().values()), swarm.logins()
        practice.expect(reused=0, families_ended=0, overlapping=0, refused_ended=0)
        acted = sum(plan.acted for plan in plans)
        assert acted > 0.9 * len(plans), [plan for plan in plans if not plan.acted]
        stats = practice.stats()
        print(f"grace: {acted} breaks of an exchange of {sizes}, {time.monotonic() - began:.0f} s: "
              f"all logins valid; {stats['rotations']} rotations, {stats['repeated']} repeated")


class Broken:
    """One login of a strict provider, its exchange broken once."""

    def __init__(self, profile, plan):
        self.profile, self.plan = profile, plan
        self.process = None

    def __repr__(self):
        return f"{self.profile} {self.plan}"

    def fate(self):
        """valid, needs_login, or None where either is right."""
        plan = self.plan
        if not plan.is_whole("request"):
            return "valid"
        if plan.kind == "reset":
            return None  # what was on its way may have arrived, or not
        return "valid" if plan.is_whole("answer") else "needs_login"


def break_each(swarm, judge, proxies, plans):
    """A login for each plan. Who waits for its token is not waited for here."""
    names = import_logins(swarm, judge, [(f"lab{i}", "me") for i in range(len(plans))])
    broken = [Broken(name, plan) for name, plan in zip(names, plans)]
    for one, proxy in zip(broken, proxies):
        proxy.plans.append(one.plan)
        one.process = force(swarm, one.profile)
        assert one.plan.over.wait(20), one.plan
    return broken


def fates(swarm, broken):
    states = {name: "needs_login" if row["state"] == "needs_login" else "valid"
              for name, row in swarm.logins().items()}
    counts = {"valid": 0, "needs_login": 0}
    for one in broken:
        fate, state = one.fate(), states[one.profile]
        assert fate in (None, state), f"{one.profile} {one.plan}: {state}, should be {fate}"
        counts[state] += 1
    return counts["valid"], counts["needs_login"]


def strict_of(run, kind):
    if kind == "oidc":
        return Oidc(run, ACCESS_S)
    return Practice(run, "strict", f"--access-life={ACCESS_S}s", "--max-connections=512")


def strict_batch(kind, plans):
    """How many logins lived, and how many were lost."""
    with e2e.Run() as run:
        judge = strict_of(run, kind)
        proxies = [FaultProxy(judge.port) for _ in plans]
        swarm = Swarm(run, proxies[0].url, **judge.words)
        provider_each(swarm, judge, proxies)
        broken = break_each(swarm, judge, proxies, plans)
        rows = swarm.logins()
        for one in broken[-5:]:  # what was granted before is good to its end
            if rows[one.profile]["expires_at_ms"] / 1000 > time.time() + ACCESS_S / 3:
                assert swarm.call("auth", "token", one.profile).stdout.strip()
        settle(swarm, broken)
        lived, lost = fates(swarm, broken)
        e2e.expect(judge.totals(), overlapping=0, reused=lost, ended=lost)
        for proxy in proxies:
            proxy.end()
        return lived, lost


def strict(pool, kind):
    """Starts its batches; what to wait for."""
    with e2e.Run() as run:
        judge = strict_of(run, kind)
        proxy = FaultProxy(judge.port)
        probe = Swarm(run, proxy.url, **judge.words)
        sizes = measure(probe, proxy, import_logins(probe, judge, [("lab", "probe")])[0])
        proxy.end()
    plans = breaks(sizes, ("cut",), STEP) + breaks(sizes, ("reset",), max(1, WIDE // 2))
    plans += every_kind(sizes, ("stall", "slow"))
    return sizes, len(plans), [
        pool.submit(strict_batch, kind, plans[first:first + BATCH])
        for first in range(0, len(plans), BATCH)]


def say(kind, sizes, count, batches):
    lived, lost = (sum(counts) for counts in zip(*(batch.result() for batch in batches)))
    print(f"{kind}, strict: {count} breaks of an exchange of {sizes}: {lived} logins live, "
          f"{lost} spent with the answer lost, each said so")


def settle(swarm, broken):
    """Until each login has its second generation, or has ended."""
    def uncertain():
        return [row["profile"] for row in swarm.logins().values()
                if row["state"] != "needs_login" and row["generation"] == 1]
    end = time.monotonic() + DRAIN_S + ACCESS_S + 60
    while (names := uncertain()) and time.monotonic() < end:
        time.sleep(2)
    assert not names, [one for one in broken if one.profile in names]
    for one in broken:
        finish(one.process)


def main():
    kinds = ["practice"]
    if shutil.which("node") and os.path.isdir(e2e.package("oidc")):
        kinds.append("oidc")
    else:
        print("oidc-provider is not installed: left out")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # strict ones mostly wait
        other = pool.submit(grace)
        for started in [(kind, *strict(pool, kind)) for kind in kinds]:
            say(*started)
        other.result()


main()
