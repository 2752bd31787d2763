# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""HTTP as such: methods, types, lengths, ids, listening, TLS, reload, drain."""
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from anybpfd import HELLO, PROGRAM, ROOT, Answer, Server, run


def test_every_get_route_answers_head_and_options(server):
    for path in ("/healthz", "/readyz", "/version", "/metrics", "/v1/keys", "/v1/kernels", "/v1/openapi.json", "/problems/compile"):
        get, head = server.get(path), server.request("HEAD", path)
        assert get.status == head.status == 200 and not head.body
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
        assert set(server.request("OPTIONS", path).headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert server.request("OPTIONS", "/v1/build").status == 204


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "GET", "TRACE", "BREW", "OPTIONSX", "POSTPONEMENTPOSTPONEMENT"])
def test_other_methods(server, method):
    a = server.request(method, "/v1/build")
    assert a.status == 405 and a.headers["Allow"] == "POST, OPTIONS" and a.json()["type"] == "/problems/method"


def test_problems_are_documents(server):
    a = server.get("/nothing/here")
    assert a.status == 404 and a.headers["Content-Type"] == "application/problem+json"
    assert a.json()["status"] == 404 and a.json()["instance"] == "/requests/" + a.headers["X-Request-Id"]


def test_every_kind_of_problem_is_explained(server):
    source = (ROOT / "src" / "serve" / "answer.c").read_text()
    kinds = re.findall(r'^\t\{ "([a-z-]+)", (\d{3}),', source, re.M)
    assert len(kinds) > 30
    for kind, status in kinds:
        a = server.get("/problems/" + kind)
        assert a.status == 200 and f"({status})" in a.body.decode()
    assert server.get("/problems/unheard-of").status == 404


@pytest.mark.parametrize("accept, status", [("application/json", 200), ("*/*", 200), ("application/*", 200), ("text/html, */*;q=0.1", 200),
                                            ("text/html", 406), ("application/json;q=0", 406), ("", 406), ("APPLICATION/JSON", 200),
                                            ("application/jsonx", 406), ("text/html,application/json", 200)])
def test_accept(server, accept, status):
    assert server.get("/version", Accept=accept).status == status


def test_paths_are_decoded(server):
    assert server.get("/v1/k%65ys").status == 200
    # A byte of zero would end the path, and what stands behind it would pass unseen.
    for path in ("/version%00", "/version%00x", "/%00", "/v1/keys%00%zz%2"):
        assert server.get(path).status == 404
    assert "%00" in server.get("/problems/a%00b").json()["detail"]


@pytest.mark.parametrize("kind, status", [("application/json; charset=utf-8", 400), ("text/plain", 415), ("application/x-www-form-urlencoded", 415),
                                          (None, 415), ("Application/JSON", 400), ("application/jsonp", 415)])
def test_content_type(server, kind, status):
    assert server.request("POST", "/v1/build", "{}", {"Content-Type": kind} if kind else {}).status == status


def test_compressed_bodies(server):
    assert server.post("/v1/build", b"\x1f\x8b", Content_Encoding="gzip").status == 415
    assert server.post("/v1/build", b"{}", Content_Encoding="identity").status == 400


def test_body_without_length(server):
    head = b"POST /v1/build HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    assert b" 411 " in server.raw(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 3).split(b"\r\n")[0]
    assert b" 411 " in server.raw(head + b"\r\n", 1).split(b"\r\n")[0]


def test_body_where_none_is_taken(server):
    assert server.request("GET", "/version", "x", {"Content-Type": "text/plain"}).status == 413


def test_expectations(server):
    head = b"POST /v1/build HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n"
    assert b" 417 " in server.raw(head + b"Expect: more\r\n\r\n{}", 3).split(b"\r\n")[0]
    out = server.raw(head + b"Expect: 100-continue\r\n\r\n{}", 3)
    assert out.startswith(b"HTTP/1.1 100 ") and b"HTTP/1.1 400 " in out
    # What is refused by its headers gets its answer in place of the invitation.
    assert b" 415 " in server.raw(head.replace(b"json", b"xml") + b"Expect: 100-continue\r\n\r\n", 3).split(b"\r\n")[0]


