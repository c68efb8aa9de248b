# SPDX-License-Identifier: GPL-2.0-only
"""Defects of the shared format: the mistakes that unit tests, fuzzers and the proof of orders
are made to find, each of which has a list of them, as one.

Those of values, which CBMC takes minutes for, are put to it by make proof.
"""

from typing import Iterator

from proof.mutants import UNORDERED, Mutant
from tests.fuzz.mutants import ALL
from tests.region.mistakes import MISTAKES

from .defect import Defect

ATTACKS = {"ring.h": "A11", "wire.h": "A02", "peer.h": "A10", "slot.h": "A07", "link.h": "A11",
           "net.h": "A23", "blk.h": "A32"}


def _planted() -> Iterator[tuple[Mutant, str, str]]:
    """Each with what it breaks and what finds it, the quickest first."""
    for name, mistakes in MISTAKES.items():
        for mistake in mistakes:
            yield mistake, "check", f"unit region-{name}"
    for name, mistakes in ALL.items():
        for mistake in mistakes:
            yield mistake, "check", f"fuzz {name}"
    for mutant in UNORDERED:
        yield mutant, "order", f"proof {mutant.found_by}"


def _united() -> list[Defect]:
    """What is in several lists is one defect, which is found by one of several."""
    found: dict[tuple[str, str, str], Defect] = {}
    names = set()
    for mutant, breaks, check in _planted():
        key = (mutant.header, mutant.old, mutant.new)
        if key in found:
            found_by = (*found[key].found_by, check)
            found[key] = Defect(**{**vars(found[key]), "found_by": found_by})
            continue
        name = f"format-{mutant.header.removesuffix('.h')}-{mutant.name}"
        if name in names:
            name += f"-{check.split()[0]}"
        names.add(name)
        attack = "A19" if breaks == "order" else ATTACKS[mutant.header]
        found[key] = Defect(name, f"include/ivshmem/{mutant.header}", mutant.old, mutant.new,
                            breaks, attack, (check,))
    return list(found.values())


DEFECTS = _united()
