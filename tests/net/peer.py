# SPDX-License-Identifier: GPL-2.0-only
"""A process of the host on an Ethernet segment, honest or not.

It is a peer like a virtual machine: it joins the directory, brings up a link to each
other slot, says hello, and sends and receives frames. Its thread keeps the rules; a
test that breaks them takes `lock`, and then is alone with the links.
"""

import contextlib
import os
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.region_image import Member, Memory
from tests.vm.peer import Peer

from .frames import ARP, BROADCAST, ICMP, IPV4, Header, Host, arp, echo, ethernet, ipv4
from .wire import BEAT, STEP, UP, Broken, Link, Over, Segment, Words, wait_until

HELLO, FRAME = 1, 2
CSUM, TSO4, TSO6, ECN, USO = 1, 2, 4, 8, 16


def hello(address: bytes, features: int = 0, max_frame: int = 65550, queues: int = 1) -> bytes:
    """The payload of a hello."""
    return struct.pack("<III6s14x", features, max_frame, queues, address)


@dataclass
class Hello:
    """What a peer has said of itself."""

    features: int
    max_frame: int
    queues: int
    address: bytes

    @classmethod
    def unpack(cls, payload: bytes) -> "Hello":
        """From its payload."""
        return cls(*struct.unpack_from("<III6s", payload))


@dataclass
class Received:
    """A frame, and the slot that it came from."""

    slot: int
    header: Header
    frame: bytes


@dataclass
class Session:
    """What belongs to the present session of a link."""

    number: int = 0
    hello: Hello | None = None
    # Of the hello, as it came
    payload: bytes = b""
    other_kinds: list[tuple[int, int]] = field(default_factory=list)


