# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`anybpf build` and `run` with a server: what is sent, what is trusted, what is done without it."""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest
from anybpfd import BUILD, HELLO, ROOT, Server

sys.path.insert(0, str(ROOT / "tests"))
from live import needs_bpf  # noqa: E402
from objects import same_program  # noqa: E402

REMOTE = BUILD / "src/remote/anybpf-remote"
pytestmark = pytest.mark.skipif(not REMOTE.exists(), reason="anybpf-remote was not built")


class Home:
    """A user with directories of their own; runs anybpf in a directory with sources."""

    def __init__(self, path):
        self.path, self.work = path, path / "work"
        self.work.mkdir(parents=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(path), "ANYBPF_LIBDIR": str(BUILD)}
        (self.work / "tool.bpf.c").write_text(HELLO % 1)

    def anybpf(self, *args, status=0, program="anybpf", **keywords):
        done = subprocess.run([BUILD / program, *map(str, args)], capture_output=True, text=True, cwd=self.work, env=self.env, timeout=60, **keywords)
        assert done.returncode == status, done.stdout + done.stderr
        done.said = done.stdout + done.stderr
        return done

    def build(self, server, *args, source="tool.bpf.c", status=0):
        return self.anybpf("build", "--server", server, source, *args, status=status)

    @property
    def trust(self):
        return self.path / ".config/anybpf/trust"


def url(server):
    return "http://%s:%d" % server.address


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def trusting(home, server):
    home.anybpf("trust", "add", url(server))
    return home


class Proxy:
    """Between a client and a server: counts, and changes what comes back."""

    def __init__(self, server, change=None):
        self.requests, proxy = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kind = self.headers.get("Content-Type")
                proxy.requests.append((self.path, body if kind != "application/json" else json.loads(body) if body else None))
                answer = server.request(self.command, self.path, body or None, {"Content-Type": kind})
                data, headers = answer.body, dict(answer.headers)
                status = answer.status
                if change:
                    status, data, headers = change(self.path, status, data, headers)
                self.send_response(status)
                for name in ("Content-Type", "Anybpf-Signature"):
                    if name in headers:
                        self.send_header(name, headers[name])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = handle_any

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = self.server.server_address
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def proxied(home):
    made = []

    def make(server, change=None, trust=True):
        proxy = Proxy(server, change)
        made.append(proxy)
        if trust:
            key = next(k for k in server.get("/v1/keys").json()["keys"] if k["active"])["public"]
            home.anybpf("trust", "add", "ed25519:" + key, url(proxy))
        return proxy

    yield make
    for proxy in made:
        proxy.close()


# ---- building ----

def test_same_object_as_here(trusting, server):
    trusting.anybpf("build", "tool.bpf.c", "-o", "here.o")
    done = trusting.build(url(server), "-o", "there.o", "-v")
    assert f"on {url(server)}" in done.stderr
    assert same_program((trusting.work / "here.o").read_bytes(), (trusting.work / "there.o").read_bytes())
    trusting.build(url(server), "-o", "there.so")
    trusting.build(url(server), "-o", "there.skel.h")
    assert {p.name for p in trusting.work.glob("there*")} == {"there.o", "there.o.sig", "there.so", "there.so.sig", "there.skel.h"}
    assert "there.so: good" in trusting.anybpf("trust", "verify", "there.so", "there.o").stdout
    assert os.access(trusting.work / "there.so", os.X_OK)


def test_files_options_and_diagnostics(trusting, server):
    w = trusting.work
    (w / "lib").mkdir(), (w / "src").mkdir(), (w / "extra/deep").mkdir(parents=True)
    (w / "lib/one.h").write_text('#pragma once\n#include "two.h"\n#define ONE TWO\n')
    (w / "lib/two.h").write_text("#define TWO 2 BROKEN\n")
    (w / "extra/deep/three.h").write_text("#define THREE 3\n")
    (w / "extra/never.h").write_text("#error\n")
    source = HELLO % 1 + '#include "../lib/one.h"\n#include <deep/three.h>\n#if 0\n#include "nowhere.h"\n#endif\nint sum = ONE + THREE + FOUR;\n'
    (w / "src/tool.bpf.c").write_text(source)
    trusting.build(url(server), "-I", "extra", "-D", "FOUR=4", "-D", "BROKEN=", "-o", "sum.o", source="src/tool.bpf.c")
    failed = trusting.build(url(server), "-I", "extra", "-D", "FOUR=4", "-o", "sum.o", source="src/tool.bpf.c", status=3)
    assert "src/tool.bpf.c:11:11: error:" in failed.stderr
    assert "src/../lib/two.h:1:15: note: expanded from macro 'TWO'" in failed.stderr
    done = json.loads(trusting.build(url(server), "-I", "extra", "-D", "FOUR=4", "-D", "BROKEN=", "-o", "sum.o", "--json", source="src/tool.bpf.c").stdout)
    assert done["source"] == "src/tool.bpf.c" and done["output"] == "sum.o" and done["signature"].startswith("ed25519:")


