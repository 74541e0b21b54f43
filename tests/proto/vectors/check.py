#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second implementation of the wire form, from docs/PROTOCOL.md alone.

check.py PROTOCOL.md messages.txt
    packs each vector's values and compares with its bytes, and its fields with the document
check.py --write PROTOCOL.md messages.txt
    adds vectors and fields for what is new in the document, and fills in the bytes
"""
import json
import re
import struct
import sys


def pack_unsigned(n):
    if n < 0x80:
        return bytes([n])
    for mark, form, top in ((0xCC, ">BB", 8), (0xCD, ">BH", 16), (0xCE, ">BI", 32)):
        if n < 1 << top:
            return struct.pack(form, mark, n)
    return struct.pack(">BQ", 0xCF, n)


def pack_integer(n):
    if n >= 0:
        return pack_unsigned(n)
    if n >= -32:
        return struct.pack(">b", n)
    for mark, form, top in ((0xD0, ">Bb", 7), (0xD1, ">Bh", 15), (0xD2, ">Bi", 31)):
        if n >= -(1 << top):
            return struct.pack(form, mark, n)
    return struct.pack(">Bq", 0xD3, n)


def pack_run(data, marks):
    for mark, form, top in zip(marks, (">BB", ">BH", ">BI"), (8, 16, 32)):
        if len(data) < 1 << top:
            return struct.pack(form, mark, len(data)) + data
    raise ValueError("too long")


def pack_text(string):
    data = string.encode()
    if len(data) < 32:
        return bytes([0xA0 | len(data)]) + data
    return pack_run(data, (0xD9, 0xDA, 0xDB))


PACK = {
    "boolean": lambda text: b"\xc3" if json.loads(text) else b"\xc2",
    "u64": lambda text: pack_unsigned(int(text)),
    "i64": lambda text: pack_integer(int(text)),
    "text": lambda text: pack_text(json.loads(text)),
    "secret": lambda text: pack_text(json.loads(text)),
    "bytes": lambda text: pack_run(bytes.fromhex(text), (0xC4, 0xC5, 0xC6)),
    "value": lambda text: bytes.fromhex(text) or b"\xc0",
}

SAMPLES = {"boolean": "true", "u64": "300", "i64": "-300", "text": '"nexis"', "secret": '"hush"',
           "bytes": "00ff10c1", "value": "9201c3"}


def pack_body(fields):
    count = len(fields)
    head = bytes([0x90 | count]) if count < 16 else struct.pack(">BH", 0xDC, count)
    return (head + b"".join(PACK[kind](value) for kind, _, value in fields)).hex()


def read_document(path):
    """Message heading -> [(kind, field)]."""
    messages, fields = {}, []
    for line in open(path, encoding="utf-8"):
        heading = re.match(r"### (\w+ )\((0x[0-9a-f]{4})\)$", line)
        row = re.match(r"\| \d+ \| (\w+) \| (\w+) \|", line)
        if heading:
            fields = messages[heading[1] + heading[2]] = []
        elif row:
            fields.append((row[2], row[1]))
    return messages


def read_vectors(path):
    """Comment lines at the top, and [heading, [(kind, field, value)], hex]."""
    top, vectors = [], []
    for line in open(path, encoding="utf-8"):
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "message":
            vectors.append([rest, [], ""])
        elif word in PACK:
            name, _, value = rest.partition(" ")
            vectors[-1][1].append((word, name, value))
        elif word == "hex":
            vectors[-1][2] = rest
        elif word.startswith("#"):
            top.append(line)
    return top, vectors


def complete(document, vectors):
    known = {heading for heading, _, _ in vectors}
    vectors += [[heading, [], ""] for heading in document if heading not in known]
    vectors = [vector for vector in vectors if vector[0] in document]
    vectors.sort(key=lambda vector: vector[0].split()[1])
    for vector in vectors:
        rows = vector[1]
        vector[1] = [rows[i] if i < len(rows) and rows[i][:2] == field else
                     field + (SAMPLES[field[0]],)
                     for i, field in enumerate(document[vector[0]])]
        vector[2] = pack_body(vector[1])
    return vectors


def write(path, top, vectors):
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(top)
        for heading, fields, packed in vectors:
            out.write(f"\nmessage {heading}\n")
            out.writelines(f"{kind} {name} {value}\n" for kind, name, value in fields)
            out.write(f"hex {packed}\n")


def main():
    document_path, path = sys.argv[-2:]
    document = read_document(document_path)
    top, vectors = read_vectors(path)
    if sys.argv[1] == "--write":
        write(path, top, complete(document, vectors))
        return 0
    bad = 0
    for heading, fields, packed in vectors:
        if [row[:2] for row in fields] != document.get(heading):
            print(f"{heading}: other fields than in {document_path}")
            bad += 1
        elif pack_body(fields) != packed:
            print(f"{heading}: expected {pack_body(fields)}, is {packed}")
            bad += 1
    missing = set(document) - {heading for heading, _, _ in vectors}
    print(f"{len(vectors)} vectors, {bad} differ, {len(missing)} messages have none")
    return 1 if bad or missing or not vectors else 0


if __name__ == "__main__":
    sys.exit(main())
