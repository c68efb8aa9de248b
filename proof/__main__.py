# SPDX-License-Identifier: GPL-2.0-only
"""Runs all proofs, and then shows on copies with one mistake that they can fail.

Exit status: 0 all hold and every mistake was found; 1 otherwise.
"""

import argparse
import subprocess
import sys
import time

from lab.log import LabError
from lab.paths import BUILD

from . import ring
from .mutants import UNCHECKED, UNORDERED

FOLDER = BUILD / "proof"


class Report:
    """Says how each step went, and remembers."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def step(self, name: str, right: bool, text: str, start: float) -> None:
        """One line."""
        print(f"  {'ok' if right else 'FAILED':7}{name:44}{text} "
              f"({time.monotonic() - start:.1f} s)", flush=True)
        if not right:
            self.failed.append(name)


def prove_all(report: Report) -> tuple[int, int]:
    """The shipped ring; the numbers of properties and of proofs of order."""
    properties = 0
    print("CBMC: every size, every private state, every value of shared memory")
    for name in ring.PROOFS:
        start = time.monotonic()
        verdict = ring.prove(name)
        report.step(name, verdict.holds, f"{verdict.properties} properties", start)
        if verdict.holds:
            properties += verdict.properties
        else:
            print("\n".join(line for line in verdict.output.splitlines()
                            if line.endswith("FAILURE")))
    print("Relacy: the orders that C11 allows")
    start = time.monotonic()
    verdict = ring.prove_orders(FOLDER / "orders")
    report.step("ring_relacy", verdict.holds, verdict.output.replace("\n", "; "), start)
    return properties, verdict.properties if verdict.holds else 0


def find_mistakes(report: Report) -> int:
    """The mutants; how many were found out."""
    folder = FOLDER / "mutants"
    print("Mistakes that the proofs must find")
    before = len(report.failed)
    mutants = [m for m in UNCHECKED if m.name not in ring.FUZZED_ONLY]
    for mutant in mutants:
        start = time.monotonic()
        proof = ring.broken_proof(mutant)
        verdict = ring.prove(proof, mutant.make(folder))
        report.step(mutant.name, not verdict.holds, f"by {proof}", start)
    for mutant in UNORDERED:
        start = time.monotonic()
        verdict = ring.prove_orders(folder / mutant.name, mutant.make(folder))
        report.step(mutant.name, not verdict.holds, "by ring_relacy", start)
    return len(mutants) + len(UNORDERED) - (len(report.failed) - before)


def main() -> int:
    """Exit status."""
    argparse.ArgumentParser(prog="python3 -m proof", description=__doc__.split("\n")[0]
                            ).parse_args()
    report = Report()
    try:
        properties, orders = prove_all(report)
        found = find_mistakes(report)
    except (LabError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        print(f"proof: {error}", file=sys.stderr)
        return 1
    print(f"{properties} properties proven by CBMC, {orders} searches by Relacy, "
          f"{found} mistakes found, {len(report.failed)} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