def test_only_what_changed_is_sent(home, server, proxied):
    proxy = proxied(server)
    (home.work / "big.h").write_text("/* " + "x" * 5000 + " */\n#define N 1\n")
    (home.work / "tool.bpf.c").write_text('#include "big.h"\n' + HELLO % 7 + "/* " + "y" * 1000 + " */\n")

    def sent():
        """For each request, which files went whole."""
        found = [sorted(n for n, f in r["files"].items() if not (isinstance(f, dict) and "digest" in f)) for p, r in proxy.requests if r]
        proxy.requests.clear()
        return found

    home.build(url(proxy), "-o", "a.o")
    assert sent() == [[], ["big.h", "tool.bpf.c"]]
    home.build(url(proxy), "-o", "a.o")
    assert sent() == [[]]
    (home.work / "big.h").write_text("/* " + "z" * 5000 + " */\n#define N 2\n")
    home.build(url(proxy), "-o", "a.o")
    assert sent() == [[], ["big.h"]]
    home.build(url(proxy), "-D", "Z", "-o", "a.o")
    assert sent() == [[]]


def test_what_conditions_leave_out_is_not_sent(home, server, proxied):
    proxy = proxied(server)
    w = home.work
    for name in ("debug", "release", "old", "new", "guarded", "perhaps", "decided"):
        (w / f"{name}.h").write_text(f"#ifndef {name}_h\n#define {name}_h\n#define {name.upper()}_IS 1\n#endif\n")
    (w / "secret.h").write_text("not C\n")
    (w / "level.h").write_text("#pragma once\n#define LEVEL (2 + 1)\n")
    (w / "twice.h").write_text('#ifdef SECOND\n#include "guarded.h"\n#endif\n')
    (w / "tool.bpf.c").write_text(HELLO % 1 + """#include "level.h"
#ifdef DEBUG
#include "debug.h"
#else
#include "release.h"
#endif
#if LEVEL >= 3 && !defined(OLD)
#include "new.h"
#elif 1
#include "old.h"
#endif
#if 0
#include "secret.h"
#endif
#include "twice.h"
#define SECOND
#include "twice.h"
#if __clang_major__ > 3
#include "perhaps.h"
#endif
int a = NEW_IS, b = GUARDED_IS, c = PERHAPS_IS;
""")

    def sent(*args):
        home.build(url(proxy), "-o", "a.o", *args)
        files = [sorted(r["files"]) for p, r in proxy.requests if r]
        proxy.requests.clear()
        return set(files[-1]) - {"tool.bpf.c", "level.h", "twice.h", "new.h", "guarded.h", "perhaps.h"}, len({*map(tuple, files)})

    assert sent() == ({"release.h"}, 1)
    assert sent("-D", "DEBUG") == ({"debug.h"}, 1)
    # A macro of a header that is not here: the compiler knows better, and gets the rest.
    with open(w / "tool.bpf.c", "a") as f:
        f.write('#ifdef BPF_CORE_READ\n#error\n#endif\n#include <bpf/bpf_core_read.h>\n#ifdef BPF_CORE_READ\n#include "decided.h"\n#endif\nint d = DECIDED_IS;\n')
    assert sent() == ({"release.h", "debug.h", "old.h", "secret.h", "decided.h"}, 2)


def test_standard_input(trusting, server):
    done = subprocess.run([BUILD / "anybpf", "build", "--server", url(server), "-", "-o", "-"], input=(HELLO % 3).encode(), capture_output=True,
                          env=trusting.env, cwd=trusting.work)
    assert done.returncode == 0 and done.stdout[:4] == b"\x7fELF"


