# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What a server says about kernels: BTF whole and minimized, checks, questions; from the host's types and from a pack."""
import hashlib
import json
import pathlib
import shutil
import subprocess

import pytest

from anybpfd import BUILD, HELLO, OPEN, ROOT, Server, data_of
from description import validate
from test_serve_build import verify

HOST = pathlib.Path("/sys/kernel/btf/vmlinux")
OBJECT = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A server with the host's types and two packs of a kernel each, whose types are the host's too."""
    directory = tmp_path_factory.mktemp("packed")
    btf, options = directory / "vmlinux", []
    shutil.copy(HOST, btf)
    for release, arch, distribution in (("5.10.0-8-amd64", "x86_64", "debian"), ("6.1.0-9-arm64", "aarch64", "debian")):
        pack = directory / f"{arch}.pack"
        options += ["--kernels-packs", pack]
        done = subprocess.run([BUILD / "anybpf", "hub", "import", btf, "--pack", pack, "--release", release, "--arch", arch, "--distribution",
                               distribution], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with Server(directory / "state", *OPEN, *options) as s:
        yield s


@pytest.fixture(scope="module")
def program(packed):
    return data_of(packed.build((ROOT / "tools" / "execsnoop.bpf.c").read_text()).json())


def test_kernels(packed):
    a = packed.get("/v1/kernels")
    validate(a, "/v1/kernels", "get")
    releases = [k["release"] for k in a.json()["kernels"]]
    assert releases[0] == a.json()["default"] and set(releases[1:]) == {"5.10.0-8-amd64", "6.1.0-9-arm64"}


def test_whole_btf(packed):
    host = packed.get("/v1/kernels").json()["default"]
    a = packed.get("/v1/btf/" + host)
    assert a.status == 200 and a.body == HOST.read_bytes()
    assert packed.get("/v1/btf/" + host, If_None_Match=a.headers["ETag"]).status == 304
    assert packed.get("/v1/btf/" + host, Range="bytes=0-1").body == b"\x9f\xeb"
    for name in ("5.10.0-8-amd64", "5.10.0-8", "debian/5.10.0-8-amd64/x86_64", "debian/6.1*"):
        b = packed.get("/v1/btf/" + name)
        assert b.status == 200 and b.body[:2] == b"\x9f\xeb", b.body[:200]
        validate(b, "/v1/btf/{kernel}", "get")
    missing = packed.get("/v1/btf/9.9.9")
    assert missing.status == 404
    for path in ("btf/9.9.9", "types/show/task_struct?kernel=9.9.9", "types/diff/task_struct?from=5.10.0-8-amd64&to=9.9.9"):
        a = packed.get("/v1/" + path)
        assert a.status in (400, 404) and ".pack" not in a.json()["detail"], a.body
    validate(missing, "/v1/btf/{kernel}", "get")


def test_files_of_types_are_made_again(packed):
    first = packed.get("/v1/btf/5.10.0-8").body
    for path in (packed.state / "types").iterdir():
        path.unlink()
    assert packed.get("/v1/btf/5.10.0-8").body == first


def test_minimized_btf(packed, program):
    a = packed.request("POST", "/v1/btf/5.10.0-8", program, OBJECT)
    assert a.status == 200 and a.body[:2] == b"\x9f\xeb" and len(a.body) < len(HOST.read_bytes()) / 50
    validate(a, "/v1/btf/{kernel}", "post")
    for name, body, status in (("5.10.0-8", b"rubbish", 422), ("9.9.9", program, 404), ("5.10.0-8", b"", 422)):
        b = packed.request("POST", "/v1/btf/" + name, body, OBJECT)
        assert b.status == status
        validate(b, "/v1/btf/{kernel}", "post")
    assert packed.request("POST", "/v1/btf/5.10.0-8", program, {"Content-Type": "text/plain"}).status == 415


RUNNING = "%s?arch=x86_64&build_id=%s"


def test_types_for_a_kernel_that_runs(packed, program, tmp_path):
    """By build id, else by the very release; the signature is over the question too."""
    def ask(question):
        return packed.request("POST", "/v1/btf/" + question, program, OBJECT)

    host = packed.get("/v1/kernels").json()["kernels"][0]
    own = ask(RUNNING % (host["release"], host["build_id"]))
    assert own.status == 200 and host["build_id"]
    assert ask(RUNNING % ("another-name", host["build_id"])).body == own.body
    for release, build_id, status in (("5.10.0-8-amd64", "c0ffee00", 200), ("5.10.0-8-amd64", "", 200), ("5.10.0-8", "", 404), ("5.10*", "", 404),
                                      (host["release"], "c0ffee00", 404), ("5.10.0-8-amd64", "c0f", 400), ("5.10.0-8-amd64", "x0", 400),
                                      ("5.10.0-8-amd64", "00" * 21, 400), ("5.10.0-8-amd64%0a", "", 400)):
        answer = ask(RUNNING % (release, build_id))
        assert answer.status == status, (release, build_id, answer.body)
        validate(answer, "/v1/btf/{kernel}", "post")
    assert ask("5.10.0-8-amd64?arch=aarch64&build_id=").status == 404
    message = "anybpf-types-v1\n%s\nx86_64\n%s\nsha256:%s\nsha256:%s\n" % (
        host["release"], host["build_id"], hashlib.sha256(program).hexdigest(), hashlib.sha256(own.body).hexdigest())
    key = next(k for k in packed.get("/v1/keys").json()["keys"] if k["active"])
    algorithm, key_id, signature = own.headers["Anybpf-Signature"].split(":")
    assert (algorithm, key_id) == ("ed25519", key["id"])
    assert verify(tmp_path, key["public"], signature, message.encode())
    assert not verify(tmp_path, key["public"], signature, message.replace("x86_64", "aarch64").encode())


def test_check(packed, program):
    a = packed.request("POST", "/v1/check?name=execsnoop", program, OBJECT)
    assert a.status == 200, a.body
    validate(a, "/v1/check", "post")
    report = a.json()
    assert len(report["kernels"]) == 3 and report["objects"][0]["file"] == "execsnoop"
    assert set(report["objects"][0]["verdicts"]) == {"native"}
    one = packed.request("POST", "/v1/check?kernels=6.1&arch=aarch64", program, OBJECT).json()
    assert [k["release"] for k in one["kernels"]] == ["6.1.0-9-arm64"]
    page = packed.request("POST", "/v1/check?form=html", program, OBJECT)
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html") and b"<html" in page.body
    for path, body, status in (("/v1/check", b"rubbish", 422), ("/v1/check?form=pdf", program, 400), ("/v1/check?kernels=9..1..2", program, 400)):
        b = packed.request("POST", path, body, OBJECT)
        assert b.status == status, b.body
        validate(b, "/v1/check", "post")


def test_check_names_what_is_missing(packed):
    a = packed.build(HELLO % 1 + 'SEC("kprobe/no_such_function") int f(void *ctx) { return 0; }').json()
    reasons = packed.request("POST", "/v1/check", data_of(a), OBJECT).json()["objects"][0]["reasons"]
    assert any("no_such_function" in json.dumps(r) and r["fatal"] for r in reasons)


def test_questions(packed):
    show = packed.get("/v1/types/show/struct%20task_struct?kernel=5.10")
    assert show.status == 200 and any(m["name"] == "pid" for m in show.json()["members"]), show.body[:300]
    validate(show, "/v1/types/{question}", "get")
    assert b"struct task_struct {" in packed.get("/v1/types/show/task_struct?form=text").body
    assert packed.get("/v1/types/history/task_struct.pid").json()["spans"][0]["there"]
    assert packed.get("/v1/types/diff/task_struct?from=5.10&to=5.10").json()["changes"] == []
    assert packed.get("/v1/types/func/vfs_read").status == 200
    assert packed.get("/v1/types/find?returns=struct%20sock%20*&name=tcp_*").json()["functions"]
    assert packed.get("/v1/types/show/task_struct?kernel=6.1.0-9-arm64").json()["kernel"]["arch"] == "aarch64"  # of the second pack
    for path, status in (("show/no_such_type", 404), ("show", 400), ("dance/sock", 400), ("diff/sock", 400), ("show/sock?form=pdf", 400),
                         ("show/sock?kernel=9.9.9", 404)):
        a = packed.get("/v1/types/" + path)
        assert a.status == status, (path, a.body)
        validate(a, "/v1/types/{question}", "get")


def test_kernels_that_are_files(server):
    """Named in all the ways in which kernels of packs are; and never another one's types."""
    host, = server.get("/v1/kernels").json()["kernels"]
    whole = server.get(f"/v1/btf/{host['release']}").headers["ETag"]
    names = [host["release"].split("-")[0], host["release"][:3] + "*", "*/" + host["release"] + "/" + host["arch"]]
    names += [host["build_id"], host["build_id"][:12]] if host["build_id"] else []
    for name in names:
        assert server.get(f"/v1/btf/{name}?arch={host['arch']}").headers["ETag"] == whole
        assert server.get(f"/v1/types/show/task_struct?kernel={name}").json()["kernel"]["release"] == host["release"]
    for name, arch in ((host["release"], "vax"), ("1.2.3", host["arch"]), ("debian/" + host["release"], ""), ("0123456789ab", "")):
        query = "arch=" + arch if arch else ""
        for path in (f"/v1/btf/{name}?{query}", f"/v1/types/show/task_struct?kernel={name}&{query}", f"/v1/types/history/task_struct.pid?kernel={name}&{query}"):
            assert server.get(path).status == 404, path
    assert server.get("/v1/types/show/task_struct?arch=vax").status == 404
    assert "'1.2.3' of vax" in server.get("/v1/types/show/task_struct?kernel=1.2.3&arch=vax").json()["detail"]


