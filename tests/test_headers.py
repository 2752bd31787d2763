# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The headers of bpf/: no warnings by any clang here, for the oldest instruction set, and right answers."""
import collections
import ctypes
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import time

import pytest
from live import BUILD, ROOT, TOOLS, Run, child, needs_bpf, total

CLANGS = [f"clang-{v}" for v in range(15, 30) if shutil.which(f"clang-{v}")]
HEADER, FIXES, LOSSY = (ROOT / "tests" / "bpf" / f"{name}.bpf.c" for name in ("header", "core_fixes", "lossy"))
SOURCES = [HEADER, FIXES, LOSSY, *sorted((ROOT / "tests" / "lbc").glob("*.bpf.c")), *sorted(TOOLS.glob("*.bpf.c"))]
ARCH = {"x86_64": "x86", "aarch64": "arm64", "s390x": "s390", "ppc64le": "powerpc"}[platform.machine()]


def dump(*what):
    return subprocess.run(["bpftool", "btf", "dump", "file", *what], check=True, capture_output=True).stdout


@pytest.fixture(scope="session")
def vmlinux(tmp_path_factory):
    """A folder with all types of this kernel."""
    if not shutil.which("bpftool") or not os.path.exists("/sys/kernel/btf/vmlinux"):
        pytest.skip("needs bpftool and a kernel with BTF")
    folder = tmp_path_factory.mktemp("vmlinux")
    (folder / "vmlinux.h").write_bytes(dump("/sys/kernel/btf/vmlinux", "format", "c"))
    return folder


def command(clang, *args):
    return [clang, "-O2", "-g", "-target", "bpf", "-mcpu=v1", f"-D__TARGET_ARCH_{ARCH}", "-I", ROOT / "bpf",
            "-idirafter", f"/usr/include/{platform.machine()}-linux-gnu", *args]


@pytest.mark.parametrize("clang", [CLANGS[0], CLANGS[-1]] if len(CLANGS) > 1 else CLANGS)
def test_compiles_without_warnings(clang, vmlinux, tmp_path):
    """Against all types of this kernel, read once, so that no name here is one of the kernel's."""
    types = tmp_path / "vmlinux.pch"
    subprocess.run(command(clang, "-x", "c-header", vmlinux / "vmlinux.h", "-o", types, "-w"), check=True)
    checks = command(clang, "-include-pch", types, "-I", vmlinux, "-Wall", "-Wextra", "-Werror",
                     "-Wno-unused-parameter", "-DLBC_DEBUG", "-c", "-o", "/dev/null")
    for source in SOURCES:
        done = subprocess.run([*checks, source], capture_output=True, text=True)
        assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("header", ["anybpf.bpf.h", "core_fixes.bpf.h", "lbc.h"])
def test_unused_costs_nothing(header, tmp_path, vmlinux):
    """An object is the same with a header and without, but for debug information, which is dropped from what is run."""
    program = 'char _license[] __attribute__((section("license"), used)) = "GPL";\n' \
              '__attribute__((section("xdp"), used)) int f(void *ctx) { return 2; }\n'
    dumps = []
    for name, text in ("bare", program), ("with", f'#include "{header}"\n{program}'):
        source = tmp_path / f"{name}.bpf.c"
        source.write_text(text)
        subprocess.run(command(CLANGS[-1], "-I", vmlinux, "-c", source, "-o", source.with_suffix(".o")), check=True)
        dumps.append(dump(source.with_suffix(".o")))
    assert dumps[0] == dumps[1]


def test_every_macro_is_used():
    header = (ROOT / "bpf" / "anybpf.bpf.h").read_text()
    names = re.findall(r"^#define ((?:AB|ab)_[A-Za-z0-9_]*[A-Za-z0-9])\b", header, re.M)
    users = "".join(f.read_text() for f in [*SOURCES, *(ROOT / "bpf").glob("*.h")])
    assert [n for n in names if not n.startswith("ab_read_") and len(re.findall(rf"\b{n}\b", users)) < 2] == []


@needs_bpf
def test_the_example_runs(tmp_path):
    """What the header's first comment shows."""
    comment = (ROOT / "bpf" / "anybpf.bpf.h").read_text().split("*/")[1]
    source = tmp_path / "example.bpf.c"
    source.write_text("".join(f"{line[3:]}\n" for line in comment.splitlines() if line.startswith(" *\t")))
    with Run(source, "--pid", os.getpid()) as run:
        open("/proc/self/comm").close()
    assert "/proc/self/comm" in [e["file"] for e in run.events(pid=os.getpid())]


