# SPDX-License-Identifier: GPL-2.0-only
"""A second region, which two machines of a long run use while a hostile peer attacks it.

Frames and blocks go through it in loops that nothing ends. While it is attacked they may
fail, and whatever else the machines do has to go on; afterwards they run again by
themselves.
"""

import os
import time
from pathlib import Path
from random import Random
from typing import Any

from lab import BlkServer, Server
from lab.agent import poll_until
from tests.hostile.attacker import Attack, listed
from tests.hostile.rig import PATIENCE, RENEWING

from .machine import BOUND, VECTORS, Failed, Machine

ATTACKS = [parameter.id for parameter in listed()]
SIZE = 16 << 20
LAYOUT = "net=lan:20M,,blk=disk0:24M,,raw=lab:12M"
# Both machines, the back end, the hostile peer
PEERS = 4
SUBNET = "10.90.0"
PLACE = "/sys/bus/pci/devices/0000:00:11.0"
DISK = "/dev/ivblk1"

# Each tells the host when it has got through. An interface and a disk are new after a
# driver was loaded again, or the region formatted.
LOOPS = {
    "net": f"""
        cd {PLACE}/ivshmem.net.*/net && name=$(echo *) && ip link set $name up &&
        ip address replace {SUBNET}.{{number}}/24 dev $name &&
        ping -n -q -i 0.2 -s 1400 -w 3 {SUBNET}.{{other}}""",
    "disk": f"""
        dd if={DISK} of=/dev/null bs=16k count=20 iflag=direct &&
        dd if=/dev/zero of={DISK} bs=16k count=20 oflag=direct conv=nocreat""",
}
FOREVER = """exec >/dev/null 2>&1
while true; do
    ({command}) && n=$((n + 1)) && echo $n > /mnt/share/attacked.{kind}
    busybox sleep 0.5
done"""


class Attacked:
    """The region, with a server and a back end of its own."""

    def __init__(self, directory: Path, image: Path) -> None:
        self.server = Server("64M", PEERS, VECTORS, "attacked", directory=directory / "attacked",
                             layout=LAYOUT)
        self.back = BlkServer(self.server, image, "--writers=all",
                              directory=directory / "attacked")
        self.users: list[Machine] = []
        self.endured = 0
        self.attacks = 0
        self.words = 0
        image.touch()
        os.truncate(image, SIZE)

    def start(self) -> None:
        """Start both programs."""
        self.server.start()
        self.back.start()

    def close(self) -> None:
        """End them."""
        self.back.remove()
        self.server.remove()

    def serve(self, *machines: Machine) -> None:
        """Have these two use it, which are up."""
        self.users = list(machines)
        numbers = [machine.number for machine in machines]
        for machine, other in zip(machines, reversed(numbers)):
            machine.keep_running([FOREVER.format(kind=kind, command=loop.format(
                number=machine.number, other=other)) for kind, loop in LOOPS.items()])
        self.wait_running()

    def judge(self) -> None:
        """What has no business to end runs."""
        for daemon in (self.server, self.back):
            if not daemon.alive:
                raise Failed(f"attacked region: {daemon.program.name} has ended\n{daemon.log}")

    # Whether it is of use

    def _progress(self) -> dict[str, str]:
        paths = {f"{machine.name} {kind}": machine.vm.share / f"attacked.{kind}"
                 for machine in self.users for kind in LOOPS}
        return {name: path.read_text() if path.exists() else ""
                for name, path in paths.items()}

    def wait_running(self) -> float:
        """Wait until all loops have got through again; the seconds that it took."""
        started = time.monotonic()
        # What was under way is not counted
        for step in range(2):
            before = self._progress()
            try:
                poll_until(lambda: all(now and now != before[name] for name, now in
                                       self._progress().items()), BOUND, "loops")
            except TimeoutError:
                stuck = [name for name, now in self._progress().items() if now == before[name]]
                raise Failed(f"attacked region, step {step}: does not run again: {stuck}\n"
                             + "\n".join(machine.evidence() for machine in self.users)
                             + f"\n{self.server.log}\n{self.back.log}") from None
        return time.monotonic() - started

    # What is done to it

    def attack(self, chance: Random) -> Attack:
        """Begin one; a context manager."""
        return Attack(chance.choice(ATTACKS), self.server.address,
                      seconds=chance.uniform(0.5, 5), seed=chance.randrange(1 << 32))

    def recover(self, attack: Attack) -> str:
        """Wait for an attack's end, and until all runs again; what there is to say."""
        said: dict[str, Any] = attack.result()
        self.attacks += 1
        self.words += said["words"]
        took = self.wait_running()
        self.endured = 0 if said["attack"] in RENEWING else self.endured + 1
        if self.endured == PATIENCE:
            # Links rest longer after each fault: let them forget it now and then.
            self.endured = 0
            with Attack("heartbeats", self.server.address, words=1, seconds=0,
                        renew=True) as renewal:
                renewal.result()
            self.wait_running()
        return (f"attack {said['attack']}, seed {said['seed']}: {said['words']:,} words, "
                f"all runs again after {took:.1f} s")