@needs_bpf
def test_run(trusting, server):
    done = trusting.anybpf("run", "--server", url(server), "tool.bpf.c", "--duration", "100ms", "-v")
    assert f"compiled by clang" in done.stderr and url(server) in done.stderr
    trusting.env["ANYBPF_SERVER"] = url(server)
    trusting.anybpf("run", "tool.bpf.c", "--duration", "100ms")


def test_check(trusting, server):
    done = json.loads(trusting.anybpf("check", "--server", url(server), "tool.bpf.c", "--btf", "/sys/kernel/btf/vmlinux", "--json").stdout)
    assert "native" in json.dumps(done)
    (trusting.work / "tool.bpf.c").write_text("int x = ;\n")
    assert "tool.bpf.c:1:9" in trusting.anybpf("check", "--server", url(server), "tool.bpf.c", status=3).stderr


def test_wrong_use(trusting, server):
    assert "'--kernel' is for '--server'" in trusting.anybpf("build", "tool.bpf.c", "--kernel", "5.10", status=2).said
    assert "'--compiler' is for compiling here" in trusting.build(url(server), "--compiler", "clang", status=2).said
    assert "is not a server" in trusting.build("ftp://x", status=2).said
    assert "has no kernel" in trusting.build(url(server), "--kernel", "1.2.3", status=4).said
    trusting.env["ANYBPF_SERVER"] = "http://127.0.0.1:1"
    trusting.anybpf("build", "tool.bpf.c", "--compiler", "", "--server", "", "-o", "a.o", status=7)
    trusting.anybpf("build", "tool.bpf.c", "--server", "", "-o", "a.o")


def test_token(home, new_server):
    s = new_server("--anonymous", "read", open_to_all=False)
    home.anybpf("trust", "add", url(s))
    assert "status 401" in home.build(url(s), status=5).said
    home.env["ANYBPF_TOKEN"] = subprocess.run([BUILD / "anybpfd", "--state", s.state, "token", "add", "me", "--scopes", "read,build"], check=True,
                                              capture_output=True, text=True).stdout.strip()
    home.build(url(s))


# ---- types ----

@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """An object that asks for kernel types; one source of many objects with the same types and other bytes."""
    out = tmp_path_factory.mktemp("types") / "execsnoop.bpf.o"
    subprocess.run([BUILD / "anybpf", "build", ROOT / "tools/execsnoop.bpf.c", "-o", out], check=True, env={**os.environ, "ANYBPF_LIBDIR": str(BUILD)})
    return out


def run_without_types(home, server, program, *args, status=0):
    return home.anybpf("run", "--btf", "auto", "--server", url(server), program, "--duration", "100ms", *args, status=status)


def kept_types(home):
    return list(home.path.glob(".cache/anybpf/btf/*"))


@needs_bpf
def test_types_from_a_server(home, new_server, program):
    s = new_server()
    home.anybpf("trust", "add", url(s))
    assert f"kernel types from server '{url(s)}'" in run_without_types(home, s, program).stderr
    kept, = kept_types(home)
    assert kept.name.startswith(os.uname().release) and kept.stat().st_size < 2000 and kept.stat().st_mode & 0o777 == 0o600
    home.anybpf("btf", "min", program, "--btf", "/sys/kernel/btf/vmlinux", "-o", "min.btf")
    assert kept.read_bytes() == (home.work / "min.btf").read_bytes()
    s.stop()
    assert f"kernel types from '{kept}'" in run_without_types(home, s, program).stderr
    kept.unlink()
    said = run_without_types(home, s, program, status=7).stderr
    assert f"no types for kernel {os.uname().release}" in said and f"server '{url(s)}': " in said and said.count("\n") == 1


@needs_bpf
def test_types_on_a_kernel_without(trusting, server, program):
    """The kernel's own types hidden by an empty directory over them, which only this run has."""
    trusting.env["ANYBPF_SERVER"] = url(server)
    script = 'mount -t tmpfs none /sys/kernel/btf && exec "$0" run "$1" --duration 100ms'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, BUILD / "anybpf", program], capture_output=True, text=True, env=trusting.env, timeout=60)
    assert done.returncode == 0 and f"kernel types from server '{url(server)}'" in done.stderr, done.stderr


