# SPDX-License-Identifier: GPL-2.0-only
"""A server that says what a test wants, be it wrong or nothing at all."""
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Iterable, Union

# Bytes are sent as they are; a number is a message, a pair has a descriptor.
Step = Union[bytes, int, tuple[int, int]]


def memory(size: int) -> int:
    """A descriptor of memory of this size."""
    descriptor = os.memfd_create('hostile')
    os.ftruncate(descriptor, size)
    return descriptor


def handshake(size: int = 65536) -> list[Step]:
    """Peer 1 of two, with one vector each."""
    return [0, 1, (-1, memory(size)), (0, os.eventfd(0, os.EFD_NONBLOCK)),
            (1, os.eventfd(0, os.EFD_NONBLOCK))]


class HostileServer:
    """Performs the steps for each client; then hangs up, or stays silent."""

    def __init__(self, path: Path, steps: Iterable[Step],
                 stays: bool = False) -> None:
        self.address = f'unix:{path}'
        self._steps = list(steps)
        self._stays = stays
        self.clients: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.clients.append(client)
            try:
                for step in self._steps:
                    self._perform(client, step)
            except OSError:
                # The client has had enough.
                pass
            if not self._stays:
                client.close()

    @staticmethod
    def _perform(client: socket.socket, step: Step) -> None:
        if isinstance(step, bytes):
            client.sendall(step)
        elif isinstance(step, int):
            client.sendall(struct.pack('<q', step))
        else:
            socket.send_fds(client, [struct.pack('<q', step[0])], [step[1]])

    def close(self) -> None:
        """End it and all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for client in self.clients:
            client.close()
        for step in self._steps:
            if isinstance(step, tuple):
                os.close(step[1])
