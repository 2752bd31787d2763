# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""POST /v1/build and what follows from it: artifacts, cache, streams, signatures."""
import base64
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

import pytest

from anybpfd import BUILD, HELLO, ROOT, data_of

ELF = b"\x7fELF"


def unique():
    return HELLO % random.randrange(1 << 30)


def test_object_is_what_the_command_line_makes(server, tmp_path):
    source = ROOT / "tools" / "execsnoop.bpf.c"
    a = server.build(files={source.name: source.read_text()}, source=source.name).json()
    out = tmp_path / "tool.o"
    done = subprocess.run([BUILD / "anybpf", "build", source, "-o", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert data_of(a) == out.read_bytes()
    assert a["artifacts"][0]["digest"] == "sha256:" + hashlib.sha256(out.read_bytes()).hexdigest()


def test_all_outputs(server):
    a = server.build(unique(), outputs=["o", "skel.h", "so"])
    assert a.status == 200, a.body
    names = {x["output"]: x["name"] for x in a.json()["artifacts"]}
    assert names == {"o": "tool.o", "so": "tool.so", "skel.h": "tool.skel.h"}
    assert data_of(a.json(), "o")[:4] == ELF and data_of(a.json(), "so")[:4] == ELF
    assert b"tool_bpf__open" in data_of(a.json(), "skel.h")


def test_files_in_directories(server):
    a = server.build(files={"src/a.bpf.c": '#include "b.h"\n#include "deep/c.h"\n' + unique() + "int x = B + C;",
                            "src/b.h": "#define B 1", "inc/deep/c.h": {"base64": base64.b64encode(b"#define C 2").decode()}},
                     source="src/a.bpf.c", options={"include_dirs": ["inc"]})
    assert a.status == 200, a.body
    assert a.json()["artifacts"][0]["name"] == "a.o"


def test_defines_and_isa(server):
    text = unique() + "int x = X;"
    assert server.build(text, options={"defines": ["X=4"], "isa": "v3"}).status == 200
    assert server.build(text).status == 422


def test_another_machine(server):
    a = server.build('#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n#include <bpf/bpf_tracing.h>\nchar LICENSE[] SEC("license") = "GPL";\n'
                     'SEC("kprobe/x") int BPF_KPROBE(f, long a) { return a; }', options={"arch": "arm64"})
    assert a.status == 200, a.body
    assert server.build(options={"arch": "pdp11"}).status == 400


def test_diagnostics_are_structured(server):
    text = unique() + "\nint broken(void)\n{\n\treturn nothing_here;\n}\n"
    a = server.build(text)
    assert a.status == 422 and a.headers["Content-Type"] == "application/problem+json"
    d = a.json()["diagnostics"][0]
    assert (d["file"], d["line"], d["severity"]) == ("tool.bpf.c", text[:text.index("nothing")].count("\n") + 1, "error")
    assert "nothing_here" in d["message"] and d["column"] == 9
    assert a.json()["detail"].startswith("tool.bpf.c:") and "nothing_here" in a.json()["log"]


def test_notes_belong_to_their_diagnostic(server):
    a = server.build(unique() + "\nstatic int twice(void) { return 1; }\nstatic int twice(void) { return 2; }\n")
    d = [x for x in a.json()["diagnostics"] if x["severity"] == "error"][0]
    assert "redefinition" in d["message"] and "previous definition" in d["notes"][0]["message"]


def test_warnings(server):
    a = server.build(unique() + "\nSEC(\"tracepoint/a/b\") int f(void *ctx) { int unused_one; return 0; }\n")
    assert a.status == 200
    assert any(d["severity"] == "warning" and "unused_one" in d["message"] for d in a.json()["diagnostics"])


def test_no_path_of_the_server_is_told(server):
    for text in (unique() + "x x x", unique() + 'char f[] = __FILE__ ;SEC("tracepoint/a/b") int g(void *c) { return f[0]; }',
                 '#include "nothing.h"\n', "#error __FILE__\n"):
        a = server.build(text, outputs=["o", "skel.h"])
        assert str(server.state).encode() not in a.body
        if a.status == 200:
            assert str(server.state).encode() not in data_of(a.json()) and str(server.state).encode() not in data_of(a.json(), "skel.h")


def test_second_answer_is_the_first(server):
    text = unique()
    one, two = server.build(text), server.build(text)
    assert one.headers["Cache-Status"] == "anybpfd; fwd=miss" and two.headers["Cache-Status"] == "anybpfd; hit"
    assert one.body == two.body
    refused = server.build(text + "x"), server.build(text + "x")
    assert [r.status for r in refused] == [422, 422]
    assert refused[1].headers["Cache-Status"] == "anybpfd; hit"
    assert refused[0].json()["log"] == refused[1].json()["log"]


@pytest.mark.parametrize("change", [{"outputs": ["o", "skel.h"]}, {"options": {"isa": "v3"}}, {"options": {"defines": ["A=1"]}},
                                    {"options": {"full_header": True}}, {"options": {"arch": "arm64"}}, {"source": "b.bpf.c"}])
def test_what_matters_is_in_the_key(server, change):
    text = unique()
    members = {"source": "a.bpf.c", "files": {"a.bpf.c": text, "b.bpf.c": text}}
    assert server.build(**members).json()["key"] != server.build(**{**members, **change}).json()["key"]


def test_inline_is_not_in_the_key(server):
    text = unique()
    a, b = server.build(text, inline=False), server.build(text)
    assert a.json()["key"] == b.json()["key"] and b.headers["Cache-Status"] == "anybpfd; hit"
    assert "data" not in a.json()["artifacts"][0] and "data" in b.json()["artifacts"][0]


def test_files_by_digest(server):
    header = b"#define VALUE %d\n" % random.randrange(1 << 30)
    digest = "sha256:" + hashlib.sha256(header).hexdigest()
    files = {"tool.bpf.c": '#include "v.h"\nint value = VALUE;\n' + unique(), "v.h": {"digest": digest}}
    a = server.build(files=files)
    assert a.status == 409 and a.json()["missing"] == [digest]
    assert server.build(files={**files, "v.h": header.decode()}).status == 200
    b = server.build(files=files)
    assert b.status == 200 and b.headers["Cache-Status"] == "anybpfd; hit"
    files["tool.bpf.c"] += "int more;\n"
    assert server.build(files=files).status == 200


@pytest.mark.parametrize("body, word", [
    (b"", "JSON"), (b"{", "JSON"), (b"[]", "object"), (b"{}", "source"), (b"\xff", "JSON"), (b"null", "JSON"),
    (b'{"source": "a.c", "source": "b.c"}', "JSON"), (b'{"source": 1, "files": {}}', "source"), ({"source": "a.c", "files": {}}, "a.c"),
    ({"source": "a.c", "files": {"a.c": ""}, "flags": []}, "flags"), ({"source": "a.c", "files": {"a.c": 3}}, "a.c"),
    ({"source": "a.c", "files": {"a.c": "", "a.c/b": ""}}, "a.c/b"), ({"source": "a.c", "files": {"a.c": {"base64": "?"}}}, "base64"),
    ({"source": "a.c", "files": {"a.c": {"digest": "sha256:1"}}}, "digest"), ({"source": "a.c", "files": {"a.c": ""}, "outputs": []}, "outputs"),
    ({"source": "a.c", "files": {"a.c": ""}, "outputs": ["exe"]}, "exe"), ({"source": "a.c", "files": {"a.c": ""}, "outputs": ["o", "o"]}, "twice"),
    ({"source": "a.c", "files": {"a.c": ""}, "options": {"isa": "v9"}}, "v9"), ({"source": "a.c", "files": {"a.c": ""}, "options": {"cflags": "-x"}}, "cflags"),
    ({"source": "a.c", "files": {"a.c": ""}, "options": {"defines": ["-DX"]}}, "-DX"),
    ({"source": "a.c", "files": {"a.c": ""}, "options": {"defines": ["X=1\n#include"]}}, "X=1"),
    ({"source": "a.c", "files": {"a.c": ""}, "options": {"include_dirs": ["/etc"]}}, "/etc"),
    ({"source": "a.c", "files": {"a.c": ""}, "inline": "yes"}, "inline"),
])
def test_bad_requests_name_what_is_bad(server, body, word):
    a = server.post("/v1/build", body)
    assert a.status == 400, a.body
    assert word in a.json()["detail"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.c", "a/../b.c", "./a.c", "a//b.c", "a/", "", "-o", "<anybpf>/vmlinux.h", "a\\b", "a\nb",
                                  "x" * 256, "a/."])
def test_bad_paths(server, path):
    assert server.post("/v1/build", {"source": path, "files": {path: ""}}).status == 400


def test_unknown_kernel_names_the_nearest(server):
    release = server.get("/v1/kernels").json()["default"]
    a = server.build(kernel=release[:-1] + "x")
    assert a.status == 404 and release in a.json()["detail"]
    assert server.build(kernel=release).status == 200


# ---- artifacts ----

def test_artifact_by_digest(server):
    a = server.build(unique()).json()["artifacts"][0]
    whole = server.get("/v1/artifacts/" + a["digest"])
    assert whole.status == 200 and whole.body == base64.b64decode(a["data"])
    assert whole.headers["Anybpf-Signature"] == a["signature"] and "immutable" in whole.headers["Cache-Control"]
    etag = whole.headers["ETag"]
    assert server.get("/v1/artifacts/" + a["digest"], If_None_Match=etag).status == 304
    assert server.get("/v1/artifacts/" + a["digest"], If_None_Match='"other", ' + etag).status == 304
    head = server.request("HEAD", "/v1/artifacts/" + a["digest"])
    assert head.status == 200 and not head.body and int(head.headers["Content-Length"]) == a["size"]
    assert server.get("/v1/artifacts/sha256:" + "0" * 64).status == 404
    assert server.get("/v1/artifacts/../keys").status == 400


@pytest.mark.parametrize("text, first, last", [("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=100-", 100, None), ("bytes=-7", -7, None),
                                               ("bytes=0-999999999", 0, None)])
def test_ranges(server, text, first, last):
    a = server.build().json()["artifacts"][0]
    whole = base64.b64decode(a["data"])
    part = server.get("/v1/artifacts/" + a["digest"], Range=text)
    expected = whole[first:] if last is None else whole[first:last + 1]
    assert part.status == 206 and part.body == expected
    start = first % len(whole)
    assert part.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(whole)}"


