# SPDX-License-Identifier: GPL-2.0-only
"""A client of the server protocol that uses nothing but a socket."""
import mmap
import os
import select
import socket
import struct
from pathlib import Path
from typing import Optional

from .waiting import BOUND, wait_until

Message = tuple[int, Optional[int]]

REFUSED_FULL = -87
REFUSED_PERMISSION = -13
REFUSED_SHUTDOWN = -108
REFUSED_EXHAUSTED = -24
REFUSED_USER = -122
REFUSED_PACE = -11


class Client:
    """A connection; as a context manager it is closed at the end."""

    def __init__(self, path: Path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # With a timeout it would not wait where others have filled the queue.
        self.socket.connect(str(path))
        self.socket.settimeout(BOUND)
        self.id = -1
        self.memory = -1
        self.eventfds: dict[int, list[int]] = {}
        self.order: list[int] = []

    def __enter__(self) -> 'Client':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def message(self) -> Optional[Message]:
        """The next message; None at the end of the connection."""
        try:
            payload, fds, _, _ = socket.recv_fds(self.socket, 8, 2)
        except ConnectionResetError:
            return None
        if not payload:
            return None
        assert len(payload) == 8 and len(fds) <= 1
        return struct.unpack('<q', payload)[0], fds[0] if fds else None

    def handshake(self, peers: int, vectors: int) -> 'Client':
        """Receive the whole handshake of a link of that shape."""
        first = self.message()
        assert first == (0, None), first
        self.id, nothing = self.message()
        assert nothing is None
        value, self.memory = self.message()
        assert value == -1 and self.memory is not None
        for _ in range(peers * vectors):
            slot, eventfd = self.message()
            assert eventfd is not None
            self.order.append(slot)
            self.eventfds.setdefault(slot, []).append(eventfd)
        return self

    def close(self) -> None:
        """Close everything, as the end of a process does."""
        self.socket.close()
        self.forget()

    def drain(self) -> int:
        """Take, and drop, all messages until the end of the connection; how
        many there were."""
        count = 0
        while message := self.message():
            count += 1
            if message[1] is not None:
                os.close(message[1])
        return count

    def forget(self) -> None:
        """Close memory and doorbells, and stay."""
        for fds in self.eventfds.values():
            for fd in fds:
                os.close(fd)
        self.eventfds = {}
        if self.memory >= 0:
            os.close(self.memory)
        self.memory = -1

    def nothing_comes(self) -> bool:
        """Whether neither a message nor the end of the connection is there."""
        return not select.select([self.socket], [], [], 0)[0]

    def ring(self, peer: int, vector: int) -> None:
        """Ring a doorbell of a peer."""
        os.eventfd_write(self.eventfds[peer][vector], 1)

    def rung(self, vector: int) -> int:
        """How often an own doorbell was rung since the last look."""
        try:
            return os.eventfd_read(self.eventfds[self.id][vector])
        except BlockingIOError:
            return 0

    def wait_rung(self, vector: int) -> int:
        """Wait until an own doorbell is rung."""
        return wait_until(lambda: self.rung(vector),
                          f'vector {vector} of peer {self.id}')

    def map(self) -> mmap.mmap:
        """The whole shared memory."""
        return mmap.mmap(self.memory, os.fstat(self.memory).st_size)


def refusal(path: Path) -> int:
    """The version that a client gets which must be refused."""
    with Client(path) as client:
        version, fd = client.message()
        assert version != 0 and fd is None
        # Hung up on us or not yet, but nothing else is sent.
        client.socket.shutdown(socket.SHUT_WR)
        assert client.message() is None
        return version
