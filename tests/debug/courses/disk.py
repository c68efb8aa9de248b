# SPDX-License-Identifier: GPL-2.0-only
"""A disk."""

import mmap
import os

from tests.debug.sweep import Kernel, Phase, wait

from .devices import AUXILIARY, PEERS, Device, Modules, bound, read, write


class Disk:
    """The disk of a device."""

    def __init__(self, device: Device) -> None:
        self.function = device.function("blk")
        self.folder = f"{AUXILIARY}/devices/{self.function}"
        self.kernel = Kernel()

    def bind(self) -> None:
        """Bind the driver."""
        self.kernel.said()
        write(f"{AUXILIARY}/drivers/ivshmem_blk.blk/bind", self.function)

    def unbind(self) -> None:
        """Unbind it."""
        write(f"{AUXILIARY}/drivers/ivshmem_blk.blk/unbind", self.function)

    def ready(self) -> bool:
        """Wait until there is a disk, or it is said why not."""
        said = ""

        def known() -> bool:
            nonlocal said
            said += self.kernel.said()
            return self.there() or "no block device" in said
        wait(known, "disk")
        return self.there()

    def there(self) -> bool:
        """Whether it can be used."""
        if read(f"{self.folder}/state") != "ready":
            return False
        try:
            # Its node is there before all that can fail has been done
            os.close(os.open("/dev/ivblk0", os.O_RDONLY))
        except OSError:
            return False
        return True

    def requests(self) -> None:
        """Write a block and read it, past the cache; whatever the block says."""
        with mmap.mmap(-1, mmap.PAGESIZE) as block, mmap.mmap(-1, 1 << 20) as long:
            disk = os.open("/dev/ivblk0", os.O_RDWR | os.O_DIRECT)
            try:
                block[:] = os.urandom(mmap.PAGESIZE)
                assert os.pwrite(disk, block, 0) == mmap.PAGESIZE
                assert os.preadv(disk, [long], 0) == len(long)
                assert long[:mmap.PAGESIZE] == block[:]
                os.fsync(disk)
            finally:
                os.close(disk)


def blk(modules: Modules) -> list[Phase]:
    """A disk, from its probe to its removal."""
    devices = bound(modules, PEERS)
    modules.blk.load()
    disk = Disk(devices[0])
    # Requests take no step that can fail
    return [Phase("probe blk", disk.bind, whole=disk.ready, undo=disk.unbind,
                  works=disk.requests)]
