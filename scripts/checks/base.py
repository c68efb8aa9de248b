# SPDX-License-Identifier: GPL-2.0-only
"""What a check is, what it finds, and the table of all checks."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .tree import Tree


class CannotRun(Exception):
    """A check could not be made at all; the message names the remedy."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong, and where."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.text}"


@dataclass
class Outcome:
    """What a check looked at, and what it found there."""

    looked_at: str
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """A named check; run() may raise CannotRun."""

    name: str
    summary: str
    run: Callable[[Tree], Outcome]


CHECKS: dict[str, Check] = {}


def check(name: str, summary: str) -> Callable:
    """Enter the decorated function in the table of checks."""
    def enter(run: Callable[[Tree], Outcome]) -> Callable[[Tree], Outcome]:
        CHECKS[name] = Check(name, summary, run)
        return run
    return enter


def count(things: Iterable, noun: str = "file") -> str:
    """"1 file", "12 files"."""
    number = len(list(things))
    return f"{number} {noun}" + ("" if number == 1 else "s")


def need(program: str) -> str:
    """Path of a program; CannotRun with the remedy if it is missing."""
    path = shutil.which(program)
    if not path:
        raise CannotRun(f"{program} is not installed; scripts/setup installs it")
    return path


LOCATED = re.compile(r"(?P<path>[^\s:][^:\n]*):(?P<line>\d+):(?:\d+:)? *(?P<text>.*)")


def located(output: str, root: Path) -> list[Finding]:
    """The "path:line: text" lines of a tool's output, as findings.

    Paths come out relative to @root if they lie within.
    """
    findings = []
    for line in output.splitlines():
        match = LOCATED.match(line)
        if match:
            path = match["path"].removeprefix(f"{root}/")
            findings.append(Finding(path, int(match["line"]), match["text"]))
    return findings


def run_tool(command: list, tree: Tree, parse=located,
             cwd: Path | None = None) -> list[Finding]:
    """Run a tool in the tree; its located output lines are the findings.

    A tool that fails and says nothing that can be located has gone wrong
    itself, which must not look like a clean result.
    """
    done = subprocess.run([str(word) for word in command], cwd=cwd or tree.root,
                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, errors="replace")
    findings = parse(done.stdout, tree.root)
    if done.returncode and not findings:
        raise CannotRun(f"{Path(command[0]).name} failed with exit status "
                        f"{done.returncode}:\n{done.stdout.strip()}")
    return findings
