#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Lays the compiler process's code out by how often it runs, with LLVM's BOLT: a compile then takes a fifth less time.

  layout.py apply BOLT PROGRAM PROFILE OUTPUT   what the build does; without luck the program stays as it is, with a warning
  layout.py train BOLT PROGRAM PROFILE ANYBPF   makes the profile: compiles the tools and the benchmark's sources (some minutes)

A profile counts the branches of one release of clang as one distribution built it; names and offsets that a program does not have
are ignored. It is xz-compressed text of four parts, each with a line for each function: names; where its branches are, each
relative to the last, and where they go, in hexadecimal: an offset in the function, or =NUMBER for the start of the
NUMBERth function; and the logarithms of their counts to base 2. Branches that are seldom taken are left out.
"""
import collections
import lzma
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SELDOM = 5e-8  # of all branches
OPTIONS = ["-lite", "-reorder-blocks=ext-tsp", "-reorder-functions=cdsort", "-split-functions", "-split-all-cold", "-split-eh", "-icf=1",
           "-use-gnu-stack"]


def pack(lines):
    """BOLT's profile as ours."""
    rows = [line.split() for line in lines if line.startswith("1 ")]
    rows = [(row[1], int(row[2], 16), row[4], int(row[5], 16), int(row[7])) for row in rows if row[3] == "1"]
    least = SELDOM * sum(row[4] for row in rows)
    branches = collections.defaultdict(list)
    for source, at, target, to, count in rows:
        if count >= least and (source == target or to == 0):
            branches[source].append((at, target, to, count.bit_length() - 1))
            branches[target]  # has a number too
    number = {name: i for i, name in enumerate(sorted(branches))}
    parts = list(number), [], [], []
    for name in number:
        found = sorted(branches[name])
        starts = [0, *(branch[0] for branch in found)]
        parts[1].append(" ".join(f"{at - last:x}" for at, last in zip(starts[1:], starts)))
        parts[2].append(" ".join(f"{to:x}" if target == name else f"={number[target]:x}" for _, target, to, _ in found))
        parts[3].append(" ".join(str(count) for *_, count in found))
    return lzma.compress("".join(line + "\n" for part in parts for line in part).encode(), preset=9 | lzma.PRESET_EXTREME)


def unpack(data):
    """Our profile as BOLT's."""
    lines = lzma.decompress(data).decode().split("\n")[:-1]
    names, steps, targets, counts = (lines[i * len(lines) // 4:(i + 1) * len(lines) // 4] for i in range(4))
    out = []
    for i, name in enumerate(names):
        at = 0
        for step, to, count in zip(steps[i].split(), targets[i].split(), counts[i].split()):
            at += int(step, 16)
            target, to = (names[int(to[1:], 16)], "0") if to.startswith("=") else (name, to)
            out.append(f"1 {name} {at:x} 1 {target} {to} 0 {1 << int(count)}\n")
    return "".join(out)


def place(program, output):
    """A rename: what a server runs cannot be written to."""
    with tempfile.NamedTemporaryFile(dir=pathlib.Path(output).resolve().parent, delete=False) as copy, open(program, "rb") as file:
        shutil.copyfileobj(file, copy)
    os.chmod(copy.name, 0o755)
    os.replace(copy.name, output)


def apply(bolt, program, profile, output):
    if not os.path.exists(profile):
        place(program, output)
        return
    with tempfile.TemporaryDirectory() as folder:
        plain, made = pathlib.Path(folder) / "profile", pathlib.Path(folder) / "made"
        plain.write_text(unpack(pathlib.Path(profile).read_bytes()))
        done = subprocess.run([bolt, program, "-o", made, f"-data={plain}", *OPTIONS], capture_output=True, text=True)
        if done.returncode == 0 and subprocess.run([made, "version"], stdout=subprocess.DEVNULL).returncode == 0:
            place(made, output)
        else:
            print(f"warning: {program} keeps its layout: {(done.stderr.strip() or 'it does not run').splitlines()[-1]}", file=sys.stderr)
            place(program, output)


def train(bolt, program, profile, anybpf):
    merge = shutil.which("merge-fdata", path=str(pathlib.Path(os.path.realpath(shutil.which(bolt) or bolt)).parent))
    if not merge:
        sys.exit(f"no merge-fdata beside {bolt}")
    sources = [*sorted((ROOT / "bench" / "corpus").glob("*.bpf.c")), *sorted((ROOT / "tools").glob("*.bpf.c"))]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # The counters are written when a program ends in the ordinary way; ours does not.
        (folder / "exit.c").write_text("void exit(int); void _exit(int status) { exit(status); for (;;); }\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", folder / "exit.so", folder / "exit.c"], check=True)
        (folder / "cc").write_text(f"#!/bin/sh\nLD_PRELOAD={folder}/exit.so exec {folder}/counting \"$@\"\n")
        os.chmod(folder / "cc", 0o755)
        subprocess.run([bolt, program, "-instrument", "-o", folder / "counting", f"--instrumentation-file={folder}/count",
                        "--instrumentation-file-append-pid"], check=True)
        for source in sources:
            subprocess.run([anybpf, "build", "-q", source, "-o", folder / "out.o"], check=True, env={**os.environ, "ANYBPF_CC": str(folder / "cc")})
            print(source.name, file=sys.stderr)
        counts = subprocess.run([merge, *folder.glob("count.*")], check=True, stdout=subprocess.PIPE, text=True).stdout
    pathlib.Path(profile).write_bytes(pack(counts.splitlines()))


if __name__ == "__main__":
    {"apply": apply, "train": train}[sys.argv[1]](*sys.argv[2:])
