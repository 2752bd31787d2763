# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Compiling: same code as with all types, same bytes everywhere, every output, and every way that it can go wrong."""
import ctypes
import glob
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from live import BUILD, ROOT, TOOLS, needs_bpf
from objects import Elf, code, relocations, same_program

ANYBPF = BUILD / "anybpf"
CORPUS = sorted((ROOT / "bench" / "corpus").glob("*.bpf.c"))
SOURCES = [*CORPUS, *sorted(TOOLS.glob("*.bpf.c"))]
ENV = {**os.environ, "ANYBPF_CC": str(BUILD / "anybpf-cc"), "ANYBPF_LIBDIR": str(BUILD)}
CLANG = next((f"clang-{v}" for v in range(40, 14, -1) if shutil.which(f"clang-{v}")), None)
HELLO = ROOT / "bench" / "corpus" / "hello.bpf.c"
LICENSE = 'char LICENSE[] SEC("license") = "GPL";\n'
START = '#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n'
ARCHES = ["x86_64", "arm64", "arm", "s390x", "ppc64le", "riscv64", "loongarch64"]

pytestmark = pytest.mark.skipif(not os.path.exists("/sys/kernel/btf/vmlinux"), reason="needs a kernel with BTF")


def anybpf(*args, **kwargs):
    kwargs.setdefault("env", ENV)
    kwargs.setdefault("timeout", 120)
    return subprocess.run([ANYBPF, *map(str, args)], capture_output=True, **kwargs)


def build(*args, **kwargs):
    done = anybpf("build", *args, "-o", "-", **kwargs)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def refused(source, *args, status=3, **kwargs):
    """The one line that says why, and everything that was said."""
    done = anybpf("build", source, *args, "-o", "-", **kwargs)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == status, said
    assert done.stdout == b""
    line = [line for line in said.splitlines() if line.startswith("anybpf: error: ")]
    assert len(line) == 1, said
    return line[0].removeprefix("anybpf: error: "), said


def write(folder, text, name="program.bpf.c"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---- the header on demand ----

@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_same_code_as_with_all_types(source):
    done = anybpf("build", "-v", source, "-o", "-")
    assert done.returncode == 0, done.stderr.decode()
    assert "on demand" in done.stderr.decode(), "the header on demand did not suffice"
    assert same_program(done.stdout, build("--full-header", source))


@pytest.mark.skipif(not CLANG or not shutil.which("bpftool"), reason="needs clang and bpftool")
@pytest.mark.parametrize("source", CORPUS, ids=lambda p: p.name)
def test_same_code_as_stock_clang(source, tmp_path):
    header = subprocess.run(["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"], check=True, capture_output=True)
    (tmp_path / "vmlinux.h").write_bytes(header.stdout)
    subprocess.run([CLANG, "-g", "-O2", "-target", "bpf", "-mcpu=v1", "-D__TARGET_ARCH_x86", "-w", "-I", tmp_path, "-c", source, "-o",
                    tmp_path / "stock.o"], check=True)
    ours, stock = build(source), (tmp_path / "stock.o").read_bytes()
    assert code(ours) == code(stock)
    assert relocations(ours) == relocations(stock)


@pytest.mark.skipif(not CLANG, reason="needs clang")
@pytest.mark.parametrize("source", CORPUS, ids=lambda p: p.name)
def test_the_header_alone_serves_stock_clang(source, tmp_path):
    """`anybpf build --header` makes a vmlinux.h for people who compile themselves, with libbpf's own headers."""
    (tmp_path / "vmlinux.h").write_bytes(build("--header", source))
    subprocess.run([CLANG, "-g", "-O2", "-target", "bpf", "-mcpu=v1", "-D__TARGET_ARCH_x86", "-w", "-I", tmp_path, "-c", source, "-o",
                    tmp_path / "stock.o"], check=True)
    assert code(build(source)) == code((tmp_path / "stock.o").read_bytes())


def test_static_probes_need_no_whole_header():
    """Variables of libbpf's headers have an attribute behind their name."""
    assert b"kernel header: on demand" in anybpf("build", ROOT / "tests" / "cli" / "usdt.bpf.c", "-v", "-o", "-").stderr


def test_pasted_names_need_the_whole_header(tmp_path):
    source = write(tmp_path, START + '#define T(x) struct task_##x\nSEC("tp/a/b") int f(void *c) { return sizeof(T(struct)); }\n' + LICENSE)
    done = anybpf("build", "-v", source, "-o", "-")
    assert done.returncode == 0 and "on demand" not in done.stderr.decode()
    assert same_program(done.stdout, build("--full-header", source))


# ---- same input, same bytes ----

@pytest.mark.parametrize("source", SOURCES[:3], ids=lambda p: p.name)
def test_same_bytes_with_arguments_that_the_worker_did_not_expect(source):
    assert build(source) == build(source, "-D", "UNUSED=1") == build(source, "-I", "/nonexistent")


@pytest.mark.parametrize("how", [[], ["-D", "UNUSED=1"], ["--compiler", "clang"]], ids=["worker", "other arguments", "clang"])
def test_no_path_and_no_time_by_macros(how, tmp_path):
    if how[-1:] == ["clang"]:
        found = sorted(glob.glob("/usr/bin/clang-[12][0-9]"))
        if not found:
            pytest.skip("no clang")
        how = ["--compiler", found[-1]]
    made = []
    for folder in "one", "two/deep":
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "here.h").write_text("const char included[] = __FILE__;\n")
        made.append(write(tmp_path / folder, '#include "here.h"\nconst char file[] = __FILE__, when[] = __DATE__ __TIME__ __TIMESTAMP__;\n'))
    objects = [build(made[0], *how), build(made[1], *how), build("program.bpf.c", *how, cwd=tmp_path / "one"),
               build("./deep/program.bpf.c", *how, cwd=tmp_path / "two")]
    assert len(set(objects)) == 1
    assert b"program.bpf.c\0" in objects[0] and b"Jan  1 1970" in objects[0] and b"one" not in objects[0]


