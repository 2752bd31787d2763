# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""CO-RE: the kernel's own core_reloc selftests, run in place from the linux-source package against our resolver, and our answers
beside libbpf's for the repository's programs and real kernels' types.

BTF_DATA names a folder of kernels' types in BTFHub's layout (*.btf.tar.xz, at any depth); default: shared/data/btf beside the tree.
"""
import collections
import fcntl
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest
from live import BUILD, ROOT, TOOLS, needs_bpf

CORE = BUILD / "tests" / "core"
SHIM = ROOT / "tests" / "core" / "shim"
DATA = pathlib.Path(os.environ.get("BTF_DATA", ROOT.parent / "shared" / "data" / "btf"))
LIVE = pathlib.Path("/sys/kernel/btf/vmlinux")
CLANG = next((f"clang-{v}" for v in range(40, 14, -1) if shutil.which(f"clang-{v}")), None)
SOURCES = sorted([*TOOLS.glob("*.bpf.c"), *(ROOT / "bench" / "corpus").glob("*.bpf.c")])
ENV = {**os.environ, "ANYBPF_CC": str(BUILD / "anybpf-cc"), "ANYBPF_LIBDIR": str(BUILD)}
SELFTESTS = "tools/testing/selftests/bpf"
# What takes the kernel's test module, which no distribution ships.
NEED_MODULE = {"module_probed", "module_direct"}


# ---- the kernel's selftests ----

def version(path):
    return [int(n) for n in re.findall(r"\d+", path.name)]


def extract(archive, folder):
    """The selftests of CO-RE, once for each package version."""
    stamp = folder / "complete"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            subprocess.run(["tar", "-C", folder, "--strip-components=1", "--wildcards", "-xf", archive,
                            f"*/{SELFTESTS}/progs/*core_reloc*", f"*/{SELFTESTS}/prog_tests/core_reloc.c",
                            f"*/{SELFTESTS}/*bpf_testmod.h"], check=True)
            stamp.touch()
    return folder / SELFTESTS


@pytest.fixture(scope="session")
def selftests(tmp_path_factory):
    """A folder with the package's core_reloc programs and types compiled, and its test compiled against the shim."""
    archives = sorted(pathlib.Path("/usr/src").glob("linux-source-*.tar.*"), key=version)
    if not archives:
        pytest.skip("needs a linux-source package (scripts/deps --lab)")
    if not CLANG:
        pytest.skip("needs clang")
    archive = archives[-1]
    source = extract(archive, CORE / f"{archive.name}-{int(archive.stat().st_mtime)}")
    folder = tmp_path_factory.mktemp("selftests")
    machine = os.uname().machine
    arch = {"x86_64": "x86", "aarch64": "arm64"}.get(machine, machine)
    for program in sorted((source / "progs").glob("*core_reloc*.c")):
        if program.name != "test_core_reloc_module.c":
            subprocess.run([CLANG, "-std=gnu11", "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-w", f"-D__{machine}__",
                            f"-D__TARGET_ARCH_{arch}", f"-I{source}", "-idirafter", f"/usr/include/{machine}-linux-gnu",
                            "-c", program, "-o", folder / f"{program.stem}.bpf.o"], check=True)
    subprocess.run(["cc", "-w", f"-I{SHIM}", f"-I{source}", source / "prog_tests" / "core_reloc.c", SHIM / "runner.c",
                    "-lbpf", "-o", folder / "test_progs"], check=True)
    return folder


def run_selftests(folder, which, apply):
    done = subprocess.run([folder / "test_progs", which], cwd=folder, capture_output=True, text=True, timeout=300,
                          env={**ENV, "CORE_APPLY": str(apply)})
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines() if re.fullmatch(r"\S+ (PASS|FAIL|SKIP)", line)), done.stderr


@needs_bpf
@pytest.mark.skipif(not LIVE.exists(), reason="needs a kernel with BTF")
def test_the_kernels_cases(selftests):
    cases, said = run_selftests(selftests, "core_reloc", CORE / "core-apply")
    assert [name for name, result in cases.items() if result == "FAIL"] == [], said
    assert {name for name, result in cases.items() if result == "SKIP"} == NEED_MODULE
    assert len(cases) >= 70


@needs_bpf
def test_the_kernels_cases_notice_what_is_wrong(selftests):
    """With nothing relocated, none of them passes."""
    cases, _ = run_selftests(selftests, "core_reloc", shutil.which("true"))
    assert collections.Counter(cases.values())["PASS"] == 0 and len(cases) >= 70


