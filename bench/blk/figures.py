# SPDX-License-Identifier: GPL-2.0-only
"""What is measured of a disk, once."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable

from bench.blk.disks import Disk
from bench.guest import cpu_seconds, instructions, interrupts, probed
from bench.report import BenchError

BOUND = 300
# Requests whose cost is that of starting the program, and those that are counted.
FEW, MANY = 100, 5000

Figures = dict[str, float]


@dataclass(frozen=True)
class Job:
    """What fio asks a disk for."""

    pattern: str
    block: str
    depth: int

    @property
    def direction(self) -> str:
        """As fio names what it found."""
        return "write" if "write" in self.pattern else "read"

    def run(self, disk: Disk, *amount: str) -> dict[str, Any]:
        """What fio says of so much of it."""
        done = disk.vm.run([
            "fio", "--name=job", f"--filename={disk.path}", "--ioengine=libaio", "--direct=1",
            f"--rw={self.pattern}", f"--bs={self.block}", f"--iodepth={self.depth}",
            "--output-format=json", *amount],
            timeout=BOUND, check=False)
        if done.returncode:
            raise BenchError(f"{disk.way}: fio: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout)["jobs"][0][self.direction]


Jobs = dict[str, Job]
JOBS = {
    "randread_4k_qd1": Job("randread", "4k", 1),
    "randread_4k_qd32": Job("randread", "4k", 32),
    "randwrite_4k_qd1": Job("randwrite", "4k", 1),
    "randwrite_4k_qd32": Job("randwrite", "4k", 32),
    "seqread_128k": Job("read", "128k", 8),
    "seqwrite_128k": Job("write", "128k", 8),
}
# Of a quick run: each unit, each direction
QUICK = {name: JOBS[name] for name in ("randread_4k_qd1", "seqwrite_128k")}


def speed(disk: Disk, jobs: Jobs, seconds: float) -> Figures:
    """All that a clock measures."""
    found = {}
    for name, job in jobs.items():
        said = job.run(disk, "--time_based", f"--runtime={seconds:g}")
        large = job.block == "128k"
        found[name] = said["bw_bytes"] / 1e6 if large else said["iops"]
        for part in ("50", "99"):
            found[f"{name}_p{part}"] = said["clat_ns"]["percentile"][f"{part}.000000"] / 1e3
    return found


def each(disk: Disk, job: Job, counts: list[Callable[[], float]]) -> list[float]:
    """What is counted for each request, without what it takes to start the program; no
    less than if it was one in all, for others are divided by it.

    The first time it costs more, for the files are not in the cache.
    """
    runs = []
    for requests in (FEW, FEW, MANY):
        before = [count() for count in counts]
        job.run(disk, f"--number_ios={requests}")
        runs.append([count() - was for was, count in zip(before, counts)])
    return [max(total - base, 1) / (MANY - FEW) for base, total in zip(*runs[1:])]


def cost(disk: Disk, jobs: Jobs) -> Figures:
    """Seconds of the host's processors for a million requests; interrupts and kicks for
    each."""
    found = {}
    with ExitStack() as cleanup:
        counts = {"cpu": lambda: cpu_seconds(disk.pids) * 1e6,
                  "irqs": lambda: interrupts(disk.vm)}
        if disk.kick:
            kicks = cleanup.enter_context(probed([disk.vm], disk.kick))
            counts["kicks"] = lambda: kicks(disk.vm)
        for name, job in jobs.items():
            for part, value in zip(counts, each(disk, job, list(counts.values()))):
                found[f"{name}_{part}"] = value
    return found


def instruction_cost(disk: Disk, jobs: Jobs) -> Figures:
    """Instructions of the guest for each request."""
    return {f"{name}_insns": each(disk, job, [lambda: instructions(disk.vm)])[0]
            for name, job in jobs.items()}
