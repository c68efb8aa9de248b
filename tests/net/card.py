# SPDX-License-Identifier: GPL-2.0-only
"""A network card in a guest, and what the tests do with it."""

import json
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterable

from lab import VM, Process, Server, ivshmem_doorbell
from lab.agent import poll_until
from lab.paths import MODULES

VECTORS = 4
SUBNET = "10.88.0"
SUBNET6 = "fd88::"
FUNCTIONS = "/sys/bus/auxiliary/devices"
BOUND = 180
# Words of iperf3: it would look at its clock a thousand times a second.
PACED = "-b 5M --pacing-timer 100000"
PROGRAMS = Path(__file__).with_name("xdp_programs.c")

# Sends frames of its own: INTERFACE TARGET, then HEX*COUNT each; no faster than taken.
SEND = """
import socket, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind((sys.argv[1], 0))
for word in sys.argv[2:]:
    frame, _, count = word.partition("*")
    for _ in range(int(count or 1)):
        raw.send(bytes.fromhex(frame))
"""


def together(action: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """action(item) of each item, at the same time; all must succeed."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(action, items))


def until(vm: VM, condition: str, timeout: float = 60) -> None:
    """Wait in the guest itself, where looking again costs least, until [ condition ]."""
    vm.run(f"until {condition}; do busybox sleep 0.02; done", timeout)


def module(vm: VM) -> Path:
    """The driver of the card, built for the guest's kernel."""
    return MODULES / vm.kernel.release / "drivers/net/ivshmem_net.ko"


def device(server: Server, vectors: int = VECTORS) -> list[str]:
    """The arguments of a device on a link."""
    return ivshmem_doorbell(server, vectors, addr="0x10")


def programs(vm: VM, target: int = 0) -> str:
    """Compile the XDP programs; the object as the guest sees it."""
    # Another name for each content: the guest's cache need not notice a change.
    path = vm.share / f"xdp-{target}.o"
    if not path.exists():
        subprocess.run(["clang", "-O2", "-target", "bpf", f"-DTARGET={target}",
                        "-I/usr/include/x86_64-linux-gnu", "-c", PROGRAMS, "-o", path],
                       check=True)
    return f"/mnt/share/{path.name}"


class Card:
    """The interface of a guest on the segment; its addresses end with @number."""

    def __init__(self, vm: VM, number: int) -> None:
        self.vm = vm
        self.number = number
        self.address = f"{SUBNET}.{number}"
        self.address6 = f"{SUBNET6}{number}"
        self.name = ""
        # Its Ethernet address and its place in the directory, when it was found
        self.station = b""
        self.slot = -1

    def load(self) -> "Card":
        """Load both drivers and set the interface up."""
        self.vm.load_driver()
        self.insert()
        return self

    def insert(self) -> None:
        """Load the card's driver and set the interface up."""
        self.vm.run(f"insmod {module(self.vm)}")
        self.find()
        self.configure()

    def find(self) -> str:
        """The interface's name, once it is there."""
        self.name, mac, slot = self.vm.wait_for(f"""
            cd {FUNCTIONS}/ivshmem.net.0/net && name=$(echo *) && echo $name &&
            cat $name/address /sys/class/ivshmem/ivshmem0/peer_id""").stdout.split()
        self.station = bytes.fromhex(mac.replace(":", ""))
        self.slot = int(slot)
        return self.name

    def configure(self, words: str = "") -> None:
        """Addresses and up, and @words of ip; again, whatever is there already."""
        self.vm.run(["ip", "-batch", "-"], stdin=f"""
            link set {self.name} {words or 'up'}
            address replace {self.address}/24 dev {self.name}
            link set {self.name} up
            address replace {self.address6}/64 dev {self.name} nodad
            """)

    # What it says

    @property
    def mac(self) -> str:
        """Its Ethernet address."""
        return self.vm.run(f"cat /sys/class/net/{self.name}/address").stdout.strip()

    @property
    def index(self) -> int:
        """The number of the interface: another one when it was lost and made again."""
        return int(self.vm.run(f"cat /sys/class/net/{self.name}/ifindex").stdout)

    def link(self) -> dict[str, Any]:
        """What ip knows of the interface."""
        return json.loads(self.vm.run(
            f"ip -json -details -statistics link show {self.name}").stdout)[0]

    def statistics(self) -> dict[str, int]:
        """The standard ones."""
        lines = self.vm.run(f"cd /sys/class/net/{self.name}/statistics && grep . *").stdout
        return {name: int(value) for name, value in
                (line.split(":") for line in lines.splitlines())}

    def counters(self) -> dict[str, int]:
        """What ethtool -S says."""
        lines = self.vm.run(f"ethtool -S {self.name}").stdout
        return {name: int(value) for name, value in
                re.findall(r"^\s+(\S[^:\n]*): (\d+)$", lines, re.M)}

    def carrier(self) -> bool:
        """Whether it has one."""
        return self.vm.run(f"cat /sys/class/net/{self.name}/carrier").stdout.strip() == "1"

    def wait_carrier(self, there: bool = True) -> None:
        """Wait until it has a carrier, or none."""
        until(self.vm, f'[ "$(< /sys/class/net/{self.name}/carrier)" = {int(there)} ]')

    def wait_statistic(self, name: str, least: int) -> None:
        """Wait until one of the standard ones is so large."""
        until(self.vm, f"[ $(< /sys/class/net/{self.name}/statistics/{name}) -ge {least} ]")

    # What is done with it

    def ip(self, words: str) -> None:
        """ip link set dev NAME WORDS."""
        self.vm.run(f"ip link set dev {self.name} {words}")

    def refused(self, command: str) -> str:
        """What a command says that has to fail."""
        result = self.vm.run(command, check=False)
        assert result.returncode, f"{command}: was accepted"
        return result.stderr + result.stdout

    def ethtool(self, option: str, words: str = "") -> str:
        """ethtool OPTION NAME WORDS."""
        return self.vm.run(f"ethtool {option} {self.name} {words}").stdout

    def features(self) -> dict[str, bool]:
        """ethtool -k."""
        return {name: value.startswith("on") for name, value in
                re.findall(r"^\s*([\w-]+): (\w+)", self.ethtool("-k"), re.M)}

    def forget(self) -> None:
        """Forget all neighbours; of one that is just being used ip says that it stays."""
        self.vm.run(f"ip neigh flush dev {self.name}", check=False)

    def reach(self, address: str, count: int = 1, timeout: float = 60) -> None:
        """Ping until an answer comes, then @count times without a loss."""
        self.vm.wait_for(["ping", "-n", "-c", "1", "-W", "1", address], timeout)
        if count > 1:
            self.ping(address, count)

    def ping(self, address: str, count: int = 3, words: str = "") -> None:
        """Ping, and have all answers, in their order.

        At the end ping itself waits for twice the longest time that an answer took
        before; on a busy host that is too short. With a deadline, which nobody
        reaches, it goes on until it has @count answers instead: if one is missing, a
        later number takes its place.
        """
        said = self.vm.run(f"ping -n -c {count} -i 0.02 -w {BOUND} {words} {address}",
                           timeout=2 * BOUND, check=False).stdout
        found = [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", said)]
        assert found[:count] == list(range(1, count + 1)), said

    def send(self, *frames: str) -> None:
        """Send frames, in hexadecimal, "*" and a count behind them if there are more."""
        self.vm.run(["/usr/bin/python3", "-c", SEND, self.name, *frames], timeout=BOUND)


def meet(cards: list[Card]) -> None:
    """Wait until each reaches each."""
    together(lambda card: [card.reach(other.address) for other in cards if other is not card],
             cards)


def listening(vm: VM, port: int) -> None:
    """Wait until a program listens on a TCP port."""
    until(vm, f"grep -Eqs '^ *[0-9]+: [0-9A-F]+:{port:04X} [0-9A-F:]+ 0A ' /proc/net/tcp*")


class Stream:
    """iperf3 from one card to another; result() waits for its end."""

    def __init__(self, source: Card, target: Card, words: str = "-t 1", port: int = 5201,
                 address: str = "") -> None:
        self.server: Process = target.vm.spawn(
            f"exec iperf3 --server --one-off --port {port}")
        listening(target.vm, port)
        self.client: Process = source.vm.spawn(
            f"exec iperf3 --json --port {port} --client {address or target.address} {words}")

    def running(self) -> bool:
        """Whether the client still sends."""
        return self.client.poll() is None

    def result(self, timeout: float = BOUND) -> dict[str, Any]:
        """What the client printed, which has to succeed."""
        result = self.client.wait(timeout)
        assert result.returncode == 0, result.stdout + result.stderr
        assert self.server.wait(timeout).returncode == 0, self.server.stderr
        return json.loads(result.stdout)

    def stop(self) -> None:
        """End both at once."""
        for process in (self.client, self.server):
            process.kill()


class Witness:
    """A stream between two cards that has to go on, whatever others do."""

    def __init__(self, source: Card, target: Card, words: str = PACED, port: int = 5290) -> None:
        self.source = source
        self.port = port
        self.stream = Stream(source, target, f"-t 80000 {words}", port=port)
        # One for control, one for data
        self.first = poll_until(lambda: self._connections() if len(self._connections()) == 2
                                else None, BOUND, "a stream")

    def _connections(self) -> dict[str, int]:
        """Own port of each connection -> bytes that were acknowledged."""
        said = self.source.vm.run(f"ss -tinHO dport = :{self.port}").stdout
        return {port: int(acked) for port, acked in
                re.findall(rf":(\d+) +\S+:{self.port} .*?bytes_acked:(\d+)", said)}

    def goes_on(self, timeout: float = BOUND, amount: int = 100_000) -> None:
        """Wait until so many more bytes have got through, on the same connection."""
        before = self._connections()

        def grown() -> bool:
            now = self._connections()
            assert self.stream.running(), self.stream.client.stdout + self.stream.client.stderr
            assert set(now) >= set(self.first), "a connection broke"
            return any(now[port] >= before.get(port, 0) + amount for port in now)

        poll_until(grown, timeout, "traffic between the others", longest=2)

    def stop(self) -> None:
        """End it, which still runs."""
        assert self.stream.running(), self.stream.client.stdout + self.stream.client.stderr
        self.stream.stop()


class Transfer:
    """Random bytes on their way over TCP from one card to another."""

    def __init__(self, source: Card, target: Card, size: int, address: str = "",
                 port: int = 7000, inside: str = "") -> None:
        """@inside of a network namespace of the target, if it is named."""
        to = address or target.address
        family, where = ("6", f"[{to}]") if ":" in to else ("4", to)
        enter = f"ip netns exec {inside}" if inside else ""
        self.receiver = target.vm.spawn(
            f"set -o pipefail; {enter} socat -u TCP{family}-LISTEN:{port},reuseaddr STDOUT "
            "| sha256sum")
        # Until the other one listens
        self.sender = source.vm.spawn(f"""
            file=/run/sent-{port}
            head -c {size} /dev/urandom > $file && sha256sum < $file &&
            socat -u OPEN:$file TCP{family}:{where}:{port},retry=1000,interval=0.05 &&
            rm $file""")

    def wait(self) -> None:
        """Wait until all of them have arrived as they were sent."""
        sent, arrived = self.sender.wait(BOUND), self.receiver.wait(BOUND)
        for result in (sent, arrived):
            assert result.returncode == 0, result.stdout + result.stderr
        assert len(sent.stdout.split()[0]) == 64
        assert sent.stdout == arrived.stdout


def transfer(source: Card, target: Card, size: int, address: str = "", port: int = 7000,
             inside: str = "") -> None:
    """Copy @size random bytes over TCP; both ends have the same checksum."""
    Transfer(source, target, size, address, port, inside).wait()


def exchange(one: Card, other: Card, size: int, addresses: tuple[str, str] = ("", "")) -> None:
    """Copy @size random bytes each way, at the same time; @addresses of both."""
    for way in [Transfer(one, other, size, addresses[1]),
                Transfer(other, one, size, addresses[0], port=7001)]:
        way.wait()


class Capture:
    """tcpdump on an interface of a guest, until what it waits for has come."""

    def __init__(self, card: Card, expression: str, interface: str = "", count: int = 0) -> None:
        self.vm = card.vm
        interface = interface or card.name
        self.path = card.vm.share / f"{card.number}-{interface}.pcap"
        words = f"-c {count}" if count else ""
        self.process = self.vm.spawn(
            f"exec tcpdump -Z root -i {interface} -U -n {words} -w /mnt/share/{self.path.name} "
            f"{shlex.quote(expression)} 2>/run/tcpdump-{interface}")
        until(self.vm, f"[[ $(< /run/tcpdump-{interface}) == *listening* ]]")

    def stop(self) -> "Capture":
        """End it; all that came before is in the file."""
        if self.process.poll() is None:
            self.vm.run(f"kill -INT {self.process.pid}")
        self.process.wait()
        return self

    def wait(self) -> "Capture":
        """Wait until it has as many as it wants."""
        self.process.wait(BOUND)
        return self

    def wait_for(self, word: str, count: int) -> None:
        """Wait until there are so many with a word in them."""
        poll_until(lambda: sum(word in line for line in self.lines("")) >= count, BOUND,
                   f"{count} frames with {word}")

    def lines(self, words: str = "-e") -> list[str]:
        """The frames as tcpdump prints them, one a line."""
        said = self.vm.run(f"tcpdump -n {words} -r /mnt/share/{self.path.name} 2>/dev/null",
                           timeout=BOUND, check=False).stdout
        return re.sub(r"\n\s+", " ", said).splitlines()
