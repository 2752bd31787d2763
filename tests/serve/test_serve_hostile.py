# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Clients that mean no good, and every documented limit exceeded by one: the right status, and the others unharmed."""
import json
import os
import random
import signal
import socket
import struct
import time

import pytest

from anybpfd import HELLO

HEAD = b"POST /v1/build HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def status_of(raw):
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.") else None


def is_fine(server):
    """An honest client is served, and soon."""
    begun = time.time()
    assert server.get("/version").status == 200
    assert server.build().status == 200
    assert time.time() - begun < 20


def drip(s, data, seconds, pause=0.1):
    """Sends a byte at a time; what came back, and after how long."""
    begun = time.time()
    s.settimeout(pause)
    for i in range(int(seconds / pause)):
        try:
            s.send(data[i % len(data):i % len(data) + 1])
        except OSError:
            pass
        try:
            out = s.recv(65536)
            return out, time.time() - begun
        except TimeoutError:
            pass
        except OSError:
            return b"", time.time() - begun
    return None, seconds


def memory(server):
    with open(f"/proc/{server.process.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


# ---- time ----

@pytest.mark.parametrize("start, bytes_, status", [
    (b"", b"GET / HTTP/1.1\r\nX: " + b"a" * 500, 408), (b"GET /version HTTP/1.1\r\n", b"X: y\r\n", 408), (b"", b"\r\n", 408), (b"", b"", 408),
    (HEAD + b"Content-Length: 5000\r\n\r\n", b"{ ", 408)], ids=["line", "header", "empty lines", "nothing", "body"])
def test_slowloris(new_server, start, bytes_, status):
    s = new_server("--limits-header-seconds", "1", "--limits-body-seconds", "1")
    slow = [socket.create_connection(s.address) for _ in range(20)]
    for c in slow:
        c.sendall(start)
    is_fine(s)
    out, seconds = drip(slow[0], bytes_ or b" ", 30) if bytes_ else (slow[0].recv(65536), 1)
    assert out is not None and status_of(out) == status, out
    assert seconds < 8
    is_fine(s)
    deadline = time.time() + 20
    while s.metric("anybpfd_connections") > 1:
        assert time.time() < deadline
        time.sleep(0.05)
    for c in slow:
        c.close()


def test_idle_connection_ends(new_server):
    s = new_server("--limits-idle-seconds", "1")
    with socket.create_connection(s.address) as c:
        c.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(c.recv(65536)) == 200
        out, seconds = drip(c, b"GET /", 30, 0.3)  # bytes of a next request do not make it longer
        assert out == b"" and seconds < 20


def test_client_that_does_not_read(new_server):
    s = new_server("--limits-send-seconds", "1")
    big = s.build(outputs=["so"], inline=False).json()["artifacts"][0]
    with socket.create_connection(s.address) as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.sendall(b"GET /v1/artifacts/%s HTTP/1.1\r\nHost: x\r\n\r\n" % big["digest"].encode() * 20)
        deadline = time.time() + 20
        while s.metric("anybpfd_connections_expired_total") < 1 and time.time() < deadline:
            time.sleep(0.1)
        assert s.metric("anybpfd_connections_expired_total") == 1
    is_fine(s)


# ---- size ----

def test_gigabyte_body(server):
    begun = time.time()
    out = server.raw(HEAD + b"Content-Length: 1073741824\r\n\r\n" + b"x" * 100000, 20)
    assert status_of(out) == 413 and time.time() - begun < 20
    out = server.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 65535, 20)
    assert status_of(out) == 411
    is_fine(server)


def test_body_limit(new_server):
    s = new_server("--limits-body", "4096")
    body = json.dumps({"source": "a.c", "files": {"a.c": HELLO % 1}})
    assert s.post("/v1/build", body + " " * (4096 - len(body))).status == 200
    over = s.post("/v1/build", body + " " * (4097 - len(body)))
    assert over.status == 413 and over.json()["type"] == "/problems/limit" and "4096" in over.json()["detail"]


