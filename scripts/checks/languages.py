# SPDX-License-Identifier: GPL-2.0-only
"""Checks of Python and shell sources."""

import ast
import subprocess

from .base import CannotRun, Finding, Outcome, check, count, need, run_tool
from .tree import Tree

# Debian's, not whatever "python3" is first in the PATH.
PYTHON = "/usr/bin/python3"
STYLE = ["--max-line-length=100",
         # Breaks before and after operators, alignment of continued lines:
         # matters of taste on which pycodestyle contradicts itself.
         "--ignore=E121,E123,E126,E127,E128,E129,E131,W503,W504"]


@check("python", "Python compiles, and pyflakes and pycodestyle find nothing")
def python(tree: Tree) -> Outcome:
    """Mistakes and style of all Python, the lab's programs included."""
    if not tree.python:
        return Outcome("0 files")
    findings = []
    sound = []
    for name in tree.python:
        try:
            ast.parse(tree.text(name), name)
            sound.append(name)
        except SyntaxError as error:
            findings.append(Finding(name, error.lineno or 0, f"{error.msg}"))
    if sound:
        findings += run_tool([PYTHON, "-m", python_module("pyflakes"), *sound], tree)
        findings += run_tool([PYTHON, "-m", python_module("pycodestyle"), *STYLE, *sound], tree)
    return Outcome(count(tree.python), findings)


def python_module(name: str) -> str:
    """The name of a module; CannotRun if Debian's Python has no such module."""
    if subprocess.run([PYTHON, "-c", f"import {name}"], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        raise CannotRun(f"{PYTHON} has no module {name}; "
                        f"scripts/setup installs python3-{name}")
    return name


# A sourced file that exists in a guest only; "a && b || fail", which is meant to
# fail when b does.
NOT_WRONG = "SC1091,SC2015"


@check("shell", "shellcheck finds nothing in shell scripts and completions")
def shell(tree: Tree) -> Outcome:
    """Mistakes in shell scripts and completions."""
    if not tree.shell:
        return Outcome("0 files")
    findings = run_tool([need("shellcheck"), "-f", "gcc", "-e", NOT_WRONG,
                         *tree.shell], tree)
    return Outcome(count(tree.shell), findings)
