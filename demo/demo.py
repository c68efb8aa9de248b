# SPDX-License-Identifier: GPL-2.0-only
"""Two virtual machines and a process of the host share memory, greet each
other through it, and measure how long waking each other takes."""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from lab import VM, LabError, Network, Server, accel, ivshmem_doorbell, kernel
from lab.kernel import Kernel
from lab.paths import BUILD, ROOT

from . import disk, network, report
from .peers import DemoError, Guest, Host, Peer

FOLDER = BUILD / "demo"
SUMMARY = "summary.json"

SLOTS = 8           # each process of the host that attaches takes one
VECTORS = 8         # a peer rings others on the vector that is its own id

# The pings have the first 32 KiB of the memory.
GREETINGS = 0x10000
GREETING_SIZE = 256

DEFAULT_COUNT = 2000
MAX_COUNT = 1000000

# VFIO wants an IOMMU that isolates the device and remaps its interrupts. All
# ways are measured with it, in the same two machines.
IOMMU = ["-device", "intel-iommu,intremap=on"]
# On a busy host an emulated timer interrupt comes too late for the kernel's
# trial of it, which ends in a panic when interrupts are remapped.
KERNEL_PARAMETERS = "intel_iommu=on no_timer_check"

DESCRIPTION = """\
Starts ivshmemd with one link and two virtual machines with an ivshmem-doorbell
device each; a process of the host is the third peer. They greet each other
through the shared memory, then round trips are measured VM-VM and VM-host, in
three ways:

""" + "\n".join(f"  {way:<9}{meaning}" for way, meaning in report.WAYS.items()) + """

Then both are on an Ethernet segment in the memory of a second link: they ping each
other, and send a TCP stream; beside it, through virtio-net, TAPs and a bridge of the
host, if this is run by root.

The first one has a disk, too, which is a file of the host: it makes a file system,
writes, reads that again, and measures reads; beside it, through virtio-blk.
"""

EPILOG = f"""\
Both machines are the same for all ways: one virtual CPU, and an emulated IOMMU
with interrupt remapping, since VFIO needs one. In a pair VM-VM both ends go the
way that is named; in VM-host the host's end always is the server's socket.

{FOLDER.relative_to(ROOT)}/{SUMMARY} has all figures. A way's own rtt_us are those of VM-VM,
its count and lost are the sums of its pairs.

Exit status: 0 all went well; 1 a ping was lost, a doorbell or a greeting did not
arrive, or a kernel complained; 2 wrong usage; 130 interrupted.
"""


