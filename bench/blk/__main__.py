# SPDX-License-Identifier: GPL-2.0-only
"""Measures the disk of a virtual machine beside virtio-blk and an emulated NVMe, which
have the same file of the host, alternating, in the same machine, in one run; medians,
with all figures kept.

randread_4k_qd1, randread_4k_qd32, randwrite_4k_qd1, randwrite_4k_qd32
                  requests of 4 KiB a second, 1 or 32 at a time, anywhere on the disk
seqread_128k, seqwrite_128k
                  MB/s in requests of 128 KiB one after the other, 8 at a time
NAME_p50, NAME_p99
                  microseconds: half of the requests take less, and all but one of a
                  hundred
NAME_cpu          seconds of the host's processors, of QEMU and of the back end, for a
                  million requests
NAME_irqs         interrupts for each request
NAME_kicks        doorbells of the machine for each request; an NVMe's has no function
                  that could be probed, its driver writes registers in place
NAME_insns        instructions of the machine for each request, in kernel and programs,
                  counted in a machine that is emulated

virtio-blk        virtio-blk with a thread of its own (iothread)
nvme              QEMU's NVMe
"""

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench import report
from bench.blk import figures
from bench.blk.disks import NVME, OURS, VIRTIO, Stage
from bench.blk.figures import JOBS, QUICK, Jobs
from bench.report import say

PARTS = {"p50": ("us", "lower"), "p99": ("us", "lower"), "cpu": ("s", "lower"),
         "irqs": ("1", "lower"), "kicks": ("1", "lower"), "insns": ("1", "lower")}


def units(jobs: Jobs) -> dict[str, tuple[str, str]]:
    """Of each name: its unit, and what is better."""
    found = {}
    for name, job in jobs.items():
        found[name] = ("MB/s" if job.block == "128k" else "IOPS", "higher")
        found.update({f"{name}_{part}": unit for part, unit in PARTS.items()})
    return found


def rows(results: report.Results, jobs: Jobs) -> list[dict[str, Any]]:
    """Our disk beside each other."""
    return [results.row(name, name, unit, OURS, way) for name, unit in units(jobs).items()
            for way in (VIRTIO, NVME) if (way, name) in results.found]


def measure(rounds: int, seconds: float, target: Path, cleanup: ExitStack) -> dict[str, Any]:
    """Measure all of it and keep it."""
    about = report.guests(seconds=seconds)
    results = report.Results()
    stage = Stage(cleanup)
    jobs = QUICK if target == report.quick("blk") else JOBS

    say("starting a virtual machine")
    disks = stage.disks()
    results.alternate("speed", rounds, {
        disk.way: partial(figures.speed, disk, jobs, seconds) for disk in disks})
    results.alternate("cost", rounds, {
        disk.way: partial(figures.cost, disk, jobs) for disk in disks})
    disks[0].vm.kill()

    say("starting a virtual machine whose instructions are counted")
    results.alternate("instructions", rounds, {
        disk.way: partial(figures.instruction_cost, disk, jobs)
        for disk in stage.disks(counted=True)})
    return report.write(target, about, rows(results, jobs))


def main() -> int:
    """Run the benchmark; its exit status."""
    return report.alternating("blk", __doc__, measure)


if __name__ == "__main__":
    sys.exit(main())
