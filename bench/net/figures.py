# SPDX-License-Identifier: GPL-2.0-only
"""What is measured of a way, once."""

import json
from typing import Any, Callable

from bench.guest import cpu_seconds, instructions, interrupts, probed
from bench.net.ways import BOUND, End
from bench.report import BenchError
from lab import VM, Process
from lab.paths import USERSPACE

PROGRAM = USERSPACE / "bench/net/net_speed"
GIB, KIB = 1 << 30, 1 << 10
# Too short for more than a few datagrams.
MOMENT = 0.001
# Bytes that are sent instead of a second's.
PACE = 128 << 20

Figures = dict[str, float]


def ended(process: Process) -> Any:
    """The JSON that a program in a guest printed, which has to succeed."""
    result = process.wait(BOUND)
    if result.returncode:
        raise BenchError(f"{process.vm.name}: {process.command}: "
                         f"{result.stderr.strip() or result.stdout.strip()}")
    return json.loads(result.stdout) if result.stdout.strip() else None


# Traffic

def tcp(source: End, target: End, streams: int, *amount: str) -> tuple[float, float]:
    """Gigabits a second, and bytes that arrived; @amount as iperf3 takes it."""
    server = target.spawn("iperf3", "--server", "--one-off", "--json")
    target.listens(5201, "t")
    client = source.spawn("iperf3", "--client", target.address, *amount,
                          "--parallel", str(streams), "--json")
    said = ended(client)["end"]["sum_received"]
    ended(server)
    return said["bits_per_second"] / 1e9, said["bytes"]


def both_ways(ends: list[End], streams: int, *amount: str) -> tuple[float, float]:
    """The mean of the rates, the sum of the bytes."""
    both = [tcp(*pair, streams, *amount) for pair in (ends, ends[::-1])]
    return sum(rate for rate, _ in both) / 2, sum(size for _, size in both)


def lasting(seconds: float) -> list[str]:
    """For so long."""
    return ["--time", f"{seconds:g}"]


def udp(ends: list[End], seconds: float) -> tuple[float, list[float]]:
    """Thousands of datagrams a second that arrive; how many were sent, and arrived."""
    source, target = ends
    receiver = target.spawn(str(PROGRAM), "udp-recv", "7001")
    target.listens(7001, "u")
    sent = ended(source.spawn(str(PROGRAM), "udp-send", target.address, "7001", str(seconds)))
    said = ended(receiver)
    return said["packets"] / said["seconds"] / 1e3, [sent["packets"], said["packets"]]


def answers(ends: list[End], seconds: float) -> tuple[float, float]:
    """Half of the round trips, and 99 of 100, take less microseconds."""
    source, target = ends
    server = target.spawn(str(PROGRAM), "rr-serve", "7002")
    target.listens(7002, "t")
    said = ended(source.spawn(str(PROGRAM), "rr-ask", target.address, "7002", str(seconds)))
    ended(server)
    return said["p50"], said["p99"]


# Counters

def machines(ends: list[End]) -> list[VM]:
    """Of both ends, which may be one."""
    return list({end.vm.name: end.vm for end in ends}.values())


def end(ends: list[End]) -> None:
    """End the machines."""
    for vm in machines(ends):
        vm.kill()


def each(ends: list[End], count: Callable[[VM], int],
         send: Callable[[list[End], float], list[float]], seconds: float) -> float:
    """What both machines count for each that @send sends, which says how many one has
    sent and the other has received: what is lost between them costs only its sender.

    Starting programs, and the like, costs as much when next to nothing is sent; that is
    taken off.  The first time it costs more, for the files are not in the cache.
    """
    vms = machines(ends)
    runs = []
    for length in (MOMENT, MOMENT, seconds):
        before = [count(vm) for vm in vms]
        amounts = send(ends, length)[-len(vms):]
        runs.append([(count(vm) - was, amount)
                     for vm, was, amount in zip(vms, before, amounts)])
    return sum(max(total - base, 1) / (many - few)
               for (base, few), (total, many) in zip(*runs[1:]))


def datagrams(ends: list[End], seconds: float) -> list[float]:
    """Send some, for each()."""
    return udp(ends, seconds)[1]


def kibibytes(ends: list[End], seconds: float) -> list[float]:
    """Send some both ways, for each()."""
    # As many whatever else the host does, else starting programs would outweigh them
    size = int(seconds * PACE)
    return [both_ways(ends, 1, "--bytes", str(size))[1] / KIB] * 2


# Figures by their names

def speed(ends: list[End], seconds: float) -> Figures:
    """All that a clock measures, and what can be counted meanwhile."""
    pids = [vm.pid for vm in machines(ends)]
    before = cpu_seconds(pids)
    rate, size = both_ways(ends, 1, *lasting(seconds))
    found = {"tcp_1": rate, "cpu_per_gib": (cpu_seconds(pids) - before) / size * GIB,
             "tcp_4": both_ways(ends, 4, *lasting(seconds))[0]}
    target = ends[1].vm
    seen = interrupts(target)
    found["udp_64"], (_, arrived) = udp(ends, seconds)
    if len(machines(ends)) > 1:
        found["irqs_udp_64"] = (interrupts(target) - seen) / arrived
    found["rr_p50"], found["rr_p99"] = answers(ends, seconds)
    return found


def growing_speed(ends: list[End], seconds: float) -> Figures:
    """What may become slower the more peers there are."""
    return {"tcp_1": both_ways(ends, 1, *lasting(seconds))[0], "udp_64": udp(ends, seconds)[0]}


def doorbells(ends: list[End], seconds: float, function: str) -> Figures:
    """How often both ring for each datagram, by a function of their kernel."""
    with probed(machines(ends), function) as hits:
        return {"doorbells_udp_64": each(ends, hits, datagrams, seconds)}


def datagram_cost(ends: list[End], seconds: float) -> Figures:
    """Instructions of both for each datagram."""
    return {"insns_udp_64": each(ends, instructions, datagrams, seconds)}


def cost(ends: list[End], seconds: float) -> Figures:
    """Likewise, and for each KiB of a stream."""
    return {**datagram_cost(ends, seconds),
            "insns_tcp_kib": each(ends, instructions, kibibytes, seconds)}
