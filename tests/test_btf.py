# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Types for kernels without any: minimized, carried by objects, found in packs and kept; and types as C headers."""
import json
import os
import pathlib
import subprocess

import kernels
import pytest
from live import BUILD, TOOLS, needs_bpf

ANYBPF = BUILD / "anybpf"
LIVE = pathlib.Path("/sys/kernel/btf/vmlinux")
RELEASE = os.uname().release

pytestmark = pytest.mark.skipif(not LIVE.exists(), reason="needs a kernel with BTF")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """No pack and no cache but those made by the test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CACHE_HOME", "ANYBPF_PACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANYBPF_CC", str(BUILD / "anybpf-cc"))
    monkeypatch.setenv("ANYBPF_LIBDIR", str(BUILD))
    return folder


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    out = tmp_path_factory.mktemp("btf") / "opensnoop.bpf.o"
    subprocess.run([ANYBPF, "build", TOOLS / "opensnoop.bpf.c", "-o", out], check=True,
                   env={**os.environ, "ANYBPF_CC": str(BUILD / "anybpf-cc"), "ANYBPF_LIBDIR": str(BUILD)})
    return out


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    out = tmp_path_factory.mktemp("pack") / "kernels.pack"
    subprocess.run([ANYBPF, "pack", "add", out, LIVE], check=True, capture_output=True)
    return out


def anybpf(*args, status=0):
    done = subprocess.run([ANYBPF, *map(str, args)], capture_output=True, timeout=120)
    assert done.returncode == status, done.stderr.decode()
    return done


def refused(*args, status):
    done = anybpf(*args, status=status)
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("anybpf: error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("anybpf: error: ")


def run(program, *args):
    """Runs it for a moment; what was said about the types that were used."""
    done = anybpf("run", program, "--duration", "300ms", *args)
    said = [line for line in done.stderr.decode().splitlines() if "types from" in line]
    assert "attached" in done.stderr.decode()
    return said[0].removeprefix("anybpf: kernel types from ") if said else None


# ---- min ----

def test_a_file_for_each_kernel(program, pack, home, tmp_path):
    done = anybpf("btf", "min", program, "--pack", pack, "--kernels", "*", "-o", tmp_path / "types", "--json")
    told = json.loads(done.stdout)
    assert [k["release"] for k in told["kernels"]] == [RELEASE]
    file = tmp_path / "types" / f"{RELEASE}.btf"
    assert file.stat().st_size == told["kernels"][0]["size"] < 1000


def test_a_kernel_by_its_file_or_from_a_pack_is_the_same(program, pack, home, tmp_path):
    anybpf("btf", "min", program, "--pack", pack, "-o", tmp_path / "pack.btf")
    anybpf("btf", "min", program, "--btf", LIVE, "-o", tmp_path / "file.btf")
    assert (tmp_path / "pack.btf").stat().st_size == (tmp_path / "file.btf").stat().st_size


def test_no_pack_and_no_kernel(program, pack, home, tmp_path):
    assert "no pack in the usual places" in refused("btf", "min", program, "-o", tmp_path / "x", status=4)
    assert "has no kernel of '1.0'" in refused("btf", "min", program, "--pack", pack, "-k", "1.0", "-o", tmp_path / "x", status=4)
    assert "names no kernels" in refused("btf", "min", program, "--pack", pack, "-k", "5..x", "-o", tmp_path / "x", status=2)
    assert "'--output' is missing" in refused("btf", "min", program, "--btf", LIVE, status=2)
    assert "choose one" in refused("btf", "min", program, "--btf", LIVE, "-k", "*", "-o", "x", status=2)


def test_min_of_what_is_no_object(home, tmp_path):
    assert "is source: make an object" in refused("btf", "min", TOOLS / "opensnoop.bpf.c", "--btf", LIVE, "-o", tmp_path / "x", status=2)
    assert "not an ELF file" in refused("btf", "min", "/etc/passwd", "--btf", LIVE, "-o", tmp_path / "x", status=8)
    assert "unable to open" in refused("btf", "min", tmp_path / "none", "--btf", LIVE, "-o", tmp_path / "x", status=4)


# ---- run ----

@needs_bpf
def test_run_finds_types_in_a_pack_and_keeps_them(program, pack, home, monkeypatch):
    monkeypatch.setenv("ANYBPF_PACK", str(pack))
    assert f"'{pack}'" in run(program, "--btf", "auto") and RELEASE in run(program, "--btf", pack)
    kept = list((home / ".cache" / "anybpf" / "btf").iterdir())
    assert len(kept) == 1 and kept[0].name.startswith(RELEASE) and kept[0].stat().st_size < 1000
    assert kept[0].stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("ANYBPF_PACK", "/nonexistent")
    assert str(kept[0]) in run(program, "--btf", "auto")


@needs_bpf
def test_what_was_kept_is_only_believed_from_its_owner(program, pack, home, monkeypatch):
    monkeypatch.setenv("ANYBPF_PACK", str(pack))
    run(program, "--btf", "auto")
    kept = next((home / ".cache" / "anybpf" / "btf").iterdir())
    for spoil in (lambda: kept.write_bytes(b"damaged"), lambda: kept.chmod(0o666)):
        spoil()
        assert f"'{pack}'" in run(program, "--btf", "auto")
        assert kept.stat().st_mode & 0o777 == 0o600


@needs_bpf
def test_run_with_a_kernel_of_the_pack(program, pack, home, monkeypatch):
    monkeypatch.setenv("ANYBPF_PACK", str(pack))
    assert RELEASE in run(program, "--btf", RELEASE)
    assert "5.99" in refused("run", program, "--btf", "5.99", status=4)


@needs_bpf
def test_run_with_a_directory(program, home, tmp_path):
    """As btf min makes it; the running kernel's own file is called by its release there, and in an object that carries it."""
    anybpf("btf", "min", program, "--btf", LIVE, "-o", f"{tmp_path}/types/")
    assert run(program, "--btf", tmp_path / "types").startswith(f"'{tmp_path}/types/{RELEASE}.btf', ")
    said = refused("run", program, "--btf", tmp_path, status=7)
    assert f"no types for kernel {RELEASE}" in said and f"{tmp_path}/{RELEASE}.btf" in said
    anybpf("build", TOOLS / "tasks.bpf.c", "--btf", tmp_path / "types", "-o", tmp_path / "x.o", status=3)
    (tmp_path / f"{RELEASE}.btf").write_bytes(LIVE.read_bytes())
    anybpf("build", TOOLS / "tasks.bpf.c", "--btf", tmp_path, "-o", tmp_path / "x.o")
    anybpf("btf", "min", program, "--btf", LIVE, "--embed", "-o", tmp_path / "carries.o")
    assert run(tmp_path / "carries.o", "--btf", "auto").startswith("the object")


