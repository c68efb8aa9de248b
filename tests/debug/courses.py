# SPDX-License-Identifier: GPL-2.0-only
"""What is done in a guest while steps of our modules fail there, one at a time.

Usage: python3 -m tests.debug.courses COURSE MODULES LOG; prints JSON.  See sweep.py.

At 00:10.0 and 00:11.0 are two peers of one region with a NET, a BLK, and a RAW section; at
00:15.0 a device that imports dma-bufs.
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Callable

from tests.debug.sweep import BOUND, Phase, Steps, Sweep, report, wait

PCI = "/sys/bus/pci"
AUXILIARY = "/sys/bus/auxiliary"
CLASS = "/sys/class/ivshmem"
OUR = f"{PCI}/drivers/ivshmem"
PEERS = ("0000:00:10.0", "0000:00:11.0")
VECTORS = 2
SECTION_SIZE = 4 << 20
SECTION = "lab"

# Arguments of ioctls, and their numbers
INFO = struct.Struct("<IIQIIIIII")
SUBSCRIBE = struct.Struct("<II4Q")
EVENTFD = struct.Struct("<IIIi")
RING = struct.Struct("<IIII")
REGION = struct.Struct("<IIQ14I16s")
SECTIONS = struct.Struct("<IIIIQQIIII40s")
PEER = struct.Struct("<10I48s")
DMABUF = struct.Struct("<IIIIQQ")
KVMFR = struct.Struct("<B7xQQ")
KVMFR_CREATE, KVMFR_SIZE = 0x40187542, 0x7544
IMPORT_ATTACH, IMPORT_MAP, IMPORT_READ = 0x6900, 0x6902, 0xc0506903
ETHER_TYPE = 0x88b5

# System calls
INIT_MODULE, DELETE_MODULE = 175, 176

LIBC = ctypes.CDLL(None, use_errno=True)


def write(path: str, text: str) -> None:
    """Write an attribute at once."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def read(path: str) -> str:
    """Read an attribute."""
    return Path(path).read_text().strip()


def call(number: int, *arguments: object) -> None:
    """A system call."""
    if LIBC.syscall(number, *arguments):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


# Modules

class Module:
    """One of our modules, with the parts of it that stay on the host read once."""

    def __init__(self, modules: str, path: str) -> None:
        self.image = Path(modules, path).read_bytes()
        self.name = Path(path).stem

    def load(self) -> None:
        """Load it."""
        call(INIT_MODULE, self.image, ctypes.c_ulong(len(self.image)), b"")

    def unload(self) -> None:
        """Unload it."""
        call(DELETE_MODULE, self.name.encode(), os.O_NONBLOCK)

    def loaded(self) -> bool:
        """Whether it is there."""
        return Path(f"/sys/module/{self.name}/initstate").exists()


class Modules:
    """All of them. Nothing is bound unless one asks for it."""

    def __init__(self, modules: str) -> None:
        for bus in (PCI, AUXILIARY):
            write(f"{bus}/drivers_autoprobe", "0")
        self.core = Module(modules, "core/ivshmem.ko")
        self.net = Module(modules, "net/ivshmem_net.ko")
        self.imports = Module(modules, "test/ivshmem_import.ko")
        self.all = [self.core, self.net, self.imports]

    def unload(self) -> None:
        """Unload what there is."""
        for module in reversed(self.all):
            if module.loaded():
                module.unload()


# Devices

class Device:
    """A device of ours."""

    def __init__(self, address: str, vectors: int) -> None:
        self.address = address
        self.vectors = vectors

    def bind(self) -> None:
        """Bind the driver."""
        write(f"{OUR}/bind", self.address)

    @property
    def names(self) -> list[str]:
        """Its own name and those of its sections' nodes."""
        return sorted(os.listdir(f"{PCI}/devices/{self.address}/ivshmem"))

    @property
    def name(self) -> str:
        """Its own."""
        return self.names[0]

    def attribute(self, name: str) -> str:
        """What an attribute says."""
        return read(f"{CLASS}/{self.name}/{name}")

    def function(self, kind: str) -> str:
        """The name of its function; "" without one."""
        return next((name for name in os.listdir(f"{PCI}/devices/{self.address}")
                     if name.startswith(f"ivshmem.{kind}.")), "")

    def node(self, section: str = "") -> str:
        """Its node, or that of its section."""
        return f"/dev/{self.name}" + (section and f".{section}")


class File:
    """An open node; a context manager."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)

    def ioctl(self, number: int, layout: struct.Struct, *words: object) -> bytes:
        """An ioctl whose argument begins with its size."""
        argument = bytearray(layout.pack(layout.size, *words))
        fcntl.ioctl(self.descriptor, 0xd600 | number, argument)
        return bytes(argument)

    def ring(self, peer: int, vector: int) -> None:
        """Ring a peer."""
        self.ioctl(3, RING, 0, peer, vector)

    def event(self) -> int:
        """Wait for an event; the vector."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        assert poll.poll(BOUND * 1000), "no event"
        vector, _, count = struct.unpack("<IIQ", os.read(self.descriptor, 16))
        assert count >= 1
        return vector


