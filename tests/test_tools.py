# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Every tool of tools/, run beside a workload that makes what it has to show: prime numbers, not met by chance."""
import contextlib
import errno
import ipaddress
import os
import pathlib
import signal
import socket
import subprocess
import time
import xml.etree.ElementTree

import pytest
from live import BUILD, TOOLS, Run, child, needs_bpf, total

pytestmark = needs_bpf


def tool(name, *args, **kwargs):
    return Run(TOOLS / f"{name}.bpf.c", *args, **kwargs)


def near_now(ns):
    return abs(ns - time.time_ns()) < 60e9


def listen(host="127.0.0.1", family=socket.AF_INET):
    server = socket.socket(family)
    server.bind((host, 0))
    server.listen()
    return server


def test_every_tool_is_tested():
    text = pathlib.Path(__file__).read_text()
    for file in TOOLS.glob("*.bpf.c"):
        assert f"test_{file.name.split('.')[0]}" in text


def test_the_page_about_tools_is_current():
    made = subprocess.run([TOOLS / "doc.py"], check=True, capture_output=True, text=True).stdout
    assert (TOOLS.parent / "docs" / "tools.md").read_text() == made


def test_execsnoop():
    with tool("execsnoop", "--target-ppid", os.getpid()) as run:
        for i in range(23):
            subprocess.run(["/bin/true", "a b", f"number {i}", "x" * 600 if i == 22 else ""], check=True)
    events = run.events(ppid=os.getpid())
    assert len(events) == 23
    assert [e["args"] for e in events[:22]] == [f"/bin/true a b number {i} " for i in range(22)]
    assert len(events[22]["args"]) == 510 and events[22]["args"].startswith("/bin/true a b number 22 xxx")
    assert {(e["comm"], e["uid"]) for e in events} == {("true", 0)}
    assert near_now(events[0]["time"]) and len({e["pid"] for e in events}) == 23


def test_opensnoop(tmp_path):
    there = tmp_path / "there"
    with tool("opensnoop", "--pid", os.getpid()) as run:
        for _ in range(13):
            os.close(os.open(there, os.O_CREAT | os.O_RDWR | os.O_APPEND))
            with pytest.raises(FileNotFoundError):
                os.open(tmp_path / "not", os.O_RDONLY)
    opened, failed = run.events(file=str(there)), run.events(file=str(tmp_path / "not"))
    assert len(opened) == len(failed) == 13
    assert all(e["ret"] > 2 for e in opened)
    assert all(e["ret"] == {"errno": "ENOENT", "value": -errno.ENOENT} for e in failed)
    assert all(e["pid"] == os.getpid() and near_now(e["time"]) for e in opened + failed)
    wanted = os.O_CREAT | os.O_RDWR | os.O_APPEND
    assert all((e["flags"] if isinstance(e["flags"], int) else int(e["flags"], 16)) & wanted == wanted for e in opened)


def test_opensnoop_failed(tmp_path):
    with tool("opensnoop", "--pid", os.getpid(), "--failed") as run:
        for _ in range(7):
            os.close(os.open(tmp_path, os.O_RDONLY))
            with pytest.raises(NotADirectoryError):
                os.open("/dev/null/x", os.O_RDONLY)
    assert len(run.events(file="/dev/null/x")) == 7 and not run.events(file=str(tmp_path))


def test_exitsnoop():
    with tool("exitsnoop") as run:
        exited = [subprocess.Popen(["/bin/sh", "-c", "exit 7"]) for _ in range(11)]
        killed = [subprocess.Popen(["/bin/sleep", "9"]) for _ in range(5)]
        time.sleep(0.1)
        for process in killed:
            process.kill()
        for process in exited + killed:
            process.wait()
    by_pid = {e["pid"]: e for e in run.events(ppid=os.getpid())}
    for process in exited:
        e = by_pid[process.pid]
        assert (e["status"], e["signal"], e["comm"], e["core"]) == (7, 0, "sh", False)
    for process in killed:
        e = by_pid[process.pid]
        assert (e["status"], e["signal"], e["comm"]) == (0, "SIGKILL", "sleep")
        assert 50e6 < e["age"] < 30e9 and 100_000 < e["peak"]


