# SPDX-License-Identifier: GPL-2.0-only
"""Measures the network card between two virtual machines beside what else connects
them, alternating, in the same two machines, in one run; medians, with all figures kept.

tcp_1, tcp_4  Gbit/s of one and of four streams of TCP, mean of both directions
udp_64        thousands of datagrams of 64 bytes a second that arrive
rr_p50        microseconds until a request of 64 bytes is answered by as many,
rr_p99        over TCP: half of them take less, and all but one of a hundred
cpu_per_gib   seconds of the host's processors that both QEMUs take for a GiB of tcp_1
irqs_udp_64   interrupts for each of these datagrams, in the machine that receives them
NAME_peers_N  with N peers on a segment for eight, beside the same segment with two

virtio-net-tap     virtio-net, TAPs and a Linux bridge, with all offloads
virtio-net-stream  virtio-net, one QEMU's socket to the other's
e1000e             an emulated card, TAPs and a Linux bridge
tcp-loopback       the limit: inside one machine with two processors, no card at all
ivshmem-2          our card on a segment for eight that only two are on
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import report
from lab import VM, LabError, Process, Server, accel, ivshmem_doorbell, kernel
from lab.network import Network, Port
from lab.paths import BUILD, MODULES, ROOT, USERSPACE
from tests.net.peer import NetPeer

RESULT = BUILD / "bench/net.json"
QUICK = BUILD / "bench/net/quick.json"
FOLDER = BUILD / "bench/net"
PROGRAM = USERSPACE / "bench/net/net_speed"
VECTORS = 2
# Of a section of 16 MiB for two peers each ring has 4 MiB; and so of this for eight.
SIZE, LAYOUT = "32M", "net=bench:16M"
LARGE_SIZE, LARGE_LAYOUT = "256M", "net=bench:240M"
PATIENCE = 120
GIB = 1 << 30

OURS, LARGE, LOOPBACK = "ivshmem", "ivshmem-large", "tcp-loopback"
# The way between the machines -> address of its machines but for the last byte
WAYS = {OURS: "10.90.1", LARGE: "10.90.5", "virtio-net-tap": "10.90.2",
        "virtio-net-stream": "10.90.3", "e1000e": "10.90.4"}
# Our cards: the network that they are on -> place of the device
CARDS = {OURS: "0x10", LARGE: "0x11"}
UNITS = {"tcp_1": ("Gbit/s", "higher"), "tcp_4": ("Gbit/s", "higher"),
         "udp_64": ("kpps", "higher"), "rr_p50": ("us", "lower"), "rr_p99": ("us", "lower"),
         "cpu_per_gib": ("s", "lower"), "irqs_udp_64": ("1", "lower")}
# How the cost grows with the peers of a segment; these are there and say nothing
GROWTH = (2, 4, 8)
GROWN = ("tcp_1", "udp_64")

# In a guest: gives the card with an address to a network namespace of its own.
PUT = """
for device in /sys/class/net/*; do
    [ "$(cat "$device/address")" = {mac} ] || continue
    name=${{device##*/}}
    ip netns add {way} && ip link set "$name" netns {way} &&
        ip -n {way} address add {address}/24 dev "$name" &&
        ip -n {way} link set "$name" up && ip -n {way} link set lo up
    exit
done
echo "no network device has the address {mac}" >&2
exit 1
"""


class BenchError(Exception):
    """Why nothing can be measured."""


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


def ended(process: Process) -> Any:
    """The JSON that a program in a guest printed, which has to succeed."""
    result = process.wait(PATIENCE)
    if result.returncode:
        raise BenchError(f"{process.vm.name}: {process.command}: "
                         f"{result.stderr.strip() or result.stdout.strip()}")
    return json.loads(result.stdout) if result.stdout.strip() else None


def cpu_seconds(ends: list[End]) -> float:
    """What the host's processors have done for the machines."""
    found = 0
    for pid in {end.vm.pid for end in ends}:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found += int(fields[11]) + int(fields[12])
    return found / os.sysconf("SC_CLK_TCK")


def tcp(source: End, target: End, streams: int, seconds: float) -> tuple[float, float]:
    """Gigabits a second, and bytes that arrived."""
    server = target.spawn("iperf3", "--server", "--one-off", "--json")
    target.listens(5201, "t")
    client = source.spawn("iperf3", "--client", target.address, "--time", f"{seconds:g}",
                          "--parallel", str(streams), "--json")
    said = ended(client)["end"]["sum_received"]
    ended(server)
    return said["bits_per_second"] / 1e9, said["bytes"]


def interrupts(vm: VM) -> int:
    """All that devices have sent to a machine."""
    lines = vm.run("grep MSI /proc/interrupts").stdout.splitlines()
    return sum(int(word) for line in lines for word in line.split()[1:] if word.isdigit())


