# SPDX-License-Identifier: GPL-2.0-only
"""make mutants: put defects into a copy of the sources, one by one, and see which of them
the tests, proofs and fuzzers notice.

Exit status: 0 at least 95 % were caught; 1 fewer were; 130 interrupted.
"""

import argparse
import json
import os
import signal
import sys

from lab import record
from lab.log import LabError
from lab.paths import BUILD

from .campaign import Campaign, Report
from .defects import DEFECTS
from .tree import Tree

FOLDER = BUILD / "mutants"
ENOUGH = 95.0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.mutants", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print them, and do nothing")
    parser.add_argument("--only", metavar="NAME", action="append", default=[],
                        help="those whose name or file has this in it")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--resume", action="store_true",
                        help="keep what an earlier run has caught")
    parser.add_argument("--jobs", type=int, metavar="N", default=len(os.sched_getaffinity(0)),
                        help="so many at a time (one for each processor)")
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error("--jobs is 1 or more")
    return arguments


def main() -> int:
    """Exit status."""
    # A shell that starts this in the background has it ignore Ctrl-C. A polite kill is
    # taken like that, so that nothing is left behind.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = parse()
    chosen = [defect for defect in DEFECTS if not arguments.only or any(
        word in defect.name or word in defect.file for word in arguments.only)]
    if arguments.list:
        for defect in chosen:
            print(f"{defect.name:32} {defect.attack} {defect.file:32} {defect.breaks}")
        return 0
    kept = FOLDER / ("some.json" if arguments.only else "results.json")
    report = Report(kept, DEFECTS, arguments.resume)
    try:
        Campaign([Tree(FOLDER / f"tree-{number}") for number in range(1, arguments.jobs + 1)],
                 report).run(chosen)
    except (LabError, ValueError) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1
    if report.whole():
        record.keep("mutants", "make mutants", report.seconds(), report.outcome())
    if arguments.json:
        print(json.dumps(report.outcome(), indent=1))
    else:
        print(report.summary())
    return 0 if report.percent() >= ENOUGH else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
