#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No mutable globals: globals.py LIBRARY... looks into built libraries with objdump.

Many runtimes live in one process, and the simulator runs a swarm in one, so nothing outside a
state may change. Constant tables of pointers are in .data.rel.ro and fine. One exception: the free
messages of a worker thread belong to the thread; message_free has nothing else to find them by.
"""
import os
import re
import subprocess
import sys

ALLOWED = {("message.c.o", "thread_pool"), ("wipe.c.o", "refusals")}


def mutable_objects(library):
    listing = subprocess.run(["objdump", "-t", library], capture_output=True, text=True,
                             check=True).stdout
    member = library
    for line in listing.splitlines():
        heading = re.match(r"(\S+\.o):\s+file format", line)
        if heading:
            member = heading[1]
        found = re.search(r"\s(\.t?data|\.t?bss|\*COM\*)(\.(?!rel\.ro)\S+)?\t\w+\s+(\S+)$", line)
        if (found and not found[3].startswith(".") and
                (os.path.basename(member), found[3]) not in ALLOWED):
            yield f"{member}: {found[3]} is a global that can change ({found[1]})"


def main():
    findings = [line for library in sys.argv[1:] for line in mutable_objects(library)]
    print("\n".join(findings + [f"{len(sys.argv) - 1} libraries, {len(findings)} findings"]))
    return 1 if findings or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
