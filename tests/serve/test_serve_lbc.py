# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""coolbpf's protocols as its clients use them, and the libraries that they load."""
import base64
import errno
import http.client
import json
import os
import platform
import re
import socket
import subprocess
import sys
import time

import pytest
from anybpfd import ROOT
from lbc_client import Library, ask, ask_frame, source_hash

sys.path.insert(0, str(ROOT / "tests"))
from live import needs_bpf  # noqa: E402

KERNEL = {"ver": platform.release(), "arch": platform.machine()}
COMPILED = 'anybpfd_compiles_total{outcome="ok"}'
PING = (ROOT / "tests/lbc/pingtrace.bpf.c").read_text()


PORTS = ("--lbc", "http:127.0.0.1:0", "--lbc", "tcp:127.0.0.1:0")


def find_ports(s):
    places = [e["message"] for e in s.log() if e["event"] == "listen"]
    s.http, s.tcp = [("127.0.0.1", int(next(p for p in places if f"lbc {w} " in p).rpartition(":")[2])) for w in ("http", "tcp")]
    return s


@pytest.fixture(scope="module")
def lbc(tmp_path_factory):
    from anybpfd import Server
    with Server(tmp_path_factory.mktemp("lbc") / "state", *PORTS, "--limits-rate", "0") as s:
        yield find_ports(s)


def test_off_by_default(server):
    assert not [e for e in server.log() if "lbc" in e.get("message", "")]
    assert server.post("/lbc", []).status == 404


