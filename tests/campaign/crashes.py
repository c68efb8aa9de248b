# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of crashes: each does one to a rig under load, and what brings it back.

They wait for no condition before they strike, but for a random time: that is the point.
"""

import signal
import time
from dataclasses import dataclass
from random import Random
from typing import Any, Callable

from .machine import INSERT, INSERT_BLK, INSERT_NET, KINDS as LOADS, TAKE_ALL, TAKE_BLK, \
    WAIT_BLK, WAIT_NET, Machine
from .rig import Rig

# A machine's pause is at most so long, and seldom long.
LONGEST_PAUSE = 60


@dataclass(frozen=True)
class Crash:
    """One of a plan: what happens to whom; the seconds before it, and until help comes."""

    kind: str
    victim: int
    delay: float
    gap: float
    pause: int
    loads: tuple[str, ...]

    def machine(self, rig: Rig) -> Machine:
        """The victim."""
        return rig.machines[self.victim]

    def wait(self) -> None:
        """Before anything is started again."""
        time.sleep(self.gap)

    def words(self) -> str:
        """For people."""
        name = "abcdefgh"[self.victim]
        about = {"machine-paused": f"{name} {self.pause} s",
                 "programs-killed": f"{name} {'+'.join(self.loads)}"}
        alone = self.kind in ("server-killed", "server-lost", "disk-killed")
        return f"{self.kind} {about.get(self.kind, '' if alone else name)}".rstrip()


def _machine_killed(rig: Rig, crash: Crash) -> None:
    """kill -9 of a QEMU."""
    crash.machine(rig).kill()
    crash.wait()
    rig.boot(crash.machine(rig))


def _machine_reset(rig: Rig, crash: Crash) -> None:
    """The reset button of a machine."""
    crash.machine(rig).reset()


def _machine_panic(rig: Rig, crash: Crash) -> None:
    """A panic of a machine's kernel, which boots again."""
    crash.machine(rig).panic()


def _machine_paused(rig: Rig, crash: Crash) -> None:
    """A pause of a machine, while the others go on."""
    machine = crash.machine(rig)
    machine.vm.pause()
    machine.wait_paused()
    until = time.monotonic() + crash.pause
    rig.wait_running([other for other in rig.machines if other is not machine])
    time.sleep(max(until - time.monotonic(), 0))
    machine.vm.cont()


def _server_killed(rig: Rig, crash: Crash) -> None:
    """kill -9 of the server, whose next one gets what the manager has kept."""
    rig.link.manager.stop(signal.SIGKILL)
    crash.wait()
    rig.wait_running()
    rig.link.manager.start()


def _server_lost(rig: Rig, crash: Crash) -> None:
    """kill -9 of the server, of which nothing is kept: all begin anew in another memory,
    after they have gone on in the old one."""
    rig.link.manager.stop(signal.SIGKILL)
    rig.link.manager.forget()
    crash.wait()
    rig.link.manager.start()
    rig.wait_running()
    rig.back.kill()
    for machine in rig.machines:
        machine.kill()
    rig.back.start()
    rig.boot(*rig.machines)


def _disk_killed(rig: Rig, crash: Crash) -> None:
    """kill -9 of the disk's back end."""
    rig.back.kill()
    crash.wait()
    rig.back.start()


def _disk_and_machine(rig: Rig, crash: Crash) -> None:
    """kill -9 of a QEMU and of the disk's back end at once."""
    crash.machine(rig).kill()
    rig.back.kill()
    crash.wait()
    rig.back.start()
    rig.boot(crash.machine(rig))


def _server_and_machine(rig: Rig, crash: Crash) -> None:
    """kill -9 of the server, and of a QEMU while there is none."""
    rig.link.manager.stop(signal.SIGKILL)
    crash.machine(rig).kill()
    crash.wait()
    rig.link.manager.start()
    rig.boot(crash.machine(rig))


def _programs_killed(rig: Rig, crash: Crash) -> None:
    """kill -9 of some of a machine's programs, which are started again."""
    machine = crash.machine(rig)
    machine.kill_loads(crash.loads)
    machine.start_loads(crash.loads)


def _net_reloaded(rig: Rig, crash: Crash) -> None:
    """The network driver is taken out of a kernel, and put in again."""
    crash.machine(rig).script("rmmod ivshmem_net || exit", INSERT_NET, WAIT_NET)


def _blk_reloaded(rig: Rig, crash: Crash) -> None:
    """The disk's driver likewise."""
    crash.machine(rig).script(TAKE_BLK, INSERT_BLK, WAIT_BLK)


def _all_reloaded(rig: Rig, crash: Crash) -> None:
    """All three drivers likewise."""
    crash.machine(rig).script(TAKE_ALL, INSERT, INSERT_NET, INSERT_BLK, WAIT_NET, WAIT_BLK)


@dataclass(frozen=True)
class Kind:
    """A kind of crash, and how often it comes in comparison with others."""

    do: Callable[[Rig, Crash], None]
    weight: int


KINDS = {
    "machine-killed": Kind(_machine_killed, 4),
    "machine-reset": Kind(_machine_reset, 4),
    "machine-panic": Kind(_machine_panic, 4),
    "machine-paused": Kind(_machine_paused, 5),
    "server-killed": Kind(_server_killed, 6),
    "server-lost": Kind(_server_lost, 1),
    "server-and-machine": Kind(_server_and_machine, 2),
    "disk-killed": Kind(_disk_killed, 6),
    "disk-and-machine": Kind(_disk_and_machine, 2),
    "programs-killed": Kind(_programs_killed, 6),
    "net-reloaded": Kind(_net_reloaded, 6),
    "blk-reloaded": Kind(_blk_reloaded, 6),
    "all-reloaded": Kind(_all_reloaded, 6),
}


def plan(seed: Any, rounds: int, machines: int, kinds: list[str] | None = None,
         longest_pause: int = LONGEST_PAUSE, haste: float = 1) -> list[Crash]:
    """What a seed stands for: first each kind once, then as they come."""
    chance = Random(seed)
    names = kinds or list(KINDS)
    order = chance.sample(names, len(names))
    weights = [KINDS[name].weight for name in names]
    order += chance.choices(names, weights, k=max(rounds - len(order), 0))
    return [Crash(kind, chance.randrange(machines), chance.uniform(0, 1.5) / haste,
                  chance.uniform(0, 2) / haste, round(longest_pause ** (chance.random() ** 2)),
                  tuple(chance.sample(LOADS, chance.randint(1, len(LOADS)))))
            for kind in order[:rounds]]


def strike(rig: Rig, crash: Crash) -> float:
    """Wait for a random instant, do it, wait until all run again; seconds of the latter."""
    time.sleep(crash.delay)
    KINDS[crash.kind].do(rig, crash)
    return rig.wait_running()
