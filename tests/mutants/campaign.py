# SPDX-License-Identifier: GPL-2.0-only
"""Puts defects in one by one, and keeps what became of each."""

import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Iterator

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
    """Defects in copies of the sources, one in each of @trees at a time, and their results
    in @report."""

    def __init__(self, trees: list[Tree], report: Report) -> None:
        self.trees = trees
        self.report = report
        # How long each check took without a defect
        self.sound: dict[str, float] = {}
        self._checking: defaultdict[str, Lock] = defaultdict(Lock)
        self._told = Lock()

    def run(self, defects: list[Defect]) -> None:
        """All that have no result yet."""
        due = [defect for defect in defects if defect.name not in self.report.results]
        left = iter(list(enumerate(due, 1)))
        with ThreadPoolExecutor(len(self.trees)) as pool:
            try:
                for done in as_completed([pool.submit(self._work, tree, left, len(due))
                                          for tree in self.trees]):
                    done.result()
            except BaseException:
                for tree in self.trees:
                    tree.stop()
                raise

    def _work(self, tree: Tree, left: Iterator[tuple[int, Defect]], count: int) -> None:
        """One after the other in one copy, until none is left."""
        tree.update()
        while not tree.stopped:
            with self._told:
                number, defect = next(left, (0, None))
            if defect is None:
                return
            start = time.monotonic()
            outcome, by = self.judge(defect, tree)
            seconds = time.monotonic() - start
            if tree.stopped:
                return
            with self._told:
                self.report.add(Result.of(defect, outcome, by, seconds))
                say(f"{number:3}/{count} {defect.name:34} {outcome}"
                    f"{f' by {by}' if by else ''} ({seconds:.0f} s)")

    def judge(self, defect: Defect, tree: Tree) -> tuple[str, str]:
        """What becomes of it, and what has found it."""
        try:
            for check in defect.found_by:
                self._pass(check, tree)
                with tree.defective(defect):
                    verdict = checks.run(tree, check, self._patience(check))
                if verdict.found:
                    return CAUGHT, verdict.by
        except (CannotBuild, CannotCheck) as error:
            if not tree.stopped:
                say(str(error)[-2000:])
            return NOT_BUILT if isinstance(error, CannotBuild) else NOT_CHECKED, ""
        return SURVIVED, ""

    def _patience(self, check: str) -> float:
        """Until a test that does not end counts as one that fails, seconds."""
        return LEAST + SLACK * self.sound[check]

    def _pass(self, check: str, tree: Tree) -> None:
        """Without a defect each has to find nothing, once."""
        with self._checking[check]:
            if check in self.sound:
                return
            start = time.monotonic()
            try:
                verdict = checks.run(tree, check)
            except CannotBuild as error:
                raise CannotCheck(f"the sources do not build:\n{error}") from error
            if verdict.found:
                raise CannotCheck(f"{check} fails without any defect: {verdict.by}; see "
                                  f"{tree.log}")
            self.sound[check] = time.monotonic() - start