@pytest.fixture(scope="module")
def library(lbc, tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "ping.so"
    answer, = ask(lbc.http, {"cmd": "c", "code": PING, "env": "-DX=1 -O2 '-DY=\"a b\"'", **KERNEL})
    assert answer["log"] == "ok." and answer["clog"] == ""
    path.write_bytes(base64.b64decode(answer["so"]))
    return path


def test_description(library):
    d = Library(str(library)).description
    assert d["hash"] == source_hash(PING, "-DX=1 -O2 '-DY=\"a b\"'")
    assert (d["arch"], d["kern_version"]) == (KERNEL["arch"], KERNEL["ver"])
    assert {n: (m["type"], m["fktype"], m["fvtype"]) for n, m in d["maps"].items()} == {
        "e_out": ("event", "", "struct data_t"), "pid_cnt": ("hash", "u32", "u32"),
        "call_stack": ("stack", "unsigned int", "long long unsigned int[127]")}
    assert d["maps"]["e_out"]["ktype"] is None
    assert d["maps"]["e_out"]["vtype"] == {
        "type": "struct data_t", "array": 0, "offset": 0, "size": 32, "cells": [
            {"type": "u32", "member": "pid", "array": 0, "format": "I", "offset": 0, "size": 4},
            {"type": "u32", "member": "stack", "array": 0, "format": "I", "offset": 4, "size": 4},
            {"type": "u64", "member": "bytes", "array": 0, "format": "Q", "offset": 8, "size": 8},
            {"type": "char", "member": "comm", "array": 16, "format": "c" * 16, "offset": 16, "size": 1}]}
    assert d["maps"]["pid_cnt"]["ktype"] == {"type": "u32", "member": "value", "array": 0, "format": "I", "size": 4}
    assert d["ffi"].splitlines() == ["typedef unsigned int u32;", "struct data_t { unsigned int pid; unsigned int stack; "
                                     "unsigned long long bytes; char comm[16]; };"]


@needs_bpf
def test_library_runs(library):
    done = subprocess.run([sys.executable, ROOT / "tests/serve/lbc_client.py", library, "13"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [e["bytes"] for e in said["events"]] == [100 + i for i in range(13)] and said["lost"] == 0
    assert all(e["comm"].startswith("python") for e in said["events"])
    assert said["count"] == 13 and said["stack"] == 0 and said["frames"] > 2
    assert said["zero"] and said["others"]
    assert said["again"] < 0 and said["loop"] == 0 and said["ended"] and said["after"] == -1
    assert "called already" in done.stderr


LAYOUTS = PING.replace("LBC_STACK(call_stack,32);", """LBC_STACK(call_stack,32);
struct inner { u8 a; u64 b; };
struct odd { u8 tag; u32 number; } __attribute__((packed));
struct all { struct inner in; struct odd odd; union { u32 x; u8 y[4]; }; struct { s16 z; } named; u32 low:3, high:5; bool yes; void *p; u64 list[2][3]; };
typedef struct { u32 k; } key_t2;
LBC_HASH(everything, key_t2, struct all, 16);
LBC_PERCPU_ARRAY(sums, u32, u64, 4);
LBC_HIST2(hist);
LBC_ARRAY(words, u32, u16[8], 4);
""")


def test_types_of_all_kinds(lbc, tmp_path):
    answer, = ask(lbc.http, {"cmd": "c", "code": LAYOUTS, "env": "", **KERNEL})
    assert answer["log"] == "ok.", answer
    (tmp_path / "all.so").write_bytes(base64.b64decode(answer["so"]))
    library = Library(str(tmp_path / "all.so"))
    everything = library.maps["everything"]
    cells = {c["member"]: c for c in everything["vtype"]["cells"]}
    assert cells["in"]["cells"][1] == {"type": "u64", "member": "b", "array": 0, "format": "Q", "offset": 8, "size": 8}
    assert cells["odd"]["cells"][1]["offset"] == 1 and cells["odd"]["size"] == 5
    assert (cells["high"]["bits"], cells["low"]["bits"]) == ("3:5", "0:3")
    assert cells["list"]["array"] == 6 and cells["yes"]["format"] == "?" and cells["p"]["format"] == "P"
    assert everything["fktype"] == "key_t2" and library.maps["words"]["fvtype"] == "u16[8]"
    assert (library.maps["hist"]["type"], library.maps["sums"]["type"]) == ("hist2", "perArray")
    ffi = library.description["ffi"]
    assert "struct odd { unsigned char tag[1]; unsigned char number[4]; };" in ffi
    assert "struct { short z; } named; unsigned int low:3; unsigned int high:5; _Bool yes; void * p; unsigned long long list[2][3]; };" in ffi
    # What the declarations mean a C compiler says: the sizes that the object has.
    sizes = [("struct all", everything["vtype"]["size"]), ("struct odd", 5), ("key_t2", 4)]
    check = ffi + "".join(f"_Static_assert(sizeof({t}) == {n}, \"{t}\");\n" for t, n in sizes)
    check += f"_Static_assert(__builtin_offsetof(struct all, list) == {cells['list']['offset']}, \"list\");\n"
    subprocess.run(["cc", "-xc", "-fsyntax-only", "-"], input=check, text=True, check=True)


@needs_bpf
def test_per_cpu_values_are_one(lbc, tmp_path):
    answer, = ask(lbc.http, {"cmd": "c", "code": LAYOUTS, **KERNEL})
    (tmp_path / "percpu.so").write_bytes(base64.b64decode(answer["so"]))
    code = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from lbc_client import Library
l = Library(sys.argv[2]); l.init(0)
values = (ctypes.c_uint64 * 3)(0, 0xdead, 0xbeef); key = ctypes.c_uint32(2); put = ctypes.c_uint64(41)
assert l.so.lbc_map_update_elem(l.id("sums"), ctypes.byref(key), ctypes.byref(put), ctypes.c_ulong(0xffffffff)) == 0
assert l.so.lbc_map_lookup_elem(l.id("sums"), ctypes.byref(key), values) == 0
assert list(values) == [41, 0xdead, 0xbeef], list(values)
assert l.so.lbc_map_lookup_elem(99, ctypes.byref(key), values) == -1 and l.so.lbc_map_lookup_elem(-1, ctypes.byref(key), values) == -1
assert l.so.lbc_attach_kprobe(b"none", b"x") < 0
assert l.so.lbc_attach_tracepoint(b"on_sendto", b"syscalls", b"sys_enter_recvfrom") == 0
assert l.so.lbc_attach_tracepoint(b"on_sendto", b"syscalls", b"sys_enter_nothing") < 0
assert l.so.lbc_attach_perf_event(b"on_sendto", b'{"type": "1", "sample_freq": }', 0, -1, -1, 0) < 0
l.so.lbc_bpf_exit(); l.init(1); l.so.lbc_bpf_exit()
"""
    subprocess.run([sys.executable, "-c", code, ROOT / "tests/serve", tmp_path / "percpu.so"], check=True, timeout=60)


ATTACHED = """#include "lbc.h"
LBC_ARRAY(counts, u32, u64, 4);
static inline void count(u32 slot) { u64 *n = bpf_map_lookup_elem(&counts, &slot); if (n) __sync_fetch_and_add(n, 1); }
SEC("perf_event") int on_clock(struct bpf_perf_event_data *ctx) { count(1); return 0; }
SEC("uprobe/x") int on_call(struct pt_regs *ctx) { count(2); return 0; }
SEC("raw_tracepoint/sched_switch") int on_switch(void *ctx) { count(3); return 0; }
char _license[] SEC("license") = "GPL";
"""


@needs_bpf
def test_attaching(lbc, tmp_path):
    """As pylcc does: perf events by JSON with numbers as strings, probes by file and offset, tracepoints by name."""
    answer, = ask(lbc.http, {"cmd": "c", "code": ATTACHED, **KERNEL})
    (tmp_path / "attached.so").write_bytes(base64.b64decode(answer["so"]))
    code = """
import ctypes, json, os, sys, time
sys.path.insert(0, sys.argv[1])
from lbc_client import Library
l = Library(sys.argv[2]); l.init(0)
libc, offset = sys.argv[3].encode(), ctypes.c_ulong(int(sys.argv[4], 16))
attrs = json.dumps({"type": "1", "config": "0", "sample_freq": "199", "freq": "1", "precise_ip": "0"}).encode()
for cpu in range(os.cpu_count()):
    assert l.so.lbc_attach_perf_event(b"on_clock", attrs, -1, cpu, -1, 0) == 0
assert l.so.lbc_attach_perf_event(b"on_clock", json.dumps({"type": 1, "colour": 2}).encode(), -1, 0, -1, 0) < 0
assert l.so.lbc_attach_uprobe(b"on_call", os.getpid(), libc, offset) == 0
assert l.so.lbc_attach_raw_tracepoint(b"on_switch", b"sched_switch") == 0
for i in range(7): os.getppid()
until = time.time() + 0.3
while time.time() < until: pass
time.sleep(0.05)
print(json.dumps(l.items("counts", value=ctypes.c_uint64)))
l.so.lbc_bpf_exit()
"""
    libc = os.path.realpath(next(line.split()[-1] for line in open("/proc/self/maps") if "/libc.so" in line))
    symbols = subprocess.run(["nm", "-D", libc], capture_output=True, text=True, check=True).stdout
    offset = next(line.split()[0] for line in symbols.splitlines() if " getppid@" in line)
    done = subprocess.run([sys.executable, "-c", code, ROOT / "tests/serve", tmp_path / "attached.so", libc, offset], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert "no attribute 'colour'" in done.stderr
    counts = json.loads(done.stdout)
    assert counts["0"] == 0 and counts["1"] > 20 and counts["2"] == 7 and counts["3"] > 0, counts


def test_object_and_diagnostics(lbc):
    good, bad, flag, many = ask(lbc.http, {"cmd": "obj", "code": PING, "env": "", **KERNEL}, {"cmd": "obj", "code": "int x = ;\n", **KERNEL},
                                {"cmd": "c", "code": PING, "env": "-fplugin=/tmp/x.so", **KERNEL}, {"cmd": "c", **KERNEL})
    assert base64.b64decode(good["obj"])[:4] == b"\x7fELF"
    assert bad["obj"] is None and bad["log"] != "ok." and "lbc.bpf.c:1:9: error: expected expression" in bad["clog"]
    assert flag["so"] is None and "'-fplugin=/tmp/x.so' is not taken" in flag["clog"]
    assert many["log"] == "no code."


def test_same_cache_as_builds(lbc):
    code = PING.replace("one = 1", "one = 0 + 1")
    first, = ask(lbc.http, {"cmd": "obj", "code": code, **KERNEL})
    compiled = lbc.metric(COMPILED)
    second, = ask(lbc.http, {"cmd": "obj", "code": code, **KERNEL})
    assert first["obj"] == second["obj"] and lbc.metric(COMPILED) == compiled > 0


def test_unknown_kernel_takes_the_nearest(lbc):
    answer, = ask(lbc.http, {"cmd": "obj", "code": PING, "ver": "4.19.91-1.al7", "arch": "x86_64"})
    assert answer["log"] == "ok." and "4.19.91-1.al7 are not here" in answer["clog"]


def test_functions(lbc):
    def funcs(func, **more):
        answer, = ask(lbc.http, {"cmd": "func", "func": func, **KERNEL, **more})
        return answer.get("res") if answer["log"] == "ok." else answer["log"]

    assert funcs("vfs_read") == [{"func": "vfs_read", "args": ["struct file *", "char *", "size_t", "loff_t *"], "ret": "ssize_t",
                                  "line": 0, "file": ""}]
    assert funcs("no_such_function") == []
    assert len(funcs("vfs_%")) == 20 and all(f["func"].lower().startswith("vfs_") for f in funcs("VFS_%"))
    by_ret, by_arg = funcs("vfs%", ret="ssize_t"), funcs("%", arg="struct file*")
    assert {"vfs_read", "vfs_write"} <= {f["func"] for f in by_ret} and {f["ret"] for f in by_ret} == {"ssize_t"}
    assert len(by_arg) == 100 and all("struct file *" in f["args"] for f in by_arg)
    assert funcs("vfs%", ret="static ssize_t") == by_ret
    assert funcs("vfs_read", ret="ssize_t") == "query value error."
    assert funcs("x' UNION SELECT") == "bad func key." == funcs("")
    assert funcs("vfs_read", ver="0.0.1") == "version not support." == funcs("vfs_read", ver="../../etc/passwd")


def test_structs_and_types(lbc):
    def one(cmd, name):
        answer, = ask(lbc.http, {"cmd": cmd, cmd: name, **KERNEL})
        assert answer["log"] == "ok."
        return answer["res"]

    head = one("struct", "struct list_head")
    assert head == {"name": "struct list_head", "members": 2, "size": 16, "cell": [
        {"type": "struct list_head *", "offset": 0, "size": 8, "bits": "", "name": "next"},
        {"type": "struct list_head *", "offset": 8, "size": 8, "bits": "", "name": "prev"}]}
    task = {c["name"]: c for c in one("struct", "struct task_struct")["cell"]}
    assert task["comm[16]"]["type"] == "char" and task["comm[16]"]["size"] == 16
    assert re.fullmatch(r"\d:\d+", task["sched_reset_on_fork"]["bits"])
    sock = {c["name"]: c for c in one("struct", "struct sock")["cell"]}
    assert sock["sk_backlog.head"]["offset"] == sock["sk_backlog.tail"]["offset"] - 8
    assert one("struct", "struct nothing") is None
    some = one("struct", "struct tcp_%")
    assert 1 < len(some) <= 10 and all(s["name"].lower().startswith("struct tcp") and "cell" not in s for s in some)
    assert one("type", "pid_t") == {"name": "pid_t", "type": "int", "size": 4}
    assert one("type", "_") == {"name": "void *", "type": "void *", "size": 8}
    assert one("type", "atomic_t")["size"] == 4 and one("type", "nothing_t") is None


def test_btf(lbc):
    answer, missing = ask(lbc.http, {"cmd": "btf", **KERNEL}, {"cmd": "btf", "ver": "1.2.3", "arch": "x86_64"})
    assert base64.b64decode(answer["btf"]) == open("/sys/kernel/btf/vmlinux", "rb").read()
    assert (answer["ver"], answer["arch"], answer["log"]) == (KERNEL["ver"], KERNEL["arch"], "ok.")
    assert missing["log"] == "read btf file failed." and "btf" not in missing


def test_refusals(lbc):
    assert ask(lbc.http, {"x": 1}) == [{"x": 1, "log": "unknown request."}]
    assert ask(lbc.http, {"cmd": "rm", "code": "secret"}) == [{"cmd": "rm", "log": "unknown cmd."}]
    assert ask(lbc.http, {"cmd": "btf"}) == [{"cmd": "btf", "log": "no kernel version info."}]
    assert ask(lbc.http, {"cmd": "ko", "kos": {"../x": ""}, **KERNEL})[0]["log"].startswith("ko: ")
    assert ask(lbc.http, {"cmd": "btf", "ver": "1", "arch": "../.."})[0]["log"] == "arch ../.. not support."


def post(address, body, method="POST", path="/lbc"):
    c = http.client.HTTPConnection(*address, timeout=30)
    c.request(method, path, body)
    r = c.getresponse()
    return r.status, r.read()


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[1]", b"[[]]", b"\xff\xfe", b'"x"', json.dumps([{}] * 17).encode(), b"[" * 100000],
                         ids="empty cut null number list bytes text many deep".split())
def test_bad_json(lbc, body):
    status, answer = post(lbc.http, body)
    answer = json.loads(answer)
    assert (status, answer["result"], answer["status"], answer["code"]) == (200, "failed", False, 500)
    assert len(answer["res"]) == 1 and "log" in answer["res"][0]


def test_bad_http(lbc):
    assert post(lbc.http, b"[]", path="/")[0] == 404
    assert post(lbc.http, None, method="GET")[0] == 405
    assert post(lbc.http, b"x" * (9 << 20))[0] == 413


def test_frames(lbc):
    answer = ask_frame(lbc.tcp, {"cmd": "c", "code": PING, "env": "", **KERNEL})
    assert answer["log"] == "ok." and base64.b64decode(answer["so"])[:4] == b"\x7fELF" and "clog" not in answer
    answer = ask_frame(lbc.tcp, {"cmd": "c", "code": "int x = ;", "env": "", **KERNEL})
    assert answer["so"] is None and "expected expression" in answer["log"]
    assert ask_frame(lbc.tcp, {"cmd": "btf", **KERNEL})["log"] == "get btf file ok."
    assert ask_frame(lbc.tcp, {"cmd": "func", "func": "vfs_read", **KERNEL})["res"][0]["ret"] == "ssize_t"
    assert ask_frame(lbc.tcp, {"cmd": "type", "type": "pid_t", **KERNEL})["res"]["size"] == 4
    assert ask_frame(lbc.tcp, {"cmd": "obj", "code": PING, **KERNEL})["log"] == "unknown cmd."
    assert ask_frame(lbc.tcp, [1]) is None


@pytest.mark.parametrize("data", [b"GET / HTTP/1.0\r\n\r\n", b"LBC0000000g{}", b"LBCffffffff", b"LBC00020000", b"LBC00000002{]", b"LBC00000000",
                                  b"\0" * 100], ids="http digits huge large json nothing zeros".split())
def test_bad_frames(lbc, data):
    with socket.create_connection(lbc.tcp, timeout=30) as s:
        s.sendall(data)
        try:
            s.shutdown(socket.SHUT_WR)
            assert s.recv(100) == b""
        except OSError as e:
            assert e.errno in (errno.ECONNRESET, errno.ENOTCONN)  # it is closed already, with some of the data unread


def test_slow_clients_do_not_stop_others(lbc):
    waiting = [socket.create_connection(lbc.tcp) for _ in range(30)]
    for s in waiting:
        s.sendall(b"LBC")
    assert ask_frame(lbc.tcp, {"cmd": "type", "type": "pid_t", **KERNEL})["log"] == "ok."
    pieces = b"LBC%08x" % 2 + b"{}"
    for b in pieces:
        waiting[0].sendall(bytes([b])) if b not in b"LBC" else None
        time.sleep(0.005)
    for s in waiting:
        s.close()


# ---- limits of an address, which hold at all ports together ----

TYPE = {"cmd": "type", "type": "pid_t", **KERNEL}


def post_type(address, connection=None, **headers):
    c = connection or http.client.HTTPConnection(*address, timeout=30)
    c.request("POST", "/lbc", json.dumps([TYPE]), headers)
    r = c.getresponse()
    r.body = r.read()
    return r


def test_rate_of_an_address(new_server):
    s = find_ports(new_server(*PORTS, "--limits-rate", "6", open_to_all=False))
    assert [post_type(s.http).status for _ in range(3)] == [200] * 3
    assert [ask_frame(s.tcp, TYPE)["log"] for _ in range(2)] == ["ok."] * 2
    assert s.get("/v1/kernels").status == 200
    refused = post_type(s.http)
    assert refused.status == 429 and 1 <= int(refused.headers["Retry-After"]) <= 11 and b"too many" in refused.body
    assert ask_frame(s.tcp, TYPE) is None
    assert s.get("/v1/kernels").status == 429


def test_logs_say_who_asked(new_server, tmp_path):
    s = find_ports(new_server(*PORTS, "--log-audit", tmp_path / "audit", "--trusted-proxies", "127.0.0.1", open_to_all=False))
    command = {"cmd": "obj", "code": (ROOT / "tests/lbc/hello.bpf.c").read_text(), **KERNEL}
    c = http.client.HTTPConnection(*s.http, timeout=30)
    for _ in range(2):
        c.request("POST", "/lbc", json.dumps([command]), {"X-Forwarded-For": "198.51.100.7"})
        r = c.getresponse()
        size, id_ = len(r.read()), r.headers["X-Request-Id"]
        line = s.wait_for_log(lambda e: e["event"] == "request" and e["id"] == id_)
        assert (line["address"], line["path"], line["status"], line["out"]) == ("198.51.100.7", "/lbc", 200, size)
        first = id_ if _ == 0 else first
    audit, = map(json.loads, (tmp_path / "audit").read_text().splitlines())  # what is cached is no compile
    assert (audit["event"], audit["address"], audit["request"]) == ("build", "198.51.100.7", first)
    ask_frame(s.tcp, TYPE)
    assert s.wait_for_log(lambda e: e.get("path") == "lbc frame")["address"] == "127.0.0.1"


def test_rate_behind_a_proxy(new_server):
    s = find_ports(new_server(*PORTS, "--limits-rate", "2", "--trusted-proxies", "127.0.0.1", open_to_all=False))
    who = {"X-Forwarded-For": "198.51.100.7"}
    assert [post_type(s.http, **who).status for _ in range(3)] == [200, 200, 429]
    assert post_type(s.http, **{"X-Forwarded-For": "198.51.100.7, 198.51.100.8"}).status == 200


def test_connections_of_an_address(new_server):
    s = find_ports(new_server(*PORTS, "--limits-connections-per-address", "3"))
    plain, frame, kept = s.connect(), socket.create_connection(s.tcp), http.client.HTTPConnection(*s.http, timeout=30)
    frame.sendall(b"LBC")
    assert s.request("GET", "/healthz", connection=plain).status == post_type(s.http, kept).status == 200
    deadline = time.time() + 20
    while s.request("GET", "/readyz", connection=plain).status != 200 or s.request("GET", "/metrics", connection=plain).body.count(
            b"\nanybpfd_connections 3") != 1:
        assert time.time() < deadline
    over = post_type(s.http)
    assert over.status == 429 and over.headers["Connection"] == "close" and over.headers["Retry-After"]
    assert ask_frame(s.tcp, TYPE) is None and s.get("/healthz").status == 429
    assert post_type(s.http, kept).status == 200
    frame.close()
    while (answer := ask_frame(s.tcp, TYPE)) is None:
        assert time.time() < deadline
    assert answer["log"] == "ok."


@pytest.mark.parametrize("start", [b"POST /lbc HTTP/1.1\r\n", b"POST /lbc HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n["])
def test_slow_posts_end(new_server, start):
    s = find_ports(new_server(*PORTS, "--limits-header-seconds", "1", "--limits-body-seconds", "1"))
    with socket.create_connection(s.http, timeout=0.2) as c:
        c.sendall(start)
        began, out = time.time(), b""
        while not out and time.time() - began < 8:
            try:
                c.send(b"x")  # a byte now and then makes it no longer
                out = c.recv(4096)
            except TimeoutError:
                pass
        assert out.startswith(b"HTTP/1.1 408 ")


def test_drains(tmp_path):
    from anybpfd import Server
    with Server(tmp_path / "state", "--lbc", "tcp:127.0.0.1:0") as s:
        port = int([e["message"] for e in s.log() if e["event"] == "listen"][0].rpartition(":")[2])
        idle = socket.create_connection(("127.0.0.1", port))
        began = time.time()
        assert s.stop() == 0 and time.time() - began < 15
        try:
            assert idle.recv(1) == b""
        except ConnectionResetError:
            pass  # it was in the queue of the port still


@pytest.mark.parametrize("place", ["127.0.0.1:7655", "http:7655", "tcp:nowhere.invalid:1", "udp:127.0.0.1:1"])
def test_bad_places(new_server, place):
    s = new_server("--lbc", place, start=False)
    s.start(wait=False)
    assert s.process.wait(20) != 0 and "lbc: '" in s.log_path.read_text()
