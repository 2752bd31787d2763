#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes the headers that every program may include as a C table: embed.py NAME=FILE… (NAME as #include spells it)

Comments after the first, which has the licence, become blank lines: nine tenths of bpf_helper_defs.h are manual.
"""
import re
import sys

TOKENS = re.compile(rb'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', re.S)


def literal(data):
    """A C string literal a source line; octal escapes keep every byte."""
    out = []
    for line in data.splitlines(keepends=True):
        text = "".join(chr(c) if 32 <= c < 127 and c not in b'"\\?' else f"\\{c:03o}" for c in line)
        out.append(f'"{text}"')
    return "\n".join(out) or '""'


def without_comments(data):
    seen = 0

    def replace(match):
        nonlocal seen
        text = match.group()
        if text.startswith(b'"'):
            return text
        seen += 1
        newline = b"\\\n" if b"\\\n" in text else b"\n"  # in a macro the lines go on
        return text if seen == 1 else b" " + newline * text.count(b"\n")

    return re.sub(rb"[ \t]+\n", b"\n", TOKENS.sub(replace, data))


print('#include <build/bundle.h>\n')
print("const struct bundled_header ab_bundled_headers[] = {")
for argument in sys.argv[1:]:
    name, path = argument.split("=", 1)
    with open(path, "rb") as f:
        data = without_comments(f.read())
    print(f'{{ "{name}", {len(data)},\n{literal(data)} }},')
print("{ NULL, 0, NULL } };")
