# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The library's builder from Python, confined or not."""
import ctypes
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_int, c_size_t, c_uint32, c_void_p

import pytest

from live import BUILD

WORDS = {2: "refused", 5: "not found", 8: "unsupported", 11: "format", 12: "limit"}


class Error(Structure):
    _fields_ = [("code", c_int), ("kind", c_uint32), ("msg", c_char * 512), ("log", c_char_p)]


class BuilderOpts(Structure):
    _fields_ = [("sz", c_size_t), ("btf_path", c_char_p), ("compiler", c_char_p), ("one_shot", c_bool), ("sandbox", c_bool), ("cgroup", c_char_p)]


class File(Structure):
    _fields_ = [("path", c_char_p), ("text", c_char_p), ("size", c_size_t)]


class BuildOpts(Structure):
    _fields_ = [("sz", c_size_t), ("defines", POINTER(c_char_p)), ("include_dirs", POINTER(c_char_p)), ("arch", c_char_p), ("isa", c_char_p),
                ("full_header", c_bool), ("color", c_bool), ("timeout_ms", c_uint32), ("files", POINTER(File)), ("file_count", c_size_t)]


def strings(values):
    return (c_char_p * (len(values) + 1))(*[v.encode() for v in values], None)


class Outcome:
    """`word`: "ok", "crashed" or one of WORDS; `said`: all the text that came back; `object`: bytes."""

    def __init__(self, word, message, log, data):
        self.word, self.message, self.log, self.object = word, message, log, data
        self.said = message + log

    def __repr__(self):
        return f"{self.word}: {self.message!r} {self.log[:300]!r} and {len(self.object)} bytes"


class Builder:
    def __init__(self, sandbox, worker=BUILD / "anybpf-cc", clang=None, cgroup=None):
        self.lib = ctypes.CDLL(str(BUILD / "libanybpf.so"))
        self.lib.ab_artifact_object.restype = c_void_p
        self.lib.ab_artifact_diagnostics.restype = self.lib.ab_builder_input.restype = c_char_p
        self.handle, err = c_void_p(), Error()
        opts = BuilderOpts(ctypes.sizeof(BuilderOpts), None, clang and str(clang).encode(), False, sandbox, cgroup and str(cgroup).encode())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANYBPF_CC", str(worker))
            status = self.lib.ab_builder_new(byref(opts), byref(self.handle), byref(err))
        if status:
            raise OSError(-err.code, err.msg.decode())

    def close(self):
        self.lib.ab_builder_free(self.handle)

    def build(self, path, text=None, files={}, defines=(), include_dirs=(), timeout_ms=60000):
        given = (File * max(len(files), 1))(*[File(name.encode(), data, len(data)) for name, data in files.items()])
        opts = BuildOpts(ctypes.sizeof(BuildOpts), strings(defines), strings(include_dirs), None, None, False, False, timeout_ms, given, len(files))
        artifact, size, err = c_void_p(), c_size_t(), Error()
        if self.lib.ab_builder_build(self.handle, path.encode(), text, c_size_t(len(text or b"")), byref(opts), byref(artifact), byref(err)):
            word = "crashed" if err.kind == 2 and b"crashed" in err.msg else WORDS.get(err.kind, f"kind {err.kind}")
            outcome = Outcome(word, err.msg, err.log or b"", b"")
            self.lib.ab_error_clear(byref(err))
            return outcome
        data = self.lib.ab_artifact_object(artifact, byref(size))
        outcome = Outcome("ok", b"", self.lib.ab_artifact_diagnostics(artifact), ctypes.string_at(data, size.value))
        self.lib.ab_artifact_free(artifact)
        return outcome

    def inputs(self):
        return [self.lib.ab_builder_input(self.handle, c_size_t(i)).decode() for i in range(self.lib.ab_builder_input_count(self.handle))]