def test_types_of_no_kernel_of_the_server(home, new_server, program, tmp_path):
    (tmp_path / "4.19.btf").symlink_to("/sys/kernel/btf/vmlinux")
    s = new_server("--kernels-btf", tmp_path / "4.19.btf")
    home.anybpf("trust", "add", url(s))
    assert "the server has no types of kernel" in run_without_types(home, s, program, status=7).stderr


def test_objects_are_not_sent_to_strangers(home, server, proxied, program):
    proxy = proxied(server, trust=False)
    assert "no key of it is pinned" in run_without_types(home, proxy, program, status=5).stderr
    assert proxy.requests == [] and not kept_types(home)


def replaced_types(where, server, program):
    other = program.read_bytes() + b"\0"
    release = os.uname().release

    def change(path, status, data, headers):
        if not path.startswith("/v1/btf/") or status != 200:
            return status, data, headers
        signature = headers.pop("Anybpf-Signature")
        if where == "bytes":
            data = data[:30] + bytes([data[30] ^ 1]) + data[31:]
        if where == "other object":
            signature = server.request("POST", path, other, {"Content-Type": "application/octet-stream"}).headers["Anybpf-Signature"]
        if where == "other question":
            answer = server.request("POST", f"/v1/btf/{release}", program.read_bytes(), {"Content-Type": "application/octet-stream"})
            signature = answer.headers["Anybpf-Signature"]
        if where == "signature":
            signature = flip(signature)
        if where == "no signature":
            return status, data, headers
        return status, data, {**headers, "Anybpf-Signature": signature}
    return change


@pytest.mark.parametrize("where", ["bytes", "other object", "other question", "signature", "no signature"])
def test_types_changed_on_the_way(home, server, proxied, program, where):
    proxy = proxied(server, replaced_types(where, server, program))
    said = run_without_types(home, proxy, program, status=5).stderr
    assert ("not signed" if where == "no signature" else "does not belong to these bytes") in said and said.count("\n") == 1
    assert not kept_types(home) and proxy.requests[0][1] == program.read_bytes()


# ---- without the server ----

def test_away(home, new_server):
    s = new_server()
    home.anybpf("trust", "add", url(s))
    home.build(url(s), "-o", "first.o")
    s.stop()
    again = home.build(url(s), "-o", "again.o")
    assert "what it made of the same sources before is used" in again.stderr
    assert (home.work / "again.o").read_bytes() == (home.work / "first.o").read_bytes()
    (home.work / "tool.bpf.c").write_text(HELLO % 2)
    other = home.build(url(s), "-o", "other.o")
    assert "warning" in other.stderr and "compiling here" in other.stderr
    assert not (home.work / "other.o.sig").exists()
    home.anybpf("trust", "remove", home.trust.read_text().split("ed25519:")[1].split()[0])
    (home.work / "tool.bpf.c").write_text(HELLO % 1)
    assert "no key of it is pinned" in home.build(url(s), status=5).said


def test_damaged_cache_is_not_used(home, new_server):
    s = new_server()
    home.anybpf("trust", "add", url(s))
    home.build(url(s), "-o", "a.o")
    for kind in ("answers", "artifacts"):
        for path in (home.path / ".cache/anybpf/remote" / kind).iterdir():
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    home.build(url(s), "-o", "b.o")
    assert (home.work / "a.o").read_bytes() == (home.work / "b.o").read_bytes()
    s.stop()
    assert "before is used" in home.build(url(s)).said


# ---- trust ----

def test_nothing_is_sent_to_strangers(home, server, proxied):
    proxy = proxied(server, trust=False)
    done = home.build(url(proxy), status=5)
    assert "no key of it is pinned" in done.stderr and proxy.requests == []
    assert not list(home.work.glob("*.o"))


def flip(text):
    return text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]


def changed(where):
    def change(path, status, data, headers):
        if path != "/v1/build" or status != 200:
            return status, data, headers
        answer = json.loads(data)
        artifact = answer["artifacts"][0]
        raw = bytearray(base64.b64decode(artifact["data"]))
        if where == "bytes":
            raw[100] ^= 1
        if where in ("bytes and digest", "object"):
            raw[100] ^= 1
            artifact["digest"] = "sha256:" + hashlib.sha256(raw).hexdigest()
        artifact["data"] = base64.b64encode(raw).decode()
        if where == "signature":
            artifact["signature"] = flip(artifact["signature"])
        if where == "no signature":
            artifact["signature"] = None
        if where == "key id":
            artifact["signature"] = "ed25519:0123456789abcdef:" + artifact["signature"].split(":")[2]
        if where == "algorithm":
            artifact["signature"] = artifact["signature"].replace("ed25519", "none")
        if where == "short":
            artifact["signature"] = artifact["signature"][:-4]
        if where == "no digest":
            del artifact["digest"]
        return status, json.dumps(answer).encode(), headers
    return change


