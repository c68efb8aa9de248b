# SPDX-License-Identifier: GPL-2.0-only
"""Measures the ring between two processes on two cores beside what a program
would otherwise use, alternating, in one run; medians, with all figures kept."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.paths import BUILD, ROOT, USERSPACE

RESULT = BUILD / "bench/ring.json"
PROGRAM = USERSPACE / "bench/ring/ring_speed"
PEERS = ("pipe", "unix-stream", "seqpacket", "tcp-loopback", "mq", "memcpy")
# Name of the figure: what the program is asked for, and whom it is held to.
FIGURES = {"msg_64": ("64", PEERS), "msg_1500": ("1500", PEERS),
           "msg_64k": ("65536", PEERS), "pingpong": ("pingpong", ("flag", "pipe"))}
# Other work on the machine takes the cores away in the middle of a measurement.
QUIET = 0.5


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next((line.split(":")[1].strip() for line in
                  Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT,
                            capture_output=True, text=True, check=False).stdout.strip()
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "qemu": None, "accel": None, "guest_kernel": None, "commit": commit,
            "load_before": os.getloadavg()}


def measure(way: str, asked: str, seconds: float) -> float | None:
    """One run; None where the machine does not offer this way."""
    done = subprocess.run([PROGRAM, way, asked, str(seconds)], check=False, text=True,
                          timeout=seconds * 20 + 60, capture_output=True)
    if done.returncode and way == "mq":
        return None
    if done.returncode:
        raise RuntimeError(f"{PROGRAM.name} {way} {asked}: {done.stderr.strip()}")
    return float(done.stdout)


def run(rounds: int, seconds: float) -> dict[tuple[str, str], list[float | None]]:
    """All ways in turn, again and again."""
    found: dict[tuple[str, str], list[float | None]] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.2f}",
              file=sys.stderr, flush=True)
        for name, (asked, peers) in FIGURES.items():
            for way in ("ring", *peers):
                found.setdefault((name, way), []).append(measure(way, asked, seconds))
    return found


def results(found: dict[tuple[str, str], list[float | None]]) -> list[dict[str, Any]]:
    """The ring against each other way; a ratio above 1 is in its favour."""
    rows = []
    for name, (_, peers) in FIGURES.items():
        ours = [value for value in found[name, "ring"] if value is not None]
        for peer in peers:
            theirs = [value for value in found[name, peer] if value is not None]
            if not theirs:
                print(f"{name}: {peer} is not available here", file=sys.stderr)
                continue
            lower = name == "pingpong"
            pair = statistics.median(ours), statistics.median(theirs)
            rows.append({"name": name, "unit": "ns" if lower else "msg/s",
                         "better": "lower" if lower else "higher",
                         "ours": pair[0], "peer": peer, "theirs": pair[1],
                         "ratio": round(pair[1] / pair[0] if lower else
                                        pair[0] / pair[1], 3),
                         "runs": len(ours), "ours_all": ours, "theirs_all": theirs})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """For people."""
    lines = [f"{'name':10}{'unit':7}{'ring':>14}{'theirs':>14}  {'peer':13}{'ratio':>8}"]
    lines += [f"{row['name']:10}{row['unit']:7}{row['ours']:>14,.0f}"
              f"{row['theirs']:>14,.0f}  {row['peer']:13}{row['ratio']:>8.3g}"
              for row in rows]
    return "\n".join(lines)


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="make bench-ring", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5,
                        help="that each measurement takes")
    options = parser.parse_args()
    on = machine()
    try:
        rows = results(run(options.rounds, options.seconds))
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"bench-ring: {error}", file=sys.stderr)
        return 1
    on["quiet"] = on["load_before"][0] <= QUIET
    on["load_after"] = os.getloadavg()
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"machine": on, "results": rows}, indent=1) + "\n")
    print(table(rows))
    print(f"{on['cpu']}, {on['cores']} cores; all figures: {RESULT.relative_to(ROOT)}")
    if not on["quiet"]:
        print(f"The machine was busy (load {on['load_before'][0]:.2f} before the first "
              "run): these figures say nothing.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
