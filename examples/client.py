#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ask a running swarm for an access token, or ask an agent: client.py SOCKET token PROFILE
                                                             client.py SOCKET ask AGENT TEXT
docs/wire.md and docs/PROTOCOL.md describe every byte and field used here."""
import os
import struct
import sys

import msgpack
import zmq

REQUEST, ANSWER, PART, CREDIT, STATUS = 1, 2, 4, 8, 32
FRAME, HELLO, MESSAGE = "<4sBBHQ", "<B3xIQI4x64s24s", "<IHHQQIIIIBB2x"


def connect(path):
    link = zmq.Context.instance().socket(zmq.DEALER)
    link.setsockopt(zmq.LINGER, 200)
    link.setsockopt(zmq.RCVTIMEO, 180000)
    link.connect("ipc://" + path)
    name = f"example-{os.getpid()}".encode()
    link.send(struct.pack(FRAME, b"QRLK", 1, 1, 0, 0) +
              struct.pack(HELLO, 2, os.getpid(), os.getpid(), 1 << 22, name, b"example"))
    frame = link.recv()
    if frame[5] != 2:
        sys.exit("refused: " + frame[20:].rstrip(b"\0").decode())
    return link


def call(link, to, kind, fields, on_part=None, sequence=1):
    """One request; returns (type, fields) of its answer."""
    def send(flags, size, part=0, to=b"", body=b"", type_=0):
        nonlocal sequence
        link.send(struct.pack(FRAME, b"QRLK", 1, 4, 1, sequence) + struct.pack(
            MESSAGE, type_, flags, 0, 1, 0, 0, part, size, 0, len(to), 0) + to + body)
        sequence += 1
    body = msgpack.packb(fields)
    send(REQUEST, len(body), 32 if on_part else 0, to.encode(), body, kind)
    while True:
        frame, at = link.recv() or bytes(16), 16
        for _ in range(struct.unpack_from("<H", frame, 6)[0]):
            type_, flags, status, _, _, _, _, size, _, to_size, from_size = struct.unpack_from(
                MESSAGE, frame, at)
            at += 44 + to_size + from_size
            if flags & STATUS:
                sys.exit(f"status {status}")
            answer = msgpack.unpackb(frame[at:at + size], strict_map_key=False)
            at += size
            if not flags & PART:
                return type_, answer
            on_part(answer)
            send(CREDIT, 1)


def main():
    link, what = connect(sys.argv[1]), sys.argv[2]
    if what == "token":
        kind, fields = call(link, "token", 0x0101, [sys.argv[3], 0, "example", False])
        print(fields[3] if kind == 0x0102 else fields[1])
    else:
        kind, fields = call(link, sys.argv[3], 0x0301, ["", sys.argv[4], "user", ""],
                            lambda delta: print(delta[0], end="", flush=True))
        print("" if kind == 0x0303 else fields[1])
    return 1 if kind == 2 else 0


if __name__ == "__main__":
    sys.exit(main())
