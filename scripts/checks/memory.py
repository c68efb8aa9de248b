# SPDX-License-Identifier: GPL-2.0-only
"""Remembers which files slow tools found nothing in, by all that it depends on."""

import hashlib
from pathlib import Path

from .tree import Tree


class Memory:
    """Files found clean by one tool, below build/check/clean of the tree.

    @basis is whatever else the tool's answer depends on: its version, its
    configuration, the headers that it reads. A change forgets everything.
    """

    def __init__(self, tree: Tree, tool: str, *basis: str | bytes) -> None:
        self.tree = tree
        digest = hashlib.sha256()
        for part in basis:
            digest.update(part if isinstance(part, bytes) else part.encode())
            digest.update(b"\0")
        self.folder = tree.root / "build" / "check" / "clean" / tool
        self.basis = digest.digest()

    def _mark(self, name: str) -> Path:
        content = (self.tree.root / name).read_bytes()
        return self.folder / hashlib.sha256(
            self.basis + name.encode() + b"\0" + content).hexdigest()

    def unknown(self, names: list[str]) -> list[str]:
        """Those of @names that must be looked at."""
        return [name for name in names if not self._mark(name).exists()]

    def remember(self, names: list[str]) -> None:
        """These were found clean as they are now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            self._mark(name).touch()
