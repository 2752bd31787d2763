# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""
The description of the interface against running servers: each status that docs/openapi.json lists for each operation is provoked by a real
request, and its answer has the body that the description says. That no other status is ever answered, each request of all tests
checks (anybpfd.py), and the fuzzer of the HTTP layer.
"""
import http.client
import io
import json
import socket
import sqlite3
import ssl
import subprocess

import jsonschema
import pytest

from anybpfd import BUILD, HELLO, OPEN, ROOT, Answer, Server, data_of
from description import DOCUMENT, OPERATIONS, operation, schema_of, validate
from test_serve_http import make_certificate
from test_serve_tokens import add, bearer

PAIRS = [(path, method, int(status)) for path, method in OPERATIONS for status in operation(path, method)["responses"]]
JSON, BYTES = "application/json", "application/octet-stream"
SOURCE = HELLO % 1 + 'SEC("tracepoint/a/b") int w(void *c) { int unused; return 0; }'
SLOW = "#define A(x) x x x x x x x x x x\n" + "".join(f"#define {chr(66 + i)}(x) {chr(65 + i)}({chr(65 + i)}(x))\n" for i in range(4)) + \
    "int x = 0 E(+ 1);\n"
ABSENT = "sha256:" + "1" * 64


def build_request(**members):
    return json.dumps({"source": "a.c", "files": {"a.c": SOURCE}, **members})


# ---- servers in the states that statuses come from ----

class Servers:
    def __init__(self, directory):
        self.directory, self.made, self.held, self.late = directory, {}, [], {}

    def get(self, name):
        if name not in self.made:
            self.made[name] = getattr(self, name)(self.directory / name)
        return self.made[name]

    def stop(self):
        for c in self.held:
            c.close()
        for s in self.made.values():
            s.stop()

    def open(self, state):
        """With a pack of two kernels, so that there are names that mean both."""
        s = Server(state, *OPEN).start()
        program, pack = self.directory / "small.o", self.directory / "small.pack"
        program.write_bytes(data_of(s.build().json()))
        s.stop()
        for release in ("5.10.0-8-amd64", "5.10.0-9-amd64"):
            subprocess.run([BUILD / "anybpf", "hub", "import", program, "--pack", pack, "--release", release, "--arch", "x86_64", "--distribution",
                            "debian"], check=True, capture_output=True)
        s = Server(state, *OPEN, "--kernels-packs", pack).start()
        s.object = program.read_bytes()
        return s

    def closed(self, state):
        return Server(state, "--anonymous", "none").start()

    def damaged(self, state):
        """Its database has lost its tables."""
        s = Server(state, *OPEN).start()
        db = sqlite3.connect(s.state / "tokens.db")
        db.execute("DROP TABLE token")
        db.commit()
        db.close()
        return s

    def hold(self, s):
        c = s.connect()
        assert s.request("GET", "/healthz", connection=c).status == 200
        self.held.append(c)
        return s

    def full(self, state):
        return self.hold(Server(state, *OPEN, "--limits-connections", "1").start())

    def crowded(self, state):
        return self.hold(Server(state, *OPEN, "--limits-connections-per-address", "1").start())

    def slow(self, state):
        return Server(state, *OPEN, "--limits-header-seconds", "1", "--limits-compile-seconds", "1").start()

    def partial(self, state):
        """Somebody has installed the program alone."""
        return Server(state, *OPEN, env={"ANYBPF_LIBDIR": str(self.directory)}).start()

    def strict(self, state):
        ca = make_certificate(self.directory, "ca")
        key, certificate = make_certificate(self.directory, "server", ca)
        s = Server(state, *OPEN, "--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca", ca[1]).start()
        s.ca = ca[1]
        return s


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    s = Servers(tmp_path_factory.mktemp("servers"))
    yield s
    s.stop()


# ---- a good request of each operation ----

class Request:
    """What an operation answers 200 to at the open server; `url` and `body` are changed to get others."""

    def __init__(self, servers, path, method):
        self.servers, self.path, self.method = servers, path, method
        self.url, self.body, self.headers = path, None, {}
        self.scoped = "security" in operation(path, method)
        if method == "post":
            kind = next(iter(operation(path, method)["requestBody"]["content"]))
            self.body = build_request() if kind == JSON else servers.get("open").object
            self.headers = {"Content-Type": kind}
        if "{" in path:
            self.fill(ARGUMENTS[path](servers))

    def fill(self, argument):
        self.url = self.path[:self.path.index("{")] + argument

    def send(self, server="open", **headers):
        headers = {**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.servers.get(server).request(self.method.upper(), self.url, self.body, headers)

    def send_raw(self, *lines, server="open"):
        """The head alone, with further lines."""
        head = [f"{self.method.upper()} {self.url} HTTP/1.1", "Host: x", "Connection: close", *(f"{k}: {v}" for k, v in self.headers.items()), *lines]
        return parse(self.servers.get(server).raw("\r\n".join(head).encode() + b"\r\n\r\n", 5))


ARGUMENTS = {
    "/v1/artifacts/{digest}": lambda servers: servers.get("open").build().json()["artifacts"][0]["digest"],
    "/v1/btf/{kernel}": lambda servers: "5.10.0-8-amd64",
    "/v1/types/{question}": lambda servers: "show/int",
    "/problems/{kind}": lambda servers: "compile",
}


def parse(raw):
    class Bytes:
        def makefile(self, mode):
            return io.BytesIO(raw)

    r = http.client.HTTPResponse(Bytes())
    r.begin()
    return Answer(r.status, r.headers, r.read())


# ---- what provokes a status ----

def without_certificate(q):
    s = q.servers.get("strict")
    c = http.client.HTTPSConnection(*s.address, context=ssl.create_default_context(cafile=s.ca), timeout=10)
    c.request(q.method.upper(), q.url, q.body, q.headers)
    r = c.getresponse()
    answer = Answer(r.status, r.headers, r.read())
    c.close()
    return answer


def too_slow(q):
    """All operations wait together, as each takes a second."""
    late = q.servers.late
    if not late:
        waiting = {o: socket.create_connection(q.servers.get("slow").address, timeout=10) for o in OPERATIONS}
        for (path, method), c in waiting.items():
            c.sendall(f"{method.upper()} {path} HTTP/1.1\r\n".encode())
        for o, c in waiting.items():
            late[o] = parse(c.recv(65536))
            c.close()
    return late[q.path, q.method]


def another_method(q):
    return q.servers.get("open").request("DELETE", q.url)


# Each makes an answer out of a good request.
OF_ALL = {
    200: lambda q: q.send(),
    403: without_certificate,
    405: another_method,
    406: lambda q: q.send(Accept="image/png"),
    408: too_slow,
    411: lambda q: q.send_raw("Transfer-Encoding: chunked"),
    413: lambda q: q.send_raw(f"Content-Length: {1 << 30}"),
    415: lambda q: q.send(Content_Encoding="gzip"),
    417: lambda q: q.send_raw("Expect: wonders", f"Content-Length: {len(q.body or '')}"),
    429: lambda q: q.send("crowded"),
    431: lambda q: q.send(X="x" * 8192),
    503: lambda q: q.send("full"),
}
OF_SCOPED = {
    # Through a proxy, as metrics are everybody's who is on the same machine.
    401: lambda q: q.send("closed", X_Forwarded_For="192.0.2.1"),
    500: lambda q: q.send("damaged", X_Forwarded_For="192.0.2.1", Authorization="Bearer x"),
}


def with_body(**members):
    def send(q, server="open"):
        q.body = build_request(**members)
        return q.send(server)
    return send


def with_argument(argument, **headers):
    def send(q):
        q.fill(argument)
        return q.send(**headers)
    return send


def with_url(url, body=None):
    def send(q):
        q.url, q.body = url, body if body is not None else q.body
        return q.send()
    return send


OF_ONE = {
    "build": {400: with_body(source="b.c"), 404: with_body(kernel="1.0"), 409: with_body(files={"a.c": {"digest": ABSENT}}),
              422: with_body(files={"a.c": "broken"}), 501: lambda q: with_body(outputs=["so"])(q, "partial"), 504: lambda q: with_body(files={"a.c": SLOW})(q, "slow")},
    "artifact": {206: lambda q: q.send(Range="bytes=0-3"), 304: lambda q: q.send(If_None_Match="*"), 400: with_argument("x"),
                 404: with_argument(ABSENT), 416: lambda q: q.send(Range="bytes=99999999-")},
    "kernels": {304: lambda q: q.send(If_None_Match="*")},
    "kernels": {304: lambda q: q.send(If_None_Match="*")},
    "btf": {206: lambda q: q.send(Range="bytes=-3"), 304: lambda q: q.send(If_None_Match="*"), 400: with_argument("5.10*"),
            404: with_argument("9.9.9"), 416: lambda q: q.send(Range="bytes=99999999-")},
    "min_btf": {400: with_argument("5.10*"), 404: with_argument("9.9.9"), 422: with_url("/v1/btf/5.10.0-8-amd64", b"rubbish")},
    "check": {400: with_url("/v1/check?form=pdf"), 422: with_url("/v1/check", b"rubbish")},
    "types": {400: with_argument("dance/sock"), 404: with_argument("show/no_such_type")},
    "problem": {404: with_argument("unheard-of")},
}


@pytest.mark.parametrize("path, method, status", PAIRS)
def test_each_listed_status_is_answered(servers, path, method, status):
    q = Request(servers, path, method)
    known = {**OF_ALL, **(OF_SCOPED if q.scoped else {}), **OF_ONE.get(operation(path, method)["operationId"], {})}
    assert status in known, "no request is known that is answered so"
    answer = known[status](q)
    assert answer.status == status, answer.body[:300]
    validate(answer, path, method)


def test_all_that_is_provoked_is_listed():
    """A status that a request above gets from every operation is listed with every one."""
    for path, method in OPERATIONS:
        listed = {int(s) for s in operation(path, method)["responses"]}
        assert set(OF_ALL) <= listed and ("security" not in operation(path, method) or set(OF_SCOPED) <= listed), (path, method)


# ---- other answers of the same statuses ----

def test_refusals_of_tokens_and_rates(servers, new_server):
    reader = bearer(add(servers.get("closed"), "reader", "--scopes", "read"))
    for path, method in OPERATIONS:
        q = Request(servers, path, method)
        scopes = [s for one in operation(path, method).get("security", []) for s in one.get("token", [])]
        answer = q.send("closed", **reader)
        assert answer.status in ((403,) if scopes and "read" not in scopes else (200, 404)) or path == "/metrics", (path, answer.status)
        validate(answer, path, method)
    t = new_server("--anonymous", "read", "--limits-rate", "1", open_to_all=False)
    assert {t.get("/v1/kernels").status for _ in range(3)} == {200, 429}


@pytest.mark.parametrize("members", [{"outputs": ["o", "so", "skel.h"], "inline": False}, {"options": {"isa": "v3", "defines": ["A=1"], "include_dirs": ["."]}}])
def test_builds(server, members):
    body = build_request(**members)
    jsonschema.Draft202012Validator(schema_of(operation("/v1/build", "post")["requestBody"]["content"][JSON])).validate(json.loads(body))
    answer = server.post("/v1/build", body)
    assert answer.status == 200, answer.body
    validate(answer, "/v1/build", "post")


# ---- the description itself ----

def test_description_is_served_and_sound(server):
    assert server.get("/v1/openapi.json").json() == DOCUMENT
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = [operation(*o)["operationId"] for o in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_route_is_described():
    source = (ROOT / "src" / "serve" / "routes.c").read_text()
    rows = [line.split("\"") for line in source[source.index("const struct route ab_routes[]"):].splitlines() if line.startswith("\t{ \"")]
    rows = [row for row in rows if not row[1].startswith("page")]  # for people
    assert len(rows) == len(OPERATIONS)
    for row in rows:
        method, path = row[3].lower(), row[5]
        assert any(p.startswith(path) and m == method for p, m in OPERATIONS), row
