# SPDX-License-Identifier: GPL-2.0-only
"""The disks that are measured, and the machine that has them."""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.guest import counter
from lab import VM, BlkServer, Server, ivshmem_doorbell
from lab.paths import BUILD, MODULES

FOLDER = BUILD / "bench/blk"
VECTORS = 2
# Of the section each ring, with its buffers, has 7 MiB.
SIZE, LAYOUT = "64M", "blk=disk:32M"
DISK_MIB = 256
SERIAL = "bench"

OURS, VIRTIO, NVME = "ivshmem", "virtio-blk", "nvme"


@dataclass(frozen=True)
class Disk:
    """A disk of a machine.

    @path is where the machine has it, @kick is what its kernel calls to ring, @pids are
    the processes of the host that work for it.
    """

    way: str
    vm: VM
    path: str
    kick: str | None
    pids: list[int]


def others(file: Path, thread: str) -> list[str]:
    """QEMU's arguments for the disks that are not ours; @thread has virtio's work done by
    an iothread, or is empty."""
    # One file for all: only one of them is in use at a time.
    backing = f"driver=file,filename={file},locking=off"
    return ["-object", "iothread,id=io",
            "-blockdev", f"node-name=one,{backing}",
            "-device", f"virtio-blk-pci,drive=one,{thread}share-rw=on,romfile=",
            "-blockdev", f"node-name=two,{backing}",
            "-device", f"nvme,drive=two,serial={SERIAL},share-rw=on,romfile="]


class Stage:
    """What is behind the disks, and the machines; @cleanup ends all of it."""

    def __init__(self, cleanup: ExitStack) -> None:
        self.cleanup = cleanup
        FOLDER.mkdir(parents=True, exist_ok=True)
        # In memory, so that no other disk is measured
        self.file = Path(cleanup.enter_context(tempfile.TemporaryDirectory(
            prefix="bench-", dir="/dev/shm"))) / "disk"
        with open(self.file, "wb") as file:
            for _ in range(DISK_MIB):
                file.write(os.urandom(1 << 20))
        self.server = cleanup.enter_context(Server(
            name="disk", peers=2, vectors=VECTORS, size=SIZE, layout=LAYOUT,
            directory=FOLDER / "server"))
        self.backend = cleanup.enter_context(BlkServer(
            self.server, self.file, directory=FOLDER / "backend"))

    def disks(self, counted: bool = False) -> list[Disk]:
        """Those of a new machine."""
        directory = FOLDER / "vm"
        # It wants ioeventfds, which a machine that is counted has none of; what the guest
        # executes does not depend on it.
        devices = [ivshmem_doorbell(self.server, VECTORS),
                   others(self.file, "" if counted else "iothread=io,")]
        # Only an emulated machine's instructions can be counted.
        more = {"devices": [*devices, counter(directory)], "mode": "tcg"} if counted else \
            {"devices": devices}
        vm = VM("vm", directory=directory, **more)
        self.cleanup.callback(vm.kill)
        vm.start()
        vm.load_driver()
        vm.run(f"insmod {MODULES / vm.kernel.release / 'drivers/blk/ivshmem_blk.ko'}")
        vm.run("modprobe virtio_blk && modprobe nvme")
        found = [Disk(OURS, vm, "/dev/ivblk0", "ivshmem_function_kick",
                      [vm.pid, self.backend.pid]),
                 Disk(VIRTIO, vm, "/dev/vda", "vp_notify", [vm.pid]),
                 Disk(NVME, vm, "/dev/nvme0n1", None, [vm.pid])]
        for disk in found:
            vm.wait_for(f"test -b {disk.path}")
        return found
