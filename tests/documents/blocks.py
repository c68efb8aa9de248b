# SPDX-License-Identifier: GPL-2.0-only
"""The literal blocks of the documents, and what the comments before them ask for.

``.. run: vm-a vm-b`` has the next block run in these places; after a semicolon:

``until it ends``     in the background; it has to end, and well, before the next one there
``until stopped``     in the background; it is interrupted then
``as root``           not by a user with sudo, as the text says, too
``opens PATH``        in the background; go on when a process there has opened PATH, or
                      listens there

Places are ``host``, ``vm-a`` and ``vm-b``, as the quick start has them, ``project``, the folder
of the sources, and tests of their own: ``.. run: vm/test_vfio`` is tests/vm/test_vfio.py, which
gets its commands here.

``.. install: machine`` has it run before that, where there is nothing but Debian.

``.. shows`` says that the next block is what the last one has printed: ``...`` stands for
anything, and numbers for other ones. ``.. check: KIND`` is for what cannot be run, and
``.. not run: REASON`` for commands that nothing here can run.

Each block has one of these marks, but for those that have a language other than a shell's:
they are no commands. ``.. code-block:: text`` is one. In Markdown a mark is a comment like
``<!-- run: host -->``.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree

from lab.paths import ROOT

DOCUMENTS = ROOT / "Documentation"
MARKS = ("run", "not run", "shows", "check", "install")
# A comment before it, a language behind its fence
MARKDOWN = re.compile(r"^(?:<!-- ([a-z ]+): ([^\n]*?) -->\n)?```(\w*)\n(.*?)^```$", re.M | re.S)
# What is said of blocks that are commands, if anything
SHELLS = ("", "sh", "bash", "shell", "console")
NUMBER = re.compile(r"\b(?:0x)?[0-9a-f]*[0-9][0-9a-f]*\b")


@dataclass(frozen=True)
class Block:
    """A literal block, and the comment before it."""

    document: str
    text: str
    mark: str = ""
    argument: str = ""
    language: str = ""

    def __str__(self) -> str:
        return f"{self.document}: {self.text.splitlines()[0]}"

    @property
    def places(self) -> list[str]:
        """Where it is to be run."""
        return self.argument.partition(";")[0].split()

    @property
    def manner(self) -> str:
        """How it ends, if it is run in the background."""
        manner = self.argument.partition(";")[2].partition(";")[0].strip()
        return manner if manner.startswith("until ") else ""

    @property
    def as_root(self) -> bool:
        """Whether it is not for a user."""
        return self.argument.endswith("; as root")

    @property
    def opens(self) -> str:
        """What it opens before the next block is run."""
        return self.argument.rpartition("opens ")[2] if "opens " in self.argument else ""


def blocks(path: Path) -> list[Block]:
    """All literal blocks of a document."""
    if path.suffix == ".md":
        return _markdown_blocks(path)
    tree = publish_doctree(path.read_text(), settings_overrides={
        "report_level": 5, "syntax_highlight": "none"})
    found: list[Block] = []
    mark: tuple[str, ...] = ()
    for node in tree.findall():
        if isinstance(node, nodes.comment):
            word, _, argument = node.astext().partition(":")
            if re.fullmatch("(not )?[a-z]+", word):
                assert word in MARKS, f"{path.name}: {node.astext()}: no such mark"
                assert not mark, f"{path.name}: {mark}: there is no block behind it"
                mark = (word, argument.strip())
        # Sphinx has directives that are a message here, which quotes them
        elif isinstance(node, nodes.literal_block) and \
                not isinstance(node.parent, nodes.system_message):
            language = " ".join(name for name in node["classes"] if name != "code")
            found.append(Block(path.name, node.astext(), *(mark or ("", "")), language))
            mark = ()
    assert not mark, f"{path.name}: {mark}: there is no block behind it"
    return found


def _markdown_blocks(path: Path) -> list[Block]:
    found = [Block(path.name, text, mark, argument, language)
             for mark, argument, language, text in MARKDOWN.findall(path.read_text())]
    assert all(block.mark in (*MARKS, "") for block in found), f"{path.name}: no such mark"
    return found


@cache
def everywhere() -> list[Block]:
    """Those of all documents."""
    return [block for path in sorted(DOCUMENTS.rglob("*.rst")) for block in blocks(path)] + \
        [block for path in sorted(ROOT.glob("*.md")) for block in blocks(path)]


def marked(mark: str) -> list[Block]:
    """All blocks with a mark."""
    return [block for block in everywhere() if block.mark == mark]


def commands(document: str, place: str) -> list[str]:
    """The blocks of a document that are to be run in a place; there are some."""
    found = [block.text for block in everywhere() if block.mark == "run" and
             block.document == document and place in block.places]
    assert found, f"{document}: nothing is to be run in: {place}"
    return found


def differs(shown: str, printed: str) -> str:
    """The first line of @shown that is not in @printed, in this order; "" if none."""
    rest = [line.strip() for line in printed.splitlines() if line.strip()]
    anything = False
    for line in shown.splitlines():
        if line.strip() == "...":
            anything = True
            continue
        pattern = _pattern(line.strip())
        while anything and rest and not re.fullmatch(pattern, rest[0]):
            rest.pop(0)
        if not rest or not re.fullmatch(pattern, rest.pop(0)):
            return line
        anything = False
    return "" if anything or not rest else f"{rest[0]} (is not shown)"


def _pattern(line: str) -> str:
    parts = [r"\s+".join(map(re.escape, re.split(r"\s+", part))) for part in
             NUMBER.sub("\0", line).split("...")]
    return ".*".join(parts).replace(re.escape("\0"), r"(?:0x)?[0-9a-f]+")