def test_a_damaged_pack_is_called_so(program, pack, home, tmp_path):
    short = tmp_path / "short.pack"
    short.write_bytes(pack.read_bytes()[:300])
    for command in (("run", program), ("build", TOOLS / "tasks.bpf.c", "-o", tmp_path / "x.o"), ("run", TOOLS / "tasks.bpf.c")):
        said = refused(*command, "--btf", short, status=8)
        assert str(short) in said and "damaged pack" in said


@needs_bpf
def test_run_with_types_of_another_object(program, pack, home, tmp_path):
    """They are for one object only: what is not in them is missing, and that is said."""
    anybpf("btf", "min", program, "--btf", LIVE, "-o", tmp_path / "min.btf")
    other = tmp_path / "tcplife.bpf.o"
    anybpf("build", TOOLS / "tcplife.bpf.c", "-o", other)
    refused("run", other, "--btf", tmp_path / "min.btf", "-d", "1", status=3)


def test_run_says_where_it_looked(program, home):
    said = refused("run", program, "--btf", "auto", status=7)
    assert RELEASE in said and "/.local/share/anybpf/kernels.pack" in said and "the object" in said


# ---- objects that carry types ----

@needs_bpf
def test_an_object_carries_its_types(program, pack, home, tmp_path):
    out = tmp_path / "carries.bpf.o"
    anybpf("btf", "min", program, "--pack", pack, "--embed", "-o", out)
    assert out.stat().st_size - program.stat().st_size < 2000
    assert run(out, "--btf", "auto").startswith("the object")
    assert run(out) is None
    again = tmp_path / "again.bpf.o"
    anybpf("btf", "min", out, "--pack", pack, "--embed", "-o", again)
    assert again.read_bytes() == out.read_bytes()


