# SPDX-License-Identifier: GPL-2.0-only
"""What has become of tests so far, kept as it is told, so that a later run can go on there.

A run on a kernel that checks itself takes hours. With --progress=FILE pytest leaves out
what has passed or was skipped according to FILE, and adds the rest to it as it ends.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .record import commit

# From the least to the worst: what a test is, is the worst of its phases.
ORDER = ("passed", "skipped", "failed")


class Outcomes:
    """What a file says: of each test the last time that it was run."""

    def __init__(self, path: Path) -> None:
        self.tests: dict[str, dict[str, Any]] = {}
        self.commits: list[str] = []
        self.again: set[str] = set()
        self.seconds = 0.0
        elapsed = 0.0
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                # The last one, of a run that was killed
                continue
            if "commit" in entry:
                self.seconds += elapsed
                self.commits += [entry["commit"]] * (entry["commit"] not in self.commits)
            else:
                self.again |= {entry["test"]} & self.tests.keys()
                self.tests[entry["test"]] = entry
            elapsed = entry.get("elapsed", 0.0)
        self.seconds += elapsed

    def done(self) -> set[str]:
        """Those that need not be run again."""
        return {name for name, entry in self.tests.items() if entry["outcome"] != "failed"}

    def counts(self) -> Counter[str]:
        """How many have passed, failed, and were skipped."""
        return Counter(entry["outcome"] for entry in self.tests.values())

    def tally(self) -> Counter[str]:
        """What kernels have reported, and how hard they looked for it."""
        total: Counter[str] = Counter()
        for entry in self.tests.values():
            total.update(entry["tally"])
        return total


class Progress:
    """A plugin of pytest, of the process that hears of all tests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = Outcomes(path).done()
        self.began = time.monotonic()
        self.running: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        # A line that was cut off ends here.
        self._write("\n" if path.exists() else "", {"commit": commit()})

    def _write(self, before: str, entry: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(f"{before}{json.dumps(entry)}\n")

    def pytest_configure_node(self, node: Any) -> None:
        """A process that runs tests begins, of which each has to leave out the same."""
        node.workerinput["done"] = sorted(self.done)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A phase of a test has ended."""
        entry = self.running.setdefault(
            report.nodeid, {"test": report.nodeid, "outcome": "passed", "tally": Counter()})
        entry["outcome"] = max(entry["outcome"], report.outcome, key=ORDER.index)
        entry["tally"].update(getattr(report, "tally", {}))
        # After a test that has ended its process, too
        if report.when not in ("setup", "call"):
            entry["elapsed"] = round(time.monotonic() - self.began, 1)
            self._write("", self.running.pop(report.nodeid))


def done(config: Any) -> set[str]:
    """The tests that the process of @config leaves out."""
    if hasattr(config, "workerinput"):
        return set(config.workerinput.get("done", ()))
    plugin = config.pluginmanager.get_plugin(Progress.__name__)
    return plugin.done if plugin else set()
