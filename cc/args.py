#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes the fixed `clang -cc1` arguments of one clang release as a C array, by asking its driver: args.py CLANG

The worker then needs no driver, and still compiles exactly as that clang would.
"""
import shlex
import subprocess
import sys

DROPPED_WITH_VALUE = {"-triple", "-main-file-name", "-target-cpu", "-o", "-x"}
DROPPED_PREFIXES = ("-gkey-instructions", "-fdebug-compilation-dir=", "-fcoverage-compilation-dir=")


def main():
    said = subprocess.run([sys.argv[1], "-###", "-g", "-O2", "--target=bpfel", "-mcpu=v1", "-x", "c", "-c", "/dev/null",
                           "-o", "object.o"],
                          check=True, capture_output=True, text=True).stderr
    line = next(line for line in said.splitlines() if '"-cc1"' in line)
    words = iter(shlex.split(line)[2:])
    kept = []
    for word in words:
        if word in DROPPED_WITH_VALUE:
            next(words)
        elif word != "/dev/null" and not word.startswith(DROPPED_PREFIXES):
            kept.append(word)
    for word in kept:
        print('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '",')


main()
