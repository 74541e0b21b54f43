#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second implementation of the wire form, from docs/PROTOCOL.md alone: packs each vector's values
and compares with its bytes. `check.py --write FILE` fills in the bytes instead."""
import json
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
        if mark and len(data) < 1 << top:
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


def pack_array(fields):
    count = len(fields)
    head = bytes([0x90 | count]) if count < 16 else struct.pack(">BH", 0xDC, count)
    return head + b"".join(fields)


def main():
    write = sys.argv[1] == "--write"
    path = sys.argv[-1]
    fields, out, bad, count = [], [], 0, 0
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "message":
            fields = []
        elif word in PACK:
            fields.append(PACK[word](rest.partition(" ")[2]))
        elif word == "hex":
            count += 1
            packed = pack_array(fields).hex()
            if write:
                line = f"hex {packed}\n"
            elif packed != rest:
                bad += 1
                print(f"{path}:{number}: expected {packed}")
        out.append(line)
    if write:
        open(path, "w", encoding="utf-8").writelines(out)
    print(f"{count} vectors, {bad} differ")
    return 1 if bad or not count else 0


if __name__ == "__main__":
    sys.exit(main())
