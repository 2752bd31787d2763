# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`anybpf types` on the running kernel's types, held against pahole, and its command line."""
import json
import pathlib
import random
import re
import shutil
import subprocess

import pytest
from live import BUILD

BTF = pathlib.Path("/sys/kernel/btf/vmlinux")
pytestmark = pytest.mark.skipif(not BTF.exists(), reason="the kernel has no BTF")


def types(*args, status=0):
    done = subprocess.run([BUILD / "anybpf", "types", *args], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def facts(text):
    """Offsets and sizes of members, holes and sums: what both print, in order."""
    found = []
    for line in text.splitlines():
        if m := re.search(r"/\*\s+(\d+)(?::\s*(\d+))?\s+(\d+)\s+\*/", line):
            found.append((int(m[1]), int(m[2] or 0), int(m[3])))
        elif m := re.search(r"XXX (\d+) (\w+) hole", line):
            found.append(("hole", m[1], m[2]))
        elif m := re.search(r"/\* ((?:size:|sum |padding:|bit_padding:|last cacheline|---).*) \*/", line):
            found.append(m[1].split(", forced")[0])
    return found


@pytest.mark.skipif(not shutil.which("pahole"), reason="no pahole")
def test_layout_is_paholes():
    whole = subprocess.run(["pahole", BTF], capture_output=True, text=True).stdout
    blocks = {m[1]: m[0] for m in re.finditer(r"^(struct \w+) \{\n.*?^\}", whole, re.M | re.S)}
    random.seed(5)
    names = ["struct sk_buff", "struct task_struct", "struct sock", *random.sample(sorted(blocks), 60)]
    # Of structs that kernels have several of by one name, either is right; ours does not count paddings of members' types.
    names = [n for n in names if n in blocks and whole.count(f"\n{n} {{\n") == 1]
    assert len(names) > 40
    for name in names:
        ours = facts(types("show", name))
        assert ours == facts(blocks[name]), name


def test_json_agrees_with_text():
    sock = json.loads(types("show", "struct", "sock", "--json"))
    text = types("show", "struct sock")
    assert sock["size"] == int(re.search(r"/\* size: (\d+)", text)[1])
    member = next(m for m in sock["members"] if m["name"] == "sk_write_queue")
    assert re.search(rf"sk_write_queue; .*/\*\s+{member['offset']}\s+{member['size']} \*/", text)
    assert sum(h["size"] for h in sock["holes"]) == int((re.search(r"sum holes: (\d+)", text) or [0, 0])[1])


def test_functions():
    assert types("func", "vfs_read").endswith("ssize_t vfs_read(struct file *file, char *buf, size_t count, loff_t *pos)\n")
    found = json.loads(types("find", "vfs_*", "--takes", "struct file*", "--returns", "ssize_t", "--json"))["functions"]
    assert {"vfs_read", "vfs_write"} <= {f["name"] for f in found}
    assert all(f["returns"] == "ssize_t" and "struct file *" in [p["type"] for p in f["params"]] for f in found)


def test_differences_of_two_packs_or_files(tmp_path):
    changed = tmp_path / "6.99.0-other"
    changed.write_bytes(BTF.read_bytes().replace(b"\0sk_write_queue\0", b"\0sk_wrote_queue\0"))
    for name, file in (("one", BTF), ("two", changed)):
        subprocess.run([BUILD / "anybpf", "pack", "add", tmp_path / f"{name}.pack", file, "--release", "6.1.0"], check=True, capture_output=True)
    expected = [("removed", "sk_write_queue", "sk_wrote_queue"), ("added", "sk_wrote_queue", None)]
    for kernels, one, two in (([], BTF, changed), (["6.1"], "one.pack", "two.pack"), (["6.1.0", "6.1.0"], "one.pack", "two.pack"), ([], "one.pack", changed)):
        packs = ["--pack", tmp_path / one, "--pack", tmp_path / two]
        answer = json.loads(types("diff", "struct", "sock", *kernels, *packs, "--json"))
        assert sorted((c["change"], c["name"], c.get("went_to")) for c in answer["changes"]) == sorted(expected, key=str)
        text = types("diff", "struct sock", *kernels, *packs)
        assert "- sk_write_queue" in text and "+ sk_wrote_queue" in text and answer["to"]["kernel"]["release"] in text
    assert json.loads(types("diff", "struct sock", "--pack", BTF, "--pack", tmp_path / "one.pack", "--json"))["changes"] == []
    assert "there is no kernel '5.10'" in types("diff", "sock", "5.10", "-p", tmp_path / "one.pack", "-p", tmp_path / "two.pack", status=4)


@pytest.mark.parametrize("args, said", [
    (["diff", "sock", "5.10", "-p", BTF], "with two packs"), (["show", "sock", "-p", BTF, "-p", BTF], "for two with diff"),
    (["diff", "sock", "-p", BTF, "-p", BTF, "-p", BTF], "for two with diff"), (["shwo", "x"], "did you mean 'show'"), (["show"], "types show TYPE"), (["find"], "needs '--returns'"),
    (["diff", "sock", "5.10", "6.1"], "there is no pack"), (["diff", "sock", "5.10", "6.1", "-p", BTF], "need a pack"), (["show", "sk_bufff"], "did you mean 'struct sk_buff'"),
    (["show", "sock", "--kernel", "5.10"], "there is no pack"), (["show", "sock", "--pack", "/dev/null"], "/dev/null"), (["history", "task_struct.nothing"], "no member 'nothing'"),
    (["history", "task_struct.tgd", "-p", BTF], "no member 'tgd' in any of 1 kernels; did you mean 'tgid'?")])
def test_errors(args, said):
    """One line that says what to do."""
    done = subprocess.run([BUILD / "anybpf", "types", *args], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode in (2, 4, 7, 8) and said in done.stderr and done.stderr.count("\n") == 1


def test_what_only_other_kernels_have(tmp_path):
    """Who asks the newest is told that an older one has it; history says of how many none has it, and what is like it."""
    pack, newer = tmp_path / "k.pack", tmp_path / "newer.btf"
    newer.write_bytes(BTF.read_bytes().replace(b"\0vfs_read\0", b"\0vfs_reed\0"))
    for file, release in ((BTF, "5.1.0"), (newer, "5.2.0")):
        subprocess.run([BUILD / "anybpf", "pack", "add", pack, file, "--release", release], check=True, capture_output=True)
    for args, said in ((["show", "vfs_read"], "kernel 5.2.0 has no type or function 'vfs_read', but others of the pack have: history says which"),
                       (["show", "struct vfs_read"], "kernel 5.2.0 has no type or function 'struct vfs_read'; did you mean '"),
                       (["history", "vfs_reads"], "none of 2 kernels has a type or function 'vfs_reads'; did you mean '"),
                       (["history", "x" * 40], f"none of 2 kernels has a type or function '{'x' * 40}'\n"),
                       (["history", "task_struct.tgd"], "no member 'tgd' in any of 2 kernels; did you mean 'tgid'?")):
        done = subprocess.run([BUILD / "anybpf", "types", *args, "--pack", pack], capture_output=True, text=True)
        assert done.returncode == 4 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
