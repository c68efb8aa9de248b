# SPDX-License-Identifier: GPL-2.0-only
"""Puts defects in one by one, and keeps what became of each."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.report import say

from . import checks
from .checks import CannotCheck
from .defect import Defect
from .tree import CannotBuild, Tree

# How much longer than without a defect tests may take: the machine may be busy
LEAST, SLACK = 60, 4
CAUGHT, SURVIVED, NOT_BUILT, NOT_CHECKED = ("caught", "survived", "does not build",
                                            "not checked")


@dataclass(frozen=True)
class Result:
    """What became of a defect."""

    name: str
    file: str
    attack: str
    breaks: str
    old: str
    new: str
    found_by: list[str]
    outcome: str
    by: str
    seconds: float

    @classmethod
    def of(cls, defect: Defect, outcome: str, by: str, seconds: float) -> "Result":
        """The result of a defect."""
        return cls(defect.name, defect.file, defect.attack, defect.breaks, defect.old,
                   defect.new, list(defect.found_by), outcome, by, round(seconds, 1))

    def is_of(self, defect: Defect) -> bool:
        """Whether it is of a defect as that is now."""
        return (self.file, self.old, self.new, self.found_by) == (
            defect.file, defect.old, defect.new, list(defect.found_by))


class Report:
    """Results, in @path as soon as they are there."""

    def __init__(self, path: Path, defects: list[Defect], resume: bool = False) -> None:
        self.path = path
        self.defects = defects
        self.results: dict[str, Result] = {}
        if resume and path.exists():
            self._take(json.loads(path.read_text()))

    def _take(self, earlier: dict[str, Any]) -> None:
        by_name = {defect.name: defect for defect in self.defects}
        for entry in earlier["each"]:
            result = Result(**entry)
            if (result.outcome == CAUGHT and result.name in by_name
                    and result.is_of(by_name[result.name])):
                self.results[result.name] = result

    def add(self, result: Result) -> None:
        """One more, which is kept at once."""
        self.results[result.name] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.outcome(), indent=1) + "\n")
        new.replace(self.path)

    def caught(self) -> int:
        """How many were."""
        return sum(result.outcome == CAUGHT for result in self.results.values())

    def percent(self) -> float:
        """Of those that were tried."""
        return 100 * self.caught() / max(len(self.results), 1)

    def seconds(self) -> float:
        """That all of it took."""
        return sum(result.seconds for result in self.results.values())

    def whole(self) -> bool:
        """Whether there is a result of each defect."""
        return len(self.results) == len(self.defects)

    def outcome(self) -> dict[str, Any]:
        """All there is to say."""
        return {"caught": self.caught(), "mutants": len(self.results),
                "percent": round(self.percent(), 1), "seconds": round(self.seconds()),
                "each": [asdict(result) for result in self.results.values()]}

    def summary(self) -> str:
        """Who was not caught, and the score as the last line."""
        lines = [f"{result.outcome}: {result.name} ({result.file}: {result.breaks})"
                 for result in self.results.values() if result.outcome != CAUGHT]
        lines.append(f"{self.caught()} of {len(self.results)} caught "
                     f"({self.percent():.1f} %)")
        return "\n".join(lines)


class Campaign:
    """Defects in @tree, and their results in @report."""

    def __init__(self, tree: Tree, report: Report) -> None:
        self.tree = tree
        self.report = report
        # How long each check took without a defect
        self.sound: dict[str, float] = {}

    def run(self, defects: list[Defect]) -> None:
        """All that have no result yet."""
        self.tree.update()
        due = [defect for defect in defects if defect.name not in self.report.results]
        for number, defect in enumerate(due, 1):
            start = time.monotonic()
            outcome, by = self.judge(defect)
            seconds = time.monotonic() - start
            self.report.add(Result.of(defect, outcome, by, seconds))
            say(f"{number:3}/{len(due)} {defect.name:34} {outcome}"
                f"{f' by {by}' if by else ''} ({seconds:.0f} s)")

    def judge(self, defect: Defect) -> tuple[str, str]:
        """What becomes of it, and what has found it."""
        try:
            for check in defect.found_by:
                self._pass(check)
                with self.tree.defective(defect):
                    verdict = checks.run(self.tree, check, self._patience(check))
                if verdict.found:
                    return CAUGHT, verdict.by
        except CannotBuild as error:
            say(str(error)[-2000:])
            return NOT_BUILT, ""
        except CannotCheck as error:
            say(str(error)[-2000:])
            return NOT_CHECKED, ""
        return SURVIVED, ""

    def _patience(self, check: str) -> float:
        """Until a test that does not end counts as one that fails, seconds."""
        return LEAST + SLACK * self.sound[check]

    def _pass(self, check: str) -> None:
        """Without a defect each has to find nothing, once."""
        if check in self.sound:
            return
        start = time.monotonic()
        try:
            verdict = checks.run(self.tree, check)
        except CannotBuild as error:
            raise CannotCheck(f"the sources do not build:\n{error}") from error
        if verdict.found:
            raise CannotCheck(f"{check} fails without any defect: {verdict.by}; see "
                              f"{self.tree.log}")
        self.sound[check] = time.monotonic() - start
