# SPDX-License-Identifier: GPL-2.0-only
"""A network card of a segment, written from the specification and not from the headers.

Documentation/wire-format.rst says where each word is. It keeps the rules, unless a
test has it break one.
"""
import os
import random
import struct
import threading
from pathlib import Path
from typing import Any, Callable

from tests.region_image import PAGE, Member, Memory
from tests.server.waiting import wait_until
from tests.vm.peer import Peer

HELLO, FRAME, PAD = 1, 2, 0xffffffff
CSUM, TSO4, TSO6, ECN, USO = 1, 2, 4, 8, 16
ALL = 31
HEADER, ALIGN = 32, 64


def mac(text: str) -> bytes:
    """The bytes of an Ethernet address."""
    return bytes.fromhex(text.replace(':', ''))


def hello(address: str, features: int = ALL, max_frame: int = 65535,
          queues: int = 1) -> bytes:
    """The payload of a hello."""
    return struct.pack('<III6s14x', features, max_frame, queues, mac(address))


def header(flags: int = 0, gso: int = 0, hdr_len: int = 0, gso_size: int = 0,
           start: int = 0, offset: int = 0) -> bytes:
    """What precedes a frame."""
    return struct.pack('<BBHHHH6x', flags, gso, hdr_len, gso_size, start, offset)


def ethernet(to: str, sender: str, payload: bytes = bytes(46), kind: int = 0x88b5) -> bytes:
    """A frame; its type is one for experiments."""
    return mac(to) + mac(sender) + struct.pack('>H', kind) + payload


