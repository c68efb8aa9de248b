# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel that checks itself has found: the reports in a console's text.

A report is told by its first line. It ends where its kind of report ends, and what is said
meanwhile is part of it: a report of an object's state, say, is given as a warning.
"""

import re
from dataclasses import dataclass
from typing import Callable

# How the reports of a kind start and end, in the order in which they are looked for
_KINDS = [
    ("KASAN", r"BUG: KASAN: ", r"={20,}$"),
    ("KCSAN", r"BUG: KCSAN: ", r"={20,}$"),
    ("UBSAN", r"UBSAN: ", r"={20,}$"),
    ("ODEBUG", r"ODEBUG: ", r"---\[ end trace"),
    ("refcount", r"refcount_t: ", r"---\[ end trace"),
    ("kmemleak", r"unreferenced object 0x", r"^$"),
    ("atomic sleep", r"BUG: sleeping function called|BUG: scheduling while atomic"
                     r"|\[ BUG: Invalid wait context", r"</TASK>"),
    ("lockdep", r"WARNING: (possible|inconsistent|suspicious|bad|nested|held|lock held)"
                r"|WARNING: .*(lock inversion|lock dependency|-unsafe lock|locks? )"
                r"|BUG: .* lock held", r"</TASK>"),
    ("warning", r"(WARNING|BUG): ", r"---\[ end trace|</TASK>"),
]
KINDS = tuple(kind for kind, _, _ in _KINDS)
_STARTS = [(kind, re.compile(start), re.compile(end)) for kind, start, end in _KINDS]
_LONGEST = 200
# A report may be given as one of another kind, which then starts within so many lines.
_NESTED = 4

# "[   12.345678] " before each line
_TIME = re.compile(r"^\[ *\d+\.\d+\] ?")
_OURS = re.compile(r"\[ivshmem\w*\]")


@dataclass(frozen=True)
class Report:
    """One report: its kind, and the range of lines that it takes."""

    kind: str
    start: int
    end: int
    title: str
    text: str
    complete: bool

    @property
    def ours(self) -> bool:
        """Whether a module of ours is in one of its stacks."""
        return bool(_OURS.search(self.text))


def parse(lines: list[str], alarming: Callable[[str], bool] = lambda line: True) -> list[Report]:
    """The reports in a console's lines, with a first line that is @alarming."""
    found = []
    number = 0
    while number < len(lines):
        report = _report(lines, number) if alarming(lines[number]) else None
        if report:
            found.append(report)
        number = report.end if report else number + 1
    return found


def _kind(line: str) -> tuple[str, re.Pattern] | None:
    """The kind of report that starts with @line, and how it ends."""
    return next(((kind, last) for kind, first, last in _STARTS
                 if first.search(_TIME.sub("", line))), None)


def _report(lines: list[str], start: int) -> Report | None:
    """The report that starts in line @start."""
    found = _kind(lines[start])
    if not found:
        return None
    kind, last = found
    for end in range(start + 1, min(start + _LONGEST, len(lines))):
        if end >= start + _NESTED and _kind(lines[end]):
            return _made(kind, lines, start, end, True)
        if last.search(_TIME.sub("", lines[end])):
            return _made(kind, lines, start, end + 1, True)
    if kind not in ("KCSAN", "kmemleak"):
        # A line that looks like one
        return _made(kind, lines, start, start + 1, False)
    # What has come of it so far; one that never ends takes no more than others.
    end = min(start + _LONGEST, len(lines))
    return _made(kind, lines, start, end, kind == "kmemleak" or end < len(lines))


def _made(kind: str, lines: list[str], start: int, end: int, complete: bool) -> Report:
    return Report(kind, start, end, _TIME.sub("", lines[start]),
                  "\n".join(lines[start:end]), complete)
