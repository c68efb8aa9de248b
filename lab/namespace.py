# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces that nothing of the host's network sees.

No name, file or process keeps them alive, only descriptors do: nothing is left
behind, however their users end.
"""

import ctypes
import os
import socket
import subprocess
import threading
from typing import Any, Callable

from .log import LabError

CLONE_NEWNET = 0x40000000


def in_thread(work: Callable[[], None]) -> None:
    """Run @work in a thread that ends with it; raise here what it raises."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        # Whatever it is, it is raised again where somebody waits for it.
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def enter_new() -> int:
    """Put this thread into a new namespace; a descriptor of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise LabError("network: no network namespace can be made: "
                       + os.strerror(ctypes.get_errno()))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def enter(namespace: int) -> None:
    """Put this thread into a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise LabError("network: the namespace cannot be entered: "
                       + os.strerror(ctypes.get_errno()))


def inside(namespace: int, *command: Any) -> list[str]:
    """The command that runs @command there; it has to inherit the descriptor."""
    return ["nsenter", f"--net=/proc/self/fd/{namespace}", *map(str, command)]


class Namespace:
    """A namespace with nothing but a loopback device; a context manager."""

    def __init__(self) -> None:
        self.fd = -1
        in_thread(self._make)
        self.run("ip", "link", "set", "lo", "up")

    def _make(self) -> None:
        self.fd = enter_new()

    def run(self, *command: Any, **options: Any) -> str:
        """Run a program of the host there; what it printed."""
        options.setdefault("check", True)
        return subprocess.run(inside(self.fd, *command), pass_fds=[self.fd], text=True,
                              stdout=subprocess.PIPE, **options).stdout

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this process in it."""
        made: list[socket.socket] = []

        def make() -> None:
            enter(self.fd)
            made.append(socket.socket(family, kind, protocol))

        in_thread(make)
        return made[0]

    def close(self) -> None:
        """Let go of it; it is gone once no process is in it either."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def __enter__(self) -> "Namespace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
