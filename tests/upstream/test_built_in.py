# SPDX-License-Identifier: GPL-2.0-only
"""A kernel with the drivers built in, in a guest: they work, and no module is loaded."""

import json

import pytest

from lab import ivshmem_doorbell
from lab.debian import locked
from lab.paths import USERSPACE
from tests.vm.guest import attribute, check, node
from upstream import guest

TOOL = USERSPACE / "tools/ivshmem/ivshmem"


@pytest.fixture(name="kernel", scope="module")
def fixture_kernel():
    """The kernel, linked."""
    with locked("upstream"):
        return guest.build()


def section(vm):
    """Where the part of the memory is that is left to programs."""
    (offset,) = {found["offset"] for found in
                 json.loads(vm.run(f"{TOOL} info --json").stdout)["region"]["sections"]
                 if found["name"] == "lab"}
    return offset


def test_drivers_work_built_in(kernel, vms, servers):
    """The device's files keep their promises, the region is joined, the card is there."""
    server = servers(size="64M", vectors=4, peers=4,
                     layout="net=lan:24M,,blk=disk0:24M:queues=1,,raw=lab:8M")
    one, other = (vms(f"built-in-{number}", kernel=kernel,
                      devices=[ivshmem_doorbell(server, 4, addr="0x10")]) for number in (1, 2))
    assert one.run("uname -r").stdout.strip() == kernel.release
    assert not one.run("cat /proc/modules").stdout
    device = node(one, "00:10.0")
    for name in ("subscribe", "event"):
        check(one, name, device)
    where = f"--offset {section(one)} --vector 3"
    listener = other.spawn(f"exec {TOOL} ping --listen {where}")
    peer = attribute(other, node(other, "00:10.0"), "peer_id")
    one.wait_for(f"{TOOL} ping {peer} {where} --count 20 --timeout 30", 120)
    listener.kill()
    assert "ivshmem.net.0" in one.run("ls /sys/bus/auxiliary/drivers/ivshmem_net*").stdout
    assert "ivshmem.blk.0" in one.run("ls /sys/bus/auxiliary/drivers/ivshmem_blk*").stdout
    card = one.run("ls /sys/bus/auxiliary/devices/ivshmem.net.0/net").stdout.strip()
    there = other.run("ls /sys/bus/auxiliary/devices/ivshmem.net.0/net").stdout.strip()
    one.run(f"ip address add 10.0.0.1/24 dev {card} && ip link set {card} up")
    other.run(f"ip address add 10.0.0.2/24 dev {there} && ip link set {there} up")
    one.wait_for("ping -c 1 -W 5 10.0.0.2", 120)
