# SPDX-License-Identifier: GPL-2.0-only
"""What a long run looks at every few seconds: memory, descriptors, interrupts, errors."""

import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from lab import LabError, VMDied

from .machine import FUNCTIONS, Machine
from .rig import Rig, together

# Few programs: each costs an emulated machine more than all that it reads. Of the first
# region: errors of one that is attacked are none of ours.
LOOK = f"""
busybox cat /proc/meminfo /proc/interrupts /sys/kernel/debug/ivshmem/ivshmem0/state \\
    /sys/kernel/debug/ivshmem_blk/ivblk0/state
cd {FUNCTIONS}/ivshmem.net.*/net && exec ethtool -S *
"""
MEMORY = ("MemAvailable", "Slab", "SUnreclaim", "VmallocUsed", "Percpu")
# What no honest peer causes, however it dies.
ERRORS = {"net faults": r"^\s+peer\d+_faults: (\d+)",
          "net rx_errors": r"^\s+peer\d+_rx_errors: (\d+)",
          "blk faults": r"^faults (\d+)",
          "core storms": r"^storms: (\d+)"}
COUNTERS = {"rung": r"^rung: (\d+)",
            "throttled": r"^throttled: (\d+)",
            "net dropped": r"^\s+peer\d+_[rt]x_dropped: (\d+)",
            "blk failures": r"^failures (\d+)",
            "blk replays": r"replays (\d+)"}


def _sum(pattern: str, text: str) -> int:
    return sum(map(int, re.findall(pattern, text, re.M)))


def parse(text: str) -> dict[str, int]:
    """The figures of a guest: memory in KiB, counters since its drivers were loaded."""
    found = {name: _sum(rf"^{name}:\s+(\d+)", text) for name in MEMORY}
    for name, pattern in {**ERRORS, **COUNTERS}.items():
        found[name] = _sum(pattern, text)
    lines = re.findall(r"^ *\d+:((?: +\d+)+) .*ivshmem", text, re.M)
    found["interrupts"] = sum(sum(map(int, line.split())) for line in lines)
    return found


def process(pid: int) -> dict[str, int]:
    """Memory, in KiB, and descriptors of a process of the host."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {"VmRSS": _sum(r"^VmRSS:\s+(\d+)", status),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}


class Sampler:
    """Looks at a rig from a thread of its own; a context manager.

    `samples` has of each look the seconds since the beginning, and by name of machine
    or program its figures. A machine that is being treated badly is left out.
    """

    def __init__(self, rig: Rig, interval: float) -> None:
        self.rig = rig
        self.interval = interval
        self.started = time.monotonic()
        self.samples: list[dict[str, Any]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def now(self) -> float:
        """Seconds since the beginning."""
        return round(time.monotonic() - self.started, 1)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            self.samples.append(self.look())
            self._end.wait(self.interval)

    def look(self) -> dict[str, Any]:
        """One sample."""
        sample: dict[str, Any] = {"seconds": self.now()}
        for machine, found in zip(self.rig.machines, together(self._machine,
                                                              self.rig.machines)):
            if found:
                sample[machine.name] = found
        for name, daemon in self._daemons():
            try:
                sample[name] = process(daemon.pid)
            except OSError:
                # It was killed this moment.
                continue
        return sample

    def _daemons(self) -> list[tuple[str, Any]]:
        """Programs of the host by their names in a sample."""
        daemons: list[tuple[str, Any]] = [("server", self.rig.link), ("disk", self.rig.back)]
        if attacked := self.rig.attacked:
            daemons += [("attacked server", attacked.server), ("attacked disk", attacked.back)]
        return daemons

    def _machine(self, machine: Machine) -> dict[str, int]:
        if not machine.lock.acquire(blocking=False):
            return {}
        try:
            return parse(machine.vm.run(LOOK, check=False).stdout)
        except (LabError, VMDied, TimeoutError):
            # The one that treats it badly, or judges it, will say.
            return {}
        finally:
            machine.lock.release()
