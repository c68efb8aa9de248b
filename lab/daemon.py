# SPDX-License-Identifier: GPL-2.0-only
"""A program of the host that serves VMs and says when it is ready, as systemd wants it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from .log import LabError


class Daemon:
    """A program that runs until it is told to end; a context manager.

    What it says is in `log_path`, below @directory if that is given.
    """

    def __init__(self, program: Path, arguments: list[str],
                 directory: Path | None = None) -> None:
        # Short, since the name of a socket may have 107 bytes only.
        self._temporary = Path(tempfile.mkdtemp(prefix="ivshmem-"))
        self.program = program
        self.command = [str(program), *arguments]
        self.directory = directory or self._temporary
        self._process: subprocess.Popen | None = None

    def start(self, timeout: float = 30) -> Self:
        """Start it and wait until it says that it is ready."""
        if not self.program.exists():
            raise LabError(f"{self.program}: not built; run 'make userspace'")
        self.directory.mkdir(parents=True, exist_ok=True)
        notify_path = self._temporary / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, \
                open(self.log_path, "ab") as log:
            notify_path.unlink(missing_ok=True)
            notify.bind(str(notify_path))
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command],
                env=dict(os.environ, NOTIFY_SOCKET=str(notify_path)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
            self._await_ready(notify, timeout)
        return self

    def _await_ready(self, notify: socket.socket, timeout: float) -> None:
        assert self._process
        notify.settimeout(0.1)
        for _ in range(int(timeout * 10)):
            try:
                if b"READY=1" in notify.recv(4096).splitlines():
                    return
            except TimeoutError:
                if self._process.poll() is not None:
                    raise LabError(f"{self.program.name}: ended with status "
                                   f"{self._process.returncode}: {self.log}") from None
        raise LabError(f"{self.program.name}: not ready in {timeout:g} s: {self.log}")

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        """The file with all that it said."""
        return self.directory / f"{self.program.name}.log"

    @property
    def log(self) -> str:
        """All that it said."""
        return self.log_path.read_text(errors="replace")

    def stop(self, timeout: float = 30) -> int:
        """End it in order (SIGTERM); its exit status."""
        assert self._process
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def remove(self) -> None:
        """End it and remove its socket's folder."""
        self.kill()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self._process else self.start()

    def __exit__(self, *_: object) -> None:
        self.remove()
