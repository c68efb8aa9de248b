# SPDX-License-Identifier: GPL-2.0-only
"""Measures what the driver is for a program beside the same device driven by the
program itself, alternating, in the same two machines, in one run; medians, with all
figures kept.

doorbell_p50, doorbell_p99
                  microseconds of a round trip: A writes and rings, B wakes, writes and
                  rings back, A wakes
doorbell_p50_loaded, doorbell_p99_loaded
                  the same while stress-ng keeps each processor of the guests busy
msgs_per_s        messages of 64 bytes through a channel, as fast as they go
cpu_per_msg       microseconds of the host's processors for a message that has to wake
                  its receiver, which comes 2 ms after the last one
switches_per_msg, syscalls_per_msg
                  context switches and system calls for such a message, of both its ends
copy_in, copy_out
                  MB/s of memcpy(3) into the mapped memory, and out of it

vfio              the library's own driver over VFIO, with an eventfd for each vector
polling           the same over sysfs, without interrupts: round trips are of programs
                  that look at the memory all the time, messages of ones that look
                  and sleep in turns
"""

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench import report
from bench.char import figures, ways
from bench.char.ways import DRIVERS, OURS
from bench.report import say

UNITS = {
    **{f"doorbell_{part}{load}": ("us", "lower") for load in ("", "_loaded")
       for part in ("p50", "p99")},
    "msgs_per_s": ("1/s", "higher"),
    "cpu_per_msg": ("us", "lower"),
    "switches_per_msg": ("1", "lower"),
    "syscalls_per_msg": ("1", "lower"),
    "copy_in": ("MB/s", "higher"),
    "copy_out": ("MB/s", "higher"),
}


def rows(results: report.Results) -> list[dict[str, Any]]:
    """Our driver beside each other way."""
    return [results.row(name, name, unit, OURS, way) for name, unit in UNITS.items()
            for way in DRIVERS if way != OURS]


def measure(rounds: int, seconds: float, target: Path, cleanup: ExitStack) -> dict[str, Any]:
    """Measure all of it and keep it."""
    about = report.guests(seconds=seconds)
    results = report.Results()
    say("starting two virtual machines")
    ends = ways.start(cleanup)
    results.alternate("speed", rounds, {
        way: partial(figures.speed, ends, way, seconds) for way in DRIVERS})
    results.alternate("cost", rounds, {
        way: partial(figures.cost, ends, way, seconds) for way in DRIVERS})
    return report.write(target, about, rows(results))


def main() -> int:
    """Run the benchmark; its exit status."""
    return report.alternating("char", __doc__, measure)


if __name__ == "__main__":
    sys.exit(main())
