# SPDX-License-Identifier: GPL-2.0-only
"""The modules and devices of the guest in which courses run.

At 00:10.0 and 00:11.0 are two peers of one region with a NET, a BLK, and a RAW section, and
a back end of the host has a disk; at 00:12.0 and 00:13.0 two of another one, which has no
server and is not formatted; at 00:15.0 a device that imports dma-bufs.
"""

import ctypes
import fcntl
import os
import select
import struct
from pathlib import Path

from tests.debug.sweep import BOUND, wait

PCI = "/sys/bus/pci"
AUXILIARY = "/sys/bus/auxiliary"
CLASS = "/sys/class/ivshmem"
OUR = f"{PCI}/drivers/ivshmem"
PEERS = ("0000:00:10.0", "0000:00:11.0")
PLAIN = ("0000:00:12.0", "0000:00:13.0")
VECTORS = 2
PLAIN_SIZE = SECTION_SIZE = 4 << 20
SECTION = "lab"

RING = struct.Struct("<IIII")

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