class Layout:
    """Where the words of a NET section are."""

    def __init__(self, region: dict[str, Any], name: str | None = None) -> None:
        section = next(s for s in region['sections']
                       if s['type'] == 'net' and name in (None, s['name']))
        self.slots = region['slots']
        self.offset = section['offset']
        self.queues = section['queues']
        self.vector = section['vector']
        self.ring = section['ring_size']
        self.block = 64 + 128 * self.queues
        self.blocks = -(-self.slots * self.block // PAGE) * PAGE
        self.outbox = self.blocks + (self.slots - 1) * self.queues * self.ring

    def link(self, slot: int, peer: int) -> int:
        """The line of @slot for @peer."""
        return self.offset + slot * self.outbox + peer * self.block

    def sends(self, slot: int, peer: int, queue: int = 0) -> int:
        """The producer's line of the ring from @slot to @peer."""
        return self.link(slot, peer) + 64 + 128 * queue

    def receives(self, slot: int, peer: int, queue: int = 0) -> int:
        """The consumer's line of the ring from @slot to @peer."""
        return self.link(peer, slot) + 64 + 128 * queue + 64

    def data(self, slot: int, peer: int, queue: int = 0) -> int:
        """The data of the ring from @slot to @peer."""
        place = peer if peer < slot else peer - 1
        return self.offset + slot * self.outbox + self.blocks \
            + (place * self.queues + queue) * self.ring


class Card:
    """A peer with a link to one other at a time; a context manager."""

    def __init__(self, socket: Path, layout: Layout, peers: int, vectors: int,
                 address: str = '02:00:00:00:00:99') -> None:
        self.client = Peer(socket)
        self.client.learn(peers, vectors)
        self.layout = layout
        self.memory = Memory(self.client.memory)
        self.slot = self.client.id
        self.address = address
        self.member = Member(self.memory, self.slot, vectors, 'card').join()
        self.peer = -1
        self.next = self.taken = self.epoch = 0
        self._end = threading.Event()
        self._heart = threading.Thread(target=self._beat)
        self._heart.start()

    def _beat(self) -> None:
        while not self._end.wait(0.2):
            self.member.beat()

    def kick(self) -> None:
        """The peer should look."""
        bells = self.client.doorbells[self.peer]
        os.eventfd_write(bells[min(self.layout.vector, len(bells) - 1)], 1)

    def store(self, offset: int, value: int) -> None:
        """Write a word."""
        self.memory.store(offset, value % 2 ** 32)

    def connect(self, peer: int) -> 'Card':
        """Begin a session, and wait until the other side has, too."""
        layout, self.peer = self.layout, peer
        own, other = layout.link(self.slot, peer), layout.link(peer, self.slot)
        self.store(own, 0)
        for queue in range(layout.queues):
            self.memory.map[own + 64 + 128 * queue:own + 192 + 128 * queue] = bytes(128)
        self.store(own + 4, 0)
        self.next = self.taken = 0
        self.epoch = random.randint(1, 2 ** 32 - 1)
        self.store(own, self.epoch)

        def is_up() -> bool:
            acknowledged, epoch = self.memory.word(other + 4), self.memory.word(other)
            if epoch and epoch != self.memory.word(own + 4):
                self.store(own + 4, epoch)
                self.kick()
            return bool(epoch) and acknowledged == self.epoch
        self.kick()
        wait_until(is_up, f'the link of {self.slot} and {peer}')
        return self

    @property
    def up(self) -> bool:
        """Whether the other side is still in this session."""
        other = self.layout.link(self.peer, self.slot)
        own = self.layout.link(self.slot, self.peer)
        return self.memory.word(other) == self.memory.word(own + 4) and \
            self.memory.word(other + 4) == self.epoch

    def await_end(self) -> None:
        """Wait until the other side has ended the session."""
        wait_until(lambda: not self.up, 'the end of the session')

    def put(self, kind: int, payload: bytes, length: int | None = None) -> None:
        """Write a record, and publish it; @length is what it claims to have."""
        layout = self.layout
        data = layout.data(self.slot, self.peer)
        total = -(-(HEADER + len(payload)) // ALIGN) * ALIGN
        room = layout.ring - self.next % layout.ring
        if total > room:
            struct.pack_into('<II', self.memory.map, data + self.next % layout.ring,
                             room - HEADER, PAD)
            self.next = (self.next + room) % 2 ** 32
        place = data + self.next % layout.ring
        self.memory.map[place + HEADER:place + HEADER + len(payload)] = payload
        struct.pack_into('<II', self.memory.map, place,
                         len(payload) if length is None else length, kind)
        self.next = (self.next + total) % 2 ** 32
        self.store(layout.sends(self.slot, self.peer), self.next)
        self.kick()

    def greet(self, **limits: Any) -> 'Card':
        """Say hello."""
        self.put(HELLO, hello(self.address, **limits))
        return self

    def send(self, frame: bytes, **fields: int) -> None:
        """Send a frame."""
        self.put(FRAME, header(**fields) + frame)

    def take(self) -> tuple[int, bytes] | None:
        """The next record, or None."""
        layout = self.layout
        data = layout.data(self.peer, self.slot)
        while self.memory.word(layout.sends(self.peer, self.slot)) != self.taken:
            place = data + self.taken % layout.ring
            length, kind = struct.unpack_from('<II', self.memory.map, place)
            payload = bytes(self.memory.map[place + HEADER:place + HEADER + length])
            total = -(-(HEADER + length) // ALIGN) * ALIGN
            self.taken = (self.taken + total) % 2 ** 32
            self.store(layout.receives(self.peer, self.slot), self.taken)
            if kind != PAD:
                return kind, payload
        return None

    def await_record(self, fits: Callable[[int, bytes], bool], what: str) -> bytes:
        """Wait for a record; those before it are dropped."""
        def found() -> bytes | None:
            record = self.take()
            return record[1] if record and fits(*record) else None
        return wait_until(found, what) or b''

    def leave(self) -> None:
        """End the session and leave in order."""
        self.store(self.layout.link(self.slot, self.peer), 0)
        self.member.leave()

    def __enter__(self) -> 'Card':
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._heart.join()
        self.memory.__exit__()
        self.client.__exit__()
