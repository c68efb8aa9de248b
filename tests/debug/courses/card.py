# SPDX-License-Identifier: GPL-2.0-only
"""A network card, and links as such."""

import errno
import fcntl
import os
import socket
import struct
import time

from tests.debug.sweep import BOUND, Phase, wait

from .devices import AUXILIARY, PEERS, Device, Modules, bound, read, write

ETHER_TYPE = 0x88b5


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
