# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""anybpfd(8) from its text and from what the program says of its configuration: man.py TEXT PROGRAM > anybpfd.8"""
import re
import subprocess
import sys


def inline(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = re.sub(r"\*\*(.+?)\*\*|`(.+?)`", lambda m: f"\\fB{m[1] or m[2]}\\fR", text)
    text = re.sub(r"\*(\w.*?)\*", r"\\fI\1\\fR", text)
    return "\\&" + text if text.startswith(".") else text


def config_rows(text):
    """Each key with its meaning and default, out of the commented file."""
    section, meaning = "", ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif line.startswith("# "):
            meaning = line[2:]
        elif line.startswith("#"):
            key, value = line[1:].split(" = ", 1)
            default = "" if value in ('""', "[]") else f" Default: {value}."
            yield f".TP\n.B {inline(section + key)}\n{inline(meaning + '.' + default)}"


def main(path, program):
    out, code = ['.TH ANYBPFD 8 "" "anybpf" "anybpf"'], False
    synopsis = False
    for line in open(path):
        line = line.rstrip("\n")
        if line == "```":
            code = not code
            out.append(".nf" if code else ".fi")
        elif line.startswith("# "):
            out.append(".SH " + line[2:])
            synopsis = line == "# SYNOPSIS"
        elif line == "@config@":
            out += config_rows(subprocess.run([program, "--print-config"], check=True, capture_output=True, text=True).stdout)
        elif synopsis and line:
            out += [inline(line), ".br"]
        else:
            out.append(inline(line) if line else ".PP")
    print("\n".join(out))


main(*sys.argv[1:])
