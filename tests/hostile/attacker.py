# SPDX-License-Identifier: GPL-2.0-only
"""Runs tests/hostile/main.c, the hostile peer, and keeps count of what it has written."""

import fcntl
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import testing
from lab.paths import BUILD, USERSPACE

SOURCES = Path(__file__).parent
SUBJECTS = ("region", "links", "sections")
ENTRY = re.compile(r'^\t\{ "([a-z-]+)", "([A-Z0-9 ]+)",$', re.M)
PROGRAM = USERSPACE / "tests/hostile/hostile"
COUNT = BUILD / "test/hostile.json"
# Only a hang takes as long as that.
BOUND = 120
# A run of all tests is to write 100 million at least, most of them while guests look.
WORDS = 3_000_000
SECONDS = 1
# For how long random attacks are to go on
HOURS = float(os.environ.get("HOURS", "0"))


def listed(*subjects: str) -> list[Any]:
    """All attacks, or those on these subjects, as parameters of a test.

    Each carries the classes of attacks that a test shows by it. They are read from the
    sources: nothing has been built when tests are collected.
    """
    return [pytest.param(name, id=name, marks=pytest.mark.attack(*classes.split()))
            for subject in subjects or SUBJECTS
            for name, classes in ENTRY.findall((SOURCES / f"{subject}.c").read_text("ascii"))]


def printed() -> list[list[str]]:
    """What the program says of its attacks: name, subject, classes and text of each."""
    said = subprocess.run([PROGRAM, "--list"], check=True, text=True, timeout=BOUND,
                          stdout=subprocess.PIPE).stdout
    return [line.split(": ") for line in said.splitlines()]


def _run_of_tests() -> str:
    """One name for all processes that run tests together."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", f"process {os.getpid()}")


def count(said: dict[str, Any]) -> None:
    """Add an attack to those of this run in build/test/hostile.json."""
    testing.count("attacks", 1)
    testing.count("hostile words", said["words"])
    COUNT.parent.mkdir(parents=True, exist_ok=True)
    with open(COUNT, "a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        sums = json.loads(text) if text else {}
        if sums.get("run") != _run_of_tests():
            sums = {"run": _run_of_tests(), "words": 0, "doorbells": 0, "attacks": {}}
        sums["words"] += said["words"]
        sums["doorbells"] += said["doorbells"]
        name = said["attack"]
        sums["attacks"][name] = sums["attacks"].get(name, 0) + said["words"]
        file.truncate(0)
        file.write(json.dumps(sums, indent=1) + "\n")


class Attack:
    """An attack that runs; wait() tells what it has done."""

    def __init__(self, name: str, memory: str | Path, words: int = WORDS,
                 seconds: float = SECONDS, seed: int = 1, only: str | int | None = None,
                 renew: bool = False, **files: Path) -> None:
        more = [f"--only-own-slot={only}"] if only is not None else []
        more += ["--renew"] if renew else []
        more += [f"--{option}={path}" for option, path in files.items()]
        self.command = [str(PROGRAM), f"--words={words}", f"--seconds={seconds}",
                        f"--seed={seed}", *more, name, str(memory)]
        self.process = subprocess.Popen(self.command, text=True, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def result(self) -> dict[str, Any]:
        """Wait for its end, which has to be a good one."""
        output, complaint = self.process.communicate(timeout=BOUND)
        assert self.process.returncode == 0, f"{' '.join(self.command)}: {complaint}"
        said: dict[str, Any] = json.loads(output)
        return said

    def wait(self) -> dict[str, Any]:
        """The same, and count it as one of the tests' attacks."""
        said = self.result()
        count(said)
        return said

    def __enter__(self) -> "Attack":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def attack(name: str, memory: str | Path, **options: Any) -> dict[str, Any]:
    """Run an attack to its end."""
    with Attack(name, memory, **options) as running:
        return running.wait()
