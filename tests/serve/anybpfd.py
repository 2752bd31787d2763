# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A real anybpfd on a port of the kernel's choice, for tests: start it, talk to it, read its log, stop it."""
import base64
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

from description import check_status

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
PROGRAM = BUILD / "anybpfd"
# Anybody may read and build, as often as they like.
OPEN = ("--anonymous", "read,build", "--limits-rate", "0")

HELLO = """#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
int hits;
SEC("tracepoint/syscalls/sys_enter_getpgid") int hello(void *ctx) { hits += %d; return 0; }
"""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Server:
    def __init__(self, state, *options, listen="127.0.0.1:0", env=None, pass_fds=()):
        self.state = pathlib.Path(state)
        self.log_path = self.state.parent / (self.state.name + ".log")
        self.options = options
        self.listen, self.env, self.pass_fds = listen, env, pass_fds
        self.process = None

    def start(self, wait=True):
        mark = self.log_path.stat().st_size if self.log_path.exists() else 0
        listen = ["--listen", self.listen] if self.listen else []
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "--state", self.state, *listen, *map(str, self.options)], stderr=log,
                                            env={**os.environ, **(self.env or {})}, pass_fds=self.pass_fds)
        deadline = time.time() + 30
        while wait:
            events = self.log(mark)
            if any(e["event"] == "ready" for e in events):
                self.addresses = [e["address"] for e in events if e["event"] == "listening"]
                host, _, port = self.addresses[0].rpartition(":")
                self.address = (host.strip("[]"), int(port)) if port.isdigit() else None
                break
            assert self.process.poll() is None, self.log_path.read_text()
            assert time.time() < deadline, "anybpfd does not start"
            time.sleep(0.01)
        return self

    def log(self, mark=0):
        text = self.log_path.read_bytes()[mark:].decode()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def wait_for_log(self, test, seconds=10):
        deadline = time.time() + seconds
        while time.time() < deadline:
            found = [e for e in self.log() if test(e)]
            if found:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError("no such line in the log: " + self.log_path.read_text()[-2000:])

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        return self.process.wait() if self.process else 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def connect(self, timeout=30):
        return http.client.HTTPConnection(*self.address, timeout=timeout)

    def request(self, method, path, body=None, headers=None, connection=None):
        c = connection or self.connect()
        try:
            c.request(method, path, body=body, headers=headers or {})
            r = c.getresponse()
            answer = Answer(r.status, r.headers, r.read())
            check_status(answer, method, path)
            return answer
        finally:
            if not connection:
                c.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path, value, connection=None, **headers):
        body = value if isinstance(value, (bytes, str)) else json.dumps(value)
        return self.request("POST", path, body, {"Content-Type": "application/json",
                                                 **{k.replace("_", "-"): v for k, v in headers.items()}}, connection)

    def build(self, text=None, connection=None, headers=None, **members):
        request = {"source": "tool.bpf.c", "files": {"tool.bpf.c": HELLO % 1 if text is None else text}, **members}
        return self.post("/v1/build", request, connection, **(headers or {}))

    def metric(self, name):
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        raise KeyError(name)

    def wait_for_metric(self, name, test, seconds=20):
        deadline = time.time() + seconds
        while not test(self.metric(name)):
            assert time.time() < deadline, self.metric(name)
            time.sleep(0.02)

    def raw(self, data, timeout=10, half_close=False):
        """Sends bytes as they are; all that comes back until the server closes, or until nothing came for `timeout`."""
        with socket.create_connection(self.address, timeout=timeout) as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except OSError:  # it closed first
                pass
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except (TimeoutError, ConnectionResetError):
                pass
            return out


def data_of(answer, output="o"):
    """The bytes of an artifact of a build's answer."""
    return next(base64.b64decode(a["data"]) for a in answer["artifacts"] if a["output"] == output)


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=60)