def test_equal_types_are_carried_once(program, home, tmp_path):
    files = [tmp_path / f"6.{n}.0-test.btf" for n in range(20)]
    for file in files:
        file.symlink_to(LIVE)
    one, many = tmp_path / "one.bpf.o", tmp_path / "many.bpf.o"
    anybpf("btf", "min", program, "--btf", files[0], "--embed", "-o", one)
    anybpf("btf", "min", program, *[a for f in files for a in ("--btf", f)], "--embed", "-o", many)
    assert many.stat().st_size - one.stat().st_size < 20 * 60


@needs_bpf
def test_damaged_types_in_an_object_are_refused(program, home, tmp_path):
    named = tmp_path / f"{RELEASE}.btf"
    named.symlink_to(LIVE)
    out = tmp_path / "carries.bpf.o"
    anybpf("btf", "min", program, "--btf", named, "--embed", "-o", out)
    data = bytearray(out.read_bytes())
    at = data.index(b"ABPFMIN\n")
    assert run(out, "--btf", "auto").startswith("the object")
    for offset, value in ((8, 9), (12, 255), (28, data[at + 28] ^ 1), (80, data[at + 80] ^ 1)):
        damaged = bytearray(data)
        damaged[at + offset] = value
        out.write_bytes(damaged)
        assert "carries" in refused("run", out, "--btf", "auto", status=8)


def test_libraries_cannot_be_changed(program, home, tmp_path):
    library = tmp_path / "opensnoop.so"
    anybpf("build", TOOLS / "opensnoop.bpf.c", "-o", library)
    anybpf("btf", "min", library, "--btf", LIVE, "-o", tmp_path / "min.btf")
    assert "before a library is made" in refused("btf", "min", library, "--btf", LIVE, "--embed", "-o", tmp_path / "x", status=2)


# ---- modules ----

