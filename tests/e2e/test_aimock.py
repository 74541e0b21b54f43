# SPDX-License-Identifier: Apache-2.0
"""aimock answers both API kinds as streams, and calls the function its fixture names."""
import json

import e2e


def ask(aimock, items):
    body = {"model": "gpt-5.5", "stream": True, "input": items}
    status, text = e2e.http("POST", aimock.url + "/v1/responses", json.dumps(body),
                            {"Content-Type": "application/json"})
    assert status == 200 and "event: response.completed" in text, text
    return text


def user(text):
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


def main():
    with e2e.Run(needs=("node", "aimock")) as run:
        aimock = run.aimock()
        assert "seven hives on the hill" in ask(aimock, [user("how many hives are there?")])
        call = ask(aimock, [user("ask nova how many hives there are")])
        assert '"type":"function_call"' in call and '\\"nova\\"' in call, call
        answer = ask(aimock, [
            user("ask nova how many hives there are"),
            {"type": "function_call", "call_id": "c1", "name": "ask", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "seven hives"}])
        assert "nova counted seven hives" in answer, answer
        chat = {"model": "gpt-5.5", "stream": True,
                "messages": [{"role": "user", "content": "who are you?"}]}
        status, text = e2e.http("POST", aimock.url + "/v1/chat/completions", json.dumps(chat),
                                {"Content-Type": "application/json"})
        assert status == 200 and text.rstrip().endswith("data: [DONE]"), text
        aimock.expect(model_calls=4)


main()