class NetPeer:
    """A peer of the segment @section of a server's region; a context manager.

    It has the IPv4 @address, which answers pings, and what it receives is kept in
    `received`. Until its end, or park(), it holds its slot.
    """

    def __init__(self, path: Path, vectors: int, address: str = "10.88.0.99",
                 section: str = "lan", mac: bytes | None = None, **limits: int) -> None:
        self.server = Peer(path)
        self.slot = self.server.id
        self.memory = Memory(self.server.memory)
        self.segment = Segment.find(self.memory, section)
        self.words = Words(self.memory)
        self.vectors = vectors
        self.host = Host(mac or bytes((0x0e, 0x49, 0x56, 0, 0, self.slot)), address)
        self.hellos = [(0, HELLO, hello(self.host.mac, **limits))]
        self.consume = True
        self.lock = threading.RLock()
        self.received: list[Received] = []
        self.failures: list[str] = []
        self.sessions = {slot: Session() for slot in self.others}
        self.links = {slot: Link(self.words, self.segment, self.slot, slot,
                                 lambda slot=slot: self.kick(slot))  # type: ignore[misc]
                      for slot in self.others}
        self._member = Member(self.memory, self.slot, vectors, f"host-{self.slot}")
        self._beat = self._step = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def others(self) -> list[int]:
        """All slots but the own one."""
        return [slot for slot in range(self.segment.slots) if slot != self.slot]

    @property
    def mac(self) -> bytes:
        """Its Ethernet address."""
        return self.host.mac

    # Life

    def __enter__(self) -> "NetPeer":
        return self.start()

    def start(self) -> "NetPeer":
        """Join the region and want all links."""
        self._member.join()
        for link in self.links.values():
            link.start()
        self._thread.start()
        for slot in self.others:
            self.ring(slot, 0)
        return self

    def park(self) -> None:
        """Leave in order, but keep the slot: nobody else can get it."""
        if self._end.is_set():
            return
        self._end.set()
        self._thread.join()
        for link in self.links.values():
            link.stop()
        self._member.leave()
        for slot in self.others:
            self.ring(slot, 0)

    def crash(self) -> None:
        """Vanish without a word, in the middle of everything."""
        self._end.set()
        self._thread.join()
        self.__exit__()

    def __exit__(self, *_: object) -> None:
        self.park()
        self.words.release()
        self.memory.__exit__()
        self.server.__exit__()
        assert not self.failures, self.failures

    # Doorbells

    def ring(self, slot: int, vector: int) -> None:
        """Ring a peer, if it is there."""
        doorbells = self.server.doorbells.get(slot, [])
        if doorbells:
            with contextlib.suppress(BlockingIOError, OSError):
                os.eventfd_write(doorbells[min(vector, len(doorbells) - 1)], 1)

    def kick(self, slot: int) -> None:
        """Ring a peer for the segment."""
        self.ring(slot, self.segment.vector)

    # The thread

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                self.server.listen(STEP if not self._busy() else 0)
                with self.lock:
                    self._turn()
        # Whatever it is, the test says it at its end.
        except BaseException as error:
            self.failures.append(repr(error))
            raise

    def _busy(self) -> bool:
        """Whether there is something to receive, and a kick is asked for if not."""
        with self.lock, contextlib.suppress(Over, Broken):
            return self.consume and any([ring.want() for link in self.links.values()
                                         if link.state == UP for ring in link.rx])
        return False

    def _turn(self) -> None:
        now = time.monotonic()
        if now - self._beat >= BEAT:
            self._beat = now
            self._member.beat()
        for link in self.links.values():
            link.step()
            if link.state == UP:
                self._serve(link)

    def _serve(self, link: Link) -> None:
        """What there is to do in a session."""
        session = self.sessions[link.peer]
        if session.number != link.sessions:
            session = self.sessions[link.peer] = Session(link.sessions)
            for queue, kind, payload in self.hellos:
                link.tx[queue].put(kind, payload)
            for ring in link.tx:
                ring.publish()
            self.kick(link.peer)
        try:
            for queue, ring in enumerate(link.rx):
                if self.consume:
                    self._receive(link, session, queue, ring)
        except Over:
            link.end()
        except Broken as error:
            self.failures.append(f"ring from {link.peer}: {error}")
            link.end()

    def _receive(self, link: Link, session: Session, queue: int, ring: Any) -> None:
        for _ in range(256):
            record = ring.get()
            if record is None:
                break
            self._take(link, session, queue, *record)
        if ring.release():
            self.kick(link.peer)

    def _take(self, link: Link, session: Session, queue: int, kind: int,
              payload: bytes) -> None:
        """A record from an honest peer, who keeps the rules."""
        if kind == HELLO:
            assert session.hello is None and queue == 0, "a second hello"
            session.hello = Hello.unpack(payload)
            session.payload = payload
            return
        if kind != FRAME:
            session.other_kinds.append((queue, kind))
            return
        assert session.hello, "a frame before the hello"
        found = Received(link.peer, Header.unpack(payload), payload[16:])
        self.received.append(found)
        reply = self.host.answer(found.frame)
        if reply:
            self.send(link.peer, reply)

    # Frames

    def ready(self, slot: int) -> bool:
        """Whether frames can be sent to a peer: both have said hello."""
        return self.links[slot].state == UP and self.sessions[slot].hello is not None

    def wait_ready(self, *slots: int, timeout: float = 60) -> None:
        """Wait until frames can be sent to peers."""
        for slot in slots:
            wait_until(lambda slot=slot: self.ready(slot),  # type: ignore[misc]
                       f"link of {self.slot} to {slot}", timeout)

    def send(self, slot: int, frame: bytes, header: Header | bytes = Header(),
             kind: int = FRAME, queue: int = 0) -> bool:
        """Send a frame to a peer; False if there is no room or no session."""
        before = header.pack() if isinstance(header, Header) else header
        with self.lock:
            link = self.links[slot]
            try:
                if link.state != UP or not link.tx[queue].put(kind, before + frame):
                    return False
                if link.tx[queue].publish():
                    self.kick(slot)
            except Over:
                return False
        return True

    def flood(self, frame: bytes) -> None:
        """Send a frame to all whose link is up."""
        for slot in self.others:
            self.send(slot, frame)

    def ping(self, address: str, timeout: float = 60) -> None:
        """Resolve an address and exchange an echo with it."""
        question = ethernet(BROADCAST, self.mac, ARP,
                            arp(1, self.mac, self.host.address, bytes(6), address))
        deadline = time.monotonic() + timeout
        self.host.known.pop(address, None)
        while address not in self.host.known:
            assert time.monotonic() < deadline, f"{self.host.address}: no answer for {address}"
            self.flood(question)
            self._end.wait(0.05)
        number = len(self.host.echoed) + 1
        frame = ethernet(self.host.known[address], self.mac, IPV4,
                         ipv4(self.host.address, address, ICMP, echo(8, number, b"ivshmem" * 8)))
        while number not in self.host.echoed:
            assert time.monotonic() < deadline, f"{self.host.address}: no echo from {address}"
            self.flood(frame)
            self._end.wait(0.05)
