# SPDX-License-Identifier: GPL-2.0-only
"""What all benchmarks write and print: the machine, medians, ratios, a table."""

import json
import os
import platform
import statistics
import subprocess
from pathlib import Path
from typing import Any

from lab.paths import ROOT


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


def row(name: str, unit: str, better: str, ours: list[float], peer: str,
        theirs: list[float]) -> dict[str, Any]:
    """A comparison; a ratio above 1 is in our favour, whatever the unit."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = other / mine if better == "lower" else mine / other
    return {"name": name, "unit": unit, "better": better, "peer": peer,
            "ours": mine, "theirs": other, "ratio": round(ratio, 3),
            "runs": len(ours), "ours_all": ours, "theirs_all": theirs}


def table(rows: list[dict[str, Any]]) -> str:
    """For people; the ratio is how many times better ours is."""
    lines = [f"{'name':<24}{'unit':<8}{'ours':>10}{'theirs':>10}  {'peer':<15}{'ratio':>7}"]
    lines += [f"{row['name']:<24}{row['unit']:<8}{row['ours']:>10.4g}{row['theirs']:>10.4g}"
              f"  {row['peer']:<15}{row['ratio']:>7.3g}" for row in rows]
    return "\n".join(lines)


def write(path: Path, about: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Keep the results, with all raw figures, as build/bench/NAME.json; what it holds."""
    outcome = {"machine": about, "results": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcome, indent=2) + "\n")
    return outcome
