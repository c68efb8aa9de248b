# SPDX-License-Identifier: GPL-2.0-only
"""Measures the network card between two virtual machines beside what else connects
them, alternating, in the same two machines, in one run; medians, with all figures kept.

tcp_1, tcp_4      Gbit/s of one and of four streams of TCP, mean of both directions
udp_64            thousands of datagrams of 64 bytes a second that arrive
rr_p50, rr_p99    microseconds until a request of 64 bytes is answered by as many, over
                  TCP: half of them take less, and all but one of a hundred
cpu_per_gib       seconds of the host's processors that both QEMUs take for a GiB of
                  tcp_1
irqs_udp_64       interrupts of the machine that receives for each of these datagrams
doorbells_udp_64  doorbells of both for each; e1000e has no function to be probed, it
                  writes its registers in place
insns_udp_64      instructions of both for each, in kernel and programs: of the sender
                  for each that it sends, of the receiver for each that arrives
insns_tcp_kib     likewise, for each KiB of one stream of TCP
NAME_peers_N      with N peers on a segment for eight, N - 2 of which say nothing,
                  beside the same segment with two

Doorbells and instructions are counted in passes of their own, for counting takes time;
instructions in machines that are emulated and have one processor.  What it takes to
start the programs is taken off.  What machines do when idle is not: it is less than a
thousandth.

virtio-net-tap     virtio-net, TAPs and a Linux bridge, with all offloads
virtio-net-stream  virtio-net, one QEMU's socket to the other's
e1000e             an emulated card, TAPs and a Linux bridge
tcp-loopback       the limit: inside one machine with two processors, no card at all
ivshmem-2          our card on a segment for eight that only two are on
"""

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Callable

from bench import report
from bench.net import figures
from bench.net.figures import Figures
from bench.net.ways import (LARGE, LOOPBACK, OURS, STREAM, TAP, End, Neighbours, Stage, Ways,
                            loopback)
from bench.report import say

UNITS = {"tcp_1": ("Gbit/s", "higher"), "tcp_4": ("Gbit/s", "higher"),
         "udp_64": ("kpps", "higher"), "rr_p50": ("us", "lower"), "rr_p99": ("us", "lower"),
         "cpu_per_gib": ("s", "lower"), "irqs_udp_64": ("1", "lower"),
         "doorbells_udp_64": ("1", "lower"), "insns_udp_64": ("1", "lower"),
         "insns_tcp_kib": ("1", "lower")}
# What a guest's kernel calls to ring; ours does for nothing but our cards.
DOORBELLS = {OURS: "ivshmem_function_kick", TAP: "vp_notify", STREAM: "vp_notify"}
GROWTH = (2, 4, 8)
GROWN = ("tcp_1", "udp_64", "insns_udp_64")

Measure = Callable[[list[End], float], Figures]


def grown(count: int) -> str:
    """Our card where @count peers are."""
    return f"{OURS}-{count}"


def rows(results: report.Results) -> list[dict[str, Any]]:
    """Our card beside each other way, and beside itself."""
    others = [way for way in results.ways() if not way.startswith(OURS)]
    found = [results.row(name, name, UNITS[name], OURS, way) for name in UNITS
             for way in others if (way, name) in results.found]
    return found + [results.row(f"{name}_peers_{count}", name, UNITS[name], grown(count),
                                grown(GROWTH[0]))
                    for name in GROWN for count in GROWTH[1:]]


class Bench:
    """The passes, each of which has all rounds."""

    def __init__(self, stage: Stage, rounds: int, seconds: float) -> None:
        self.stage = stage
        self.rounds = rounds
        self.seconds = seconds
        self.results = report.Results()

    def _alternate(self, title: str, ways: dict[str, Callable[[], Figures]]) -> None:
        self.results.alternate(title, self.rounds, ways)

    def _compare(self, title: str, measure: Measure, ways: Ways) -> None:
        self._alternate(title, {way: partial(measure, ends, self.seconds)
                                for way, ends in ways.items()})

    def _grow(self, title: str, measure: Measure, ends: list[End],
              neighbours: Neighbours) -> None:
        def beside(count: int) -> Figures:
            neighbours.join(count, ends)
            return measure(ends, self.seconds)

        self._alternate(title, {grown(count): partial(beside, count) for count in GROWTH})

    def run(self) -> list[dict[str, Any]]:
        """All of them; the results."""
        say("starting three virtual machines")
        ways = self.stage.pair()
        large = ways.pop(LARGE)
        alone = self.stage.alone()
        self._compare("speed", figures.speed, {**ways, LOOPBACK: alone})
        figures.end(alone)
        self._alternate("doorbells", {
            way: partial(figures.doorbells, ways[way], self.seconds, function)
            for way, function in DOORBELLS.items()})

        say(f"starting {GROWTH[-1] - 2} more virtual machines")
        neighbours = self.stage.neighbours()
        self._grow("speed beside others", figures.growing_speed, large, neighbours)
        figures.end(large)

        say("starting two virtual machines whose instructions are counted")
        ways = self.stage.pair(counted=True)
        large = ways.pop(LARGE)
        self._grow("instructions beside others", figures.datagram_cost, large, neighbours)
        figures.end(neighbours.ends)
        self._compare("instructions", figures.cost,
                      {**ways, LOOPBACK: loopback(large[0].vm)})
        return rows(self.results)


def measure(rounds: int, seconds: float, target: Path, cleanup: ExitStack) -> dict[str, Any]:
    """Measure all of it and keep it."""
    about = report.guests(seconds=seconds)
    return report.write(target, about, Bench(Stage(cleanup), rounds, seconds).run())


def main() -> int:
    """Run the benchmark; its exit status."""
    return report.alternating("net", __doc__, measure)


if __name__ == "__main__":
    sys.exit(main())
