# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own network selftests, unmodified, and cards of ours for them in a guest.

A program of theirs wants both ends of a cable in one machine. The guest has two peers of
a region with several segments: each segment is a cable, with a card of ours at each end.
"""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import VM, Process, Result, Server, ivshmem_doorbell, source
from lab.debian import locked
from lab.paths import BUILD

from .card import module, until

QUEUES = 2
# Of a cable as most programs want it: addresses of its near and of its far end
NEAR, FAR = "192.0.2.1", "192.0.2.2"
NEAR6, FAR6 = "2001:db8::1", "2001:db8::2"

HOME = "/run/selftests"
TESTS = "tools/testing/selftests"
ARCHIVE = BUILD / "source/selftests.tar"
# Folder -> programs in C, which the kernel's own Makefile there builds
PROGRAMS = {
    "net/lib": ["csum"],
    "net": ["gro", "msg_zerocopy", "txtimestamp", "udpgso_bench_rx", "udpgso_bench_tx"],
}
# More than any of them needs on a busy machine
BOUND = 240
# A socket that wants timestamps, as long as the guest lives. With the first one and after
# the last one the kernel changes its code where packets are received; QEMU 7.2 may go
# on with code that it translated in between, and the breakpoint there is then nobody's:
# "Oops: int3" within half a minute of ping -f, without any driver of ours.
TIMESTAMPS = """exec python3 -c '
import signal, socket
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.setsockopt(socket.SOL_SOCKET, 29, 1)
signal.pause()'"""


def archive() -> Path:
    """The tests, ready to run, as guests unpack them: many small files cost them more."""
    with locked("build-selftests"):
        tree = source.kernel()
        made = [tree / TESTS / folder / name
                for folder, names in PROGRAMS.items() for name in names]
        if not ARCHIVE.exists() or not all(map(Path.exists, made)):
            for folder, names in PROGRAMS.items():
                _make(tree / TESTS / folder, names)
            partial = ARCHIVE.with_suffix(".partial")
            subprocess.run(["tar", "-cf", partial, "-C", tree, *sorted(
                str(path.relative_to(tree)) for path in tree.iterdir()
                if path.name != "scripts" and not path.name.startswith("."))], check=True)
            partial.rename(ARCHIVE)
    return ARCHIVE


def _make(folder: Path, names: list[str]) -> None:
    done = subprocess.run(["make", "--no-print-directory", "-C", folder, f"OUTPUT={folder}",
                           *(f"{folder}/{name}" for name in names)], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not done.returncode, done.stdout


def region(cables: int) -> dict[str, str | int]:
    """How the server of the region with the cables is told of it."""
    # A comma within a value is written twice.
    layout = ",,".join(f"net=cable{number}:14M:queues={QUEUES}:vector={number}"
                       for number in range(cables))
    return {"size": "64M", "peers": 2, "vectors": cables, "layout": layout}


def devices(server: Server, cables: int) -> list[list[str]]:
    """Both peers of the region."""
    return [ivshmem_doorbell(server, cables, id=f"end{number}", addr=f"0x1{number}")
            for number in range(2)]


@dataclass(frozen=True)
class Cable:
    """The cards at its ends, by name."""

    near: str
    far: str


class Selftests:
    """The tests in a guest, and the cables for them."""

    def __init__(self, vm: VM) -> None:
        self.vm = vm
        vm.load_driver()
        vm.run(f"""set -e
            insmod {module(vm)}
            mkdir {HOME}
            tar -xf {archive()} -C {HOME}""")
        vm.spawn(TIMESTAMPS)
        said = vm.run("cd /sys/class/net && grep . eth*/address").stdout
        self.stations = dict(re.findall(r"(\w+)/address:(\S+)", said))
        # Cards of one segment differ in the last byte, the slot.
        names = sorted(self.stations, key=lambda name: self.stations[name])
        self.cables = [Cable(*names[i:i + 2]) for i in range(0, len(names), 2)]

    # Where the cards are

    def plug(self, place: str, *cards: str) -> None:
        """Put cards into a network namespace, which is made for them."""
        # Nobody else has an address of ours: it need not be waited for. Cards take the
        # setting over when they come.
        self.vm.run(f"""set -e
            ip netns add {place}
            ip -n {place} link set lo up
            ip netns exec {place} sysctl -q net.ipv6.conf.{{all,default}}.accept_dad=0
            for card in {' '.join(cards)}; do
                ip link set $card netns {place}
            done""")

    def connect(self, cable: Cable) -> None:
        """Let the ends of a cable be in the namespaces "near" and "far", with addresses."""
        for place, card, address, address6 in (("near", cable.near, NEAR, NEAR6),
                                               ("far", cable.far, FAR, FAR6)):
            self.plug(place, card)
            # Addresses stay when a test sets the card down.
            self.vm.run(f"""set -e
                ip netns exec {place} sysctl -q net.ipv6.conf.{card}.keep_addr_on_down=1
                ip -n {place} address add {address}/24 dev {card}
                ip -n {place} address add {address6}/64 dev {card}
                ip -n {place} link set {card} up""")
        self.wait_for_frames()

    def wait_for_frames(self) -> None:
        """Wait until frames pass between "near" and "far"."""
        until(self.vm, f"ip netns exec near ping -q -n -c 1 -W 1 {FAR} >/dev/null")

    # Running them

    def spawn(self, folder: str, command: str, place: str = "near", **env: str) -> Process:
        """Start a program of a folder in a namespace."""
        return self.vm.spawn(
            f"cd {HOME}/{TESTS}/{folder} && exec ip netns exec {place} {command}", env)

    def run(self, folder: str, command: str, place: str = "near", **env: str) -> str:
        """Run a program, which has to succeed in all that it tries; what it said."""
        return passed(self.spawn(folder, command, place, **env).wait(BOUND))

    def listens(self, place: str, kind: str, port: int = 0) -> None:
        """Wait until a program in a namespace has a socket (-u, -t, -0), of a port."""
        where = shlex.quote(f"sport = {port}") if port else ""
        until(self.vm, f"ip netns exec {place} ss -Hln {kind} {where} | grep -q .")


def passed(result: Result, *but: str) -> str:
    """What a test said; it must have passed all of it, except lines with a word of @but."""
    said = result.stdout + result.stderr
    assert result.returncode == 0, f"{result.command}: {result.returncode}\n{said}"
    bad = [line for line in said.splitlines() if re.search(r"^not ok|FAIL|SKIP", line)
           and not any(word in line for word in but)]
    assert not bad, f"{result.command}:\n{said}"
    return said
