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
doorbell_p50_stock, doorbell_p99_stock, doorbell_p999_stock, doorbell_max_stock
                  microseconds of a round trip of real-time programs, which have locked
                  their memory and have priority SCHED_FIFO 80 without a throttle
                  (sched_rt_runtime_us=-1), while stress-ng computes, switches, forks
                  and has timers; max is the longest of all rounds. 100,000 round
                  trips in all rounds together, of those who poll ten times as many
doorbell_p50_rt, doorbell_p99_rt, doorbell_p999_rt, doorbell_max_rt
                  the same on the PREEMPT_RT flavour of the guests' kernel

vfio              the library's own driver over VFIO, with an eventfd for each vector
polling           the same over sysfs, without interrupts: round trips are of programs
                  that look at the memory all the time, messages of ones that look
                  and sleep in turns
"""

import statistics
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Sequence

from bench import report
from bench.char import figures, latency, ways
from bench.char.ways import DRIVERS, OURS, End
from bench.report import say
from lab import kernel

UNITS = {
    **{f"doorbell_{part}{load}": ("us", "lower") for load in ("", "_loaded")
       for part in ("p50", "p99")},
    "msgs_per_s": ("1/s", "higher"),
    "cpu_per_msg": ("us", "lower"),
    "switches_per_msg": ("1", "lower"),
    "syscalls_per_msg": ("1", "lower"),
    "copy_in": ("MB/s", "higher"),
    "copy_out": ("MB/s", "higher"),
    **latency.UNITS,
}
LATENCY = "latency"
COMPARED = {"speed": figures.speed, "cost": figures.cost}


def rows(results: report.Results) -> list[dict[str, Any]]:
    """Our driver beside each other way, as far as it was measured."""
    return [results.row(name, name, unit, OURS, way,
                        max if name in latency.LONGEST else statistics.median)
            for name, unit in UNITS.items() if (OURS, name) in results.found
            for way in DRIVERS if way != OURS]


def compare(ends: list[End], parts: Sequence[str], results: report.Results, rounds: int,
            seconds: float) -> None:
    """All that the ways are compared in, on one kernel."""
    for part in parts:
        results.alternate(part, rounds, {
            way: partial(COMPARED[part], ends, way, seconds) for way in DRIVERS})


def measure(rounds: int, seconds: float, target: Path, parts: Sequence[str],
            _: ExitStack) -> dict[str, Any]:
    """Measure these parts and keep it."""
    about = report.guests(seconds=seconds)
    results = report.Results()
    counts = latency.trips(rounds, target == report.quick("char"))
    say("starting two virtual machines")
    with ExitStack() as machines:
        ends = ways.start(kernel.get(), machines)
        compare(ends, [part for part in parts if part in COMPARED], results, rounds, seconds)
        if LATENCY in parts:
            latency.measure(results, ends, latency.STOCK, rounds, counts)
    if LATENCY in parts:
        real_time = latency.real_time()
        about["guest_kernel_rt"] = real_time.release
        about["trips"] = {way: rounds * count for way, count in counts.items()}
        say(f"starting two virtual machines with {real_time.release}")
        with ExitStack() as machines:
            ends = ways.start(real_time, machines)
            latency.measure(results, ends, latency.REAL_TIME, rounds, counts)
    return report.write(target, about, rows(results))


def main() -> int:
    """Run the benchmark; its exit status."""
    return report.alternating("char", __doc__, measure, [*COMPARED, LATENCY])


if __name__ == "__main__":
    sys.exit(main())
