# SPDX-License-Identifier: GPL-2.0-only
"""The tool under test as a process.

The program is build/meson/tools/ivshmem/ivshmem; $IVSHMEM names another one,
for example a build with sanitizers.
"""
import json
import os
import pty
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, Sequence

from lab.paths import USERSPACE

# Only a hang takes as long as that.
BOUND = 60


def program() -> Path:
    """The program under test."""
    return Path(os.environ.get('IVSHMEM', USERSPACE / 'tools/ivshmem/ivshmem'))


def run(*arguments: Any, status: int = 0, **options: Any) -> str:
    """Run it to its end; what it printed, or on failure its complaint."""
    options.setdefault('stdin', None if 'input' in options
                       else subprocess.DEVNULL)
    if 'input' in options:
        del options['stdin']
    result = subprocess.run([program(), *map(str, arguments)], check=False,
                            text=True, capture_output=True, timeout=BOUND,
                            **options)
    assert result.returncode == status, (result.stdout, result.stderr)
    assert 'Sanitizer' not in result.stderr, result.stderr
    if status == 0:
        return result.stdout
    assert result.stderr, 'it failed without a word'
    return result.stderr


def run_json(*arguments: Any, **options: Any) -> Any:
    """Run it with --json; what it printed, parsed."""
    return json.loads(run(*arguments, '--json', **options))


class Running:
    """The program while it runs, as on a terminal as far as stderr goes."""

    def __init__(self, *arguments: Any, stdin: Any = subprocess.DEVNULL,
                 prefix: Sequence[Any] = (), **options: Any) -> None:
        self.terminal, far = pty.openpty()
        self.process = subprocess.Popen(
            [*map(str, prefix), program(), *map(str, arguments)], stdin=stdin,
            text=True, stdout=subprocess.PIPE, stderr=far, **options)
        os.close(far)
        self.said = ''
        self._condition = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                text = os.read(self.terminal, 4096).decode()
            except OSError:
                # The last process that had the other end is gone.
                text = ''
            with self._condition:
                self.said += text
                self._condition.notify_all()
            if not text:
                return

    def wait_said(self, text: str) -> 'Running':
        """Wait until this is on stderr."""
        with self._condition:
            assert self._condition.wait_for(
                lambda: text in self.said or not self._reader.is_alive(),
                BOUND), f'waited in vain for "{text}": {self.said}'
            assert text in self.said, self.said
        return self

    def line(self) -> str:
        """The next line of the output; '' at its end."""
        assert self.process.stdout
        return self.process.stdout.readline()

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(number)

    def end(self, status: int = 0) -> str:
        """Wait for the end; what remained of the output."""
        output, _ = self.process.communicate(timeout=BOUND)
        self._reader.join(BOUND)
        assert self.process.returncode == status, (output, self.said)
        assert 'Sanitizer' not in self.said, self.said
        return output

    def remove(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.process.wait()
        self._reader.join(BOUND)
        assert self.process.stdout
        self.process.stdout.close()
        os.close(self.terminal)
