# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes the files of web/ as C arrays: pages.py OUT FILE…

@VERSION@ in index.html becomes a digest of all files: it is in the addresses that the page names, so these may be cached for ever.
"""
import hashlib
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".svg": "image/svg+xml"}

files = {path.name: path.read_bytes() for path in sorted(map(pathlib.Path, sys.argv[2:]))}
version = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in files.values())).hexdigest()[:16]
files["index.html"] = files["index.html"].replace(b"@VERSION@", version.encode())

out = ['#include "serve/pages.h"']
rows = []
for i, (name, data) in enumerate(files.items()):
    lines = [",".join(map(str, data[at:at + 32])) for at in range(0, len(data), 32)]
    out.append(f"static const unsigned char file{i}[] = {{\n" + ",\n".join(lines) + "\n};")
    rows.append(f'{{ "{name}", "{TYPES[pathlib.Path(name).suffix]}", "\\"{hashlib.sha256(data).hexdigest()[:32]}\\"", file{i}, sizeof(file{i}) }},')
out += ["const struct page_file ab_page_files[] = {", *rows, "{ NULL } };", f'const char ab_pages_version[] = "{version}";']
pathlib.Path(sys.argv[1]).write_text("\n".join(out) + "\n")
