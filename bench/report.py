# SPDX-License-Identifier: GPL-2.0-only
"""What all benchmarks say, write and print: progress, the machine, medians, ratios, a
table; and how they end."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Callable, Sequence

from lab import LabError, accel, kernel
from lab.paths import BUILD, ROOT


Choose = Callable[[list[float]], float]


class BenchError(Exception):
    """Why nothing can be measured."""


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def machine(**more: Any) -> dict[str, Any]:
    """What the figures were measured on; @more is what else there is to say."""
    model = next((line.split(":")[1].strip() for line in
                  Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT,
                            capture_output=True, text=True, check=False).stdout.strip()
    about = {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
             "qemu": None, "accel": None, "guest_kernel": None, "commit": commit,
             "load": os.getloadavg()[0]}
    return {**about, **more}


def guests(**more: Any) -> dict[str, Any]:
    """machine(), and what the virtual machines are."""
    guest_kernel = kernel.get()
    return machine(qemu=accel.qemu_version().split("version ")[-1].split()[0],
                   accel=accel.choose(guest_kernel)[0], guest_kernel=guest_kernel.release,
                   **more)


def row(name: str, unit: str, better: str, ours: list[float], peer: str,
        theirs: list[float], choose: Choose = statistics.median) -> dict[str, Any]:
    """A comparison, of what @choose makes of the rounds; a ratio above 1 is in our
    favour, whatever the unit."""
    mine, other = choose(ours), choose(theirs)
    ratio = other / mine if better == "lower" else mine / other
    return {"name": name, "unit": unit, "better": better, "peer": peer,
            "ours": mine, "theirs": other, "ratio": round(ratio, 3),
            "runs": len(ours), "ours_all": ours, "theirs_all": theirs}


class Results:
    """What was measured: way and name -> a figure of each round."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], list[float]] = {}

    def keep(self, way: str, measured: dict[str, float]) -> None:
        """One more figure of each name."""
        for name, value in measured.items():
            self.found.setdefault((way, name), []).append(value)
        say(f"{way}: " + ", ".join(f"{name} {value:.4g}" for name, value in measured.items()))

    def alternate(self, title: str, rounds: int,
                  ways: dict[str, Callable[[], dict[str, float]]]) -> None:
        """Measure each way in each round."""
        order = list(ways)
        for number in range(1, rounds + 1):
            say(f"{title}: round {number} of {rounds}")
            for way in order:
                self.keep(way, ways[way]())
            # Nobody always comes after the same one.
            order = order[1:] + order[:1]

    def ways(self) -> list[str]:
        """All of which there is something."""
        return list(dict.fromkeys(way for way, _ in self.found))

    def row(self, title: str, name: str, unit: tuple[str, str], ours: str,
            theirs: str, choose: Choose = statistics.median) -> dict[str, Any]:
        """One way beside another."""
        return row(title, *unit, self.found[ours, name], theirs, self.found[theirs, name],
                   choose)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _spread(figures: list[float]) -> float:
    """How far apart they are, in percent of their median."""
    return 100 * (max(figures) - min(figures)) / statistics.median(figures)


def table(rows: list[dict[str, Any]]) -> str:
    """For people; the ratio is how many times better ours is.

    The last column is how far apart the single figures are, in percent: ours, theirs.
    """
    lines = [f"{'name':<24}{'unit':<8}{'ours':>13}{'theirs':>13}  {'peer':<18}{'ratio':>7}"
             f"{'spread':>12}"]
    for one in rows:
        apart = "/".join(f"{_spread(one[side]):.1f}" for side in ("ours_all", "theirs_all"))
        lines.append(f"{one['name']:<24}{one['unit']:<8}{_figure(one['ours']):>13}"
                     f"{_figure(one['theirs']):>13}  {one['peer']:<18}{one['ratio']:>7.3g}"
                     f" {apart:>11}")
    return "\n".join(lines)


def write(path: Path, about: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Keep the results, with all raw figures, as build/bench/NAME.json; what it holds."""
    outcome = {"machine": about, "results": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcome, indent=2) + "\n")
    return outcome


def run(measure: Callable[[ExitStack], dict[str, Any]], as_json: bool, path: Path,
        words: str) -> int:
    """Measure and print the results, which @path keeps, as JSON or as a table that @words
    follow; an exit status. All that was started has ended then, whatever happened."""
    try:
        with ExitStack() as cleanup:
            outcome = measure(cleanup)
    except KeyboardInterrupt:
        say("bench: interrupted; everything is stopped")
        return 130
    except (BenchError, LabError, OSError, subprocess.SubprocessError) as error:
        say(f"bench: {error}")
        return 1
    if as_json:
        print(json.dumps(outcome, indent=2))
    else:
        print(f"\n{table(outcome['results'])}\n\n{words}; a ratio above 1 is in our favour.\n"
              f"Load of the machine at the start: {outcome['machine']['load']:.1f}. "
              f"Raw data: {os.path.relpath(path)}")
    return 0


def quick(name: str) -> Path:
    """Where a quick run leaves its results."""
    return BUILD / f"bench/{name}/quick.json"


def alternating(name: str, about: str, measure: Callable[..., dict[str, Any]],
                parts: Sequence[str] = ()) -> int:
    """Run a benchmark of alternating rounds as the command line says; an exit status.

    @measure is given rounds, seconds of each figure, where to leave the results, and,
    if there are @parts, those to be measured; then the ExitStack that ends all.
    """
    parser = argparse.ArgumentParser(prog=f"python3 -m bench.{name}", description=about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (5)")
    parser.add_argument("--seconds", type=float, default=3, help="of each figure (3)")
    parser.add_argument("--quick", action="store_true",
                        help="one round of one second: whether it works, no figures to keep")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    if parts:
        parser.add_argument("--only", choices=parts,
                            help=f"one part, whose results are left in {name}/PART.json")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 1
    if args.rounds < 1 or not 1 <= args.seconds <= 30:
        parser.error("--rounds is at least 1, --seconds is 1 to 30")
    target, chosen = BUILD / f"bench/{name}.json", [parts] if parts else []
    if parts and args.only:
        target, chosen = BUILD / f"bench/{name}/{args.only}.json", [[args.only]]
    if args.quick:
        target = quick(name)
    return run(partial(measure, args.rounds, args.seconds, target, *chosen), args.json, target,
               f"Medians of {args.rounds} alternating rounds of {args.seconds:g} s")
