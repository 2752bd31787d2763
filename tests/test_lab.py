# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The lab without guests: an archive of our own on the loopback interface, and programs that play QEMU badly.

Real guests are in tests/lab/ (`make check-lab`).
"""
import fcntl
import hashlib
import http.server
import io
import json
import lzma
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tarfile
import textwrap
import threading
import time
import xml.etree.ElementTree

import pytest
from live import BUILD

pytestmark = [
    pytest.mark.skipif(not (BUILD / "src/lab/anybpf-lab").exists(), reason="built without the lab"),
    pytest.mark.skipif(not shutil.which("apt-get"), reason="not a Debian-like system"),
]

ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0) + b"kernel"
# A package with less than a megabyte in it is not taken for a kernel.
KERNEL = ELF + os.urandom(1500000)


# ---- a small archive of Debian's form ----

def deb(files):
    data, packed = io.BytesIO(), {}
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    packed["debian-binary"], packed["data.tar.xz"] = b"2.0\n", data.getvalue()
    out = b"!<arch>\n"
    for name, content in packed.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    return out


def image(release, kernel=KERNEL):
    return deb({f"boot/vmlinuz-{release}": kernel, f"lib/modules/{release}/modules.builtin": b"kernel/drivers/virtio/virtio.ko\n",
                f"lib/modules/{release}/kernel/9p/9p.ko.xz": lzma.compress(b"\0depends=9pnet\0"),
                f"lib/modules/{release}/kernel/9p/9pnet.ko": b"\0depends=\0", "etc/passwd": b"../../x"})


class Archive:
    """Packages by suite. `cut` says for a file at which offsets the server hangs up, each once."""

    def __init__(self, root, home):
        self.root, self.home, self.suites, self.cut, self.requests = root, home, {}, {}, []
        handler = self.handler()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/debian"

    def handler(archive):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                file = archive.root / self.path.lstrip("/").replace("%2b", "+").replace("%7e", "~")
                if not file.is_file():
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                data, start = file.read_bytes(), 0
                asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                if asked and int(asked[1]) < len(data):
                    start = int(asked[1])
                archive.requests.append((file.name, start))
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - start))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                self.end_headers()
                limits = archive.cut.get(file.name)
                limit = limits.pop(0) if limits else None
                self.wfile.write(data[start:limit])
                if limit is not None:
                    self.wfile.flush()
                    self.connection.shutdown(2)
                    self.close_connection = True

        return Handler

    def add(self, suite, package, version, content, size=None, depends="", arch="amd64"):
        name = f"{package}_{version}_{arch}.deb"
        pool = self.root / "debian" / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        (pool / name).write_bytes(content)
        self.suites.setdefault(suite, []).append(
            f"Package: {package}\nVersion: {version}\nArchitecture: {arch}\nDepends: {depends}\nFilename: pool/{name}\n"
            f"Size: {size or len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n")
        return pool / name

    def publish(self, sign=True):
        for suite, packages in self.suites.items():
            dist = self.root / "debian" / "dists" / suite
            (dist / "main/binary-amd64").mkdir(parents=True, exist_ok=True)
            text = "\n".join(packages).encode()
            (dist / "main/binary-amd64/Packages").write_bytes(text)
            release = (f"Origin: Debian\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
                       f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} main/binary-amd64/Packages\n")
            (dist / "Release").write_text(release)
            (dist / "InRelease").unlink(missing_ok=True)
            self.gpg("--clearsign", "-o", dist / "InRelease", dist / "Release")
            if not sign:
                signed = (dist / "InRelease").read_text()
                (dist / "InRelease").write_text(signed.replace("Origin: Debian", "Origin: Somebody"))

    def gpg(self, *args):
        subprocess.run(["gpg", "--homedir", self.home, "--batch", "--yes", "--quiet", "--passphrase", "", *args], check=True)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    if not shutil.which("gpg"):
        pytest.skip("gpg is needed to sign a test archive")
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    common = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*common, "--quick-gen-key", "Test <test@localhost>", "ed25519", "sign", "never"], check=True)
    (home / "ring.gpg").write_bytes(subprocess.run([*common, "--export"], check=True, capture_output=True).stdout)
    yield home
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)


@pytest.fixture
def archive(tmp_path, key):
    archive = Archive(tmp_path / "archive", key)
    for n in ("5.10.0-30", "5.10.0-46"):
        archive.add("bookworm", f"linux-image-{n}-amd64", f"5.10.{n[-2:]}-1", image(f"{n}-amd64"))
    yield archive
    archive.server.shutdown()
    archive.server.server_close()


class Lab:
    def __init__(self, tmp_path, archive=None):
        self.cache, self.tmp = tmp_path / "cache", tmp_path
        self.env = {**os.environ, "LC_ALL": "C"}
        if archive:
            (tmp_path / "sources.list").write_text(f"deb [signed-by={archive.home}/ring.gpg] {archive.url} bookworm main\n")
            (tmp_path / "apt.conf").write_text(textwrap.dedent(f"""
                Dir::Etc::sourcelist "{tmp_path}/sources.list"; Dir::Etc::sourceparts "-";
                Acquire::http::Proxy "DIRECT"; Acquire::Retries "0"; Acquire::http::Timeout "5";
                AnyBPF::Lab::Keyring "{archive.home}/ring.gpg"; AnyBPF::Lab::Suites "bookworm trixie sid bookworm-security";
                """))
            self.env["APT_CONFIG"] = str(tmp_path / "apt.conf")

    def __call__(self, *args, status=0):
        done = subprocess.run([BUILD / "anybpf", *map(str, args), "--cache", self.cache], capture_output=True, text=True,
                              env=self.env, timeout=100, errors="replace")
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def kernels(self, spec="every"):
        return [k["name"] for k in json.loads(self("lab", "kernels", spec, "--json").stdout)]


@pytest.fixture
def lab(tmp_path, archive):
    return Lab(tmp_path, archive)


# ---- the archive ----

def test_kernels_by_version_and_flavour(lab, archive, tmp_path):
    tiny = image("x")
    for package, version, depends, size in [
            ("linux-image-6.1.0-9-amd64", "6.1.9-1", "", 9e6), ("linux-image-6.1.0-9-amd64-unsigned", "6.1.9-1", "", 9e6),
            ("linux-image-6.1.0-10-cloud-amd64", "6.1.10-1", "", 9e6), ("linux-image-6.12.9+deb13-amd64", "6.12.9-1", "", 9e6),
            ("linux-image-6.12.10+deb13-amd64", "6.12.10-1", "", 9e6), ("linux-image-6.12.10+deb13-rt-amd64", "6.12.10-1", "", 9e6),
            ("linux-image-6.12-amd64", "6.12.10-1", "linux-image-6.12.10+deb13-amd64 (= 6.12.10-1)", 1400),
            ("linux-image-amd64", "6.12.10-1", "linux-image-6.12.10+deb13-amd64", 1400),
            ("linux-image-7.3-amd64", "7.3~rc7-1", "linux-binary-7.3-amd64 (= 7.3~rc7-1)", 1900),
            ("linux-binary-7.3-amd64", "7.3~rc7-1", "", 9e6), ("linux-image-6.1.0-9-amd64-dbg", "6.1.9-1", "", 9e8),
            ("linux-image-6.12-amd64-signed-template", "6.12.10-1", "dpkg-dev", 2e6)]:
        archive.add("trixie", package, version, tiny, int(size), depends)
    archive.publish()
    assert lab.kernels() == ["5.10.0-30-amd64", "5.10.0-46-amd64", "6.1.0-9-amd64", "6.1.0-10-cloud-amd64", "6.12.9+deb13-amd64",
                             "6.12.10+deb13-amd64", "6.12.10+deb13-rt-amd64", "7.3-amd64"]
    assert lab.kernels("every-cloud") == ["6.1.0-10-cloud-amd64"]
    assert lab.kernels("all") == ["5.10.0-46-amd64", "6.1.0-9-amd64", "6.12.10+deb13-amd64", "7.3-amd64"]
    assert lab.kernels("oldest,latest,6.1") == ["5.10.0-30-amd64", "7.3-amd64", "6.1.0-9-amd64"]
    assert lab.kernels("6.12-rt") == lab.kernels("latest-rt") == ["6.12.10+deb13-rt-amd64"]
    assert lab.kernels("6.12.9,6.12.9,6.12.9+deb13-amd64") == ["6.12.9+deb13-amd64"]
    assert lab.kernels("5.10.0-30-amd64") == ["5.10.0-30-amd64"]
    error = lab("lab", "kernels", "4.19", status=4).stderr
    assert "no kernel '4.19'" in error and "5.10, 6.1, 6.12, 7.3" in error
    error = lab("lab", "kernels", "6-cloudy", status=4).stderr
    assert "no kernel '6-cloudy'" in error and "the flavours cloud, rt (" in error
    (tmp_path / "bzImage").write_bytes(KERNEL)
    assert f"a file is given by --kernel {tmp_path}/bzImage" in lab("lab", "kernels", tmp_path / "bzImage", status=4).stderr


def test_fetch_unpacks_what_guests_need(lab, archive, tmp_path):
    archive.publish()
    done = lab("lab", "fetch", "5.10")
    name, path = done.stdout.split()
    assert name == "5.10.0-46-amd64" and pathlib.Path(path).read_bytes() == KERNEL
    folder = pathlib.Path(path).parent
    assert (folder / "modules/9p.ko").read_bytes() == b"\0depends=9pnet\0"
    assert sorted(p.name for p in folder.iterdir()) == ["about", "kernel", "modules", "modules.builtin"]
    assert [k["fetched"] for k in json.loads(lab("lab", "kernels", "--json").stdout)] == [False, True]
    # From now on neither lists nor packages are asked for again.
    archive.requests.clear()
    assert lab("lab", "fetch", "5.10", "--offline").stdout == done.stdout and lab("lab", "fetch", "5.10").stdout == done.stdout
    assert archive.requests == []
    assert "not in the cache" in lab("lab", "fetch", "oldest", "--offline", status=4).stderr


def test_split_packages(lab, archive):
    archive.add("trixie", "linux-image-7.3-amd64", "7.3-1", deb({}), depends="linux-binary-7.3-amd64 (= 7.3-1)")
    archive.add("trixie", "linux-binary-7.3-amd64", "7.3-1", deb({"boot/vmlinuz-7.3-amd64": ELF}))
    archive.add("trixie", "linux-modules-7.3-amd64", "7.3-1", deb({"usr/lib/modules/7.3-amd64/kernel/veth.ko": b"veth"}))
    archive.publish()
    path = pathlib.Path(lab("lab", "fetch", "latest").stdout.split()[1])
    assert path.read_bytes() == ELF and (path.parent / "modules/veth.ko").read_bytes() == b"veth"


def test_a_cut_download_goes_on_where_it_ended(lab, archive):
    package = archive.add("bookworm", "linux-image-6.6-amd64", "6.6-1", image("6.6-amd64"))
    archive.publish()
    archive.cut[package.name] = [200000, 400000, 600000, 800000]
    error = lab("lab", "fetch", "6.6", status=9).stderr
    assert "linux-image-6.6-amd64" in error and "try again" in error
    lab("lab", "fetch", "6.6")
    starts = [start for name, start in archive.requests if name == package.name]
    assert starts[0] == 0 and starts == sorted(starts) and 600000 < starts[-1] <= 800000


def test_wrong_bytes_are_refused_and_not_kept(lab, archive):
    package = archive.add("bookworm", "linux-image-6.6-amd64", "6.6-1", image("6.6-amd64"))
    archive.publish()
    right = package.read_bytes()
    package.write_bytes(right[:-5] + b"wrong")
    assert "what the archive sent is not what its signed list says" in lab("lab", "fetch", "6.6", status=8).stderr
    assert list(lab.cache.glob("deb/*")) == [] and list(lab.cache.glob("kernel/*")) == []
    package.write_bytes(right)
    lab("lab", "fetch", "6.6")


def test_a_list_with_a_wrong_signature_is_not_used(lab, archive):
    archive.publish(sign=False)
    error = lab("lab", "kernels", status=9).stderr
    assert "no list of Debian's archive has a kernel" in error and "5.10" not in error


def test_a_corrupt_package_is_one_bad_kernel(lab, archive, tmp_path):
    archive.add("bookworm", "linux-image-6.6-amd64", "6.6-1", b"!<arch>\n" + os.urandom(1500000))
    archive.publish()
    assert "is damaged or no kernel package" in lab("lab", "fetch", "6.6", status=8).stderr
    assert [p for p in lab.cache.glob("kernel/*")] == []


def cached(lab):
    """Packages and kernels in the cache, in megabytes together, and which kernels are there without a download."""
    files = [p for place in ("deb", "kernel", "partial") for p in lab.cache.glob(f"{place}/**/*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 1e6, {k["name"] for k in json.loads(lab("lab", "kernels", "--json").stdout) if k["fetched"]}


def test_the_cache_is_kept_within_its_limit(lab, archive):
    old, new = "5.10.0-30-amd64", "5.10.0-46-amd64"
    archive.add("bookworm", "linux-image-6.6-amd64", "6.6-1", image("6.6-amd64"))
    archive.publish()
    lab("lab", "fetch", old, new)
    folder = pathlib.Path(lab("lab", "fetch", old).stdout.split()[1]).parent
    assert lab("lab", "clean", "--cache-limit", 1000).stdout == "removed 0 MB, 6 MB are left\n"
    assert json.loads(lab("lab", "clean", "--cache-limit", 4, "--json").stdout)["removed"] > 1e6
    assert cached(lab)[1] == {old}  # it was used after the other one
    with open(folder / "about") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert (lab.cache / "partial").is_dir()
        (lab.cache / "partial" / "x.deb").write_bytes(bytes(9000))
        (lab.cache / "partial" / "x.lock").write_bytes(b"")
        lab("lab", "clean")
        assert [p.name for p in lab.cache.glob("kernel/*")] == [folder.name] and (folder / "kernel").exists()
        assert list(lab.cache.glob("deb/*")) == list(lab.cache.glob("partial/*.deb")) == []
    lab("lab", "clean")
    assert cached(lab) == (0, set()) and list(lab.cache.glob("kernel/*")) == []
    # What is being fetched is in use; what is added later pushes out what was there.
    lab("lab", "fetch", old, new, "--cache-limit", 1)
    assert cached(lab)[1] == {old, new}
    lab("lab", "fetch", "6.6", "--cache-limit", 1)
    assert cached(lab)[1] == {"6.6-amd64"} and cached(lab)[0] < 4


def test_no_archive(tmp_path):
    lab = Lab(tmp_path)
    (tmp_path / "empty.conf").write_text('Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "-";')
    lab.env["APT_CONFIG"] = str(tmp_path / "empty.conf")
    assert "names no Debian archive" in lab("lab", "kernels", status=4).stderr
    lab.env["PATH"] = str(tmp_path)
    assert "need apt" in lab("lab", "kernels", status=4).stderr


# ---- guests that misbehave: programs in QEMU's place ----

FAKE = """#!/usr/bin/env python3
import os, re, struct, sys, time
args = " ".join(sys.argv)
port = open(re.search(r"id=lab,path=(\\S+)", args)[1], "wb", buffering=0)
console = open(re.search(r"-serial file:(\\S+)", args)[1], "wb", buffering=0)
initramfs = open(re.search(r"-initrd (\\S+)", args)[1], "rb").read()
token = re.search(rb"token\\0([0-9a-f]{32})\\0", initramfs)[1]
def frame(kind, data, id=0):
    port.write(struct.pack("<IBBHI", 0x4c464241, ord(kind), 0, id, len(data)) + data)
