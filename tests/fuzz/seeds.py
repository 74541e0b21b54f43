#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the corpus out of the tree's own samples: the test vectors of messages and
frames, the config tests, and streams and answers as providers send them. Files that are already
in corpus/ and are not seeds (regressions, what fuzzing has found) are left alone.

    tests/fuzz/seeds.py          writes corpus/*/seed_*"""
import base64
import glob
import json
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)


def write(target, name, content):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    with open(os.path.join(folder, "seed_" + name), "wb") as file:
        file.write(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def messages():
    """The vector with the most bytes of each third message, so that the corpus stays small."""
    longest = {}
    text = read(os.path.join(TESTS, "proto/vectors/messages.txt")).decode()
    vectors = re.compile(r"^message (\w+) 0x(\w+)$.*?^hex (\w+)$", re.M | re.S)
    for name, number, body in vectors.findall(text):
        if len(body) > len(longest.get(name, ("", ""))[1]) and len(body) < 1600:
            longest[name] = (number, body)
    for name, (number, body) in list(longest.items())[::3]:
        write("message", name, bytes.fromhex(number) + bytes.fromhex(body))
    value = b"\x95\x81\xa1k\x93\x01\xcb" + bytes(8) + b"\xc0"
    write("message", "value", b"\x02\x01" + value)


def frames():
    for path in glob.glob(os.path.join(TESTS, "runtime/vectors/*.hex")):
        name = os.path.basename(path).removesuffix(".hex")
        write("frame", name, bytes.fromhex(read(path).decode().strip()))


def configs():
    for path in glob.glob(os.path.join(TESTS, "tools/config/*/*.json")):
        write("config", os.path.basename(path), read(path))


def events(*rows, named=False):
    text = ""
    for row in rows:
        text += f"event: {row['type']}\n" if named else ""
        text += f"data: {json.dumps(row)}\n\n"
    return text


MESSAGE = {"type": "message", "role": "assistant",
           "content": [{"type": "output_text", "text": "Good morning"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "ask", "namespace": "queenright",
        "arguments": "{\"agent\":\"nova\",\"text\":\"hi\"}"}

STREAMS = {
    0: {
        "text": events({"type": "response.created"},
                       {"type": "response.output_text.delta", "delta": "Good "},
                       {"type": "response.output_text.delta", "delta": "morning"},
                       {"type": "response.output_item.done", "item": MESSAGE},
                       {"type": "response.completed",
                        "response": {"usage": {"input_tokens": 7, "output_tokens": 2}}},
                       named=True),
        "call": events({"type": "response.output_item.done", "item": CALL},
                       {"type": "response.completed", "response": {"output": [CALL]}}),
        "short": events({"type": "response.incomplete", "response":
                         {"incomplete_details": {"reason": "max_output_tokens"}}}),
        "failed": events({"type": "response.failed", "response":
                          {"error": {"code": "usage_limit_reached", "message": "spent",
                                     "resets_in_seconds": 90}}}),
        "error": events({"type": "error", "code": "server_is_overloaded", "message": "later"}),
    },
    1: {
        "text": events({"choices": [{"delta": {"role": "assistant", "content": "Good "}}]},
                       {"choices": [{"delta": {"content": "morning"}, "finish_reason": "stop"}]},
                       {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
                + "data: [DONE]\n\n",
        "call": events({"choices": [{"delta": {"tool_calls": [
                            {"index": 0, "id": "c1",
                             "function": {"name": "ask", "arguments": "{\"a"}}]}}]},
                       {"choices": [{"delta": {"tool_calls": [
                            {"index": 0, "function": {"arguments": "\":1}"}}]},
                            "finish_reason": "tool_calls"}]}) + "data: [DONE]\n\n",
        "error": events({"error": {"code": 429, "type": "rate_limit_exceeded", "message": "slow"}}),
    },
    2: {
        "text": events({"type": "message_start", "message": {"usage": {"input_tokens": 7}}},
                       {"type": "content_block_start", "index": 0,
                        "content_block": {"type": "text", "text": ""}},
                       {"type": "content_block_delta", "index": 0,
                        "delta": {"type": "text_delta", "text": "Good morning"}},
                       {"type": "content_block_stop", "index": 0},
                       {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                        "usage": {"output_tokens": 2}},
                       {"type": "message_stop"}, named=True),
        "call": events({"type": "message_start", "message": {}},
                       {"type": "content_block_start", "index": 0,
                        "content_block": {"type": "tool_use", "id": "c1", "name": "ask",
                                          "input": {}}},
                       {"type": "content_block_delta", "index": 0,
                        "delta": {"type": "input_json_delta", "partial_json": "{\"a\":1}"}},
                       {"type": "content_block_stop", "index": 0},
                       {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
                       {"type": "message_stop"}),
        "error": events({"type": "error",
                         "error": {"type": "overloaded_error", "message": "later"}}),
    },
    3: {
        "quota": json.dumps({"error": {"type": "usage_limit_reached", "resets_in_seconds": 60}}),
        "login": json.dumps({"error": {"code": "token_expired", "message": "log in"}}),
        "html": "<html>sign in to the proxy \u00fc</html>",
    },
}


def streams():
    for api, rows in STREAMS.items():
        for name, text in rows.items():
            write("reading", f"{api}_{name}", bytes([api, len(text) % 256]) + text.encode())
            if api < 3:
                write("sse", f"{api}_{name}", b"\xf0\x07" + text.encode()[:400])
    ends = b"\xef\xbb\xbfdata: a\r\ndata:b\rdata\n\n: note\nevent:x\ndata: c\n\r\nid: 4\ndata: tail"
    write("sse", "ends", b"\x20\x03" + ends)
    write("sse", "limits", b"\x04\x01data: 1234\n\ndata: 12\ndata: 345678\n\n")
    write("sse", "half_mark", b"\x10\x01\xef\xbbdata: x\n\n")


def jwt(claims):
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{part}.c2ln"


def answers():
    account = {"https://api.openai.com/auth": {"chatgpt_account_id": "acct-1"}, "exp": 1790003600}
    rows = {
        "rotated": (0, 0, {"access_token": "at-2", "refresh_token": "rt-2", "expires_in": 3600}),
        "jwt": (0, 1, {"access_token": jwt(account), "refresh_token": "rt-2",
                       "id_token": jwt({"sub": "x"})}),
        "kept": (0, 2, {"access_token": "at-2", "expires_at": "2026-09-29T12:00:00.5+02:00"}),
        "life": (1, 6, {"access_token": "at-2", "refresh_token": "rt-2", "expires_in": "3600",
                        "refresh_token_expires_in": 86400, "earliest_refresh_at": 1790000000}),
        "odd": (0, 8, {"access_token": "at 2", "refresh_token": None}),
        "grant": (4, 0, {"error": "invalid_grant", "error_description": "gone"}),
        "reused": (5, 0, {"error": {"code": "refresh_token_reused", "type": "invalid_request"}}),
        "client": (5, 4, {"error": "invalid_client"}),
        "slow": (9, 0, {"error": "slow_down"}),
        "ended": (4, 0, {"code": "app_session_terminated"}),
        "as_200": (0, 0, {"error": "invalid_grant"}),
    }
    for name, (status, rule, body) in rows.items():
        write("answer", name, bytes([status, rule]) + json.dumps(body).encode())
    write("answer", "html", b"\x05\x00<html>sign in</html>")
    write("answer", "deep", b"\x00\x00" + b'{"a":' * 40)
    write("answer", "twice", b'\x00\x00{"refresh_token":"r","refresh_token":"s"}')


for make in (messages, frames, configs, streams, answers):
    make()
