#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Join a running swarm as an actor: actor.py SOCKET NAME. Agents then reach it as `echo` in the
process NAME; it answers agent_ask with the text it was asked, a word a part. Ends with its link."""
import os
import struct
import sys

import msgpack
import zmq

REQUEST, ANSWER, PART, CREDIT, CANCEL, STATUS = 1, 2, 4, 8, 16, 32
FRAME, HELLO, MESSAGE = "<4sBBHQ", "<B3xIQI4x64s24s", "<IHHQQIIIIBB2x"
AGENT_ASK, AGENT_DELTA, AGENT_ANSWER, NO_ACTOR, UNKNOWN_TYPE = 0x0301, 0x0302, 0x0303, 2, 7


def join(path, name):
    link = zmq.Context.instance().socket(zmq.DEALER)
    link.setsockopt(zmq.LINGER, 200)
    link.connect("ipc://" + path)
    link.send(struct.pack(FRAME, b"QRLK", 1, 1, 0, 0) + struct.pack(
        HELLO, 2, os.getpid(), os.getpid(), 1 << 22, name.encode(), b"example"))
    frame = link.recv()
    if frame[5] != 2:
        sys.exit("refused: " + frame[20:].rstrip(b"\0").decode())
    return link


class Echo:
    """The actor. `open` has the streams under way: request ->
    [words left, credit, parts sent, text]."""

    def __init__(self, link):
        self.link, self.open, self.sequence = link, {}, 0

    def send(self, request, flags, type_=0, fields=None, status=0, part=0):
        body = msgpack.packb(fields) if fields is not None else b""
        self.sequence += 1
        self.link.send(struct.pack(FRAME, b"QRLK", 1, 4, 1, self.sequence) + struct.pack(
            MESSAGE, type_, flags, status, request, 0, 0, part, len(body), 0, 0, 0) + body)

    def answer(self, request, text):
        self.send(request, ANSWER, AGENT_ANSWER, [text, "echo", "", 1, 0, 0, ""])

    def go_on(self, request):
        """Sends parts as far as credit goes, and after the last the answer."""
        stream = self.open[request]
        while stream[0] and stream[1]:
            self.send(request, PART, AGENT_DELTA, [stream[0].pop(0) + " "], part=stream[2])
            stream[1], stream[2] = stream[1] - 1, stream[2] + 1
        if not stream[0]:
            del self.open[request]
            self.answer(request, stream[3])

    def take(self, type_, flags, request, number, to, body):
        """One message; `number` is the credit it brings."""
        if flags & CREDIT and request in self.open:
            self.open[request][1] += number
            self.go_on(request)
        elif flags & CANCEL:
            self.open.pop(request, None)
        elif flags & REQUEST and to != b"echo":
            self.send(request, ANSWER | STATUS, status=NO_ACTOR)
        elif flags & REQUEST and type_ != AGENT_ASK:
            self.send(request, ANSWER | STATUS, status=UNKNOWN_TYPE)
        elif flags & REQUEST and number == 0:
            self.answer(request, msgpack.unpackb(body)[1])
        elif flags & REQUEST:
            text = msgpack.unpackb(body)[1]
            self.open[request] = [text.split(), number, 0, text]
            self.go_on(request)


def serve(link, actor):
    while True:
        frame, at = link.recv() or bytes(16), 16
        if frame[5] == 5:
            return 0
        for _ in range(struct.unpack_from("<H", frame, 6)[0]):
            type_, flags, _, request, _, _, part, size, _, to_size, from_size = struct.unpack_from(
                MESSAGE, frame, at)
            to = frame[at + 44:at + 44 + to_size]
            at += 44 + to_size + from_size
            body = frame[at:at + size] if not flags & (CREDIT | CANCEL) else b""
            at += len(body)
            actor.take(type_, flags, request, size if flags & CREDIT else part, to, body)


def main():
    link = join(sys.argv[1], sys.argv[2])
    print("joined", flush=True)
    return serve(link, Echo(link))


if __name__ == "__main__":
    sys.exit(main())
