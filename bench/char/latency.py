# SPDX-License-Identifier: GPL-2.0-only
"""The longest round trips of real-time programs, while others load the machines."""

import subprocess
from functools import partial

from bench import report
from bench.char import figures
from bench.char.ways import DRIVERS, OURS, POLLING, End
from lab import kernel
from lab.kernel import Kernel
from lab.paths import ROOT

# What is measured -> the member of the tool's results
PARTS = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
STOCK, REAL_TIME = "stock", "rt"

# Round trips in all, and those that show that it works. Those who poll make more: they
# need less than a microsecond for one, and would have met nothing.
MANY, FEW, POLLED = 100_000, 200, 10

# Computing, many context switches, processes that come and go, interrupts of timers
LOAD = ["--cpu", "1", "--switch", "1", "--fork", "1", "--timer", "1", "--timer-freq", "1000"]

# What a real-time user sets up: nobody takes the processor from these programs, not
# the kernel's throttle either, and their memory is there. Threads of interrupts have
# the priority that PREEMPT_RT gives them, 50.
PREFIX = ["chrt", "--fifo", "80"]
OPTIONS = ["--mlockall"]
UNTHROTTLED = "echo -1 >/proc/sys/kernel/sched_rt_runtime_us"


def name(part: str, flavour: str) -> str:
    """Of a figure."""
    return f"doorbell_{part}_{flavour}"


UNITS = {name(part, flavour): ("us", "lower") for flavour in (STOCK, REAL_TIME)
         for part in PARTS}
LONGEST = {name("max", flavour) for flavour in (STOCK, REAL_TIME)}


def real_time() -> Kernel:
    """The guests' kernel with PREEMPT_RT, and our modules built for it."""
    guest_kernel = kernel.get(kernel.real_time())
    subprocess.run([ROOT / "scripts/build-modules", guest_kernel.headers], check=True,
                   stdout=subprocess.DEVNULL)
    return guest_kernel


def trips(rounds: int, quick: bool) -> dict[str, int]:
    """How many are measured in each round, by way."""
    count = FEW if quick else -(-MANY // rounds)
    return {way: count * POLLED if way == POLLING else count for way in DRIVERS}


def loaded(ends: list[End], flavour: str, way: str, count: int) -> figures.Figures:
    """Round trips of real-time programs under load."""
    for end in ends:
        end.hand_over(way)
    rtt = figures.ping(ends, way, count, PREFIX, OPTIONS)
    return {name(part, flavour): rtt[member] for part, member in PARTS.items()}


def measure(results: report.Results, ends: list[End], flavour: str, rounds: int,
            counts: dict[str, int]) -> None:
    """All ways on one kernel, in turns."""
    for end in ends:
        end.vm.run(UNTHROTTLED)
    title = f"latency, {counts[OURS]} round trips, {counts[POLLING]} polled"
    with figures.busy(ends, LOAD):
        results.alternate(title, rounds, {
            way: partial(loaded, ends, flavour, way, counts[way]) for way in DRIVERS})