def udp(source: End, target: End, seconds: float) -> tuple[float, float]:
    """Thousands of datagrams a second that arrive, and interrupts for each."""
    before = interrupts(target.vm)
    receiver = target.spawn(str(PROGRAM), "udp-recv", "7001")
    target.listens(7001, "u")
    sender = source.spawn(str(PROGRAM), "udp-send", target.address, "7001", str(seconds))
    ended(sender)
    said = ended(receiver)
    return (said["packets"] / said["seconds"] / 1e3,
            (interrupts(target.vm) - before) / said["packets"])


def answers(source: End, target: End, seconds: float) -> tuple[float, float]:
    """Half of the round trips, and 99 of 100, take less microseconds."""
    server = target.spawn(str(PROGRAM), "rr-serve", "7002")
    target.listens(7002, "t")
    said = ended(source.spawn(str(PROGRAM), "rr-ask", target.address, "7002", str(seconds)))
    ended(server)
    return said["p50"], said["p99"]


def one_way(ends: list[End], seconds: float) -> dict[str, float]:
    """All figures of a way, once."""
    found: dict[str, float] = {}
    for streams in (1, 4):
        before = cpu_seconds(ends)
        both = [tcp(*pair, streams, seconds) for pair in (ends, ends[::-1])]
        found[f"tcp_{streams}"] = sum(rate for rate, _ in both) / 2
        if streams == 1:
            used = cpu_seconds(ends) - before
            found["cpu_per_gib"] = used / sum(size for _, size in both) * GIB
    found["udp_64"], found["irqs_udp_64"] = udp(ends[0], ends[1], seconds)
    found["rr_p50"], found["rr_p99"] = answers(ends[0], ends[1], seconds)
    return found


def grown(ends: list[End], server: Server, count: int, seconds: float) -> dict[str, float]:
    """Some figures on the large segment, with @count peers on it."""
    machines = slots(ends)
    with ExitStack() as present:
        for number in range(count - 2):
            peer = present.enter_context(NetPeer(server.socket, VECTORS, f"10.90.5.{10 + number}",
                                                 section="bench"))
            peer.wait_ready(*machines, timeout=PATIENCE)
        return {"tcp_1": sum(tcp(*pair, 1, seconds)[0] for pair in (ends, ends[::-1])) / 2,
                "udp_64": udp(ends[0], ends[1], seconds)[0]}


def slots(ends: list[End]) -> list[int]:
    """Of the machines, on the large segment."""
    place = CARDS[LARGE].removeprefix("0x")
    return [int(end.vm.run(f"cat /sys/bus/pci/devices/0000:00:{place}.0/ivshmem/*/peer_id "
                           "2>/dev/null | head -1").stdout) for end in ends]


def stream(number: int, path: str) -> list[str]:
    """The arguments of a card whose QEMU is connected to the other's."""
    server = "on" if number == 1 else "off"
    return ["-netdev", f"stream,id=stream,server={server},addr.type=unix,addr.path={path}",
            "-device", f"virtio-net-pci,netdev=stream,mac=52:54:00:78:00:0{number},romfile="]


def start(servers: dict[str, Server], taps: Network, cards: Network,
          cleanup: ExitStack) -> list[VM]:
    """Two machines with a card of each kind; and one with two processors."""
    socket = f"{cleanup.enter_context(tempfile.TemporaryDirectory(prefix='bench-'))}/stream"
    vms = []
    for number in (1, 2):
        # The other network's ports need numbers of their own.
        other = dataclasses.replace(cards.ports[number - 1], number=10 + number)
        devices = [ivshmem_doorbell(servers[way], VECTORS, id=way, addr=place)
                   for way, place in CARDS.items()]
        vms.append(VM(f"vm-{number}", [*devices, stream(number, socket)],
                      ports=[taps.ports[number - 1], other], directory=FOLDER / f"vm-{number}"))
    vms.append(VM("vm-loopback", smp=2, directory=FOLDER / "vm-loopback"))
    for vm in vms:
        cleanup.callback(vm.kill)
        vm.start(wait=False)
        # Whoever connects needs somebody who listens.
        vm.qmp("query-status")
    for vm in vms:
        vm.wait_ready()
    return vms


def load(vm: VM) -> None:
    """Load all drivers."""
    module = MODULES / vm.kernel.release / "drivers/net/ivshmem_net.ko"
    if not module.exists():
        raise BenchError(f"{module}: not built")
    vm.load_driver()
    vm.run(f"insmod {module} && modprobe virtio_net && modprobe e1000e")


def our_mac(vm: VM, way: str) -> str:
    """The address of our card."""
    place = CARDS[way].removeprefix("0x")
    return vm.wait_for(f"cat /sys/bus/pci/devices/0000:00:{place}.0/ivshmem.net.*/net/*/address"
                       ).stdout.strip()


