# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""anybpf pack: the command, many readers beside a writer, and kill -9 at any point. What a pack is, tests/unit/pack.c tests."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

import pytest
from live import BUILD, ROOT

LIVE = pathlib.Path("/sys/kernel/btf/vmlinux")
pytestmark = pytest.mark.skipif(not LIVE.exists(), reason="this kernel has no BTF")


def pack(*args, status=0):
    done = subprocess.run([BUILD / "anybpf", "pack", *map(str, args)], capture_output=True, timeout=120)
    if b"is not beside it" in done.stderr:
        pytest.skip("this build has no anybpf-hub")
    assert done.returncode == status, done.stdout + done.stderr
    return done


def add(path, release, *options, file=LIVE, status=0):
    return pack("add", path, file, "--release", release, "--arch", "x86_64", *options, status=status)


def dump(path):
    """A BTF as C, without what depends on the order of types."""
    text = subprocess.run(["bpftool", "btf", "dump", "file", path, "format", "c"], check=True, capture_output=True, text=True).stdout
    return sorted(re.sub(r"___\d+\b", "", text).splitlines())


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """A pack with the running kernel's types under three names."""
    path = tmp_path_factory.mktemp("pack") / "kernels.pack"
    add(path, "6.1.0-1-amd64", "--distribution", "debian")
    add(path, "6.1.0-10-amd64", "--distribution", "debian")
    add(path, "6.1.0-2-cloud-amd64", "--distribution", "debian", "--flavour", "cloud")
    return path


def test_list(kernels):
    assert pack("list", kernels).stdout.decode().splitlines() == [
        "debian/6.1.0-1-amd64/x86_64", "debian/6.1.0-10-amd64/x86_64", "debian/6.1.0-2-cloud-amd64/x86_64 cloud"]
    listed = json.loads(pack("list", "--json", kernels).stdout)["kernels"]
    assert [k["release"] for k in listed] == ["6.1.0-1-amd64", "6.1.0-10-amd64", "6.1.0-2-cloud-amd64"]
    assert len({k["definitions"] for k in listed}) == 1 and listed[0]["definitions"] > 10000


def test_extract(kernels, tmp_path):
    pack("extract", kernels, "6.1.0-10", "-o", tmp_path / "out.btf")
    assert pack("extract", kernels, "6.1.0-10").stdout == (tmp_path / "out.btf").read_bytes()
    # libbpf reads it, and finds as many functions as before.
    names = [set(re.findall(r" FUNC '(\w+)'", subprocess.run(["bpftool", "btf", "dump", "file", path], check=True, capture_output=True,
                                                             text=True).stdout)) for path in (LIVE, tmp_path / "out.btf")]
    assert names[0] == names[1]


def test_errors_say_what_to_do(kernels, tmp_path):
    assert b"did you mean '6.1.0-1" in pack("extract", kernels, "6.1.0-11-amd64", status=4).stderr
    before = kernels.read_bytes()
    assert b"name another file" in pack("extract", kernels, "6.1.0-10", "-o", kernels, status=2).stderr
    assert kernels.read_bytes() == before
    assert b"is any of 2 kernels" in pack("extract", kernels, "debian/6.1.0-1*", status=2).stderr
    assert b"did you mean 'extract'" in pack("extrakt", kernels, status=2).stderr
    (tmp_path / "no.pack").write_bytes(b"\x7fELF" * 100)
    assert b"is not a pack" in pack("list", tmp_path / "no.pack", status=8).stderr


