# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's monitor protocol: commands, their answers, and events."""

import json
import socket
import threading
import time
from typing import Any, Callable

from .log import LabError
from .patience import patient


class QMPError(LabError):
    """QEMU refused a command."""


class Closed(LabError):
    """The other end of the connection is gone."""


class Lines:
    """JSON objects, one a line, over a stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def send(self, message: dict, before: bytes = b"") -> None:
        """Send one object, after some raw bytes."""
        try:
            self.sock.settimeout(30)
            self.sock.sendall(before + json.dumps(message).encode() + b"\n")
        except TimeoutError:
            raise LabError("connection: the other end does not read") from None
        except OSError as error:
            raise Closed("connection closed") from error

    def receive(self, timeout: float) -> bytes | None:
        """The next line, or None after @timeout seconds."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                chunk = self.sock.recv(1 << 16)
            except TimeoutError:
                return None
            except OSError:
                chunk = b""
            if not chunk:
                raise Closed("connection closed")
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line


class QMP:
    """One monitor of one QEMU. Safe to use from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self.lines = Lines(sock)
        self.lock = threading.RLock()
        self.events: list[dict] = []
        self.ready = False

    def _receive(self, timeout: float) -> dict | None:
        """One answer; events are filed. None after @timeout or an event."""
        line = self.lines.receive(timeout)
        if line is None:
            return None
        message = json.loads(line)
        if "event" in message:
            self.events.append(message)
            return None
        return message

    def _answer(self, what: str, timeout: float) -> dict:
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise QMPError(f"{what}: QEMU did not answer in {timeout:g} s")
            message = self._receive(left)
            if message is not None:
                return message

    def negotiate(self, timeout: float = 30) -> None:
        """Take the greeting and enter command mode."""
        with self.lock:
            if not self.ready:
                self._answer("greeting", timeout)
                self.lines.send({"execute": "qmp_capabilities"})
                self._answer("qmp_capabilities", timeout)
                self.ready = True

    def command(self, name: str, arguments: dict[str, Any], timeout: float = 60) -> Any:
        """Execute a command and return what it returns."""
        self.negotiate()
        with self.lock:
            self.lines.send({"execute": name, "arguments": arguments})
            answer = self._answer(name, timeout)
        if "error" in answer:
            raise QMPError(f"{name}: {answer['error']['desc']}")
        return answer["return"]

    def poll_events(self, timeout: float = 0.0) -> None:
        """File the events that have come; wait for one at most @timeout s."""
        self.negotiate()
        with self.lock:
            self._receive(timeout)

    def forget_events(self, name: str) -> None:
        """Drop the events @name that were filed."""
        with self.lock:
            self.events = [event for event in self.events if event["event"] != name]

    def wait_event(self, name: str, timeout: float,
                   match: Callable[[dict], bool] = lambda data: True) -> dict:
        """Take the first event @name whose data @match accepts."""
        deadline = time.monotonic() + patient(timeout)
        while True:
            with self.lock:
                for event in self.events:
                    if event["event"] == name and match(event.get("data", {})):
                        self.events.remove(event)
                        return event
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no event {name} within {timeout:g} s")
            self.poll_events(left)
