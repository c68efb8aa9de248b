# SPDX-License-Identifier: GPL-2.0-only
"""A guest in which the fuzzer runs, and what happens to its devices meanwhile.

One device, with doorbells, is bound and unbound, and its server's other peers come and go;
another one is plugged and unplugged.
"""

import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from lab import VM, Process, Server, ivshmem_doorbell, ivshmem_plain
from lab.agent import poll_until
from lab.patience import patient
from lab.paths import MODULES, USERSPACE
from tests.vm.guest import DRIVER, check, node
from tests.vm.peer import Peer
from tests.vm.region import ask

PROGRAM = USERSPACE / "tests/uapi_fuzz/uapi_fuzz"
ADDRESS = "00:10.0"
BDF = f"0000:{ADDRESS}"
SIZE, VECTORS, PEERS = "8M", 4, 3
LINK = {"size": SIZE, "vectors": VECTORS, "peers": PEERS,
        "layout": "net=lan:2M:vector=1,,blk=disk0:1M:vector=2,,raw=lab:64K,,raw=big:2M"}
ERASE = 3
# Seconds within which each call of the fuzzer comes back; signals interrupt those that
# may wait for longer
CALL_BOUND = 60
BOUND = 180

# Files of the fuzzer's keep a module until its programs see that the device is gone.
UNLOAD = f"""
rmmod ivshmem_net ivshmem_blk
for device in {DRIVER}/0000:*; do
    [ ! -e $device ] || echo ${{device##*/}} >{DRIVER}/unbind
done
until rmmod ivshmem 2>/dev/null; do busybox sleep 0.05; done
"""


class Fuzzed:
    """The guest."""

    def __init__(self, vms: Any, server: Server, directory: Path) -> None:
        self.server = server
        self.vm: VM = vms("fuzzed", smp=2, memory="1G",
                          devices=[ivshmem_doorbell(server, VECTORS, addr="0x10")])
        self.vm.run("modprobe -q veth || :")
        self.memory = directory / "plugged"
        self.plugged = ""
        self.numbers = itertools.count()
        self.done: Counter[str] = Counter()
        self.process: Process | None = None
        self.vm.run(self.load)

    # The fuzzer

    def start(self, *arguments: str) -> None:
        """Start it, and wait until it has found a device; what it says is seen on the host."""
        (self.vm.share / "complaint").unlink(missing_ok=True)
        words = " ".join([str(PROGRAM), f"--bound={patient(CALL_BOUND):.0f}", *arguments])
        self.process = self.vm.spawn(f"exec {words} >/mnt/share/said 2>/mnt/share/complaint")
        poll_until(lambda: self.complaint, BOUND, "the fuzzer")

    def result(self) -> dict[str, Any]:
        """What it has done, once it has ended, which has to be a good end."""
        assert self.process
        status = self.process.wait(2 * CALL_BOUND).returncode
        assert status == 0, self.complaint
        said: dict[str, Any] = json.loads((self.vm.share / "said").read_text())
        return said

    @property
    def complaint(self) -> str:
        """What it says on its way."""
        path = self.vm.share / "complaint"
        return path.read_text() if path.exists() else ""

    # What happens meanwhile

    def disturb(self, seed: int) -> None:
        """Until the fuzzer ends."""
        rng = random.Random(seed)
        actions = [self.rebind, self.rebind, self.visit, self.visit, self.plug, self.reload]
        assert self.process
        while self.process.poll() is None:
            action = rng.choice(actions)
            action()
            self.done[action.__name__] += 1
            print(f"{action.__name__}; {''.join(self.complaint.splitlines()[-1:])}", flush=True)
        if self.plugged:
            self.plug()

    def rebind(self) -> None:
        """The driver lets the device go, and takes it again."""
        self.vm.run(f"echo {BDF} >{DRIVER}/unbind; echo {BDF} >{DRIVER}/bind", BOUND)

    @property
    def load(self) -> str:
        """A command that loads all our modules."""
        folder = MODULES / self.vm.kernel.release / "drivers"
        return " && ".join(f"insmod {folder}/{name}.ko" for name in
                           ("core/ivshmem", "net/ivshmem_net", "blk/ivshmem_blk"))

    def reload(self) -> None:
        """All our modules go, and come again."""
        self.vm.run(f"{UNLOAD}\n{self.load}", BOUND)

    def plug(self) -> None:
        """A device comes, or the one that has come goes."""
        if self.plugged:
            self.vm.remove_device(self.plugged, BOUND)
            self.plugged = ""
        else:
            self.plugged = self.vm.add_device(
                ivshmem_plain(self.memory, "1M", id=f"plain{next(self.numbers)}"))

    def visit(self) -> None:
        """A peer on the host joins the link, rings, and goes without a word."""
        with Peer(self.server.socket) as peer:
            peer.listen(1)
            for doorbells in list(peer.doorbells.values()):
                for doorbell in doorbells:
                    peer.ring(doorbell)

    # Afterwards

    def works(self) -> None:
        """All our modules can be unloaded; loaded again, the device works as ever."""
        self.vm.run(f"{UNLOAD}\n! ls /dev | grep ivshmem && {self.load}", BOUND)
        device = node(self.vm, ADDRESS)
        assert ask(self.vm, "format", device, ERASE)["errno"] == ""
        for program in ("event", "rights"):
            check(self.vm, program, device)