def test_same_bytes_wherever_it_is(tmp_path):
    source = TOOLS / "opensnoop.bpf.c"
    first = build(source)
    for folder in "one", "two/deep":
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(source, tmp_path / folder)
    assert first == build(tmp_path / "one" / source.name)
    assert first == build("deep/" + source.name, cwd=tmp_path / "two")
    assert first == build(source.name, cwd=tmp_path / "one")
    for secret in str(ROOT), str(tmp_path), "/usr/include", "<anybpf>":
        assert secret.encode() not in first


def test_included_files_show_no_path(tmp_path):
    for base in tmp_path / "a", tmp_path / "b":
        (base / "include").mkdir(parents=True)
        write(base, START + '#include "near.h"\n#include <far.h>\nSEC("tp/a/b") int f(void *c) { return near() + far(); }\n' + LICENSE)
        write(base, "static __noinline int near(void) { return 1; }\n", "near.h")
        write(base / "include", "static __noinline int far(void) { return bpf_get_smp_processor_id(); }\n", "far.h")
    a, b = (build(tmp_path / x / "program.bpf.c", "-I", tmp_path / x / "include") for x in "ab")
    assert a == b
    assert str(tmp_path).encode() not in a and b"far.h" in a


def test_standard_input(tmp_path):
    text = HELLO.read_bytes()
    assert same_program(build("-", input=text), build(HELLO))
    assert build("-", input=text) == build("-", input=text, cwd=tmp_path)


@pytest.mark.skipif(not CLANG, reason="needs clang")
@pytest.mark.parametrize("source", [*CORPUS, TOOLS / "execsnoop.bpf.c", TOOLS / "syncsnoop.bpf.c"], ids=lambda p: p.name)
def test_clang_gives_the_same_bytes(source):
    assert build(source) == build("--compiler", CLANG, source)