def boot():
    frame("B", b"1000000 6.6.0-test")
SUMMARY = b'{"type":"summary","events":1,"lost":0,"duration_ns":1,"programs":[{"name":"p","section":"s","state":"attached","reason":""}]}\\n'
def run(id, out=SUMMARY):
    frame("o", out, id)
    frame("x", b"0", id)
"""


class Guests(Lab):
    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        (tmp_path / "kernel").write_bytes(ELF)
        self.objects = []
        self.guest_dir = tmp_path / "guest"
        self.guest_dir.mkdir()
        (self.guest_dir / "anybpf-lab-init").write_bytes(b"init")
        (self.guest_dir / "anybpf-static").write_bytes(b"anybpf")
        for name in "abc":
            (tmp_path / f"{name}.bpf.o").write_bytes(name.encode())

    def fake(self, body):
        path = self.tmp / "qemu"
        path.write_text(FAKE + textwrap.dedent(body))
        path.chmod(0o755)
        return path

    def test(self, body, *args, objects="a", status=1):
        done = self("test", *[self.tmp / f"{o}.bpf.o" for o in objects], "--kernel", self.tmp / "kernel", "--qemu", self.fake(body),
                    "--guest-dir", self.guest_dir, "--accel", "tcg", "--json", *args, status=status)
        return json.loads(done.stdout)


@pytest.fixture
def guests(tmp_path):
    return Guests(tmp_path)


def reasons(report):
    return [(t["name"], t["verdict"], t["reason"]) for t in report["tests"]]


def test_a_pass_needs_the_token(guests):
    assert reasons(guests.test("boot(); run(1); frame('S', token)", status=0)) == [("a", "pass", "")]
    assert reasons(guests.test("boot(); run(1)", objects="ab"))[1] == ("b", "fail", "the guest crashed")
    assert reasons(guests.test("boot(); frame('S', b'0' * 32)")) == [("a", "fail", "the guest crashed")]
    assert reasons(guests.test("boot(); frame('S', token)")) == [("a", "fail", "anybpf run could not be started")]


def test_a_kernel_that_panics_hangs_or_has_no_port(guests):
    panic = "console.write(b'Linux\\r\\n[    1.0] Kernel panic - not syncing: no init\\r\\n---[ end')"
    assert reasons(guests.test(panic)) == [("a", "fail", "the kernel did not reach the lab's init: Kernel panic - not syncing: no init")]
    hang = "console.write(b'Booting\\n'); time.sleep(60)"
    assert reasons(guests.test(hang, "--timeout", "2s")) == [("a", "fail", "did not boot in 2 s: Booting")]
    assert reasons(guests.test("boot(); time.sleep(60)", "--timeout", "2s")) == [("a", "fail", "did not finish in 2 s")]
    assert reasons(guests.test("sys.exit('qemu: no such machine')")) == [("a", "fail", "QEMU failed: qemu: no such machine")]


def test_a_kernel_for_another_architecture(guests):
    image = bytearray(0x80)
    image[:2], image[0x38:0x3c] = b"MZ", b"ARM\x64"
    (guests.tmp / "kernel").write_bytes(image)
    [(_, verdict, reason)] = reasons(guests.test("boot()"))
    assert verdict == "fail" and "is for arm64; --arch arm64 boots it" in reason


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="needs a /dev/kvm that opens, whether it works or not")
def test_kvm_is_believed_when_a_guest_ran_by_it(guests):
    def accelerator(works):
        body = f"open({str(guests.tmp / 'boots')!r}, 'a').write('kvm ' if '-accel kvm' in args else 'tcg ')\n"
        body += "boot(); run(1); frame('S', token)" if works else "'-accel kvm' in args and sys.exit('no'); boot(); run(1); frame('S', token)"
        done = guests("test", guests.tmp / "a.bpf.o", "--kernel", guests.tmp / "kernel", "--qemu", guests.fake(body), "--guest-dir",
                      guests.guest_dir, "--json")
        return json.loads(done.stdout)["accelerator"]
    boots = lambda: (guests.tmp / "boots").read_text()  # noqa: E731
    assert accelerator(works=False) == "tcg" and boots() == "kvm tcg "
    assert accelerator(works=True) == "tcg" and boots() == "kvm tcg tcg "  # once for each boot of this machine
    (guests.cache / "accelerator-amd64").unlink()
    assert accelerator(works=True) == "kvm" and boots() == "kvm tcg tcg kvm kvm "
    (guests.cache / "accelerator-amd64").write_text("another-boot kvm\n")
    assert accelerator(works=False) == "tcg"


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="needs a /dev/kvm that opens, whether it works or not")
def test_a_kernel_that_boots_by_nothing_says_nothing_about_kvm(guests):
    broken, good = guests.tmp / "broken", guests.tmp / "kernel"
    broken.write_bytes(ELF + b"broken")
    qemu = guests.fake("b'broken' in open(re.search(r'-kernel (\\S+)', args)[1], 'rb').read() and sys.exit(1)\nboot(); run(1); frame('S', token)")
    for kernels, found in (([broken], "tcg"), ([good], "kvm"), ([broken, good], "kvm")):
        (guests.cache / "accelerator-amd64").unlink(missing_ok=True) if len(kernels) > 1 else None
        args = [arg for kernel in kernels for arg in ("--kernel", kernel)]
        done = guests("test", guests.tmp / "a.bpf.o", *args, "--qemu", qemu, "--guest-dir", guests.guest_dir, "--jobs", 1, "--json",
                      status=broken in kernels)
        assert json.loads(done.stdout)["accelerator"] == found


def test_garbage_from_the_port(guests):
    assert reasons(guests.test("boot(); port.write(os.urandom(1 << 20)); time.sleep(60)")) == [("a", "fail", "sent garbage")]
    assert reasons(guests.test("boot(); frame('?', b'x'); time.sleep(60)")) == [("a", "fail", "sent garbage")]
    report = guests.test("boot(); run(1, b'\\xff\\x00{\\n' + SUMMARY); frame('e', b'\\xfe', 1); frame('S', token)", status=0)
    assert reasons(report) == [("a", "pass", "")]


def test_the_object_that_takes_the_guest_down(guests):
    crash = """
        boot()
        have = [i for i in range(3) if b"/lab/%d/" % i in initramfs]
        for i in have:
            if i == 1:
                console.write(b"BUG: kernel NULL pointer dereference\\n")
                sys.exit(0)
            run(64 * i + 1)
        frame("S", token)
        """
    assert reasons(guests.test(crash, "--logs", guests.tmp / "logs", objects="abc")) == [
        ("a", "pass", ""), ("b", "fail", "the guest crashed: BUG: kernel NULL pointer dereference"), ("c", "pass", "")]
    assert "NULL pointer" in (guests.tmp / "logs" / "kernel.log").read_text()


def test_modules_beside_a_kernel(guests):
    """Whatever the kernel is in: its own modules are not asked then, and nothing is unpacked into the user's folder."""
    modules, tree = guests.tmp / "modules", guests.tmp / "tree"
    modules.mkdir()
    (modules / "virtio_console.ko").write_bytes(b"\0depends=\0mine")
    (guests.tmp / "k.deb").write_bytes(image("6.6-amd64"))
    (tree / "arch/x86/boot").mkdir(parents=True)
    shutil.copy(guests.tmp / "kernel", tree / "arch/x86/boot/bzImage")
    (guests.tmp / "a.test.toml").write_text('modules = ["elsewhere"]\n')
    body = "boot(); run(1, SUMMARY if b'mine' in initramfs else b''); frame('S', token)"
    for kernel in ("kernel", "k.deb", "tree"):
        done = guests("test", guests.tmp / "a.bpf.o", "--kernel", f"{guests.tmp / kernel}:{modules}", "--qemu", guests.fake(body), "--guest-dir",
                      guests.guest_dir, "--accel", "tcg", "--json")
        assert json.loads(done.stdout)["pass"] == 1
        assert f"'{modules}x' is no directory of modules" in guests(
            "test", guests.tmp / "a.bpf.o", "--kernel", f"{guests.tmp / kernel}:{modules}x", "--guest-dir", guests.guest_dir, status=1).stdout
    assert sorted(p.name for p in guests.tmp.iterdir() if p.name.startswith("modules")) == ["modules"]
    assert [p.name for p in modules.iterdir()] == ["virtio_console.ko"]
    (guests.tmp / "linux-image-7.deb").write_bytes(deb({"usr/share/doc/x": b"x"}))
    assert "linux-binary-*.deb does" in guests("test", guests.tmp / "a.bpf.o", "--kernel", guests.tmp / "linux-image-7.deb", "--guest-dir",
                                               guests.guest_dir, status=1).stdout


