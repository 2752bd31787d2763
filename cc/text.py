#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes a file as a C string literal, a line a line: text.py FILE"""
import sys

for line in open(sys.argv[1], encoding="utf-8"):
    print('"' + line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"') + '\\n"')
