# SPDX-License-Identifier: GPL-2.0-only
"""The ways between two machines that are measured, and the machines."""

import dataclasses
import tempfile
from contextlib import ExitStack

from bench.guest import counter
from lab import VM, LabError, Process, Server, ivshmem_doorbell
from lab.agent import poll_until
from lab.network import Network, Port
from lab.paths import BUILD, MODULES

FOLDER = BUILD / "bench/net"
VECTORS = 2
# Of a section of 16 MiB for two peers each ring has 4 MiB; and so of this for eight.
SIZE, LAYOUT = "32M", "net=bench:16M"
LARGE_SIZE, LARGE_LAYOUT = "256M", "net=bench:240M"
PEERS = 8
BOUND = 300

OURS, LARGE, LOOPBACK = "ivshmem", "ivshmem-large", "tcp-loopback"
TAP, STREAM, E1000E = "virtio-net-tap", "virtio-net-stream", "e1000e"
# The way between the machines -> address of its machines but for the last byte
WAYS = {OURS: "10.90.1", LARGE: "10.90.5", TAP: "10.90.2", STREAM: "10.90.3",
        E1000E: "10.90.4"}
# Our cards: the network that they are on -> place of the device
CARDS = {OURS: "0x10", LARGE: "0x11"}

# In a guest: gives the card with an address to a network namespace of its own.
PUT = """
ip netns add {way} 2>/dev/null
for device in /sys/class/net/*; do
    [ "$(cat "$device/address")" = {mac} ] || continue
    name=${{device##*/}}
    ip link set "$name" netns {way} &&
        ip -n {way} address add {address}/24 dev "$name" &&
        ip -n {way} link set "$name" up && ip -n {way} link set lo up
    exit
done
echo "no network device has the address {mac}" >&2
exit 1
"""

# In a namespace: how many peers can be sent to.
READY = "ethtool -S $(ls /sys/class/net | grep -v lo) | grep -c '_ready: 1' || :"


@dataclasses.dataclass
class End:
    """One end of a way: a machine, and where its card is."""

    vm: VM
    way: str
    address: str

    def words(self, *command: str) -> list[str]:
        """A command in the namespace of the card."""
        return ["ip", "netns", "exec", self.way, *command]

    def spawn(self, *command: str) -> Process:
        """Start a program there."""
        return self.vm.spawn(self.words(*command))

    def listens(self, port: int, kind: str) -> None:
        """Wait until a program listens on a port ("t"cp, "u"dp)."""
        self.vm.wait_for(f"ip netns exec {self.way} ss -Han{kind} "
                         f"'sport = {port}' | grep -qE 'LISTEN|UNCONN'")

    def put(self, mac: str) -> None:
        """Move the card there, and give it its address."""
        self.vm.run(PUT.format(mac=mac, way=self.way, address=self.address))

    def wait_peers(self, count: int) -> None:
        """Wait until so many others, no more and no fewer, are on our segment."""
        poll_until(lambda: self.vm.run(self.words("sh", "-c", READY)).stdout.strip()
                   == str(count), BOUND, f"{self.vm.name}: {count} peers")


Ways = dict[str, list[End]]


def load(vm: VM) -> None:
    """Load our drivers."""
    module = MODULES / vm.kernel.release / "drivers/net/ivshmem_net.ko"
    if not module.exists():
        raise LabError(f"{module}: not built; run 'make modules'")
    vm.load_driver()
    vm.run(f"insmod {module}")


def our_mac(vm: VM, way: str) -> str:
    """The address of our card."""
    place = CARDS[way].removeprefix("0x")
    return vm.wait_for(f"cat /sys/bus/pci/devices/0000:00:{place}.0/ivshmem.net.*/net/*/address"
                       ).stdout.strip()


def stream_mac(number: int) -> str:
    """The address of the card whose QEMU is connected to the other's."""
    return f"52:54:00:78:00:0{number}"


def stream(number: int, path: str) -> list[str]:
    """The arguments of that card."""
    server = "on" if number == 1 else "off"
    return ["-netdev", f"stream,id=stream,server={server},addr.type=unix,addr.path={path}",
            "-device", f"virtio-net-pci,netdev=stream,mac={stream_mac(number)},romfile="]


