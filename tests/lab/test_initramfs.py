# SPDX-License-Identifier: GPL-2.0-only
"""The guests' first file system, when nobody has made it yet."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

from lab import initramfs, kernel


def test_many_make_the_same_at_once(monkeypatch, tmp_path):
    """As the first tests of a machine do; each gets it whole, and one is kept."""
    monkeypatch.setattr(initramfs, "LAB", tmp_path)
    chosen = kernel.get()
    for _ in range(5):
        for old in tmp_path.glob("initramfs/*"):
            old.unlink()
        with ThreadPoolExecutor(8) as pool:
            archives = list(pool.map(lambda _: initramfs.build(chosen), range(8)))
        kept, = tmp_path.glob("initramfs/*")
        made = {hashlib.sha256(archive).digest() for archive in [*archives, kept.read_bytes()]}
        assert len(made) == 1
