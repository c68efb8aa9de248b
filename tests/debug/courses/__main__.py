# SPDX-License-Identifier: GPL-2.0-only
"""Runs one course in a guest; see sweep.py.

Usage: python3 -m tests.debug.courses COURSE MODULES LOG; prints JSON.
"""

import sys

from tests.debug.sweep import Steps, Sweep, report

from . import COURSES
from .devices import Modules


def main() -> None:
    """Run one course."""
    name, folder, log = sys.argv[1:]
    modules = Modules(folder)
    # What a course that has failed left
    Steps().arm(False)
    modules.unload()
    said = Sweep(COURSES[name](modules), log).run()
    modules.unload()
    report(said)


if __name__ == "__main__":
    main()