@pytest.mark.skipif(not CLANG, reason="needs clang")
def test_clang_in_place_of_a_missing_worker(tmp_path):
    env = {**ENV, "ANYBPF_CC": str(tmp_path / "none"), "TMPDIR": str(tmp_path)}
    assert build(HELLO, env=env) == build(HELLO)
    assert build("-", input=HELLO.read_bytes(), env=env) == build("-", input=HELLO.read_bytes())
    bad = write(tmp_path, START + "int f(void) { return nothing; }\n")
    line, said = refused(bad, env=env)
    assert line == f"{bad}:3:22: use of undeclared identifier 'nothing'"
    assert said == refused(bad)[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["program.bpf.c"]


def test_no_compiler_at_all(tmp_path):
    line, _ = refused(HELLO, status=7, env={**ENV, "ANYBPF_CC": str(tmp_path / "none"), "PATH": str(tmp_path)})
    assert "neither anybpf-cc nor clang" in line


# ---- options ----

def test_defines_and_include_dirs(tmp_path):
    source = write(tmp_path, START + '#include <value.h>\nint a = VALUE, b = X;\nSEC("tp/a/b") int f(void *c) { return a + b; }\n' + LICENSE)
    (tmp_path / "i").mkdir()
    write(tmp_path / "i", "#define VALUE 7\n", "value.h")
    data = Elf(build(source, "-I", tmp_path / "i", "-D", "X=9")).named(".data")
    assert data == bytes([7, 0, 0, 0, 9, 0, 0, 0])


@pytest.mark.parametrize("arch", ARCHES)
def test_other_machines(arch, tmp_path):
    """Registers by libbpf's macros, with this kernel's types for every machine."""
    source = write(tmp_path, START + '#include <bpf/bpf_tracing.h>\n#include <bpf/bpf_core_read.h>\nlong a, b, r, s;\n'
                   'SEC("kprobe/f") int BPF_KPROBE(f, int x) { a = x; b = PT_REGS_PARM5_CORE(ctx); s = PT_REGS_SP(ctx); return 0; }\n'
                   'SEC("kretprobe/f") int BPF_KRETPROBE(g, long x) { r = x; return PT_REGS_IP(ctx); }\n' + LICENSE)
    text = source.read_text()
    if arch == "arm":
        text = text.replace("PT_REGS_PARM5_CORE", "PT_REGS_PARM3_CORE")
    if arch == "ppc64le":
        text = text.replace("PT_REGS_SP(ctx)", "1")  # libbpf 1.1 names a member that no powerpc has
    if arch == "loongarch64" and "loongarch" not in open("/usr/include/bpf/bpf_tracing.h").read():
        pytest.skip("this libbpf knows no loongarch")
    source.write_text(text)
    elf = Elf(build("--arch", arch, source))
    assert elf.order == (">" if arch == "s390x" else "<")
    native = arch == {"x86_64": "x86_64", "aarch64": "arm64"}.get(os.uname().machine)
    kinds = {r[3] for r in relocations(elf.data)}
    assert kinds <= {"struct pt_regs", "struct user_pt_regs", "typedef user_pt_regs", "struct user_regs_struct"} and (kinds or not native)


def test_unknown_options(tmp_path):
    assert "pdp11" in refused(HELLO, "--arch", "pdp11", status=2)[0]
    line, _ = refused(HELLO, "-D", "=1", status=2)
    assert "'=1' is not NAME or NAME=VALUE" in line


# ---- what is in an object ----

def test_objects_are_small_and_complete():
    elf = Elf(build(TOOLS / "execsnoop.bpf.c"))
    assert not [n for n in elf.names if n.startswith((".debug", ".rel.debug", ".llvm", ".comment", ".eh_frame", ".rel.BTF"))]
    assert {".BTF", ".BTF.ext", "license", ".maps", ".symtab", ".strtab"} <= set(elf.names)


@needs_bpf
@pytest.mark.skipif(not shutil.which("bpftool"), reason="needs bpftool")
def test_bpftool_loads_it(tmp_path):
    (tmp_path / "x.o").write_bytes(build(CORPUS[0].parent / "execs.bpf.c"))
    done = subprocess.run(["bpftool", "gen", "skeleton", tmp_path / "x.o"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pins = f"/sys/fs/bpf/anybpf-test-{os.getpid()}"
    subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], capture_output=True)
    try:
        done = subprocess.run(["bpftool", "prog", "loadall", tmp_path / "x.o", pins], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(pins, ignore_errors=True)


# ---- libraries and skeletons ----

@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "hello.so"
    if not (BUILD / "anybpf-template.so").exists():
        pytest.skip("this build has no library template")
    assert anybpf("build", HELLO, "-o", path).returncode == 0
    return path


def test_library_carries_the_object(library):
    size, data, err = ctypes.c_size_t(), ctypes.c_void_p(), ctypes.create_string_buffer(1024)
    lib = ctypes.CDLL(str(library))
    assert lib.ab_library_object(ctypes.byref(data), ctypes.byref(size), err) == 0
    assert ctypes.string_at(data, size.value) == build(HELLO)
    handle = ctypes.c_void_p()
    assert lib.ab_library_open(None, ctypes.byref(handle), err) == 0
    lib.ab_object_name.restype = ctypes.c_char_p
    assert lib.ab_object_name(handle) == b"hello"
    lib.ab_object_close(handle)


def test_library_is_deterministic_and_for_old_glibc(library, tmp_path):
    again = tmp_path / "again.so"
    assert anybpf("build", HELLO, "-o", again).returncode == 0
    assert again.read_bytes() == library.read_bytes()
    assert again.stat().st_mode & 0o777 == 0o755
    needs = re.findall(r"GLIBC_([0-9.]+)", subprocess.run(["readelf", "-V", library], capture_output=True, text=True).stdout)
    newest = max(tuple(map(int, v.split("."))) for v in needs)
    assert newest <= (2, 17)
    version, lib = ctypes.create_string_buffer(16), ctypes.CDLL(str(BUILD / "libanybpf.so"))
    data = library.read_bytes()
    assert lib.ab_library_glibc(data, ctypes.c_size_t(len(data)), version, None) == 0
    assert version.value.decode() == ".".join(map(str, newest))
    linked = subprocess.run(["readelf", "-d", library], capture_output=True, text=True).stdout
    assert set(re.findall(r"NEEDED.*\[(.*?)\]", linked)) <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


@needs_bpf
def test_library_runs(library):
    done = anybpf("run", library, "--duration", "0.2")
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("damage", ["truncated", "object", "size", "version"])
def test_damaged_library_is_refused(library, tmp_path, damage):
    data = bytearray(library.read_bytes())
    elf = Elf(bytes(data))
    at = elf.sections[elf.names.index(".anybpf.object")][4]
    if damage == "truncated":
        del data[-100:]
    else:
        data[at + {"object": 5000, "size": 16, "version": 8}[damage] if damage != "object" else at + 32 + 700] ^= 0x55
    path = tmp_path / "bad.so"
    path.write_bytes(data)
    done = anybpf("run", path, "--duration", "0.1")
    assert done.returncode == 8
    assert len(done.stderr.decode().splitlines()) == 1


def test_no_template(tmp_path):
    done = anybpf("build", HELLO, "-o", tmp_path / "x.so", env={**ENV, "ANYBPF_LIBDIR": str(tmp_path)})
    assert done.returncode == 7 and b"is not installed" in done.stderr
    assert list(tmp_path.iterdir()) == []


USER = r"""
#include "everything.skel.h"
#include <stdio.h>
int main(void)
{
	struct everything_bpf *s = everything_bpf__open();
	size_t n;

	if (!s || !everything_bpf__elf_bytes(&n) || n < 1000)
		return 1;
	s->rodata->wanted = 5;
	s->rodata->pair[1].b = 6;
	if (everything_bpf__load(s) || everything_bpf__attach(s))
		return 2;
	getppid_();
	printf("%lld %d %d %s\n", (long long)s->bss->hits > 0 ? 1LL : 0LL, s->data->start, s->bss->copied, s->data->text);
	everything_bpf__detach(s);
	everything_bpf__destroy(s);
	return bpf_map__max_entries((struct bpf_map *)0) ? 3 : 0;
}
"""


@needs_bpf
@pytest.mark.parametrize("compiler", [("cc",), ("c++", "-x", "c++")], ids=["c", "c++"])
def test_skeleton(tmp_path, compiler):
    if not shutil.which(compiler[0]):
        pytest.skip(f"needs {compiler[0]}")
    source = write(tmp_path, START + 'struct pair { u8 a; s16 b; u64 c; };\nstruct odd { u32 x : 3, y : 29; };\nenum e { E1 = 1, E2 };\n'
                   'const volatile int wanted = 1;\nconst volatile struct pair pair[2] = {};\nint start = 42;\nchar text[8] = "hi";\n'
                   'u64 hits, matrix[2][3];\nint copied;\nbool flag;\nenum e kind;\nstruct odd odd;\nvoid *pointer;\nint class;\n'
                   'struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } m SEC(".maps");\n'
                   'SEC("raw_tp/sys_enter") int on_enter(void *c) { hits++; copied = wanted + pair[1].b; matrix[1][2]++; flag = kind || odd.x;'
                   ' pointer = 0; class = 0; return 0; }\n' + LICENSE, "everything.bpf.c")
    assert anybpf("build", source, "-o", tmp_path / "everything.skel.h").returncode == 0
    user = USER.replace("getppid_()", "usleep(1000)").replace("#include <stdio.h>", "#include <stdio.h>\n#include <unistd.h>") \
               .replace("return bpf_map__max_entries((struct bpf_map *)0) ? 3 : 0;", "return 0;")
    write(tmp_path, user, "user.c")
    subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", tmp_path / "user.c", "-o", tmp_path / "user", "-lbpf"], check=True)
    done = subprocess.run([tmp_path / "user"], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("1 42 11 hi\n", 0)


# ---- bad input ----

BAD = {
    "text": ("hello, world\n", "program.bpf.c:1:1: "),
    "missing include": (START + '#include "not/there.h"\n', ":3:10: 'not/there.h' file not found"),
    "syntax": (START + "int f(void) {\n", "expected '}'"),
    "no type": (START + "struct tsk_struct t;\nint f(void) { return sizeof(t); }\n", "incomplete type 'struct tsk_struct'"),
    "crash": ("#pragma clang __debug crash\n", "the compiler crashed on this source"),
    "directory": (START + '#include "/usr"\n', "'/usr'"),
    "device": (START + '#include "/dev/zero"\n', "#include of '/dev/zero', which is not a file"),
    "bytes": (b"\xff\xfe\x00\x01\x80\n", "byte order mark"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_source(name, tmp_path):
    text, expected = BAD[name]
    line, _ = refused(write(tmp_path, text), timeout=60)
    assert expected in line, line


def test_the_reason_is_one_line_also_of_a_message_with_more(tmp_path):
    line, _ = refused(write(tmp_path, START + 'SEC("tp/a/b") long f(void *c) { char b[600]; return bpf_probe_read(b, 600, c); }\n'))
    assert "stack" in line and line[-1] not in "? \n", line


def test_nearest_type_is_named(tmp_path):
    _, said = refused(write(tmp_path, START + "int f(struct task_struc *t) { return t->pid; }\n"))
    assert "the nearest name is 'struct task_struct'" in said, said


def test_missing_source(tmp_path):
    line, _ = refused(tmp_path / "none.bpf.c", status=4)
    assert "none.bpf.c" in line
    assert "directory" in refused(tmp_path, status=2)[0].lower()


def test_include_bomb(tmp_path):
    line, _ = refused(write(tmp_path, '#include "program.bpf.c"\n' * 2))
    assert "#include nested too deeply" in line
    for i in range(80):
        write(tmp_path, f'#include "h{i + 1}.h"\n', f"h{i}.h")
    assert "nested deeper than 64" in refused(write(tmp_path, '#include "h0.h"\n'), status=8)[0]
    write(tmp_path, "x" * (17 << 20), "huge.h")
    assert "larger than" in refused(write(tmp_path, '#include "huge.h"\n'), status=8)[0]


def test_null_bytes_and_utf8_are_let_through(tmp_path):
    source = write(tmp_path, START.encode() + '/* é \0 */ const char *s = "ü";\n'.encode() + LICENSE.encode())
    assert Elf(build(source)).named("license") == b"GPL\0"


@pytest.mark.parametrize("text", ["", "int main(void) { return 0; }\n", START + "int kept;\n"])
def test_source_without_a_program_is_warned_of(text, tmp_path):
    done = anybpf("build", write(tmp_path, text), "-o", "-")
    assert done.returncode == 0 and b"program.bpf.c: warning: no BPF program" in done.stderr
    done = anybpf("run", tmp_path / "program.bpf.c", "-q")
    if text.startswith("int"):  # which loads first
        assert os.geteuid() or b"'main' is a function, but no BPF program: SEC(" in done.stderr
    else:
        assert b"program.bpf.c: no BPF program in the object" in done.stderr
    assert done.returncode == 8 or os.geteuid()


def test_an_object_is_no_source(tmp_path):
    assert anybpf("build", write(tmp_path, START), "-o", tmp_path / "made.o").returncode == 0
    done = anybpf("build", tmp_path / "made.o", "-o", tmp_path / "again.so")
    assert done.returncode == 8 and b"made.o' is an object already" in done.stderr and not (tmp_path / "again.so").exists()


def test_no_license_is_warned_of(tmp_path):
    done = anybpf("build", write(tmp_path, START + 'SEC("tp/a/b") int f(void *c) { return 0; }\n'), "-o", "-")
    assert done.returncode == 0 and b"warning: no license" in done.stderr


def test_a_crash_leaves_the_builder_usable(tmp_path):
    """One builder for several files: a crash, a good one, an error, a good one."""
    crash = write(tmp_path, "#pragma clang __debug crash\n", "crash.bpf.c")
    bad = write(tmp_path, "int f(void) { return x; }\n", "bad.bpf.c")
    with_builder(lambda lib, builder: [
        expect(lib, builder, crash, -22, b"crashed"), expect(lib, builder, HELLO, 0), expect(lib, builder, bad, -22, b"undeclared"),
        expect(lib, builder, HELLO, 0)])


class BuildOpts(ctypes.Structure):
    _fields_ = [("sz", ctypes.c_size_t), ("defines", ctypes.c_void_p), ("include_dirs", ctypes.c_void_p), ("arch", ctypes.c_char_p),
                ("isa", ctypes.c_char_p), ("full_header", ctypes.c_bool), ("color", ctypes.c_bool), ("timeout_ms", ctypes.c_uint32)]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("kind", ctypes.c_uint32), ("msg", ctypes.c_char * 512), ("log", ctypes.c_void_p)]


def with_builder(work):
    lib = ctypes.CDLL(str(BUILD / "libanybpf.so"))
    builder, old = ctypes.c_void_p(), os.environ.get("ANYBPF_CC")
    os.environ["ANYBPF_CC"] = ENV["ANYBPF_CC"]
    try:
        assert lib.ab_builder_new(None, ctypes.byref(builder), None) == 0
        work(lib, builder)
        lib.ab_builder_free(builder)
    finally:
        os.environ.pop("ANYBPF_CC") if old is None else os.environ.update(ANYBPF_CC=old)


def expect(lib, builder, source, code, text=b"", **opts):
    artifact, err, options = ctypes.c_void_p(), Error(), BuildOpts(ctypes.sizeof(BuildOpts), **opts)
    got = lib.ab_builder_build(builder, str(source).encode(), None, ctypes.c_size_t(0), ctypes.byref(options), ctypes.byref(artifact),
                               ctypes.byref(err))
    assert got == code and text in err.msg, (got, err.msg)
    lib.ab_error_clear(ctypes.byref(err))
    lib.ab_artifact_free(artifact)


def test_endless_compile_is_ended(tmp_path):
    """Each line doubles the work of the next: no compiler would be done with it."""
    slow = write(tmp_path, "#define A0 1+1\n" + "".join(f"#define A{i} A{i - 1}+A{i - 1}\n" for i in range(1, 40)) + "int x = A39;\n")
    began = time.monotonic()
    with_builder(lambda lib, builder: [expect(lib, builder, slow, -110, b"not done after 500 ms", timeout_ms=500),
                                       expect(lib, builder, HELLO, 0)])
    assert time.monotonic() - began < 20


def test_nothing_half_made_is_left(tmp_path):
    bad = write(tmp_path, "int f(void) { return x; }\n")
    assert anybpf("build", bad, "-o", tmp_path / "x.o").returncode == 3
    with open("/dev/full", "wb") as full:
        done = subprocess.run([ANYBPF, "build", HELLO, "-o", "-"], stdout=full, stderr=subprocess.PIPE, env=ENV)
    assert done.returncode == 9 and b"No space left" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["program.bpf.c"]