def test_killsnoop():
    with subprocess.Popen(["/bin/sleep", "9"]) as target:
        with tool("killsnoop", "--pid", os.getpid()) as run:
            for _ in range(19):
                target.send_signal(signal.SIGCONT)
            target.terminate()
    conts, terms = (run.events(signal=s, target_pid=target.pid) for s in ("SIGCONT", "SIGTERM"))
    assert len(conts) == 19 and len(terms) == 1
    assert {(e["pid"], e["target_comm"]) for e in conts + terms} == {(os.getpid(), "sleep")}
    assert {e["result"] for e in conts} <= {"delivered", "ignored", "already_pending"}
    assert terms[0]["result"] == "delivered"


def test_bindsnoop():
    with tool("bindsnoop", "--pid", os.getpid()) as run:
        with socket.socket() as a, socket.socket(socket.AF_INET6) as b, socket.socket() as c:
            a.bind(("127.0.0.3", 0))
            b.bind(("::1", 0))
            with pytest.raises(OSError):
                c.bind(("127.0.0.3", a.getsockname()[1]))
            fds, port = [s.fileno() for s in (a, b, c)], a.getsockname()[1]
    assert [(e["fd"], e["address"], e["port"]) for e in run.events()] == [
        (fds[0], "127.0.0.3", 0), (fds[1], "::1", 0), (fds[2], "127.0.0.3", port)]
    assert [e["ret"] for e in run.events()] == [0, 0, {"errno": "EADDRINUSE", "value": -errno.EADDRINUSE}]


def test_syncsnoop(tmp_path):
    with tool("syncsnoop", "--pid", os.getpid()) as run, open(tmp_path / "file", "wb") as file:
        for _ in range(11):
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        for _ in range(3):
            os.fdatasync(file.fileno())
        with pytest.raises(OSError):
            os.fsync(9999)
    assert len(run.events(call="fsync", ret=0)) == 11 and len(run.events(call="fdatasync", ret=0)) == 3
    assert [e["ret"]["errno"] for e in run.events(call="fsync") if e["ret"] != 0] == ["EBADF"]
    assert all(0 < e["duration"] < 20e9 for e in run.events())


def test_tcpstates():
    with listen() as server:
        port = server.getsockname()[1]
        with tool("tcpstates", "--rport", port) as run:
            client = socket.create_connection(server.getsockname())
            accepted, (_, client_port) = server.accept()
            client.close()
            accepted.close()
    states = [(e["old_state"], e["new_state"]) for e in run.events(rport=port)]
    assert states == [("CLOSE", "SYN_SENT"), ("SYN_SENT", "ESTABLISHED"), ("ESTABLISHED", "FIN_WAIT1"),
                      ("FIN_WAIT1", "FIN_WAIT2"), ("FIN_WAIT2", "CLOSE")]
    assert {(e["laddr"], e["raddr"]) for e in run.events()} <= {("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")}
    assert {e["lport"] for e in run.events()} <= {0, client_port}
    assert (run.events()[0]["pid"], run.events()[0]["time_in_old"]) == (os.getpid(), 0)
    assert all(e["time_in_old"] > 0 for e in run.events()[1:])