def test_every_console_is_kept(guests):
    """Of several guests of one kernel, and of kernels that are called alike."""
    (guests.tmp / "other").mkdir()
    (guests.tmp / "other" / "kernel").write_bytes(ELF + b"other")
    body = "boot(); i = next(i for i in range(3) if b'/lab/%d/' % i in initramfs); console.write(b'BUG: of %d\\n' % i)"
    report = guests.test(body, "--kernel", guests.tmp / "other" / "kernel", "--logs", guests.tmp / "logs", objects="ab")
    assert [(t["kernel"], t["name"]) for t in report["tests"]] == [("kernel", "a"), ("kernel", "b"), ("kernel#2", "a"), ("kernel#2", "b")]
    said = {log.name: re.search("BUG: of .", log.read_text())[0] for log in (guests.tmp / "logs").iterdir()}
    assert said == {"kernel.log": "BUG: of 0", "kernel-2.log": "BUG: of 1", "kernel#2.log": "BUG: of 0", "kernel#2-2.log": "BUG: of 1"}
    (guests.tmp / "file").write_text("")
    done = guests("test", guests.tmp / "a.bpf.o", "--kernel", guests.tmp / "kernel", "--qemu", guests.fake(body), "--guest-dir",
                  guests.guest_dir, "--accel", "tcg", "--logs", guests.tmp / "file", status=1)
    assert "its console is lost" in done.stderr


