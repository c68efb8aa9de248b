# SPDX-License-Identifier: GPL-2.0-only
"""Hibernation: the machine goes on in another QEMU, with what it had in memory.

The server has forgotten it meanwhile, and may give it another id.
"""

import pytest

from lab import ivshmem_doorbell
from tests.region_image import NET, PAGE, Image, Memory, Section

from .guest import Running, judge, node, program
from .peer import Peer
from .region import functions, wait_state

SIZE = 1 << 20
SLOTS = 2
VECTORS = 4
DISK = 512 << 20
IMAGE = "/dev/vda"


class Sleeper:
    """A machine that hibernates to a disk, which outlives each QEMU that it has."""

    def __init__(self, vms, server, disk):
        self.vms = vms
        self.server = server
        self.disk = disk
        with open(disk, "wb") as file:
            file.truncate(DISK)
        self.vm = None

    def start(self):
        """Its first QEMU, with the driver."""
        self.vm = self.machine()
        self.vm.run(f"/bin/busybox mkswap {IMAGE} && /bin/busybox swapon {IMAGE}")
        self.vm.run("echo shutdown > /sys/power/disk; echo 0 > /sys/power/image_size")
        self.vm.load_driver()
        return self.vm

    def machine(self):
        """A QEMU; its kernel has just booted, and finds the disk."""
        # What it needs is in a guest already
        modules = self.vms.kernel.with_dependencies(["virtio_blk"])[-1:]
        vm = self.vms("sleeper", root="memory", append="hibernate=nocompress", devices=[
            *ivshmem_doorbell(self.server, VECTORS, addr="0x10"),
            "-drive", f"file={self.disk},format=raw,if=none,id=disk",
            "-device", "virtio-blk-pci,drive=disk,addr=0x11"],
            programs=[program("asleep"), *modules])
        for module in modules:
            vm.run(f"/bin/busybox insmod {module}")
        vm.wait_for(f"[ -b {IMAGE} ]")
        return vm

    def hibernate(self):
        """Its QEMU ends."""
        self.vm.spawn("echo disk > /sys/power/state")
        self.vm.wait_end(120)

    def resume(self):
        """It runs in another one."""
        self.vm = self.machine()
        self.vm.resume(IMAGE)
        return self.vm


@pytest.fixture
def sleeper(vms, servers, tmp_path):
    """It hibernates where its kernel can."""
    if vms.kernel.config("CONFIG_HIBERNATION") != "y":
        pytest.skip(f"{vms.kernel.release} cannot hibernate: it has no CONFIG_HIBERNATION")
    return Sleeper(vms, servers(size="1M", vectors=VECTORS, peers=8), tmp_path / "disk")


def test_mappings_and_doorbells_return(sleeper):
    """As after any other sleep: memory and mappings stay, each vector counts one."""
    vm = sleeper.start()
    user = Running(vm, "asleep", node(vm, "00:10.0"))
    sleeper.hibernate()
    user.vm = user.process.vm = sleeper.resume()
    judge(user.wait())


def test_slot_follows_the_id(sleeper):
    """From beyond the region into its second slot, and out of it again."""
    image = Image(SIZE, [Section(NET, "lan", 256 << 10)], slots=SLOTS)
    with Peer(sleeper.server.socket) as first, Memory(first.memory) as region:
        region.write(image)
        with Peer(sleeper.server.socket) as second:
            assert (first.id, second.id) == (0, 1)
            vm = sleeper.start()
            wait_state(vm, "^attached .* slot none$")
            assert not functions(vm)
            sleeper.hibernate()
        vm = sleeper.resume()
        wait_state(vm, "^attached .* slot 1$")
        vm.wait_for("[ -e /sys/bus/auxiliary/devices/ivshmem.net.0 ]")
        assert region.word(3 * PAGE)
        sleeper.hibernate()
        with Peer(sleeper.server.socket) as late:
            assert late.id == 1
            vm = sleeper.resume()
            wait_state(vm, "^attached .* slot none$")
            assert not functions(vm)
