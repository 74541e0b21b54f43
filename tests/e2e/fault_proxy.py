# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that breaks connections on purpose, byte by byte.

It stands between a client and a server on loopback. Each connection takes the next plan from a
queue, and without one it passes untouched. A plan acts once, when exactly `at` bytes have gone its
way ("request": client to server, "answer": server to client):

    cut        both sides are closed; the bytes before got through
    reset      both sides are reset; the bytes just before may be lost with it
    stall      nothing more goes this way for `pause_s`, then all
    slow       from here on a byte at a time
    duplicate  when the exchange is over, the same request is sent once more, on a connection of its
               own, and its answer thrown away: what a retrying box in between does

A plan tells afterwards what happened: `acted`, the bytes that passed each way, and whether these
were a whole HTTP message (`is_whole`)."""
import collections
import re
import select
import socket
import struct
import threading
import time

ANSWER_WAIT_S = 5
KINDS = ("cut", "reset", "stall", "slow", "duplicate")


class Plan:
    def __init__(self, kind, direction, at, pause_s=0.3):
        assert kind in KINDS and direction in ("request", "answer")
        self.kind, self.direction, self.at, self.pause_s = kind, direction, at, pause_s
        self.passed = {"request": b"", "answer": b""}
        self.acted = False
        self.over = threading.Event()

    def is_whole(self, direction):
        """With its head and as many bytes of body as that declares."""
        head, end, body = self.passed[direction].partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.I)
        return bool(end) and len(body) >= int(length.group(1) if length else 0)

    def __repr__(self):
        passed = {direction: len(data) for direction, data in self.passed.items()}
        return f"{self.kind} at {self.direction} byte {self.at} (passed {passed})"


class Connection:
    """One client's connection and the one made for it. One thread, so that a reset is one."""

    def __init__(self, proxy, client, plan):
        self.proxy, self.client, self.plan = proxy, client, plan
        self.passed = plan.passed if plan else {"request": b"", "answer": b""}
        self.server = None

    def run(self):
        try:
            if not (self.plan and self.plan.at == 0 and self.act("request")):
                self.server = socket.create_connection(("127.0.0.1", self.proxy.server_port))
                self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.pump()
        except OSError:
            pass  # one side went first; what passed is counted
        finally:
            self.close()
        try:
            if self.plan and self.plan.kind == "duplicate" and self.plan.acted:
                self.send_again()
        except OSError:
            pass
        if self.plan:
            self.plan.over.set()

    def pump(self):
        ways = {self.client: ("request", self.server), self.server: ("answer", self.client)}
        poller = select.poll()  # select() ends at descriptor 1023
        by_number = {side.fileno(): side for side in ways}
        for number in by_number:
            poller.register(number, select.POLLIN)
        while ways:
            for number, _ in poller.poll():
                source = by_number[number]
                direction, sink = ways[source]
                data = source.recv(65536)
                if not data:
                    del ways[source]
                    poller.unregister(number)
                    sink.shutdown(socket.SHUT_WR)
                elif not self.forward(direction, data, sink):
                    return

    def forward(self, direction, data, sink):
        """False when the connection is gone."""
        planned = self.plan and self.plan.direction == direction
        while data:
            piece = len(data)
            if planned and not self.plan.acted:
                piece = self.plan.at - len(self.passed[direction])
            elif planned and self.plan.kind == "slow":
                piece = 1
                time.sleep(0.0005)
            sink.sendall(data[:piece])
            self.passed[direction] += data[:piece]
            data = data[piece:]
            if planned and len(self.passed[direction]) == self.plan.at and self.act(direction):
                return False
        return True

    def act(self, direction):
        """Does what is planned, once. True: the connection is gone."""
        plan = self.plan
        if plan.direction != direction or plan.acted:
            return False
        plan.acted = True
        if plan.kind == "stall":
            time.sleep(plan.pause_s)
        if plan.kind in ("cut", "reset"):
            self.close(plan.kind == "reset")
        return plan.kind in ("cut", "reset")

    def close(self, reset=False):
        for side in (self.client, self.server):
            if side is not None and side.fileno() >= 0:
                if reset:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                side.close()

    def send_again(self):
        with socket.create_connection(("127.0.0.1", self.proxy.server_port)) as again:
            again.settimeout(ANSWER_WAIT_S)
            again.sendall(self.passed["request"])
            while again.recv(65536):
                pass


class FaultProxy:
    """Listens on a port of its own from the start; end() ends it."""

    def __init__(self, server_port):
        self.server_port = server_port
        self.plans = collections.deque()
        self.connections = 0
        self.last_passed = None
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plan = self.plans.popleft() if self.plans else None
            connection = Connection(self, client, plan)
            self.last_passed = connection.passed
            self.connections += 1
            threading.Thread(target=connection.run, daemon=True).start()

    def end(self):
        self.socket.close()
