# SPDX-License-Identifier: GPL-2.0-only
"""A process of the host that joins a link and rings without mercy."""

import contextlib
import os
import select
import socket
import struct
import threading
from collections import defaultdict
from pathlib import Path


class Peer:
    """A client of the server, as QEMU is one; a context manager."""

    def __init__(self, path: Path) -> None:
        self.doorbells: dict[int, list[int]] = defaultdict(list)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        version, _ = self._message()
        assert version == 0, version
        self.id, _ = self._message()
        marker, self.memory = self._message()
        assert marker == -1 and self.memory is not None

    def _message(self) -> tuple[int, int | None]:
        data, descriptors, _, _ = socket.recv_fds(self._socket, 8, 1)
        while len(data) < 8:
            data += self._socket.recv(8 - len(data))
        return struct.unpack("<q", data)[0], (descriptors or [None])[0]

    def learn(self, peers: int, vectors: int) -> None:
        """Receive the doorbells of all peers."""
        for _ in range(peers * vectors):
            peer, doorbell = self._message()
            assert doorbell is not None
            os.set_blocking(doorbell, False)
            self.doorbells[peer].append(doorbell)

    def listen(self, timeout: float) -> None:
        """Wait for a doorbell or the server; learn who has come and gone."""
        own = self.doorbells.get(self.id, [])
        ready, _, _ = select.select([self._socket, *own], [], [], timeout)
        for descriptor in ready:
            if descriptor is self._socket:
                self._learn_change()
                continue
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(descriptor)

    def _learn_change(self) -> None:
        peer, doorbell = self._message()
        if doorbell is not None:
            os.set_blocking(doorbell, False)
            self.doorbells[peer].append(doorbell)
            return
        for old in self.doorbells.pop(peer, []):
            os.close(old)

    @staticmethod
    def ring(doorbell: int) -> None:
        """Ring one, unless whoever has it is behind with it."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(doorbell, 1)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        os.close(self.memory)
        for doorbells in self.doorbells.values():
            for doorbell in doorbells:
                os.close(doorbell)


class Flood:
    """Rings all vectors of a peer as often as it can; a context manager."""

    def __init__(self, peer: Peer, victim: int) -> None:
        self.doorbells = peer.doorbells[victim]
        self.rung = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.is_set():
            for doorbell in self.doorbells:
                try:
                    os.eventfd_write(doorbell, 1)
                    self.rung += 1
                except BlockingIOError:
                    pass

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
