# SPDX-License-Identifier: GPL-2.0-only
"""Checks of what people read: manual pages, reStructuredText, links."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .base import Finding, Outcome, check, count, located, need, run_tool
from .languages import PYTHON, python_module
from .tree import Tree


@check("man", "mandoc finds nothing in the manual pages")
def man(tree: Tree) -> Outcome:
    """Manual pages that every reader of man(7) can show."""
    if not tree.man_pages:
        return Outcome("0 pages")

    def parse(output: str, root: Path) -> list[Finding]:
        return located(re.sub(r"(?m)^mandoc: ", "", output), root)

    findings = run_tool([need("mandoc"), "-T", "lint", "-W", "warning",
                         *tree.man_pages], tree, parse)
    return Outcome(count(tree.man_pages, "page"), findings)


# Documentation/ABI/ has the kernel's own form, which is no reStructuredText.
def _rst(tree: Tree) -> list[str]:
    return [name for name in tree.files if name.endswith(".rst")]


CONFIGURATION = Path(__file__).resolve().parents[2] / "Documentation"


@check("docs", "Sphinx reads the documents without a warning")
def docs(tree: Tree) -> Outcome:
    """Documents that can be rendered as they were meant."""
    names = _rst(tree)
    if not names:
        return Outcome("0 files")
    python_module("myst_parser")
    with tempfile.TemporaryDirectory() as output:
        findings = run_tool([PYTHON, "-B", "-m", python_module("sphinx"), "-q", "-W",
                             "--keep-going", "-E", "-b", "dummy", "-c", CONFIGURATION,
                             tree.root, output], tree)
    return Outcome(count(names), findings)


MD_LINK = re.compile(r"\]\((?P<target>[^)#\s]+)[^)]*\)")
RST_LINK = re.compile(r"`[^`<]*<(?P<target>[^>`#\s]+)[^>`]*>`_")


@check("links", "links between the documents lead to files that exist")
def links(tree: Tree) -> Outcome:
    """Relative links in Markdown and reStructuredText."""
    names = [n for n in tree.files if n.endswith((".md", ".rst"))]
    return Outcome(count(names), [f for n in names for f in _links(tree, n)])


def _links(tree: Tree, name: str) -> Iterator[Finding]:
    pattern = MD_LINK if name.endswith(".md") else RST_LINK
    for number, line in enumerate(tree.lines(name), 1):
        for match in pattern.finditer(line):
            target = match["target"]
            if "://" in target or target.startswith("mailto:"):
                continue
            if not (tree.root / name).parent.joinpath(target).exists():
                yield Finding(name, number, f"link to {target}: there is no such file")


EVIDENCE = re.compile(r"``((?:tests|proof|lab|scripts)/[\w./-]+)(?:::(\w+)(?:\[[^`]*\])?)?``")


@check("evidence", "what Documentation/assurance refers to exists")
def evidence(tree: Tree) -> Outcome:
    """Files and tests that are named as holding a promise up."""
    names = [n for n in tree.files if n.startswith("Documentation/assurance/")]
    return Outcome(count(names), [f for n in names for f in _evidence(tree, n)])


def _evidence(tree: Tree, name: str) -> Iterator[Finding]:
    for number, line in enumerate(tree.lines(name), 1):
        for match in EVIDENCE.finditer(line):
            path, test = match.groups()
            if not (tree.root / path).exists():
                yield Finding(name, number, f"{path}: there is no such file")
            elif test and not re.search(rf"^\s*def {test}\(", tree.text(path), re.M):
                yield Finding(name, number, f"{path}: has no test {test}")


RST_CODE = re.compile(r"^\.\. code-block:: c\n\n((?:[ \t]+.*\n|\n)+)", re.M)
MD_CODE = re.compile(r"^```c\n(.*?)^```$", re.M | re.S)


@check("snippets", "the pieces of C in a document are one source file that compiles")
def snippets(tree: Tree) -> Outcome:
    """Examples that readers can use as they are."""
    names = [n for n in tree.files if n.endswith((".md", ".rst"))]
    sources = {name: source for name in names if (source := _snippets(tree, name))}
    findings = []
    for name, source in sources.items():
        done = subprocess.run(
            [need("gcc"), "-x", "c", "-std=gnu11", "-Wall", "-Wextra",
             "-Werror", "-Wno-unused-function", "-Iinclude/uapi", "-Ilib/include",
             "-fsyntax-only", "-"], cwd=tree.root, input=source, text=True, check=False,
            stderr=subprocess.PIPE, env=dict(os.environ, LC_ALL="C"))
        findings += [f for f in located(done.stderr, tree.root) if "error:" in f.text]
    return Outcome(count(sources), findings)


def _snippets(tree: Tree, name: str) -> str:
    """All pieces of C of a document; the compiler is told where each is from."""
    text = tree.text(name)
    pattern = MD_CODE if name.endswith(".md") else RST_CODE
    return "".join(f'#line {text.count(chr(10), 0, match.start(1)) + 1} "{name}"\n'
                   f"{match[1]}\n" for match in pattern.finditer(text))


UAPI = ("include/uapi/linux/ivshmem.h", "Documentation/uapi.rst")
CONTRACT = re.compile(r"\b(E(?!POLL)[A-Z0-9]{3,}|IVSHMEM_IOC_(?!MAGIC)\w+)\b")


@check("uapi", "header and document of the character device name the same errors and ioctls")
def uapi(tree: Tree) -> Outcome:
    """What is promised in one place is promised in the other."""
    if not set(UAPI) <= set(tree.files):
        return Outcome("0 files")
    header, document = ({match[0] for match in CONTRACT.finditer(tree.text(name))}
                        for name in UAPI)
    return Outcome(count(UAPI), [
        *(Finding(UAPI[1], 0, f"{word}: {UAPI[0]} has it") for word in header - document),
        *(Finding(UAPI[0], 0, f"{word}: {UAPI[1]} has it") for word in document - header)])
