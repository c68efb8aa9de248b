# SPDX-License-Identifier: GPL-2.0-only
"""What is done in a guest while steps of our modules fail there, one at a time.

Usage: python3 -m tests.debug.courses COURSE MODULES LOG; prints JSON.  See sweep.py.

At 00:10.0 and 00:11.0 are two peers of one region with a NET, a BLK, and a RAW section, and
a back end of the host has a disk; at 00:12.0 and 00:13.0 two of another one, which has no
server and is not formatted; at 00:15.0 a device that imports dma-bufs.
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

from tests.debug.sweep import BOUND, Kernel, Phase, Steps, Sweep, report, wait
from tests.region_image import BLK, NET, RAW, Image, Section

PCI = "/sys/bus/pci"
AUXILIARY = "/sys/bus/auxiliary"
CLASS = "/sys/class/ivshmem"
OUR = f"{PCI}/drivers/ivshmem"
PEERS = ("0000:00:10.0", "0000:00:11.0")
PLAIN = ("0000:00:12.0", "0000:00:13.0")
VECTORS = 2
PLAIN_SIZE = SECTION_SIZE = 4 << 20
SECTION = "lab"

# Arguments of ioctls, and their numbers
INFO = struct.Struct("<IIQIIIIII")
SUBSCRIBE = struct.Struct("<II4Q")
EVENTFD = struct.Struct("<IIIi")
RING = struct.Struct("<IIII")
REGION = struct.Struct("<IIQ14I16s")
SECTIONS = struct.Struct("<IIIIQQIIII40s")
PEER = struct.Struct("<10I48s")
FORMAT = struct.Struct("<IIQII")
DMABUF = struct.Struct("<IIIIQQ")
KVMFR = struct.Struct("<B7xQQ")
KVMFR_CREATE, KVMFR_SIZE = 0x40187542, 0x7544
IMPORT_ATTACH, IMPORT_MAP, IMPORT_READ = 0x6900, 0x6902, 0xc0506903
FORCE, ERASE = 1, 2
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
        self.blk = Module(modules, "blk/ivshmem_blk.ko")
        self.echo = Module(modules, "test/ivshmem_echo.ko")
        self.imports = Module(modules, "test/ivshmem_import.ko")

        self.all = [self.core, self.net, self.blk, self.echo, self.imports]

    def unload(self) -> None:
        """Unload what there is."""
        for module in reversed(self.all):
            if module.loaded():
                module.unload()


def load(modules: Modules) -> list[Phase]:
    """Loading and unloading, without a device."""
    return [Phase(f"load {module.name.removeprefix('ivshmem_')}", module.load,
                  {errno.ENOMEM, errno.EBUSY}, module.loaded, module.unload)
            for module in modules.all]


# Devices

class Device:
    """A device of ours."""

    def __init__(self, address: str, vectors: int) -> None:
        self.address = address
        self.vectors = vectors

    def bind(self) -> None:
        """Bind the driver."""
        write(f"{OUR}/bind", self.address)

    def unbind(self) -> None:
        """Unbind it."""
        write(f"{OUR}/unbind", self.address)
        assert not os.path.exists(f"{PCI}/devices/{self.address}/ivshmem")

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

    def set(self, name: str, text: str) -> None:
        """Change it."""
        write(f"{CLASS}/{self.name}/{name}", text)

    def function(self, kind: str) -> str:
        """The name of its function; "" without one."""
        return next((name for name in os.listdir(f"{PCI}/devices/{self.address}")
                     if name.startswith(f"ivshmem.{kind}.")), "")

    def attached(self) -> None:
        """Wait until it has found the region."""
        wait(lambda: self.attribute("region").startswith("attached"), "region")

    def whole(self) -> bool:
        """Whether all is there that a region of three sections makes."""
        self.attached()
        return (self.attribute("vectors") == str(self.vectors)
                and self.names == [self.name, f"{self.name}.{SECTION}"]
                and all(os.path.exists(f"/dev/{name}") for name in self.names)
                and bool(self.function("net") and self.function("blk")))

    def node(self, section: str = "") -> str:
        """Its node, or that of its section."""
        return f"/dev/{self.name}" + (section and f".{section}")

    def reattach(self) -> None:
        """Leave the region and join it again, twice."""
        self.set("programs", "disk0")
        self.set("programs", "\n")

    def doorbells(self) -> None:
        """Ring oneself on each vector, and hear of it."""
        with File(self.node()) as file:
            for vector in range(self.vectors):
                file.ring(int(self.attribute("peer_id")), vector)
                assert file.event() == vector


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


def probe(modules: Modules) -> list[Phase]:
    """A device in a formatted region, whose functions nobody drives."""
    modules.core.load()
    device = Device(PEERS[0], VECTORS)
    return [Phase("probe", device.bind, {errno.ENOMEM, errno.EBUSY, errno.EIO},
                  device.whole, device.unbind, device.doorbells),
            Phase("programs", device.reattach, whole=device.whole, works=device.doorbells)]


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


# A region that is formatted while a device is there

class Formatter:
    """A device of a memory that is formatted again and again, each time as another one."""

    def __init__(self, device: Device) -> None:
        self.device = device

    @staticmethod
    def superblock() -> bytes:
        """A format with a section of each type."""
        return Image(PLAIN_SIZE, [Section(NET, "lan", 1 << 20), Section(BLK, "disk", 1 << 20),
                                  Section(RAW, SECTION, 64 << 10)], slots=2).superblock()

    def format(self) -> None:
        """Format it as programs do."""
        page = ctypes.create_string_buffer(self.superblock(), mmap.PAGESIZE)
        with File(self.device.node()) as file:
            file.ioctl(7, FORMAT, FORCE, ctypes.addressof(page), 0, 0)

    def write(self) -> None:
        """Format it behind the driver's back, as another peer does."""
        page = self.superblock()
        with File(self.device.node()) as file, mmap.mmap(
                file.descriptor, mmap.PAGESIZE, mmap.MAP_SHARED) as memory:
            memory[4:len(page)] = page[4:]
            memory[:4] = page[:4]

    def erase(self) -> None:
        """Have it unformatted."""
        with File(self.device.node()) as file:
            file.ioctl(7, FORMAT, FORCE | ERASE, 0, 0, 0)

    def formatted(self) -> bool:
        """Wait until it has been found; whether the section has its node."""
        self.device.attached()
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


# The disk

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
        return read(f"{self.folder}/state") == "ready" and os.path.exists("/dev/ivblk0")

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
    return [
        Phase("probe blk", disk.bind, whole=disk.ready, undo=disk.unbind),
        Phase("requests", disk.requests, set())]


# Links as such

def echo(modules: Modules) -> list[Phase]:
    """Links between two functions, by the driver for tests."""
    devices = bound(modules, PEERS)
    modules.echo.load()
    one, other = (device.function("net") for device in devices)
    driver = f"{AUXILIARY}/drivers/ivshmem_echo.echo"
    write(f"{driver}/bind", other)

    def up() -> bool:
        wait(lambda: " up " in read(f"{AUXILIARY}/devices/{one}/links"), "link")
        return True
    return [Phase("probe echo", lambda: write(f"{driver}/bind", one), whole=up,
                  undo=lambda: write(f"{driver}/unbind", one))]


COURSES = {course.__name__: course
           for course in (load, probe, calls, format, notice, peers, net, blk, echo)}


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
