# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Sources that mean harm, compiled in the sandbox: none learns or changes anything outside, each is answered, and the next build works.

tests/hostile/*.bpf.c, one trick a file; tests/hostile/EXPECTED says how each ends and, for a refusal, words that are said.
"""
import ctypes
import os
import pathlib
import shutil
import stat
import time

import pytest
from live import BUILD, ROOT
from sandbox import Builder

HOSTILE = ROOT / "tests" / "hostile"
GOOD = (ROOT / "bench" / "corpus" / "hello.bpf.c").read_bytes()
CANARY = b"CANARY-7f3a9e"
PRESENT = b"PRESENT-ON-DISK"  # what a source says that has found out that a file is there
START = b'#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n'
TIMEOUT = 2500  # of what may have to be ended; what ends by itself has time enough, on a busy machine too
ENDLESS_TIMEOUT = 500  # of what only the time ends, so that none is too little

pytestmark = [pytest.mark.skipif(not os.path.exists("/sys/kernel/btf/vmlinux"), reason="needs a kernel with BTF"),
              pytest.mark.skipif(not (BUILD / "anybpf-cc").exists(), reason="anybpf-cc is not built")]


def expected():
    for line in (HOSTILE / "EXPECTED").read_text().splitlines():
        if line and not line.startswith("#"):
            name, words, *said = line.split(None, 2)
            yield name, words.split("|"), (said or [""])[0]


def timeout_for(words):
    return ENDLESS_TIMEOUT if "endless" in words else TIMEOUT if "limit" in words else 4 * TIMEOUT


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A directory with what sources try to reach; its path is told to them."""
    folder = tmp_path_factory.mktemp("secret")
    (folder / "canary").write_bytes(CANARY + b" line one\n" + CANARY + b" line two\n")
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to(folder / "canary")
    return folder


@pytest.fixture(scope="module")
def builder():
    builder = Builder(sandbox=True)
    yield builder
    builder.close()


@pytest.fixture(scope="module")
def good():
    builder = Builder(sandbox=False)
    yield builder.build("hello.bpf.c", GOOD).object
    builder.close()


def snapshot(folder):
    return {p.name: (p.lstat().st_size, p.lstat().st_mtime_ns, p.lstat().st_atime_ns if stat.S_ISREG(p.lstat().st_mode) else 0)
            for p in folder.iterdir()}


def defines(secret):
    return [f'SECRET="{secret}/canary"', f'SECRET_PATH="{secret}/canary"', f'FIFO="{secret}/fifo"', f'LINK="{secret}/link"']


def check_harmless(outcome, secret):
    first = pathlib.Path("/etc/passwd").read_bytes().splitlines()[0]
    assert CANARY not in outcome.said + outcome.object
    assert first not in outcome.said + outcome.object
    assert PRESENT not in outcome.object


def test_corpus_is_described():
    assert sorted(name for name, _, _ in expected()) == sorted(p.name.removesuffix(".bpf.c") for p in HOSTILE.glob("*.bpf.c"))


@pytest.mark.parametrize("name, words, said", [pytest.param(*row, id=row[0]) for row in expected()])
def test_hostile(name, words, said, builder, good, secret):
    before = snapshot(secret)
    began = time.monotonic()
    timeout = timeout_for(words)
    outcome = builder.build(f"{name}.bpf.c", (HOSTILE / f"{name}.bpf.c").read_bytes(), defines=defines(secret), timeout_ms=timeout)
    assert time.monotonic() - began < timeout / 1000 + 10
    assert outcome.word in words or "endless" in words and outcome.word == "limit", outcome
    assert said.encode() in outcome.said, outcome
    assert len(outcome.said) < 5 << 20
    check_harmless(outcome, secret)
    assert snapshot(secret) == before
    assert not os.path.exists("/tmp/anybpf-hostile")
    assert builder.build("hello.bpf.c", GOOD).object == good


# ---- what no single source can do ----

def test_same_bytes_as_outside(builder):
    outside = Builder(sandbox=False)
    for source in sorted((ROOT / "tools").glob("*snoop.bpf.c")):
        files = {source.name: source.read_bytes()}
        confined = builder.build(source.name, files=files)
        assert confined.word == "ok", confined
        assert confined.object == outside.build(source.name, files=files).object
        assert builder.inputs()[0] == source.name
    outside.close()


def test_files_of_the_bundle_only(builder, secret):
    text = START + b'#include "inc/mine.h"\nchar LICENSE[] SEC("license") = "GPL";\n'
    files = {"a.bpf.c": text, "inc/mine.h": b'#include <linux/types.h>\nint mine = 1;\n'}
    assert builder.build("a.bpf.c", files=files).word == "ok"
    assert builder.inputs()[:1] == ["a.bpf.c"] and "inc/mine.h" in builder.inputs() and "/usr/include/linux/types.h" in builder.inputs()
    assert builder.build("b.bpf.c", files=files).word != "ok"
    outcome = builder.build(str(secret / "canary"), files=files)
    assert outcome.word != "ok" and CANARY not in outcome.said
    outcome = builder.build("a.bpf.c", text, include_dirs=[str(secret), "/etc", "/"])
    assert outcome.word == "refused" and b"'inc/mine.h' file not found" in outcome.said


@pytest.mark.parametrize("where", ["dirs", "beside", "define", "path"])
def test_ways_in_by_options(builder, secret, where):
    include = START + b'#include "canary"\nchar LICENSE[] SEC("license") = "GPL";\n'
    options = {"dirs": ("x.bpf.c", include, {"include_dirs": [str(secret)]}),
               "beside": (f"{secret}/x.bpf.c", include, {}),
               "define": ("x.bpf.c", b"#include INC\n", {"defines": [f'INC="{secret}/canary"']}),
               "path": (f"../../../../../../../..{secret}/x.bpf.c", include, {})}
    path, text, more = options[where]
    outcome = builder.build(path, text, **more)
    assert outcome.word == "refused" and b"file not found" in outcome.said
    check_harmless(outcome, secret)


def test_one_job_sees_no_other(builder):
    builder.build("one.bpf.c", files={"one.bpf.c": b"#error one\n", "left.h": b"#define LEFT 1\n"})
    outcome = builder.build("two.bpf.c", b'#include "left.h"\n')
    assert outcome.word == "refused" and b"'left.h' file not found" in outcome.said


def workers():
    return [p for p in children(os.getpid()) if b"confine" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]


def waiting(worker):
    """The process that waits for the worker's next job, and what the kernel says about it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for job in children(worker):
            status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{job}/status").read_text().splitlines() if ":\t" in line)
            if status.get("Seccomp") == "2" and status["State"].startswith("S"):
                return job, status
        time.sleep(0.01)
    raise AssertionError("nothing waits for a job")


def memory_of(pid):
    """What a process can write, and so may have kept."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(n, 16) for n in line.split()[0].split("-"))
            if " rw" in line:
                memory.seek(start)
                yield memory.read(end - start)


@pytest.mark.skipif(os.getuid(), reason="reads another process's memory")
def test_nothing_is_left_of_a_job(builder):
    """Nor of its answer: not even a source that takes over the compiler finds it in its own memory."""
    for _ in range(3):
        outcome = builder.build("left.bpf.c", START + b"/* MARK-OF-A-SOURCE-5c1e */\n#error MARK-OF-AN-ANSWER-90ab\n")
        assert outcome.word == "refused" and b"MARK-OF-AN-ANSWER-90ab" in outcome.said
    for worker in workers():
        memory = b"".join(memory_of(waiting(worker)[0]))
        assert b"MARK-OF-" not in memory and b"warm.bpf.c" in memory