class Stage:
    """Tells the audience what happens, and since when it has been waiting."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.begin = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self.begin

    def say(self, text: str) -> None:
        """A new scene."""
        print(f"[{self.elapsed:5.1f} s] {text}", file=self.out, flush=True)

    def show(self, text: str) -> None:
        """Something that happens in it."""
        print(f"          {text}", file=self.out, flush=True)


def start_vms(server: Server, guest_kernel: Kernel, mode: str, folder: Path,
              cleanup: ExitStack, segment: Server | None = None,
              bridge: Network | None = None, store: disk.Disk | None = None) -> list[VM]:
    """Both machines, up and running; with network cards as far as there are networks,
    and the first one with disks."""
    # With KVM the remapping needs the interrupt controller to be QEMU's.
    machine = ",kernel-irqchip=split" if mode == "kvm" else ""
    cards = [network.device(segment)] if segment else []
    disks = [store.devices() if store else [], []]
    vms = [VM(name, [IOMMU, ivshmem_doorbell(server, VECTORS), *cards, *disks[number]],
              kernel=guest_kernel, append=KERNEL_PARAMETERS, machine=machine,
              ports=[bridge.ports[number]] if bridge else [], directory=folder / name)
           for number, name in enumerate(("vm-a", "vm-b"))]
    for vm in vms:
        cleanup.callback(vm.kill)
        vm.start(wait=False)
    for vm in vms:
        vm.wait_ready()
    return vms


def greet(stage: Stage, peers: list[Peer]) -> None:
    """Each writes a greeting and rings; all others must read just that."""
    # The host first: only by that does it become a peer, with an id.
    for peer in reversed(peers):
        peer.attend([other.peer_id for other in peers if other is not peer])
        stage.show(f"{peer.name:<5} is peer {peer.peer_id} on {peer.device}")
    for peer in peers:
        others = [other for other in peers if other is not peer]
        place = GREETINGS + peer.peer_id * GREETING_SIZE
        text = f"Hello, {peer.name} here!"
        stage.show(f'{peer.name:<5} writes "{text}" and rings')
        peer.write(place, text)
        for other in others:
            peer.ring(other, peer.peer_id)
        for other in others:
            other.await_ring(peer.peer_id)
            seen = other.read(place, len(text))
            stage.show(f'  {other.name:<5} is rung on vector {peer.peer_id}, '
                       f'reads "{seen}"')
            if seen != text:
                raise DemoError(f"{other.name}: read {seen!r} where {peer.name} wrote "
                                f"{text!r}")
    for peer in peers:
        peer.leave()


def ping(stage: Stage, way: str, guest: Guest, other: Peer, count: int) -> dict[str, Any]:
    """Round trips from a guest to another peer."""
    stage.say(f"{guest.name} pings {other.name} {count} times, way \"{way}\": "
              f"{report.WAYS[way]}")
    listener = other.listen(way)
    figures = report.pair_figures(guest.ping(way, other, count))
    answered = listener.stop()
    p50 = figures["rtt_us"]["p50"]
    stage.show(f"half of the round trips took less than {p50:.1f} us, {figures['lost']} lost"
               if p50 is not None else f"no answer, {figures['lost']} lost")
    if answered["unrung"]:
        raise DemoError(f"{other.name}: could not ring back {answered['unrung']} times")
    return figures


def measure(stage: Stage, guests: list[Guest], host: Host, count: int) -> dict[str, Any]:
    """All ways, between both pairs; VFIO last, since it takes the device away."""
    ways = {}
    for way in ("driver", "polling", "vfio"):
        if way == "vfio":
            stage.say("unbinding the driver, binding vfio-pci")
            for guest in guests:
                guest.drive_from_user_space()
        ways[way] = report.way_figures(
            {"vm-vm": ping(stage, way, guests[0], guests[1], count),
             "vm-host": ping(stage, way, guests[0], host, count)})
    return ways


def connect(stage: Stage, vms: list[VM], bridge: Network | None) -> dict[str, Any]:
    """The network in the memory, and beside it that of the host."""
    stage.say("loading ivshmem_net.ko in both: an Ethernet segment in shared memory")
    for number, vm in enumerate(vms):
        stage.show(f"{vm.name}: {network.bring_up(vm, number + 1)} is up")
        if bridge:
            bridge.ports[number].bring_up(vm)
    for vm in vms:
        vm.wait_for("grep -q 1 /sys/bus/auxiliary/devices/ivshmem.net.*/net/*/carrier")
    if not bridge:
        stage.show("virtio-net through TAPs is not measured: only root may make them")
    return network.measure(vms, bridge, stage.show)


def store_data(stage: Stage, vm: VM, store: disk.Disk) -> dict[str, Any]:
    """The disk in the memory, and beside it that of virtio."""
    stage.say(f"loading ivshmem_blk.ko in {vm.name}: {store.file} of the host is its disk")
    disk.bring_up(vm)
    stage.show(f"{vm.name}: a file system on /dev/ivblk0, 16 MiB in it, written and read "
               f"again: SHA-256 {disk.use(vm)[:16]}...")
    return disk.measure(vm, stage.show)


def complaints(vms: list[VM]) -> list[str]:
    """What the guests' kernels said that they should not have."""
    return [f"{vm.name}: the kernel complained ({vm.log_path}):\n{alarm}"
            for vm in vms if (alarm := vm.console.alarms())]


