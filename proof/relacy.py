# SPDX-License-Identifier: GPL-2.0-only
"""Proves the order of accesses: Relacy runs the shipped headers, each *_relacy.cc a
program of its own, in orders that C11 allows."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT

BOUND = 300


@dataclass(frozen=True)
class Verdict:
    """What Relacy says of one program."""

    holds: bool
    executions: int
    output: str


def programs() -> list[str]:
    """Their names."""
    return sorted(source.stem for source in (ROOT / "proof").glob("*_relacy.cc"))


def run(name: str, folder: Path, headers: Path = ROOT / "include") -> Verdict:
    """Run one with the headers in @headers; it is left in @folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    # Relacy itself is not free of warnings.
    subprocess.run(["g++", "-w", "-O2", "-std=c++11", "-DIVSHMEM_PORT=<relacy_port.hpp>",
                    f"-I{ROOT}/proof", f"-I{headers}", ROOT / f"proof/{name}.cc",
                    "-o", program], check=True)
    done = subprocess.run([program], check=False, text=True, timeout=BOUND,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told = re.findall(r"^(.*: (?:holds|FAILS), (\d+) executions)$", done.stdout, re.M)
    if not told:
        raise RuntimeError(f"{program}: did not get to a result:\n{done.stdout}")
    return Verdict(done.returncode == 0, sum(int(count) for _, count in told),
                   "; ".join(line for line, _ in told))
