# SPDX-License-Identifier: GPL-2.0-only
"""What a defect is."""

from dataclasses import dataclass

from proof.mutants import replaced


@dataclass(frozen=True)
class Defect:
    """In @file, @old (which is there once) becomes @new.

    @breaks says in a word what is gone by that, @attack which class of
    Documentation/assurance/attacks.rst it would let in. One of @found_by, tried in
    this order, has to fail; checks.py says what they can be.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    attack: str
    found_by: tuple[str, ...]

    def wrong(self, text: str) -> str:
        """The contents of the file with the defect."""
        return replaced(text, self.old, self.new, f"{self.name}: {self.file}")
