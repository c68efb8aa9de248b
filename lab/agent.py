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
from .patience import patient
from .qmp import Lines

ENVIRONMENT = {
    # First those of the project: links that lab/guest/init has made
    "PATH": "/run/programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


# Seconds of silence after which it is asked whether a request has been lost.
PATIENCE = 3


class AgentError(LabError):
    """The guest agent refused a command or does not answer."""


def _answer_of(line: bytes) -> dict | None:
    """The answer in a line; None for the remains of one."""
    try:
        answer = json.loads(line.rpartition(b"\xff")[2])
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _number(answer: dict) -> int:
    """The number of a mark; 0 for other answers."""
    value = answer.get("return")
    return value if isinstance(value, int) else 0


class Agent:
    """The guest agent of one VM. Safe to use from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self.lines = Lines(sock)
        self.lock = threading.RLock()
        self.numbers = itertools.count(int(time.time()))
        self.in_step = False

    def _send_mark(self) -> int:
        """Ask for a mark in the stream of answers, told apart by its number."""
        number = next(self.numbers)
        # 0xff can start no JSON text: it makes the agent's parser start anew,
        # and it precedes the mark among remains of older answers.
        self.lines.send({"execute": "guest-sync-delimited",
                         "arguments": {"id": number}}, before=b"\xff")
        return number

    def _synchronise(self, timeout: float) -> None:
        """Forget everything said before, on both sides."""
        deadline = time.monotonic() + timeout
        marks = {self._send_mark()}
        # The last one: each that is still on its way has an error before it, about 0xff,
        # which would be taken for the answer to what is asked next.
        while (answer := self._next(deadline, timeout, marks)) is None \
                or _number(answer) != max(marks):
            pass
        self.in_step = True

    def _next(self, deadline: float, timeout: float, marks: set[int]) -> dict | None:
        """The next answer; None for remains, and for another mark sent meanwhile."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise AgentError(f"guest agent: no answer in {timeout:g} s")
        # The longer the more are on their way: an agent that needs more than that for
        # each answer would never come to the last one.
        line = self.lines.receive(min(PATIENCE * len(marks), left))
        if line is None:
            marks.add(self._send_mark())
            return None
        return _answer_of(line)

    def call(self, name: str, timeout: float = 60, **arguments: Any) -> Any:
        """Execute one of the agent's commands."""
        timeout = patient(timeout)
        with self.lock:
            if not self.in_step:
                self._synchronise(timeout)
            self.in_step = False
            answer = self._ask({"execute": name, "arguments": arguments}, timeout)
        if "error" in answer:
            raise AgentError(f"guest agent: {name}: {answer['error']['desc']}")
        return answer.get("return")

    def _ask(self, request: dict, timeout: float) -> dict:
        """Send a request until it is answered.

        A guest that falls asleep loses what it has received and not yet read.
        The agent answers in order: a mark before the answer shows the loss.
        """
        deadline = time.monotonic() + timeout
        marks: set[int] = set()
        outdated: set[int] = set()
        self.lines.send(request)
        while True:
            answer = self._next(deadline, timeout, marks)
            if answer is None or _number(answer) in outdated:
                continue
            if _number(answer) in marks:
                outdated, marks = outdated | marks, set()
                self.lines.send(request)
                continue
            # A mark may still be on its way; the next call then sends its own.
            self.in_step = not marks and not outdated
            return answer

    def spawn(self, argv: list[str], env: dict[str, str],
              stdin: bytes = b"") -> int:
        """Start a program as leader of its own session; its process id."""
        whole = dict(ENVIRONMENT, **env)
        # Static, an emulated processor has it started in no time; but it would run
        # what is of its own by a name alone.
        session = (["/bin/busybox", "setsid"] if argv[0].startswith("/")
                   else ["/usr/bin/setsid"])
        arguments: dict[str, Any] = {
            "path": session[0],
            "arg": [*session[1:], *argv],
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
    deadline = None if timeout is None else time.monotonic() + patient(timeout)
    pause = 0.002
    while True:
        answer = done()
        if answer:
            return answer
        if deadline is not None and time.monotonic() > deadline:
            raise error(f"{what}: not within {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
