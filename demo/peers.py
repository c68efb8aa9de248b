# SPDX-License-Identifier: GPL-2.0-only
"""The peers of the demo: a virtual machine, and a process of the host.

Both have the same few abilities, each by a command that a person could type.
"""

import json
import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from typing import Any, Callable

from lab import VM, Server
from lab.agent import poll_until
from lab.paths import USERSPACE

CLI = USERSPACE / "tools/ivshmem/ivshmem"
NODE = "/dev/ivshmem0"

# Bounds for things that take milliseconds, on a machine that is very busy.
PATIENCE = 60
# An answer that takes longer is lost. So long, that none is lost because the
# machine was busy with something else for a moment.
LOST_AFTER = 10
# Many times what a round trip takes.
SLOW_PING = 0.03

TO_VFIO = """\
set -e
device=/sys/bus/pci/devices/{address}
modprobe vfio-pci
echo vfio-pci >$device/driver_override
echo {address} >$device/driver/unbind
echo {address} >/sys/bus/pci/drivers_probe
"""


TO_DRIVER = """\
set -e
device=/sys/bus/pci/devices/{address}
[ ! -e /sys/bus/pci/drivers/ivshmem/{address} ] || exit 0
echo >$device/driver_override
echo {address} >$device/driver/unbind
echo {address} >/sys/bus/pci/drivers_probe
"""


class DemoError(Exception):
    """Something did not happen as it should; the message says what."""


def parse(peer: "Peer", command: str, text: str, complaint: str) -> dict[str, Any]:
    """What a command printed as JSON; DemoError with its complaint otherwise."""
    try:
        return json.loads(text)
    except ValueError:
        raise DemoError(f"{peer.name}: {command}: {complaint.strip() or 'no result'}") \
            from None


class Output:
    """What a process of the host says, as it says it."""

    def __init__(self, descriptor: int, speaker: str) -> None:
        self.descriptor = descriptor
        self.speaker = speaker
        self._said = b""

    def skip_past(self, wanted: str) -> None:
        """Wait until @wanted is said."""
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self.descriptor, selectors.EVENT_READ)
            while wanted.encode() not in self._said:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise DemoError(f"{self.speaker}: no {wanted!r} within {PATIENCE} s")
                chunk = os.read(self.descriptor, 4096)
                if not chunk:
                    raise DemoError(f"{self.speaker}: ended: {self._said.decode()}")
                self._said += chunk
        self._said = self._said.partition(wanted.encode())[2]


class Listener:
    """A program that answers pings, until it is stopped."""

    def __init__(self, peer: "Peer", command: list[str],
                 stop: Callable[[], tuple[str, str]]) -> None:
        self.peer = peer
        self.command = shlex.join(command)
        self._stop = stop

    def stop(self) -> dict[str, Any]:
        """End it; what it says about itself."""
        out, err = self._stop()
        return parse(self.peer, self.command, out, err)


class Peer:
    """Somebody who shares the memory."""

    name: str
    device: str
    peer_id: int

    def run(self, command: str | list[str]) -> str:
        """Run a command (a string goes through bash); its output."""
        raise NotImplementedError

    def tool(self, subcommand: str, *arguments: str | int) -> list[str]:
        """A command of the command line tool, on this peer's device."""
        return [str(CLI), subcommand, self.device, *map(str, arguments)]

    def write(self, offset: int, text: str) -> None:
        """Write a text into the memory."""
        self.run(self.tool("poke", offset, text))

    def ring(self, other: "Peer", vector: int) -> None:
        """Ring another's doorbell."""
        self.run(self.tool("ring", other.peer_id, vector))

    def read(self, offset: int, length: int) -> str:
        """What is written in the memory."""
        shown = self.run(self.tool("dump", "--offset", offset, "--length", length, "--json"))
        return bytes.fromhex(json.loads(shown)["hex"]).decode(errors="replace")

    def attend(self, vectors: list[int]) -> None:
        """Begin to wait for a doorbell on each of @vectors: from now on none is missed."""
        raise NotImplementedError

    def await_ring(self, vector: int) -> None:
        """Return once the doorbell of a vector that attend() was told of has rung."""
        raise NotImplementedError

    def leave(self) -> None:
        """End what attend() began."""
        raise NotImplementedError

    def listen(self, way: str) -> Listener:
        """Answer pings."""
        raise NotImplementedError

    def check_alive(self) -> None:
        """DemoError if nobody can answer pings any more; costs the peer nothing."""
        raise NotImplementedError


