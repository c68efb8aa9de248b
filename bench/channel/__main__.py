# SPDX-License-Identifier: GPL-2.0-only
"""Measures a stream of 64 KiB messages through a channel between two virtual
machines beside one TCP connection over virtio-net, TAP and bridge, alternating,
in the same two machines, in one run; medians, with all figures kept.

stream_64k        each message is copied by its sender from a private buffer and by
                  its receiver into one, as TCP does
stream_64k_place  the same without copies: made and looked at where it is
"""

import argparse
import json
import sys
from contextlib import ExitStack
from typing import Any

from bench import report
from bench.report import BenchError, say
from lab import VM, Process, Server, ivshmem_doorbell
from lab.network import Network, Port
from lab.paths import BUILD, USERSPACE

RESULT = BUILD / "bench/channel.json"
FOLDER = BUILD / "bench/channel"
PROGRAM = USERSPACE / "bench/channel/channel_stream"
NODE = "/dev/ivshmem0"
PEER = "virtio-net-tap"
MESSAGE = 65536
VECTORS = 2
# Of a section of 16 MiB for two peers each ring has 4 MiB.
SIZE, LAYOUT = "32M", "raw=bench:16M"
WAYS = {"stream_64k": "copy", "stream_64k_place": "place"}
PATIENCE = 120


def ended(process: Process, seconds: float) -> str:
    """What a program in a guest printed, which has to succeed."""
    result = process.wait(PATIENCE + seconds)
    if result.returncode:
        raise BenchError(f"{process.vm.name}: {process.command}: {result.stderr.strip()}")
    return result.stdout


def channel(vms: list[VM], way: str, seconds: float) -> float:
    """Gigabits a second that arrive in the second machine."""
    words = [NODE, str(MESSAGE), str(seconds), way]
    receiver = vms[1].spawn([str(PROGRAM), "recv", "0", *words])
    sender = vms[0].spawn([str(PROGRAM), "send", "1", *words])
    ended(sender, seconds)
    arrived = json.loads(ended(receiver, seconds))
    return arrived["bytes"] * 8 / arrived["seconds"] / 1e9


def tcp(vms: list[VM], ports: list[Port], seconds: float) -> float:
    """The same, as iperf3 has it."""
    server = vms[1].spawn(["iperf3", "--server", "--one-off", "--json"])
    # Its port, 5201, is listened on.
    vms[1].wait_for("grep -q ':1451 0*:0000 0A' /proc/net/tcp /proc/net/tcp6")
    said = vms[0].run(["iperf3", "--client", ports[1].address, "--time", f"{seconds:g}",
                       "--length", str(MESSAGE), "--json"], timeout=PATIENCE + seconds)
    ended(server, seconds)
    return json.loads(said.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9


def start(server: Server, network: Network, cleanup: ExitStack) -> list[VM]:
    """Two machines, each with a device and a network card."""
    vms = [VM(name, [ivshmem_doorbell(server, VECTORS)], ports=[port],
              directory=FOLDER / name)
           for name, port in zip(("vm-a", "vm-b"), network.ports)]
    for vm in vms:
        cleanup.callback(vm.kill)
        vm.start(wait=False)
    # In this order, so that their peer ids are 0 and 1.
    for vm, port in zip(vms, network.ports):
        vm.wait_ready()
        vm.load_driver()
        port.bring_up(vm)
    return vms


def slots(vms: list[VM]) -> list[VM]:
    """The machines by their slots, which go to whoever comes first."""
    return sorted(vms, key=lambda vm: int(
        vm.run("cat /sys/class/ivshmem/ivshmem0/peer_id").stdout))


def measure(runs: int, seconds: float, cleanup: ExitStack) -> dict[str, Any]:
    """Boot the machines and run all of it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    network = cleanup.enter_context(Network(2))
    server = cleanup.enter_context(Server(name="bench", peers=2, vectors=VECTORS, size=SIZE,
                                          layout=LAYOUT, directory=FOLDER))
    say("starting two virtual machines")
    vms = start(server, network, cleanup)
    about = report.guests(seconds=seconds)
    by_slot = slots(vms)
    ports = [network.ports[vms.index(vm)] for vm in by_slot]
    found: dict[str, list[float]] = {name: [] for name in (*WAYS, PEER)}
    for number in range(1, runs + 1):
        for name, way in WAYS.items():
            found[name].append(channel(by_slot, way, seconds))
        found[PEER].append(tcp(by_slot, ports, seconds))
        say(f"run {number} of {runs}: " + ", ".join(
            f"{name} {figures[-1]:.2f}" for name, figures in found.items()) + " Gbit/s")
    rows = [report.row(name, "Gbit/s", "higher", found[name], PEER, found[PEER])
            for name in WAYS]
    return report.write(RESULT, about, rows)


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m bench.channel", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="alternating runs (7)")
    parser.add_argument("--seconds", type=float, default=5, help="of each stream (5)")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    args = parser.parse_args()
    if args.runs < 1 or not 0 < args.seconds <= 3600:
        parser.error("--runs is at least 1, --seconds is 1 to 3600")
    return report.run(lambda cleanup: measure(args.runs, args.seconds, cleanup), args.json,
                      RESULT, f"Medians of {args.runs} alternating runs of {args.seconds:g} s")


if __name__ == "__main__":
    sys.exit(main())
