# SPDX-License-Identifier: GPL-2.0-only
"""What can find a defect, as the lists name it:

=====================  ==========================================================
``unit NAME``          a unit test, as meson calls it
``pytest ARGUMENT...`` tests of pytest
``proof NAME``         a program for Relacy, which proves orders
``fuzz NAME``          a fuzzer
=====================  ==========================================================
"""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable

from lab.paths import ROOT
from proof import relacy
from tests.fuzz import fuzzer

from .tree import CannotBuild, Tree

# Without a defect, seconds
BOUND = 900
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.M)
# Which tests of pytest begin virtual machines
GUESTS = re.compile(r"\btests/(vm|net|debug|hostile/test_guests|blk/test_(disk|back_machine))")


class CannotCheck(Exception):
    """A check that says neither yes nor no."""


@dataclass(frozen=True)
class Verdict:
    """Whether a check has found something, and which part of it."""

    found: bool
    by: str = ""


def _command(tree: Tree, bound: float, name: str, *command: str) -> Verdict:
    status, said = tree.run(*command, bound=bound)
    if status is None:
        return Verdict(True, f"{name} (does not end)")
    if status not in (0, 1):
        raise CannotCheck(f"{name}: exit status {status}\n{said[-3000:]}")
    failed = FAILED.search(said)
    return Verdict(status == 1, failed[1] if failed else name)


def _unit(tree: Tree, name: str, bound: float) -> Verdict:
    tree.build_unit(name)
    status, _ = tree.run("meson", "test", "-C", "build/meson", "--no-rebuild", name,
                         bound=bound)
    return Verdict(status != 0, name)


def _pytest(tree: Tree, arguments: str, bound: float) -> Verdict:
    tree.build_userspace()
    if GUESTS.search(arguments):
        tree.build_modules()
    return _command(tree, bound, arguments, "/usr/bin/python3", "-m", "pytest", "-x", "-q",
                    "-n", "0", *shlex.split(arguments))


def _proof(tree: Tree, name: str, _: float) -> Verdict:
    try:
        with TemporaryDirectory() as folder:
            return Verdict(not relacy.run(name, Path(folder), tree.headers).holds, name)
    except subprocess.CalledProcessError as error:
        raise CannotBuild(str(error)) from error
    except subprocess.TimeoutExpired:
        return Verdict(True, f"{name} (does not end)")
    except RuntimeError as error:
        raise CannotCheck(str(error)) from error


def _fuzz(tree: Tree, name: str, _: float) -> Verdict:
    with TemporaryDirectory() as folder:
        try:
            program = fuzzer.build(name, Path(folder), tree.headers)
        except subprocess.CalledProcessError as error:
            raise CannotBuild(str(error)) from error
        done = fuzzer.find(program, fuzzer.write_corpus(name, Path(folder) / "corpus"))
    return Verdict(done.returncode != 0, f"{name}_fuzz")


KINDS: dict[str, Callable[[Tree, str, float], Verdict]] = {
    "unit": _unit, "pytest": _pytest, "proof": _proof, "fuzz": _fuzz}


def run(tree: Tree, check: str, bound: float = BOUND) -> Verdict:
    """Run a check on the tree as it is now; may raise CannotBuild, CannotCheck.

    Tests that do not end within @bound seconds have found something.
    """
    kind, _, rest = check.partition(" ")
    return KINDS[kind](tree, rest, bound)


def exists(check: str) -> bool:
    """Whether there is such a check, as far as its name tells."""
    kind, _, rest = check.partition(" ")
    if kind == "pytest":
        return all((ROOT / word.partition("::")[0]).exists()
                   for word in shlex.split(rest) if word.startswith("tests/"))
    if kind == "proof":
        return rest in relacy.programs()
    return kind in KINDS and (kind != "fuzz" or rest in fuzzer.NAMES)