def bound(modules: Modules, addresses: tuple[str, ...]) -> list[Device]:
    """The driver loaded and bound to devices."""
    modules.core.load()
    devices = [Device(address, VECTORS) for address in addresses]
    for device in devices:
        device.bind()
    return devices


# Calls

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


# The network card

class Card:
    """The network card of a device."""

    def __init__(self, device: Device) -> None:
        self.function = device.function("net")
        self.socket: socket.socket | None = None

    def bind(self) -> None:
        """Bind the driver."""
        write(f"{AUXILIARY}/drivers/ivshmem_net.net/bind", self.function)

    def unbind(self) -> None:
        """Unbind it."""
        write(f"{AUXILIARY}/drivers/ivshmem_net.net/unbind", self.function)

    @property
    def name(self) -> str:
        """The interface."""
        return os.listdir(f"{AUXILIARY}/devices/{self.function}/net")[0]

    @property
    def station(self) -> bytes:
        """Its address."""
        return bytes.fromhex(read(f"/sys/class/net/{self.name}/address").replace(":", ""))

    def there(self) -> bool:
        """Whether there is an interface."""
        return bool(self.name)

    def _change(self, up: bool) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            name = self.name.encode()
            flags, = struct.unpack("16xH22x", fcntl.ioctl(control, 0x8913, name.ljust(40, b"\0")))
            flags = flags | 1 if up else flags & ~1
            fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", name, flags))

    def up(self) -> None:
        """Set it up."""
        self._change(True)

    def down(self) -> None:
        """Set it down."""
        self._change(False)

    def carrier(self) -> None:
        """Wait for a link."""
        wait(lambda: read(f"/sys/class/net/{self.name}/carrier") == "1", "carrier")

    def no_carrier(self) -> None:
        """Wait until the peer has gone."""
        wait(lambda: read(f"/sys/class/net/{self.name}/carrier") == "0", "no carrier")

    def listen(self) -> socket.socket:
        """A socket for frames of the test."""
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHER_TYPE))
        raw.bind((self.name, ETHER_TYPE))
        raw.settimeout(1)
        return raw

    def send(self, other: "Card", length: int) -> None:
        """Send frames of a length until one arrives."""
        header = other.station + self.station + struct.pack(">H", ETHER_TYPE)
        frame = header + os.urandom(length - len(header))
        end = time.monotonic() + BOUND
        with self.listen() as source, other.listen() as target:
            while True:
                assert time.monotonic() < end, f"no frame of {length} bytes"
                source.send(frame)
                try:
                    if target.recv(65536) == frame:
                        return
                except TimeoutError:
                    continue


class Segment:
    """Both cards, of which the second one is there all the time."""

    def __init__(self, devices: list[Device]) -> None:
        self.one, self.other = map(Card, devices)
        self.other.bind()
        self.other.up()

    def frames(self) -> None:
        """Short ones and long ones, both ways."""
        for length in (60, 3000):
            self.one.send(self.other, length)
            self.other.send(self.one, length)

    def linked(self) -> bool:
        """Wait for carrier, and for a frame each way."""
        self.one.carrier()
        self.frames()
        return True

    def open(self) -> None:
        """Set the first one up, with room for long frames."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for card in (self.one, self.other):
                fcntl.ioctl(control, 0x8922, struct.pack("16sI20x", card.name.encode(), 4000))
        self.one.up()

    def renew(self) -> None:
        """The peer goes and comes."""
        self.other.down()
        self.one.no_carrier()
        self.other.up()


def net(modules: Modules) -> list[Phase]:
    """A network card, from its probe to its removal."""
    devices = bound(modules, PEERS)
    modules.net.load()
    user = Segment(devices)
    card = user.one
    return [
        # Linux tells some that failed to register an interface that it is not valid
        Phase("probe net", card.bind, {errno.ENOMEM, errno.EINVAL}, card.there, card.unbind),
        Phase("net up", user.open, whole=user.linked, undo=card.down),
        Phase("frames", user.frames, set()),
        Phase("net peer", user.renew, whole=user.linked)]


COURSES = {course.__name__: course for course in (calls, net)}


def main() -> None:
    """Run one course."""
    name, folder, log = sys.argv[1:]
    modules = Modules(folder)
    # What a course that has failed left
    Steps().arm(False)
    modules.unload()
    said = Sweep(COURSES[name](modules), log).run()
    modules.unload()
    report(said)


if __name__ == "__main__":
    main()
