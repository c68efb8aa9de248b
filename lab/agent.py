# SPDX-License-Identifier: GPL-2.0-only
"""Commands inside a guest, through QEMU's own guest agent."""

import base64
import itertools
import json
import socket
import threading
import time
from typing import Any, Callable

from .log import LabError
from .paths import USERSPACE
from .qmp import Lines

ENVIRONMENT = {
    "PATH": f"{USERSPACE}/tools/ivshmem:{USERSPACE}/server:"
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


class AgentError(LabError):
    """The guest agent refused a command or does not answer."""


class Agent:
    """The guest agent of one VM. Safe to use from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self.lines = Lines(sock)
        self.lock = threading.RLock()
        self.numbers = itertools.count(int(time.time()))
        self.in_step = False

    def _synchronise(self, timeout: float) -> None:
        """Forget everything said before, on both sides."""
        number = next(self.numbers)
        # 0xff can start no JSON text: it makes the agent's parser start anew,
        # and it marks the answer among remains of older ones.
        self.lines.send({"execute": "guest-sync-delimited",
                         "arguments": {"id": number}}, before=b"\xff")
        deadline = time.monotonic() + timeout
        while True:
            line = self.lines.receive(max(deadline - time.monotonic(), 0))
            if line is None:
                raise AgentError(f"guest agent: no answer in {timeout:g} s")
            try:
                if json.loads(line.rpartition(b"\xff")[2]) == {"return": number}:
                    break
            except ValueError:
                continue
        self.in_step = True

    def call(self, name: str, timeout: float = 60, **arguments: Any) -> Any:
        """Execute one of the agent's commands."""
        with self.lock:
            if not self.in_step:
                self._synchronise(timeout)
            self.in_step = False
            self.lines.send({"execute": name, "arguments": arguments})
            line = self.lines.receive(timeout)
            if line is None:
                raise AgentError(f"guest agent: {name}: no answer in {timeout:g} s")
            answer = json.loads(line)
            self.in_step = True
        if "error" in answer:
            raise AgentError(f"guest agent: {name}: {answer['error']['desc']}")
        return answer.get("return")

    def send(self, name: str, **arguments: Any) -> None:
        """Execute a command that does not answer, since it ends the guest."""
        with self.lock:
            self._synchronise(60)
            self.in_step = False
            self.lines.send({"execute": name, "arguments": arguments})

    def spawn(self, argv: list[str], env: dict[str, str],
              stdin: bytes = b"") -> int:
        """Start a program as leader of its own session; its process id."""
        whole = dict(ENVIRONMENT, **env)
        arguments: dict[str, Any] = {
            "path": "/usr/bin/setsid",
            "arg": argv,
            "env": [f"{name}={value}" for name, value in whole.items()],
            "capture-output": True,
        }
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin).decode()
        return self.call("guest-exec", **arguments)["pid"]

    def status(self, pid: int) -> dict | None:
        """How the process ended, once; None while it runs."""
        status = self.call("guest-exec-status", pid=pid)
        return status if status["exited"] else None


def poll_until(done: Callable[[], Any], timeout: float | None, what: str,
               error: type[Exception] = TimeoutError, longest: float = 0.1) -> Any:
    """Ask @done again and again until it gives something; its answer.

    The pauses start at 2 ms and grow to @longest.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = 0.002
    while True:
        answer = done()
        if answer:
            return answer
        if deadline is not None and time.monotonic() > deadline:
            raise error(f"{what}: not within {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
