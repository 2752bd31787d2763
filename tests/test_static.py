# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""anybpf-static: one file that runs what `anybpf build` made on a machine that has nothing else."""
import json
import os
import subprocess

import pytest

from live import BUILD, ROOT, TOOLS, needs_bpf

STATIC = BUILD / "anybpf-static"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A root directory with the program, one object and one library, and empty places to mount the kernel's file systems."""
    subprocess.run(["ninja", "-C", BUILD, "anybpf-static"], check=True, capture_output=True)
    root = tmp_path_factory.mktemp("bare")
    for name in ("proc", "sys", "dev", "tmp"):
        (root / name).mkdir()
    (root / "anybpf").write_bytes(STATIC.read_bytes())
    (root / "anybpf").chmod(0o755)
    for suffix in ("o", "so"):
        subprocess.run([BUILD / "anybpf", "build", TOOLS / "execsnoop.bpf.c", "-o", root / f"execsnoop.{suffix}"], check=True)
    return root


def in_bare(root, *args, workload="true"):
    """Runs the program in that root, in a mount namespace of its own; `workload` runs outside meanwhile."""
    script = ('mount -t proc proc "$0/proc" && mount -t sysfs sysfs "$0/sys" && mount -t tracefs tracefs "$0/sys/kernel/tracing" && '
              'root=$0 && { ' + workload + ' & } && exec chroot "$root" /anybpf "$@"')
    return subprocess.run(["unshare", "--mount", "sh", "-c", script, root, *args], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"]})


def test_is_one_static_file_of_at_most_4_mb(bare):
    headers = subprocess.run(["readelf", "-lW", STATIC], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in headers and "DYNAMIC" not in headers
    assert STATIC.stat().st_size <= 4_000_000


@needs_bpf
@pytest.mark.parametrize("suffix", ["o", "so"])
def test_shows_events_where_nothing_else_is(bare, suffix):
    workload = "(sleep 0.7; for i in 1 2 3 4 5 6 7; do /bin/echo static-$i; done) >/dev/null"
    done = in_bare(bare, "run", f"/execsnoop.{suffix}", "--json", "--duration", "1.5", workload=workload)
    assert done.returncode == 0, done.stderr
    events = [line["data"] for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "event"]
    assert sum("static-" in e["args"] for e in events) == 7


@needs_bpf
def test_doctor_works_there(bare):
    done = in_bare(bare, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@needs_bpf
def test_says_that_sys_is_not_mounted(bare):
    done = subprocess.run(["unshare", "--mount", "chroot", bare, "/anybpf", "run", "/execsnoop.o"], capture_output=True, text=True)
    assert done.returncode == 7 and done.stderr.splitlines()[-1].endswith("mount -t sysfs sysfs /sys"), done.stderr


def test_says_that_it_has_no_compiler(bare):
    for command in (["build", TOOLS / "execsnoop.bpf.c"], ["run", TOOLS / "execsnoop.bpf.c"]):
        done = subprocess.run([STATIC, *command], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 7
        assert "no compiler" in done.stderr and "anybpf build" in done.stderr
