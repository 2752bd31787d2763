# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""coolbpf sources compile unchanged against bpf/lbc.h, load, and compute what their names promise."""
import collections
import ctypes
import os
import subprocess
import sys

import pytest
from live import BUILD, ROOT, Run, child, needs_bpf

LBC = ROOT / "tests" / "lbc"


@pytest.mark.parametrize("source", sorted(LBC.glob("*.bpf.c")), ids=lambda p: p.name)
def test_builds(source, tmp_path):
    subprocess.run([BUILD / "anybpf", "build", source, "-o", tmp_path / "out.o"], check=True)
    assert (tmp_path / "out.o").stat().st_size > 1000


@needs_bpf
def test_events_counts_and_stacks():
    code = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n" \
           "for i in range(13): s.sendto(b'x' * (100 + i), ('127.0.0.1', 9))"
    with child(code) as worker, Run(LBC / "pingtrace.bpf.c", "--map", "all") as run:
        worker.go()
    events = run.events(pid=worker.pid)
    assert [e["bytes"] for e in events] == [100 + i for i in range(13)]
    assert {e["comm"] for e in events} == {"python3"} and all(e["stack"] < 32 for e in events)
    assert dict(run.map("pid_cnt"))[worker.pid] == 13
    assert {o["channel"] for o in run.of("event")} == {"e_out"}


@needs_bpf
def test_trace_output():
    with Run(LBC / "hello_tp.bpf.c", "--trace") as run:
        process = subprocess.Popen(["/bin/true"])
        process.wait()
    assert any("a new task of process" in line for line in run.lines)


def swap(value, size):
    value &= (1 << size * 8) - 1
    return int.from_bytes(value.to_bytes(size, sys.byteorder), "big")


@needs_bpf
@pytest.mark.parametrize("number, log, log2, log10", [
    (0x1122334455667788, 1, 0, 0), (3, 9, 3, 0), (0xff, 10, 3, 1), (1 << 40, (1 << 40) - 1, 39, 12),
    (7, (1 << 63) - 1, 62, 18), (7, 10 ** 16, 53, 16), (7, 10 ** 16 - 1, 53, 15)])
def test_answers(number, log, log2, log10, tmp_path):
    """The numbers are given as text replaced in the source, as coolbpf's own dynamic variables are."""
    source = (LBC / "all.bpf.c").read_text()
    source = source.replace("given(0)", f"given(0) + {number}ULL").replace("given(1)", f"given(1) + {log}ULL")
    (tmp_path / "all.bpf.c").write_text(source)
    with Run(tmp_path / "all.bpf.c", "--map", "all") as run:
        ctypes.CDLL(None).getpgid(0)
    array = collections.Counter(dict(run.map("array")))
    assert [array[i] for i in range(8, 12)] == [swap(number, 2), swap(number, 4), swap(number, 8), 1]
    assert array[12] > 0 and array[13] == os.getuid()
    assert (array[14], array[15], array[16], array[17]) == (log2, log10, 0, 1)
    assert array[18] == 10 + 100 + 10 ** 4 + 10 ** 8 + 10 ** 16
    assert {s["from"] for s in run.hists("hist2")[None]} >= {1 << log2 if log2 else 0, 1 << 63}
    assert [k for k, _ in run.map("hash")] == [{"a": 1, "b": 2, "c": 3}]
    assert {o["data"]["number"] for o in run.of("event")} == {number}
