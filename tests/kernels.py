# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Small kernels for tests: ELF files with a banner, a build id, DWARF and BTF, and the images and packages that hold them."""
import bz2
import gzip
import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile

SOURCE = r"""
struct list { struct list *next; int value; };
struct task_struct { int pid; char comm[16]; struct list children;
#ifdef HIDE
union { long new_member; struct { int old; } HIDE; };
#endif
};
struct sock { struct task_struct *owner; unsigned long flags; };
struct unit_UNIT { int unit; };
extern struct sock *socks;
int fn_UNIT(struct task_struct *t, struct sock *s, struct unit_UNIT *u) { return t->pid + (int)s->flags + u->unit; }
"""
MAIN = r"""
const char linux_banner[] = "Linux version %s (%s) (gcc 12) #1 SMP\n";
struct sock; struct sock *socks;
void _start(void) { }
"""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, **options)


def vmlinux(directory, release, builder="debian-kernel@lists.debian.org", *, units=1, hide=False, btf=True, flags=(), arch_flags=()):
    """An ELF file such as a kernel build leaves: `units` compilation units, with per-unit member names when `hide`."""
    directory.mkdir(parents=True, exist_ok=True)
    objects = []
    for unit in range(units):
        source = directory / f"u{unit}.c"
        text = SOURCE.replace("UNIT", str(unit))
        source.write_text(f"#define HIDE __UNIQUE_ID_rh_kabi_hide{unit + 7}\n{text}" if hide else text)
        objects.append(source)
    (directory / "main.c").write_text(MAIN % (release, builder))
    out = directory / f"vmlinux-{release}"
    run("gcc", "-g", "-O0", "-fno-pic", "-static", "-nostdlib", "-Wl,--build-id=sha1", *flags, "-o", out, directory / "main.c", *objects)
    if btf:
        run("pahole", "-J", out)
    return out


def section(elf, name, directory):
    out = directory / f"section{name}"
    run("objcopy", "-O", "binary", "--only-section", name, "--set-section-flags", f"{name}=alloc", elf, out)
    return out.read_bytes()


def build_id(elf):
    text = run("readelf", "-n", elf, text=True).stdout
    return text.split("Build ID: ")[1].split()[0]


COMPRESSORS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": lambda data: run("zstd", "-q", "-c", input=data).stdout,
    "lz4": lambda data: run("lz4", "-q", "-l", "-c", input=data).stdout,
}


def compressors():
    return [name for name in COMPRESSORS if name not in ("zstd", "lz4") or shutil.which(name)]


def bzimage(elf, how="gzip"):
    payload = COMPRESSORS[how](elf) + (b"" if how == "gzip" else struct.pack("<I", len(elf)))
    setup = bytearray(1024)
    setup[0x1f1] = 1
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x236, 1)
    struct.pack_into("<II", setup, 0x248, 64, len(payload))
    return bytes(setup) + bytes(64) + payload


def zboot(image, how="gzip"):
    payload = COMPRESSORS[how](image) + (b"" if how == "gzip" else struct.pack("<I", len(image)))
    return b"MZ\0\0zimg" + struct.pack("<II", 128, len(payload)) + bytes(112) + payload


def arm64_image(release, btf, identity, decoy=b""):
    """Bare memory as objcopy leaves it: a vDSO with a build id of its own comes before the kernel's notes."""
    note = struct.pack("<III", 4, 20, 3) + b"GNU\0"
    vdso = bytearray(512)
    vdso[:8] = b"\x7fELF\x02\x01\x01\0"
    struct.pack_into("<Q", vdso, 40, 448)
    struct.pack_into("<HH", vdso, 58, 64, 1)
    vdso[128:128 + 36] = note + b"V" * 20
    head = bytearray(4096)
    head[0x38:0x3c] = b"ARM\x64"
    banner = f"Linux version {release} (debian-kernel@lists.debian.org) #1\n".encode()
    return (bytes(head) + b"Linux version %s\0" + banner + bytes(-len(banner) % 8) + bytes(vdso) + decoy + bytes(-len(decoy) % 8) + note + identity +
            bytes(64) + btf + bytes(64))


# ---- packages ----

def tar(files, how="xz"):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return COMPRESSORS[how](data.getvalue())


def deb(files, package="linux-image-test", version="1", arch="amd64", maintainer="Debian Kernel Team <debian-kernel@lists.debian.org>", how="xz"):
    control = f"Package: {package}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: {maintainer}\n".encode()
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": tar({"control": control}),
             f"data.tar.{'zst' if how == 'zstd' else 'xz'}": tar(files, how)}
    out = b"!<arch>\n"
    for name, content in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    return out


def rpm(directory, name, version, release, files, *, vendor="CentOS", arch="x86_64", payload="w6.xzdio"):
    """A package made by rpmbuild with `files` by their paths."""
    root = directory / f"rpm-{name}-{version}-{release}"
    for path, content in files.items():
        to = root / "files" / path.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(content)
    spec = root / "kernel.spec"
    spec.write_text(f"Name: {name}\nVersion: {version}\nRelease: {release}\nSummary: test\nLicense: none\nVendor: {vendor}\n"
                    f"%description\ntest\n%install\nmkdir -p %{{buildroot}}\ncp -a {root}/files/. %{{buildroot}}/\n%files\n/*\n")
    run("rpmbuild", "-bb", "--quiet", "--target", arch, "--define", f"_topdir {root}", "--define", f"_binary_payload {payload}",
        "--define", "__os_install_post %{nil}", "--define", "debug_package %{nil}", "--define", "_build_id_links none", spec,
        env={**os.environ, "HOME": str(root)})
    return next((root / "RPMS").rglob("*.rpm"))