def test_ranges_that_are_none(server):
    a = server.build().json()["artifacts"][0]
    out = server.get("/v1/artifacts/" + a["digest"], Range=f"bytes={a['size']}-")
    assert out.status == 416 and out.headers["Content-Range"] == f"bytes */{a['size']}"
    for text in ("bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=0-1,4-5"):
        assert server.get("/v1/artifacts/" + a["digest"], Range=text).status == 200
    assert server.get("/v1/artifacts/" + a["digest"], Range="bytes=0-0", If_Range='"other"').status == 200


# ---- signatures ----

def verify(tmp_path, public, signature, message):
    """By OpenSSL, which knows nothing of ours."""
    der = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(public)
    (tmp_path / "key.der").write_bytes(der)
    (tmp_path / "sig").write_bytes(base64.b64decode(signature))
    (tmp_path / "message").write_bytes(message)
    return subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key.der", "-keyform", "DER", "-rawin", "-in",
                           tmp_path / "message", "-sigfile", tmp_path / "sig"], capture_output=True).returncode == 0


def test_signatures_verify(server, tmp_path):
    a = server.build(unique(), outputs=["o", "so"]).json()
    key = server.get("/v1/keys").json()["keys"][0]
    assert key["active"] and key["id"] == hashlib.sha256(base64.b64decode(key["public"])).hexdigest()[:16]
    for artifact in a["artifacts"]:
        algorithm, key_id, signature = artifact["signature"].split(":")
        message = b"anybpf-artifact-v1\nsha256:" + hashlib.sha256(base64.b64decode(artifact["data"])).hexdigest().encode() + b"\n"
        assert (algorithm, key_id) == ("ed25519", key["id"])
        assert verify(tmp_path, key["public"], signature, message)
        assert not verify(tmp_path, key["public"], signature, message.replace(b"v1", b"v2"))


