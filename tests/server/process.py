# SPDX-License-Identifier: GPL-2.0-only
"""The server under test as a process."""
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Optional

from .waiting import BOUND, wait_until

ROOT = Path(__file__).resolve().parents[2]

NOBODY = 65534


def program() -> Path:
    """The program under test."""
    return Path(os.environ.get('IVSHMEMD',
                               ROOT / 'build/meson/server/ivshmemd'))


def unprivileged() -> dict:
    """Options of Popen that make a process one without privileges."""
    if os.geteuid():
        return {}
    return {'user': NOBODY, 'group': NOBODY, 'extra_groups': []}


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Run the program to its end, for what fails or only prints."""
    return subprocess.run([program(), *map(str, arguments)], text=True,
                          capture_output=True, timeout=BOUND, check=False,
                          **options)


def refused(*arguments: str, status: int, **options) -> str:
    """Run what must fail with this status and print nothing but a reason."""
    result = run(*arguments, **options)
    assert result.returncode == status, result.stderr
    assert not result.stdout
    assert result.stderr.startswith('ivshmemd: ')
    assert result.stderr.count('\n') == 1, result.stderr
    return result.stderr


def processor_ticks(pid: int) -> int:
    """Processor time that a process has used, in clock ticks."""
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')')[1]
    return sum(map(int, fields.split()[11:13]))


class Server:
    """A server that runs, with its log and its notifications."""

    def __init__(self, directory: Path, *arguments: str, prefix=(),
                 environment=None, **options):
        self.directory = directory
        number = len(list(directory.glob('*.log')))
        self.log_path = directory / f'{number}.log'
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(directory / f'{number}.notify'))
        os.chmod(directory / f'{number}.notify', 0o777)
        self.notify.settimeout(0.1)
        self.notifications: list[str] = []
        environment = dict(os.environ, **(environment or {}))
        environment['NOTIFY_SOCKET'] = str(directory / f'{number}.notify')
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(
                [*map(str, prefix), program(), *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, **options)

    @property
    def pid(self) -> int:
        """Of the server's process."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text()

    def wait_ready(self) -> 'Server':
        """Wait until it says that it is ready."""
        self.wait_notification('READY=1')
        return self

    def wait_notification(self, line: str) -> None:
        """Wait until a notification contains this line."""
        def told() -> bool:
            try:
                self.notifications.append(self.notify.recv(4096).decode())
            except TimeoutError:
                assert self.process.poll() is None, self.log
            return any(line in text.splitlines()
                       for text in self.notifications)
        wait_until(told, f'the notification {line}')

    def wait_log(self, pattern: str, count: int = 1) -> re.Match:
        """Wait until the pattern is in the log at least `count` times."""
        def found() -> Optional[re.Match]:
            matches = list(re.finditer(pattern, self.log))
            return matches[-1] if len(matches) >= count else None
        try:
            return wait_until(found, f'"{pattern}" in the log')
        except AssertionError as error:
            raise AssertionError(f'{error}:\n{self.log}') from None

    def descriptors(self) -> list[int]:
        """Numbers of the descriptors that it has open."""
        return sorted(map(int, os.listdir(f'/proc/{self.pid}/fd')))

    def processor_ticks(self) -> int:
        """Processor time that it has used."""
        return processor_ticks(self.pid)

    def wait_idle(self) -> None:
        """Wait until it sleeps and is not woken while we look."""
        def switches() -> list[str]:
            status = Path(f'/proc/{self.pid}/status').read_text()
            return re.findall(r'ctxt_switches:\s+(\d+)|State:\s+(\w)', status)

        def idle() -> bool:
            before = switches()
            ticks = self.processor_ticks()
            # Ten looks in a row in which it did nothing at all.
            for _ in range(10):
                os.sched_yield()
                if switches() != before:
                    return False
            return ('', 'S') in before and self.processor_ticks() == ticks
        wait_until(idle, 'the server to be idle')

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(BOUND)

    def finish(self) -> None:
        """End it if it still runs; nothing that came may have broken it."""
        status = self.process.poll()
        running = status is None
        if running:
            status = self.stop()
        self.notify.close()
        assert 'Sanitizer' not in self.log, self.log
        if running:
            assert status == 0, self.log
