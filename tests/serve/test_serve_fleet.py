# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Several servers as one: a shared cache in Redis, a load balancer in front, and what happens when parts of it die."""
import http.client
import json
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from anybpfd import HELLO, data_of

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_for_port(port, process):
    deadline = time.time() + 10
    while time.time() < deadline:
        assert process.poll() is None
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nobody listens on {port}")


class Redis:
    def __init__(self, directory):
        self.port, self.directory, self.process = free_port(), directory, None
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                                         "--dir", self.directory], stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cli(self, *arguments):
        return subprocess.run(["redis-cli", "-p", str(self.port), *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def redis(tmp_path):
    r = Redis(tmp_path).start()
    yield r
    if r.process.poll() is None:
        r.kill()


@pytest.fixture
def pair(new_server, redis):
    """Two servers with one key and one Redis."""
    one = new_server("--shared-url", redis.url, name="one")
    (one.state.parent / "two").mkdir(mode=0o700)
    shutil.copytree(one.state / "keys", one.state.parent / "two" / "keys")
    two = new_server("--shared-url", redis.url, name="two")
    for s in (one, two):
        wait_until(lambda s=s: shared(s) == "connected")
    return one, two


def shared(server):
    return server.get("/readyz").json()["shared"]


def wait_until(test, seconds=20):
    deadline = time.time() + seconds
    while not test():
        assert time.time() < deadline, "it does not happen"
        time.sleep(0.02)


def compiles(*servers):
    return sum(s.metric('anybpfd_compiles_total{outcome="ok"}') for s in servers)


def test_results_are_shared(pair, redis):
    one, two = pair
    for text in (HELLO % 1, HELLO % 1 + "broken"):
        a = one.build(text, outputs=["o", "so"])
        wait_until(lambda: redis.cli("EXISTS", "anybpf:1:r:" + a.json()["key"][7:]) == "1" if a.status == 200 else
                   len(redis.cli("KEYS", "anybpf:1:r:*").split()) == 2)
        b = two.build(text, outputs=["o", "so"])
        assert a.status == b.status
        assert a.body == b.body if a.status == 200 else a.json()["diagnostics"] == b.json()["diagnostics"]
    assert compiles(two) == 0 and two.metric('anybpfd_builds_total{result="shared"}') == 2
    assert two.get("/v1/artifacts/" + one.build(HELLO % 1, outputs=["o", "so"]).json()["artifacts"][0]["digest"]).status == 200
    wait_until(lambda: not redis.cli("KEYS", "anybpf:1:l:*"))


def test_in_flight_work_is_shared(pair):
    answers = []
    threads = [threading.Thread(target=lambda s=s: answers.append(s.build(HELLO % 7, options={"full_header": True}))) for s in pair * 4]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 8 and len({a.body for a in answers}) == 1
    assert compiles(*pair) == 1


def test_what_redis_says_is_verified(pair, redis):
    one, two = pair
    key = one.build(HELLO % 1).json()["key"][7:]
    other = one.build(HELLO % 2).json()["key"][7:]
    wait_until(lambda: len(redis.cli("KEYS", "anybpf:1:r:*").split()) == 2)
    # The record of one question as the answer to another, and an artifact that is none.
    redis.cli("EVAL", "redis.call('set', KEYS[1], redis.call('get', KEYS[2]))", "2", "anybpf:1:r:" + key, "anybpf:1:r:" + other)
    assert data_of(two.build(HELLO % 1).json()) == data_of(one.build(HELLO % 1).json())
    for name in redis.cli("KEYS", "anybpf:1:a:*").split():
        redis.cli("SET", name, "rubbish")
    assert data_of(two.build(HELLO % 2).json()) == data_of(one.build(HELLO % 2).json())
    assert compiles(two) == 2 and any("not by a server with our keys" in e.get("message", "") for e in two.log())


def test_servers_with_other_keys_do_not_believe_each_other(new_server, redis):
    one, two = (new_server("--shared-url", redis.url) for _ in range(2))
    for s in (one, two):
        wait_until(lambda s=s: shared(s) == "connected")
    one.build(HELLO % 1)
    wait_until(lambda: redis.cli("KEYS", "anybpf:1:r:*"))
    assert two.build(HELLO % 1).status == 200 and compiles(two) == 1


def test_redis_away_and_back(pair, redis):
    one, two = pair
    redis.kill()
    wait_until(lambda: shared(one) == shared(two) == "away")
    assert one.get("/readyz").status == 200 and any("Redis" in d for d in one.get("/readyz").json()["degraded"])
    assert one.metric("anybpfd_shared_connected") == 0
    begun = time.time()
    assert one.build(HELLO % 1).status == two.build(HELLO % 1).status == 200
    assert time.time() - begun < 5
    redis.start()
    wait_until(lambda: shared(one) == shared(two) == "connected")
    assert one.build(HELLO % 2).status == 200
    wait_until(lambda: redis.cli("KEYS", "anybpf:1:r:*"))
    assert two.build(HELLO % 2).status == 200 and compiles(two) == 1


def test_redis_that_hangs(pair, redis):
    one, _ = pair
    redis.process.send_signal(signal.SIGSTOP)
    try:
        begun = time.time()
        assert one.build(HELLO % 1).status == 200
        assert time.time() - begun < 10
        assert one.build(HELLO % 2).status == 200
    finally:
        redis.process.send_signal(signal.SIGCONT)


def test_lock_of_a_dead_server_runs_out(pair, redis):
    one, _ = pair
    key = one.build(HELLO % 1, inline=False).json()["key"][7:]
    one.stop()
    shutil.rmtree(one.state / "cache")
    redis.cli("FLUSHALL")
    one.start()
    wait_until(lambda: shared(one) == "connected")
    redis.cli("SET", "anybpf:1:l:" + key, "somebody", "PX", "1000")
    begun = time.time()
    assert one.build(HELLO % 1, inline=False).status == 200
    assert 0.3 < time.time() - begun < 10


HAPROXY = """global
    log stdout format raw local0
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    option redispatch
    retries 3
frontend all
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /readyz
    server one 127.0.0.1:{one} check inter 200ms fall 1 rise 1
    server two 127.0.0.1:{two} check inter 200ms fall 1 rise 1
"""


@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
def test_kill_parts_of_it_under_load(pair, redis, tmp_path):
    one, two = pair
    port = free_port()
    (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(port=port, one=one.address[1], two=two.address[1]))
    with open(tmp_path / "haproxy.log", "wb") as log:
        balancer = subprocess.Popen(["haproxy", "-db", "-f", tmp_path / "haproxy.cfg"], stdout=log, stderr=log)
    wait_for_port(port, balancer)
    stop, answers, lost, retries = threading.Event(), {}, [], [0]
    lock = threading.Lock()

    def ask(number):
        """As a client does: a request that fails for a reason of the server is sent again."""
        body = json.dumps({"source": "tool.bpf.c", "files": {"tool.bpf.c": HELLO % number}})
        for _ in range(8):
            try:
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                c.request("POST", "/v1/build", body, {"Content-Type": "application/json"})
                r = c.getresponse()
                data = r.read()
                c.close()
                if r.status < 500:
                    return r.status, data
            except (OSError, http.client.HTTPException):
                pass
            with lock:
                retries[0] += 1
            time.sleep(0.25)
        return None, b""

    def load(worker):
        n = worker
        while not stop.is_set():
            n += 3
            number = n % 60
            status, data = ask(number)
            with lock:
                if status != 200:
                    lost.append((number, status, data))
                answers.setdefault(number, set()).add(data)

    threads = [threading.Thread(target=load, args=(i,)) for i in range(6)]
    try:
        for t in threads:
            t.start()
        time.sleep(1.5)
        served = [s.metric('anybpfd_requests_total{route="build",status="2xx"}') for s in pair]
        two.signal(signal.SIGKILL)
        two.process.wait()
        time.sleep(1)
        redis.kill()
        time.sleep(1)
        two.listen = f"127.0.0.1:{two.address[1]}"
        two.start()
        time.sleep(0.5)
        redis.start()
        time.sleep(1)
        one.signal(signal.SIGTERM)  # and one that leaves in order
        time.sleep(1)
    finally:
        stop.set()
        for t in threads:
            t.join()
        balancer.terminate()
        balancer.wait()
    assert not lost, lost[:3]
    assert min(served) > 0, "requests were not spread"
    assert len(answers) == 60 and all(len(bodies) == 1 for bodies in answers.values()), "results differ"
    assert one.process.wait(20) == 0