def put(vm: VM, number: int, ports: list[Port]) -> list[End]:
    """Give each card of a machine its namespace and its address."""
    load(vm)
    macs = {OURS: our_mac(vm, OURS), LARGE: our_mac(vm, LARGE), "virtio-net-tap": ports[0].mac,
            "virtio-net-stream": f"52:54:00:78:00:0{number}", "e1000e": ports[1].mac}
    ends = []
    for way, network in WAYS.items():
        end = End(vm, way, f"{network}.{number}")
        vm.run(PUT.format(mac=macs[way], way=way, address=end.address))
        ends.append(end)
    return ends


def connect(vms: list[VM]) -> dict[str, list[End]]:
    """Both ends of each way, which reach each other."""
    sides = [put(vm, number, vm.ports) for number, vm in enumerate(vms[:2], 1)]
    ways = {one.way: [one, other] for one, other in zip(*sides)}
    for one, other in ways.values():
        one.vm.wait_for(one.words("ping", "-n", "-c", "1", "-W", "1", other.address))
    vms[2].run(f"ip netns add {LOOPBACK} && ip -n {LOOPBACK} link set lo up")
    ways[LOOPBACK] = [End(vms[2], LOOPBACK, "127.0.0.1")] * 2
    return ways


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


class Rounds:
    """What was measured: way and name -> a figure of each round."""

    def __init__(self, ways: dict[str, list[End]], large: Server, seconds: float) -> None:
        self.ways = {way: ends for way, ends in ways.items() if way != LARGE}
        self.order = list(self.ways)
        self.large = large, ways[LARGE]
        self.seconds = seconds
        self.found: dict[tuple[str, str], list[float]] = {}

    def _keep(self, what: str, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.found.setdefault((what, name), []).append(value)
        say(f"{what}: " + ", ".join(f"{name} {value:.3g} {UNITS[name][0]}"
                                    for name, value in figures.items()))

    def run(self) -> None:
        """One round."""
        for way in self.order:
            self._keep(way, one_way(self.ways[way], self.seconds))
        # Nobody always comes after the same one.
        self.order = self.order[1:] + self.order[:1]
        server, ends = self.large
        for count in GROWTH:
            self._keep(f"{OURS}-{count}", grown(ends, server, count, self.seconds))

    def rows(self) -> list[dict[str, Any]]:
        """Our card beside each other way, and beside itself."""
        rows = [report.row(name, *UNITS[name], self.found[OURS, name], way,
                           self.found[way, name])
                for name in UNITS for way in self.ways
                if way != OURS and not (way == LOOPBACK and name.startswith("irqs"))]
        base = f"{OURS}-{GROWTH[0]}"
        return rows + [report.row(f"{name}_peers_{count}", *UNITS[name],
                                  self.found[f"{OURS}-{count}", name], base,
                                  self.found[base, name])
                       for name in GROWN for count in GROWTH[1:]]


def measure(rounds: int, seconds: float, target: Path, cleanup: ExitStack) -> dict[str, Any]:
    """Boot the machines and run all of it."""
    guest_kernel = kernel.get()
    mode, _ = accel.choose(guest_kernel)
    FOLDER.mkdir(parents=True, exist_ok=True)
    about = report.machine(qemu=accel.qemu_version().split("version ")[-1].split()[0],
                           accel=mode, guest_kernel=guest_kernel.release,
                           seconds=seconds)
    taps = cleanup.enter_context(Network(2))
    cards = cleanup.enter_context(Network(2, "e1000e"))
    servers = {way: cleanup.enter_context(Server(name=way, peers=peers, vectors=VECTORS,
                                                 size=size, layout=layout,
                                                 directory=FOLDER / way))
               for way, peers, size, layout in ((OURS, 2, SIZE, LAYOUT),
                                                (LARGE, 8, LARGE_SIZE, LARGE_LAYOUT))}
    say("starting three virtual machines")
    measured = Rounds(connect(start(servers, taps, cards, cleanup)), servers[LARGE], seconds)
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        measured.run()
    return report.write(target, about, measured.rows())


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m bench.net", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (5)")
    parser.add_argument("--seconds", type=float, default=3, help="of each figure (3)")
    parser.add_argument("--quick", action="store_true",
                        help="one round of one second: whether it works, no figures to keep")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 1
    if args.rounds < 1 or not 1 <= args.seconds <= 3600:
        parser.error("--rounds is at least 1, --seconds is 1 to 3600")
    target = QUICK if args.quick else RESULT
    try:
        with ExitStack() as cleanup:
            outcome = measure(args.rounds, args.seconds, target, cleanup)
    except KeyboardInterrupt:
        say("bench: interrupted; everything is stopped")
        return 130
    except (BenchError, LabError, OSError, TimeoutError,
            subprocess.SubprocessError) as error:
        say(f"bench: {error}")
        return 1
    if args.json:
        print(json.dumps(outcome, indent=2))
    else:
        print(f"\n{report.table(outcome['results'])}\n\nMedians of {args.rounds} alternating "
              f"rounds of {args.seconds:g} s; a ratio above 1 is in our favour.\n"
              f"Load of the machine at the start: {outcome['machine']['load']:.1f}. "
              f"Raw data: {target.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
