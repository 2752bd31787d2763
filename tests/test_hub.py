# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Types of kernels out of whatever holds them: anybpf hub import."""
import json
import lzma
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import io

import kernels
import pytest
from live import BUILD

HUB = BUILD / "src/hub/anybpf-hub"
pytestmark = [
    pytest.mark.skipif(not HUB.exists(), reason="built without the hub"),
    pytest.mark.skipif(not shutil.which("pahole"), reason="pahole is needed to make kernels with BTF"),
]
RELEASE = "6.1.0-50-cloud-amd64"


def hub(*args, status=0, env=None):
    done = subprocess.run([BUILD / "anybpf", "hub", *map(str, args)], capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})
    assert done.returncode == status, done.stdout + done.stderr
    return done


def imported(directory, *inputs, status=0, env=None):
    """What an import finds, as JSON objects; the BTF that it wrote is in `directory`."""
    lines = hub("import", "--json", "--output", directory, *inputs, status=status, env=env).stdout.splitlines()
    return [json.loads(line) for line in lines[:-1]]


def key(found):
    return found["distribution"], found["release"], found["arch"], found["flavour"]


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    return kernels.vmlinux(tmp_path_factory.mktemp("kernel"), RELEASE)


@pytest.fixture(scope="session")
def btf(kernel):
    return kernels.section(kernel, ".BTF", kernel.parent)


def btf_text(path):
    return subprocess.run(["bpftool", "btf", "dump", "file", path], check=True, capture_output=True, text=True).stdout


# ---- images ----

def test_elf(kernel, btf, tmp_path):
    (found,) = imported(tmp_path / "out", kernel)
    assert key(found) == ("debian", RELEASE, "x86_64", "cloud")
    assert found["build_id"] == kernels.build_id(kernel) and not found["dwarf"]
    assert (tmp_path / f"out/debian/x86_64/{RELEASE}.btf").read_bytes() == btf


