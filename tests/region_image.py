# SPDX-License-Identifier: GPL-2.0-only
"""Superblocks and directory lines, from the specification and not from the headers.

Documentation/wire-format.rst says where each word is.  Nothing here knows the C
sources, so that both can be held against each other.
"""

import mmap
import os
import random
import struct
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

PAGE = 4096
LARGE = 2 << 20
MAGIC = 0x48535649
RAW, NET, BLK = 1, 2, 3
UNTRACKED, VACANT, CONNECTED = 0, 1, 2

# Offsets of words in the superblock that tests spoil
CHECKSUM, MAJOR, MINOR = 4, 8, 12
COMPAT, RO_COMPAT, INCOMPAT, INSTANCE = 16, 20, 24, 28
SIZE_LOG2, SLOTS, SECTIONS, RESERVED = 48, 52, 56, 60
ENTRIES, ENTRY = 64, 64


@dataclass
class Section:
    """An entry of the superblock."""

    type: int
    name: str
    size: int
    vector: int = 0
    queues: int = 1
    features: int = 0

    def pack(self) -> bytes:
        """Its 64 bytes."""
        return struct.pack("<IIIII12x32s", self.type, self.size // PAGE, self.vector,
                           self.queues, self.features, self.name.encode())


@dataclass
class Image:
    """A format: what goes into page 0."""

    size: int
    sections: list[Section] = field(default_factory=list)
    slots: int = 8
    major: int = 1
    minor: int = 0
    compat: int = 0
    ro_compat: int = 0
    incompat: int = 0
    instance: int = field(default_factory=lambda: random.getrandbits(32))
    uuid: bytes = field(default_factory=lambda: random.randbytes(16))

    def superblock(self, **spoilt: int) -> bytes:
        """The page; words "at_OFFSET" get other values before the checksum."""
        page = bytearray(PAGE)
        struct.pack_into("<II", page, 0, MAGIC, 0)
        struct.pack_into("<IIIIII16sIIII", page, MAJOR, self.major, self.minor,
                         self.compat, self.ro_compat, self.incompat, self.instance,
                         self.uuid, self.size.bit_length() - 1, self.slots,
                         len(self.sections), 0)
        for index, section in enumerate(self.sections):
            at = ENTRIES + index * ENTRY
            page[at:at + ENTRY] = section.pack()
        for name, value in spoilt.items():
            struct.pack_into("<I", page, int(name.removeprefix("at_")), value)
        struct.pack_into("<I", page, CHECKSUM, zlib.crc32(page[MAJOR:]))
        return bytes(page)

    def offsets(self) -> list[int]:
        """Where each section begins."""
        end = (2 + self.slots) * PAGE
        found = []
        for section in self.sections:
            align = LARGE if section.size >= LARGE else PAGE
            start = -(-end // align) * align
            found.append(start)
            end = start + section.size
        return found


class Memory:
    """A region as a process of the host sees it; a context manager."""

    def __init__(self, source: Path | int) -> None:
        self._own = not isinstance(source, int)
        self.descriptor = os.open(source, os.O_RDWR) if not isinstance(source, int) else source
        self.size = os.fstat(self.descriptor).st_size
        self.map = mmap.mmap(self.descriptor, self.size)

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *_: object) -> None:
        self.map.close()
        if self._own:
            os.close(self.descriptor)

    def word(self, offset: int) -> int:
        """A word of the region."""
        return struct.unpack_from("<I", self.map, offset)[0]

    def store(self, offset: int, value: int) -> None:
        """Write a word, as one access."""
        words = memoryview(self.map).cast("I")
        words[offset // 4] = value
        words.release()

    def write(self, image: Image, **spoilt: int) -> None:
        """Format: erase, clear the directory, superblock, and the magic last."""
        self.write_page(image.superblock(**spoilt), image.slots)

    def write_page(self, page: bytes, slots: int = 8) -> None:
        """Likewise, any bytes."""
        with self.writing(page, slots):
            pass

    @contextmanager
    def writing(self, page: bytes, slots: int = 8) -> Iterator[None]:
        """Likewise; what the block writes is there before the magic is."""
        self.store(0, 0)
        end = (2 + slots) * PAGE
        self.map[PAGE:end] = bytes(end - PAGE)
        self.map[4:PAGE] = page[4:]
        yield
        self.store(0, struct.unpack_from("<I", page)[0])

    def erase(self) -> None:
        """No format any more."""
        self.store(0, 0)


class Member:
    """A peer whose words are written from here."""

    def __init__(self, memory: Memory, slot: int, vectors: int = 0,
                 name: str = "member") -> None:
        self.memory = memory
        self.slot = slot
        self.line = (2 + slot) * PAGE
        self.vectors = vectors
        self.name = name
        self.epoch = 0
        self.heart = 0

    def join(self) -> "Member":
        """Say that it is there, under a new epoch."""
        memory = self.memory
        memory.store(self.line, 0)
        memory.store(self.line + 4, 0)
        memory.store(self.line + 8, self.vectors)
        memory.store(self.line + 12, 0)
        memory.map[self.line + 24:self.line + 64] = self.name.encode().ljust(40, b"\0")
        self.epoch = random.randint(1, 2 ** 32 - 1)
        memory.store(self.line, self.epoch)
        return self

    def beat(self) -> None:
        """A sign of life."""
        self.heart = (self.heart + 1) % 2 ** 32
        self.memory.store(self.line + 4, self.heart)

    def leave(self) -> None:
        """Say that it is no longer there."""
        self.memory.store(self.line, 0)


class Heart:
    """Beats for a member while a block runs; a context manager."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.wait(0.2):
            self.member.beat()

    def __enter__(self) -> Member:
        self._thread.start()
        return self.member

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


class ServerLine:
    """What a server would say of a slot."""

    def __init__(self, memory: Memory, slot: int) -> None:
        self.memory = memory
        self.line = PAGE + slot * 64

    def say(self, status: int, generation: int = 1, gone_epoch: int = 0) -> None:
        """Write the line, the status last."""
        self.memory.store(self.line + 4, generation)
        self.memory.store(self.line + 8, gone_epoch)
        self.memory.store(self.line, status)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that the host can see."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)
