#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checks are themselves checked: each row plants one violation in a tidy little tree and
expects exactly that finding. test_tidy.py TOOLS_TIDY_FOLDER CC"""
import contextlib
import io
import os
import runpy
import subprocess
import sys
import tempfile

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
FUNCTION = "static int one(void)\n{\n%s    return 1;\n}\n"
ONCE = "#pragma once\n"

TIDY_TREE = {
    "runtime/mailbox.c": SPDX + "#include <zmq.h>\n#include \"runtime/actor.h\"\n"
                         "/* strcpy( in a comment, tokenise and remodelled are no matter */\n"
                         + FUNCTION % "    const char *s = \"system(\";\n    port->time(s);\n"
                         + FUNCTION % ("    one();\n" * 66),
    "runtime/include/runtime/actor.h": SPDX + ONCE,
    "tools/a/view/view.c": SPDX + "#include \"a/view/internal.h\"\n",
    "proto/pack.c": SPDX + "#include <msgpack/pack.h>\n#include \"proto/schema.h\"\n",
    "actors/token/token.c": SPDX + "#include <curl/curl.h>\n#include \"token/store.h\"\n"
                            "#include \"step/inside.h\"\n",
    "actors/token/step/inside.h": SPDX + ONCE,
    "actors/token/step/step.c": SPDX + "#include \"step_internal.h\"\n",
    "tests/test_step.c": SPDX + "#include \"step/step_internal.h\"\n",
    "actors/model/model.c": SPDX + "/* the " + "assis" + "tant's turn */\n",
    "tests/test_a.c": SPDX + "#include <msgpack.h>\n#include <cmocka.h>\n",
    "CMakeLists.txt": "queenright_library(a SOURCES a.c MAY_USE proto WRAPS PkgConfig::zmq)\n",
    "README.md": "Work goes on. " + "x" * 200 + "\n",
}

# (path, text, rule, piece of the finding)
PLANTED = (
    ("proto/a.c", SPDX + "#include <zmq.h>\n", "layer", "zmq.h"),
    ("actors/agent/a.c", SPDX + "#include <msgpack.h>\n", "layer", "msgpack.h"),
    ("actors/model/a.c", SPDX + "#include <curl/curl.h>\n", "layer", "curl/curl.h"),
    ("runtime/a.c", SPDX + "#include <jansson.h>\n", "layer", "jansson.h"),
    ("proto/a.c", SPDX + "#include <sodium.h>\n", "layer", "sodium.h"),
    ("actors/model/a.c", SPDX + "#include <microhttpd.h>\n", "layer", "microhttpd.h"),
    ("actors/model/a.c", SPDX + "#include <cmocka.h>\n", "layer", "cmocka.h"),
    ("runtime/a.c", SPDX + "#include \"proto/schema.h\"\n", "layer", "proto/schema.h"),
    ("proto/a.c", SPDX + "#include \"runtime/actor.h\"\n", "layer", "runtime/actor.h"),
    ("actors/common/a.c", SPDX + "#include \"token/store.h\"\n", "layer", "token/store.h"),
    ("actors/model/a.c", SPDX + "#include \"token/store.h\"\n", "layer", "by message"),
    ("actors/model/a.c", SPDX + "#include \"step/inside.h\"\n", "layer", "by message"),
    ("actors/model/a.c", SPDX + "#include \"../http/http.h\"\n", "layer", "walking"),
    ("actors/token/a.c", SPDX + "#include \"step/step_internal.h\"\n", "layer", "private"),
    ("runtime/a.c", SPDX + "/* like a Token */\n", "layer", "the word Token"),
    ("runtime/a.c", SPDX + "int on_token_get;\n", "layer", "the word token"),
    ("runtime/a.c", SPDX + "/* LLMs */\n", "layer", "the word LLM"),
    ("runtime/a.c", SPDX + "int a = strlen(\"open" + "ai\");\n", "layer", "the word openai"),
    ("proto/a.c", SPDX + "int a = atoi(b);\n", "banned", "atoi"),
    ("proto/a.c", SPDX + "int a = time (NULL);\n", "banned", "time"),
    ("tests/a.c", SPDX + "int a = sleep(1);\n", "banned", "sleep"),
    ("proto/a.c", SPDX + FUNCTION % ("    one();\n" * 67), "length", "a function of 71"),
    ("proto/a.c", SPDX + "int one(void) {\n    return 1;\n}\n", "form", "brace"),
    ("proto/a.c", SPDX + "/* " + "x" * 95 + " */\n", "length", "a line of 101"),
    ("proto/a.c", SPDX + "int a;\n" * 600, "length", "file too long"),
    ("proto/a.c", SPDX + "\tint a;\n", "form", "tab"),
    ("proto/a.c", SPDX + "/* " + "FIX" + "ME later */\n", "note", "left behind"),
    ("README.md", "TO" + "DO: more\n", "note", "left behind"),
    ("cmake/a.cmake", "# XX" + "X\n", "note", "left behind"),
    ("docs/a.md", "see /wo" + "rk/main\n", "workplace", "where it was made"),
    ("tests/a.sh", "# " + SPDX[3:-4] + "\ncd /tmp/" + "wt\n", "workplace", "where it was made"),
    ("proto/a.c", SPDX + "/* ask the sub" + "agent */\n", "workplace", "where it was made"),
    ("proto/a.c", SPDX + "/* an assis" + "tant */\n", "workplace", "assis"),
    ("proto/a.c", "int a;\n", "licence", "first line"),
    ("tests/a.py", "print()\n", "licence", "first or second"),
    ("proto/a.h", SPDX + "int a;\n", "form", "pragma once"),
    ("proto/a.h", SPDX + ONCE + "#ifndef A_H\n", "form", "guard macro"),
    ("a/CMakeLists.txt", "queenright_library(a SOURCES a.c MAY_USE PkgConfig::curl)\n", "layer",
     "WRAPS"),
    ("a/CMakeLists.txt", "target_link_libraries(a PUBLIC PkgConfig::curl)\n", "layer", "PRIVATE"),
)


def run_tidy(tools, tree):
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = runpy.run_path(os.path.join(tools, "tidy.py"))["main"](root)
        return code, out.getvalue().splitlines()[:-1]


def check_planted(tools, row):
    path, text, rule, piece = row
    code, findings = run_tidy(tools, {**TIDY_TREE, path: text})
    found = (len(findings) == 1 and findings[0].startswith(path + ":")
             and f": {rule}: " in findings[0] and piece in findings[0])
    return [] if code == 1 and found else [f"planted {rule} ({piece}) in {path}: {findings}"]


def check_globals(tools, cc, source, expected):
    with tempfile.TemporaryDirectory() as root:
        path = os.path.join(root, "a.c")
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        subprocess.run([cc, "-fPIE", "-c", path, "-o", path + ".o"], check=True)
        done = subprocess.run([sys.executable, os.path.join(tools, "globals.py"), path + ".o"],
                              capture_output=True, text=True, check=False)
        good = done.returncode == (1 if expected else 0) and expected in done.stdout
        return [] if good else [f"globals of {source!r}: {done.stdout}"]


def main():
    tools, cc = sys.argv[1:3]
    code, findings = run_tidy(tools, TIDY_TREE)
    faults = [] if code == 0 else [f"the tidy tree: {findings}"]
    faults += [] if run_tidy(tools, {})[0] == 1 else ["an empty tree passes"]
    for row in PLANTED:
        faults += check_planted(tools, row)
    faults += check_globals(tools, cc, "static int n; int f(void) { return ++n; }", "n is a global")
    faults += check_globals(tools, cc, "int count = 3;", "count is a global")
    faults += check_globals(tools, cc, "_Thread_local int t = 1;", "t is a global")
    faults += check_globals(tools, cc, "const int a = 1; const char *const names[] = {\"x\"};", "")
    print("\n".join(faults + [f"{len(PLANTED) + 6} checks, {len(faults)} failed"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
