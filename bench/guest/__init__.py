# SPDX-License-Identifier: GPL-2.0-only
"""What is counted of virtual machines while they are measured."""

import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from lab import VM
from lab.paths import USERSPACE

PLUGIN = USERSPACE / "bench/guest/guest_instructions.so"
TRACING = "/sys/kernel/tracing"


def cpu_seconds(pids: list[int]) -> float:
    """What the host's processors have done for processes."""
    found = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found += int(fields[11]) + int(fields[12])
    return found / os.sysconf("SC_CLK_TCK")


def interrupts(vm: VM) -> int:
    """All that devices have sent to a machine."""
    lines = vm.run("grep MSI /proc/interrupts").stdout.splitlines()
    return sum(int(word) for line in lines for word in line.split()[1:] if word.isdigit())


def counts(vm: VM) -> Path:
    """Where a machine's executed instructions are shown, if they are counted."""
    return vm.directory / "instructions"


def counter(directory: Path) -> list[str]:
    """QEMU's arguments that have them counted."""
    # QEMU 7.2 loses descriptors of these each time that a machine is stopped.
    return ["-plugin", f"{PLUGIN},count={directory / 'instructions'}",
            "-global", "virtio-pci.ioeventfd=off"]


def instructions(vm: VM) -> int:
    """All that a machine has executed."""
    # Whoever is stopped is idle, and shows how many there are.
    vm.pause()
    try:
        return struct.unpack("Q", counts(vm).read_bytes())[0]
    finally:
        vm.cont()


@contextmanager
def probed(vms: list[VM], function: str) -> Iterator[Callable[[VM], int]]:
    """Count in machines how often the kernel calls one of its functions."""
    def hits(vm: VM) -> int:
        words = vm.run(f"cat {TRACING}/kprobe_profile").stdout.split()
        return int(words[words.index(function) + 1])

    for vm in vms:
        vm.run(f"echo p:bench/{function} {function} >>{TRACING}/kprobe_events && "
               f"echo 1 >{TRACING}/events/bench/enable")
    yield hits
    for vm in vms:
        vm.run(f"echo 0 >{TRACING}/events/bench/enable && "
               f"echo -:bench/{function} >>{TRACING}/kprobe_events")