def test_an_object_that_is_not_attached_in_time(guests):
    (guests.tmp / "a.test.toml").write_text("timeout_s = 3\n")
    late = "boot(); frame('x', str(130 << 8).encode(), 1); frame('S', token)"
    assert reasons(guests.test(late)) == [("a", "fail", "it was not attached in 3 s ('timeout_s' gives it more)")]
    stuck = "boot(); frame('o', b'{\"type\":\"attached\"}\\n', 1); frame('x', b'9 killed', 1); frame('S', token)"
    assert reasons(guests.test(stuck)) == [("a", "fail", "anybpf run did not end when it was interrupted")]


def test_a_workload_that_does_not_end(guests):
    (guests.tmp / "a.test.toml").write_text('workload = ["true", "cat /dev/zero"]\ntimeout_s = 3\n')
    body = "boot(); run(2, b''); frame('x', b'9 killed', 3); run(1); frame('S', token)"
    shutil.copy("/bin/true", guests.tmp / "busybox")
    assert reasons(guests.test(body)) == [("a", "fail", "the workload's command 'cat /dev/zero' did not end in 3 s")]


def test_one_bad_kernel_of_several(guests):
    (guests.tmp / "bad").write_bytes(b"not a kernel")
    report = guests.test("boot(); run(1); frame('S', token)", "--kernel", guests.tmp / "bad", "--kernel", guests.tmp / "none")
    assert [(t["kernel"], t["verdict"]) for t in report["tests"]] == [("kernel", "pass"), ("bad", "fail"), ("none", "fail")]
    assert "no kernel that the lab can boot" in report["tests"][1]["reason"]


