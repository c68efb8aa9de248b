# SPDX-License-Identifier: GPL-2.0-only
"""Machines of different kernels and processors on one link: each drives the other.

The oldest kernel, the newest one, and that of another processor; with KERNEL= that one
twice.
"""

import json
import os
from contextlib import ExitStack

import pytest

from lab import VM, ivshmem_doorbell, matrix
from lab.paths import USERSPACE
from lab.testing import build_modules
from tests.blk.guest import NODE, Disk, folder
from tests.net.card import BOUND, Card, meet, together
from tests.vm.guest import attribute, check, node

LINK = {"size": "64M", "vectors": 4, "peers": 4,
        "layout": "net=lan:24M,,blk=disk0:24M:queues=1,,raw=lab:8M"}
TOOL = USERSPACE / "tools/ivshmem/ivshmem"
DISK = 32 << 20


def names():
    """The kernels that meet, as lab/matrix.py names them."""
    chosen = os.environ.get("KERNEL", "")
    return [chosen, chosen] if chosen in matrix.KERNELS else ["6.1", "newest", "6.12-arm64"]


@pytest.fixture(scope="module")
def server(module_servers):
    """The server of them all."""
    return module_servers(**LINK)


@pytest.fixture(scope="module")
def machines(module_vms, server):
    """One of each kernel, with the driver loaded."""
    made = [module_vms(f"k{name}-{number}", kernel=build_modules(name), start=False,
                       devices=[ivshmem_doorbell(server, 4, addr="0x10")])
            for number, name in enumerate(names())]
    module_vms.start(*made)
    together(VM.load_driver, made)
    return made


def others(machines, vm):
    """All but @vm."""
    return [other for other in machines if other is not vm]


def section(machines):
    """Where the part of the memory is that is left to programs; the same for all."""
    said = [vm.run(f"{TOOL} info --json").stdout for vm in machines]
    (offset,) = {found["offset"] for info in said
                 for found in json.loads(info)["region"]["sections"] if found["name"] == "lab"}
    return offset


def test_device(machines):
    """The device files keep their promises of doorbells."""
    together(lambda vm: [check(vm, name, node(vm, "00:10.0"))
                         for name in ("subscribe", "event")], machines)


def test_memory(machines):
    """What one writes, all read."""
    offset = section(machines)
    for vm in machines:
        vm.run(f"{TOOL} poke {offset} 'written by {vm.name}'")
        said = together(lambda other: other.run(f"{TOOL} dump --offset {offset} --length 64 "
                                                "--raw").stdout, machines)
        assert all(text.startswith(f"written by {vm.name}") for text in said), said


def test_doorbells(machines):
    """Each rings each, and is rung back."""
    where = f"--offset {section(machines)} --vector 3"
    for vm in machines:
        listener = vm.spawn(f"exec {TOOL} ping --listen {where}")
        peer = attribute(vm, node(vm, "00:10.0"), "peer_id")
        for other in others(machines, vm):
            # It may not listen yet
            other.wait_for(f"{TOOL} ping {peer} {where} --count 1 --timeout 5", BOUND)
            other.run(f"{TOOL} ping {peer} {where} --count 20 --timeout {BOUND}", 2 * BOUND)
        listener.kill()


def test_network(machines):
    """Each reaches each, with large packets, too."""
    cards = [Card(vm, number) for number, vm in enumerate(machines, 1)]
    together(Card.insert, cards)
    meet(cards)
    for card in cards:
        for other in others(cards, card):
            card.ping(other.address, 3, "-s 8000")


def test_disk(machines, server):
    """What is written to the disk is in its file, and comes back."""
    for vm in machines:
        with folder() as directory, ExitStack() as stack:
            disk = Disk(server, vm, directory, DISK)
            stack.callback(disk.stop)
            disk.load()
            disk.serve(disk.image)
            disk.wait()
            disk.run("head -c 4M /dev/urandom > /run/data && "
                     f"dd if=/run/data of={NODE} bs=64k oflag=direct conv=fsync status=none")
            data = disk.run("sha256sum < /run/data")
            assert disk.run(f"dd if={NODE} bs=1M count=4 iflag=direct status=none | "
                            "sha256sum") == data
            disk.stop()
            disk.unload()