IN_MODULE = r"""
struct task_struct;
enum ring_state { RING_EMPTY = 1, RING_FULL = 7 };
struct ring { int pad[5]; enum ring_state state; long head; struct task_struct *owner; };
__attribute__((section(".modinfo"), used)) static const char info[] = "name=%s\0vermagic=%s SMP";
int %s_push(struct ring *r) { return r->state; }
"""
ASKS_MODULE = r"""
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
enum ring_state___x { RING_FULL___x = 3 };
struct ring___x { enum ring_state___x state; long head; struct task_struct *owner; };
struct never___x { int a; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 6); __type(key, __u32); __type(value, __u64); } found SEC(".maps");
static void put(__u32 key, __u64 value) { bpf_map_update_elem(&found, &key, &value, 0); }
#define OFFSET(type, member) __builtin_preserve_field_info(((type *)0)->member, BPF_FIELD_BYTE_OFFSET)
SEC("raw_tp/sched_switch") int on_switch(void *ctx)
{
	put(0, OFFSET(struct ring___x, head));
	put(1, bpf_core_type_size(struct ring___x));
	put(2, bpf_core_enum_value(enum ring_state___x, RING_FULL___x));
	put(3, 1 + bpf_core_type_exists(struct never___x));
	put(4, OFFSET(struct ring___x, owner));
	put(5, OFFSET(struct task_struct, pid));
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    """An object that asks for types of a module and of the kernel, a pack of the kernel alone, and one with the module too."""
    folder = tmp_path_factory.mktemp("modules")
    for name, text in (("ring", IN_MODULE), ("other", IN_MODULE.replace("struct ring ", "struct drum ").replace("struct ring *", "struct drum *"))):
        (folder / f"{name}.c").write_text(text % (name, RELEASE, name))
        kernels.run("gcc", "-g", "-c", "-o", folder / f"{name}.ko", folder / f"{name}.c")
        kernels.run("pahole", "-J", "--btf_base", LIVE, folder / f"{name}.ko")
    (folder / "asks.bpf.c").write_text(ASKS_MODULE)
    for args in (("build", folder / "asks.bpf.c", "-o", folder / "asks.bpf.o"), ("pack", "add", folder / "alone.pack", LIVE),
                 ("pack", "add", "--modules", folder / "both.pack", LIVE, folder / "other.ko", folder / "ring.ko")):
        subprocess.run([ANYBPF, *args], check=True, capture_output=True, env={**os.environ, "ANYBPF_CC": str(BUILD / "anybpf-cc"),
                                                                             "ANYBPF_LIBDIR": str(BUILD)})
    return folder


def offset_of_pid(asking):
    shown = json.loads(anybpf("types", "show", "struct task_struct", "--json").stdout)
    return next(m["offset"] for m in shown["members"] if m["name"] == "pid")


@needs_bpf
def test_types_of_modules_are_among_the_minimized(asking, home, monkeypatch, tmp_path):
    monkeypatch.setenv("ANYBPF_PACK", str(asking / "both.pack"))
    carries = tmp_path / "carries.bpf.o"
    anybpf("btf", "min", asking / "asks.bpf.o", "--embed", "-o", carries)
    for program in (asking / "asks.bpf.o", carries):
        done = anybpf("run", program, "--btf", "auto", "--duration", "300ms", "--json")
        maps = [line for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "map"]
        values = {e["key"]: e["value"] for e in maps[-1]["entries"]}
        assert values == {0: 24, 1: 40, 2: 7, 3: 1, 4: 32, 5: offset_of_pid(asking)}
    assert max(f.stat().st_size for f in (home / ".cache/anybpf/btf").iterdir()) < 1000


@needs_bpf
def test_without_the_module_there_are_no_such_types(asking, home, monkeypatch):
    monkeypatch.setenv("ANYBPF_PACK", str(asking / "alone.pack"))
    refused("run", asking / "asks.bpf.o", "--btf", "auto", status=3)
    said = anybpf("check", asking / "asks.bpf.o", "--pack", asking / "alone.pack", status=1).stdout.decode()
    assert "there is no struct ring" in said and "never" not in said


def test_check_looks_at_modules_as_well(asking, home, tmp_path):
    assert json.loads(anybpf("check", asking / "asks.bpf.o", "--pack", asking / "both.pack", "--json").stdout)["objects"][0]["native"] == 1
    (tmp_path / "more.bpf.c").write_text(ASKS_MODULE.replace("long head;", "long head; int gone;").replace("struct ring___x, head", "struct ring___x, gone"))
    said = anybpf("check", tmp_path / "more.bpf.c", "--pack", asking / "both.pack", status=1).stdout.decode()
    assert "struct ring has no member 'gone'" in said and "there is no" not in said


# ---- headers ----

def test_headers(pack, home, monkeypatch):
    whole = anybpf("btf", "header", LIVE).stdout
    assert b"struct task_struct {" in whole and whole == anybpf("btf", "header").stdout
    monkeypatch.setenv("ANYBPF_PACK", str(pack))
    packed = anybpf("btf", "header", RELEASE).stdout
    assert b"struct task_struct {" in packed and abs(len(packed) - len(whole)) < len(whole) / 20
    part = anybpf("btf", "header", RELEASE, "--source", TOOLS / "execsnoop.bpf.c").stdout
    assert b"struct task_struct {" in part and len(part) < len(whole) / 20
    assert "no file, and there is no pack" not in refused("btf", "header", "5.99", status=4)


def test_build_against_a_kernel_of_the_pack(pack, home, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYBPF_PACK", str(pack))
    anybpf("build", TOOLS / "opensnoop.bpf.c", "--btf", RELEASE, "-o", tmp_path / "x.o")
    anybpf("build", TOOLS / "opensnoop.bpf.c", "-o", tmp_path / "y.o")
    assert (tmp_path / "x.o").read_bytes() == (tmp_path / "y.o").read_bytes()


def test_verbs(home):
    assert "did you mean 'header'" in refused("btf", "heder", status=2)
    assert "it is 'anybpf btf min FILE -o OUT'" in refused("btf", "min", status=2)