@pytest.mark.skipif(os.getuid(), reason="reads another process's environment")
def test_environment_is_not_told(monkeypatch):
    monkeypatch.setenv("ANYBPF_SECRET", CANARY.decode())
    confined = Builder(sandbox=True)
    for worker in workers():
        assert CANARY not in pathlib.Path(f"/proc/{worker}/environ").read_bytes()
    confined.close()


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_confinement_of_the_process(builder):
    """What the kernel says about the process that waits for the next job."""
    assert workers()
    for worker in workers():
        job, status = waiting(worker)
        assert status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert os.getuid() or status["Uid"].split()[0] != "0"
        descriptors = os.listdir(f"/proc/{job}/fd")
        assert sorted(descriptors) == ["0", "1", "2"]
        for kind in "user", "mnt", "net", "pid", "ipc", "uts", "cgroup":
            assert os.readlink(f"/proc/{job}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
        assert os.listdir(f"/proc/{job}/root") == ["usr"]
        assert all(line.split()[5].startswith("ro,") for line in pathlib.Path(f"/proc/{job}/mountinfo").read_text().splitlines())


@pytest.fixture
def group():
    points = [line.split()[4] for line in open("/proc/self/mountinfo") if " - cgroup2 " in line]
    if os.getuid() or not points:
        pytest.skip("needs root, and cgroup2")
    folder = pathlib.Path(points[0]) / f"anybpf-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    for _ in range(500):
        if not (folder / "cgroup.procs").read_text():
            break
        time.sleep(0.01)
    folder.rmdir()


def test_control_group(group, good):
    confined = Builder(sandbox=True, cgroup=group)
    assert confined.build("hello.bpf.c", GOOD).object == good
    inside = {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    worker, = inside & set(workers())
    assert waiting(worker)[0] in inside
    confined.close()
    with pytest.raises(OSError):
        Builder(sandbox=True, cgroup=group / "nothing")


def test_compiled_twice_in_one_time(tmp_path):
    """A source that is refused is compiled again with all types; both have the one time that was given."""
    clang = next(c for n in range(40, 14, -1) if (c := shutil.which(f"clang-{n}")))
    slow = tmp_path / "clang-slow"
    slow.write_text(f'#!/bin/sh\ncase " $* " in *" -cc1 "*) sleep 1;; esac\nexec {clang} "$@"\n')
    slow.chmod(0o755)
    twice = Builder(sandbox=False, clang=slow)
    assert twice.build("twice.bpf.c", START + b"not_a_type x;\n").word == "refused"
    outcome = twice.build("twice.bpf.c", START + b"not_a_type x;\n", timeout_ms=1900)
    assert outcome.word == "limit" and b"not done after 1900 ms" in outcome.said, outcome
    twice.close()


# ---- machines without namespaces ----

WITHOUT_NAMESPACES = """#!/usr/bin/python3
import ctypes, os, sys
ready, mapped = os.pipe(), os.pipe()
child = os.fork()
if child:
    os.read(ready[0], 1)
    for name in "uid_map", "gid_map":
        with open(f"/proc/{{child}}/{{name}}", "w") as f:
            f.write("0 0 4294967295")
    os.write(mapped[1], b"x")
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
libc = ctypes.CDLL(None)
assert libc.unshare(0x10000000) == 0
os.write(ready[1], b"x")
os.read(mapped[0], 1)
libc.prctl(1, 9)
with open("/proc/sys/user/max_user_namespaces", "w") as f:
    f.write("0")
os.execv("{cc}", ["anybpf-cc", *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def landlocked(tmp_path_factory):
    if os.getuid() or ctypes.CDLL(None).syscall(444, None, 0, 1) < 1:
        pytest.skip("needs root, and a kernel with Landlock")
    worker = tmp_path_factory.mktemp("worker") / "cc"
    worker.write_text(WITHOUT_NAMESPACES.format(cc=BUILD / "anybpf-cc"))
    worker.chmod(0o755)
    builder = Builder(sandbox=True, worker=worker)
    yield builder
    builder.close()


@pytest.mark.parametrize("name, words, said", [pytest.param(*row, id=row[0]) for row in expected()
                                               if row[0].startswith(("include_", "probe_", "embed_", "line_", "asm_inc", "pragma_"))])
def test_landlock(name, words, said, landlocked, good, secret):
    test_hostile(name, words, said, landlocked, good, secret)


def test_no_sandbox_is_said(tmp_path):
    """Neither namespaces nor Landlock: a builder for strangers is refused, not made without walls."""
    worker = tmp_path / "cc"
    worker.write_text("#!/bin/sh\nexec false\n")
    worker.chmod(0o755)
    with pytest.raises(OSError):
        Builder(sandbox=True, worker=worker)
