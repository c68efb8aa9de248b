# SPDX-License-Identifier: GPL-2.0-only
"""Copies of the format with one mistake each, which the fuzzers must find."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT

HEADERS = ROOT / 'include/ivshmem'


@dataclass(frozen=True)
class Mistake:
    """In the header @file, @old (which is there once) becomes @new."""

    name: str
    file: str
    old: str
    new: str

    def make(self, folder: Path) -> Path:
        """Write the wrong headers; the folder for the compiler's -I."""
        target = folder / self.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(HEADERS, target / 'ivshmem')
        header = target / 'ivshmem' / self.file
        text = header.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f'{self.name}: {self.file} has {text.count(self.old)} '
                             f'times {self.old!r}; it must have it once')
        header.write_text(text.replace(self.old, self.new))
        return target


RING = [
    Mistake('session-found-and-ignored', 'ring.h', '\t\treturn IVRING_STALE;',
            '\t\t(void)epoch;'),
    Mistake('own-found-and-ignored', 'ring.h', '\t\treturn IVRING_TAMPERED;',
            '\t\t(void)published;'),
]
