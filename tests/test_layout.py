# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The worker's code layout: profiles survive their packing, and a program that cannot be laid out stays as it is."""
import importlib.util
import pathlib
import subprocess
import sys

CC = pathlib.Path(__file__).resolve().parent.parent / "cc"
spec = importlib.util.spec_from_file_location("layout", CC / "layout.py")
layout = importlib.util.module_from_spec(spec)
spec.loader.exec_module(layout)


def test_round_trip():
    lines = ["0 [unknown] 0 1 outside 0 0 99",
             "1 f 10 1 f 2 5 64", "1 f 1a 1 g/1 0 0 70", "1 f 4 1 f 20 0 128", "1 g/1 8 1 f 12 0 9", "1 g/1 3 1 h 0 0 1"]
    found = layout.unpack(layout.pack(lines)).splitlines()
    # Counts are rounded to powers of two, returns into the middle of another function are not kept.
    assert found == ["1 f 4 1 f 20 0 128", "1 f 10 1 f 2 0 64", "1 f 1a 1 g/1 0 0 64", "1 g/1 3 1 h 0 0 1"]


def test_seldom_is_left_out():
    found = layout.unpack(layout.pack([f"1 f 1 1 f 2 0 {10**12}", "1 f 5 1 f 9 0 1"]))
    assert found.splitlines() == [f"1 f 1 1 f 2 0 {1 << 39}"]


def test_stays_as_it_is(tmp_path):
    profile, program = tmp_path / "profile.xz", tmp_path / "program"
    profile.write_bytes(layout.pack(["1 f 1 1 f 2 0 5"]))
    program.write_bytes(b"not an ELF file")
    done = subprocess.run([sys.executable, CC / "layout.py", "apply", "false", program, profile, tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0 and "keeps its layout" in done.stderr
    assert (tmp_path / "out").read_bytes() == program.read_bytes()


def test_shipped_profiles():
    for profile in CC.glob("layout-*.xz"):
        lines = layout.unpack(profile.read_bytes()).splitlines()
        assert len(lines) > 10000 and all(len(line.split()) == 8 for line in lines), profile
