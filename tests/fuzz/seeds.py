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


def field(tag, value):
    if isinstance(value, int):
        value = value.to_bytes(8, "little", signed=value < 0)
    return tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value


def records():
    """The insides of files of the store, in the form of store_codec.c, and a sealed file's head."""
    credential = b"".join(field(tag, value) for tag, value in (
        (1, b"lab:me"), (2, b"lab"), (3, b"oauth"), (4, b"acct-1"), (5, 3), (6, b"at-3"),
        (7, b"rt-3"), (8, b"id-3"), (9, 1790003600000), (10, 1790000000000), (13, b"reused"),
        (14, b"lab:a,lab:b"), (15, b'{"id": "lab"}'), (16, bytes(range(32)))))
    intent = b"".join(field(tag, value) for tag, value in (
        (1, 3), (2, 1), (3, bytes(16)), (4, 1790000000000), (5, 7), (6, bytes(16)), (7, 5)))
    answer = b"".join(field(tag, value) for tag, value in (
        (1, 3), (2, 1), (3, 1), (4, 200), (5, b'{"access_token":"a","refresh_token":"r"}')))
    head = b"QRIGHT\r\n\x01\0\x01\0\x01\0\0\0" + (3).to_bytes(8, "little")
    head += (48).to_bytes(4, "little") + bytes(4) + b"lab:me".ljust(128, b"\0")
    rows = {"credential": (0, credential), "intent": (1, intent), "answer": (2, answer),
            "raw_zeros": (3, bytes(256)), "raw_head": (3, head.ljust(304, b"\x01")),
            "sealed": (4, credential), "sealed_torn": (4, credential[:-20]),
            "beside_intent": (5, intent), "beside_answer": (6, answer),
            "unknown_tag": (0, field(99, b"x") + credential), "twice": (0, credential * 2)}
    for name, (choice, content) in rows.items():
        write("record", name, bytes([choice]) + content)


def imports():
    login = {"type": "oauth", "provider": "openai-codex", "access": jwt({"exp": 1790003600}),
             "refresh": "rt-1", "expires": 1790003600000, "email": "nova@example.test"}
    key = {"type": "api_key", "provider": "openai", "key": "sk-1"}
    rows = {
        "openclaw": {"version": 1, "profiles": {"openai-codex:me": login, "openai:key": key}},
        "clones": {"profiles": {"a": login, "b": {**login, "expires": 1790007200000}, "c": login}},
        "odd": {"profiles": {"a": {"mode": "api_key", "provider": "lab", "apiKey": "k"},
                             "b": {"type": "token", "provider": "lab", "token": "t"},
                             "c": {"type": "oauth", "provider": "anthropic", "refresh": "r"},
                             "d": {"type": "api_key", "provider": "lab", "keyRef": {"env": "K"}},
                             "e": 7, "f": {"type": "other", "provider": "x"}, "g": {}}},
        "codex": {"OPENAI_API_KEY": None, "auth_mode": "chatgpt",
                  "tokens": {"id_token": jwt({"email": "nova@example.test", "sub": "x"}),
                             "access_token": jwt({"exp": 1790003600}), "refresh_token": "rt-1",
                             "account_id": "acct-1"},
                  "last_refresh": "2026-09-29T12:00:00.000Z"},
        "codex_key": {"OPENAI_API_KEY": "sk-1"},
        "neither": {"hello": 1},
        "version": {"version": 9, "profiles": {}},
    }
    for name, content in rows.items():
        write("import", name, json.dumps(content))
    write("import", "torn", json.dumps(rows["openclaw"])[:60])
    write("import", "line_in_token", json.dumps({"profiles": {"a": {**key, "key": "k\r\nX: y"}}}))
    write("import", "no_id", json.dumps({"profiles": {"": key}}))
    write("import", "control_in_id", json.dumps({"profiles": {"a\u001b[2J": key}}))


for make in (messages, frames, configs, streams, answers, records, imports):
    make()
