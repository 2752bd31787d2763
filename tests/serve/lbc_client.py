# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""
A client as coolbpf's are, written from docs/format-lbc.md: asks by HTTP or by frames, and runs a library that came back in the process
it is started in: `python3 lbc_client.py LIBRARY COUNT` sends COUNT datagrams and prints what the library's maps say of them.
"""
import base64
import ctypes
import hashlib
import http.client
import json
import os
import socket
import sys
import threading
import time


def ask(address, *commands, path="/lbc"):
    """The answers to commands, as surftrace asks: a list in a body without a content type, a connection for each."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    connection.request("POST", path, json.dumps(list(commands)), {"Connection": "close"})
    answer = connection.getresponse()
    assert answer.status == 200
    answer = json.loads(answer.read())
    assert (answer["result"], answer["status"], answer["code"]) == ("success", True, 200)
    assert len(answer["res"]) == len(commands)
    return answer["res"]


def receive(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            return data
        data += more
    return data


def ask_frame(address, command):
    """The answer to a command as clients before 2022 ask, or None when there is none."""
    with socket.create_connection(address, timeout=60) as s:
        text = json.dumps(command)
        try:
            s.sendall(b"LBC%08x" % len(text) + text.encode())
            head = receive(s, 11)
        except (BrokenPipeError, ConnectionResetError):  # it ended before it had read all
            return None
        if not head:
            return None
        assert head[:3] == b"LBC" and head[3:] == head[3:].lower()
        data = receive(s, int(head[3:], 16))
        assert s.recv(1) == b""
        return json.loads(data)


def source_hash(code, env):
    return hashlib.sha256((code + env).encode()).hexdigest()


class Library:
    def __init__(self, path):
        self.so = ctypes.CDLL(path)
        self.so.lbc_get_map_types.restype = ctypes.c_char_p
        self.description = json.loads(self.so.lbc_get_map_types())
        self.maps = self.description["maps"]
        self.keep = []

    def init(self, attach=1):
        assert self.so.lbc_bpf_init(-1, attach) == 0

    def id(self, name):
        return self.so.lbc_bpf_get_maps_id(name.encode())

    def listen(self, name, take):
        sample = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)(
            lambda ctx, cpu, data, size: take(ctypes.string_at(data, size)))
        lost = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_ulonglong)(lambda ctx, cpu, count: take(None))
        self.keep += [sample, lost]
        assert self.so.lbc_set_event_cb(self.id(name), sample, lost) == 0
        thread = threading.Thread(target=lambda: self.keep.append(self.so.lbc_event_loop(self.id(name), -1)))
        thread.start()
        return thread

    def items(self, name, key=ctypes.c_uint32, value=ctypes.c_uint32):
        """As pylcc iterates: from a key of zeros on."""
        found, k, n, v = {}, key(), key(), value()
        while self.so.lbc_map_get_next_key(self.id(name), ctypes.byref(k), ctypes.byref(n)) == 0:
            assert self.so.lbc_map_lookup_elem(self.id(name), ctypes.byref(n), ctypes.byref(v)) == 0
            found[n.value] = v.value
            k.value = n.value
        return found


def unpack(cells, data):
    """An event by the JSON alone, as pylcc's older versions did it."""
    import struct
    out = {}
    for cell in cells:
        raw = data[cell["offset"]:cell["offset"] + cell["size"] * max(cell["array"], 1)]
        values = struct.unpack(cell["format"], raw)
        out[cell["member"]] = b"".join(values).rstrip(b"\0").decode() if cell["format"][0] == "c" else values[0]
    return out


def main(path, count):
    library = Library(path)
    library.init()
    events = []
    thread = library.listen("e_out", events.append)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(count):
        s.sendto(b"x" * (100 + i), ("127.0.0.1", 9))
    deadline = time.time() + 10
    mine = []
    while time.time() < deadline and len(mine) < count:
        mine = [e for e in (unpack(library.maps["e_out"]["vtype"]["cells"], e) for e in events) if e["pid"] == os.getpid()]
        time.sleep(0.02)
    stack = (ctypes.c_uint64 * 127)()
    found = library.so.lbc_map_lookup_elem(library.id("call_stack"), ctypes.byref(ctypes.c_uint32(mine[0]["stack"])), stack)
    counts = library.items("pid_cnt")
    zero, seven = ctypes.c_uint32(0), ctypes.c_uint32(7)
    keys = []
    library.so.lbc_map_update_elem(library.id("pid_cnt"), ctypes.byref(zero), ctypes.byref(seven), 0)
    keys = list(library.items("pid_cnt"))
    library.so.lbc_map_lookup_and_delete_elem(library.id("pid_cnt"), ctypes.byref(zero), ctypes.byref(seven))
    again = library.so.lbc_bpf_init(-1, 1)
    library.so.lbc_bpf_exit()
    thread.join(5)
    print(json.dumps({"pid": os.getpid(), "events": mine, "lost": events.count(None), "stack": found, "frames": sum(map(bool, stack)),
                      "count": counts.get(os.getpid()), "zero": 0 in keys, "others": sorted(k for k in keys if k) == sorted(counts),
                      "again": again, "loop": library.keep[-1], "ended": not thread.is_alive(), "after": library.id("pid_cnt")}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
