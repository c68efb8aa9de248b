# SPDX-License-Identifier: GPL-2.0-only
"""The back end in a machine of its own, beside the one that has the disk."""

import os
import random

import pytest

from lab import ivshmem_doorbell
from lab.agent import poll_until
from lab.server import BLK_PROGRAM

from .guest import NODE, module
from .test_power_cut import BOUND, DISK, MOUNTED, RECORDS, Machine

VECTORS = 2
CUTS = 10
GIVE = "echo disk >/sys/class/ivshmem/ivshmem0/programs"


class BackMachine:
    """A machine whose disk has a file, which its back end exports: its lives."""

    def __init__(self, vms, devices):
        self.vms = vms
        self.devices = devices
        self.boot("mkfs.ext4 -q /dev/vda")
        self.vm.run(f"truncate --size {DISK} {MOUNTED}/image")
        self.serve()

    def boot(self, *first):
        """A new life."""
        self.vm = self.vms("b", devices=self.devices)
        self.vm.load_driver()
        self.vm.run(" && ".join([GIVE, "modprobe virtio_blk", *first, f"mkdir -p {MOUNTED}",
                                 f"mount /dev/vda {MOUNTED}"]))

    def serve(self):
        """Start the back end."""
        self.back = self.vm.spawn([str(BLK_PROGRAM), "/dev/ivshmem0", f"{MOUNTED}/image"])

    def cut(self):
        """The power fails, and returns."""
        self.vm.kill()
        self.boot()
        self.serve()


@pytest.fixture(name="link")
def _link(servers):
    server = servers(peers=3, vectors=VECTORS, size="64M", layout="blk=disk:48M")
    return ivshmem_doorbell(server, VECTORS)


def test_section_is_a_drivers_unless_given(link, vms):
    """The program says what to do; what was given can be taken back."""
    vm = vms("b", devices=[link])
    vm.load_driver()
    vm.run("truncate --size 1M /run/image")
    serve = f"timeout 60 {BLK_PROGRAM} /dev/ivshmem0 /run/image"
    refused = vm.run(serve, check=False)
    assert refused.returncode == 1
    assert 'section disk is a driver\'s; give it to programs by the attribute "programs"' \
        in refused.stderr
    functions = "ls /sys/bus/auxiliary/devices"
    assert vm.run(functions).stdout == "ivshmem.blk.0\n"
    vm.run(f"{GIVE} && test -c /dev/ivshmem0.disk")
    assert vm.run(functions).stdout == ""
    assert vm.run("cat /sys/class/ivshmem/ivshmem0/programs").stdout == "disk\n"
    vm.run("echo >/sys/class/ivshmem/ivshmem0/programs")
    assert "ivshmem.blk" in vm.run(functions).stdout
    assert vm.run("test -e /dev/ivshmem0.disk", check=False).returncode
    long = vm.run("printf %2000s x | tr ' ' y >/sys/class/ivshmem/ivshmem0/programs",
                  check=False)
    assert "Argument list too long" in long.stderr


def test_disk_of_another_machine(link, vms, tmp_path):
    """Its data is in a file there; a back end that is killed and returns is the same."""
    store = tmp_path / "store"
    store.touch()
    os.truncate(store, 4 * DISK)
    back = BackMachine(vms, [link, ["-drive", f"if=virtio,format=raw,file={store}"]])
    vm = vms("a", devices=[link])
    vm.load_driver()
    vm.run(f"insmod {module(vm)}")
    vm.wait_for(f"test -b {NODE}")
    vm.run(f"dd if=/dev/urandom of={NODE} bs=1M count=8 oflag=direct conv=fsync")
    wanted = vm.run(f"dd if={NODE} bs=1M count=8 iflag=direct | sha256sum").stdout
    back.vm.run("pkill -KILL ivshmem-blk-ser")
    back.serve()
    assert vm.run(f"dd if={NODE} bs=1M count=8 iflag=direct | sha256sum").stdout == wanted
    assert back.vm.run(f"head -c 8M {MOUNTED}/image | sha256sum").stdout == wanted
    back.back.kill()
    said = back.back.wait(BOUND).stderr
    assert "the shared memory cannot be pinned" in said


def test_nothing_acknowledged_is_lost_with_the_back_ends_machine(link, vms, tmp_path):
    """Its page cache is gone: what was flushed is there, and who had not is told.

    A program that was told of an error starts again after a repair; what it was told to
    be on the disk before that has to be there.
    """
    store = tmp_path / "store"
    store.touch()
    os.truncate(store, 4 * DISK)
    back = BackMachine(vms, [link, ["-drive", f"if=virtio,format=raw,file={store}"]])
    machine = Machine(vms, [link])
    machine.vm.run(f"mkfs.ext4 -q {NODE}")
    machine.write(1)
    for _ in range(CUTS):
        machine.wait(random.randint(1, RECORDS))
        back.cut()
        wanted = machine.told + 3
        poll_until(lambda: machine.told >= wanted or machine.writer.poll() is not None,
                   BOUND, "what becomes of the program")
        if machine.writer.poll() is None:
            continue
        # On a slow machine the driver may have ended its wait, and the program with it.
        machine.vm.wait_for(f"dd if={NODE} of=/dev/null bs=4k count=1 iflag=direct", BOUND)
        # The file system has ended its journal, and says so until it is repaired.
        machine.vm.run(f"umount {MOUNTED} && (fsck.ext4 -p {NODE} || [ $? = 1 ])")
        machine.check()
        machine.write(1)
    machine.stop()
    machine.check()
    assert "back end has lost what it had not flushed" in machine.vm.run("dmesg").stdout
