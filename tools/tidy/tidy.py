#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the link line and the compiler cannot see of the house style: tidy.py ROOT

Layers by #include, words a layer must not know, banned calls, the length of functions, lines and
files, first lines of files, and notes left behind. Prints `path:line: rule: what` for each and
exits 1 if there is any. It reads C as text; where that is not enough for a rule, the rule asks for
a form that can be read (a function's brace stands at the first column).
"""
import os
import re
import sys

FUNCTION_LINES, LINE_COLUMNS, FILE_LINES = 70, 100, 600

# Who may include what: header prefix -> folders. First match decides; tests/ and bench/ may use
# all third-party headers.
HEADER_RULES = (
    ("zmq", ("runtime/",)),
    ("msgpack", ("proto/",)),
    ("curl/", ("actors/http/", "actors/token/")),
    ("jansson.h", ("actors/token/", "actors/model/", "actors/agent/", "actors/session/",
                   "actors/practice/", "actors/control/", "tools/")),
    ("sodium", ("runtime/", "actors/", "tools/")),
    ("microhttpd.h", ("actors/practice/", "actors/door/", "actors/token/")),
    ("libwebsockets", ("actors/channel/",)),
    ("uthash.h", ("runtime/", "actors/", "tools/")),
    ("argp.h", ("tools/",)),
    ("cmocka.h", ()),
)
# Our own headers by layer: includer's folder -> include prefixes it must not use.
LAYER_RULES = (
    ("runtime/", r"(?!runtime/)[a-z_]+/"),
    ("proto/", r"(?!proto/)[a-z_]+/"),
    ("actors/common/", r"(?!runtime/|proto/|actors/)[a-z_]+/"),
)
SYSTEM_FOLDERS = {"sys", "netinet", "arpa", "linux", "net", "asm"}
# An actor shows its public headers (its config) to who starts it and to these; else by message.
ACTOR_FRIENDS = {"proxy": {"token"}, "agent": {"session"}, "practice": {"token"}}

RUNTIME_WORDS = ("oauth", "token", "llm", "model", "prompt", "openai", "anthropic")
BANNED_CALLS = ("strcpy strcat sprintf vsprintf atoi atol strtok gets rand srand time sleep usleep "
                "system popen alloca signal").split()
NOTES = ("FIX" + "ME", "TO" + "DO", "XX" + "X")
WORKPLACE = (r"(?<![\w.])/wo" + r"rk/", "/tmp/" + "wt", "helper " + "session", "sub" + "agent")
ROLE = "assis" + "tant"  # a role of the model APIs; anywhere else a word of another trade
ROLE_FOLDERS = re.compile(r"(tests/|bench/)?(actors/)?(model|agent|session|practice)/|"
                          r"tests/(e2e|fuzz)/|docs/|examples/|"
                          r"tests/actors/(model|agent|session|practice)/")

SPDX = "SPDX-License-Identifier: Apache-2.0"
C_SPDX = "/* " + SPDX + " */"
TEXT_ENDINGS = (".c", ".h", ".py", ".sh", ".txt", ".cmake", ".md", ".json", ".pml", ".yml")
SKIPPED_FOLDERS = {"build", "node_modules", "__pycache__"}


class Report:
    def __init__(self):
        self.lines = []

    def __call__(self, path, line, rule, what):
        self.lines.append(f"{path}:{line}: {rule}: {what}")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    """The text with comments and the insides of strings blanked; lines and columns stay."""
    pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    return re.sub(pattern, blank, text, flags=re.S)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_header_owner(path, line, header, report):
    if path.startswith(("tests/", "bench/")):
        return
    for prefix, folders in HEADER_RULES:
        if header.startswith(prefix):
            if not path.startswith(folders):
                owners = ", ".join(folders) or "tests/"
                report(path, line, "layer", f"<{header}> belongs to {owners}")
            return


def check_own_header(root, path, line, header, report):
    if "../" in header:
        report(path, line, "layer", f"\"{header}\": name the layer instead of walking there")
    folder = "/" + os.path.dirname(path)
    if header.endswith("internal.h") and not path.startswith("tests/") and \
            not folder.endswith(("/" + os.path.dirname(header)).rstrip("/")):
        report(path, line, "layer", f"\"{header}\" is private to its folder and its tests")
    for folder, pattern in LAYER_RULES:
        if path.startswith(folder) and re.match(pattern, header):
            report(path, line, "layer", f"{folder} must not include \"{header}\"")
    here = re.match(r"actors/(\w+)/", path)
    there = re.match(r"(\w+)/", header)
    if not here or not there or here[1] == "common":
        return
    if there[1] in ("runtime", "proto", "actors", here[1]):
        return
    # Folders inside an actor's own are its parts; which of them knows which, the link lines say.
    own_part = os.path.isdir(os.path.join(root, "actors", here[1], there[1]))
    if not own_part and there[1] not in ACTOR_FRIENDS.get(here[1], set()):
        report(path, line, "layer", f"actors speak by message: \"{header}\" is another's inside")


def check_includes(root, path, text, report):
    for match in re.finditer(r"^\s*#\s*include\s*([<\"])([^>\"]+)", text, re.M):
        line = line_of(text, match.start(2))
        check_header_owner(path, line, match[2], report)
        if match[1] == '"' and match[2].split("/")[0] not in SYSTEM_FOLDERS:
            check_own_header(root, path, line, match[2], report)


def check_calls(path, code, report):
    pattern = r"(?<![\w.>])(" + "|".join(BANNED_CALLS) + r")\s*\("
    for match in re.finditer(pattern, code):
        report(path, line_of(code, match.start()), "banned", match[1])


def check_functions(path, code, report):
    lines = code.split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if re.match(r"[A-Za-z_].*\)\s*\{\s*$", line) and not line.startswith("#"):
            report(path, number, "form", "a function's brace stands alone at the first column")
        if line.startswith("{") and start is None:
            start = number
            while start > 1 and re.match(r"[\w\s]", lines[start - 2]) and lines[start - 2].strip():
                start -= 1
        elif line.startswith("}") and start is not None:
            if number - start + 1 > FUNCTION_LINES:
                report(path, start, "length", f"a function of {number - start + 1} lines")
            start = None


def check_lengths(path, text, report):
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS:
            report(path, number, "length", f"a line of {len(line)} columns")
        if "\t" in line:
            report(path, number, "form", "a tab")
    if len(lines) - 1 > FILE_LINES:
        report(path, len(lines) - 1, "length", "a file too long; split it by idea")


def check_words(path, text, report):
    for number, line in enumerate(text.split("\n"), 1):
        for word in NOTES:
            if re.search(r"\b" + word + r"\b", line):
                report(path, number, "note", "left behind: " + word)
        for pattern in WORKPLACE:
            if re.search(pattern, line, re.I):
                report(path, number, "workplace", "speaks of where it was made")
        if ROLE in line.lower() and not ROLE_FOLDERS.match(path):
            report(path, number, "workplace", ROLE)
        if path.startswith("runtime/"):
            pattern = r"(?<![a-z])(" + "|".join(RUNTIME_WORDS) + r")s?(?![a-z])"
            for match in re.finditer(pattern, line, re.I):
                report(path, number, "layer", f"runtime/ must not know the word {match[1]}")


def check_first_lines(path, text, report):
    first = text.split("\n", 2)
    if path.endswith((".c", ".h")) and first[0] != C_SPDX:
        report(path, 1, "licence", "the first line is " + C_SPDX)
    if path.endswith((".py", ".sh")) and SPDX not in "\n".join(first[:2]):
        report(path, 1, "licence", "the first or second line is # " + SPDX)
    if path.endswith(".h"):
        if not re.search(r"^#pragma once$", text, re.M):
            report(path, 1, "form", "a header has #pragma once")
        if re.search(r"^#\s*ifndef \w+_H_?$", text, re.M):
            report(path, 1, "form", "#pragma once, not a guard macro")


def check_cmake(path, text, report):
    for match in re.finditer(r"queenright_\w+\(([^)]*)\)", text):
        shown = re.search(r"MAY_USE\b(.*?)(WRAPS|SOURCES|TIMEOUT|LABELS|$)", match[1], re.S)
        if shown and "PkgConfig::" in shown[1]:
            report(path, line_of(text, match.start()), "layer", "third-party libraries are WRAPS")
    for match in re.finditer(r"^[^#\n]*target_link_libraries\([^)]*PUBLIC[^)]*PkgConfig::", text,
                             re.M):
        report(path, line_of(text, match.start()), "layer", "third-party libraries are PRIVATE")


def check_file(root, path, report):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        text = file.read()
    check_words(path, text, report)
    if path.endswith((".c", ".h", ".py", ".sh")):
        check_lengths(path, text, report)
        check_first_lines(path, text, report)
    if path.endswith((".c", ".h")):
        code = code_only(text)
        check_includes(root, path, text, report)
        check_calls(path, code, report)
        check_functions(path, code, report)
    if path.endswith(("CMakeLists.txt", ".cmake")):
        check_cmake(path, text, report)


def files_of(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS
                            and not f.startswith((".git", ".cache")))
        for name in sorted(names):
            if name.endswith(TEXT_ENDINGS):
                yield os.path.relpath(os.path.join(folder, name), root)


def main(root):
    report, count = Report(), 0
    for path in files_of(root):
        check_file(root, path, report)
        count += 1
    print("\n".join(report.lines + [f"{count} files, {len(report.lines)} findings"]))
    return 1 if report.lines or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
