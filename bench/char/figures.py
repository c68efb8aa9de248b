# SPDX-License-Identifier: GPL-2.0-only
"""What is measured of a way, once."""

import json
from contextlib import contextmanager
from typing import Any, Iterator, Sequence

from bench.char.ways import POLLING, TOOL, End
from bench.guest import TRACING, cpu_seconds
from bench.report import BenchError
from lab import Process
from lab.paths import USERSPACE

PROGRAM = USERSPACE / "bench/char/char_message"
BOUND = 300
# Round trips each second that anything but a hang achieves
SLOWEST = 10
# Pings of each second that is to be measured
PINGS = 300
# Messages whose cost is that of starting the programs, and those of each second that
# is to be measured.
FEW, SINGLE = 50, 300

SYSCALLS = f"{TRACING}/events/raw_syscalls/sys_enter"
# Begins anew, for there is room for so many processes only.
COUNT_CALLS = f"""
echo '!hist:keys=common_pid' 2>/dev/null >{SYSCALLS}/trigger
echo 'hist:keys=common_pid' >{SYSCALLS}/trigger
"""

Figures = dict[str, float]


def ended(process: Process, bound: float = BOUND) -> dict[str, Any]:
    """What a program in a guest said, which has to succeed."""
    result = process.wait(bound)
    if result.returncode:
        raise BenchError(f"{process.vm.name}: {process.command}: {result.stderr.strip()}")
    return json.loads(result.stdout or "{}")


def ping(ends: list[End], way: str, count: int, prefix: Sequence[str] = (),
         options: Sequence[str] = ()) -> Figures:
    """Round trips: A writes and rings, B wakes, writes and rings back, A wakes. Those
    who poll look at the memory all the time instead."""
    tool = [*prefix, str(TOOL), "ping", "--json", *options]
    if way == POLLING:
        tool.append("--poll")
    first, second = ends
    listener = second.vm.spawn([*tool, *second.ping_place(way), "--listen"])
    pinger = first.vm.spawn([*tool, *first.ping_place(way), str(second.peer_id),
                             "--count", str(count), "--timeout", "60"])
    rtt = ended(pinger, BOUND + count / SLOWEST)["rtt_us"]
    listener.kill("INT")
    ended(listener)
    return rtt


@contextmanager
def busy(ends: list[End], stressors: Sequence[str]) -> Iterator[None]:
    """The guests have something else to do."""
    hogs = [end.vm.spawn(["stress-ng", "--quiet", *stressors]) for end in ends]
    try:
        for hog in hogs:
            hog.vm.wait_for(f"pgrep --parent {hog.pid} stress-ng")
        yield
        if any(hog.poll() is not None for hog in hogs):
            raise BenchError(f"{hogs[0].command}: has ended by itself")
    finally:
        for hog in hogs:
            hog.kill()


def programs(ends: list[End], way: str, one: str, other: str, *more: str) -> list[Process]:
    """Start one in each machine, the second of which is served first."""
    first, second = ends
    served = second.vm.spawn([str(PROGRAM), other, second.address(way), str(first.peer_id)])
    return [first.vm.spawn([str(PROGRAM), one, first.address(way), str(second.peer_id),
                            *more]), served]


def stream(ends: list[End], way: str, seconds: float) -> Figures:
    """Messages of 64 bytes, one after the other, as fast as they go."""
    sender, receiver = programs(ends, way, "send", "recv", f"{seconds:g}")
    ended(sender)
    arrived = ended(receiver)
    return {"msgs_per_s": arrived["count"] / arrived["seconds"]}


def copies(ends: list[End], way: str, seconds: float) -> Figures:
    """Megabytes a second between private memory and the mapping."""
    end = ends[0]
    said = ended(end.vm.spawn([str(PROGRAM), "copy", end.address(way), f"{seconds:g}"]))
    return {"copy_in": said["in"], "copy_out": said["out"]}


def speed(ends: list[End], way: str, seconds: float) -> Figures:
    """All that a clock measures."""
    for end in ends:
        end.hand_over(way)
    count = int(PINGS * seconds)
    idle = ping(ends, way, count)
    with busy(ends, ["--cpu", str(ends[0].vm.smp)]):
        loaded = ping(ends, way, count)
    found = {f"doorbell_{part}{suffix}": rtt[part] for part in ("p50", "p99")
             for suffix, rtt in (("", idle), ("_loaded", loaded))}
    found.update(stream(ends, way, seconds))
    found.update(copies(ends, way, seconds))
    return found


def system_calls(process: Process) -> int:
    """All that a process has made, whose machine counts them."""
    found = process.vm.run(f"grep 'common_pid: *{process.pid} ' {SYSCALLS}/hist").stdout
    return int(found.split("hitcount:")[1].split()[0])


def single_messages(ends: list[End], way: str, count: int) -> list[float]:
    """The processor time of both machines on the host, the system calls and the context
    switches of both programs."""
    pids = [end.vm.pid for end in ends]
    for end in ends:
        end.vm.run(COUNT_CALLS)
    before = cpu_seconds(pids)
    both = programs(ends, way, "drip", "sleep", str(count))
    said = [ended(process) for process in both]
    return [cpu_seconds(pids) - before, sum(map(system_calls, both)),
            sum(one["switches"] for one in said)]


def cost(ends: list[End], way: str, seconds: float) -> Figures:
    """What a message costs that has to wake its receiver, at both ends."""
    for end in ends:
        end.hand_over(way)
    count = int(SINGLE * seconds)
    base, total = (single_messages(ends, way, number) for number in (FEW, FEW + count))
    cpu, calls, switches = ((more - less) / count for less, more in zip(base, total))
    # The sender's pauses are one of each.
    return {"cpu_per_msg": max(cpu, 1e-9) * 1e6, "syscalls_per_msg": calls - 1,
            "switches_per_msg": switches - 1}
