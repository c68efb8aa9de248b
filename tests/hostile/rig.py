# SPDX-License-Identifier: GPL-2.0-only
"""Two guests that use all there is in a region, and a second region, which is not attacked.

In the first region there is traffic of each kind, which goes on by itself after whatever
happens to it. Over the second one there is a stream, which nothing may break.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lab import VM, Process, Server, ivshmem_doorbell
from lab.agent import poll_until
from lab.paths import USERSPACE
from tests.blk.disk import BackEnd
from tests.blk.guest import module as disk_module
from tests.net.card import VECTORS, Card, Witness, module, together

from .attacker import Attack, attack

TOOL = USERSPACE / "tools/ivshmem/ivshmem"
BOUND = 180
PEERS = 6
ATTACKED = {"size": "128M", "vectors": VECTORS, "peers": PEERS,
            "layout": "net=lan:60M:queues=2:vector=1,,blk=disk0:32M:queues=2:vector=2,,"
                      "raw=lab:24M:vector=3"}
QUIET = {"size": "32M", "vectors": VECTORS, "peers": 2, "layout": "net=lan:16M"}
DISK = "/dev/ivblk0"
SIZE = 64 << 20

# Goes on whatever happens, until a file is gone
FOREVER = "exec >/dev/null 2>&1; while [ -e /run/traffic ]; do {}; busybox sleep 0.2; done"

# Whether all that a guest uses the region for works: the interface, which is another one
# in a region that was formatted anew, a disk of the same kind, and messages, which arrive.
WORKS = """
works() {{
    cd {place}/ivshmem.net.*/net && name=$(echo *) && [ -d "$name" ] &&
    ip address replace {address}/24 dev $name && ip link set $name up &&
    [ -b {disk} ] &&
    dd if={disk} of=/dev/null bs=4k count=4 iflag=direct status=none &&
    dd if=/dev/zero of={disk} bs=4k count=4 oflag=direct conv=nocreat status=none &&
    ping -n -c 1 -W 1 {other}
}}
until works; do cd /; busybox sleep 0.1; done >/dev/null 2>&1
"""
MESSAGES = """
messages=$(cat /run/messages)
until [ "$(< /run/messages)" != "$messages" ]; do busybox sleep 0.1; done
"""
# So many attacks may cost a link a rest before the region is formatted anew
PATIENCE = 3
# After these it is another region
RENEWING = {"magic-flips", "sizes", "versions", "section-table", "format-over",
            "half-formatted", "zeroes", "ones"}


class Region(Card):
    """A card of a guest that has several devices: the one at a PCI address."""

    def __init__(self, vm: VM, number: int, place: str, subnet: str) -> None:
        super().__init__(vm, number)
        self.place = f"/sys/bus/pci/devices/0000:00:{place}.0"
        self.address = f"{subnet}.{number}"
        self.address6 = f"fd{subnet.split('.')[1]}::{number}"

    def find(self) -> str:
        """The interface's name, once it is there."""
        said = self.vm.run(f"""
            until [ -d {self.place}/ivshmem.net.*/net ]; do busybox sleep 0.02; done
            cd {self.place}/ivshmem.net.*/net; name=$(echo *)
            echo $name $(< $name/address) $(< {self.place}/ivshmem/*/peer_id)""", BOUND).stdout
        self.name, mac, slot = said.split()[-3:]
        self.station = bytes.fromhex(mac.replace(":", ""))
        self.slot = int(slot)
        return self.name


