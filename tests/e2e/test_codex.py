# SPDX-License-Identifier: Apache-2.0
"""codex exec answers from the practice provider with a bearer that a command prints; a 401 makes it
run the command again, and a cut stream makes it try again."""
import json
import os

import e2e


def finish(codex):
    text, errors = codex.communicate(timeout=60)
    assert codex.returncode == 0, errors
    return text


def main():
    with e2e.Run(needs=("node", "codex")) as run:
        practice = run.practice("--access-life=1h", "--model-pace=1ms")
        login = json.loads(e2e.http("POST", practice.url + "/practice/login", "")[1])
        token = run.path("token")
        with open(token, "w", encoding="utf-8") as file:
            file.write(login["access_token"])
        answer = finish(run.codex(practice.url + "/v1", "count the hives", "cat", token))
        assert "Practice answer" in answer and "count the hives" in answer, answer
        practice.expect(model_calls=1, model_answers=1, model_401=0)

        script = run.path("print-token.sh") # counts how often it is asked
        with open(script, "w", encoding="utf-8") as file:
            file.write('echo x >> "$1"\ncat "$2"\n')
        for fault in ("401:1:1", "cut:1:1"):
            e2e.http("POST", practice.url + "/practice/options",
                     json.dumps({"model-faults": fault}), {"Content-Type": "application/json"})
            asked = run.path("asked-" + fault[:3])
            answer = finish(run.codex(practice.url + "/v1", "again", "bash", script, asked, token,
                                      env={"CODEX_TOKEN_INTERVAL_MS": "60000"}))
            assert "Practice answer" in answer, answer
            runs = os.path.getsize(asked) // 2
            assert runs == (2 if fault.startswith("401") else 1), (fault, runs)
        practice.expect(model_calls=5, model_answers=3, model_401=1,
                        faults={"401": 1, "cut": 1})


main()
