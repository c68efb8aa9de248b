# SPDX-License-Identifier: GPL-2.0-only
"""Links and rings of a NET section, by the specification and not by our headers.

Documentation/wire-format.rst says what is done here; marks like [A1] are its. It is
for x86 alone: loads are acquires there and stores are releases.
"""

import random
import struct
import threading
import time
from dataclasses import dataclass
from typing import Callable, ClassVar

from tests.region_image import ENTRIES, ENTRY, LARGE, NET, PAGE, SECTIONS, SLOTS, Memory

LINE = 64
HEADER = 32
ALIGN = 64
PAD = 0xffffffff
STEP = 0.05
BEAT = 0.5

DOWN, ANNOUNCE, WAIT, UP = "down", "announce", "wait", "up"

_bus = threading.Lock()


def barrier() -> None:
    """A full one: taking a lock is an atomic read-modify-write."""
    with _bus:
        pass


class Broken(Exception):
    """The other side of a ring has stored what cannot be."""


class Over(Exception):
    """The session has ended."""


class Words:
    """The region by words, each of which is one access; a context manager."""

    def __init__(self, memory: Memory) -> None:
        self.bytes = memoryview(memory.map)
        self._words = self.bytes.cast("I")

    def load(self, offset: int) -> int:
        """Read a word."""
        return self._words[offset // 4]

    def store(self, offset: int, value: int) -> None:
        """Write a word."""
        self._words[offset // 4] = value % 2 ** 32

    def release(self) -> None:
        """Let go of the mapping, which cannot be closed before."""
        self._words.release()
        self.bytes.release()


@dataclass(frozen=True)
class Segment:
    """A NET section, and where everything lies in it."""

    KIND: ClassVar[int] = NET

    offset: int
    size: int
    vector: int
    queues: int
    slots: int

    @classmethod
    def find(cls, memory: Memory, name: str) -> "Segment":
        """The section with a name, from the superblock, which has to be right."""
        slots = memory.word(SLOTS)
        end = (2 + slots) * PAGE
        for index in range(memory.word(SECTIONS)):
            kind, pages, vector, queues, called = struct.unpack_from(
                "<IIII16x32s", memory.map, ENTRIES + index * ENTRY)
            align = LARGE if pages * PAGE >= LARGE else PAGE
            start = -(-end // align) * align
            end = start + pages * PAGE
            if called.rstrip(b"\0").decode() == name:
                assert kind == cls.KIND, f"{name}: of type {kind}"
                return cls(start, pages * PAGE, vector, queues, slots)
        raise LookupError(f"no section {name}")

    @property
    def block(self) -> int:
        """Bytes of a link's words."""
        return LINE + 2 * LINE * self.queues

    @property
    def blocks(self) -> int:
        """Bytes before the data of an outbox."""
        return -(-self.slots * self.block // PAGE) * PAGE

    def outbox_size(self, ring: int) -> int:
        """Bytes that a peer writes."""
        return self.blocks + (self.slots - 1) * self.queues * ring

    @property
    def ring(self) -> int:
        """Bytes of each data area."""
        return max(2 ** power for power in range(12, 32)
                   if self.slots * self.outbox_size(2 ** power) <= self.size)

    def outbox(self, slot: int) -> int:
        """Where the memory that a peer writes begins."""
        return self.offset + slot * self.outbox_size(self.ring)

    def link(self, slot: int, peer: int) -> int:
        """The line of a link that @slot writes."""
        return self.outbox(slot) + peer * self.block

    def tx(self, sender: int, receiver: int, queue: int) -> int:
        """The producer's line of a ring."""
        return self.link(sender, receiver) + LINE + 2 * LINE * queue

    def rx(self, sender: int, receiver: int, queue: int) -> int:
        """The consumer's line of a ring."""
        return self.link(receiver, sender) + 2 * LINE + 2 * LINE * queue

    def data(self, sender: int, receiver: int, queue: int) -> int:
        """The data area of a ring."""
        place = receiver if receiver < sender else receiver - 1
        return (self.outbox(sender) + self.blocks
                + (place * self.queues + queue) * self.ring)


def total(length: int) -> int:
    """Bytes that a record with so much payload takes."""
    return -(-(length + HEADER) // ALIGN) * ALIGN


def passed(event: int, now: int, old: int) -> bool:
    """Whether an index that moved from @old to @now went past @event."""
    return (now - event - 1) % 2 ** 32 < (now - old) % 2 ** 32


class Producer:
    """The sender's side of a ring."""

    def __init__(self, link: "Link", queue: int) -> None:
        segment, own, peer = link.segment, link.slot, link.peer
        self.link = link
        self.words = link.words
        self.size = segment.ring
        self.own = segment.tx(own, peer, queue)
        self.other = segment.rx(own, peer, queue)
        self.data = segment.data(own, peer, queue)
        self.next = self.prod = self.cons = 0

    def reset(self) -> None:
        """As every session begins [A2]."""
        self.next = self.prod = self.cons = 0
        self.words.store(self.own + 4, 0)
        self.words.store(self.own, 0)

    def _look(self) -> None:
        cons = self.words.load(self.other)
        self.link.check()
        if cons % ALIGN or (cons - self.cons) % 2 ** 32 > (self.prod - self.cons) % 2 ** 32:
            raise Broken(f"cons {cons:#x}, prod {self.prod:#x}")
        self.cons = cons

    def header(self, place: int, length: int, kind: int) -> None:
        """Write the header of a record."""
        self.words.store(self.data + place, length)
        self.words.store(self.data + place + 4, kind)

    def put(self, kind: int, payload: bytes, length: int | None = None) -> bool:
        """Write a record, not yet shown; False if there is no room.

        @length is what its header says, the truth unless told otherwise.
        """
        assert len(payload) <= self.size // 2 - HEADER
        place, need = self.next % self.size, total(len(payload))
        rest = self.size - place
        cost = need if need <= rest else rest + need
        if cost > self.size - (self.next - self.cons) % 2 ** 32:
            self._look()
            if cost > self.size - (self.next - self.cons) % 2 ** 32:
                return False
        if cost != need:
            self.header(place, rest - HEADER, PAD)
            place = 0
        begin = self.data + place + HEADER
        self.words.bytes[begin:begin + len(payload)] = payload
        self.header(place, len(payload) if length is None else length, kind)
        self.next = (self.next + cost) % 2 ** 32
        return True

    def publish(self) -> bool:
        """Show what was put; whether the consumer wants to be kicked."""
        old, self.prod = self.prod, self.next
        self.words.store(self.own, self.prod)
        barrier()
        return passed(self.words.load(self.other + 4), self.prod, old)


class Consumer:
    """The receiver's side of a ring."""

    def __init__(self, link: "Link", queue: int) -> None:
        segment, own, peer = link.segment, link.slot, link.peer
        self.link = link
        self.words = link.words
        self.size = segment.ring
        self.own = segment.rx(peer, own, queue)
        self.other = segment.tx(peer, own, queue)
        self.data = segment.data(peer, own, queue)
        self.cons = self.prod = 0

    def reset(self) -> None:
        """As every session begins [A2]."""
        self.cons = self.prod = 0
        self.words.store(self.own + 4, 0)
        self.words.store(self.own, 0)

    def _look(self) -> None:
        prod = self.words.load(self.other)
        self.link.check()
        if prod % ALIGN or (prod - self.cons) % 2 ** 32 > self.size \
                or (prod - self.cons) % 2 ** 32 < (self.prod - self.cons) % 2 ** 32:
            raise Broken(f"prod {prod:#x}, cons {self.cons:#x}")
        self.prod = prod

    def get(self) -> tuple[int, bytes] | None:
        """Kind and payload of the next record; None if there is none."""
        for _ in range(2):
            if self.cons == self.prod:
                self._look()
            if self.cons == self.prod:
                return None
            place = self.cons % self.size
            length = self.words.load(self.data + place)
            kind = self.words.load(self.data + place + 4)
            room = min(self.size - place, (self.prod - self.cons) % 2 ** 32)
            if kind == PAD:
                if not place or length != self.size - place - HEADER or length + HEADER > room:
                    raise Broken(f"padding of {length} at {place:#x}")
                self.cons = (self.cons + length + HEADER) % 2 ** 32
                continue
            if length > self.size // 2 - HEADER or total(length) > room:
                raise Broken(f"record of {length} at {place:#x}")
            begin = self.data + place + HEADER
            payload = bytes(self.words.bytes[begin:begin + length])
            self.cons = (self.cons + total(length)) % 2 ** 32
            return kind, payload
        raise Broken("padding at the start of the data")

    def release(self) -> bool:
        """Give back what was got; whether the producer wants to be kicked."""
        old = self.words.load(self.own)
        if old == self.cons:
            return False
        self.words.store(self.own, self.cons)
        barrier()
        return passed(self.words.load(self.other + 4), self.cons, old)

    def want(self) -> bool:
        """Ask to be kicked; True if there is something already."""
        self.words.store(self.own + 4, self.cons)
        barrier()
        self._look()
        return self.cons != self.prod


class Link:
    """One side of a link; @kick tells the peer to look."""

    def __init__(self, words: Words, segment: Segment, slot: int, peer: int,
                 kick: Callable[[], None]) -> None:
        self.words = words
        self.segment = segment
        self.slot = slot
        self.peer = peer
        self.kick = kick
        self.own = segment.link(slot, peer)
        self.other = segment.link(peer, slot)
        self.state = DOWN
        self.epoch = self.ack = self.sessions = 0
        self.tx = [Producer(self, queue) for queue in range(segment.queues)]
        self.rx = [Consumer(self, queue) for queue in range(segment.queues)]

    def check(self) -> None:
        """Raise Over unless the session goes on [U1]."""
        if self.words.load(self.other) != self.ack:
            raise Over

    def start(self) -> None:
        """Want the link."""
        if self.state == DOWN:
            self.state = ANNOUNCE

    def end(self) -> None:
        """End the session, if there is one, and begin anew with the next step."""
        self._withdraw()
        self.state = ANNOUNCE
        self.kick()

    def stop(self) -> None:
        """Do not want the link any more."""
        self._withdraw()
        self.state = DOWN
        self.kick()

    def _withdraw(self) -> None:
        self.words.store(self.own, 0)                       # [A1]
        barrier()

    def _announce(self) -> None:
        self._withdraw()
        for ring in (*self.tx, *self.rx):
            ring.reset()                                    # [A2]
        self.words.store(self.own + 4, 0)                   # [A2]
        self.ack = 0
        self.epoch = random.choice([value for value in random.sample(range(1, 2 ** 32), 2)
                                    if value != self.epoch])
        self.words.store(self.own, self.epoch)              # [A3]
        self.state = WAIT
        self.kick()

    def _look(self) -> bool:
        """One look at the peer's line; whether to look again."""
        ack = self.words.load(self.other + 4)               # [W1]
        epoch = self.words.load(self.other)                 # [W2]
        if not epoch:
            return False
        if epoch != self.ack:
            self.ack = epoch
            self.words.store(self.own + 4, epoch)           # [W3]
            self.kick()
            return True
        if ack == self.epoch:                               # [W4]
            self.state = UP
            self.sessions += 1
        return False

    def step(self) -> None:
        """Do what is due."""
        if self.state == ANNOUNCE:
            self._announce()
        if self.state == WAIT and self._look():
            self._look()
        elif self.state == UP:
            try:
                self.check()
            except Over:
                self.end()


def wait_until(done: Callable[[], object], what: str, timeout: float = 60) -> None:
    """Wait for something that other threads or machines do."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        time.sleep(0.01)