def test_bodies_in_all(new_server):
    s = new_server("--limits-bodies-megabytes", "1")
    head = HEAD + b"Content-Length: %d\r\n\r\n"
    alone = s.raw(head % 3000000 + b" " * 3000000, 5, half_close=True)
    assert status_of(alone) == 400  # a body alone always has room
    s.wait_for_metric("anybpfd_requests_active", lambda n: n == 1)
    with socket.create_connection(s.address, timeout=20) as held:
        held.sendall(head % 600000 + b" " * 599999)
        s.wait_for_metric("anybpfd_requests_active", lambda n: n >= 2)
        over = s.raw(head % 600000, 20)
        assert status_of(over) == 503 and b"Retry-After: 1" in over and b"/problems/bodies" in over
        assert s.build().status == 200
        held.sendall(b" ")
        assert status_of(held.recv(65536)) == 400
    s.wait_for_metric("anybpfd_requests_active", lambda n: n == 1)  # a body is held until its request is done
    assert s.post("/v1/build", b" " * 600000).status == 400


def test_many_who_take_the_same_slowly(new_server):
    """The types of a kernel are megabytes: in memory once, and not any more when all are gone."""
    s = new_server()
    request = f"GET /v1/btf/{os.uname().release} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    before, held = memory(s), []
    try:
        for _ in range(60):
            held.append(socket.socket())
            held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            held[-1].connect(s.address)
            held[-1].sendall(request)
        for h in held:
            h.settimeout(20)
            assert status_of(h.recv(100)) == 200
        assert memory(s) < before + (40 << 20)
    finally:
        for h in held:
            h.close()
    is_fine(s)


def test_header_limit(new_server):
    s = new_server("--limits-header", "2048")

    def ask(size):
        head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: "
        return s.raw(head + b"a" * (size - len(head) - 4) + b"\r\n\r\n", 20)

    assert status_of(ask(2048)) == 200
    over = ask(2049)
    assert status_of(over) == 431 and b"/problems/header" in over
    assert status_of(ask(100000)) == 431
    assert status_of(s.raw(b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 20)) == 431
    is_fine(s)


def test_count_limits(server):
    def build(files=0, defines=0, dirs=0, path=5):
        name = "a" * (path - 2) + ".c"
        return server.post("/v1/build", {"source": name, "files": {name: HELLO % 2, **{f"h{i}.h": "" for i in range(files)}},
                                         "options": {"defines": [f"D{i}" for i in range(defines)],
                                                     "include_dirs": ["."] * dirs}}).status

    assert build(files=1023) == 200 and build(files=1024) == 413
    assert build(defines=256) == 200 and build(defines=257) == 413
    assert build(dirs=64) == 200 and build(dirs=65) == 413
    assert build(path=255) == 200 and build(path=256) == 400


def test_connections_of_one_address(new_server):
    s = new_server("--limits-connections-per-address", "5")
    held = [s.connect() for _ in range(5)]
    for c in held:
        assert s.request("GET", "/healthz", connection=c).status == 200
    over = s.get("/healthz")
    assert over.status == 429 and over.json()["type"] == "/problems/address-connections" and over.headers["Connection"] == "close"
    assert s.request("GET", "/version", connection=held[0]).status == 200
    held.pop().close()
    deadline = time.time() + 20
    while s.get("/healthz").status != 200:  # the one that asked before may still be closing, too
        assert time.time() < deadline
        time.sleep(0.02)


def test_connections_of_a_proxy(new_server):
    s = new_server("--limits-connections-per-address", "2", "--trusted-proxies", "127.0.0.1")
    held = [s.connect() for _ in range(5)]
    for c in held:
        assert s.request("GET", "/healthz", connection=c).status == 200


def test_connections_in_all(new_server):
    s = new_server("--limits-connections", "4")
    held = [s.connect() for _ in range(4)]
    for c in held:
        assert s.request("GET", "/healthz", connection=c).status == 200
    over = s.get("/healthz")
    assert over.status == 503 and over.headers["Retry-After"] and over.json()["type"] == "/problems/connections"


def test_deep_json(server):
    for text in ("[" * 100000, '{"source":' * 50000, '{"source": "' + "x" * 100000 + '"}', '{"files": ' + "{" * 3000 + "}" * 3000 + "}"):
        assert server.post("/v1/build", text).status in (400, 413)
    is_fine(server)


def test_name_of_megabytes(new_server):
    s = new_server("--limits-compile-seconds", "2")
    a = s.post("/v1/build", {"source": "a.c", "files": {"a.c": {"base64": "QUFB" * 1000000}}})
    assert a.status in (422, 504) and len(a.body) < 100000
    is_fine(s)


# ---- what is not HTTP ----