def test_questions_without_a_pack(server):
    assert server.get("/v1/types/show/task_struct").status == 200


def test_damaged_pack(new_server, tmp_path, program):
    """The server's own data are at fault, not the request."""
    pack, btf = tmp_path / "damaged.pack", tmp_path / "types.o"
    btf.write_bytes(program)
    subprocess.run([BUILD / "anybpf", "hub", "import", btf, "--pack", pack, "--release", "5.10.0-8-amd64", "--arch", "x86_64"], check=True,
                   capture_output=True)
    s = new_server("--kernels-packs", pack)
    with open(pack, "r+b") as f:
        size = f.seek(0, 2)
        f.seek(size // 3)
        f.write(b"\0" * (size // 3))
    for a in (s.get("/v1/btf/5.10.0-8-amd64"), s.get("/v1/types/show/int?kernel=5.10.0-8-amd64"), s.request("POST", "/v1/check", program, OBJECT),
              s.request("POST", "/v1/btf/5.10.0-8-amd64", program, OBJECT)):
        assert a.status == 500 and a.json()["type"] == "/problems/io", a.body


def test_build_for_a_kernel_of_the_pack(packed):
    a = packed.build(kernel="5.10.0-8")
    assert a.status == 200 and a.json()["kernel"] == "5.10.0-8-amd64"
    assert packed.build(kernel="5.10.0-8").headers["Cache-Status"] == "anybpfd; hit"
    assert packed.build(kernel="debian/6.1*", options={"arch": "arm64"}).json()["kernel"] == "6.1.0-9-arm64"