def test_verify_names_the_offset(kernels, tmp_path):
    assert pack("verify", kernels).stdout.startswith(b"sound: 3 ")
    data = bytearray(kernels.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.pack").write_bytes(data)
    assert re.search(rb"damaged pack '.*bad.pack': .* at offset \d+", pack("verify", tmp_path / "bad.pack", status=8).stderr)


def test_stat_merge_drop_diff(kernels, tmp_path):
    one, two = tmp_path / "one.pack", tmp_path / "two.pack"
    shutil.copy(kernels, one)
    add(two, "7.0.0")
    assert b"+ -/7.0.0/x86_64" in pack("diff", one, two).stdout
    pack("merge", one, two)
    stat = json.loads(pack("stat", "--json", one).stdout)
    assert stat["kernels"] == 4 and stat["segments"] == 1 and stat["bytes"] == one.stat().st_size
    assert pack("diff", one, "7.0.0", "6.1.0-1-amd64").stdout == b""
    dropped = pack("drop", one, "debian/6.1.0-1-amd64", "7.0.0").stdout
    assert dropped == b"dropped debian/6.1.0-1-amd64/x86_64\ndropped -/7.0.0/x86_64\n"
    assert pack("list", one).stdout.count(b"\n") == 2
    assert json.loads(pack("diff", "--json", kernels, one).stdout)["removed"] == 1


def test_differences_of_two_packs(kernels, tmp_path):
    """Each made in another order, so that their numbers differ; the types of one kernel are others."""
    changed, other = tmp_path / "changed.btf", tmp_path / "other.pack"
    changed.write_bytes(LIVE.read_bytes().replace(b"\0sk_write_queue\0", b"\0sk_wrote_queue\0").replace(b"\0vfs_read\0", b"\0vfs_reed\0"))
    add(other, "5.4.0-other", file=changed)
    add(other, "6.1.0-10-amd64", "--distribution", "debian", file=changed)
    add(other, "6.1.0-1-amd64", "--distribution", "debian")
    done = json.loads(pack("diff", "--json", kernels, other).stdout)
    assert [(d["change"], d["release"]) for d in done["differences"]] == [
        ("added", "5.4.0-other"), ("changed", "6.1.0-10-amd64"), ("removed", "6.1.0-2-cloud-amd64")]
    assert pack("diff", kernels, "6.1.0-10-amd64", other, "6.1.0-1-amd64").stdout == b""
    across = pack("diff", kernels, "6.1.0-1-amd64", other, "6.1.0-10-amd64").stdout
    assert {b"~ struct sock", b"- func vfs_read", b"+ func vfs_reed"} <= set(across.splitlines())
    pack("merge", other, kernels, status=8)
    within = tmp_path / "within.pack"
    shutil.copy(kernels, within)
    add(within, "7.0.0", file=changed)
    assert pack("diff", within, "6.1.0-1-amd64", "7.0.0").stdout == across
    assert b"no kernel '9.9'" in pack("diff", kernels, "6.1.0-1-amd64", other, "9.9", status=4).stderr


def test_adding_again_changes_nothing(kernels):
    before = kernels.stat()
    assert add(kernels, "6.1.0-1-amd64", "--distribution", "debian").stdout.startswith(b"known ")
    assert kernels.stat().st_ino == before.st_ino


def test_a_number_is_no_part_of_a_longer_one(kernels, tmp_path):
    """What is dropped is what was named: 1.0 is no part of 6.1.0, nor 1 of 10."""
    copy = tmp_path / "copy.pack"
    shutil.copy(kernels, copy)
    for part in ("1.0-10", "0-10", "6.1.0-10-amd6", "6", "", "*"):
        pack("drop", copy, part, status=2 if part in ("6", "*") else 4)
    assert copy.read_bytes() == kernels.read_bytes()
    assert json.loads(pack("drop", copy, "--json", "6.1.0-1").stdout)["dropped"][0]["release"] == "6.1.0-1-amd64"


def test_what_a_file_says_of_itself(tmp_path):
    """Where the release is said, too: which machine's an ELF file is, that it has DWARF only, and the byte order of raw BTF."""
    path, source, elf = tmp_path / "k.pack", tmp_path / "k.c", tmp_path / "k.o"
    source.write_text("struct task_struct { int pid; } init_task;\n")
    subprocess.run(["gcc", "-g", "-c", source, "-o", elf], check=True)
    assert pack("add", path, elf, "--release", "5.0.1").stdout == f"added -/5.0.1/{os.uname().machine}\n".encode()
    subprocess.run(["pahole", "-J", elf], check=True)
    data = bytearray(elf.read_bytes())
    data[18:20] = b"\xb7\0"
    (tmp_path / "arm.o").write_bytes(data)
    assert pack("add", path, tmp_path / "arm.o", "--release", "5.0.2").stdout == b"added -/5.0.2/aarch64\n"
    swapped = (">" if sys.byteorder == "little" else "<") + "HBBIIIII"
    strings = b"\0task_struct\0"
    (tmp_path / "other.btf").write_bytes(struct.pack(swapped, 0xeb9f, 1, 0, 24, 0, 12, 12, len(strings)) + struct.pack(swapped[0] + "III", 1, 4 << 24, 0) + strings)
    assert b"--arch does" in pack("add", path, tmp_path / "other.btf", "--release", "5.0.3", status=1).stderr
    assert pack("add", path, LIVE, "--release", "5.0.4", "--arch", "arm64").stdout.endswith(b"/5.0.4/aarch64\n")


@pytest.mark.parametrize("option, value, status", [("--release", "a b", 2), ("--release", "a/b", 2), ("--distribution", "a b", 2), ("--flavour", "/", 2)])
def test_names_that_nothing_could_ask_for(tmp_path, option, value, status):
    btf = tmp_path / "k.btf"
    btf.write_bytes(LIVE.read_bytes())
    for files in ([btf], [btf, btf]):
        done = pack("add", tmp_path / "k.pack", *files, "--release", "5.0", "--arch", "x86_64", option, value, status=2 if len(files) == 1 else 1)
        assert value.encode() in done.stderr and b"slash" in done.stderr
    assert not (tmp_path / "k.pack").exists()


def test_core_answers_stay(kernels, tmp_path):
    """What libbpf finds for the relocations of real tools in the kernel's BTF, it finds in the one from the pack."""
    pack("extract", kernels, "6.1.0-1-amd64", "-o", tmp_path / "out.btf")
    for tool in ("opensnoop", "tcplife", "biolatency", "runqlat"):
        subprocess.run([BUILD / "anybpf", "build", ROOT / f"tools/{tool}.bpf.c", "-o", tmp_path / f"{tool}.o"], check=True, capture_output=True)
        for source, out in ((LIVE, "before"), (tmp_path / "out.btf", "after")):
            subprocess.run(["bpftool", "gen", "min_core_btf", source, tmp_path / out, tmp_path / f"{tool}.o"], check=True, capture_output=True)
        assert dump(tmp_path / "before") == dump(tmp_path / "after")


def test_kill_leaves_the_old_pack_or_the_new(tmp_path):
    path = tmp_path / "kernels.pack"
    add(path, "1.0")
    command = [BUILD / "anybpf", "pack", "add", path, LIVE, "--arch", "x86_64", "--release"]
    begin = time.monotonic()
    subprocess.run([*command, "2.0"], check=True, capture_output=True)
    took = time.monotonic() - begin
    random.seed(1)
    for i in range(12):
        writer = subprocess.Popen([*command, f"3.{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(took * random.random() * 1.1)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        releases = pack("list", path).stdout.decode().split()
        assert {"-/1.0/x86_64", "-/2.0/x86_64"} <= set(releases)
        pack("verify", path)
    # The lock went with its holder, and what was left lying about is no hindrance.
    add(path, "4.0")
    assert not (tmp_path / "kernels.pack.new").exists()


def test_readers_beside_writers(tmp_path):
    path = tmp_path / "kernels.pack"
    add(path, "1.0")
    command = [BUILD / "anybpf", "pack", "add", path, LIVE, "--arch", "x86_64", "--release"]
    writers = [subprocess.Popen([*command, f"2.{i}"], stdout=subprocess.DEVNULL) for i in range(3)]
    while any(w.poll() is None for w in writers):
        assert b"-/1.0/x86_64" in pack("list", path).stdout
    assert all(w.returncode == 0 for w in writers)
    assert pack("list", path).stdout.count(b"\n") == 4
