# SPDX-License-Identifier: GPL-2.0-only
"""A run of tests goes on where an earlier one has ended, and all of it adds up."""

import os
import re
import subprocess
import sys

import pytest

from lab.agent import poll_until
from lab.paths import ROOT
from lab.progress import Outcomes

TESTS = """
import os, time
from pathlib import Path
import pytest
from lab.testing import count

def ran():
    with open("ran", "a") as file:
        file.write(os.environ["PYTEST_CURRENT_TEST"].split("::")[1].split()[0] + "\\n")

def test_good():
    ran()
    count("attacks", 2)

def test_is_mended():
    ran()
    count("attacks", 5)
    assert Path("mended").exists()

@pytest.fixture
def more():
    yield
    count("scans", 1)

def test_skipped(more):
    ran()
    pytest.skip("not here")

def test_slow():
    ran()
    while Path("wait").exists():
        time.sleep(0.05)
"""


class Runs:
    """Runs of the same tests in @folder."""

    def __init__(self, folder, processes):
        self.folder = folder
        self.command = [sys.executable, "-m", "pytest", "-p", "lab.testing", "-q",
                        "-n", processes, "--progress=told", "test_some.py"]
        self.environment = dict(os.environ, PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1")
        (folder / "test_some.py").write_text(TESTS)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")

    def start(self):
        """Begin one."""
        (self.folder / "ran").write_text("")
        return subprocess.Popen(self.command, cwd=self.folder, env=self.environment,
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self):
        """One, to its end; status and what it said."""
        with self.start() as process:
            said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def ran(self):
        """The tests that the last one has begun."""
        return sorted((self.folder / "ran").read_text().split())

    def told(self):
        """What is kept of all."""
        return Outcomes(self.folder / "told")


@pytest.fixture(params=["0", "2"])
def runs(tmp_path, request):
    """In one process, or in two."""
    return Runs(tmp_path, request.param)


def test_only_what_has_failed_is_run_again(runs):
    assert runs.run()[0] == 1
    assert len(runs.ran()) == 4
    told = runs.told()
    assert told.counts() == {"passed": 2, "failed": 1, "skipped": 1}
    assert told.tally() == {"attacks": 7, "scans": 1} and not told.again
    (runs.folder / "mended").touch()
    assert runs.run()[0] == 0
    assert runs.ran() == ["test_is_mended"]
    told = runs.told()
    assert told.counts() == {"passed": 3, "skipped": 1}
    assert told.again == {"test_some.py::test_is_mended"}
    # The last time that it was run counts.
    assert told.tally() == {"attacks": 7, "scans": 1}
    status, said = runs.run()
    assert status == 0 and runs.ran() == [] and re.search("4 deselected|no tests ran", said)


def test_run_that_was_ended(runs):
    """What had passed by then is kept."""
    (runs.folder / "mended").touch()
    (runs.folder / "wait").touch()
    with runs.start() as process:
        poll_until(lambda: "test_slow" in runs.ran() and len(runs.told().tests) == 3, 120,
                   "the slow one alone")
        process.kill()
    with (runs.folder / "told").open("a") as told:
        told.write('{"test": "cut o')
    (runs.folder / "wait").unlink()
    assert runs.run()[0] == 0
    assert runs.ran() == ["test_slow"]
    assert runs.told().counts() == {"passed": 3, "skipped": 1}


def test_time_and_commits_of_several_runs(tmp_path):
    path = tmp_path / "told"
    path.write_text('{"commit": "a"}\n{"test": "x", "outcome": "passed", "tally": {},'
                    ' "elapsed": 3}\n{"commit": "b"}\n{"test": "y", "outcome": "failed",'
                    ' "tally": {}, "elapsed": 4.5}\n{"commit": "b"}\n')
    told = Outcomes(path)
    assert told.seconds == 7.5 and told.commits == ["a", "b"] and told.done() == {"x"}
