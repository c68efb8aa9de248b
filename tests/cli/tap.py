# SPDX-License-Identifier: GPL-2.0-only
"""A host of a segment: `ivshmem tap` in a network namespace of its own."""
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Sequence

from lab.namespace import Namespace, inside
from tests.server.waiting import wait_until

from .program import BOUND, Running

# Under emulation, with other tests beside it, answers take their time.
PATIENCE = '30'


class Host:
    """The n-th one; a context manager.

    @up: configure the interface; @own: give it an address that tells the number.
    """

    def __init__(self, link: str, number: int, *options: Any, up: bool = True,
                 own: bool = True, prefix: Sequence[Any] = (), mtu: int = 1500,
                 namespace: Namespace | None = None, **popen: Any) -> None:
        self.link = link
        self.number = number
        self.mac = f'02:00:00:00:00:{number:02x}'
        self.address = f'10.77.0.{number}'
        self.address6 = f'fd77::{number}'
        self._own = namespace is None
        self.namespace = namespace or Namespace()
        arguments = ['tap', link, '--tap', 'tap0', '--name', f'host{number}', '--json',
                     *options]
        if own:
            arguments += ['--address', self.mac]
        self.running = Running(*arguments, prefix=inside(self.namespace.fd, *prefix),
                               pass_fds=[self.namespace.fd], **popen)
        line = self.running.line()
        assert line, self.running.said
        self.begun = json.loads(line)
        self.slot = self.begun['slot']
        if up:
            self.bring_up(mtu)

    def bring_up(self, mtu: int = 1500) -> None:
        """Configure the interface."""
        self.run('ip', 'link', 'set', 'tap0', 'mtu', mtu, 'up')
        self.run('ip', 'address', 'add', f'{self.address}/24', 'dev', 'tap0')
        self.run('ip', 'address', 'add', f'{self.address6}/64', 'dev', 'tap0', 'nodad')

    def run(self, *command: Any, **options: Any) -> str:
        """Run a program there; what it printed."""
        return self.namespace.run(*command, timeout=2 * BOUND, **options)

    def show(self) -> dict[str, Any]:
        """What `ip` says of the interface."""
        return json.loads(self.run('ip', '-json', '-statistics', 'link', 'show',
                                   'tap0'))[0]

    def wait_carrier(self, there: bool = True) -> 'Host':
        """Wait until the cable is plugged in, or pulled out."""
        wait_until(lambda: ('LOWER_UP' in self.show()['flags']) == there,
                   f'the carrier to be {there}: {self.running.said}', BOUND)
        return self

    def report(self) -> dict[str, Any]:
        """The counters now."""
        # The number of SIGUSR1, for a process that may be below a tracer
        subprocess.run(['kill', '-USR1', str(self.pid)], check=True)
        return json.loads(self.running.line())

    @property
    def pid(self) -> int:
        """The program, which is below whatever started it."""
        pid = self.running.process.pid
        while True:
            below = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
            if not below:
                return pid
            pid = int(below[0])

    def peer(self, slot: int, report: dict[str, Any] | None = None) -> dict[str, Any]:
        """The counters of one peer."""
        return next(p for p in (report or self.report())['peers'] if p['slot'] == slot)

    def wait_peer(self, slot: int, **wanted: Any) -> dict[str, Any]:
        """Wait until what is said of a peer is so, or a counter is that large."""
        def fits() -> dict[str, Any] | None:
            found = [p for p in self.report()['peers'] if p['slot'] == slot]
            for peer in found:
                if all(peer[k] >= v if isinstance(v, int) else peer[k] == v
                       for k, v in wanted.items()):
                    return peer
            return None
        return wait_until(fits, f'peer {slot} to have {wanted}', BOUND) or {}

    def ping(self, other: 'Host', *options: Any, count: int = 3) -> None:
        """Ping another host; at least one answer has to come."""
        self.run('busybox', 'ping', '-c', count, '-i', '0.1', '-W', PATIENCE, *options,
                 other.address)

    def ping6(self, other: 'Host', *options: Any) -> None:
        """The same by IPv6."""
        self.run('busybox', 'ping', '-6', '-c', 3, '-i', '0.1', '-W', PATIENCE, *options,
                 other.address6)

    def end(self) -> dict[str, Any]:
        """End it in order; the counters in the end."""
        self.running.process.terminate()
        return json.loads(self.running.end().splitlines()[-1])

    def kill(self) -> None:
        """End it as a crash does; whatever started it ends with it."""
        os.kill(self.pid, signal.SIGKILL)
        self.running.process.wait(BOUND)

    def close(self) -> None:
        """End it, if it still runs."""
        if self.running.process.poll() is None:
            self.kill()
        self.running.remove()
        if self._own:
            self.namespace.close()

    def __enter__(self) -> 'Host':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
