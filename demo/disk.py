# SPDX-License-Identifier: GPL-2.0-only
"""The disk of the demo: a file of the host, which comes through shared memory."""

import json
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

from lab import VM, BlkServer, Server, ivshmem_doorbell
from lab.paths import MODULES

from .peers import DemoError

IDENT = "disk"
VECTORS = 2
LAYOUT = "blk=disk:32M"
SIZE = "64M"
DISK = 128 << 20

PATHS = {"": "/dev/ivblk0", "virtio_": "/dev/vda"}
ROUNDS = 3
SECONDS = 2
BOUND = 120

# What was written is read from the disk again, not from the cache.
USE = """
set -e
mkfs.ext4 -q {path}
mkdir -p /run/disk
mount {path} /run/disk
head -c 16M /dev/urandom >/run/disk/data
written=$(sha256sum </run/disk/data)
umount /run/disk
mount {path} /run/disk
read=$(sha256sum </run/disk/data)
umount /run/disk
echo "$written / $read"
"""


class Disk:
    """A file, its back end and its link; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "disk"
        self._cleanup = ExitStack()

    def __enter__(self) -> "Disk":
        with self._cleanup as cleanup:
            self.folder.mkdir(parents=True, exist_ok=True)
            # In memory, so that it is not the host's disk that is measured
            self.file = Path(cleanup.enter_context(tempfile.TemporaryDirectory(
                prefix="demo-", dir="/dev/shm"))) / "disk"
            self.file.touch()
            os.truncate(self.file, DISK)
            self.link = cleanup.enter_context(Server(
                name=IDENT, size=SIZE, peers=2, vectors=VECTORS, layout=LAYOUT,
                directory=self.folder))
            cleanup.enter_context(BlkServer(self.link, self.file, directory=self.folder))
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def devices(self) -> list[list[str]]:
        """Those of a machine: ours, and virtio-blk on the same file, never at once."""
        return [ivshmem_doorbell(self.link, VECTORS, id=IDENT),
                ["-object", "iothread,id=io", "-blockdev",
                 f"driver=file,node-name=file,filename={self.file},locking=off",
                 "-device", "virtio-blk-pci,drive=file,iothread=io,share-rw=on,romfile="]]


def bring_up(vm: VM) -> None:
    """Load the drivers, wait for the disks."""
    vm.run(f"insmod {MODULES / vm.kernel.release / 'drivers/blk/ivshmem_blk.ko'} && "
           "modprobe virtio_blk")
    for path in PATHS.values():
        vm.wait_for(f"test -b {path}")


def use(vm: VM) -> str:
    """Make a file system, write to it and read that again; its checksum."""
    said = vm.run(USE.format(path=PATHS[""]), timeout=BOUND).stdout
    written, read = (word.split()[0] for word in said.split(" / "))
    if written != read:
        raise DemoError(f"{vm.name}: {PATHS['']}: {written} was written, {read} was read")
    return written


def read(vm: VM, path: str) -> float:
    """Requests of 4 KiB a second, one at a time, anywhere on a disk."""
    said = vm.run(f"fio --name=demo --filename={path} --ioengine=libaio --direct=1 "
                  f"--rw=randread --bs=4k --iodepth=1 --time_based --runtime={SECONDS} "
                  "--output-format=json", timeout=BOUND).stdout
    return json.loads(said)["jobs"][0]["read"]["iops"]


def measure(vm: VM, show: Callable[[str], None]) -> dict[str, Any]:
    """Both disks in turn."""
    figures: dict[str, list[float]] = {}
    for number in range(1, ROUNDS + 1):
        for way, path in PATHS.items():
            found = read(vm, path)
            figures.setdefault(f"{way}randread_iops", []).append(found)
            show(f"round {number}, {'virtio-blk' if way else 'ivshmem':<10}: "
                 f"{found:.0f} reads of 4 KiB a second")
    outcome = {name: round(statistics.median(values)) for name, values in figures.items()}
    return {**outcome, "ratio": round(outcome["randread_iops"]
                                      / outcome["virtio_randread_iops"], 2)}


def table(blk: dict[str, Any]) -> str:
    """The outcome for people."""
    return (f"{'disk':<34}{'reads of 4 KiB a second':>24}\n"
            f"{'ivshmem: shared memory':<34}{blk['randread_iops']:>24,}\n"
            f"{'virtio-blk: the same file':<34}{blk['virtio_randread_iops']:>24,}\n"
            f"The disk in shared memory is {blk['ratio']:.2f} times as fast")
