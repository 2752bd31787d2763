# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Reads BPF objects just far enough to say whether two of them are the same program."""
import struct

KINDS = "void int ptr array struct union enum fwd typedef volatile const restrict func proto var datasec float tag ttag enum64".split()
TYPE_ID_RELOCATIONS = (6, 7)  # their instruction holds a type id, which is a matter of numbering


class Elf:
    def __init__(self, data):
        self.data = data
        self.order = "<" if data[5] == 1 else ">"
        at, = self.unpack("Q", 40)
        size, count, names = self.unpack("3H", 58)
        self.sections = [self.unpack("IIQQQQIIQQ", at + i * size) for i in range(count)]
        self.names = [self.string(names, s[0]) for s in self.sections]

    def unpack(self, form, at, data=None):
        return struct.unpack_from(self.order + form, self.data if data is None else data, at)

    def content(self, i):
        _, kind, _, _, at, size, *_ = self.sections[i]
        return b"" if kind == 8 else self.data[at:at + size]

    def named(self, name):
        return self.content(self.names.index(name)) if name in self.names else b""

    def string(self, i, at):
        content = self.content(i)
        return content[at:content.index(b"\0", at)].decode()

    def symbols(self):
        i = next(i for i, s in enumerate(self.sections) if s[1] == 2)
        content, strings = self.content(i), self.sections[i][6]
        for at in range(0, len(content), 24):
            name, info, _, section, value, size = self.unpack("IBBHQQ", at, content)
            yield self.string(strings, name) or (self.names[section] if section < len(self.names) else ""), info & 15, section, value, size


class Btf:
    def __init__(self, elf, data):
        self.elf = elf
        _, _, _, header, types, types_size, strings, strings_size = elf.unpack("HBBIIIII", 0, data)
        self.strings = data[header + strings:header + strings + strings_size]
        self.types, at, end = [("void", 0)], header + types, header + types + types_size
        extra = {1: lambda n: 4, 3: lambda n: 12, 4: lambda n: 12 * n, 5: lambda n: 12 * n, 6: lambda n: 8 * n, 13: lambda n: 8 * n,
                 14: lambda n: 4, 15: lambda n: 12 * n, 17: lambda n: 4, 19: lambda n: 12 * n}
        while at < end:
            name, info, _ = elf.unpack("III", at, data)
            kind = info >> 24 & 31
            self.types.append((KINDS[kind], name))
            at += 12 + extra.get(kind, lambda n: 0)(info & 0xffff)

    def string(self, at):
        return self.strings[at:self.strings.index(b"\0", at)].decode()

    def name(self, i):
        kind, name = self.types[i]
        return f"{kind} {self.string(name)}"


def relocations(data):
    """CO-RE relocations as (section, instruction offset, kind, type, access string): nothing of it is a number of this BTF's own."""
    elf = Elf(data)
    btf, ext = Btf(elf, elf.named(".BTF")), elf.named(".BTF.ext")
    _, _, _, header, _, _, _, _, at, size = elf.unpack("HBBIIIIIII", 0, ext) if len(ext) >= 32 else (0,) * 10
    found, at, end = [], header + at + 4, header + at + size
    while at < end:
        section, count = elf.unpack("II", at, ext)
        at += 8
        for _ in range(count):
            offset, type_id, access, kind = elf.unpack("IIII", at, ext)
            found.append((btf.string(section), offset, kind, btf.name(type_id), btf.string(access)))
            at += 16
    return sorted(found)


def code(data):
    """Instructions by section, with what each relocation refers to by name."""
    elf = Elf(data)
    symbols = list(elf.symbols())
    found = {}
    masked = {(r[0], r[1]) for r in relocations(data) if r[2] in TYPE_ID_RELOCATIONS}
    for i, section in enumerate(elf.sections):
        if section[1] == 1 and section[2] & 4 and section[5]:
            bytes_ = bytearray(elf.content(i))
            for name, offset in masked:
                if name == elf.names[i]:
                    bytes_[offset + 4:offset + 8] = bytes(4)
            found[elf.names[i]] = bytes(bytes_)
    refers = []
    for i, section in enumerate(elf.sections):
        if section[1] == 9 and elf.names[section[7]] in found:
            content = elf.content(i)
            for at in range(0, len(content), 16):
                offset, info = elf.unpack("QQ", at, content)
                refers.append((elf.names[section[7]], offset, info & 0xffffffff, symbols[info >> 32][0]))
    functions = sorted(s for s in symbols if s[1] == 2)
    return found, sorted(refers), [(f[0], elf.names[f[2]], f[3], f[4]) for f in functions]


def same_program(a, b):
    return code(a) == code(b) and relocations(a) == relocations(b)