@pytest.mark.parametrize("how", kernels.compressors())
def test_compressed_images(kernel, btf, tmp_path, how):
    elf = kernel.read_bytes()
    identity = bytes(range(20))
    image = kernels.arm64_image("6.1.0-50-arm64", btf, identity)
    files = {"vmlinuz": kernels.bzimage(elf, how), "vmlinux": kernels.COMPRESSORS[how](elf), "Image": kernels.COMPRESSORS[how](image),
             "zboot": kernels.zboot(image, how)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (found,) = imported(tmp_path / "out", tmp_path / name)
        arm = name in ("Image", "zboot")
        assert key(found)[1:] == (("6.1.0-50-arm64", "aarch64", "") if arm else (RELEASE, "x86_64", "cloud")), name
        assert found["build_id"] == (identity.hex() if arm else kernels.build_id(kernel)), name
        assert (tmp_path / f"out/debian/{found['arch']}/{found['release']}.btf").read_bytes() == btf


def test_the_largest_kernel_btf_counts(btf, tmp_path):
    small = b"\x9f\xeb\x01\0" + (24).to_bytes(4, "little") + b"".join(n.to_bytes(4, "little") for n in (0, 12, 12, 20)) + bytes(12) + b"\0other\0" + bytes(13)
    (tmp_path / "Image").write_bytes(kernels.arm64_image("6.1.0-9-arm64", btf, b"i" * 20, decoy=small))
    (found,) = imported(tmp_path / "out", tmp_path / "Image")
    assert found["bytes"] == len(btf)


def test_raw_btf_needs_to_be_told(btf, tmp_path):
    (tmp_path / "mine.btf").write_bytes(btf)
    assert "--arch does" in hub("import", "-o", tmp_path / "out", tmp_path / "mine.btf", status=1).stderr
    done = hub("import", "--json", "-o", tmp_path / "out", "--release", "5.10.0-1", "--arch", "aarch64", "--distribution", "mine",
               "--flavour", "rt", tmp_path / "mine.btf")
    assert key(json.loads(done.stdout.splitlines()[0])) == ("mine", "5.10.0-1", "aarch64", "rt")


# ---- DWARF ----

def count_structs(path, name):
    return sum(f" STRUCT '{name}' " in line for line in btf_text(path).splitlines())


@pytest.mark.parametrize("flags", [(), ("-gz=zlib",)])
def test_names_that_differ_between_units_are_healed(tmp_path, flags):
    elf = kernels.vmlinux(tmp_path / "k", "3.10.0-514.el7.x86_64", "builder@kbuilder.dev.centos.org", units=24, hide=True, btf=False, flags=flags)
    before = elf.read_bytes()
    plain = tmp_path / "plain.btf"
    kernels.run("pahole", "-J", f"--btf_encode_detached={plain}", elf)
    assert count_structs(plain, "task_struct") == 24
    (found,) = imported(tmp_path / "out", elf)
    healed = tmp_path / "out/centos-7/x86_64/3.10.0-514.el7.x86_64.btf"
    assert found["dwarf"] and key(found)[0] == "centos-7"
    assert count_structs(healed, "task_struct") == 1
    # One type of its own for each unit stays, and nothing but the number in the name is another.
    assert "__UNIQUE_ID_rh_kabi_hide0'" in btf_text(healed) and all(count_structs(healed, f"unit_{n}") == 1 for n in range(24))
    assert elf.read_bytes() == before and not list(tmp_path.glob("anybpf-*"))


def test_without_pahole(tmp_path):
    elf = kernels.vmlinux(tmp_path / "k", RELEASE, btf=False)
    done = hub("import", "-o", tmp_path / "out", elf, status=1, env={"PATH": str(tmp_path)})
    assert "types from DWARF need pahole" in done.stderr


# ---- packages ----

@pytest.mark.parametrize("how", [h for h in kernels.compressors() if h in ("xz", "zstd")])
def test_deb(kernel, btf, tmp_path, how):
    files = {"usr/share/doc/x": b"x", f"boot/vmlinuz-{RELEASE}": kernels.bzimage(kernel.read_bytes(), how), "etc/../../escape": b"no"}
    (tmp_path / "linux-image.deb").write_bytes(kernels.deb(files, how=how))
    (found,) = imported(tmp_path / "out", tmp_path / "linux-image.deb")
    assert key(found) == ("debian", RELEASE, "x86_64", "cloud") and found["member"].endswith(f"vmlinuz-{RELEASE}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["linux-image.deb", "out"]


def test_debug_package_is_used_only_without_btf(kernel, tmp_path):
    dwarf = kernels.vmlinux(tmp_path / "k", RELEASE, btf=False)
    stripped = tmp_path / "stripped"
    kernels.run("objcopy", "--only-keep-debug", dwarf, stripped)
    name = f"usr/lib/debug/boot/vmlinux-{RELEASE}"
    (tmp_path / "dbg.deb").write_bytes(kernels.deb({name: stripped.read_bytes()}))
    (found,) = imported(tmp_path / "out", tmp_path / "dbg.deb")
    # Nothing but the name says the release: such a file has no data.
    assert found["dwarf"] and key(found) == ("debian", RELEASE, "x86_64", "cloud") and found["build_id"] == kernels.build_id(dwarf)
    (tmp_path / "both.deb").write_bytes(kernels.deb({name: dwarf.read_bytes(), f"boot/vmlinuz-{RELEASE}": kernels.bzimage(kernel.read_bytes())}))
    (found,) = imported(tmp_path / "out", tmp_path / "both.deb")
    assert not found["dwarf"]


@pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is needed")
@pytest.mark.parametrize("payload", ["w6.xzdio", "w6.gzdio", "w6.zstdio"])
def test_rpm(tmp_path, payload):
    release = "4.18.0-147.5.1.el8_1.x86_64"
    kernel = kernels.vmlinux(tmp_path / "k", release, "mockbuild@example.org")
    package = kernels.rpm(tmp_path, "kernel-core", "4.18.0", "147.5.1.el8_1", {f"lib/modules/{release}/vmlinuz": kernels.bzimage(kernel.read_bytes())},
                          vendor="Rocky Enterprise Software Foundation", payload=payload)
    (found,) = imported(tmp_path / "out", package)
    assert key(found) == ("rocky-8", release, "x86_64", "") and found["build_id"] == kernels.build_id(kernel)


def test_damaged_packages_fail_alone(kernel, tmp_path):
    package = kernels.deb({f"boot/vmlinuz-{RELEASE}": kernels.bzimage(kernel.read_bytes())})
    (tmp_path / "good.deb").write_bytes(package)
    (tmp_path / "cut.deb").write_bytes(package[:len(package) // 2])
    flipped = bytearray(package)
    flipped[len(package) * 2 // 3] ^= 0x55
    (tmp_path / "flipped.deb").write_bytes(flipped)
    (tmp_path / "empty.deb").write_bytes(b"")
    (tmp_path / "text.deb").write_bytes(b"no package\n" * 100)
    (tmp_path / "lead.rpm").write_bytes(b"\xed\xab\xee\xdb" + bytes(200))
    names = ["cut.deb", "flipped.deb", "empty.deb", "text.deb", "lead.rpm", "none.deb"]
    lines = [json.loads(line) for line in hub("import", "--json", "-o", tmp_path / "out", tmp_path / "good.deb", *(tmp_path / n for n in names),
                                              status=1).stdout.splitlines()]
    assert sorted(pathlib.Path(line["failed"]).name for line in lines if "kind" in line) == sorted(names)
    assert [key(line) for line in lines if "added" in line and "release" in line] == [("debian", RELEASE, "x86_64", "cloud")]
    assert lines[-1] == {"inputs": 7, "added": 1, "known": 0, "failed": 6}


def test_bombs(tmp_path):
    zeros = 10 * lzma.compress(bytes(60 << 20), preset=0)
    (tmp_path / "vmlinuz").write_bytes(zeros)
    assert "more than 512 MiB" in hub("import", "-o", tmp_path / "out", tmp_path / "vmlinuz", status=1).stderr
    nested = b"x" * 5000
    for _ in range(6):
        nested = kernels.bzimage(nested)
    (tmp_path / "nested").write_bytes(nested)
    assert "times over" in hub("import", "-o", tmp_path / "out", tmp_path / "nested", status=1).stderr


# ---- BTFHub ----

def btfhub_file(root, distribution, version, arch, release, btf):
    path = root / distribution / version / arch / f"{release}.btf.tar.xz"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo(f"{release}.btf")
        info.size = len(btf)
        archive.addfile(info, io.BytesIO(btf))
    path.write_bytes(lzma.compress(data.getvalue()))
    return path


def test_btfhub_tree(btf, tmp_path):
    root = tmp_path / "archive"
    btfhub_file(root, "centos", "8", "arm64", "4.18.0-147.5.1.el8_1.aarch64", btf)
    btfhub_file(root, "ubuntu", "20.04", "x86_64", "5.4.0-100-generic", btf)
    btfhub_file(root, "debian", "10", "x86_64", "4.19.0-18-amd64", btf)
    (root / "android/common-5.10").mkdir(parents=True)
    btfhub_file(root, "centos", "8", "arm64", "x", btf).rename(root / "android/common-5.10/a12-5.10-arm64.btf.tar.xz")
    (root / "README.md").write_text("not a kernel")
    assert sorted(key(f) for f in imported(tmp_path / "out", root)) == [
        ("android-common-5.10", "a12-5.10-arm64", "aarch64", ""), ("centos-8", "4.18.0-147.5.1.el8_1.aarch64", "aarch64", ""),
        ("debian", "4.19.0-18-amd64", "x86_64", ""), ("ubuntu-20.04", "5.4.0-100-generic", "x86_64", "generic")]


# ---- this machine, and packs ----

@pytest.mark.skipif(not os.access("/sys/kernel/btf/vmlinux", os.R_OK), reason="this kernel has no BTF")
def test_running_kernel(tmp_path):
    (found,) = imported(tmp_path / "out", "/sys/kernel/btf")
    assert (found["release"], found["arch"]) == (os.uname().release, os.uname().machine) and len(found["build_id"]) == 40
    (written,) = (tmp_path / "out").rglob("*.btf")
    assert written.read_bytes() == pathlib.Path("/sys/kernel/btf/vmlinux").read_bytes()
    assert "No such file" in hub("import", "-o", tmp_path / "none", "/sys/kernel/btf/never_was", status=1).stderr
    assert not list((tmp_path / "none").rglob("*.btf"))


def test_pack_is_idempotent(kernel, tmp_path):
    pack = tmp_path / "k.pack"
    (tmp_path / "a.deb").write_bytes(kernels.deb({f"boot/vmlinuz-{RELEASE}": kernels.bzimage(kernel.read_bytes())}))
    first = json.loads(hub("import", "--json", "--pack", pack, kernel, tmp_path / "a.deb").stdout.splitlines()[-1])
    assert (first["added"], first["known"]) == (1, 1)
    size = pack.read_bytes()
    again = json.loads(hub("import", "--json", "--pack", pack, tmp_path / "a.deb").stdout.splitlines()[-1])
    assert (again["added"], again["known"]) == (0, 1) and pack.read_bytes() == size


def test_modules_come_with_their_kernel(kernel, tmp_path):
    source = tmp_path / "mod.c"
    source.write_text('struct task_struct; struct own { struct task_struct *t; int x; };\n'
                      f'__attribute__((section(".modinfo"), used)) static const char info[] = "name=mod\\0vermagic={RELEASE} SMP";\n'
                      'int mod_fn(struct own *o) { return o->x; }\n')
    module = tmp_path / "mod.ko"
    kernels.run("gcc", "-g", "-c", "-o", module, source)
    kernels.run("pahole", "-J", "--btf_base", kernel, module)
    files = {f"lib/modules/{RELEASE}/kernel/mod.ko.xz": lzma.compress(module.read_bytes()),
             f"boot/vmlinuz-{RELEASE}": kernels.bzimage(kernel.read_bytes())}
    (tmp_path / "a.deb").write_bytes(kernels.deb(files))
    assert len(imported(tmp_path / "out", tmp_path / "a.deb")) == 1
    done = hub("import", "--json", "--modules", "--pack", tmp_path / "k.pack", tmp_path / "a.deb")
    found = [json.loads(line) for line in done.stdout.splitlines()[:-1]]
    assert [(f["release"], f.get("module")) for f in found] == [(RELEASE, None), (RELEASE, "mod")]
    # Types of a module go on where its kernel's end: it has to come along, in any order.
    assert "needs the types of its kernel" in hub("import", "--modules", "-o", tmp_path / "out", module, status=1).stderr
    both = hub("import", "--json", "--modules", "--pack", tmp_path / "k.pack", "-j1", module, kernel).stdout.splitlines()
    assert [json.loads(line).get("added") for line in both] == [False, False, 0]


def test_directories_without_kernels(kernel, tmp_path):
    """What was named and gave nothing is said; the others go on."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "vmlinux").write_bytes(kernel.read_bytes())
    done = hub("import", "-o", tmp_path / "out", tmp_path / "empty", tmp_path / "full", status=1)
    assert f"{tmp_path}/empty: nothing below it is called like" in done.stderr and len(list((tmp_path / "out").rglob("*.btf"))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else")
def test_a_directory_that_is_closed(kernel):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        pathlib.Path(folder, "vmlinux").write_bytes(kernel.read_bytes())
        pathlib.Path(folder, "locked").mkdir(mode=0)
        done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", BUILD / "anybpf", "hub", "import", "-o", "/dev/null/x", folder],
                              capture_output=True, text=True)
        if done.returncode == 126 or "anybpf: " not in done.stderr:
            pytest.skip("somebody else cannot run this build")
        assert f"{folder}/locked: cannot read it: Permission denied" in done.stderr


def test_mistakes(tmp_path):
    assert "--pack FILE or --output DIR" in hub("import", "x", status=2).stderr
    assert "it is 'anybpf hub import FILE...'" in hub("import", "-o", tmp_path, status=2).stderr
    assert "it is import, crawl or status" in hub("dance", status=2).stderr
