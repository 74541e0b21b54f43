# SPDX-License-Identifier: Apache-2.0
"""oidc-provider as set up here rotates, notices reuse, ends the grant for it, and lets only its own
living access tokens through to the model."""
import json
import time

import e2e


def refresh(oidc, token):
    form = f"grant_type=refresh_token&client_id={oidc.ready['client_id']}&refresh_token={token}"
    status, text = e2e.http("POST", oidc.url + "/token", form)
    return status, json.loads(text)


def ask(oidc, access):
    body = {"model": "gpt-5.5", "stream": True,
            "input": [{"role": "user", "content": [{"type": "input_text",
                                                    "text": "how many hives"}]}]}
    return e2e.http("POST", oidc.url + "/v1/responses", json.dumps(body),
                    {"Authorization": f"Bearer {access}", "Content-Type": "application/json"})


def main():
    with e2e.Run(needs=("node", "oidc", "aimock")) as run:
        aimock = run.aimock()
        oidc = run.oidc(access_ttl=2, model=aimock.url)
        entry = run.oidc_login(oidc, "lab:me", run.path("auth-profiles.json"))
        assert entry["type"] == "oauth" and entry["provider"] == "lab"
        status, text = ask(oidc, entry["access"])
        assert status == 200 and "seven hives" in text and "response.completed" in text, text
        status, tokens = refresh(oidc, entry["refresh"])
        assert status == 200 and tokens["refresh_token"] != entry["refresh"], tokens
        assert tokens["expires_in"] == 2
        oidc.expect(rotations=1, reused=0, model_calls=1, model_401=0, token_requests=2)
        time.sleep(2.5)
        assert ask(oidc, tokens["access_token"])[0] == 401
        status, tokens = refresh(oidc, tokens["refresh_token"])
        assert status == 200, tokens
        answer = ask(oidc, tokens["access_token"])
        assert answer[0] == 200, (answer, tokens)
        status, refusal = refresh(oidc, entry["refresh"])
        assert status == 400 and refusal["error"] == "invalid_grant", refusal
        assert refresh(oidc, tokens["refresh_token"])[0] == 400, "the grant outlived a reuse"
        oidc.expect(rotations=2, reused=1, grants_revoked=1, model_401=1)
        aimock.expect(model_calls=2)


main()