def test_cached_verdicts(guests):
    counted = f"open({str(guests.tmp / 'boots')!r}, 'a').write('x')\nboot(); run(1); frame('S', token)"
    boots = lambda: len((guests.tmp / "boots").read_text())  # noqa: E731
    for cached, wanted in ((False, 1), (True, 1), (True, 1)):
        report = guests.test(counted, *(["--cached"] if cached else []), status=0)
        assert report["tests"][0]["cached"] == cached and boots() == wanted
    (guests.tmp / "a.test.toml").write_text("settle_ms = 1\n")
    guests.test(counted, "--cached", status=0)
    assert boots() == 2
    (guests.tmp / "a.bpf.o").write_bytes(b"changed")
    guests.test(counted, "--cached", status=0)
    assert boots() == 3
    (guests.guest_dir / "anybpf-static").write_bytes(b"changed")
    guests.test(counted, "--cached", status=0)
    assert boots() == 4
    (guests.tmp / "extra").write_text("1")
    (guests.tmp / "a.test.toml").write_text(f"files = ['{guests.tmp}/ext*']\n")
    for content, wanted in (("1", 5), ("1", 5), ("2", 6)):
        (guests.tmp / "extra").write_text(content)
        guests.test(counted, "--cached", status=0)
        assert boots() == wanted
    guests.test("boot(); sys.exit(0)", "--cached", "--hide", "bpf")
    guests.test(counted, "--cached", "--hide", "bpf", status=0)
    assert boots() == 7


