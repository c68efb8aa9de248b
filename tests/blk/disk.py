# SPDX-License-Identifier: GPL-2.0-only
"""A disk of the host: ivshmem-blk-server, and front ends that say what a test wants.

The program is build/meson/blkserver/ivshmem-blk-server; $IVSHMEM_BLK_SERVER names
another one, for example a build with sanitizers.
"""
import json
import os
import signal
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Iterable

from lab.paths import USERSPACE
from tests.server.waiting import wait_until

# Only a hang takes as long as that.
BOUND = 60

READ, WRITE, FLUSH, DISCARD, ZEROES = range(5)
FUA, KEEP = 1, 2
OK, IO_ERROR, NO_SPACE, UNSUPPORTED, INVALID = range(5)
READ_ONLY = 1
HELLO, REQUEST, RESPONSE = 1, 2, 3
SECTOR = 512


def hello_record(features: int = 0, queues: int = 1) -> bytes:
    """The payload of a front end's hello."""
    return struct.pack('<III52x', 1, features, queues)


def request_record(operation: int = READ, length: int = 512) -> bytes:
    """The payload of a request with the id 1."""
    return struct.pack('<IIIIIII4x', 1, operation, 0, length, 0, 0, 0)


def program() -> Path:
    """The program under test."""
    return Path(os.environ.get('IVSHMEM_BLK_SERVER',
                               USERSPACE / 'blkserver/ivshmem-blk-server'))


def run(*arguments: Any, status: int = 0, **options: Any) -> str:
    """Run it to its end; what it printed, or on failure its complaint."""
    result = subprocess.run([program(), *map(str, arguments)], check=False, text=True,
                            stdin=subprocess.DEVNULL, capture_output=True,
                            timeout=BOUND, **options)
    assert result.returncode == status, (result.stdout, result.stderr)
    assert 'Sanitizer' not in result.stderr, result.stderr
    if not status:
        return result.stdout
    assert result.stderr.startswith('ivshmem-blk-server: '), result.stderr
    return result.stderr


