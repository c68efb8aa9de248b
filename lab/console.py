# SPDX-License-Identifier: GPL-2.0-only
"""Consoles: what the guests' kernels said, and whether that was alarming."""

import re
from collections import Counter
from pathlib import Path

from .reports import parse

# A line that matches means that something went wrong inside a kernel.  Not the
# "MP-BIOS bug" that it sees when an emulated timer is late on a busy host.
ALARM = re.compile(
    r"WARNING:|(?<!MP-BIOS )\bBUG\b|Oops|Call Trace:|KASAN|UBSAN:|KCSAN|KFENCE|ODEBUG:"
    r"|possible circular locking|possible recursive locking|inconsistent lock state"
    r"|suspicious RCU usage|bad unlock balance|possible irq lock inversion"
    r"|INFO: task .* blocked|rcu: INFO|rcu.*detected stall|soft lockup|hard LOCKUP"
    r"|Kernel panic|general protection fault|unable to handle|DMA-API:"
    r"|unreferenced object|sleeping function called|scheduling while atomic"
    r"|Bad page|list_(add|del) corruption|refcount_t:|nobody cared|Trying to vfree"
    r"|^lab: guest: ", re.I | re.M)


class Console:
    """The log of one guest's console."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen = 0
        # How many of each kind there were that nobody expected
        self.reports: Counter[str] = Counter()

    def text(self) -> str:
        """Everything so far."""
        try:
            return self.path.read_bytes().decode(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return ""

    def tail(self, lines: int = 25) -> str:
        """The last lines, and a few more if an alarm stands just before them."""
        text = self.text().splitlines()
        start = max(len(text) - lines, 0)
        for number in range(max(start - 60, 0), start):
            if ALARM.search(text[number]):
                start = max(number - 2, 0)
                break
        return "\n".join(text[start:])

    def alarms(self, allowed: list[str] | None = None, context: int = 12,
               final: bool = True) -> str:
        """What is alarming since the last call, with some lines around; "" if nothing.

        Lines that match a regular expression in @allowed are expected, and reports whose
        first line does. Races are told of when one of our modules is in them; the kernel
        has others, which are only counted. Unless it is @final, such a report is left
        for the next call when it is not at its end.
        """
        text = self.text()
        lines = text[self.seen:].splitlines(keepends=True)
        said = [line.rstrip("\n") for line in lines]

        def expected(line: str) -> bool:
            return any(re.search(a, line) for a in allowed or ())

        reports = parse(said, lambda line: bool(ALARM.search(line)))
        if reports and not final and reports[-1].kind == "KCSAN" and not reports[-1].complete:
            del lines[reports.pop().start:]
        self.seen += sum(map(len, lines))
        owner = {number: report for report in reports
                 for number in range(report.start, report.end)}
        wanted: set[int] = set()
        for number in range(len(lines)):
            report = owner.get(number)
            if report is None and ALARM.search(said[number]) and not expected(said[number]):
                self.reports["other"] += 1
                wanted.update(range(number - 2, number + context))
        for report in reports:
            if report.kind == "KCSAN" and not report.ours:
                self.reports["KCSAN of the kernel's own"] += 1
            elif not expected(report.title):
                self.reports[report.kind] += 1
                wanted.update(range(report.start - 2, report.end))
        return "\n".join(said[n] for n in sorted(wanted) if 0 <= n < len(lines))
