# SPDX-License-Identifier: GPL-2.0-only
"""Measures the ring between two processes on two cores beside what a program
would otherwise use, alternating, in one run; medians, with all figures kept.

Each message is copied by its sender from a private buffer, and by its receiver
into a private buffer, whatever the way.  Ways that need explaining:

ring              shown to the receiver after each 64 KiB
ring-each         the same, shown after each message
memcpy            the limit: both copies through shared memory of the same size,
                  by two processes on two cores, with the least that tells either
                  what the other has done: a counter of its own in a cache line
                  of its own, stored after each 64 KiB; contents are checked
memcpy-unsynced   the same copies by two processes that wait for nobody: what
                  memory allows, though nothing is passed on reliably
memcpy-one-core   the same copies by one process in turn: the caches of one core
                  serve them, and nothing is passed on
flag              two words, one for each direction, stored and looked at
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import report
from bench.report import BenchError, say
from lab.paths import BUILD, ROOT, USERSPACE

RESULT = BUILD / "bench/ring.json"
PROGRAM = USERSPACE / "bench/ring/ring_speed"
# The limits first: next to the ring in time, for memory has its moods.
PEERS = ("memcpy", "memcpy-unsynced", "memcpy-one-core", "ring-each", "seqpacket",
         "unix-stream", "pipe", "tcp-loopback", "mq")
# Name of the figure: what the program is asked for, and whom it is held to.
FIGURES = {"msg_64": ("64", PEERS), "msg_1500": ("1500", PEERS),
           "msg_64k": ("65536", PEERS), "pingpong": ("pingpong", ("flag", "pipe"))}
UNIT, UNITS = ("msg/s", "higher"), {"pingpong": ("ns", "lower")}
# Other work on the machine takes the cores away in the middle of a measurement.
QUIET = 0.5


def two_cores() -> tuple[int, int]:
    """CPUs that this process may use and that do not share a core."""
    allowed = sorted(os.sched_getaffinity(0))
    first = allowed[0]
    shared = Path(f"/sys/devices/system/cpu/cpu{first}/topology/thread_siblings_list")
    siblings = set()
    for part in shared.read_text().split(",") if shared.exists() else []:
        low, _, high = part.strip().partition("-")
        siblings |= set(range(int(low), int(high or low) + 1))
    others = [cpu for cpu in allowed[1:] if cpu not in siblings]
    if not others:
        raise BenchError(f"two cores are needed; this process may use CPU "
                         f"{', '.join(map(str, allowed))}, which is one core")
    return first, others[0]


def take_precedence() -> None:
    """Let nothing but other real-time work interrupt the measurements."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK,
                              os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError as error:
        raise BenchError("--realtime needs root") from error


class Bench:
    """Measures; keeps all figures by name and way."""

    def __init__(self, cpus: tuple[int, int], seconds: float, realtime: bool) -> None:
        self.cpus = cpus
        self.seconds = seconds
        self.prefix = ["chrt", "--fifo", "1"] if realtime else []
        self.found: dict[tuple[str, str], list[float | None]] = {}

    def measure(self, way: str, asked: str) -> float | None:
        """One run; None where the machine does not offer this way."""
        done = subprocess.run([*self.prefix, PROGRAM, way, asked, str(self.seconds),
                               *map(str, self.cpus)], check=False, text=True,
                              timeout=self.seconds * 20 + 60, capture_output=True)
        if done.returncode and way == "mq":
            return None
        if done.returncode:
            raise BenchError(f"{PROGRAM.name} {way} {asked}: {done.stderr.strip()}")
        return float(done.stdout)

    def run(self, rounds: int) -> None:
        """All ways in turn, again and again."""
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.2f}")
            for name, (asked, peers) in FIGURES.items():
                for way in ("ring", *peers):
                    figure = self.measure(way, asked)
                    self.found.setdefault((name, way), []).append(figure)

    def results(self) -> list[dict[str, Any]]:
        """The ring against each other way; a ratio above 1 is in its favour."""
        rows = []
        for name, (_, peers) in FIGURES.items():
            ours = self.found[name, "ring"]
            for peer in peers:
                theirs = [value for value in self.found[name, peer] if value is not None]
                if theirs:
                    rows.append(report.row(name, *UNITS.get(name, UNIT), ours, peer, theirs))
                else:
                    say(f"{name}: {peer} is not available here")
        return rows


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python3 -m bench.ring", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="at least 1 (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3,
                        help="that each measurement takes (%(default)s)")
    parser.add_argument("--realtime", action="store_true",
                        help="take precedence over all other work of the machine, "
                        "which stands still meanwhile; needs root")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="FILE",
                        help=f"all figures as JSON ({RESULT.relative_to(ROOT)})")
    asked = parser.parse_args()
    if asked.rounds < 1 or asked.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    return asked


def main() -> int:
    """Exit status."""
    asked = options()
    try:
        if asked.realtime:
            take_precedence()
        bench = Bench(two_cores(), asked.seconds, asked.realtime)
        on = report.machine(cpus_used=bench.cpus, realtime=asked.realtime)
        bench.run(asked.rounds)
    except (BenchError, subprocess.TimeoutExpired) as error:
        say(f"bench-ring: {error}")
        return 1
    on["quiet"] = on["load"] <= QUIET
    on["load_after"] = os.getloadavg()[0]
    outcome = report.write(asked.output, on, bench.results())
    print(report.table(outcome["results"]))
    print(f"{on['cpu']}, {on['cores']} cores; all figures: {asked.output}")
    if not on["quiet"]:
        print(f"The machine was busy (load {on['load']:.2f} before the first run): "
              + ("other work had to wait." if asked.realtime else
                 "these figures say nothing."))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
