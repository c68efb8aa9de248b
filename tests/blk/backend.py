# SPDX-License-Identifier: GPL-2.0-only
"""A back end of a disk that is written by the specification, honest or not.

It is a process of the host in a BLK section. Its disk is in its memory. A test gives
it an `answer` of its own to break the rules.
"""

import contextlib
import os
import struct
import threading
import time
from pathlib import Path
from typing import Any, Callable

from tests.net.wire import BEAT, STEP, UP, Broken, Link, Over, Segment, Words
from tests.region_image import BLK, PAGE, Member, Memory
from tests.vm.peer import Peer

HELLO, REQUEST, RESPONSE = 1, 2, 3
FRONT_END, BACK_END = 1, 2
READ, WRITE, FLUSH, DISCARD, ZEROES = range(5)
OK, IO_ERROR, NO_SPACE, UNSUPPORTED, INVALID = range(5)
SECTOR = 512


def hello(sectors: int, role: int = BACK_END, features: int = 0, queues: int = 1,
          block: int = 512, physical: int = 4096, length: int = 1 << 20, extent: int = 0,
          serial: bytes = b"python") -> bytes:
    """The payload of a hello."""
    return struct.pack("<IIIIIIIQ20s8x", role, features, queues, block, physical, length,
                       extent, sectors, serial)


def response(number: int, status: int = OK) -> bytes:
    """The payload of a response."""
    return struct.pack("<II8x", number, status)


class Section(Segment):
    """A BLK section: the ring is a sixteenth of the data area, the rest are buffers."""

    KIND = BLK

    @property
    def records(self) -> int:
        """Bytes of a ring."""
        return max(self.ring // 16, PAGE)

    def buffers(self, sender: int, receiver: int, queue: int) -> int:
        """Where the buffers of a ring are."""
        return self.data(sender, receiver, queue) + self.records


class Request:
    """A request of a front end."""

    def __init__(self, back: "PythonBackEnd", link: Link, queue: int, payload: bytes) -> None:
        self.back = back
        self.link = link
        self.queue = queue
        (self.number, self.operation, self.flags, self.length, self.sector,
         self.buffer) = struct.unpack_from("<IIIIQI", payload)

    def span(self, sender: int, receiver: int) -> slice:
        """The bytes of its buffer among those of @sender."""
        start = self.back.section.buffers(sender, receiver, self.queue) + self.buffer
        return slice(start, start + self.length)

    def do(self) -> None:
        """What it wants."""
        back, peer = self.back, self.link.peer
        place = slice(self.sector * SECTOR, self.sector * SECTOR + self.length)
        if self.operation == READ:
            back.words.bytes[self.span(back.slot, peer)] = bytes(back.disk[place])
        elif self.operation == WRITE:
            back.disk[place] = bytes(back.words.bytes[self.span(peer, back.slot)])

    def reply(self, status: int = OK, number: int | None = None,
              payload: bytes | None = None, kind: int = RESPONSE) -> None:
        """A response, true unless told otherwise."""
        if payload is None:
            payload = response(self.number if number is None else number, status)
        self.link.tx[self.queue].put(kind, payload)


class PythonBackEnd:
    """A back end with a disk of @sectors in a section of a server; a context manager."""

    def __init__(self, path: Path, vectors: int, sectors: int = 16384,
                 section: str = "disk0", **said: Any) -> None:
        self.server = Peer(path)
        self.slot = self.server.id
        self.memory = Memory(self.server.memory)
        self.section = Section.find(self.memory, section)
        self.words = Words(self.memory)
        self.disk = bytearray(sectors * SECTOR)
        self.hellos = [hello(sectors, **{"queues": self.section.queues, **said})]
        self.answer: Callable[[Request], None] = self.honest
        self.sessions = 0
        self.requests = 0
        self.lock = threading.RLock()
        self.failures: list[str] = []
        self.links = [self._link(slot) for slot in range(self.section.slots)
                      if slot != self.slot]
        self._numbers = {link.peer: 0 for link in self.links}
        self._member = Member(self.memory, self.slot, vectors, "python")
        self._beat = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _link(self, slot: int) -> Link:
        link = Link(self.words, self.section, self.slot, slot, lambda: self.kick(slot))
        for ring in (*link.tx, *link.rx):
            ring.size = self.section.records
        return link

    @staticmethod
    def honest(request: Request) -> None:
        """Do it and say so."""
        request.do()
        request.reply()

    def kick(self, slot: int, vector: int | None = None) -> None:
        """Ring a peer, if it is there, for the section."""
        doorbells = self.server.doorbells.get(slot, [])
        if doorbells:
            number = self.section.vector if vector is None else vector
            with contextlib.suppress(BlockingIOError, OSError):
                os.eventfd_write(doorbells[min(number, len(doorbells) - 1)], 1)

    def __enter__(self) -> "PythonBackEnd":
        self._member.join()
        for link in self.links:
            link.start()
        self._thread.start()
        for link in self.links:
            self.kick(link.peer, 0)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for link in self.links:
            link.stop()
        self._member.leave()
        for link in self.links:
            self.kick(link.peer, 0)
        self.words.release()
        self.memory.__exit__()
        self.server.__exit__()
        assert not self.failures, self.failures

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                self.server.listen(0 if self._busy() else STEP)
                with self.lock:
                    self._turn()
        # Whatever it is, the test says it at its end.
        except BaseException as error:
            self.failures.append(repr(error))
            raise

    def _busy(self) -> bool:
        with contextlib.suppress(Over, Broken):
            return any([ring.want() for link in self.links if link.state == UP
                        for ring in link.rx])
        return False

    def _turn(self) -> None:
        now = time.monotonic()
        if now - self._beat >= BEAT:
            self._beat = now
            self._member.beat()
        for link in self.links:
            link.step()
            if link.state == UP:
                self._serve(link)

    def _serve(self, link: Link) -> None:
        if self._numbers[link.peer] != link.sessions:
            self._numbers[link.peer] = link.sessions
            for payload in self.hellos:
                link.tx[0].put(HELLO, payload)
            self.publish(link, 0, always=True)
        try:
            for queue in range(len(link.rx)):
                self._receive(link, queue)
        except Over:
            link.end()

    def _receive(self, link: Link, queue: int) -> None:
        ring = link.rx[queue]
        while (record := ring.get()) is not None:
            kind, payload = record
            if kind == HELLO:
                self.sessions += struct.unpack_from("<I", payload)[0] == FRONT_END
            elif kind == REQUEST:
                self.requests += 1
                self.answer(Request(self, link, queue, payload))
        if ring.release():
            self.kick(link.peer)
        self.publish(link, queue)

    def publish(self, link: Link, queue: int, always: bool = False) -> None:
        """Show the peer what was put, and ring if it wants that."""
        if link.tx[queue].publish() or always:
            self.kick(link.peer)