@pytest.mark.parametrize("where, status, said", [
    ("bytes", 5, "do not have the digest"), ("bytes and digest", 5, "does not belong to these bytes"), ("signature", 5, "does not belong to these bytes"),
    ("no signature", 5, "not signed"), ("key id", 5, "key 0123456789abcdef, which is not pinned"), ("algorithm", 5, "not one"),
    ("short", 5, "not one"), ("no digest", 8, "not anybpfd's")])
def test_changed_on_the_way(home, server, proxied, where, status, said):
    proxy = proxied(server, changed(where))
    done = home.build(url(proxy), "-o", "a.o", status=status)
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not list(home.work.glob("a.o*")) and not list(home.path.glob(".cache/anybpf/remote/a*/*"))
    done = home.anybpf("run", "--server", url(proxy), "tool.bpf.c", "--duration", "1", status=status)
    assert said in done.stderr and "compiling here" not in done.stderr


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"artifacts": 3}', b'{"artifacts": [{"output": "o", "digest": "sha256:zz"}]}'],
                         ids="empty list object bytes number digest".split())
def test_answers_that_are_none(home, server, proxied, body):
    proxy = proxied(server, lambda path, status, data, headers: (200, body, {}))
    assert "not anybpfd's" in home.build(url(proxy), status=8).stderr


def test_other_servers_key(trusting, server, proxied):
    proxy = proxied(server, trust=False)
    assert "no key of it is pinned" in trusting.build(url(proxy), status=5).stderr
    key = trusting.trust.read_text().split("ed25519:")[1].split()[0]
    trusting.anybpf("trust", "add", key)
    trusting.build(url(proxy), "-o", "any.o")


def test_rotation(home, new_server):
    s = new_server()
    home.anybpf("trust", "add", url(s))
    home.build(url(s), "-o", "a.o")
    subprocess.run([BUILD / "anybpfd", "--state", s.state, "key", "new"], check=True, capture_output=True)
    s.signal(1)
    s.wait_for_log(lambda e: e["event"] == "reload")
    done = home.build(url(s), "-o", "b.o")
    assert "signs with a new key" in done.stderr and "endorses" in done.stderr
    assert (home.work / "a.o").read_bytes() == (home.work / "b.o").read_bytes()
    assert (home.work / "a.o.sig").read_bytes() != (home.work / "b.o.sig").read_bytes()
    home.anybpf("trust", "verify", "a.o", "b.o")
    listed = json.loads(home.anybpf("trust", "list", "--json").stdout)
    assert len(listed) == 2 and f"follows {listed[0]['id']}" in listed[1]["remark"]
    assert "signs with a new key" not in home.build(url(s)).stderr


def test_endorsement_by_others_is_none(home, server, proxied):
    """A key for any server endorses none, and a wrong endorsement is none."""
    def change(path, status, data, headers):
        if path == "/v1/keys":
            keys = json.loads(data)
            old = dict(keys["keys"][0])
            keys["keys"][0]["endorsements"] = [f"ed25519:{old['id']}:" + base64.b64encode(bytes(64)).decode()]
            data = json.dumps(keys).encode()
        return status, data, headers
    proxy = proxied(server, change, trust=False)
    home.anybpf("trust", "add", "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", url(proxy))
    assert "no pinned key endorses" in home.build(url(proxy), status=5).stderr


@needs_bpf
def test_signed_files_are_verified(trusting, server):
    trusting.build(url(server), "-o", "tool.o")
    trusting.build(url(server), "-o", "tool.so")
    for name in ("tool.o", "tool.so"):
        trusting.anybpf("run", name, "--duration", "50ms")
        path = trusting.work / name
        good = path.read_bytes()
        path.write_bytes(good[:200] + bytes([good[200] ^ 1]) + good[201:])
        assert "does not belong to these bytes" in trusting.anybpf("run", name, "--duration", "50ms", status=5).stderr
        path.write_bytes(good)
        (trusting.work / (name + ".sig")).write_text("nonsense\n")
        assert "not one" in trusting.anybpf("run", name, "--duration", "50ms", status=5).stderr
        (trusting.work / (name + ".sig")).unlink()
        trusting.anybpf("run", name, "--duration", "50ms")


