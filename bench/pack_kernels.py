#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Debian's kernels for benchmarks: the BTF of the images in Debian's archive, by way of apt. Takes nothing of anybpf's own importers.

    bench/pack_kernels.py DIR [COUNT] [ARCH]

puts COUNT files RELEASE.btf into DIR: cloud flavours first, which are small packages, then others, spread over the versions.
"""
import lzma
import os
import struct
import subprocess
import sys
from pathlib import Path

BUILD = Path(os.environ.get("BUILD", "build"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "anybpf/lab"


def list_images(arch):
    """(release, row) of the images in the archive, newest list that `anybpf lab kernels` can have."""
    subprocess.run([BUILD / "anybpf", "lab", "kernels", "--arch", arch], stdout=subprocess.DEVNULL, check=False)
    images = {}
    for line in (CACHE / f"apt-{arch}" / "packages").read_text().splitlines():
        package, version, this_arch, size, sha256, uri, *_ = line.split("\t")
        release = package.removeprefix("linux-image-")
        if this_arch == arch and release[0].isdigit() and int(size) > 10_000_000 and release.endswith(arch):
            images[release] = (release, int(size), sha256, uri)
    return sorted(images.values())


def version_key(release):
    return [int(part) if part.isdigit() else 0 for part in release.replace("-", ".").replace("+", ".").split(".")]


def choose(images):
    """Cloud kernels first, then the others in an order that soon has been everywhere."""
    clouds = sorted((i for i in images if "-cloud-" in i[0]), key=lambda i: version_key(i[0]))
    others = sorted((i for i in images if "-cloud-" not in i[0]), key=lambda i: version_key(i[0]))
    return clouds + [i for start in (0, 4, 2, 6, 1, 5, 3, 7) for i in others[start::8]]


def download(image, directory):
    """A package by apt's downloader, which checks the hash of apt's signed list."""
    release, size, sha256, uri = image
    path = directory / f"{release}.deb"
    subprocess.run(["/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=", "download-file", uri, path, f"SHA256:{sha256}"],
                   check=True, stdout=subprocess.DEVNULL)
    return path


def read_image(deb):
    """boot/vmlinuz-* of a package."""
    data = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    image = subprocess.run(["tar", "-xO", "--wildcards", "./boot/vmlinu*"], stdin=data.stdout,
                           stdout=subprocess.PIPE, check=True).stdout
    data.stdout.close()
    data.wait()
    return image


def unpack(image):
    """The ELF kernel inside a bzImage."""
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[(sectors + 1) * 512 + offset:][:length]
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(payload)
    tool = {b"\x28\xb5": "zstd", b"\x1f\x8b": "gzip", b"\x02\x21": "lz4"}[payload[:2]]
    # What follows the stream is the size of the kernel; the tools call that trailing garbage.
    return subprocess.run([tool, "-dc"], input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def read_section(elf, name):
    shoff, = struct.unpack_from("<Q", elf, 0x28)
    entsize, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", elf, shoff + i * entsize) for i in range(count)]
    for name_off, _, _, _, offset, size in sections:
        at = sections[names][4] + name_off
        if elf[at:elf.index(b"\0", at)] == name:
            return elf[offset:offset + size]
    raise ValueError("no section " + name.decode())


def main():
    directory = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 48
    arch = sys.argv[3] if len(sys.argv) > 3 else "amd64"
    directory.mkdir(parents=True, exist_ok=True)
    for image in choose(list_images(arch)):
        target = directory / f"{image[0]}.btf"
        if len(list(directory.glob("*.btf"))) >= count:
            break
        if target.exists():
            continue
        print(f"pack: {image[0]} ({image[1] >> 20} MiB)", file=sys.stderr)
        try:
            deb = download(image, directory)
        except subprocess.CalledProcessError:
            print(f"pack: {image[0]} is no longer in the archive", file=sys.stderr)
            continue
        btf = read_section(unpack(read_image(deb)), b".BTF")
        deb.unlink()
        temporary = target.with_suffix(".tmp")
        temporary.write_bytes(btf)
        temporary.rename(target)


if __name__ == "__main__":
    main()