@pytest.mark.parametrize("host, family", [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_tcplife(host, family):
    with listen(host, family) as server:
        port = server.getsockname()[1]
        with tool("tcplife", "--rport", port) as run:
            ports = []
            for i in range(7):
                client = socket.create_connection(server.getsockname()[:2])
                accepted, _ = server.accept()
                ports.append(client.getsockname()[1])
                client.sendall(b"q" * (1009 + i))
                accepted.recv(4096)
                accepted.sendall(b"a" * 31)
                client.recv(64)
                client.close()
                accepted.close()
    events = run.events(rport=port)
    assert [e["lport"] for e in events] == ports
    assert [e["sent"] for e in events] == [1009 + i for i in range(7)]
    assert {e["received"] for e in events} == {31}
    assert {(e["laddr"], e["raddr"], e["pid"]) for e in events} == {(host, host, os.getpid())}
    assert all(0 < e["rtt"] < 1e6 and 0 < e["duration"] < 20e9 for e in events)


def test_tcprtt():
    with listen() as server:
        port = server.getsockname()[1]
        with tool("tcprtt", "--rport", port, "--by-remote") as run:
            client = socket.create_connection(server.getsockname())
            accepted, _ = server.accept()
            for _ in range(17):
                client.sendall(b"x")
                accepted.recv(1)
                accepted.sendall(b"y")
                client.recv(1)
            client.close()
            accepted.close()
    hists = run.hists("rtt_by_remote")
    assert list(hists) == ['{"remote": "127.0.0.1"}'] and 17 <= total(*hists.values()) < 100


def test_tcpsockets():
    with listen() as server, listen("::1", socket.AF_INET6) as server6:
        with socket.create_connection(server.getsockname()) as client, server.accept()[0] as accepted:
            client.sendall(b"x" * 103)
            accepted.recv(200)
            run = tool("tcpsockets")
            run.end()
            ours, theirs = ("%s:%d" % s.getsockname() for s in (client, accepted))
        listening6 = "[%s]:%d" % (ipaddress.ip_address("::1").exploded, server6.getsockname()[1])
    rows = [line.split() for line in run.text().splitlines()[1:]]
    # Both ends name a connection: its port may have been that of another, which waits for its end.
    assert [row[:3] for row in rows if row[-2:] == [ours, theirs]] == [["ESTABLISHED", "0", "103"]]
    assert [row[3] for row in rows if row[-2:] == [theirs, ours]] == ["103"]
    assert len([row for row in rows if (row[0], row[-2]) == ("LISTEN", listening6)]) == 1


def transfer(source, sink, size):
    """Sends through one socket and receives from the other, both in this thread."""
    source.setblocking(False)
    left, got = memoryview(bytes(size)), 0
    while got < size:
        with contextlib.suppress(BlockingIOError):
            left = left[source.send(left):] if left else left
        got += len(sink.recv(1 << 20))


def test_tcpreno():
    with listen() as server, tool("tcpreno") as run, socket.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"anybpf_reno")
        client.connect(server.getsockname())
        with server.accept()[0] as accepted:
            transfer(client, accepted, 3_000_017)
    (_, stats), = run.map("stats")
    assert stats["sockets"] == 1 and stats["acked"] >= 20 and stats["slow_start"] >= 1


# On a busy machine, or one whose host takes its CPUs away, a timer may be over before its task has left the CPU, so a few sleeps
# may be none.
SLEEP_37_TIMES = "import time\nfor _ in range(37): time.sleep(0.002)"


def test_runqlat():
    with child(SLEEP_37_TIMES) as worker, tool("runqlat", "--pid", worker.pid) as run:
        worker.go()
    assert 31 <= total(run.hists("latency")[None]) < 2000


def test_runqlat_by_process():
    with child("import ctypes\nctypes.CDLL(None).prctl(15, b'anybpf-37')\n" + SLEEP_37_TIMES) as worker:
        with tool("runqlat", "--by-process", "--pid", worker.pid) as run:
            worker.go()
    assert 31 <= total(run.hists("latency_by_process")['{"comm": "anybpf-37"}']) < 2000


def test_a_histogram_for_each_key_has_the_unit_of_its_map():
    with child(SLEEP_37_TIMES) as worker:
        done = subprocess.Popen([BUILD / "anybpf", "run", TOOLS / "runqlat.bpf.c", "--by-process", "-q", "--duration", "1"],
                                stdout=subprocess.PIPE, text=True)
        worker.go()
        out, _ = done.communicate(timeout=20)
    headings = [line for line in out.splitlines() if line.endswith("distribution")]
    assert headings and all(line.split()[0] == "us" for line in headings)


def test_cpudist():
    with child(SLEEP_37_TIMES) as worker, tool("cpudist", "--pid", worker.pid) as run:
        worker.go()
    assert 31 <= total(run.hists("times")[None]) < 2000


def test_cpudist_off():
    with child(SLEEP_37_TIMES) as worker, tool("cpudist", "--pid", worker.pid, "--off") as run:
        worker.go()
    assert sum(s["count"] for s in run.hists("times")[None] if s["from"] >= 1024) >= 31


def test_syscount():
    code = """import os
for i in range(97):
    os.getpgid(0)
for i in range(13):
    try:
        os.getpgid(0x3fffff1)
    except ProcessLookupError:
        pass
"""
    with child(code) as worker, tool("syscount", "--pid", worker.pid, "--by-process") as run:
        worker.go()
    calls = {key["syscall"]: value for key, value in run.map("syscalls")}
    assert {key["pid"] for key, _ in run.map("syscalls")} == {worker.pid}
    assert (calls["getpgid"]["count"], calls["getpgid"]["errors"]) == (110, 13)
    assert 0 < calls["getpgid"]["time"] < 10e9


def test_biolatency(tmp_path):
    file = tmp_path / "data"
    try:
        fd = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_DIRECT)
    except OSError:
        pytest.skip("the file system of the temporary directory has no direct I/O")
    os.close(fd)
    if not os.path.exists("/sys/dev/block/%d:%d" % (os.major(os.stat(file).st_dev), os.minor(os.stat(file).st_dev))):
        pytest.skip("the temporary directory is not on a block device")
    with tool("biolatency") as run:
        subprocess.run(["dd", "if=/dev/zero", f"of={file}", "bs=64k", "count=17", "oflag=direct"], check=True,
                       stderr=subprocess.DEVNULL)
    writes = [value for key, value in run.map("totals") if key["op"] == "write"]
    assert sum(w["requests"] for w in writes) >= 17 and sum(w["bytes"] for w in writes) >= 17 * 65536
    assert sum(total(slots) for key, slots in run.hists("latency").items() if '"write"' in key) >= 17
    assert all(":" in key["disk"] for key, _ in run.map("totals"))


