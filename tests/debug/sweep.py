# SPDX-License-Identifier: GPL-2.0-only
"""Lets one step after the other fail in a guest, until none is left that can.

A course is a row of phases. Each of them is done and ended again and again, and each time
another step of it fails, of those that faults/faults.c knows. When nothing has failed the
phase is done once more, for those that follow.

Of a phase in which a step has failed it is demanded that it says so by one of the errors
that it may give, and has then undone what it did; or that it has worked, as a whole or in
part. If not as a whole it is ended, tried once more without a failure, and has to work as a
whole then.
"""

import errno
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable

PARAMETERS = "/sys/module/faults/parameters"
# Only a hang takes as long as that.
BOUND = 120
# Whether all steps fail, or of a line with many of them the first, second, fourth ...
ALL = os.environ.get("FAULTS") == "all"


def nothing() -> None:
    """What is to be done where there is nothing to do."""


def all_there() -> bool:
    """Of what cannot be there in part."""
    return True


def wait(condition: Callable[[], Any], what: str) -> None:
    """Wait until it holds."""
    end = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < end, f"{what}: not in {BOUND} s"
        time.sleep(0.005)


@dataclass
class Phase:
    """A part of a course.

    @do raises OSError if it does not work, with one of @errors. @whole, which may wait,
    says whether all is there that it makes, and @works tries that it works: it is asked
    where a step has failed, when no other will. @undo ends what @do has begun, and cannot
    fail.
    """

    name: str
    do: Callable[[], None]
    errors: set[int] = field(default_factory=lambda: {errno.ENOMEM})
    whole: Callable[[], bool] = all_there
    undo: Callable[[], None] = nothing
    works: Callable[[], None] = nothing


class Steps:
    """The steps of our modules, one of which can be made to fail."""

    def __init__(self) -> None:
        self.armed = os.open(f"{PARAMETERS}/armed", os.O_WRONLY)
        self.all = os.open(f"{PARAMETERS}/all", os.O_WRONLY)
        self.record = os.open(f"{PARAMETERS}/failed", os.O_RDONLY)

    def arm(self, armed: bool) -> None:
        """Let one that is due fail, or none."""
        os.pwrite(self.armed, b"%d" % armed, 0)

    def forget(self) -> None:
        """What has failed is due again."""
        os.pwrite(self.all, b"%d" % ALL, 0)

    def failed(self) -> str:
        """Its name and its caller; "" for none yet."""
        return os.pread(self.record, 4096, 0).decode().strip()


class Kernel:
    """What the kernel has said since it was asked last."""

    def __init__(self) -> None:
        self.log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.log, 0, os.SEEK_END)

    def said(self) -> str:
        """The lines."""
        lines = []
        while True:
            try:
                lines.append(os.read(self.log, 8192).decode(errors="replace"))
            except BlockingIOError:
                return "".join(lines)
            except BrokenPipeError:
                # More than it keeps
                continue


class Sweep:
    """All steps of a course."""

    def __init__(self, phases: list[Phase], log: str) -> None:
        self.phases = phases
        self.steps = Steps()
        self.log = open(log, "a", buffering=1)
        self.injected: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.places: set[str] = set()

    def run(self) -> dict[str, Any]:
        """Let each phase fail at each step; what was seen."""
        for phase in self.phases:
            self.injected[phase.name] = 0
            self.steps.forget()
            while self._turn(phase):
                pass
            assert self._attempt(phase) == (0, True), phase.name
        for phase in reversed(self.phases):
            phase.undo()
        return {"injected": self.injected, "outcomes": self.outcomes,
                "failed": self.failed, "places": len(self.places)}

    def _turn(self, phase: Phase) -> bool:
        """Let one step fail; false if none has."""
        self.steps.arm(True)
        error, whole = self._attempt(phase)
        failed = self.steps.failed()
        how = errno.errorcode[error] if error else "worked" if whole else "in part"
        if failed:
            self._count(phase, failed, how)
        if error or not whole:
            assert failed, f"{phase.name}: {how}, without a failure"
            assert not error or error in phase.errors, f"{phase.name}: {how} after {failed}"
            self._again(phase, failed, not error)
        if failed:
            phase.works()
        phase.undo()
        # Its end has steps, too
        if not failed and self.steps.failed():
            failed = self.steps.failed()
            self._count(phase, failed, "ended")
        self.steps.arm(False)
        return bool(failed)

    def _again(self, phase: Phase, failed: str, begun: bool) -> None:
        """Without a failure it works."""
        if begun:
            phase.undo()
        error, whole = self._attempt(phase)
        assert not error and whole, f"{phase.name}: not even again after {failed}: {error}"

    @staticmethod
    def _attempt(phase: Phase) -> tuple[int, bool]:
        """0 or an error, and whether all is there."""
        try:
            phase.do()
        except OSError as failure:
            assert failure.errno, failure
            return failure.errno, False
        try:
            return 0, phase.whole()
        except OSError:
            # Something was there that does not work
            return 0, False

    def _count(self, phase: Phase, failed: str, how: str) -> None:
        step, _, _, place, *_ = failed.split()
        self.injected[phase.name] += 1
        self.outcomes[how] += 1
        self.failed[step] += 1
        self.places.add(place)
        print(f"{time.monotonic():.1f} {phase.name} {self.injected[phase.name]}: "
              f"{failed}: {how}", file=self.log)


def report(said: dict[str, Any]) -> None:
    """Tell the host."""
    json.dump(said, sys.stdout)
