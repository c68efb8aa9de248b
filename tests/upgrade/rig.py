# SPDX-License-Identifier: GPL-2.0-only
"""A guest with all that the drivers offer, and a peer on the host that is of version 1.0."""

import re
import subprocess
from pathlib import Path
from typing import Any

from lab import VM, Server, ivshmem_doorbell
from lab.agent import poll_until
from lab.paths import MODULES, USERSPACE
from tests.net.card import Card
from tests.region_image import BLK, NET, RAW, Image, Section

PEER = USERSPACE / "tests/upgrade/wire_peer"
CHANNEL = USERSPACE / "examples/channel"
NODE = "/dev/ivshmem0"
DISK = "/dev/ivblk0"
FUNCTION = "/sys/bus/auxiliary/devices/ivshmem.blk.0"
SIZE = 32 << 20
DISK_SIZE = 8 << 20
LINK = {"size": "32M", "vectors": 4, "peers": 4}
# The peer answers for all of them
ANSWERED = "10.88.0.9"
BOUND = 120


def image(**words: Any) -> Image:
    """A format with a section of each type."""
    return Image(SIZE, [Section(NET, "lan", 4 << 20, vector=1),
                        Section(RAW, "lab", 2 << 20, vector=2),
                        Section(BLK, "disk", 8 << 20, vector=3)], slots=4, **words)


class WirePeer:
    """The peer of version 1.0, or one that says it is newer; a context manager."""

    def __init__(self, server: Server, disk: Path, log: Path, *words: str) -> None:
        self.log = log
        with open(log, "wb") as output:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen([PEER, server.address, disk, *words],
                                            stdout=output, stderr=subprocess.STDOUT)

    def __enter__(self) -> "WirePeer":
        self.slot = int(self.wait(r"^slot (\d+)$")[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(BOUND) == 0, self.said

    @property
    def said(self) -> str:
        """All that it has said."""
        return self.log.read_text()

    def wait(self, regex: str, times: int = 1) -> Any:
        """Wait until it has said this so often; the last match."""
        def found() -> list:
            assert self.process.poll() is None, self.said
            return list(re.finditer(regex, self.said, re.M))
        poll_until(lambda: len(found()) >= times, BOUND, regex)
        return found()[-1]


class Machine:
    """The guest; use() tries everything that its drivers offer."""

    def __init__(self, vm: VM) -> None:
        self.vm = vm
        self.card = Card(vm, 1)

    def load(self, folder: Path | None = None) -> "Machine":
        """Load all drivers, from another folder of modules if given."""
        folder = folder or MODULES / self.vm.kernel.release / "drivers"
        for name in ("core/ivshmem", "net/ivshmem_net", "blk/ivshmem_blk"):
            self.vm.run(f"insmod {folder}/{name}.ko")
        return self

    def version(self) -> str:
        """Of the driver that is loaded."""
        return self.vm.run("cat /sys/module/ivshmem/version").stdout.strip()

    def channel(self, peer: WirePeer) -> None:
        """A message through a channel, which comes back."""
        done = self.vm.run([str(CHANNEL), NODE, str(peer.slot), "Are you old?"], BOUND)
        assert done.stdout == "Are you old?\n"

    def ping(self) -> None:
        """Frames through the network card, and back."""
        self.card.find()
        self.card.configure()
        self.vm.run(f"ping -c 2 -w {BOUND} {ANSWERED}", BOUND + 10)

    def wait_disk(self) -> None:
        """Wait until the disk can be used."""
        self.vm.run(f"until [ $(< {FUNCTION}/state) = ready ] && [ -b {DISK} ]; do "
                    "busybox sleep 0.02; done", BOUND)

    def disk(self) -> None:
        """Blocks are written, and are there when they are read."""
        self.wait_disk()
        self.vm.run(f"""
            head -c 1M /dev/urandom > /run/blocks
            dd if=/run/blocks of={DISK} bs=64k seek=3 oflag=direct conv=fsync status=none
            dd if={DISK} bs=64k skip=3 count=16 iflag=direct status=none | cmp - /run/blocks
            """, BOUND)

    def use(self, peer: WirePeer) -> None:
        """All of it."""
        self.channel(peer)
        self.ping()
        self.disk()


def device(server: Server) -> list[str]:
    """The arguments of the guest's device."""
    return ivshmem_doorbell(server, 4, addr="0x10")
