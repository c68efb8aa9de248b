# SPDX-License-Identifier: GPL-2.0-only
"""Doorbell round trips, our driver against the same device driven from user
space, in one run: alternating, in the same two virtual machines."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import report
from demo.demo import SLOTS, VECTORS, Stage, complaints, ping, start_vms
from demo.peers import DemoError, Guest, Host
from demo.report import PAIRS
from lab import Server, accel, kernel
from lab.paths import BUILD, ROOT

RESULT = BUILD / "bench/doorbell.json"

# The first is ours.
WAYS = ("driver", "vfio", "polling")
FIGURES = ("p50", "p99")


def run_once(stage: Stage, guests: list[Guest], host: Host, count: int) -> dict[str, Any]:
    """One run of each way between each pair, in the order of WAYS."""
    figures = {}
    for way in WAYS:
        for guest in guests:
            if way == "vfio":
                guest.drive_from_user_space()
            else:
                guest.drive_from_kernel()
        figures[way] = {"vm-vm": ping(stage, way, guests[0], guests[1], count),
                        "vm-host": ping(stage, way, guests[0], host, count)}
        for pair, one in figures[way].items():
            if one["lost"]:
                raise DemoError(f"{way}, {PAIRS[pair]}: {one['lost']} pings were lost")
    return figures


def results(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The comparison with each other way; a ratio above 1 is in our favour."""
    rows = []
    for peer in WAYS[1:]:
        for pair in PAIRS:
            for figure in FIGURES:
                ours = [run[WAYS[0]][pair]["rtt_us"][figure] for run in runs]
                theirs = [run[peer][pair]["rtt_us"][figure] for run in runs]
                rows.append(report.row(f"doorbell_{pair.replace('-', '_')}_{figure}", "us",
                                       "lower", ours, peer, theirs))
    return rows


def measure(runs: int, count: int, target: Path, cleanup: ExitStack) -> dict[str, Any]:
    """Boot two machines and run all of it."""
    stage = Stage(sys.stderr)
    guest_kernel = kernel.get()
    mode, _ = accel.choose(guest_kernel)
    folder = BUILD / "bench/doorbell"
    folder.mkdir(parents=True, exist_ok=True)
    server = cleanup.enter_context(Server(name="bench", peers=SLOTS, vectors=VECTORS,
                                          directory=folder))
    stage.say("starting two virtual machines")
    vms = start_vms(server, guest_kernel, mode, folder, cleanup)
    guests = [Guest(vm) for vm in vms]
    for guest in guests:
        guest.load_driver()
    host = cleanup.enter_context(Host(server))
    about = report.guests()
    measured = []
    for number in range(1, runs + 1):
        stage.say(f"run {number} of {runs}")
        measured.append(run_once(stage, guests, host, count))
    wrong = complaints(vms)
    if wrong:
        raise DemoError("\n".join(wrong))
    return report.write(target, about, results(measured))


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m bench.doorbell",
                                     description=__doc__.replace("\n", " "))
    parser.add_argument("--runs", type=int, default=5, help="alternating runs (5)")
    parser.add_argument("--count", type=int, default=2000, help="pings in each (2000)")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="FILE",
                        help=f"all figures as JSON ({RESULT.relative_to(ROOT)})")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    args = parser.parse_args()
    if args.runs < 1 or args.count < 1:
        parser.error("--runs and --count are at least 1")

    def measured(cleanup: ExitStack) -> dict[str, Any]:
        try:
            return measure(args.runs, args.count, args.output, cleanup)
        except DemoError as error:
            raise report.BenchError(error) from error

    return report.run(measured, args.json, args.output,
                      f"Medians of {args.runs} alternating runs, round trips in microseconds")


if __name__ == "__main__":
    sys.exit(main())
