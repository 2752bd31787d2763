# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""anybpf hub crawl: archives made here with the real tools, on the loopback interface, that misbehave in every way."""
import gzip
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.parse

import kernels
import pytest
from live import BUILD
from test_hub import btfhub_file

HUB = BUILD / "src/hub/anybpf-hub"
NEEDED = ["pahole", "gpg", "gpgv"]
pytestmark = [
    pytest.mark.skipif(not HUB.exists(), reason="built without the hub"),
    pytest.mark.skipif(any(not shutil.which(tool) for tool in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]


# ---- a server of files ----

class Server:
    """Serves `root`. By file name: `cut` has the offsets at which it hangs up, one for each request; `more` is sent behind the file;
    `hang` stops in the middle for as long as it is set."""

    def __init__(self, root):
        self.root, self.cut, self.more, self.hang, self.requests = root, {}, {}, set(), []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def handler(server):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                file = server.root / urllib.parse.unquote(self.path).lstrip("/")
                if not file.is_file():
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                data = file.read_bytes() + server.more.get(file.name, b"")
                asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(asked[1]) if asked and int(asked[1]) < len(data) else 0
                server.requests.append((file.name, start))
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                limits = server.cut.get(file.name)
                limit = limits.pop(0) if limits else len(data) // 2 if file.name in server.hang else None
                try:
                    self.wfile.write(data[start:limit])
                    self.wfile.flush()
                    while file.name in server.hang:
                        time.sleep(0.05)
                    if limit is not None:
                        self.connection.shutdown(socket.SHUT_RDWR)
                        self.close_connection = True
                except OSError:
                    self.close_connection = True

        return Handler

    def fetched(self, name):
        return [start for file, start in self.requests if file == name]


class Gpg:
    def __init__(self, home):
        self.home, self.ring = home, home / "ring.gpg"
        self("--quick-gen-key", "Test <test@example.org>", "rsa2048", "sign", "never")
        self.ring.write_bytes(self("--export").stdout)
        (home / "ring.asc").write_bytes(self("--armor", "--export").stdout)

    def __call__(self, *args):
        return kernels.run("gpg", "--homedir", str(self.home), "--batch", "--yes", "--quiet", "--passphrase", "", *map(str, args))


@pytest.fixture(scope="session")
def gpg(tmp_path_factory):
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    yield Gpg(home)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Kernels by release, each with types of its own."""
    made = {}

    def image(release, builder="debian-kernel@lists.debian.org", btf=True, raw=False):
        if (release, btf) not in made:
            made[release, btf] = kernels.vmlinux(tmp_path_factory.mktemp("kernel"), release, builder, units=len(made) + 1, btf=btf)
        return made[release, btf].read_bytes() if raw else kernels.bzimage(made[release, btf].read_bytes())
    return image


# ---- crawls ----

class Crawl:
    def __init__(self, tmp, gpg, images):
        self.tmp, self.gpg, self.images = tmp, gpg, images
        self.root = tmp / "www"
        self.root.mkdir()
        self.server = Server(self.root)
        self.pack, self.file = tmp / "k.pack", tmp / "sources.toml"

    def sources(self, *tables):
        text = ""
        for table in tables:
            text += "[[source]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()) + "\n"
        self.file.write_text(text)

    def command(self, *args, pack=None):
        return [str(BUILD / "anybpf"), "hub", "crawl", str(self.file), "--pack", str(pack or self.pack), "--json", *map(str, args)]

    def __call__(self, *args, status=0, pack=None):
        done = subprocess.run(self.command(*args, pack=pack), capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        self.lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.summary, self.stderr = self.lines[-1], done.stderr
        return self.summary

    def added(self):
        return sorted(line["release"] for line in self.lines if line.get("added") is True)

    def failures(self):
        return {line["package"]: line["message"] for line in self.lines if line.get("status") == "failed"}

    def rows(self):
        with sqlite3.connect(f"{self.pack}.state") as db:
            return {name: (status, attempts, error) for name, status, attempts, error in db.execute("SELECT name, status, attempts, error FROM package")}

    # A Debian-style archive.

    def deb(self, release, *, name=None, content=None, version="1.0-1", arch="amd64", **fields):
        name = name or f"linux-image-{release}"
        content = content or kernels.deb({f"boot/vmlinuz-{release}": self.images(release)}, name, version, arch)
        file = self.root / "debian/pool" / f"{name}_{version}_{arch}.deb"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        stanza = {"Package": name, "Version": version, "Architecture": arch, "Filename": f"pool/{file.name}", "Size": len(content),
                  "SHA256": hashlib.sha256(content).hexdigest(), **fields}
        self.packages = getattr(self, "packages", []) + ["".join(f"{k}: {v}\n" for k, v in stanza.items())]
        return file

    def publish(self, suite="bookworm", *, packages=None, sign="inline", until=None, how="xz", named=None, by_hash=False):
        dist = self.root / "debian/dists" / suite
        binary = dist / "main/binary-amd64"
        binary.mkdir(parents=True, exist_ok=True)
        packed = kernels.COMPRESSORS[how]("\n".join(packages if packages is not None else self.packages).encode())
        suffix = {"xz": "xz", "gzip": "gz", "zstd": "zst"}[how]
        digest = hashlib.sha256(packed).hexdigest()
        target = binary / "by-hash/SHA256" / digest if by_hash else binary / f"Packages.{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(packed)
        release = f"Origin: Test\nSuite: stable\nCodename: {named or suite}\n" + (f"Valid-Until: {until}\n" if until else "")
        release += "Acquire-By-Hash: yes\n" if by_hash else ""
        release += f"SHA256:\n {digest} {len(packed)} main/binary-amd64/Packages.{suffix}\n"
        (dist / "Release").write_text(release)
        for old in ("InRelease", "Release.gpg"):
            (dist / old).unlink(missing_ok=True)
        if sign == "inline":
            self.gpg("--clearsign", "-o", dist / "InRelease", dist / "Release")
        elif sign == "detached":
            self.gpg("--armor", "--detach-sign", "-o", dist / "Release.gpg", dist / "Release")
        return dist

    def debian(self, **more):
        return {"name": "debian", "type": "deb", "url": f"{self.server.url}/debian", "suites": ["bookworm"], "architectures": ["amd64"],
                "keyring": str(self.gpg.ring), **more}

    # An RPM repository, by the real tools.

    def rpm(self, release, *, name="kernel-core", path="lib/modules/{}/vmlinuz", content=None, repo="el8", **more):
        version, rest = release.split("-", 1)
        package = kernels.rpm(self.tmp, name, version, rest.removesuffix(".x86_64"),
                              {path.format(release): content or self.images(release, "mockbuild@example.org")}, **more)
        to = self.root / repo / "Packages" / package.name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package, to)
        return to

    def sign(self, package):
        kernels.run("rpmsign", "--addsign", "--define", "_gpg_name Test", "--define", f"_gpg_path {self.gpg.home}",
                    "--define", f"__gpg {shutil.which('gpg')}", package, env={**os.environ, "GNUPGHOME": str(self.gpg.home)})

    def create_repository(self, repo="el8", *options, sign=True):
        kernels.run("createrepo_c", "--quiet", *options, self.root / repo)
        repomd = self.root / repo / "repodata/repomd.xml"
        if sign:
            self.gpg("--armor", "--detach-sign", "-o", f"{repomd}.asc", repomd)
        return repomd

    def recompress(self, repo="el8"):
        """What newer distributions do: the primary list in zstd. Not every createrepo_c can."""
        data = self.root / repo / "repodata"
        (old,) = data.glob("*-primary.xml.gz")
        packed = kernels.COMPRESSORS["zstd"](gzip.decompress(old.read_bytes()))
        text = (data / "repomd.xml").read_text().replace(hashlib.sha256(old.read_bytes()).hexdigest(), hashlib.sha256(packed).hexdigest())
        text = text.replace(f"<size>{old.stat().st_size}</size>", f"<size>{len(packed)}</size>").replace("primary.xml.gz", "primary.xml.zst")
        (data / f"{hashlib.sha256(packed).hexdigest()}-primary.xml.zst").write_bytes(packed)
        (data / "repomd.xml").write_text(text)
        self.gpg("--armor", "--detach-sign", "-o", data / "repomd.xml.asc", data / "repomd.xml")

    def el8(self, **more):
        return {"name": "el8", "type": "rpm", "url": f"{self.server.url}/el8/", "keyring": str(self.gpg.home / "ring.asc"), **more}


@pytest.fixture
def crawl(tmp_path, gpg, images):
    return Crawl(tmp_path, gpg, images)


# ---- Debian-style archives ----

@pytest.mark.parametrize("sign,how,by_hash", [("inline", "xz", False), ("detached", "gzip", True),
                                              pytest.param("inline", "zstd", False, marks=pytest.mark.skipif(not shutil.which("zstd"), reason="zstd"))])
def test_debian_archive(crawl, sign, how, by_hash):
    for release in ("6.1.0-49-amd64", "6.1.0-50-amd64", "6.1.0-50-cloud-amd64"):
        crawl.deb(release)
    crawl.deb("6.1.0-50-amd64", name="linux-image-6.1.0-50-amd64-unsigned")
    crawl.deb("6.1.0-50-amd64", name="linux-headers-6.1.0-50-amd64", content=b"not wanted")
    crawl.deb("6.1.0-50-amd64", name="linux-image-amd64", content=b"not wanted either")
    crawl.publish(sign=sign, how=how, by_hash=by_hash)
    crawl.sources(crawl.debian())
    crawl("--list")
    assert [line["package"] for line in crawl.lines[:-1]] == ["linux-image-6.1.0-50-cloud-amd64", "linux-image-6.1.0-50-amd64", "linux-image-6.1.0-49-amd64"]
    assert not crawl.server.fetched("linux-image-6.1.0-50-amd64_1.0-1_amd64.deb")
    assert crawl()["added"] == 3 and crawl.added() == ["6.1.0-49-amd64", "6.1.0-50-amd64", "6.1.0-50-cloud-amd64"]
    before = len(crawl.server.requests)
    again = crawl()
    assert (again["skipped"], again["done"], again["added"]) == (3, 0, 0)
    # Only the signed file was asked for again.
    assert len(crawl.server.requests) - before <= 2
    assert not list((crawl.tmp / "k.pack.cache/packages").iterdir())
    crawl.pack.unlink()
    assert crawl()["added"] == 3


def test_newest_and_only(crawl):
    for release in ("6.1.0-9-amd64", "6.1.0-10-amd64", "6.12.5-amd64"):
        crawl.deb(release)
    crawl.publish()
    crawl.sources(crawl.debian(newest=1), crawl.debian(name="other", suites=["none"]))
    crawl("--only", "debian")
    assert crawl.added() == ["6.1.0-10-amd64", "6.12.5-amd64"]
    crawl("--only", "debian", "--only", "nobody", status=4)


def test_the_best_package_is_tried_first(crawl):
    release = "7.2.0-1-amd64"
    crawl.deb(release, content=kernels.deb({"usr/share/doc/x": b"nothing here"}))
    crawl.deb(release, name=f"linux-binary-{release}", content=kernels.deb({f"boot/vmlinuz-{release}": crawl.images(release)}))
    # A kernel whose image has no types: only here the debug package is fetched.
    bare = "5.9.0-1-amd64"
    crawl.deb(bare, content=kernels.deb({f"boot/vmlinuz-{bare}": crawl.images(bare, btf=False)}))
    crawl.deb(bare, name=f"linux-image-{bare}-dbg", content=kernels.deb({f"usr/lib/debug/boot/vmlinux-{bare}": crawl.images(bare, btf=False, raw=True)}))
    crawl.deb(release, name=f"linux-image-{release}-dbg", content=b"never fetched")
    crawl.publish()
    crawl.sources(crawl.debian(debug=True))
    crawl()
    assert crawl.added() == [bare, release] and crawl.summary["none"] == 1
    assert not crawl.server.fetched(f"linux-image-{release}_1.0-1_amd64.deb") and not crawl.server.fetched(f"linux-image-{release}-dbg_1.0-1_amd64.deb")
    assert [line["dwarf"] for line in crawl.lines if line.get("release") == bare] == [True]


def test_unsigned_and_wrongly_signed(crawl, tmp_path_factory):
    crawl.deb("6.1.0-50-amd64")
    refused = [
        (dict(sign=None), "has no"),
        (dict(named="trixie"), "for another suite"),
        (dict(until="Thu, 01 Jan 2015 00:00:00 UTC"), "was valid until"),
    ]
    crawl.sources(crawl.debian())
    for how, message in refused:
        crawl.publish(**how)
        assert crawl(status=1)["sources_failed"] == 1 and message in crawl.failures()["bookworm"], how
    dist = crawl.publish()
    signed = (dist / "InRelease").read_text()
    (dist / "InRelease").write_text(signed.replace("Origin: Test", "Origin: Tess"))
    crawl(status=1)
    assert "changed after it was signed" in crawl.failures()["bookworm"]
    (dist / "InRelease").write_text(signed)
    stranger = tmp_path_factory.mktemp("stranger")
    stranger.chmod(0o700)
    crawl.sources(crawl.debian(keyring=str(Gpg(stranger).ring)))
    crawl(status=1)
    assert "which is not in" in crawl.failures()["bookworm"] and crawl.rows()["bookworm"][0] == "failed"
    subprocess.run(["gpgconf", "--homedir", stranger, "--kill", "gpg-agent"], check=False)
    assert not crawl.server.fetched("linux-image-6.1.0-50-amd64_1.0-1_amd64.deb")
    crawl.publish(sign=None)
    crawl.sources({k: v for k, v in crawl.debian(unsigned=True).items() if k != "keyring"})
    assert crawl()["added"] == 1
    crawl.sources({k: v for k, v in crawl.debian().items() if k != "keyring"})
    assert "'keyring' is missing" in subprocess.run(crawl.command(), capture_output=True, text=True).stderr


def test_what_goes_wrong_is_reported_skipped_and_retried(crawl):
    good, damaged, wrong, short, long, gone = (f"6.1.0-{n}-amd64" for n in range(1, 7))
    crawl.deb(good)
    content = bytearray(kernels.deb({f"boot/vmlinuz-{damaged}": crawl.images(damaged)}))
    content[len(content) // 2:] = os.urandom(len(content) - len(content) // 2)
    crawl.deb(damaged, content=bytes(content))
    crawl.deb(wrong, SHA256="0" * 64)
    crawl.deb(short, Size=10 ** 7)
    crawl.deb(long, Size=1000)
    file = crawl.deb(gone)
    content = file.read_bytes()
    file.unlink()
    crawl.publish()
    crawl.sources(crawl.debian())
    crawl("--downloads", 3, status=1)
    assert crawl.added() == [good] and crawl.summary["failed"] == 5
    failures = {name.removeprefix("linux-image-"): message for name, message in crawl.failures().items()}
    assert "damaged" in failures[damaged] and "hash" in failures[wrong] and "not the 10000000" in failures[short]
    assert "more than the 1000 bytes" in failures[long] and "has no" in failures[gone]
    assert crawl.rows()[f"linux-image-{gone}"] == ("failed", 1, failures[gone])
    assert not list((crawl.tmp / "k.pack.cache").rglob("*.part"))
    # They are not tried again before their time, unless asked for.
    requests = len(crawl.server.requests)
    assert crawl()["skipped"] == 6 and len(crawl.server.requests) == requests + 1
    file.write_bytes(content)
    crawl("--retry", status=1)
    assert crawl.added() == [gone] and crawl.rows()[f"linux-image-{damaged}"][1] == 2
    with sqlite3.connect(f"{crawl.pack}.state") as db:
        db.execute("UPDATE package SET retry_at = 1 WHERE status = 'failed'")
    assert crawl(status=1)["failed"] == 4
    status = subprocess.run([BUILD / "anybpf", "hub", "status", "--pack", crawl.pack, "--json"], check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in status.stdout.splitlines()]
    assert lines[-1]["done"] == 2 and lines[-1]["failed"] == 4 and {line["status"] for line in lines[:-1]} == {"failed"}


def test_lists_that_fail_are_told_apart_from_packages(crawl):
    crawl.deb("6.1.0-1-amd64")
    crawl.publish()
    crawl.sources(crawl.debian(), crawl.debian(name="other", suites=["never-was"]))
    assert crawl(status=1)["sources_failed"] == 1 and crawl.summary["failed"] == 0
    said = subprocess.run([BUILD / "anybpf", "hub", "status", "--pack", crawl.pack], check=True, capture_output=True, text=True).stderr
    assert "other: never-was: " in said and "tried again with the next crawl" in said
    assert said.endswith("1 packages read, 0 without types, 0 failed, 1 list failed\n")


def test_downloads_go_on_where_they_ended(crawl):
    file = crawl.deb("6.1.0-50-amd64", content=kernels.deb({"a": os.urandom(400000), "boot/vmlinuz-6.1.0-50-amd64": crawl.images("6.1.0-50-amd64")}))
    crawl.publish()
    crawl.sources(crawl.debian())
    crawl.server.cut[file.name] = [100000, 250000]
    assert crawl()["added"] == 1
    assert crawl.server.fetched(file.name) == [0, 100000, 250000]
    # Across crawls too: the first one gives up.
    file = crawl.deb("6.1.0-51-amd64", content=kernels.deb({"a": os.urandom(400000), "boot/vmlinuz-6.1.0-51-amd64": crawl.images("6.1.0-51-amd64")}))
    crawl.publish()
    crawl.server.cut[file.name] = [50000, 60000, 70000]
    assert crawl(status=1)["failed"] == 1
    assert crawl("--retry")["added"] == 1 and crawl.server.fetched(file.name) == [0, 50000, 60000, 70000]


def test_a_server_that_sends_too_much(crawl):
    file = crawl.deb("6.1.0-50-amd64")
    crawl.publish()
    crawl.sources(crawl.debian())
    crawl.server.more[file.name] = bytes(100000)
    crawl(status=1)
    assert "more than the" in crawl.failures()["linux-image-6.1.0-50-amd64"]
    crawl.server.more.clear()
    assert crawl("--retry")["added"] == 1


def test_rate_is_limited(crawl):
    size = 400000
    file = crawl.deb("6.1.0-50-amd64", content=kernels.deb({"a": os.urandom(size), "boot/vmlinuz-6.1.0-50-amd64": crawl.images("6.1.0-50-amd64")}))
    crawl.publish()
    crawl.sources(crawl.debian())
    start = time.time()
    assert crawl("--limit-rate", 200, "--downloads", 1)["added"] == 1
    assert time.time() - start > file.stat().st_size / (200 * 1024) - 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_full_disk(crawl):
    cache = crawl.tmp / "small"
    cache.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", cache], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        crawl.deb("6.1.0-50-amd64", content=kernels.deb({"a": os.urandom(900000), "boot/vmlinuz-6.1.0-50-amd64": crawl.images("6.1.0-50-amd64")}))
        crawl.deb("6.1.0-49-amd64")
        crawl.publish()
        crawl.sources(crawl.debian())
        crawl("--cache", cache, "--downloads", 1, status=1)
        assert "No space left" in crawl.failures()["linux-image-6.1.0-50-amd64"] and crawl.added() == ["6.1.0-49-amd64"]
        subprocess.run(["mount", "-o", "remount,size=10m", cache], check=True)
        assert crawl("--cache", cache, "--retry")["added"] == 1
    finally:
        subprocess.run(["umount", cache], check=True)


def test_a_crawl_that_is_killed_loses_nothing_that_was_committed(crawl):
    crawl.deb("6.1.0-50-amd64")
    stuck = crawl.deb("6.1.0-49-amd64")
    crawl.publish()
    crawl.sources(crawl.debian())
    crawl.server.hang.add(stuck.name)
    for kill, status in ((signal.SIGKILL, None), (signal.SIGTERM, 1)):
        process = subprocess.Popen(crawl.command("--downloads", 1), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        requests = len(crawl.server.fetched(stuck.name))
        until = time.time() + 30
        while len(crawl.server.fetched(stuck.name)) == requests and time.time() < until:
            time.sleep(0.02)
        process.send_signal(kill)
        out = process.communicate(timeout=30)[0]
        assert process.returncode == (status if status is not None else -kill), out
    # The polite end committed what was there; the other left nothing wrong behind.
    assert crawl.rows()["linux-image-6.1.0-50-amd64"][0] == "done" and "linux-image-6.1.0-49-amd64" not in crawl.rows()
    crawl.server.hang.clear()
    assert crawl()["added"] == 1


# ---- RPM repositories ----

needs_rpm = pytest.mark.skipif(any(not shutil.which(tool) for tool in ("rpmbuild", "createrepo_c", "rpmsign")), reason="needs rpm and createrepo_c")
EL8 = ["4.18.0-147.5.1.el8_1.x86_64", "4.18.0-553.el8_10.x86_64"]


@needs_rpm
@pytest.mark.parametrize("how", ["gz", "xz", pytest.param("zst", marks=pytest.mark.skipif(not shutil.which("zstd"), reason="zstd is needed"))])
def test_rpm_repository(crawl, how):
    for release in EL8:
        crawl.rpm(release)
    crawl.rpm("4.18.0-147.5.1.el8_1.x86_64", name="kernel-modules", content=b"nothing")
    crawl.create_repository("el8", f"--general-compress-type={how if how != 'zst' else 'gz'}", sign=how != "zst")
    if how == "zst":
        crawl.recompress()
    crawl.sources(crawl.el8())
    assert crawl()["added"] == 2 and crawl.added() == EL8
    assert {line["distribution"] for line in crawl.lines if "release" in line} == {"centos-8"}
    assert crawl()["skipped"] == 2


@needs_rpm
def test_rpm_debuginfo(crawl):
    release = "3.10.0-1160.el7.x86_64"
    debug = kernels.vmlinux(crawl.tmp / "k", release, "mockbuild@kbuilder.bsys.centos.org", units=4, hide=True, btf=False).read_bytes()
    crawl.rpm(release, name="kernel", path="boot/vmlinuz-{}", content=crawl.images(release, btf=False))
    crawl.rpm(release, name="kernel-debuginfo", path="usr/lib/debug/lib/modules/{}/vmlinux", content=debug)
    crawl.create_repository()
    crawl.sources(crawl.el8())
    assert crawl()["none"] == 1 and crawl.summary["added"] == 0
    crawl.sources(crawl.el8(debug=True))
    assert crawl()["added"] == 1
    (found,) = [line for line in crawl.lines if "release" in line]
    assert found["dwarf"] and (found["distribution"], found["release"]) == ("centos-7", release)


@needs_rpm
def test_rpm_signatures(crawl):
    package = crawl.rpm(EL8[0])
    repomd = crawl.create_repository(sign=False)
    crawl.sources(crawl.el8())
    crawl(status=1)
    assert "repomd.xml is not signed" in crawl.failures()["repodata"]
    # Packages that sign themselves.
    crawl.sources(crawl.el8(signed="packages"))
    crawl(status=1)
    assert "the package is not signed" in crawl.failures()["kernel-core"]
    crawl.sign(package)
    crawl.create_repository(sign=False)
    assert crawl()["added"] == 1
    # Metadata that was changed after it was signed.
    crawl.gpg("--armor", "--detach-sign", "-o", f"{repomd}.asc", repomd)
    repomd.write_text(repomd.read_text().replace("<revision>", "<revision>1"))
    crawl.sources(crawl.el8())
    crawl(status=1)
    assert "changed after it was signed" in crawl.failures()["repodata"]


@needs_rpm
def test_rpm_packages_that_were_changed_after_signing(crawl):
    package = crawl.rpm(EL8[0])
    crawl.sign(package)
    data = bytearray(package.read_bytes())
    data[-100] ^= 1
    package.write_bytes(data)
    crawl.create_repository(sign=False)
    crawl.sources(crawl.el8(signed="packages"))
    crawl(status=1)
    assert re.search("hash is not|changed after", crawl.failures()["kernel-core"]) and not crawl.added()


@needs_rpm
def test_rpm_repository_that_lies(crawl):
    damaged, lies = crawl.rpm(EL8[0]), crawl.rpm(EL8[1])
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    crawl.create_repository()
    lies.write_bytes(lies.read_bytes() + b"more")
    crawl.sources(crawl.el8())
    crawl(status=1)
    assert crawl.summary["failed"] == 2 and not crawl.added()
    assert any("more than" in line["message"] for line in crawl.lines if line.get("status") == "failed")
    # A primary list that is not the one that repomd.xml vouches for.
    (primary,) = (crawl.root / "el8/repodata").glob("*primary.xml.*")
    primary.write_bytes(gzip.compress(b"<metadata/>"))
    shutil.rmtree(crawl.tmp / "k.pack.cache")
    assert crawl(status=1)["sources_failed"] == 1


# ---- BTFHub ----

def test_btfhub_sources(crawl):
    btf = kernels.section(kernels.vmlinux(crawl.tmp / "k", "5.4.0-1"), ".BTF", crawl.tmp)
    tree = crawl.root / "btfhub"
    first = btfhub_file(tree, "centos", "8", "x86_64", "4.18.0-1.el8.x86_64", btf)
    crawl.sources({"name": "tree", "type": "btfhub", "url": str(tree)})
    crawl()
    assert crawl.added() == ["4.18.0-1.el8.x86_64"] and crawl()["skipped"] == 1
    second = btfhub_file(tree, "ubuntu", "20.04", "arm64", "5.4.0-1-generic", btf)
    assert crawl()["added"] == 1
    index = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  ./{p.relative_to(tree)}\n" for p in (first, second))
    (tree / "SHA256SUMS").write_text(index + f"{'0' * 64}  ../../escape/x.btf.tar.xz\n")
    crawl.gpg("--detach-sign", "-o", tree / "SHA256SUMS.gpg", tree / "SHA256SUMS")
    crawl.sources({"name": "web", "type": "btfhub", "url": f"{crawl.server.url}/btfhub", "keyring": str(crawl.gpg.ring)})
    crawl.pack = crawl.tmp / "web.pack"
    crawl()
    keys = sorted((line["distribution"], line["arch"], line["release"]) for line in crawl.lines if "release" in line)
    assert keys == [("centos-8", "x86_64", "4.18.0-1.el8.x86_64"), ("ubuntu-20.04", "aarch64", "5.4.0-1-generic")]
    (tree / "SHA256SUMS").write_text(index + "# changed\n")
    crawl(status=1)
    assert "changed after it was signed" in crawl.failures()["index"]


# ---- many machines ----

@pytest.fixture
def redis(tmp_path):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is needed")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path], stdout=subprocess.DEVNULL)
    until = time.time() + 10
    while time.time() < until:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield f"redis://127.0.0.1:{port}/test?silence=2"
    server.terminate()
    server.wait()


def test_a_worker_that_dies_loses_nothing(crawl, redis):
    releases = [f"6.1.0-{n}-amd64" for n in range(1, 9)]
    files = [crawl.deb(release) for release in releases]
    crawl.publish()
    crawl.sources(crawl.debian())
    # The first worker takes everything it can and gets nowhere.
    crawl.server.hang.update(file.name for file in files)
    dying = subprocess.Popen(crawl.command("--queue", redis, "--downloads", 4, pack=crawl.tmp / "dying.pack"), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    until = time.time() + 30
    while len([r for r in crawl.server.requests if r[0].endswith(".deb")]) < 4 and time.time() < until:
        time.sleep(0.02)
    dying.kill()
    dying.wait()
    crawl.server.hang.clear()
    workers = [subprocess.Popen(crawl.command("--queue", redis, "--downloads", 2, pack=crawl.tmp / f"w{n}.pack"), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for n in range(2)]
    added = []
    for worker in workers:
        out, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, out + err
        added += [line["release"] for line in map(json.loads, out.splitlines()) if line.get("added") is True]
    assert sorted(added) == sorted(releases)
    # What is done is done for all machines.
    assert crawl("--queue", redis, pack=crawl.tmp / "late.pack")["done"] == 0


def test_failures_in_the_queue_are_remembered(crawl, redis):
    crawl.deb("6.1.0-1-amd64")
    file = crawl.deb("6.1.0-2-amd64")
    content = file.read_bytes()
    file.unlink()
    crawl.publish()
    crawl.sources(crawl.debian())
    crawl("--queue", redis, status=1)
    assert crawl.summary["failed"] == 1 and crawl.added() == ["6.1.0-1-amd64"]
    assert crawl("--queue", redis, pack=crawl.tmp / "b.pack")["failed"] == 0
    file.write_bytes(content)
    crawl("--queue", redis, "--retry", pack=crawl.tmp / "c.pack")
    assert crawl.added() == ["6.1.0-2-amd64"]


# ---- sources ----

@pytest.mark.parametrize("text,message", [
    ("x = 1", "[[source]] tables are wanted"),
    ("[[source]", "line 1"),
    ('[[source]]\nname = "a"\ntype = "deb"\nurl = "apt"\nkeyring = "k"', "'suites' is missing"),
    ('[[source]]\nname = "a"\ntype = "rpm"\nurl = "ftp://x"\nkeyring = "k"', "http://, https:// or file:///"),
    ('[[source]]\nname = "a"\ntype = "rpm"\nurl = "https://x"\nkeyring = "k"\nsuites = ["x"]', "has no key 'suites'"),
    ('[[source]]\nname = "a"\ntype = "rpm"\nurl = "https://x"\nkeyring = "k"\nsigend = "x"', "there is no key 'sigend'"),
    ('[[source]]\nname = "a"\ntype = "rpm"\nurl = "https://x"\nunsigned = "yes"', "true or false"),
    ('[[source]]\nname = "a"\ntype = "zip"\nurl = "https://x"', "'type' is"),
])
def test_mistakes_in_sources(tmp_path, text, message):
    (tmp_path / "s.toml").write_text(text)
    done = subprocess.run([BUILD / "anybpf", "hub", "crawl", tmp_path / "s.toml", "--pack", tmp_path / "k.pack"], capture_output=True, text=True)
    assert done.returncode == 8 and message in done.stderr


# ---- the real archive ----

@pytest.mark.skipif(not os.path.exists("/usr/share/keyrings/debian-archive-keyring.gpg") or not os.path.exists("/usr/lib/apt/apt-helper"),
                    reason="not a Debian system")
def test_debian_through_apt(crawl):
    """The newest small kernels of the machine's own archive, by apt's own downloader."""
    release = next((line.split("=")[1].strip().strip('"') for line in open("/etc/os-release") if line.startswith("VERSION_CODENAME=")), None)
    crawl.sources({"name": "debian", "type": "deb", "url": "apt", "suites": [release, f"{release}-security"], "architectures": ["amd64"], "newest": 1,
                   "packages": ["linux-image-[0-9]*-cloud-amd64"], "stale": True, "keyring": "/usr/share/keyrings/debian-archive-keyring.gpg"})
    done = subprocess.run(crawl.command(), capture_output=True, text=True, timeout=300)
    if "names no archive" in done.stderr or "Temporary failure" in done.stderr or "Could not connect" in done.stderr:
        pytest.skip("Debian's archive is out of reach")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = [line for line in lines if "release" in line]
    assert done.returncode == 0 and found, done.stderr
    for line in found:
        assert line["distribution"] == "debian" and line["flavour"] == "cloud" and line["bytes"] > 2 << 20 and len(line["build_id"]) == 40