def test_reports(guests):
    (guests.tmp / "a.test.toml").write_text('[[event]]\nwhere = { comm = "<&\\"" }\n')
    guests.test("boot(); run(1); run(65); frame('S', token)", "--junit", guests.tmp / "r.xml", "--html", guests.tmp / "r.html",
                objects="ab")
    suites = xml.etree.ElementTree.parse(guests.tmp / "r.xml").getroot()
    cases = suites.findall("testsuite/testcase")
    assert (suites.get("tests"), suites.get("failures")) == ("2", "1")
    assert [c.get("name") for c in cases] == ["a", "b"] and [len(c.findall("failure")) for c in cases] == [1, 0]
    assert cases[0].get("classname") == "kernel" and 'comm":"<&' in cases[0].find("failure").get("message")
    page = (guests.tmp / "r.html").read_text()
    assert "1 passed, 1 failed, 0 skipped" in page and "&lt;&amp;" in page and "<&" not in page
    assert not re.search(r"(src|href)=\"(?!#)", page)


def test_names_of_all_kinds_in_reports(guests):
    for name in (b"new\nline", b"\xff\xfe", "\ufffe\u00e4".encode(), b"<b>&\"'"):
        pathlib.Path(os.fsdecode(os.fsencode(guests.tmp) + b"/" + name + b".bpf.o")).write_bytes(b"o")
    files = [f for f in guests.tmp.glob("*.bpf.o") if len(f.name) > len("a.bpf.o")]
    done = guests("test", *files, "--kernel", guests.tmp / "kernel", "--qemu", guests.fake("boot()\nfor i in range(4): run(64 * i + 1)\nframe('S', token)"),
                  "--guest-dir", guests.guest_dir, "--accel", "tcg", "--junit", guests.tmp / "r.xml", "--html", guests.tmp / "r.html")
    assert len(done.stdout.splitlines()) == 5 and "new?" in done.stdout
    names = {c.get("name") for c in xml.etree.ElementTree.parse(guests.tmp / "r.xml").iter("testcase")}
    assert names == {"new line", "??", "???\u00e4", "<b>&\"'"}
    assert "<b>" not in (guests.tmp / "r.html").read_text(encoding="utf-8")