def test_request_ids(server):
    assert server.get("/version", X_Request_Id="abc-1.2_3").headers["X-Request-Id"] == "abc-1.2_3"
    for bad in ("", "x" * 65, "a b", "a\"b", "é"):
        assert re.fullmatch("[0-9a-f]{16}", server.get("/version", X_Request_Id=bad.encode().decode("latin-1")).headers["X-Request-Id"])
    line = server.wait_for_log(lambda e: e.get("id") == "abc-1.2_3")
    assert (line["event"], line["path"], line["status"], line["method"]) == ("request", "/version", 200, "GET")
    ids = {server.get("/version").headers["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20


def test_connection_is_kept(server):
    c = server.connect()
    for path in ("/version", "/nothing", "/healthz", "/v1/artifacts/x"):
        c.request("GET", path)
        r = c.getresponse()
        assert r.read() and not r.will_close
    for body in ("{}", "[", json.dumps({"source": "tool.bpf.c", "files": {"tool.bpf.c": HELLO % 1}})):
        c.request("POST", "/v1/build", body, {"Content-Type": "application/json"})
        r = c.getresponse()
        assert r.read() and not r.will_close
    c.close()


def test_pipelining(server):
    out = server.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 9 + b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert out.count(b"HTTP/1.1 200 OK") == 10


def test_half_closed(server):
    body = json.dumps({"source": "tool.bpf.c", "files": {"tool.bpf.c": HELLO % time.time_ns()}}).encode()
    out = server.raw(b"POST /v1/build HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
                     half_close=True)
    assert b" 200 OK" in out.split(b"\r\n")[0]


def test_metrics_are_prometheus(server):
    text = server.get("/metrics").body.decode()
    kinds = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            assert line.split()[2] not in kinds, line
            kinds[line.split()[2]] = line.split()[3]
        elif not line.startswith("#"):
            assert re.fullmatch(r'[a-z_:]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+', line), line
            name = re.split("[{ ]", line)[0]
            assert name in kinds or re.sub("_(bucket|sum|count)$", "", name) in kinds
    server.get("/version")  # a count begins with the first
    before = server.metric('anybpfd_requests_total{route="version",status="2xx"}')
    server.get("/version")
    assert server.metric('anybpfd_requests_total{route="version",status="2xx"}') == before + 1


# ---- listening ----

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def unix_get(path, url):
    c = UnixConnection(str(path))
    c.request("GET", url)
    r = c.getresponse()
    out = Answer(r.status, r.headers, r.read())
    c.close()
    return out


def test_unix_socket(new_server, tmp_path):
    path = tmp_path / "s.sock"
    s = new_server("--listen", f"unix:{path}", "--listen", "[::1]:0")
    assert len(s.addresses) == 3 and s.addresses[1] == f"unix:{path}"
    assert unix_get(path, "/version").status == 200
    assert s.wait_for_log(lambda e: e.get("path") == "/version")["address"] == "unix"
    s.signal(signal.SIGKILL)
    s.process.wait()
    s.start()  # over the socket that the killed one left
    assert unix_get(path, "/version").status == 200
    second = run("--state", tmp_path / "other", "--listen", f"unix:{path}")
    assert second.returncode == 6 and "somebody else" in second.stderr
    s.stop()
    assert not path.exists()


def test_socket_activation(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    fd = listener.fileno()
    log = open(tmp_path / "log", "wb")
    # As systemd does it: the descriptor is 3, and LISTEN_PID is who it is for.
    p = subprocess.Popen(["bash", "-c", f'exec 3<&{fd}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"', PROGRAM, "--state",
                          tmp_path / "state"], pass_fds=[fd], stderr=log)
    try:
        c = http.client.HTTPConnection(*listener.getsockname(), timeout=30)
        c.request("GET", "/version")
        assert c.getresponse().status == 200
    finally:
        p.terminate()
        assert p.wait(20) == 0
    socket.create_connection(listener.getsockname(), timeout=5).close()  # it listens on, for the next one
    assert f"127.0.0.1:{listener.getsockname()[1]}" in (tmp_path / "log").read_text()


def test_systemd_is_told(new_server, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(10)
        s = new_server(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert notices.recv(100) == b"READY=1"
        s.stop()
        assert notices.recv(100) == b"STOPPING=1"


def make_certificate(directory, name, ca=None, is_ca=False):
    key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    if ca:
        command += ["-CA", ca[1], "-CAkey", ca[0], "-addext", "basicConstraints=critical,CA:false"]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


def tls_get(server, ca, path="/version", client=None):
    context = ssl.create_default_context(cafile=ca)
    if client:
        context.load_cert_chain(client[1], client[0])
    c = http.client.HTTPSConnection(*server.address, context=context, timeout=10)
    c.request("GET", path)
    peer = c.sock.getpeercert()
    r = c.getresponse()
    out = Answer(r.status, r.headers, r.read())
    c.close()
    return out, peer


def test_tls_and_another_certificate(new_server, tmp_path):
    key, certificate = make_certificate(tmp_path, "one")
    s = new_server("--tls-certificate", certificate, "--tls-key", key)
    a, peer = tls_get(s, certificate)
    assert a.status == 200 and peer["subject"][0][0][1] == "one"
    # What is no TLS harms nobody, nor does half a handshake.
    assert s.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 2).find(b"HTTP/1.1 200") < 0
    hang = socket.create_connection(s.address)
    hang.send(b"\x16\x03\x01\x02\x00\x01\x00")
    assert tls_get(s, certificate)[0].status == 200
    hang.close()
    new = make_certificate(tmp_path, "two")
    os.replace(new[0], key)
    os.replace(new[1], certificate)
    s.signal(signal.SIGHUP)
    s.wait_for_log(lambda e: e["event"] == "reload" and e["level"] == "info")
    assert tls_get(s, certificate)[1]["subject"][0][0][1] == "two"
    key.write_text("rubbish")
    s.signal(signal.SIGHUP)
    line = s.wait_for_log(lambda e: e["event"] == "reload" and e["level"] == "error")
    assert "tls.key" in line["message"]
    assert tls_get(s, certificate)[0].status == 200


def test_client_certificates(new_server, tmp_path):
    ca = make_certificate(tmp_path, "ca")
    key, certificate = make_certificate(tmp_path, "server", ca)
    client, stranger = make_certificate(tmp_path, "client", ca), make_certificate(tmp_path, "stranger")
    s = new_server("--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca", ca[1])
    assert tls_get(s, ca[1], client=client)[0].status == 200
    for who in (None, stranger):
        a = tls_get(s, ca[1], client=who)[0]
        assert a.status == 403 and a.json()["type"] == "/problems/client-certificate"


@pytest.mark.parametrize("options, word", [
    (["--tls-key", "x"], "go together"), (["--listen", "nowhere"], "nowhere"), (["--listen", "127.0.0.1:99999"], "99999"),
    (["--limits-body", "12"], "1024"), (["--limits-body", "x"], "number"), (["--nothing", "1"], "--nothing"), (["--anonymous", "all"], "all"),
    (["--kernels-btf", "/nonexistent"], "/nonexistent"), (["--shared-url", "http://x"], "redis"), (["--limits-body"], "value"), (["fly"], "fly"),
    (["--tls-client-ca", "x"], "tls.certificate"), (["--log-requests", "maybe"], "true or false"),
])
def test_bad_options(tmp_path, options, word):
    done = run("--state", tmp_path / "state", "--listen", "127.0.0.1:0", *options)
    assert done.returncode not in (0, 70) and word in done.stderr and done.stderr.count("\n") == 1


# ---- configuration ----

@pytest.mark.parametrize("text, expected", [
    ("listen = []\n[limits]\nbdy = 3\n", ":3: there is no 'limits.bdy'; did you mean 'limits.body'?"),
    ("\n\njobs = \"2\"\n", ":3: jobs takes an integer"), ("[limits]\n\nbody = 5\n", ":3: limits.body: 5 is not in 1024 to"),
    ("state = \"a\nb\"\n", ":1: "), ("[log]\nrequests = 1\n", ":2: log.requests takes true or false"), ("listen = [\"127.0.0.1:1\",\n 5]\n", ":2: listen takes strings"),
    ("\nlisten = [\"127.0.0.1:1\",\n \"localhost:7600\"]\n", ":3: listen: 'localhost:7600' is not ADDRESS:PORT"), ("listen = [\"127.0.0.1:\"]\n", ":1: listen: "),
    ("\nlbc = [\"tcp:7655\"]\n", ":2: lbc: 'tcp:7655' is not http:ADDRESS:PORT"), ("\nanonymous = [\"read,wirte\"]\n", ":2: 'wirte' is not a scope"),
    ("\ntrusted_proxies = [\"10.0.0.0/8\"]\n", ":2: trusted_proxies: '10.0.0.0/8' is not an address"),
    ("\ntrusted_proxies = [\"unix\",\n\"0:0::1\"]\n", ":3: trusted_proxies: '0:0::1' has to be written '::1'"),
    ("[shared]\nurl = \"rediss://:secret@x\"\n", ":2: shared.url is not redis://"), ("[shared]\nurl = \"redis://x:port\"\n", ":2: shared.url is not "),
    ("[shared]\nurl = \"redis://x/db\"\n", ":2: shared.url is not "), ("[tls]\nkey = \"x\"\n", ": tls.certificate and tls.key go together"),
    ("[[listen]]\n", ":1: "), ("jobs = 1979-05-27\n", ":1: jobs takes an integer"),
])
def test_check_config_names_the_line(tmp_path, text, expected):
    path = tmp_path / "c.toml"
    path.write_text(text)
    done = run("--config", path, "--check-config")
    assert done.returncode == 2 and f"{path}{expected}" in done.stderr, done.stderr
    assert "secret" not in done.stderr


def test_check_config_looks_at_files(tmp_path):
    """What the server would not start without."""
    path = tmp_path / "c.toml"
    key, certificate = make_certificate(tmp_path, "server")
    for text, word in ((f'[tls]\ncertificate = "{tmp_path}/none.crt"\nkey = "{key}"\n', "none.crt"), (f'[tls]\ncertificate = "{key}"\nkey = "{key}"\n', str(key)),
                       (f'[kernels]\npacks = ["{tmp_path}/none.pack"]\n', "none.pack"), (f'[kernels]\nbtf = ["host", "{tmp_path}/none.btf"]\n', "none.btf"),
                       (f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n[shared]\nurl = "redis://:p@[::1]:6380/2"\n', None)):
        path.write_text(text)
        done = run("--config", path, "--check-config")
        assert done.returncode == 0 if word is None else done.returncode and word in done.stderr, done.stderr


def test_help_wherever_it_is_asked_for(tmp_path):
    for arguments in (["--help"], ["-h"], ["--state", tmp_path, "--help"], ["--version", "--help"]):
        assert run(*arguments).stdout.startswith("Usage: anybpfd")
    assert run("--state", tmp_path, "--version").stdout.startswith("anybpfd ")
    assert "did you mean '--limits-body'?" in run("--limit-body", "5").stderr


def test_config_and_options(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('listen = ["127.0.0.1:0", "127.0.0.1:0"]\nanonymous = ["read", "build"]\n[limits]\nbody = 2048\n')
    assert run("--config", path, "--check-config").stdout == f"{path}: good\n"
    with Server(tmp_path / "one", "--config", path, listen=None) as s:
        assert len(s.addresses) == 2
        assert s.build("x" * 2048).status == 413
    with Server(tmp_path / "two", "--config", path, "--limits-body=100000") as s:
        assert len(s.addresses) == 1
        assert s.build("x" * 2048).status == 422


def test_printed_config_is_a_config(tmp_path):
    text = run("--print-config").stdout
    path = tmp_path / "c.toml"
    path.write_text(re.sub("^#([a-z_]+ = )", r"\1", text, flags=re.M))
    done = run("--config", path, "--check-config")
    assert done.returncode == 0, done.stderr


def test_reload(new_server, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('anonymous = ["read"]\n')
    s = new_server("--config", path, "--limits-rate", "0", open_to_all=False)
    assert s.build().status == 401
    path.write_text('anonymous = ["read", "build"]\nlisten = ["127.0.0.1:1"]\n')
    s.signal(signal.SIGHUP)
    s.wait_for_log(lambda e: e["event"] == "reload")
    assert s.build().status == 200
    path.write_text("oops")
    s.signal(signal.SIGHUP)
    assert str(path) + ":1" in s.wait_for_log(lambda e: e["event"] == "reload" and e["level"] == "error")["message"]
    assert s.build().status == 200
    key, certificate = make_certificate(tmp_path, "new")
    path.write_text(f'tls.key = "{key}"\ntls.certificate = "{certificate}"\n')
    s.signal(signal.SIGHUP)
    s.wait_for_log(lambda e: e["event"] == "reload" and "restart" in e["message"])
    assert s.build().status == 200


# ---- the end ----

NEW_BUILDS = 'anybpfd_builds_total{result="new"}'  # counted as soon as they are taken on


def test_drain(new_server):
    s = new_server("--jobs", "1")
    answers = []
    builds = [threading.Thread(target=lambda i=i: answers.append(s.build(HELLO % i, options={"full_header": True}))) for i in range(6)]
    for t in builds:
        t.start()
    while s.metric(NEW_BUILDS) < 6:
        pass
    kept = s.connect()
    kept.request("GET", "/healthz")
    kept.getresponse().read()
    s.signal(signal.SIGTERM)
    s.wait_for_log(lambda e: e["event"] == "drain")
    try:
        kept.request("GET", "/readyz")
        r = kept.getresponse()
        assert r.status == 503 and r.headers["Retry-After"] and json.loads(r.read())["type"] == "/problems/draining"
        assert r.headers["Connection"] == "close"
    except (http.client.BadStatusLine, ConnectionError):
        pytest.fail("the server closed while work was under way")
    for t in builds:
        t.join()
    assert [a.status for a in answers] == [200] * 6
    assert s.process.wait(30) == 0


def test_end_does_not_wait_for_idle_connections(new_server):
    s = new_server()
    c = s.connect()
    c.request("GET", "/healthz")
    c.getresponse().read()
    begun = time.time()
    assert s.stop() == 0 and time.time() - begun < 15
    c.close()


def test_work_that_does_not_end_in_time(new_server):
    s = new_server("--jobs", "1", "--limits-drain-seconds", "0")
    answers = []
    builds = [threading.Thread(target=lambda i=i: answers.append(s.build(HELLO % i, options={"full_header": True}))) for i in range(8)]
    for t in builds:
        t.start()
    while s.metric(NEW_BUILDS) < 8 or not (s.metric("anybpfd_compiles_running") or len(answers) == 8):
        pass
    time.sleep(0.05)  # it is in the middle of it
    assert s.stop() == 0
    for t in builds:
        t.join()
    assert {a.status for a in answers} == {200, 503}
