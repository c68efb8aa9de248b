# SPDX-License-Identifier: GPL-2.0-only
"""Consoles: what the guests' kernels said, and whether that was alarming."""

import re
from pathlib import Path

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

    def alarms(self, allowed: list[str] | None = None, context: int = 12) -> str:
        """What is alarming since the last call, with some lines around; "" if nothing.

        Lines that match a regular expression in @allowed are expected.
        """
        text = self.text()
        lines = text[self.seen:].splitlines()
        self.seen = len(text)
        wanted: set[int] = set()
        for number, line in enumerate(lines):
            if ALARM.search(line) and not any(re.search(a, line) for a in allowed or ()):
                wanted.update(range(number - 2, number + context))
        return "\n".join(lines[n] for n in sorted(wanted) if 0 <= n < len(lines))
