#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The wire as docs/wire.md has it, seen from outside: test_link_python.py LINK_PROCESS EXAMPLES

Reads the frame vectors with nothing but the document's layouts and writes them again, then runs the
two examples against each other through a process of ours. Exit 77: pyzmq or msgpack is missing."""
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

try:
    import msgpack
    import zmq
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

PROCESS, EXAMPLES = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
VECTORS = pathlib.Path(__file__).parent / "vectors"
sys.path.insert(0, str(EXAMPLES))
import actor as example_actor  # noqa: E402


def rewrite(frame):
    """Parses a frame and packs what was found; also returns it."""
    magic, version, kind, count, sequence = struct.unpack_from("<4sBBHQ", frame)
    again, found = struct.pack("<4sBBHQ", magic, version, kind, count, sequence), []
    if kind in (1, 2):
        form = "<B3xIQI4x64s24s"
        found = struct.unpack_from(form, frame, 16)
        return again + struct.pack(form, *found), found
    if kind in (3, 5):
        found = struct.unpack_from("<H2x108s", frame, 16)
        return again + struct.pack("<H2x108s", *found), found
    at = 16
    for _ in range(count):
        form = "<IHHQQIIIIBB2x"
        head = struct.unpack_from(form, frame, at)
        at += 44
        size = 0 if head[1] & (8 | 16 | 32) else head[7]
        names = frame[at:at + head[9] + head[10]]
        at += len(names)
        again += struct.pack(form, *head) + names + frame[at:at + size]
        found.append((head, names, frame[at:at + size]))
        at += size
    return again, found


class Vectors(unittest.TestCase):
    def vector(self, name):
        frame = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
        again, found = rewrite(frame)
        self.assertEqual(frame, again, name)
        return found

    def test_every_vector_is_read_and_written_again(self):
        names = [path.stem for path in VECTORS.glob("*.hex")]
        self.assertGreaterEqual(len(names), 12)
        for name in names:
            self.vector(name)

    def test_fields_are_where_the_document_says(self):
        kind, pid, incarnation, body_max, name, program = self.vector("hello")
        self.assertEqual((kind, pid, incarnation, body_max), (2, 4242, 0x1122334455667788, 4 << 20))
        self.assertEqual((name.rstrip(b"\0"), program.rstrip(b"\0")), (b"example", b"0.1.0"))
        self.assertEqual(self.vector("refused")[0], 15)
        (head, names, body), = self.vector("request")
        self.assertEqual(head, (0x0101, 1, 0, 0x42, 0x0102030405060708, 30000, 0, 20, 0, 5, 0))
        self.assertEqual((names, msgpack.unpackb(body)),
                         (b"token", ["lab:me", 60000, "example", False]))
        (head, names, body), = self.vector("request_stream")
        self.assertEqual((head[6], names), (8, b"atlasaxon"))
        (head, _, body), = self.vector("status")
        self.assertEqual((head[1], head[2], head[8], body), (34, 1, 250, b""))
        (head, _, body), = self.vector("credit")
        self.assertEqual((head[1], head[3], head[7], body), (8, 0x42, 8, b""))
        self.assertEqual([message[0][1] for message in self.vector("batch")], [4, 2])


class Token(example_actor.Echo):
    """Stands in for a token actor: one profile."""

    def take(self, type_, flags, request, number, to, body):
        profile = msgpack.unpackb(body)[0]
        if profile == "lab:me":
            self.send(request, 2, 0x0102, [profile, 1, 1, "access-1", 0, 0, ""])
        else:
            self.send(request, 2, 0x0002, ["unknown_profile", f"no profile {profile}", "", 0, 0])


class Examples(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.socket = self.directory.name + "/home"
        self.home = self.start([PROCESS, "home", "listen", "ipc://" + self.socket,
                                "atlas", "py", "echo", "token", "py-keeper", "token"])
        self.assertEqual(self.home.stdout.readline(), "0\n")

    def tearDown(self):
        self.home.kill()
        self.home.communicate()
        self.directory.cleanup()

    def start(self, command):
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))

    def client(self, *arguments):
        process = self.start([sys.executable, EXAMPLES / "client.py", self.socket, *arguments])
        return process.communicate(timeout=20)[0], process.returncode

    def test_the_client_asks_the_actor(self):
        actor = self.start([sys.executable, EXAMPLES / "actor.py", self.socket, "py"])
        self.assertEqual(actor.stdout.readline(), "joined\n")
        text = " ".join(str(number) for number in range(200))
        self.assertEqual(self.client("ask", "atlas", text), (text + " \n", 0))
        output, code = self.client("ask", "nobody", "hello")
        self.assertEqual((output, code), ("status 2\n", 1))
        actor.kill()
        actor.communicate()
        self.assertEqual(self.client("ask", "atlas", "hello"), ("status 5\n", 1))

    def test_the_client_gets_a_token(self):
        link = example_actor.join(self.socket, "py-keeper")
        threading.Thread(target=example_actor.serve, args=(link, Token(link)),
                         daemon=True).start()
        self.assertEqual(self.client("token", "lab:me"), ("access-1\n", 0))
        self.assertEqual(self.client("token", "lab:you"), ("no profile lab:you\n", 1))

    def test_a_taken_name_is_refused_in_words(self):
        actor = self.start([sys.executable, EXAMPLES / "actor.py", self.socket, "py"])
        self.assertEqual(actor.stdout.readline(), "joined\n")
        second = self.start([sys.executable, EXAMPLES / "actor.py", self.socket, "py"])
        output, _ = second.communicate(timeout=20)
        self.assertEqual(output, f"refused: the name py is taken by process {actor.pid}\n")
        self.assertEqual(second.returncode, 1)
        actor.kill()
        actor.communicate()


if __name__ == "__main__":
    unittest.main()