def perform(stage: Stage, count: int, folder: Path,
            cleanup: ExitStack) -> tuple[dict[str, Any], list[str]]:
    """The whole demo: its summary, and what went wrong without ending it."""
    guest_kernel = kernel.get()
    mode, why = accel.choose(guest_kernel)
    stage.say(f"starting ivshmemd with one link: {SLOTS} slots, {VECTORS} vectors")
    (folder / "ivshmemd.log").unlink(missing_ok=True)
    server = cleanup.enter_context(Server(name="demo", peers=SLOTS, vectors=VECTORS,
                                          directory=folder))
    segment = cleanup.enter_context(network.server(folder))
    bridge = cleanup.enter_context(Network(2)) if os.geteuid() == 0 else None
    store = cleanup.enter_context(disk.Disk(folder))
    stage.say(f"starting two virtual machines, Linux {guest_kernel.release}, "
              f"{mode.upper()} ({why})")
    vms = start_vms(server, guest_kernel, mode, folder, cleanup, segment, bridge, store)
    try:
        stage.say("loading ivshmem.ko in both")
        guests = [Guest(vm) for vm in vms]
        for guest in guests:
            stage.show(f"{guest.name}: {guest.load_driver()}")
        host = cleanup.enter_context(Host(server))
        peers = [*guests, host]
        stage.say("all three greet each other through the memory")
        greet(stage, peers)
        net = connect(stage, vms, bridge)
        blk = store_data(stage, vms[0], store)
        ways = measure(stage, guests, host, count)
    except Exception as error:
        raise DemoError("\n".join([str(error), *complaints(vms)])) from error
    summary = {
        "accel": mode,
        "kernel": guests[0].run("uname -r").strip(),
        "qemu": accel.qemu_version().split("version ")[-1].split()[0],
        "peers": len(peers),
        "vcpus": vms[0].smp,
        "iommu": "intel-iommu,intremap=on",
        "ways": {way: ways[way] for way in report.WAYS},
        "net": net,
        "blk": blk,
        "seconds": round(stage.elapsed, 1),
    }
    return summary, report.troubles(ways) + complaints(vms)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text}: not a number of 1 to {MAX_COUNT}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m demo", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=_count, default=DEFAULT_COUNT, metavar="N",
                        help=f"pings in each way and pair, 1 to {MAX_COUNT} "
                             f"({DEFAULT_COUNT})")
    parser.add_argument("--directory", type=Path, default=FOLDER, metavar="DIR",
                        help="where the summary and the logs are left "
                             f"({FOLDER.relative_to(ROOT)})")
    parser.add_argument("--json", action="store_true",
                        help="print the summary as JSON instead of the table")
    return parser


def _reserve(folder: Path) -> TextIO:
    """Keep a second demo out of this one's files."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise DemoError(f"{folder}: another demo is running here; wait for its end, or "
                        "choose another --directory") from None
    return lock


def _show(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    print(f"\nRound trips in microseconds; {summary['vcpus']} virtual CPU each, Linux "
          f"{summary['kernel']}, QEMU {summary['qemu']}, {summary['accel'].upper()}\n\n"
          f"{report.table(summary['ways'])}\n\n{network.table(summary['net'])}\n\n"
          f"{disk.table(summary['blk'])}\n",
          flush=True)


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo; its exit status."""
    args = _parser().parse_args()
    stage = Stage(sys.stderr if args.json else sys.stdout)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        folder = args.directory.resolve()
        with _reserve(folder), ExitStack() as cleanup:
            (folder / SUMMARY).unlink(missing_ok=True)
            summary, wrong = perform(stage, args.count, folder, cleanup)
            report.write(folder / SUMMARY, summary)
        _show(summary, args.json)
        stage.say(f"done; all figures are in {folder / SUMMARY}")
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything is stopped", file=sys.stderr)
        return 130
    except (DemoError, LabError, OSError, subprocess.SubprocessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    for line in wrong:
        print(f"demo: {line}", file=sys.stderr)
    return 1 if wrong else 0