def test_what_is_built_here_has_no_signature_of_a_server(trusting, server):
    for name in ("tool.o", "tool.so"):
        trusting.build(url(server), "-o", name)
        assert (trusting.work / (name + ".sig")).exists()
        (trusting.work / "tool.bpf.c").write_text(HELLO % 2)
        trusting.anybpf("build", "tool.bpf.c", "-o", name)
        assert not (trusting.work / (name + ".sig")).exists()
        trusting.anybpf("run", name, "--duration", "50ms")
    (trusting.work / "tool.o.sig").write_text("my own\n")
    trusting.anybpf("build", "tool.bpf.c", "-o", "tool.o")
    assert (trusting.work / "tool.o.sig").exists()


# ---- the file of keys ----

KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


def test_trust_file(home):
    home.anybpf("trust", "add", "ed25519:" + KEY, "HTTPS://Build.Example.ORG:443/")
    home.anybpf("trust", "add", KEY)
    home.anybpf("trust", "add", KEY)
    lines = home.trust.read_text().splitlines()
    assert lines[0] == "# anybpf trust, version 1" and len(lines) == 3
    assert lines[1].startswith(f"https://build.example.org ed25519:{KEY} ") and lines[2].startswith(f"* ed25519:{KEY} ")
    assert home.trust.stat().st_mode & 0o777 == 0o600
    key_id = hashlib.sha256(base64.b64decode(KEY)).hexdigest()[:16]
    assert home.anybpf("trust", "list").stdout.count(key_id) == 2
    home.anybpf("trust", "remove", key_id)
    assert home.anybpf("trust", "list").stdout == ""
    assert "is pinned" in home.anybpf("trust", "remove", key_id, status=4).stderr


@pytest.mark.parametrize("line", ["https://x", f"https://x/y ed25519:{KEY} z", f"x ed25519:{KEY}", "* ed25519:AAAA", f"* rsa:{KEY}", f"* ed25519:{KEY}x",
                                  f"* ed25519:{KEY[:-2]}h="], ids="nokey path noscheme short rsa long spelling".split())
def test_bad_trust_file(home, line):
    home.trust.parent.mkdir(parents=True)
    home.trust.write_text(f"# fine\n* ed25519:{KEY} fine\n{line}\n")
    home.trust.chmod(0o600)
    assert "trust:3: not a server and a key" in home.anybpf("trust", "list", status=8).stderr
    assert "trust:3: " in home.build("http://127.0.0.1:1", status=8).stderr


def test_trust_file_of_others(home):
    home.trust.parent.mkdir(parents=True)
    home.trust.write_text("")
    home.trust.chmod(0o666)
    assert "written by others" in home.anybpf("trust", "list", status=5).stderr


def test_adding(home, server):
    for stranger in ("http://build.example.org", "http://127.example.org:80", "http://localhost.example.org"):
        assert "without TLS" in home.anybpf("trust", "add", stranger, status=5).stderr
    assert f"'anybpf trust add {url(server)}' pins one" in home.build(url(server), status=5).stderr
    assert "neither a key" in home.anybpf("trust", "add", "nonsense", status=2).stderr
    assert "trust add KEY" in home.anybpf("trust", "add", status=2).stderr
    pem = subprocess.run(["openssl", "pkey", "-in", next(server.state.glob("keys/*.pem")), "-pubout"], capture_output=True, check=True).stdout
    (home.work / "key.pem").write_bytes(pem)
    home.anybpf("trust", "add", "key.pem", url(server))
    home.build(url(server))


def test_tls(home, new_server, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    s = new_server("--tls-certificate", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    secure = "https://localhost:%d" % s.address[1]
    assert "certificate" in home.anybpf("trust", "add", secure, status=9).stderr
    home.env["ANYBPF_CA"] = str(tmp_path / "cert.pem")
    home.anybpf("trust", "add", secure)
    home.build(secure)
