# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's own ivshmem-server and ivshmem-client, built from its unmodified sources."""

import os
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Self

from lab import source
from lab.agent import poll_until
from lab.debian import locked
from lab.paths import BUILD

SHIM = Path(__file__).with_name("qemu.h")
BOUND = 60


def build(name: str) -> Path:
    """The program, built on the first call."""
    tree = source.qemu()
    folder = tree / "contrib" / name
    program = BUILD / "reference" / name
    with locked(f"build-{name}"):
        newest = max(path.stat().st_mtime for path in (SHIM, *folder.iterdir()))
        if not program.exists() or program.stat().st_mtime < newest:
            program.parent.mkdir(exist_ok=True)
            subprocess.run(["cc", "-g", "-O1", "-D_GNU_SOURCE", "-include", SHIM,
                            f"-I{tree}/include", "-o", program,
                            *sorted(folder.glob("*.c"))], check=True)
    return program


class Program:
    """One of them while it runs; a context manager."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.said = ""
        # It flushes what it says only now and then
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["stdbuf", "-o0", build(name), *arguments], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        while text := os.read(self.process.stdout.fileno(), 4096):
            self.said += text.decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(BOUND)
        self.reader.join(BOUND)
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()

    def wait_said(self, text: str) -> None:
        """Wait until it has said something."""
        poll_until(lambda: text in self.said or self.process.poll() is not None, BOUND, text)
        assert text in self.said, self.said

    def end(self) -> int:
        """End it in order; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(BOUND)


class ReferenceServer(Program):
    """ivshmem-server with a link."""

    def __init__(self, size: str = "4194304", vectors: int = 2) -> None:
        # Short, since the name of a socket may have 107 bytes only
        self.folder = Path(tempfile.mkdtemp(prefix="ivs-", dir="/tmp"))
        self.socket = self.folder / "lab.sock"
        self.memory = f"ivshmem-test-{os.getpid()}-{self.folder.name}"
        super().__init__("ivshmem-server", "-v", "-F", "-S", str(self.socket), "-M", self.memory,
                         "-l", size, "-n", str(vectors))
        try:
            self.wait_said("create & bind socket")
            poll_until(self.socket.exists, BOUND, str(self.socket))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.socket.unlink(missing_ok=True)
        self.folder.rmdir()
        Path("/dev/shm", self.memory).unlink(missing_ok=True)

    @property
    def address(self) -> str:
        """The link as the library and the tools take it."""
        return f"unix:{self.socket}"


class ReferenceClient(Program):
    """ivshmem-client on a link."""

    def __init__(self, socket: Path) -> None:
        super().__init__("ivshmem-client", "-v", "-S", str(socket))

    def command(self, line: str) -> None:
        """Give it one of its commands."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
