# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of the demo, for people and for programs."""

import json
import os
from pathlib import Path
from typing import Any

# Way: what it is. The first is what the others are compared with.
WAYS = {
    "driver": "interrupts, through ivshmem.ko and /dev/ivshmem0",
    "vfio": "interrupts, device driven from user space: VFIO and eventfd",
    "polling": "no interrupts: both sides look at the memory all the time",
}
PAIRS = {"vm-vm": "VM-VM", "vm-host": "VM-host"}
FIGURES = ("min", "p50", "p99", "max")


def pair_figures(pinged: dict[str, Any]) -> dict[str, Any]:
    """What is kept of one measurement."""
    return {"rtt_us": {name: pinged["rtt_us"][name] for name in FIGURES},
            "count": pinged["count"], "lost": pinged["lost"], "late": pinged["late"]}


def way_figures(pairs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures of a way: times between the VMs, counts of all its pairs."""
    return {"rtt_us": pairs["vm-vm"]["rtt_us"],
            "count": sum(pair["count"] for pair in pairs.values()),
            "lost": sum(pair["lost"] for pair in pairs.values()),
            "late": sum(pair["late"] for pair in pairs.values()),
            "pairs": pairs}


def troubles(ways: dict[str, Any]) -> list[str]:
    """What is wrong with the figures, in words."""
    found = []
    for way in WAYS:
        for pair, shown in PAIRS.items():
            figures = ways[way]["pairs"][pair]
            if figures["lost"]:
                found.append(f"{way}, {shown}: {figures['lost']} of "
                             f"{figures['count']} pings were lost")
            if figures["late"]:
                found.append(f"{way}, {shown}: {figures['late']} answers came without "
                             "their doorbell")
    return found


def _number(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None else format(value, form)


def table(ways: dict[str, Any]) -> str:
    """All round trips, a line for each pair and way."""
    lines = [f"{'way':<9}{'pair':<9}{'pings':>7}{'lost':>6}"
             + "".join(f"{name:>10}" for name in FIGURES) + "   p50 / driver's"]
    for way in WAYS:
        for pair, shown in PAIRS.items():
            figures = ways[way]["pairs"][pair]
            base = ways["driver"]["pairs"][pair]["rtt_us"]["p50"]
            rtt = figures["rtt_us"]
            ratio = rtt["p50"] / base if base and rtt["p50"] is not None else None
            lines.append(f"{way:<9}{shown:<9}{figures['count']:>7}{figures['lost']:>6}"
                         + "".join(f"{_number(rtt[name]):>10}" for name in FIGURES)
                         + f"{_number(ratio, '.3g'):>17}")
    lines += ["", *(f"{way:<9}{meaning}" for way, meaning in WAYS.items())]
    return "\n".join(lines)


def write(path: Path, summary: dict[str, Any]) -> None:
    """Write the summary, whole or not at all."""
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(summary, indent=2) + "\n")
    partial.rename(path)
