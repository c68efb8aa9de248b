# SPDX-License-Identifier: GPL-2.0-only
"""A copy of the sources, in which one file at a time is wrong."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Iterator

from lab.paths import BUILD, ROOT
from scripts.checks.tree import Tree as Sources

from .defect import Defect

# What was fetched, or takes long to make, and does not depend on the sources.
SHARED = ("apt", "kernel", "proof", "lab/accel", "lab/initramfs", "lab/tools")
# What a defect leaves unused is no reason not to try it
LENIENT = "-Dwerror=false"
# For a program that has to clean up, seconds
GRACE = 60
BUILD_BOUND = 1800


class CannotBuild(Exception):
    """The compiler does not take it; with what it says."""


class Tree:
    """The copy in @folder, whose builds are kept from one run to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.parent / f"{folder.name}.log"
        self.headers = folder / "include"
        self.stopped = False
        self._process: subprocess.Popen | None = None

    def stop(self) -> None:
        """Have what runs end in order, and begin nothing more; from another thread."""
        self.stopped = True
        if process := self._process:
            process.terminate()

    def update(self) -> None:
        """Bring it to what the sources are; what is the same is not touched."""
        names = set(Sources(ROOT).files)
        for gone in self._files() - names:
            (self.folder / gone).unlink()
        for name in names:
            self._copy(name)
        for name in SHARED:
            link = self.folder / "build" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                (BUILD / name).mkdir(parents=True, exist_ok=True)
                link.symlink_to(BUILD / name)

    def _files(self) -> set[str]:
        """What is there of sources, and compiled Python."""
        found = set()
        for folder, folders, names in os.walk(self.folder):
            if Path(folder) == self.folder and "build" in folders:
                folders.remove("build")
            found |= {os.path.relpath(os.path.join(folder, name), self.folder)
                      for name in names}
        return found

    def _copy(self, name: str) -> None:
        target = self.folder / name
        content = (ROOT / name).read_bytes()
        if target.exists() and target.read_bytes() == content:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        shutil.copymode(ROOT / name, target)

    @contextmanager
    def defective(self, defect: Defect) -> Iterator[None]:
        """With the defect in it."""
        target = self.folder / defect.file
        right = target.read_text()
        try:
            target.write_text(defect.wrong(right))
            yield
        finally:
            target.write_text(right)

    def run(self, *command: str, bound: float) -> tuple[int | None, str]:
        """Its exit status, None if it did not end in time, and what it said."""
        # Should we die without a word, it still ends what it has started. In a session of
        # its own it hears of Ctrl-C once, by stop().
        command = ("setpriv", "--pdeathsig", "TERM", *command)
        with open(self.log, "w+", encoding="utf-8", errors="replace") as log, \
                subprocess.Popen(command, cwd=self.folder, stdout=log,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}) as process:
            self._process = process
            if self.stopped:
                process.terminate()
            try:
                return self._wait(process, bound), self._said(log)
            finally:
                self._process = None

    @staticmethod
    def _said(log: IO[str]) -> str:
        log.seek(0)
        return log.read()

    @staticmethod
    def _wait(process: subprocess.Popen, bound: float) -> int | None:
        try:
            return process.wait(bound)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
        return None

    def build(self, *command: str) -> None:
        """Run what compiles."""
        status, said = self.run(*command, bound=BUILD_BOUND)
        if status:
            raise CannotBuild(said)

    def build_userspace(self) -> None:
        """All of it."""
        self.build("scripts/build-userspace", LENIENT)

    def build_modules(self) -> None:
        """For the guests' usual kernel."""
        self.build("sh", "-c", 'scripts/build-modules "$(/usr/bin/python3 -m lab kernel '
                   '--headers)"')

    def build_unit(self, name: str) -> None:
        """The program of a unit test, and what it needs."""
        if not (self.folder / "build/meson/build.ninja").exists():
            self.build("meson", "setup", "build/meson", LENIENT)
        if name not in self._units:
            raise ValueError(f"{name}: there is no such unit test")
        self.build("ninja", "-C", "build/meson", *self._units[name])

    @cached_property
    def _units(self) -> dict[str, list[str]]:
        """What each unit test needs, as ninja calls it; no defect changes that."""
        files = {target["id"]: [os.path.relpath(file, self.folder / "build/meson")
                                for file in target["filename"]]
                 for target in self._about("--targets")}
        return {test["name"]: [file for target in test["depends"] for file in files[target]]
                for test in self._about("--tests")}

    def _about(self, what: str) -> list[dict]:
        done = subprocess.run(["meson", "introspect", "build/meson", what], cwd=self.folder,
                              check=True, text=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)