def test_key_rotation(new_server, tmp_path):
    from anybpfd import run
    s = new_server()
    text = unique()
    before = s.build(text).json()["artifacts"][0]
    made = run("--state", s.state, "key", "new")
    assert made.returncode == 0, made.stderr
    s.signal(signal.SIGHUP)
    s.wait_for_log(lambda e: e["event"] == "reload")
    keys = s.get("/v1/keys").json()["keys"]
    assert len(keys) == 2 and keys[0]["id"] == made.stdout.split()[0] and keys[0]["active"] and not keys[1]["active"]
    after = s.build(text).json()["artifacts"][0]
    assert before["digest"] == after["digest"] and after["signature"].split(":")[1] == keys[0]["id"]
    algorithm, key_id, endorsement = keys[0]["endorsements"][0].split(":")
    assert key_id == keys[1]["id"]
    assert verify(tmp_path, keys[1]["public"], endorsement, f"anybpf-key-v1\n{keys[0]['public']}\n".encode())


# ---- streams ----

def events(body):
    out = []
    for block in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            out.append((lines["event"], json.loads(lines["data"])))
    return out


def test_stream_of_a_new_build_and_of_a_cached_one(server):
    text = unique()
    for names in (["queued", "started", "result"], ["result"]):
        a = server.build(text, headers={"Accept": "text/event-stream"})
        assert a.status == 200 and a.headers["Content-Type"] == "text/event-stream"
        got = events(a.body)
        assert [e for e, _ in got] == names
        assert data_of(got[-1][1])[:4] == ELF
    assert got[-1][1] == server.build(text).json()


