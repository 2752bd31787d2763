# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Runs a BPF program by the CLI while a workload makes what it has to show, and gives back what it printed, parsed."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
TOOLS = ROOT / "tools"
SETTLE = 0.25  # how long what happened last may take to be read

needs_bpf = pytest.mark.skipif(os.geteuid() != 0, reason="loading BPF programs takes root")


class Run:
    """One `anybpf run FILE --json`: attached when made, ended by end() or `with`; what it printed is there then."""

    def __init__(self, file, *args, prefix=(), may_lose=False):
        self.may_lose = may_lose
        self.lines, self.messages, self.attached = [], [], threading.Event()
        self.process = subprocess.Popen(
            [*prefix, BUILD / "anybpf", "run", file, "--json", "--duration", "30", *map(str, args)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=self._read, args=(self.process.stdout, self.lines)),
                        threading.Thread(target=self._read, args=(self.process.stderr, self.messages))]
        for reader in self.readers:
            reader.start()
        self.attached.wait(20)
        if self.process.poll() not in (None, 0) or not self.attached.is_set():
            self.end()
            raise AssertionError("did not attach:\n" + "".join(self.messages))

    def _read(self, stream, lines):
        for line in stream:
            lines.append(line)
            if line.startswith("anybpf: attached"):
                self.attached.set()
        self.attached.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        time.sleep(SETTLE)
        self.end()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            for reader in self.readers:
                reader.join()
        assert self.process.returncode == 0, "".join(self.messages)
        self.objects = [json.loads(line) for line in self.lines]
        assert self.may_lose or self.summary["lost"] == 0

    def of(self, kind):
        return [o for o in self.objects if o["type"] == kind]

    @property
    def summary(self):
        return self.of("summary")[-1]

    def events(self, **wanted):
        return [e for e in (o["data"] for o in self.of("event")) if all(e[k] == v for k, v in wanted.items())]

    def map(self, name):
        """The entries of a map as last printed, as (key, value) pairs; arrays have those that aren't zero."""
        return [(e["key"], e["value"]) for e in [o for o in self.of("map") if o["map"] == name][-1]["entries"]]

    def hists(self, name):
        """Histograms by key, as JSON text; None for a map that is one histogram. Each as a list of slots."""
        return {json.dumps(o["key"]) if "key" in o else None: o["slots"] for o in self.of("hist") if o["map"] == name}

    def text(self):
        return "".join(o["text"] for o in self.of("iter"))


def total(slots):
    return sum(slot["count"] for slot in slots)


@contextlib.contextmanager
def child(code, *args, prefix=()):
    """A Python process that waits for a line before it runs `code`: go() lets it run, and waits for its end."""
    process = subprocess.Popen([*prefix, "/usr/bin/python3", "-S", "-c", "input()\n" + code, *map(str, args)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def go():
        out, _ = process.communicate("\n", timeout=20)
        assert process.returncode == 0
        return out

    process.go = go
    try:
        yield process
    finally:
        process.kill()
        process.wait()
