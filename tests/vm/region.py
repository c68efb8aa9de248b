# SPDX-License-Identifier: GPL-2.0-only
"""What tests of formatted regions see of a guest: attributes, functions, nodes."""

import json
import shlex
from pathlib import Path
from typing import Any

from lab import VM

from .guest import CLASS

INSIDE = Path(__file__).with_name("inside.py")


def ask(vm: VM, *words: str) -> Any:
    """What tests/vm/inside.py says in the guest."""
    return json.loads(vm.run(["/usr/bin/python3", str(INSIDE), *map(str, words)]).stdout)


def state(vm: VM, device: str = "ivshmem0") -> str:
    """The attribute "region"."""
    return vm.run(f"cat {CLASS}/{device}/region").stdout.strip()


def wait_state(vm: VM, regex: str, device: str = "ivshmem0") -> str:
    """Wait until the attribute matches; what it says then."""
    return wait_attribute(vm, "region", regex, device)


def wait_attribute(vm: VM, name: str, regex: str, device: str = "ivshmem0") -> str:
    """Wait until an attribute of the device has a line that matches; its text."""
    path = f"{CLASS}/{device}/{name}"
    return vm.wait_for(f"t=$(cat {path}) && grep -E {shlex.quote(regex)} <<<\"$t\" >/dev/null"
                       " && echo \"$t\"").stdout.strip()


def functions(vm: VM) -> list[str]:
    """Names of auxiliary devices."""
    return sorted(vm.run("ls /sys/bus/auxiliary/devices").stdout.split())


def section_nodes(vm: VM) -> list[str]:
    """Nodes of sections."""
    return sorted(vm.run("cd /dev && ls | grep '^ivshmem.*[.]' || :").stdout.split())


def peers(vm: VM, device: str = "ivshmem0") -> dict[int, tuple[str, int, int, str]]:
    """The attribute "peers": slot -> state, epoch, vectors, name."""
    lines = vm.run(f"cat {CLASS}/{device}/peers").stdout.splitlines()
    return {int(slot): (how, int(epoch, 16), int(vectors), name)
            for slot, how, epoch, vectors, name in (line.split(" ", 4) for line in lines)}