def test_stream_is_in_the_log(new_server):
    s = new_server()
    a = s.build(headers={"Accept": "text/event-stream"})
    line = s.wait_for_log(lambda e: e["event"] == "request" and e["path"] == "/v1/build")
    assert line["out"] == len(a.body) and line["id"] == a.headers["X-Request-Id"]


def test_stream_of_a_problem(server):
    for _ in range(2):
        got = events(server.build(HELLO % 1 + "broken", headers={"Accept": "text/event-stream"}).body)
        assert got[-1][0] == "problem" and got[-1][1]["status"] == 422 and got[-1][1]["diagnostics"]


# ---- many at once ----

def test_same_request_is_compiled_once(new_server):
    s = new_server()
    text = unique()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(s.build(text))) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({a.body for a in answers}) == 1 and answers[0].status == 200
    assert s.metric('anybpfd_compiles_total{outcome="ok"}') == 1


def test_different_requests_at_once(new_server):
    s = new_server()
    answers = {}

    def build(i):
        answers[i] = s.build(HELLO % i)

    threads = [threading.Thread(target=build, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(a.status == 200 for a in answers.values())
    assert len({a.json()["artifacts"][0]["digest"] for a in answers.values()}) == 12


def test_full_queue(new_server):
    s = new_server("--limits-queue", "1", "--jobs", "1")
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(s.build(HELLO % i, options={"full_header": True}))) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    statuses = {a.status for a in answers}
    assert statuses == {200, 503}
    refused = next(a for a in answers if a.status == 503)
    assert refused.json()["type"] == "/problems/queue-full" and refused.headers["Retry-After"] == "1"


# ---- the cache on disk ----

def test_cache_survives_the_server(new_server):
    s = new_server()
    text = unique()
    one = s.build(text)
    s.stop()
    s.start()
    two = s.build(text)
    assert two.headers["Cache-Status"] == "anybpfd; hit" and one.body == two.body
    assert s.metric('anybpfd_builds_total{result="disk"}') == 1


def test_damaged_files_are_built_again(new_server):
    s = new_server()
    text = unique()
    one = s.build(text)
    s.stop()
    for kind in "ar":
        for path in (s.state / "cache" / kind).rglob("?" * 64):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        s.start()
        two = s.build(text)
        assert two.status == 200 and two.body == one.body and two.headers["Cache-Status"] == "anybpfd; fwd=miss"
        assert s.metric("anybpfd_cache_damaged_total") == 1
        s.stop()


def test_cache_keeps_its_size(new_server):
    s = new_server("--cache-megabytes", "1", "--cache-memory-megabytes", "1")
    first = s.build(HELLO % 0, outputs=["o", "skel.h"]).json()
    for i in range(1, 60):
        assert s.build(HELLO % i, outputs=["o", "skel.h"]).status == 200
    on_disk = sum(f.stat().st_size for f in (s.state / "cache").rglob("?" * 64))
    assert on_disk <= 1 << 20
    assert s.metric("anybpfd_cache_bytes") <= 1 << 20 and s.metric("anybpfd_cache_evicted_total") > 0
    assert s.build(HELLO % 0, outputs=["o", "skel.h"]).json() == first


def test_files_by_digest_are_not_pushed_out_by_those_beside_them(new_server):
    s = new_server("--cache-megabytes", "1")
    old, new = ("/* " + c * 600000 + " */\n" for c in "ab")
    text = '#include "old.h"\n' + HELLO % 1
    assert s.post("/v1/build", {"source": "t.bpf.c", "files": {"t.bpf.c": text, "old.h": old}}).status == 200
    digest = {"digest": "sha256:" + hashlib.sha256(old.encode()).hexdigest()}
    a = s.post("/v1/build", {"source": "t.bpf.c", "files": {"t.bpf.c": text + '#include "new.h"\n', "old.h": digest, "new.h": new}})
    assert a.status == 200, a.body


def test_cache_that_cannot_be_written(new_server):
    s = new_server()
    places = [s.state / "cache" / kind for kind in "ars"]
    for place in places:
        place.rename(place.with_suffix(".away"))
        place.write_text("")
    assert s.build().status == 200
    assert s.get("/readyz").json()["degraded"] == ["cache: files could not be written"]
    for place in places:
        place.unlink()
        place.with_suffix(".away").rename(place)
    assert s.build(HELLO % 2).status == 200
    assert s.get("/readyz").json()["degraded"] == []


def test_killed_while_it_writes(new_server):
    s = new_server()
    text = unique()
    expected = s.build(text).body
    for round_number in range(3):
        stop = threading.Event()

        def load():
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    s.build(HELLO % (1000 * round_number + n))
                except OSError:
                    return

        threads = [threading.Thread(target=load) for _ in range(3)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        s.signal(signal.SIGKILL)
        s.process.wait()
        stop.set()
        for t in threads:
            t.join()
        # What a write was interrupted in has a name of its own.
        (s.state / "cache" / "a" / "00").mkdir(exist_ok=True)
        (s.state / "cache" / "a" / "00" / ("0" * 64 + ".7")).write_bytes(b"half")
        s.start()
        assert s.build(text).body == expected
        assert s.metric("anybpfd_cache_damaged_total") == 0
        assert not list((s.state / "cache").rglob("*.7"))


def test_one_server_a_directory(new_server):
    from anybpfd import run
    s = new_server()
    second = run("--state", s.state, "--listen", "127.0.0.1:0")
    assert second.returncode == 6 and "another anybpfd" in second.stderr