class Rig:
    """All of it; the back end of the disk ends with @stack."""

    def __init__(self, vms: Any, servers: Any, stack: ExitStack, directory: Path) -> None:
        self.attacked: Server = servers(**ATTACKED)
        self.quiet: Server = servers(**QUIET)
        devices = [*ivshmem_doorbell(self.attacked, VECTORS, addr="0x10", id="attacked"),
                   *ivshmem_doorbell(self.quiet, VECTORS, addr="0x11", id="quiet")]
        self.vms = [vms(name, start=False, devices=[devices]) for name in "ab"]
        vms.start(*self.vms)
        self.cards = [Region(vm, number, "10", "10.88") for number, vm in enumerate(self.vms, 1)]
        self.others = [Region(vm, number, "11", "10.89") for number, vm in enumerate(self.vms, 1)]
        for card in (*self.cards, *self.others):
            subnet = card.address.rsplit(".", 1)[0]
            card.address = f"{subnet}.0.{card.number}"
        self.image = directory / "disk.img"
        with open(self.image, "wb") as image:
            image.truncate(SIZE)
        self.back = stack.enter_context(
            BackEnd(self.attacked.address, self.image, "--writers=all"))
        self.traffic: list[Process] = []
        self.endured = 0
        together(self._load, self.vms)
        together(Region.find, [*self.cards, *self.others])
        together(Region.configure, self.others)
        self.others[0].reach(self.others[1].address)
        self.witness = Witness(*self.others)
        self.start_traffic()
        self.works()

    @staticmethod
    def _load(vm: VM) -> None:
        vm.load_driver()
        vm.run(f"insmod {module(vm)} && insmod {disk_module(vm)} reconnect_timeout=1")

    # Traffic

    def start_traffic(self) -> None:
        """Frames, blocks and messages, each in a loop that nothing ends."""
        a, b = self.vms
        together(lambda vm: vm.run("touch /run/traffic /run/messages; "
                                   "head -c 64K /dev/urandom >/run/message"), self.vms)
        message = f"timeout 20 {TOOL} {{}} /dev/ivshmem0 {{}} {{}} && date +%N >/run/messages"
        loops = [
            (a, f"ping -n -q -i 0.05 -s 1400 -w 5 {self.cards[1].address}"),
            (b, f"ping -n -q -i 0.05 -s 6000 -w 5 {self.cards[0].address}"),
            (a, f"dd if={DISK} of=/dev/null bs=16k count=20 iflag=direct"),
            (b, f"dd if=/dev/zero of={DISK} bs=16k count=20 oflag=direct conv=nocreat"),
            (a, message.format("send", self.cards[1].slot, "/run/message --timeout 10")),
            (b, message.format("recv", self.cards[0].slot, "-o /dev/null --timeout 10")),
        ]
        self.traffic = [vm.spawn(FOREVER.format(command)) for vm, command in loops]

    def stop_traffic(self) -> None:
        """End it, which it does although it may be in the middle of something."""
        together(lambda vm: vm.run("rm -f /run/traffic; killall -q ping dd ivshmem; true"),
                 self.vms)
        for process in self.traffic:
            process.wait(BOUND)

    # What has to be so

    def works(self, messages: bool = True) -> None:
        """Wait until both guests can use all of the attacked region."""
        together(lambda card: card.vm.run(WORKS.format(
            place=card.place, address=card.address, disk=DISK,
            other=self.cards[2 - card.number].address) + MESSAGES * messages, BOUND),
            self.cards)

    def attack(self, name: str, **options: Any) -> dict[str, Any]:
        """Attack the first region: the second one does not suffer, and both guests answer."""
        with Attack(name, self.attacked.address, **options) as running:
            self.witness.goes_on()
            said = running.wait()
        together(lambda vm: vm.run("cd /sys/class/ivshmem/ivshmem0 && cat region peers", BOUND),
                 self.vms)
        self.witness.goes_on()
        return said

    def renew(self) -> None:
        """Format the region anew, so that no link remembers what it went through."""
        self.endured = 0
        attack("heartbeats", self.attacked.address, words=1, seconds=0, renew=True)

    def recovers(self, name: str) -> None:
        """After an attack all works again; the next one begins with links that rest little."""
        try:
            self.works()
        except BaseException:
            self.renew()
            raise
        self.count(name)

    def count(self, name: str) -> None:
        """Links rest longer after each attack: let them forget that now and then."""
        self.endured = 0 if name in RENEWING else self.endured + 1
        if self.endured == PATIENCE:
            self.renew()


def is_idle(vm: VM) -> bool:
    """Whether a guest's processor had more rest than work in a while."""
    before = vm.run("head -1 /proc/stat; busybox sleep 1; head -1 /proc/stat").stdout
    first, last = (list(map(int, line.split()[1:])) for line in before.splitlines())
    spent = [now - then for then, now in zip(first, last)]
    return spent[3] + spent[4] > sum(spent) / 2


def wait_idle(vm: VM) -> None:
    """Wait until nothing in a guest works without being asked."""
    poll_until(lambda: is_idle(vm), BOUND, f"{vm.name}: idle")