def test_softirqs():
    with tool("softirqs") as run, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(53):
            s.sendto(b"x", ("127.0.0.1", 9))
            time.sleep(0.001)
    totals = {key["vec"]: value for key, value in run.map("totals")}
    assert totals["net_rx"]["count"] >= 53 and totals["timer"]["count"] > 0
    assert total(run.hists("latency")['{"vec": "net_rx"}']) == totals["net_rx"]["count"]


def test_gethostlatency():
    code = "import socket\nfor i in range(5): socket.getaddrinfo('127.0.0.7', i)\nsocket.gethostbyname('127.0.0.1')"
    with child(code) as worker, tool("gethostlatency") as run:
        worker.go()
    events = run.events(pid=worker.pid, name="127.0.0.7")
    assert [(e["call"], e["result"]) for e in events] == [("getaddrinfo", 0)] * 5
    assert all(0 < e["duration"] < 10e9 for e in events)


def test_profile(tmp_path):
    with subprocess.Popen(["/usr/bin/python3", "-S", "-c", "while True: pass"]) as worker:
        try:
            with tool("profile", "--pid", worker.pid, "--map", "samples", "--flamegraph", tmp_path / "out.svg", "--folded",
                      tmp_path / "folded") as run:
                time.sleep(0.5)
        finally:
            worker.kill()
    samples = run.map("samples")
    assert sum(count for _, count in samples) >= 11
    assert {(key["pid"], key["comm"]) for key, _ in samples} == {(worker.pid, "python3")}
    stacks = [key["user_stack"] for key, _ in samples if isinstance(key["user_stack"], list)]
    assert any("PyEval" in frame for stack in stacks for frame in stack)
    folded = [line.rsplit(" ", 1) for line in (tmp_path / "folded").read_text().splitlines()]
    assert sum(int(count) for _, count in folded) == sum(count for _, count in samples)
    assert xml.etree.ElementTree.parse(tmp_path / "out.svg").getroot().tag.endswith("svg")


def test_offcpu():
    with child(SLEEP_37_TIMES.replace("0.002", "0.02")) as worker:
        with tool("offcpu", "--pid", worker.pid, "--min-us", 10000, "--blocked") as run:
            worker.go()
    entries = [(key, value) for key, value in run.map("off_cpu") if key["pid"] == worker.pid]
    assert sum(value["count"] for _, value in entries) >= 31
    assert 31 * 0.01e9 <= sum(value["time"] for _, value in entries) < 20e9
    assert any("nanosleep" in frame for key, _ in entries for frame in key["kernel_stack"])


def test_xdpcount():
    inside = ["unshare", "--net"]
    code = """import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(41): s.sendto(b'x' * 100, ('127.0.0.1', 9))
"""
    with tool("xdpcount", prefix=[*inside, "sh", "-c", 'ip link set lo up && exec "$@"', "-"]) as run:
        with child(code, prefix=["nsenter", f"--net=/proc/{run.process.pid}/ns/net"]) as worker:
            worker.go()
    traffic = {(key["ethertype"], key["protocol"]): value for key, value in run.map("traffic")}
    assert traffic["ip", "udp"] == {"packets": 41, "bytes": 41 * 142}
    assert {slot["from"]: slot["count"] for slot in run.hists("length")[None]}[128] >= 41


def test_tasks():
    with child("pass") as worker:
        run = tool("tasks", "--kernel-threads=false")
        run.end()
    rows = {int(line.split()[0]): line.split() for line in run.text().splitlines()[1:]}
    row = rows[worker.pid]
    assert row[1:5] == [str(worker.pid), str(os.getpid()), "0", "S"] and 1000 < int(row[5]) < 1_000_000
    assert row[7].startswith("python3") and int(row[6]) < 60_000
    assert 2 not in rows and run.text().splitlines()[0].split()[0] == "PID"
