#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes docs/tools.md from what each tool says of itself: the comment it opens with, and its parameters' help.

    tools/doc.py > docs/tools.md
"""
import pathlib
import re

BAR = r"\|"
HEAD = """# Tools

One file each in `tools/`, over `bpf/anybpf.bpf.h`. `anybpf run tools/NAME.bpf.c` compiles and runs it, `anybpf build`
makes an object to take elsewhere, `--json` gives one object a line. Parameters are options: `--min-us 1000`. This page is
made by `tools/doc.py`.
"""


def describe(path):
    text = path.read_text()
    comment = re.search(r"/\*\n((?: \*.*\n)+?) \*/\n#include", text).group(1)
    lines = [line[3:] if line.startswith(" * ") else line[2:] for line in comment.splitlines()]
    name, _, first = lines[0].partition(": ")
    body = ["    " + line.removeprefix("\t").expandtabs(8) if line.startswith("\t") else line for line in lines[1:]]
    title = first
    while body and body[0]:
        title += " " + body.pop(0)
    parts = [f"## {name}\n", title[0].upper() + title[1:], *body]
    params = re.findall(r"^AB_PARAM\((\w+), (\w+), (\S+), \"(.*)\"\);", text, re.M)
    rows = [f"| `--{p.replace('_', '-')}` | {kind} | {default} | {help.replace('|', BAR)} |"
            for kind, p, default, help in params]
    if re.search(r"^AB_TARGET_PID\(", text, re.M):
        rows.insert(0, "| `--pid` | pid_t | 0 | only this process; 0: all |")
    if rows:
        parts += ["", "| option | type | default | |", "|---|---|---|---|", *rows]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    tools = sorted(pathlib.Path(__file__).resolve().parent.glob("*.bpf.c"))
    print("\n".join([HEAD, *map(describe, tools)]), end="")
