# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Collects the C unit tests beside the Python ones, and closes with one plain line of counts.

BUILD names the build directory (default: build), so that the same tests run against the sanitizer build.
"""
import os
import signal
import subprocess

import pytest

from live import BUILD, ROOT

# Children of nohup(1) do not hear of it, and what is tested here has to.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Guests take minutes: only where kernels are named (make check-lab).
collect_ignore = [] if os.environ.get("KERNELS") else ["lab"]


def pytest_collect_file(parent, file_path):
    if file_path.parent.name == "unit" and file_path.suffix == ".c":
        return UnitFile.from_parent(parent, path=file_path)
    return None


class UnitFile(pytest.File):
    def collect(self):
        program = BUILD / "tests" / "unit" / f"unit-{self.path.stem}"
        names = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
        for name in names:
            yield UnitTest.from_parent(self, name=name, program=program)


class UnitTest(pytest.Item):
    def __init__(self, *, program, **kwargs):
        super().__init__(**kwargs)
        self.program = program

    def runtest(self):
        done = subprocess.run([self.program, self.name], capture_output=True, text=True, timeout=120, cwd=ROOT)
        if done.returncode == 77:
            pytest.skip(done.stdout.strip() or "no reason given")
        if done.returncode != 0:
            raise UnitFailure(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")

    def repr_failure(self, excinfo):
        return str(excinfo.value) if isinstance(excinfo.value, UnitFailure) else super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, 0, f"{self.path.stem}::{self.name}"


class UnitFailure(Exception):
    pass


def pytest_terminal_summary(terminalreporter):
    count = {k: len(terminalreporter.getreports(k)) for k in ("passed", "failed", "error", "skipped")}
    terminalreporter.ensure_newline()
    terminalreporter.write_line(
        f"{count['passed']} passed, {count['failed'] + count['error']} failed, {count['skipped']} skipped")