@needs_bpf
def test_the_kernels_cases_with_minimized_types(selftests):
    """The kernel's test of `bpftool gen min_core_btf SOURCE DESTINATION OBJECT`, with ours in its place."""
    bpftool = selftests / "bpftool"
    bpftool.write_text(f'#!/bin/sh\nexec {BUILD}/anybpf btf min "$5" --btf "$3" -o "$4" -q\n')
    bpftool.chmod(0o755)
    cases, said = run_selftests(selftests, "core_reloc_btfgen", CORE / "core-apply")
    assert [name for name, result in cases.items() if result == "FAIL"] == [], said
    results = collections.Counter(cases.values())
    assert results["PASS"] >= 50, results


# ---- libbpf ----

def kernels():
    found = sorted(DATA.rglob("*.btf.tar.xz"))
    return [LIVE, *found] if found else [LIVE, None]


def types_of(archive, folder):
    with tarfile.open(archive) as tar:
        member = next(m for m in tar if m.name.endswith(".btf"))
        path = folder / pathlib.Path(member.name).name
        path.write_bytes(tar.extractfile(member).read())
    return path


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    if not LIVE.exists():
        pytest.skip("needs a kernel with BTF")
    folder = tmp_path_factory.mktemp("objects")
    for source in SOURCES:
        subprocess.run([BUILD / "anybpf", "build", source, "-o", folder / f"{source.name[:-6]}.bpf.o"], check=True, env=ENV)
    return sorted(folder.iterdir())


def some(objects, kernel):
    """All for the running kernel; a third of them for each other one, whose types take long to read, and the next third for the next."""
    return objects if kernel == LIVE else objects[kernels().index(kernel) % 3::3]


def compare(program, btf):
    """How many lines libbpf and we have to say about it, the same ones."""
    done = subprocess.run([CORE / "core-libbpf", program, btf], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout)


@needs_bpf
@pytest.mark.parametrize("kernel", kernels(), ids=lambda k: k.name.removesuffix(".btf.tar.xz") if k else "archive")
def test_libbpf_says_the_same(objects, kernel, tmp_path):
    if not kernel:
        pytest.skip(f"no kernels' types in {DATA} (BTF_DATA names another folder)")
    btf = kernel if kernel == LIVE else types_of(kernel, tmp_path)
    objects = some(objects, kernel)
    assert sum(compare(program, btf) for program in objects) > 20 * len(objects)


@needs_bpf
def test_libbpf_says_the_same_of_the_kernels_cases(selftests):
    """The wording too, also where both give up."""
    lines = 0
    for program in sorted(selftests.glob("test_core_reloc_*.bpf.o")):
        name = re.sub("_(direct|probed)$", "", program.name[len("test_core_reloc_"):-len(".bpf.o")])
        lines += sum(compare(program, btf) for btf in selftests.glob(f"btf__core_reloc_{name}*.bpf.o"))
    assert lines > 1000


# ---- minimized BTF ----

def bpftool_min(program, btf, out):
    if not shutil.which("bpftool"):
        pytest.skip("needs bpftool")
    subprocess.run(["bpftool", "gen", "min_core_btf", btf, out, program], check=True, capture_output=True)
    return out.stat().st_size


@pytest.mark.parametrize("kernel", kernels(), ids=lambda k: k.name.removesuffix(".btf.tar.xz") if k else "archive")
def test_minimized_types_relocate_to_the_same(objects, kernel, tmp_path):
    """Byte by byte, and no larger than bpftool's."""
    if not kernel:
        pytest.skip(f"no kernels' types in {DATA} (BTF_DATA names another folder)")
    btf = kernel if kernel == LIVE else types_of(kernel, tmp_path)
    objects = some(objects, kernel)
    least = {program: tmp_path / f"{program.name}.btf" for program in objects}
    for program in objects:
        subprocess.run([BUILD / "anybpf", "btf", "min", program, "--btf", btf, "-o", least[program], "-q"], check=True)
        assert least[program].stat().st_size <= bpftool_min(program, btf, tmp_path / "bpftool.btf"), program.name
    whole_jobs = [(program, btf, tmp_path / f"{program.name}.whole") for program in objects]
    least_jobs = [(program, least[program], tmp_path / f"{program.name}.least") for program in objects]
    subprocess.run([CORE / "core-apply", *itertools.chain(*whole_jobs, *least_jobs)], check=True)
    for (program, _, whole), (_, _, made) in zip(whole_jobs, least_jobs):
        assert made.read_bytes() == whole.read_bytes(), program.name
