#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes the headers that every program may include as a C table: embed.py NAME=FILE… (NAME as #include spells it)"""
import sys


def literal(data):
    """A C string literal a source line; octal escapes keep every byte."""
    out = []
    for line in data.splitlines(keepends=True):
        text = "".join(chr(c) if 32 <= c < 127 and c not in b'"\\?' else f"\\{c:03o}" for c in line)
        out.append(f'"{text}"')
    return "\n".join(out) or '""'


print('#include <build/bundle.h>\n')
print("const struct bundled_header ab_bundled_headers[] = {")
for argument in sys.argv[1:]:
    name, path = argument.split("=", 1)
    with open(path, "rb") as f:
        data = f.read()
    print(f'{{ "{name}", {len(data)},\n{literal(data)} }},')
print("{ NULL, 0, NULL } };")
