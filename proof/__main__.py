# SPDX-License-Identifier: GPL-2.0-only
"""Runs all proofs, and then shows on copies with one mistake that they can fail.

Exit status: 0 all hold and every mistake was found; 1 otherwise.
"""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable

from lab.log import LabError
from lab.paths import BUILD
from lab.record import keep

from . import cbmc, herd, relacy, spin
from .mutants import CHECKED, UNORDERED, Mutant

FOLDER = BUILD / "proof"
MUTANTS = FOLDER / "mutants"
# Provers are programs of one thread each.
AT_ONCE = 2


@dataclass(frozen=True)
class Outcome:
    """How one job went: whether as it must, what to say, and what it counts."""

    right: bool
    text: str
    count: int = 0


@dataclass(frozen=True)
class Job:
    """One run of a prover."""

    name: str
    run: Callable[[], Outcome]


def prove_values(name: str) -> Outcome:
    """A proof by CBMC of the shipped headers."""
    verdict = cbmc.prove(name)
    text = f"{verdict.properties} properties"
    return Outcome(verdict.holds, text if verdict.holds else f"{text}\n{verdict.failures()}",
                   verdict.properties)


def prove_orders(name: str) -> Outcome:
    """A proof by Relacy of the shipped headers."""
    verdict = relacy.run(name, FOLDER / "orders")
    return Outcome(verdict.holds, verdict.output, verdict.executions)


def miss_value(mutant: Mutant) -> Outcome:
    """CBMC must not prove a mutant."""
    verdict = cbmc.prove(mutant.found_by, mutant.make(MUTANTS))
    return Outcome(not verdict.holds, f"by {mutant.found_by}", 1)


def miss_order(mutant: Mutant) -> Outcome:
    """Nor may Relacy."""
    headers = mutant.make(MUTANTS)
    verdict = relacy.run(mutant.found_by, headers, headers)
    return Outcome(not verdict.holds, f"by {mutant.found_by}", 1)


def search(wanted: spin.Search) -> Outcome:
    """A search of the model by Spin."""
    verdict = spin.run(wanted, FOLDER / "spin" / wanted.name.replace(" ", "-"))
    return Outcome(verdict.holds, f"{verdict.states} states", verdict.states)


def miss_path(wanted: spin.Search) -> Outcome:
    """Nor may Spin find nothing in a model with a mistake."""
    verdict = spin.run(wanted, MUTANTS / "spin" / wanted.name)
    return Outcome(not verdict.holds, f"by {wanted.model.name}", 1)


def judge(test: Path) -> Outcome:
    """A litmus test, for which all orders are right but the one it asks for."""
    result = herd.run(test)
    return Outcome(result == herd.expected(test), result, 1)


class Report:
    """Runs jobs, says how each went, and remembers."""

    def __init__(self) -> None:
        self.failed = 0

    def _run(self, job: Job) -> int:
        start = time.monotonic()
        outcome = job.run()
        print(f"  {'ok' if outcome.right else 'FAILED':7}{job.name:34}{outcome.text} "
              f"({time.monotonic() - start:.1f} s)", flush=True)
        if not outcome.right:
            self.failed += 1
            return 0
        return outcome.count

    def run(self, title: str, jobs: list[Job]) -> int:
        """Runs @jobs, some at once; the sum of what those that went right count."""
        print(title, flush=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return sum(pool.map(self._run, jobs))


def jobs_for(names: list, run: Callable) -> list[Job]:
    """A job for each name or mutant."""
    return [Job(getattr(name, "name", name), partial(run, name)) for name in names]


def prove_all(report: Report) -> str:
    """Everything; a summary."""
    properties = report.run("CBMC: every private state, every value of shared memory",
                            jobs_for(list(cbmc.proofs()), prove_values))
    states = report.run("Spin: the link, with crashes and snapshots",
                        jobs_for(spin.SEARCHES, search))
    executions = report.run("Relacy: orders that C11 allows",
                            jobs_for(relacy.programs(), prove_orders))
    verdicts = report.run("herd7: the orders that the kernel's memory model allows",
                          [Job(test.stem, partial(judge, test)) for test in herd.tests()])
    found = report.run("Mistakes that the proofs must find",
                       jobs_for(CHECKED, miss_value) + jobs_for(spin.MISTAKES, miss_path)
                       + jobs_for(UNORDERED, miss_order))
    return (f"{properties} properties proven by CBMC, {states} states searched by Spin, "
            f"{executions} executions by Relacy, {verdicts} litmus verdicts, "
            f"{found} mistakes found, {report.failed} failed")


def main() -> int:
    """Exit status."""
    argparse.ArgumentParser(prog="python3 -m proof", description=__doc__.split("\n")[0]
                            ).parse_args()
    report = Report()
    start = time.monotonic()
    try:
        summary = prove_all(report)
    except (LabError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        print(f"proof: {error}", file=sys.stderr)
        return 1
    print(summary)
    keep("proof", "make proof", time.monotonic() - start,
         {"summary": summary, "failed": report.failed})
    return 1 if report.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
