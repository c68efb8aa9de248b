# SPDX-License-Identifier: GPL-2.0-only
"""A service manager that keeps descriptors, as systemd does, and starts the server with them."""
import array
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

from .activation import ACTIVATE
from .process import program
from .waiting import BOUND, wait_until


class Manager:
    """It runs one server after the other; @held is what it keeps, by name."""

    def __init__(self, directory: Path, *arguments: str):
        self.directory = directory
        self.arguments = arguments
        self.log_path = directory / 'log'
        self.held: dict[str, list[int]] = {}
        self.ready = 0
        self.reads = threading.Event()
        self.reads.set()
        self.ended = False
        self.process: subprocess.Popen | None = None
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(directory / 'manager'))
        self.socket.settimeout(0.05)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        while not self.ended:
            self.reads.wait()
            try:
                text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(64))
            except TimeoutError:
                continue
            fds = array.array('i')
            for _, _, data in ancillary:
                fds.frombytes(data)
            self._take(text.decode(), list(fds))

    def _take(self, text: str, fds: list[int]) -> None:
        lines = text.splitlines()
        words = dict(line.split('=', 1) for line in lines)
        if 'FDSTORE' in words:
            assert len(fds) == 1 and words['FDPOLL'] == '0'
            self.held.setdefault(words['FDNAME'], []).extend(fds)
        elif 'FDSTOREREMOVE' in words:
            for fd in self.held.pop(words['FDNAME'], []):
                os.close(fd)
        if words.get('READY'):
            self.ready += 1

    def start(self, **environment: str) -> None:
        """Start the server with all that is kept, and wait until it is ready."""
        before = self.ready
        pairs = [(name, fd) for name, fds in self.held.items() for fd in fds]
        prefix = []
        if pairs:
            prefix = ['/usr/bin/python3', '-c', ACTIVATE,
                      ','.join(str(fd) for _, fd in pairs),
                      ':'.join(name for name, _ in pairs)]
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(
                [*prefix, program(), *self.arguments], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=[fd for _, fd in pairs],
                env={**os.environ, 'NOTIFY_SOCKET': str(self.directory / 'manager'),
                     'FDSTORE': '10000', **environment})

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log
            return self.ready > before
        wait_until(is_ready, 'the server to be ready')

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the server; what is kept stays."""
        self.process.send_signal(number)
        assert self.process.wait(BOUND) == (-number if number == signal.SIGKILL else 0)

    def restart(self, number: int = signal.SIGTERM) -> None:
        """End it and start the next one."""
        self.stop(number)
        self.start()

    @property
    def log(self) -> str:
        """What all servers have said."""
        return self.log_path.read_text()

    def clients(self) -> set[int]:
        """Slots whose clients are kept."""
        return {int(name.split('/')[4]) for name in self.held if '/client/' in name}

    def forget(self) -> None:
        """Keep nothing any more."""
        for fds in self.held.values():
            for fd in fds:
                os.close(fd)
        self.held.clear()

    def close(self) -> None:
        """End everything."""
        self.reads.set()
        if self.process and self.process.poll() is None:
            self.stop()
        self.ended = True
        self.thread.join(BOUND)
        self.socket.close()
        self.forget()
        assert 'Sanitizer' not in self.log, self.log
