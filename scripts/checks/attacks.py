# SPDX-License-Identifier: GPL-2.0-only
"""Classes of attacks, and the tests that show each to fail."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from .base import Finding, Outcome, check, count
from .tree import Tree

DOCUMENT = "Documentation/assurance/attacks.rst"
CLASS = re.compile(r"^\*\*(A\d\d)\*\* ")
TEST = re.compile(r"^\* ``")
# Attacks of the hostile peer: the table that has them, and who makes them on guests
TABLES = {"region": "region", "links": "links", "sections": "region"}
ATTACK = re.compile(r'^\t\{ "([a-z-]+)", "([A-Z0-9 ]+)",$', re.M)

# Class -> tests, and what is wrong on the way
Found = tuple[dict[str, set[str]], list[Finding]]


def classes(tree: Tree) -> list[str]:
    """What the document describes, in its order."""
    return [match[1] for line in tree.lines(DOCUMENT) if (match := CLASS.match(line))]


def _marks(body: list[ast.stmt], path: str) -> Iterator[tuple[str, int, str]]:
    """Tests, lines and classes of the marks of all tests in a file or class."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _marks(node.body, f"{path}::{node.name}")
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.attack":
                yield from ((f"{path}::{node.name}", mark.lineno, ast.literal_eval(word))
                            for word in mark.args)


def tests(tree: Tree) -> Found:
    """The tests of each class."""
    known = set(classes(tree))
    found: dict[str, set[str]] = defaultdict(set)
    wrong: list[Finding] = []
    for name in tree.below("tests/"):
        if not re.fullmatch(r"test_\w+\.py", Path(name).name) or \
                "mark.attack" not in tree.text(name):
            continue
        for test, line, kind in _marks(ast.parse(tree.text(name)).body, name):
            found[kind].add(test)
            if kind not in known:
                wrong.append(Finding(name, line, f"{kind} is not in {DOCUMENT}"))
    for table, file in TABLES.items():
        source = f"tests/hostile/{table}.c"
        text = tree.text(source) if source in tree.files else ""
        for attack, kinds in ATTACK.findall(text):
            for kind in kinds.split():
                found[kind].add(f"tests/hostile/test_guests_{file}.py::test_attack[{attack}]")
                if kind not in known:
                    wrong.append(Finding(source, 0, f"{kind} is not in {DOCUMENT}"))
    return found, wrong


def written(tree: Tree, found: dict[str, set[str]]) -> str:
    """The document as it has to be with the tests that were found."""
    lines: list[str] = []
    kind = ""
    for line in tree.lines(DOCUMENT):
        if TEST.match(line):
            continue
        match = CLASS.match(line)
        if kind and not line:
            lines += ["", *(f"* ``{test}``" for test in sorted(found[kind]))]
            kind = ""
        if not (line == "" and lines[-1:] == [""]):
            lines.append(line)
        kind = match[1] if match else kind
    return "\n".join(lines)


@check("attacks", "each class of attacks has a test, and the document names it")
def attacks(tree: Tree) -> Outcome:
    """Documentation/assurance/attacks.rst and the marks of the tests agree."""
    if DOCUMENT not in tree.files:
        return Outcome("0 classes")
    found, wrong = tests(tree)
    wrong += [Finding(DOCUMENT, 0, f"{kind} has no test") for kind in classes(tree)
              if not found[kind]]
    if written(tree, found) != tree.text(DOCUMENT):
        wrong.append(Finding(DOCUMENT, 0, "is not what the tests say: run "
                                          "'scripts/list-attacks --write'"))
    return Outcome(count(classes(tree), "kind") + " of attacks", wrong)
