#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Prints the initialisers of the system call name table: what the compiler's <asm/unistd.h> defines for its target.

The numbers stay macros for the compiler to work out, so expressions and aliases of any architecture are fine.
Usage: syscalls.py CC [ARG...]
"""
import re
import subprocess
import sys

NO_CALLS = {"syscalls", "arch_specific_syscall"}  # a count and the start of a range

macros = subprocess.run(sys.argv[1:] + ["-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"],
                        check=True, capture_output=True, text=True).stdout
names = set(re.findall(r"^#define __NR_([a-z_][a-z0-9_]*) ", macros, re.MULTILINE)) - NO_CALLS
if "read" not in names:
    sys.exit("syscalls.py: <asm/unistd.h> defines no __NR_read")
for name in sorted(names):
    print(f'[__NR_{name}] = "{name}",')
