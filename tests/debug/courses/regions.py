# SPDX-License-Identifier: GPL-2.0-only
"""Regions are formatted while devices are there, and peers come and go."""

import contextlib
import ctypes
import errno
import mmap
import os
import struct

from tests.debug.sweep import Phase, wait
from tests.region_image import BLK, NET, RAW, Image, Section

from .devices import PLAIN, PLAIN_SIZE, SECTION, Device, File, Modules, bound

FORMAT = struct.Struct("<IIQII")
FORCE, ERASE = 1, 2


class Formatter:
    """A device of a memory that is formatted again and again, each time as another one."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.page = bytearray()

    def _renew(self) -> None:
        """Another format, with a section of each type."""
        self.page[:] = Image(
            PLAIN_SIZE, [Section(NET, "lan", 1 << 20), Section(BLK, "disk", 1 << 20),
                         Section(RAW, SECTION, 64 << 10)], slots=2).superblock()

    def _format(self) -> None:
        page = ctypes.create_string_buffer(bytes(self.page), mmap.PAGESIZE)
        with File(self.device.node()) as file:
            file.ioctl(7, FORMAT, FORCE, ctypes.addressof(page), 0, 0)

    def format(self) -> None:
        """Format it as programs do."""
        self._renew()
        self._format()

    def write(self) -> None:
        """Format it behind the driver's back, as another peer does."""
        self._renew()
        with File(self.device.node()) as file, mmap.mmap(
                file.descriptor, mmap.PAGESIZE, mmap.MAP_SHARED) as memory:
            memory[4:len(self.page)] = self.page[4:]
            memory[:4] = self.page[:4]

    def erase(self) -> None:
        """Have it unformatted."""
        with File(self.device.node()) as file:
            file.ioctl(7, FORMAT, FORCE | ERASE, 0, 0, 0)

    def formatted(self) -> bool:
        """Wait until it has been found; whether the section has its node."""
        self.device.attached()
        # The same once more is refused, when all that there is to make has been made
        with contextlib.suppress(OSError):
            self._format()
        return os.path.exists(self.device.node(SECTION))

    def unformatted(self) -> bool:
        """Whether it has gone."""
        return (self.device.attribute("region") == "unformatted"
                and self.device.names == [self.device.name])

    def end(self) -> None:
        """Erase it, which may have to be tried again."""
        try:
            self.erase()
        except OSError as failure:
            if failure.errno not in (errno.ENOMEM, errno.EFAULT):
                raise
            self.erase()
        assert self.unformatted()


def format(modules: Modules) -> list[Phase]:
    """A program formats."""
    device, = bound(modules, PLAIN[:1])
    user = Formatter(device)
    return [Phase("format", user.format, {errno.ENOMEM, errno.EFAULT, errno.EIO},
                  user.formatted, user.end)]


def notice(modules: Modules) -> list[Phase]:
    """A peer formats, and the driver notices by itself."""
    device, = bound(modules, PLAIN[:1])
    user = Formatter(device)
    return [Phase("notice a format", user.write, {errno.ENOMEM}, user.formatted, user.end)]


class Peers:
    """Two devices of one memory, which join and leave."""

    def __init__(self, devices: list[Device]) -> None:
        self.one, self.other = self.devices = devices
        Formatter(self.one).format()
        for device in devices:
            device.attached()

    def join(self) -> None:
        """Both become peers."""
        for slot, device in enumerate(self.devices):
            device.set("slot", str(slot))

    @staticmethod
    def knows(device: Device, count: int) -> None:
        """Wait until so many are there."""
        wait(lambda: device.attribute("peers").count(" alive ") == count, f"{count} peers")

    def joined(self) -> bool:
        """Wait until they know each other; whether both have their functions."""
        for device in self.devices:
            self.knows(device, 2)
        return all(device.function("net") and device.function("blk")
                   for device in self.devices)

    def leave(self) -> None:
        """One leaves, and the other one when it has seen that."""
        self.one.set("slot", "none")
        self.knows(self.other, 1)
        self.other.set("slot", "none")


def peers(modules: Modules) -> list[Phase]:
    """Peers come and go."""
    user = Peers(bound(modules, PLAIN))
    return [Phase("peers", user.join, set(), user.joined, user.leave)]
