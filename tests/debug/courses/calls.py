# SPDX-License-Identifier: GPL-2.0-only
"""What programs ask a device for."""

import contextlib
import errno
import fcntl
import mmap
import os
import select
import struct
from typing import Callable

from tests.debug.sweep import BOUND, Phase

from .devices import PCI, PEERS, SECTION, SECTION_SIZE, Device, File, Modules, bound, write

# Arguments of ioctls, and their numbers
INFO = struct.Struct("<IIQIIIIII")
SUBSCRIBE = struct.Struct("<II4Q")
EVENTFD = struct.Struct("<IIIi")
REGION = struct.Struct("<IIQ14I16s")
SECTIONS = struct.Struct("<IIIIQQIIII40s")
PEER = struct.Struct("<10I48s")
DMABUF = struct.Struct("<IIIIQQ")
KVMFR = struct.Struct("<B7xQQ")
KVMFR_CREATE, KVMFR_SIZE = 0x40187542, 0x7544
IMPORT_ATTACH, IMPORT_MAP, IMPORT_READ = 0x6900, 0x6902, 0xc0506903


class Calls:
    """What a program can ask for, of one device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.id = int(device.attribute("peer_id"))
        self.file: File | None = None
        self.section: File | None = None
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.map: mmap.mmap | None = None
        self.buffer = -1
        self.importer = -1

    def open(self) -> None:
        """Open both nodes."""
        file = File(self.device.node())
        try:
            self.section = File(self.device.node(SECTION))
        except OSError:
            file.close()
            raise
        self.file = file

    def close(self) -> None:
        """Close them."""
        assert self.file and self.section
        self.file.close()
        self.section.close()

    def ask(self, number: int, layout: struct.Struct, *words: object) -> Callable[[], None]:
        """An ioctl as a phase does it."""
        def do() -> None:
            assert self.file
            self.file.ioctl(number, layout, 0, *words)
        return do

    def ring(self) -> None:
        """Ring oneself."""
        assert self.file
        self.file.ring(self.id, 1)

    def pending(self) -> bool:
        """Whether there is an event that has not been read."""
        assert self.file
        return bool(select.select([self.file.descriptor], [], [], 0)[0])

    def event(self) -> None:
        """What has rung is told once; if it could not be, the next time."""
        assert self.file
        if not self.pending():
            self.ring()
        assert self.file.event() == 1

    def bind(self) -> None:
        """Have an eventfd signalled."""
        assert self.file
        self.file.ioctl(2, EVENTFD, 0, 0, self.bell)

    def signalled(self) -> bool:
        """Whether it is."""
        assert self.file
        self.file.ring(self.id, 0)
        select.select([self.bell], [], [], BOUND)
        return os.eventfd_read(self.bell) > 0

    def drain(self) -> None:
        """Read what has come, which may have to be tried again."""
        assert self.file
        while self.pending():
            with contextlib.suppress(OSError):
                os.read(self.file.descriptor, 16)

    def mmap(self) -> None:
        """Map a section and touch it."""
        assert self.section
        self.map = mmap.mmap(self.section.descriptor, SECTION_SIZE, mmap.MAP_SHARED,
                             mmap.PROT_READ | mmap.PROT_WRITE)
        self.map[0] = 1
        self.map[SECTION_SIZE - 1] = 2
        assert self.map[0] == 1 and self.map[SECTION_SIZE - 1] == 2

    def munmap(self) -> None:
        """The reverse."""
        assert self.map
        self.map.close()

    def export(self) -> None:
        """Make a dma-buf of the section."""
        assert self.section
        argument = DMABUF.pack(DMABUF.size, 0, os.O_RDWR, 0, 0, SECTION_SIZE)
        self.buffer = fcntl.ioctl(self.section.descriptor, 0xd608, bytearray(argument))

    def export_again(self) -> None:
        """Make one as programs of Looking Glass do."""
        assert self.section
        assert fcntl.ioctl(self.section.descriptor, KVMFR_SIZE) >= SECTION_SIZE
        os.close(fcntl.ioctl(self.section.descriptor, KVMFR_CREATE,
                             bytearray(KVMFR.pack(0, 0, mmap.PAGESIZE))))

    def release(self) -> None:
        """Nobody needs it any more."""
        os.close(self.buffer)

    def attach(self) -> None:
        """Have a device import it."""
        importer = os.open("/dev/ivshmem_import", os.O_RDWR)
        try:
            fcntl.ioctl(importer, IMPORT_ATTACH, self.buffer)
        except OSError:
            os.close(importer)
            raise
        self.importer = importer

    def dma(self) -> None:
        """The device maps it and reads it."""
        fcntl.ioctl(self.importer, IMPORT_MAP, 0)
        argument = bytearray(struct.pack("<QII64x", 0, 8, 0))
        fcntl.ioctl(self.importer, IMPORT_READ, argument)

    def detach(self) -> None:
        """It needs it no more."""
        os.close(self.importer)


def calls(modules: Modules) -> list[Phase]:
    """What a program can ask for."""
    device, _ = bound(modules, PEERS)
    modules.imports.load()
    write(f"{PCI}/drivers/ivshmem_import/bind", "0000:00:15.0")
    write("/sys/module/ivshmem/parameters/kvmfr", "1")
    user = Calls(device)
    memory, copy = {errno.ENOMEM}, {errno.EFAULT}
    return [
        Phase("open", user.open, memory, undo=user.close),
        Phase("info", user.ask(0, INFO, *[0] * 7), copy),
        Phase("subscribe", user.ask(1, SUBSCRIBE, 3, 0, 0, 0), copy),
        Phase("ring", user.ring, copy),
        Phase("poll and read", user.event, copy),
        Phase("eventfd", user.bind, memory | copy | {errno.EBADF}, user.signalled,
              user.drain),
        Phase("region", user.ask(4, REGION, *[0] * 15, b""), copy),
        Phase("section", user.ask(5, SECTIONS, *[0] * 8, b""), copy),
        Phase("peer", user.ask(6, PEER, *[0] * 8, b""), copy),
        Phase("mmap and fault", user.mmap, memory, undo=user.munmap),
        Phase("dma-buf", user.export, memory | copy | {errno.EMFILE},
              undo=user.release),
        Phase("kvmfr", user.export_again, memory | copy | {errno.EMFILE}),
        Phase("import", user.attach, memory, undo=user.detach),
        Phase("map for DMA", user.dma, memory | copy | {errno.EIO})]
