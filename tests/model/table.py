#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""table.py MODEL.pml FOLDER: the model's table maps its steps to functions of the program, as
"path.c: function function; path.c: function". Each must be defined there, below FOLDER."""
import os
import re
import sys


def main():
    model, folder = sys.argv[1:]
    with open(model, encoding="utf-8") as file:
        table = re.search(r"Step here.*?\n(.*?)\n \*\n", file.read(), re.S).group(1)
    missing, count = [], 0
    for path, names in re.findall(r"([\w/]+\.c): ((?:\w+ ?)+)", table):
        with open(os.path.join(folder, path), encoding="utf-8") as file:
            source = file.read()
        for name in names.split():
            count += 1
            if not re.search(rf"^\w[\w *]*\b{name}\([^;]*?\)\n{{", source, re.M):
                missing.append(f"{model}: {path} defines no {name}")
    print("\n".join(missing) or f"{count} functions, all there")
    sys.exit(1 if missing or not count else 0)


main()