class Guest(Peer):
    """A virtual machine, with the driver or without."""

    def __init__(self, vm: VM) -> None:
        self.vm = vm
        self.name = vm.name
        self.device = NODE
        self.address = ""
        self.peer_id = -1

    def load_driver(self) -> str:
        """Load the module, which binds the device; what it is then."""
        self.vm.load_driver()
        about = json.loads(self.run(self.tool("info", "--json")))
        self.peer_id = about["peer_id"]
        self.address = self.run(["/usr/bin/readlink",
                                 "/sys/class/ivshmem/ivshmem0/device"]).strip()[-12:]
        return (f"peer {self.peer_id}, {self.device}, "
                f"{about['memory_size'] >> 20} MiB, {about['vectors']} vectors")

    def drive_from_user_space(self) -> None:
        """Take the device from the driver and hand it to VFIO."""
        self.run(TO_VFIO.format(address=self.address))

    def drive_from_kernel(self) -> None:
        """Give the device back to the driver, if it does not have it."""
        self.run(TO_DRIVER.format(address=self.address))

    def run(self, command: str | list[str]) -> str:
        return self.vm.run(command, PATIENCE).stdout

    def attend(self, vectors: list[int]) -> None:
        self._waiters = {vector: self.vm.spawn(self.tool("wait", "--vector", vector,
                                                         "--timeout", PATIENCE))
                         for vector in vectors}
        # A process is told of every doorbell once it has opened the device.
        look = ["/bin/ls", "-l", *(f"/proc/{waiter.pid}/fd"
                                   for waiter in self._waiters.values())]

        def all_have_opened() -> bool:
            for waiter in self._waiters.values():
                if waiter.poll() is not None:
                    raise DemoError(f"{self.name}: {waiter.command}: ended early: "
                                    f"{waiter.stdout}{waiter.stderr}")
            shown = self.vm.run(look, PATIENCE, check=False).stdout
            return shown.count(f" -> {self.device}\n") == len(self._waiters)
        poll_until(all_have_opened, PATIENCE, f"{self.name}: waiting for doorbells")

    def await_ring(self, vector: int) -> None:
        result = self._waiters[vector].wait(2 * PATIENCE)
        if result.returncode:
            raise DemoError(f"{self.name}: {result.command}: "
                            f"{result.stdout}{result.stderr}")

    def leave(self) -> None:
        for waiter in self._waiters.values():
            waiter.kill()

    def _ping_tool(self, way: str, *arguments: str | int) -> list[str]:
        device = f"vfio:{self.address}" if way == "vfio" else self.device
        poll = ["--poll"] if way == "polling" else []
        return [str(CLI), "ping", device, *map(str, arguments), "--json", *poll]

    def listen(self, way: str) -> Listener:
        command = self._ping_tool(way, "--listen")
        listener = self.vm.spawn(command)

        def stop() -> tuple[str, str]:
            listener.kill("INT")
            result = listener.wait(PATIENCE)
            return result.stdout, result.stderr
        return Listener(self, command, stop)

    def ping(self, way: str, other: Peer, count: int) -> dict[str, Any]:
        """Measure round trips to a peer that listens."""
        command = self._ping_tool(way, other.peer_id, "--count", count,
                                  "--timeout", LOST_AFTER)
        pinger = self.vm.spawn(command)

        def ended() -> bool:
            other.check_alive()
            return pinger.poll() is not None
        # Every look at the pinger is work for its guest.
        poll_until(ended, PATIENCE + count * SLOW_PING,
                   f"{self.name}: {pinger.command}", longest=0.25)
        return parse(self, pinger.command, pinger.stdout, pinger.stderr)

    def check_alive(self) -> None:
        if not self.vm.alive:
            raise DemoError(f"{self.name}: the virtual machine has ended\n"
                            + self.vm.evidence())


class Host(Peer):
    """A process of the host: a peer through the server's socket."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = "host"
        self.device = server.address
        self.peer_id = -1
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def run(self, command: str | list[str]) -> str:
        argv = ["/bin/bash", "-c", command] if isinstance(command, str) else command
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise DemoError(f"{self.name}: {shlex.join(argv)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _spawn(self, command: list[str], stderr: int) -> subprocess.Popen:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=stderr, start_new_session=True)
        self._processes.append(process)
        return process

    def _join(self, process: subprocess.Popen) -> None:
        """Learn from the server's log which peer the process is."""
        def joined() -> re.Match | None:
            if process.poll() is not None:
                raise DemoError(f"{self.name}: {shlex.join(process.args)}: ended with "
                                f"status {process.returncode}")
            return re.search(rf"slot (\d+): pid {process.pid} .*joined", self.server.log)
        self.peer_id = int(poll_until(joined, PATIENCE, f"{self.name}: joining")[1])

    def attend(self, vectors: list[int]) -> None:
        # On a terminal the tool says when it waits.
        terminal, far = os.openpty()
        try:
            chosen = [word for vector in vectors for word in ("--vector", vector)]
            self._waiter = self._spawn(
                self.tool("wait", *chosen, "--count", 0, "--json"), far)
            os.close(far)
            self._join(self._waiter)
            Output(terminal, self.name).skip_past("waiting on")
        finally:
            os.close(terminal)
        assert self._waiter.stdout
        self._doorbells = Output(self._waiter.stdout.fileno(), self.name)

    def await_ring(self, vector: int) -> None:
        self._doorbells.skip_past(f'"vector": {vector},')

    def leave(self) -> None:
        self._waiter.send_signal(signal.SIGINT)
        self._waiter.communicate(timeout=PATIENCE)

    def listen(self, way: str) -> Listener:
        poll = ["--poll"] if way == "polling" else []
        command = self.tool("ping", "--listen", "--json", *poll)
        process = self._listener = self._spawn(command, subprocess.PIPE)
        self._join(process)

        def stop() -> tuple[str, str]:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
            return out.decode(), err.decode()
        return Listener(self, command, stop)

    def check_alive(self) -> None:
        if self._listener.poll() is not None:
            raise DemoError(f"{self.name}: {shlex.join(self._listener.args)}: ended with "
                            f"status {self._listener.returncode}")
