# SPDX-License-Identifier: GPL-2.0-only
"""Checks of the text of files: white space, licence lines, names, sizes."""

import re
from collections.abc import Iterator
from pathlib import PurePath

from .base import Finding, Outcome, check, count
from .tree import Tree

LICENCES = "LICENSES/"
MAX_COLUMNS = 100
MAX_LINES = 900
MAX_FUNCTION_LINES = 120

# In these formats a line cannot be broken where one likes; C is judged by
# checkpatch, which knows of long strings.
ANY_WIDTH = (".abi", ".json", ".svg", ".xml", ".c", ".h", "debian/changelog")

# Files that carry no SPDX line: texts that people read (COPYING speaks for
# them), and formats that have no place for one.
NO_SPDX = re.compile(r"LICENSES/|Documentation/ABI/|COPYING$|"
                     # A package's files, of which debian/copyright speaks, but for its scripts
                     r"debian/(?!rules$|.*[.](post|pre)(inst|rm)$)|"
                     r".*\.(abi|md|json|txt|svg)$|(.*/)?\.git[a-z]+$")
SPDX = re.compile(r"SPDX-License-Identifier: *(?P<expression>.*?) *(\*/|\*\)|-->)?$")
# SPDX's older name for the same licence, which checkpatch wants in uapi headers.
SAME_LICENCE = {"GPL-2.0": "GPL-2.0-only"}

UNFINISHED = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X|H[A]CK|T[B]D)\b")
VAGUE_NAME = re.compile(r"(utils?|common|helpers?|misc)$")


@check("whitespace", "no trailing blanks, CR, or missing end of line; "
                     f"lines of at most {MAX_COLUMNS} columns")
def whitespace(tree: Tree) -> Outcome:
    """White space that only makes noise in diffs."""
    names = [n for n in tree.text_files if not n.startswith(LICENCES)]
    return Outcome(count(names), [f for n in names for f in _whitespace(tree, n)])


def _whitespace(tree: Tree, name: str) -> Iterator[Finding]:
    text = tree.text(name)
    if text and not text.endswith("\n"):
        yield Finding(name, text.count("\n") + 1, "no end of line at the end of the file")
    if text.endswith("\n\n"):
        yield Finding(name, text.count("\n"), "blank line at the end of the file")
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield Finding(name, number, "trailing white space")
        if " \t" in line:
            yield Finding(name, number, "blank before a tab")
        if name.endswith(ANY_WIDTH) or "://" in line or line.startswith("|"):
            continue
        columns = len(line.expandtabs(8))
        if columns > MAX_COLUMNS:
            yield Finding(name, number, f"line of {columns} columns, more than "
                                        f"{MAX_COLUMNS}")


@check("spdx", "every source file names its licence, and LICENSES/ has its text")
def spdx(tree: Tree) -> Outcome:
    """Licence lines as the first line (the second after "#!")."""
    names = [n for n in tree.text_files if tree.text(n) and not NO_SPDX.match(n)]
    return Outcome(count(names), [f for n in names for f in _spdx(tree, n)])


def _spdx(tree: Tree, name: str) -> Iterator[Finding]:
    lines = tree.lines(name)
    row = 1 if lines[0].startswith(("#!", "<?xml")) and len(lines) > 1 else 0
    match = SPDX.search(lines[row])
    if not match:
        yield Finding(name, row + 1, "no SPDX-License-Identifier in this line")
        return
    for licence in re.split(r"[ ()]+|\b(?:AND|OR|WITH)\b", match["expression"]):
        licence = SAME_LICENCE.get(licence, licence)
        if licence and f"{LICENCES}{licence}.txt" not in tree.files:
            yield Finding(name, row + 1, f"{licence}: there is no text of this "
                                         f"licence in {LICENCES}")


@check("unfinished", "no marks of unfinished work")
def unfinished(tree: Tree) -> Outcome:
    """Words by which authors put work off."""
    names = [n for n in tree.text_files if not n.startswith(LICENCES)]
    findings = [Finding(name, number, f"{match[0]}: finish it, or leave it out")
                for name in names
                for number, line in enumerate(tree.lines(name), 1)
                if (match := UNFINISHED.search(line))]
    return Outcome(count(names), findings)


@check("names", "no file named for nothing (util.c, common.h, helper.*)")
def names_of_files(tree: Tree) -> Outcome:
    """Files are named for the nouns and verbs of what they do."""
    findings = [Finding(name, 0, "says nothing about what is in it; name it for "
                                 "the noun or verb that it is about")
                for name in tree.files if VAGUE_NAME.search(PurePath(name).stem.lower())]
    return Outcome(count(tree.files), findings)


@check("length", f"no source above {MAX_LINES} lines, no C function above "
                 f"{MAX_FUNCTION_LINES}")
def length(tree: Tree) -> Outcome:
    """Files and functions that nobody can keep in mind."""
    names = sorted({*tree.c, *tree.python, *tree.shell})
    findings = []
    for name in names:
        lines = tree.lines(name)
        if len(lines) - 1 > MAX_LINES:
            findings.append(Finding(name, 0, f"{len(lines) - 1} lines, more than "
                                             f"{MAX_LINES}; split it"))
        if name in tree.c:
            findings += _long_functions(name, lines)
    return Outcome(count(names), findings)


def _long_functions(name: str, lines: list[str]) -> Iterator[Finding]:
    """Functions in kernel style: a brace in column one opens and closes."""
    start = 0
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start > MAX_FUNCTION_LINES:
                yield Finding(name, start, f"function of {number - start} lines, more "
                                           f"than {MAX_FUNCTION_LINES}; split it")
            start = 0
