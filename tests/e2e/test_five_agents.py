# SPDX-License-Identifier: Apache-2.0
"""Five agents over two local nodes, on one login at a certified OAuth server that rotates at every
use, with a model server that is not ours: over many expiries all answer, one success a stored
generation, no reuse. A call whose token ended on its way to the model, as on a busy machine, was
made once more, and is no rejection."""
import time

import e2e
from swarm import Swarm


def main():
    with e2e.Run(needs=("node", "oidc", "aimock")) as run:
        aimock = run.aimock()
        oidc = run.oidc(access_ttl=2, model=aimock.url)
        swarm = Swarm(run, oidc.url, token_path="/token", encoding="form",
                      client_id=oidc.ready["client_id"], model_base=oidc.url + "/v1")
        entry = run.oidc_login(oidc, "lab:me", run.path("login.json"))
        swarm.import_login({key: entry[key] for key in ("access", "refresh", "expires")})
        swarm.up()
        first = swarm.logins()["lab:me"]["generation"]
        for _ in range(5):
            answers = swarm.ask_all(text="how many hives")
            assert all("seven hives" in text for text in answers.values()), answers
            time.sleep(1.5)
        login = swarm.logins()["lab:me"]
        swarm.down()
        stats = oidc.stats()
        assert stats["rotations"] >= 3, stats
        assert stats["model_401"] <= 3, stats  # a token may end on its way, on a busy machine
        e2e.expect(stats, reused=0, model_calls=25 + stats["model_401"],
                   rotations=login["generation"] - first)
        aimock.expect(model_calls=25)
        print(f"25 answers, {stats['rotations']} rotations, nothing reused")


main()
