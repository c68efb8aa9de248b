# SPDX-License-Identifier: GPL-2.0-only
"""A formatted region as bytes, by the specification and not by our headers.

Reads and writes go through the descriptor: a mapping of a file that somebody
has shrunk would kill the test.
"""
import os
import struct
import zlib
from typing import NamedTuple

PAGE = 4096
MAGIC = 0x48535649
UNTRACKED, VACANT, CONNECTED = range(3)
RAW, NET, BLK = range(1, 4)

HEAD = struct.Struct('<8I16s4I')
ENTRY = struct.Struct('<8I32s')


class Section(NamedTuple):
    """An entry of the superblock."""

    type: int
    pages: int
    vector: int
    queues: int
    name: str


class Superblock(NamedTuple):
    """What a superblock says."""

    instance: int
    uuid: bytes
    size: int
    slots: int
    sections: list[Section]


class Line(NamedTuple):
    """What the server says of a slot."""

    status: int
    generation: int
    gone_epoch: int


def superblock(memory: int) -> Superblock:
    """The superblock of a region; it has to be right."""
    page = os.pread(memory, PAGE, 0)
    (magic, checksum, major, minor, compat, ro_compat, incompat, instance,
     uuid, size_log2, slots, count, reserved) = HEAD.unpack_from(page)
    assert magic == MAGIC and checksum == zlib.crc32(page[8:])
    assert (major, minor) == (1, 0)
    assert (compat, ro_compat, incompat, reserved) == (0, 0, 0, 0)
    sections = []
    for i in range(count):
        kind, pages, vector, queues, *zeros, name = \
            ENTRY.unpack_from(page, 64 + 64 * i)
        assert zeros == [0] * 4
        sections.append(Section(kind, pages, vector, queues,
                                name.rstrip(b'\0').decode()))
    assert not any(page[64 + 64 * count:])
    return Superblock(instance, uuid, 1 << size_log2, slots, sections)


def make_superblock(size: int, slots: int, instance: int,
                    sections: list[Section], ro_compat: int = 0) -> bytes:
    """The page of a superblock, as a client might write it."""
    entries = b''.join(
        ENTRY.pack(s.type, s.pages, s.vector, s.queues, 0, 0, 0, 0,
                   s.name.encode()) for s in sections)
    body = HEAD.pack(0, 0, 1, 0, 0, ro_compat, 0, instance, bytes(16),
                     size.bit_length() - 1, slots, len(sections), 0)
    body = (body + entries).ljust(PAGE, b'\0')[8:]
    return struct.pack('<2I', MAGIC, zlib.crc32(body)) + body


def line(memory: int, slot: int) -> Line:
    """What the server says of a slot now."""
    data = os.pread(memory, 64, PAGE + 64 * slot)
    assert not any(data[12:])
    return Line(*struct.unpack_from('<3I', data))


def lines(memory: int, slots: int) -> list[Line]:
    """What it says of all of them."""
    return [line(memory, slot) for slot in range(slots)]


def statuses(memory: int, slots: int) -> list[int]:
    """Only who is connected."""
    return [one.status for one in lines(memory, slots)]


def set_epoch(memory: int, slot: int, epoch: int) -> None:
    """What a peer writes when it joins; 0 when it leaves."""
    os.pwrite(memory, struct.pack('<I', epoch), (2 + slot) * PAGE)