@needs_bpf
def test_macros_compute():
    libc = ctypes.CDLL(None)
    with Run(HEADER, "--pid", os.getpid(), "--word", "hi", "--map", "all") as run:
        libc.getpgid(1234567)
        subprocess.run(["/bin/true"], check=True)
    events = [o["data"] for o in run.of("event") if o["channel"] == "events"]
    assert [(e["numbers"], e["zeroed"], e["flags"]) for e in events] == [
        ([0, 0, 0], [0] * 4, "0"), ([1, 0, 0], [0] * 4, "one")]
    assert all("hidden" not in e and abs(e["time"] - time.time_ns()) < 60e9 for e in events)
    tails = [o["data"] for o in run.of("event") if o["channel"] == "tails"]
    assert [(t["size"], t.get("text", "")) for t in tails] == [(0, ""), (1, "t"), (2, "ta")]
    bigs = [o["data"]["filled"][:128] for o in run.of("event") if o["channel"] == "bigs"]
    assert bigs == [[0] * 127 + [i] for i in range(3)]
    assert dict(run.map("hash")) == {0: 2, 1: 1} and dict(run.map("percpu")) == {0: 20, 1: 10}
    assert dict(run.map("percpu_array")) == {0: 4, 1: 2} and dict(run.map("lru")) == {0: 44, 1: 42}
    assert [(s["from"], s["count"]) for s in run.hists("logs")[None]] == [(0, 1), (1 << 21, 1), (1 << 42, 1)]
    assert [(s["from"], s["count"]) for s in run.hists("lines")[None]] == [(5, 1), (25, 1), (30, 1)]
    assert {k: total(s) for k, s in run.hists("logs_by").items()} == {"0": 2, "1": 1}
    answers = collections.Counter(dict(run.map("array")))
    parent = int(pathlib.Path(f"/proc/{os.getppid()}/stat").read_text().split(")")[1].split()[1])
    assert [answers[i] for i in range(14)] == [
        1, 1, os.getpid(), os.getppid(), os.getuid(), os.getpid(), parent, 1, 1, 1, 1, 6310, 33, 1]
    assert answers[15] == 1
    skipped = [p for p in run.summary["programs"] if p["state"] == "skipped"]
    assert sorted(p["name"] for p in skipped) == ["never", "never_back"] and all(p["reason"] for p in skipped)


@needs_bpf
def test_fixed_reads():
    code = "import ctypes, os\nx = bytearray(64 << 20)\nctypes.CDLL(None).getpgid(0)\n" \
           "print(os.readlink('/proc/self/ns/net'))"
    with child(code) as worker, Run(FIXES, "--pid", worker.pid, "--map", "seen") as run:
        namespace = worker.go().strip()
    (_, seen), = run.map("seen")
    assert seen["state"] == 0 and seen["cpu"] == seen["cpu_now"]
    assert seen["ns_tid"] == seen["tid"] == worker.pid
    assert f"net:[{seen['net_inum']}]" == namespace
    assert 64 << 20 <= seen["rss_anon"] * os.sysconf("SC_PAGESIZE") < 256 << 20
    age, boot_age = seen["ktime"] - seen["start_ktime"], seen["boottime"] - seen["start_boottime"]
    assert 0 < age < 60e9 and abs(age - boot_age) < 1e6
    assert platform.machine() != "x86_64" or seen["fsbase"] > 1 << 32


def build(source, folder):
    program = folder / source.name.replace(".c", ".o")
    subprocess.run([BUILD / "anybpf", "build", source, "-o", program], check=True)
    return program


def old_types(kernel, folder):
    types = folder / "types.o"
    source = ROOT / "tests" / "bpf" / "old_types.c"
    subprocess.run([CLANGS[-1], "-g", "-target", "bpf", f"-DKERNEL={kernel}", "-c", source, "-o", types], check=True)
    return types


@needs_bpf
@pytest.mark.parametrize("kernel", [310, 603])
def test_every_read_has_a_form(kernel, tmp_path):
    """A read without a form in these types would be live code that the verifier refuses."""
    with Run(build(FIXES, tmp_path), "--pid", os.getpid(), "--btf", old_types(kernel, tmp_path)) as run:
        pass
    assert [p["state"] for p in run.summary["programs"]] == ["attached"]


@needs_bpf
def test_perf_buffer_from_the_same_object(tmp_path):
    """Types without ring buffers make the channel a perf buffer; the events are the same."""
    program = build(TOOLS / "opensnoop.bpf.c", tmp_path)
    with Run(program, "--pid", os.getpid(), "--btf", old_types(310, tmp_path)) as run:
        for _ in range(13):
            with pytest.raises(FileNotFoundError):
                os.open(tmp_path / "not", os.O_RDONLY)
    assert any("perf buffer" in line for line in run.messages)
    events = run.events(file=str(tmp_path / "not"))
    assert [(e["ret"]["errno"], e["pid"]) for e in events] == [("ENOENT", os.getpid())] * 13


@needs_bpf
@pytest.mark.parametrize("kind", ["ring", "perf"])
def test_what_is_lost_is_counted(kind, tmp_path):
    libc, args = ctypes.CDLL(None), []
    if kind == "perf":
        args = ["--btf", old_types(310, tmp_path)]
    with Run(build(LOSSY, tmp_path), "--pid", os.getpid(), *args, may_lose=True) as run:
        cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cpus)})
        run.process.send_signal(signal.SIGSTOP)
        for _ in range(100):
            libc.getpgid(0)
        run.process.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        libc.getpgid(0)
        os.sched_setaffinity(0, cpus)
    numbers = [e["number"] for e in run.events()]
    assert 100 < len(numbers) < 1616 and numbers == sorted(set(numbers))
    assert len(numbers) + run.summary["lost"] == 101 * 16