GARBAGE = [
    b"\x00" * 100, b"\xff" * 5000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n\r\n\r\n\r\n",
    b"GET /version HTTP/1.1\r\nHost x\r\n\r\n", b"GET /version HTTP/1.1\r\n: y\r\n\r\n", b"GET  /version  HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-x\r\n", b"GET /%00%zz%2 HTTP/1.1\r\nHost: x\r\n\r\n", b"A" * 20000,
    HEAD + b"Content-Length: -1\r\n\r\n", HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n", HEAD + b"Content-Length: 2x\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}", HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}",
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage(server, data):
    out = server.raw(data, 0.5, half_close=True)
    assert not out or out.startswith(b"HTTP/1.") and (400 <= status_of(out) < 600 or b"/problems" in out or status_of(out) == 200 and b"version" in data), out
    is_fine(server)


def test_random_garbage(server):
    r = random.Random(1)
    good = HEAD + b"Content-Length: 2\r\n\r\n{}"
    for _ in range(150):
        data = bytearray(good)
        for _ in range(r.randrange(1, 8)):
            data[r.randrange(len(data))] = r.randrange(256)
        server.raw(bytes(data), 0.05, half_close=True)
    is_fine(server)


# ---- clients that go away ----

def test_gone_while_it_builds(new_server):
    s = new_server()
    before = descriptors(s)
    for i in range(30):
        body = json.dumps({"source": "a.c", "files": {"a.c": HELLO % i}}).encode()
        c = socket.create_connection(s.address)
        c.sendall(HEAD + (b"Accept: text/event-stream\r\n" if i % 2 else b"") + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        if i % 3:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset in place of an end
        c.close()
    is_fine(s)
    deadline = time.time() + 20
    # Only the one that asks; the one that asked before may still be closing.
    while (now := (s.metric("anybpfd_requests_active"), s.metric("anybpfd_connections"))) != (1, 1):
        assert time.time() < deadline, now
        time.sleep(0.1)
    assert descriptors(s) <= before + 12  # compilers and files of the cache, no connections
    assert s.stop() == 0


def test_half_a_body(server):
    assert status_of(server.raw(HEAD + b"Content-Length: 100\r\n\r\n{", 1, half_close=True)) in (None, 400, 408)
    is_fine(server)


def test_gone_in_the_middle_of_a_request(new_server):
    """The end comes together with the last bytes: no edge of epoll tells of it."""
    s = new_server("--limits-header-seconds", "60", "--limits-body-seconds", "60")
    s.signal(signal.SIGSTOP)
    held = []
    for data in (HEAD + b"Content-Length: 100\r\n\r\n{", b"GET /version HTTP/1.1\r\nHost: x\r\n") * 5:
        held.append(socket.create_connection(s.address))
        held[-1].sendall(data)
        held[-1].shutdown(socket.SHUT_WR)
    s.signal(signal.SIGCONT)
    deadline = time.time() + 20
    while (now := (s.metric("anybpfd_requests_active"), s.metric("anybpfd_connections"))) != (1, 1):
        assert time.time() < deadline, now
        time.sleep(0.1)
    assert s.stop() == 0


def test_half_closed_with_its_request(new_server):
    """Both the request and the end are there before the server looks: it answers, and ends too, long before a pause is over."""
    s = new_server("--threads", 1)
    s.signal(signal.SIGSTOP)
    c = socket.create_connection(s.address, timeout=20)
    c.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    c.shutdown(socket.SHUT_WR)
    s.signal(signal.SIGCONT)
    assert c.recv(4096).startswith(b"HTTP/1.1 200 ")
    # That connection lingers when these come; their clients end while they wait for a compile, and get their answers.
    for n in range(5):
        body = json.dumps({"source": "a.bpf.c", "files": {"a.bpf.c": HELLO % (100 + n)}}).encode()
        assert status_of(s.raw(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body, half_close=True)) == 200
    assert c.recv(4096) == b""


def test_many_idle_connections(new_server):
    s = new_server("--limits-connections-per-address", "100000", "--limits-connections", "20000")
    before = descriptors(s)
    held = []
    for _ in range(2000):
        c = socket.create_connection(s.address)
        c.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        held.append(c)
    for c in held:
        assert status_of(c.recv(65536)) == 200
    is_fine(s)
    status = open(f"/proc/{s.process.pid}/status").read()
    resident = int(status.split("VmRSS:")[1].split()[0])
    assert resident < 100 << 10, f"{resident} KiB"
    for c in held:
        c.close()
    deadline = time.time() + 20
    while descriptors(s) > before + 10 and time.time() < deadline:
        time.sleep(0.1)
    assert descriptors(s) <= before + 10