class BackEnd:
    """The program while it serves; a context manager.

    @told: what it prints of its first export when it begins.
    """

    def __init__(self, *arguments: Any, prefix: Iterable[Any] = (),
                 exports: int = 1, **options: Any) -> None:
        self._log = tempfile.NamedTemporaryFile('w+')
        self.process = subprocess.Popen(
            [*map(str, prefix), program(), '--json', *map(str, arguments)], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log,
            **options)
        self.exports = exports
        self.told = self._lines()[0]

    def _lines(self) -> list[dict[str, Any]]:
        assert self.process.stdout
        lines = [self.process.stdout.readline() for _ in range(self.exports)]
        assert all(lines), self.log
        return [json.loads(line) for line in lines]

    @property
    def log(self) -> str:
        """What it has logged."""
        return Path(self._log.name).read_text()

    @property
    def pid(self) -> int:
        """The program, which is below whatever started it."""
        pid = self.process.pid
        while True:
            below = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
            if not below:
                return pid
            pid = int(below[0])

    def reports(self) -> list[dict[str, Any]]:
        """The counters of all exports."""
        os.kill(self.pid, signal.SIGUSR1)
        return self._lines()

    def report(self) -> dict[str, Any]:
        """The counters of its only export."""
        return self.reports()[0]

    def front(self, slot: int) -> dict[str, Any]:
        """The counters of one front end; {} if it was never there."""
        return next((f for f in self.report()['front_ends'] if f['slot'] == slot), {})

    def wait_front(self, slot: int, **wanted: Any) -> dict[str, Any]:
        """Wait until what is said of a front end is so, or a counter that large."""
        def fits() -> dict[str, Any] | None:
            front = self.front(slot)
            return front if front and all(
                front[k] >= v if type(v) is int else front[k] == v
                for k, v in wanted.items()) else None
        return wait_until(fits, f'front end {slot} to have {wanted}', BOUND) or {}

    def wait_log(self, text: str) -> None:
        """Wait until it has said this."""
        wait_until(lambda: text in self.log, f'"{text}" in {self.log!r}', BOUND)

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM, status: int = 0) -> list[dict[str, Any]]:
        """End it in order; the counters in the end."""
        self.send(number)
        return self.wait(status)

    def wait(self, status: int = 0) -> list[dict[str, Any]]:
        """Wait for its end; what it printed meanwhile."""
        output, _ = self.process.communicate(timeout=BOUND)
        assert self.process.returncode == status, self.log
        assert 'Sanitizer' not in self.log, self.log
        return [json.loads(line) for line in output.splitlines()]

    def kill(self) -> None:
        """End it as a crash does."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(BOUND)

    def __enter__(self) -> 'BackEnd':
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        if self.process.stdout:
            self.process.stdout.close()
        assert 'Sanitizer' not in self.log, self.log
        self._log.close()


class Failed(Exception):
    """A command of a front end has failed; its argument is the errno value."""


class FrontEnd:
    """tests/blk/front.c, a process that does what it is told; a context manager.

    @quiet: it sends no hello by itself.
    """

    def __init__(self, link: str, section: str = '', features: int = 0,
                 quiet: bool = False) -> None:
        self.process = subprocess.Popen(
            [USERSPACE / 'tests/blk/blk_front', link, section, str(features),
             *['quiet'] * quiet], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._id = 0

    def do(self, *words: Any) -> list[str]:
        """Do one thing; what was printed."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(' '.join(map(str, words)) + '\n')
        self.process.stdin.flush()
        said = []
        while True:
            line = self.process.stdout.readline()
            assert line, f'the front end has ended after {said}'
            if line.startswith('failed'):
                raise Failed(int(line.split()[1]), words)
            if line == 'ok\n':
                return said
            said.append(line.rstrip('\n'))

    def hello(self) -> dict[str, Any]:
        """Wait for the back end; what it has said."""
        words = self.do('hello')[0].removeprefix('hello ').split(' ', 9)
        pairs = [word.split('=', 1) for word in words]
        return {k: v if k == 'serial' else int(v) for k, v in pairs}

    def sessions(self) -> int:
        """With a back end, so far."""
        return int(self.do('sessions')[0].split()[1])

    def request(self, operation: int, sector: int = 0, length: int = 0, buffer: int = 0,
                flags: int = 0, queue: int = 0, id: int | None = None) -> int:
        """Put a request into the ring; its id."""
        self._id += 1
        number = self._id if id is None else id
        self.do('request', queue, number, operation, flags, length, sector, buffer)
        return number

    def push(self) -> None:
        """Let the back end see what was put."""
        self.do('push')

    def answers(self, n: int) -> list[tuple[int, int, int]]:
        """Wait for so many: queue, id and status of each."""
        return [tuple(map(int, line.split()[1:])) for line in self.do('answers', n)]

    def ask(self, operation: int, **more: Any) -> int:
        """A request alone; its status."""
        number = self.request(operation, **more)
        self.push()
        [(queue, answered, status)] = self.answers(1)
        assert (queue, answered) == (more.get('queue', 0), number)
        return status

    def write(self, sector: int, data: bytes, buffer: int = 0, **more: Any) -> int:
        """Write blocks; the status."""
        for at in range(0, len(data), 65536):
            self.do('write', more.get('queue', 0), buffer + at, data[at:at + 65536].hex())
        return self.ask(WRITE, sector=sector, length=len(data), buffer=buffer, **more)

    def read(self, sector: int, length: int, buffer: int = 0, **more: Any) -> bytes:
        """Read blocks."""
        assert self.ask(READ, sector=sector, length=length, buffer=buffer, **more) == OK
        return self.buffer(buffer, length, more.get('queue', 0))

    def buffer(self, buffer: int, length: int, queue: int = 0) -> bytes:
        """What is in the back end's buffers."""
        return bytes.fromhex(self.do('read', queue, buffer, length)[0])

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait(BOUND)

    def __enter__(self) -> 'FrontEnd':
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None and self.process.stdin:
            self.process.stdin.close()
            self.process.wait(BOUND)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
