# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes a JSON file without its white space as a C array: openapi.py IN OUT."""
import json
import pathlib
import sys

data = json.dumps(json.loads(pathlib.Path(sys.argv[1]).read_text()), separators=(",", ":")).encode() + b"\n"
rows = [",".join(str(b) for b in data[i:i + 32]) for i in range(0, len(data), 32)]
pathlib.Path(sys.argv[2]).write_text('#include "serve/openapi.h"\nconst unsigned char ab_openapi[] = {\n' + ",\n".join(rows) +
                                     "\n};\nconst size_t ab_openapi_size = sizeof(ab_openapi);\n")