def connect(vm: VM, number: int, ports: list[Port]) -> list[End]:
    """Give each card of a machine its namespace and its address."""
    load(vm)
    vm.run("modprobe virtio_net && modprobe e1000e")
    macs = {OURS: our_mac(vm, OURS), LARGE: our_mac(vm, LARGE), TAP: ports[0].mac,
            STREAM: stream_mac(number), E1000E: ports[1].mac}
    ends = [End(vm, way, f"{network}.{number}") for way, network in WAYS.items()]
    for end in ends:
        end.put(macs[end.way])
    return ends


def loopback(vm: VM) -> list[End]:
    """Both ends of a way inside one machine."""
    vm.run(f"ip netns add {LOOPBACK} && ip -n {LOOPBACK} link set lo up")
    return [End(vm, LOOPBACK, "127.0.0.1")] * 2


class Neighbours:
    """Further machines on the large segment, or not, that say nothing."""

    def __init__(self, vms: list[VM]) -> None:
        self.ends = [End(vm, LARGE, f"{WAYS[LARGE]}.{number}")
                     for number, vm in enumerate(vms, 3)]
        self.there = 0

    def join(self, count: int, others: list[End]) -> None:
        """Let @count peers be there, two of which are @others, and all know it."""
        wanted = count - len(others)
        for end in self.ends[self.there:wanted]:
            load(end.vm)
            end.put(our_mac(end.vm, LARGE))
        for end in self.ends[wanted:self.there]:
            end.vm.run("rmmod ivshmem_net ivshmem")
        self.there = wanted
        for end in [*others, *self.ends[:wanted]]:
            end.wait_peers(count - 1)


class Stage:
    """What is between the machines, and the machines; @cleanup ends all of it."""

    def __init__(self, cleanup: ExitStack) -> None:
        self.cleanup = cleanup
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.taps = cleanup.enter_context(Network(2))
        self.cards = cleanup.enter_context(Network(2, "e1000e"))
        self.servers = {way: cleanup.enter_context(Server(
            name=way, peers=peers, vectors=VECTORS, size=size, layout=layout,
            directory=FOLDER / way)) for way, peers, size, layout in (
                (OURS, 2, SIZE, LAYOUT), (LARGE, PEERS, LARGE_SIZE, LARGE_LAYOUT))}

    def start(self, vms: list[VM]) -> list[VM]:
        """Boot machines at once."""
        for vm in vms:
            self.cleanup.callback(vm.kill)
            vm.start(wait=False)
            # Whoever connects needs somebody who listens.
            vm.qmp("query-status")
        for vm in vms:
            vm.wait_ready()
        return vms

    def _machine(self, number: int, socket: str, counted: bool) -> VM:
        """One with a card of each kind."""
        directory = FOLDER / f"vm-{number}"
        # The other network's ports need numbers of their own.
        other = dataclasses.replace(self.cards.ports[number - 1], number=10 + number)
        devices = [ivshmem_doorbell(self.servers[way], VECTORS, id=way, addr=place)
                   for way, place in CARDS.items()] + [stream(number, socket)]
        # Only an emulated machine's instructions can be counted.
        more = {"devices": [*devices, counter(directory)], "mode": "tcg"} if counted else \
            {"devices": devices}
        return VM(f"vm-{number}", ports=[self.taps.ports[number - 1], other],
                  directory=directory, **more)

    def pair(self, counted: bool = False) -> Ways:
        """Two machines; both ends of each way, which reach each other."""
        folder = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        vms = self.start([self._machine(number, f"{folder}/stream", counted)
                          for number in (1, 2)])
        sides = [connect(vm, number, vm.ports) for number, vm in enumerate(vms, 1)]
        ways = {one.way: [one, other] for one, other in zip(*sides)}
        for one, other in ways.values():
            one.vm.wait_for(one.words("ping", "-n", "-c", "1", "-W", "1", other.address))
        return ways

    def alone(self) -> list[End]:
        """Both ends of the way inside a machine with two processors."""
        return loopback(*self.start([VM("vm-loopback", smp=2,
                                        directory=FOLDER / "vm-loopback")]))

    def neighbours(self) -> Neighbours:
        """As many machines as there is room for besides two."""
        device = {"id": LARGE, "addr": CARDS[LARGE]}
        return Neighbours(self.start([
            VM(f"vm-{number}", [ivshmem_doorbell(self.servers[LARGE], VECTORS, **device)],
               memory="256M", directory=FOLDER / f"vm-{number}")
            for number in range(3, PEERS + 1)]))
