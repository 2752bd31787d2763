# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""anybpf check: its predictions for the running kernel held against the running kernel, its output, and its exit statuses.

`make check-predictions` does the same on booted kernels of many versions.
"""
import concurrent.futures
import importlib.util
import json
import os
import pathlib
import re
import subprocess
from importlib.machinery import SourceFileLoader

import pytest
from live import BUILD, ROOT
from live import needs_bpf

loader = SourceFileLoader("predictions", str(ROOT / "tests/predictions/check"))
predictions = importlib.util.module_from_spec(importlib.util.spec_from_loader("predictions", loader))
loader.exec_module(predictions)

# Policy, and a symbol table without variables (CONFIG_KALLSYMS_ALL): docs/check.md.
BEYOND_TYPES = ("Operation not permitted", "failed to find the address for kernel symbol")
BTF = pathlib.Path("/sys/kernel/btf/vmlinux")
pytestmark = pytest.mark.skipif(not BTF.exists(), reason="this kernel has no BTF")


def anybpf(*args, status=0):
    done = subprocess.run([BUILD / "anybpf", *map(str, args)], capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("check")


@pytest.fixture(scope="module")
def built(folder):
    """Objects of tests/predictions by name, each compiled once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = predictions.build(ROOT / f"tests/predictions/{name}.bpf.c", folder)
        return made[name]

    return get


