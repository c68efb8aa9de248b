# SPDX-License-Identifier: GPL-2.0-only
"""All that a campaign runs: a server whose manager keeps its descriptors, a back end of
the disk, three machines; and what has to hold of them at any time."""

import os
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Iterable

from lab import BlkServer
from lab.agent import poll_until
from tests.server.manager import Manager

from .attacked import Attacked
from .machine import BOUND, SHARE, VECTORS, Failed, Machine

MACHINES = 3
# Of them use a region that is attacked, if there is one
USERS = 2
# Beside them the back end, and one that comes and goes.
PEERS = MACHINES + 2
LAYOUT = "net=lan:20M,,blk=disk0:24M,,raw=chan:12M"
# So often a machine is started that does not get up in time.
TRIES = 3
# A load runs if it has verified so much more.
MORE = 3


def together(action: Callable[[Machine], Any], machines: Iterable[Machine]) -> list[Any]:
    """action(machine) of each, at the same time."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(action, machines))


class Link:
    """The server, and its manager, who keeps what it is given."""

    def __init__(self) -> None:
        # Short, since the name of a socket may have 107 bytes only
        self.directory = Path(tempfile.mkdtemp(prefix="ivshmem-"))
        self.socket = self.directory / "lab.sock"
        self.address = f"unix:{self.socket}"
        self.manager = Manager(
            self.directory, "--link", f"lab,socket={self.socket},size=64M,peers={PEERS},"
            f"vectors={VECTORS},layout={LAYOUT}")

    @property
    def pid(self) -> int:
        """Of the server."""
        assert self.manager.process
        return self.manager.process.pid

    def close(self) -> None:
        """End the server."""
        self.manager.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Rig:
    """Everything; a context manager. What is left of it is below @directory.

    If @attacked, with a second region for the first two machines and a hostile peer.
    """

    def __init__(self, directory: Path, attacked: bool = False) -> None:
        self.directory = directory
        self.has_attacked = attacked
        self.attacked: Attacked | None = None
        self.stack = ExitStack()
        self.ended: Counter[str] = Counter()
        self.machines: list[Machine] = []
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def start(self) -> None:
        """Start everything, and wait until all loads run; in the main thread."""
        self.link = Link()
        self.stack.callback(self.link.close)
        self.link.manager.start()
        self.image = self._image()
        self.back = BlkServer(self.link, self.image, "--writers=all",  # type: ignore[arg-type]
                              directory=self.directory).start()
        self.stack.callback(self.back.remove)
        if self.has_attacked:
            self.attacked = Attacked(self.directory, self.image.with_name("attacked.img"))
            self.stack.callback(self.attacked.close)
            self.attacked.start()
        self.machines = [Machine(number, MACHINES, self.link.socket, self.directory / "vm",
                                 self.attacked.server.socket if self.attacked and
                                 number <= USERS else None)
                         for number in range(1, MACHINES + 1)]
        self.boot(*self.machines)
        self.wait_running()
        if self.attacked:
            self.attacked.serve(*self.machines[:USERS])

    def _image(self) -> Path:
        """On a file system that is none of memory."""
        folder = Path(tempfile.mkdtemp(prefix="ivs-", dir="/var/tmp"))
        self.stack.callback(shutil.rmtree, folder)
        image = folder / "disk.img"
        image.touch()
        os.truncate(image, MACHINES * SHARE)
        return image

    def boot(self, *machines: Machine) -> None:
        """Boot machines; in the main thread."""
        waiting = list(machines)
        for _ in range(TRIES):
            for machine in waiting:
                machine.power_on()
                self.stack.callback(machine.vm.kill)
            are_up = together(Machine.up, waiting)
            waiting = [machine for machine, up in zip(waiting, are_up) if not up]
            if not waiting:
                together(Machine.begin, machines)
                return
        raise Failed(f"{waiting[0].name}: does not boot\n{waiting[0].evidence()}")

    def start_anew(self) -> None:
        """After a failure: other memory, another disk, new machines."""
        try:
            self.ended = self.totals()
        except Failed:
            # What was wrong has been reported; what had gone before it is not counted.
            pass
        vm = self.directory / "vm"
        self.stack.close()
        number = 1
        while (kept := self.directory / f"failed-{number}").exists():
            number += 1
        if vm.exists():
            vm.rename(kept)
        self.start()

    # What has to hold

    def wait_running(self, machines: list[Machine] | None = None) -> float:
        """Wait until all loads have gone on; the seconds that it took.

        Given @machines, only what is between these has to.
        """
        among = machines or self.machines
        started = time.monotonic()
        before = {machine.name: machine.progress() for machine in among}
        allowed = {f"{kind} messages{machine.number}" for kind in ("net", "channel")
                   for machine in among} | {"disk messages0", "disk acknowledged"}

        def missing() -> list[str]:
            return [f"{machine.name}: {name} {value}" for machine in among
                    for name, value in machine.progress().items()
                    if name in allowed and value < before[machine.name][name] + MORE]

        try:
            poll_until(lambda: not missing(), BOUND, "loads that run")
        except TimeoutError:
            raise Failed("loads that do not run: " + ", ".join(missing()) + "\n"
                         + "\n".join(machine.evidence() for machine in among)
                         + self.host_evidence()) from None
        return time.monotonic() - started

    def judge(self) -> None:
        """Nothing wrong, alarming, or ended that runs."""
        for machine in self.machines:
            machine.judge()
        if not self.back.alive:
            raise Failed(f"the back end has ended\n{self.back.log}")
        if self.attacked:
            self.attacked.judge()

    def host_evidence(self) -> str:
        """What the programs of the host have said last."""
        return "\n".join(["", *self.link.manager.log.splitlines()[-15:],
                          *self.back.log.splitlines()[-15:]])

    def hiccups(self) -> list[str]:
        """What went wrong in boots before any module of ours was there."""
        return [line for machine in self.machines for line in machine.hiccups]

    def totals(self) -> Counter[str]:
        """What was verified so far: messages or blocks, and bytes, of each kind."""
        found = Counter(self.ended)
        for machine in self.machines:
            for name, value in machine.counters().items():
                kind, counter = name.split()
                if counter.startswith(("messages", "bytes")):
                    found[f"{kind} {counter.rstrip('0123456789')}"] += value
        return found