def test_reports_that_cannot_be_written_are_known_before_guests_run(guests):
    body = f"open({str(guests.tmp / 'boots')!r}, 'w')"
    for option in ("--junit", "--html"):
        report = guests.test(body, option, guests.tmp / "none" / "report", status=4)
        assert "none/report'" in report["error"]["message"] and not (guests.tmp / "boots").exists()
    assert "none/db'" in guests("lab", "survey", "--kernel", guests.tmp / "kernel", "--output", guests.tmp / "none" / "db", status=4).stderr


def test_nothing_is_left_when_the_lab_is_killed(guests):
    (guests.tmp / "tmp").mkdir()
    guests.env["TMPDIR"] = str(guests.tmp / "tmp")
    source = guests.tmp / "d.bpf.c"
    source.write_text('#include "anybpf.bpf.h"\nint a;\n')
    body = f"open({str(guests.tmp / 'pid')!r}, 'w').write(str(os.getpid()))\nboot(); time.sleep(60)"
    process = subprocess.Popen([BUILD / "anybpf", "test", source, "--kernel", guests.tmp / "kernel", "--qemu", guests.fake(body),
                                "--guest-dir", guests.guest_dir, "--accel", "tcg", "--cache", guests.cache], env=guests.env)
    until = time.time() + 20
    while time.time() < until and not ((guests.tmp / "pid").exists() and (guests.tmp / "pid").read_text()):
        time.sleep(0.02)
    pid = int((guests.tmp / "pid").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    while time.time() < until and pathlib.Path(f"/proc/{pid}").exists() and "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2]:
        time.sleep(0.02)
    assert not pathlib.Path(f"/proc/{pid}").exists() or "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2]
    assert list((guests.tmp / "tmp").iterdir()) == []


def test_mistakes(guests):
    a, kernel = guests.tmp / "a.bpf.o", guests.tmp / "kernel"
    assert "(those of Debian's archive are named by --kernels)" in guests("test", a, "--kernel", "6.1", "--guest-dir", guests.guest_dir,
                                                                        status=1).stdout
    assert "on which kernels?" in guests("test", a, status=2).stderr
    assert "none.bpf.o" in guests("test", guests.tmp / "none.bpf.o", "--kernel", kernel, status=4).stderr
    assert "guests need QEMU" in guests("test", a, "--kernel", kernel, "--qemu", "/none/qemu", "--guest-dir", guests.guest_dir,
                                        status=4).stderr
    assert "anybpf-static" in guests("test", a, "--kernel", kernel, "--guest-dir", guests.tmp, status=4).stderr
    assert "option '--hide' takes 'bpf', 'btf', 'ringbuf' or 'tracefs', not 'btff'" in guests("test", a, "--kernel", kernel, "--hide", "btff",
                                                                                             status=2).stderr
    assert "kernels, fetch, shell, survey or clean" in guests("lab", "dance", status=2).stderr
    (guests.tmp / "a.test.toml").write_text("files = ['/no/such/*.so']\n")
    assert "no file of this machine is '/no/such/*.so'" in guests("test", a, "--kernel", kernel, "--guest-dir", guests.guest_dir,
                                                                  status=4).stderr
    (guests.tmp / "a.test.toml").write_text("workloads = []\n")
    assert "no key 'workloads'" in guests("test", a, "--kernel", kernel, "--guest-dir", guests.guest_dir, status=8).stderr