def try_to_run(made):
    """(whether it loads and attaches here, programs left out, what was said); None: this machine says no for another reason."""
    done = subprocess.run([BUILD / "anybpf", "run", made, "--json", "--duration", "100ms"], capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    summary = [line for line in lines if line.get("type") == "summary"]
    errors = [line["error"] for line in lines if "error" in line]
    if errors and (errors[0]["kind"] == "permission" or any(words in errors[0]["message"] for words in BEYOND_TYPES)):
        return None
    if not summary:
        return False, set(), done.stderr
    skipped = {p["name"] for p in summary[0]["programs"] if p["state"] == "skipped"}
    return True, skipped, done.stderr


@needs_bpf
def test_predictions_hold_on_the_running_kernel(built):
    names = sorted(path.name.split(".")[0] for path in ROOT.glob("tests/predictions/*.bpf.c"))
    objects = [built(name) for name in names]
    predicted = predictions.predict(objects)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        happened = dict(zip(names, pool.map(try_to_run, objects)))
    wrong, tried = [], 0
    for name in names:
        if happened[name] is None:
            continue
        tried += 1
        (said, why), = (answer for (object_name, _), answer in predicted.items() if object_name == name)
        if said != happened[name][:2]:
            wrong.append(f"{name}: predicted {said} {why}; happened {happened[name]}")
    assert not wrong, "\n".join(wrong)
    assert tried > len(names) / 2


def test_what_is_missing_is_named(built):
    out = anybpf("check", built("field_missing"), status=1).stdout.splitlines()
    assert out[0].endswith("field_missing.bpf.o: fails")
    assert out[2] == "    field_missing.bpf.c:18: on_switch: task->never_was: struct task_struct has no member 'never_was'"
    assert out[3] == "        guard it with bpf_core_field_exists()"


def test_a_type_without_a_name_is_no_registers(folder):
    source = folder / "unnamed.bpf.c"
    source.write_text((ROOT / "tests/predictions/field_missing.bpf.c").read_text()
                      .replace("int never_was;", "typeof(struct { int never_was; }) usage;").replace("task->never_was", "task->usage.never_was"))
    out = anybpf("check", source, status=1).stdout
    assert "no member 'never_was'" in out and "guard it with bpf_core_field_exists()" in out and "--arch" not in out


def test_source_is_compiled():
    tool = ROOT / "tools" / "opensnoop.bpf.c"
    assert anybpf("check", tool).stdout == f"{tool}: runs\n"
    assert anybpf("check", tool, "--quiet").stdout == ""


def test_json(built):
    report = json.loads(anybpf("check", built("function_optional"), built("lsm_missing"), "--json", status=1).stdout)
    assert [k["release"] for k in report["kernels"]] == [os.uname().release]
    optional, missing = report["objects"]
    assert optional["native"] == 1 and optional["verdicts"] == ["native"]
    assert {r["program"] for r in optional["reasons"] if not r["fatal"]} >= {"on_never", "on_never_either"}
    assert missing["fails"] == 1 and missing["verdicts"] == ["fails"]
    reason = missing["reasons"][0]
    assert reason["fatal"] and reason["access"] == "lsm/never_a_hook" and reason["kernels"] == [0] and reason["line"] > 1
    assert set(reason) == {"fatal", "program", "file", "line", "access", "message", "hint", "where", "kernels"}


def test_the_manual_shows_the_json(built):
    text = (ROOT / "docs/man/anybpf-check.md").read_text() + (ROOT / "docs/check.md").read_text()
    report = json.loads(anybpf("check", built("field_missing"), "--json", status=1).stdout)

    def keys(value):
        for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            yield from keys(item)
        if isinstance(value, dict):
            yield from value

    for key in keys(report):
        assert f"`{key}`" in text or f'"{key}"' in text


def test_html_needs_nothing_else(built, folder):
    page = folder / "matrix.html"
    anybpf("check", built("field_missing"), built("field_guarded"), "--html", page, status=1)
    text = page.read_text()
    assert text.count("<th>") >= 3 and "task-&gt;never_was" in text and "native</a>" in text and "fails</a>" in text
    assert not re.search(r'(src|href)="(?!#)', text)


def test_what_the_pack_knows_of_missing_targets(folder):
    """Three kernels; a function is renamed in the last of them, and one is there in the second only."""
    pack, btf = folder / "targets.pack", BTF.read_bytes()
    source = folder / "targets.bpf.c"
    names = [(b"filemap_readi", b"first_hand_x"), (b"filemap_readi", b"second_hand"), (b"filemap_readi_fol", b"third_hand_x")]
    for release, (page, hand) in zip(("5.4.0-1-x", "5.10.0-1-x", "6.1.0-1-x"), names):
        file = folder / f"renamed-{release}"
        file.write_bytes(btf.replace(b"\0filemap_read_folio\0", b"\0" + page.ljust(18, b"\0") + b"\0").replace(
            b"\0vfs_fsync_range\0", b"\0" + hand.ljust(15, b"\0") + b"\0"))
        anybpf("pack", "add", pack, file, "--release", release)
    targets = ["filemap_readi", "filemap_readi_fol", "second_hand", "vfs_reed"]
    source.write_text('#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\nchar LICENSE[] SEC("license") = "GPL";\n' + "".join(
        f'SEC("fentry/{t}") int on_{t}(void *ctx) {{ return 0; }}\n' for t in targets) + 'SEC("raw_tp/sched_swich") int on_tp(void *c) { return 0; }\n'
        'extern int vfs_writ(void *p) __ksym;\nSEC("raw_tp/sched_switch") int on_call(void *c) { return vfs_writ(c); }\n')
    reasons = json.loads(anybpf("check", source, "--pack", pack, "--kernels", "*", "--json", status=1).stdout)["objects"][0]["reasons"]
    hints = {(r["program"], tuple(r["kernels"])): re.split("; (?:attach|tag|declare) ", r["hint"])[0] for r in reasons}
    assert hints == {
        ("on_filemap_readi", (2,)): "the pack's kernels have it up to 5.10; it may be called 'filemap_readi_fol' there",
        ("on_filemap_readi_fol", (0, 1)): "the pack's kernels have it since 6.1; it may be called 'filemap_readi' there",
        ("on_second_hand", (0, 2)): "of the pack's kernels those of 5.10 have it",
        ("on_vfs_reed", (0, 1, 2)): "no kernel of the pack has it; it may be called 'vfs_read' there",
        ("vfs_writ", (0, 1, 2)): "no kernel of the pack has it; it may be called 'vfs_write' there",
        ("on_tp", (0, 1, 2)): "no kernel of the pack has it; it may be called 'sched_switch' there"}
    single = anybpf("check", source, "--btf", BTF, status=1).stdout
    assert "it may be called 'vfs_read' there; attach" in single and "it may be inlined, renamed" in single and "the pack" not in single


def kernel_files(folder):
    """The running kernel's types under releases of three series."""
    files = []
    for release in ("5.4.0-1-x", "5.10.0-1-x", "6.1.0-1-x"):
        files.append(folder / f"{release}.btf")
        files[-1].write_bytes(BTF.read_bytes())
    return files


def test_files_are_kernels_and_grouped(built, folder):
    btf = [arg for file in kernel_files(folder) for arg in ("--btf", file)]
    out = anybpf("check", built("field_missing"), *btf, status=1).stdout.splitlines()
    assert out[0].endswith("runs on 0 of 3 kernels") and out[1] == "  fails on 3 of 3: all"
    report = json.loads(anybpf("check", built("field_guarded"), *btf, "--json").stdout)
    assert [k["release"] for k in report["kernels"]] == ["5.4.0-1-x", "5.10.0-1-x", "6.1.0-1-x"]


def test_pack_and_files_agree(built, folder):
    pack = folder / "kernels.pack"
    files = kernel_files(folder)
    done = subprocess.run([BUILD / "anybpf", "pack", "add", pack, *files, "--arch", os.uname().machine, "--quiet"], capture_output=True, text=True)
    if "is not beside it" in done.stderr:
        pytest.skip("this build has no anybpf-hub")
    assert done.returncode == 0, done.stderr
    objects = [built(name) for name in ("field_missing", "field_in_function", "kfunc_new", "function_old", "struct_ops_member", "channel")]
    by_pack = json.loads(anybpf("check", *objects, "--pack", pack, "--json", status=1).stdout)
    by_file = json.loads(anybpf("check", *objects, *(arg for file in files for arg in ("--btf", file)), "--json", status=1).stdout)
    for reason in (r for by in (by_pack, by_file) for o in by["objects"] for r in o["reasons"]):
        del reason["hint"]  # a pack has more to say
    assert by_pack["objects"] == by_file["objects"]
    some = json.loads(anybpf("check", objects[0], "--pack", pack, "--kernels", "5.4..5.10", "--json", status=1).stdout)
    assert [k["release"] for k in some["kernels"]] == ["5.4.0-1-x", "5.10.0-1-x"]
    assert "no kernel of the pack is in '4.19'" in anybpf("check", objects[0], "--pack", pack, "--kernels", "4.19", status=4).stderr


OTHER_ARCH = {"x86_64": "aarch64", "aarch64": "x86_64"}.get(os.uname().machine)
USES_REGISTERS = """#include <anybpf.bpf.h>
SEC("raw_tp/sys_enter") int on_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];

	bpf_printk("%lx", PT_REGS_PARM1_CORE(regs));
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def two_machines(folder):
    """This kernel's types, also as those of a machine that they are not of, and so without its registers."""
    pack, foreign = folder / "machines.pack", folder / "foreign.pack"
    for path, release, arch in ((pack, "5.4.0-1-x", os.uname().machine), (pack, "5.4.0-1-y", OTHER_ARCH), (foreign, "5.4.0-1-y", OTHER_ARCH)):
        file = folder / "some.btf"
        file.write_bytes(BTF.read_bytes())
        done = subprocess.run([BUILD / "anybpf", "pack", "add", path, file, "--release", release, "--arch", arch], capture_output=True, text=True)
        if "is not beside it" in done.stderr:
            pytest.skip("this build has no anybpf-hub")
        assert done.returncode == 0, done.stderr
    return pack, foreign


@pytest.mark.skipif(not OTHER_ARCH, reason="no other architecture with registers of its own is known for this machine")
def test_source_is_compiled_for_the_machine_of_each_kernel(folder, two_machines):
    source = folder / "registers.bpf.c"
    source.write_text(USES_REGISTERS)
    subprocess.run([BUILD / "anybpf", "build", source, "-o", folder / "registers.o"], check=True)
    for file, verdicts in ((source, {"x": "native", "y": "fails"}), (folder / "registers.o", {"x": "native", "y": "native"})):
        report = json.loads(anybpf("check", file, "--pack", two_machines[0], "--json", status=int("fails" in verdicts.values())).stdout)
        assert {k["release"][-1]: v for k, v in zip(report["kernels"], report["objects"][0]["verdicts"])} == verdicts
    alone = json.loads(anybpf("check", source, "--pack", two_machines[1], "--json", status=1).stdout)["objects"][0]
    assert alone["verdicts"] == ["fails"] and "another architecture" in alone["reasons"][0]["hint"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="reads a register of x86")
def test_source_for_one_machine_only(folder, two_machines):
    source = folder / "one_machine.bpf.c"
    source.write_text(USES_REGISTERS.replace("PT_REGS_PARM1_CORE(regs)", "BPF_CORE_READ(regs, di)"))
    done = anybpf("check", source, "--pack", two_machines[0])
    assert "not compiled for aarch64, checked as for x86_64" in done.stderr and done.stdout == f"{source}: runs on all 2 kernels\n"


def test_source_that_only_another_kernel_compiles(folder, two_machines):
    source = folder / "other_kernel.bpf.c"
    source.write_text('#include <anybpf.bpf.h>\nSEC("raw_tp/sys_enter") int on(void *c) { return bpf_core_field_exists(struct task_struct, was); }\n')
    done = anybpf("check", source, "--pack", two_machines[0], status=3)
    assert "no member named 'was'" in done.stderr and "'anybpf build --btf KERNEL' takes those of another" in done.stderr
    assert "--btf KERNEL" not in anybpf("check", source, status=3).stderr
    source.write_text("#include <anybpf.bpf.h>\nint f(void) { return 0 }\n")
    assert "--btf KERNEL" not in anybpf("check", source, "--pack", two_machines[0], status=3).stderr


def test_source_where_this_kernel_has_no_types(folder, two_machines):
    (folder / "nothing").mkdir()
    hidden = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /sys/kernel/btf && exec "$@"', folder / "nothing"]
    if os.geteuid() or subprocess.run([*hidden, "true"], capture_output=True).returncode:
        pytest.skip("cannot hide this kernel's types")
    tool = ROOT / "tools" / "opensnoop.bpf.c"
    for kernels in (["--pack", two_machines[0], "--kernels", os.uname().machine], ["--btf", folder / "some.btf"]):
        done = subprocess.run([*hidden, BUILD / "anybpf", "check", tool, *kernels], capture_output=True, text=True)
        assert done.returncode == 0 and ": runs" in done.stdout, done.stderr
        assert ("-/5.4.0-1-x/" in done.stderr) == ("--pack" in kernels)


@pytest.mark.parametrize("args, status, words", [
    (["--kernels", "5.10"], 4, "/nonexistent/usual.pack"),
    (["--kernels", "5.4..x"], 2, "'5.4..x' names no kernels"),
    (["--pack", "/nonexistent.pack"], 4, "/nonexistent.pack"),
    (["--btf", "/nonexistent.btf"], 4, "/nonexistent.btf"),
    (["--btf", "/etc/passwd"], 8, "/etc/passwd"),
])
def test_bad_usage(built, args, status, words):
    done = subprocess.run([BUILD / "anybpf", "check", built("field_missing"), *args], capture_output=True, text=True,
                          env={**os.environ, "ANYBPF_PACK": "/nonexistent/usual.pack"})
    assert done.returncode == status and words in done.stderr and done.stderr.count("\n") == 1


def test_what_is_no_object(tmp_path):
    (tmp_path / "x.o").write_text("nothing")
    assert "neither a BPF object nor C source" in anybpf("check", tmp_path / "x.o", status=8).stderr
