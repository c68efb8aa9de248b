# SPDX-License-Identifier: GPL-2.0-only
"""Guests in a region whose links and rings are attacked, as a whole or by one peer."""

import random
import time
from typing import Iterator

import pytest

from tests.net.card import Witness, together
from tests.net.test_crash import lost, memory

from .attacker import HOURS, listed
from .rig import Rig, wait_idle

# Of a peer that writes only what is its own
OWN = ["handshakes", "never-empty", "disk-responses", "random"]


@pytest.mark.parametrize("name", listed("links"))
def test_attack(rig: Rig, name: str) -> None:
    """Another region goes on meanwhile, and the attacked one afterwards."""
    rig.attack(name)
    rig.recovers(name)


@pytest.fixture(scope="class")
def neighbours(rig: Rig) -> Iterator[Witness]:
    """A stream between the two guests in the attacked region itself."""
    rig.renew()
    rig.works()
    witness = Witness(*rig.cards, port=5291)
    yield witness
    witness.stream.stop()


class TestOwnWords:
    """What a peer writes in its own slot costs its own links: others go on in the same region."""

    @pytest.mark.attack("A06", "A11", "A13", "A14", "A17", "A28")
    @pytest.mark.parametrize("name", OWN)
    def test_attack(self, rig: Rig, neighbours: Witness, name: str) -> None:
        """By a peer that has joined."""
        said = rig.attack(name, only="own")
        assert said["slot"] not in (card.slot for card in rig.cards)
        neighbours.goes_on()


@pytest.mark.attack("A09", "A15", "A26")
def test_no_memory_is_lost(rig: Rig) -> None:
    """Nor does anything go on working: after random attacks both guests are as before."""
    rig.stop_traffic()
    before = together(memory, rig.cards)
    # What the kernel keeps for later is there the second time, at last the sixth.
    for seed in range(6):
        rig.attack("random", seed=seed)
        rig.renew()
        rig.works(messages=False)
        after = together(memory, rig.cards)
        found = list(map(lost, before, after))
        if not any(found):
            break
        before = after
    assert not any(found), found
    rig.witness.stop()
    together(wait_idle, rig.vms)


@pytest.mark.timeout(int(HOURS * 3600) + 900)
def test_for_hours(rig: Rig) -> None:
    """Random attacks, each with a seed of its own, for as long as HOURS says."""
    end = time.monotonic() + HOURS * 3600
    rig.witness = Witness(*rig.others, port=5292)
    rig.start_traffic()
    while True:
        seed = random.randrange(2 ** 32)
        print(f"random attack with seed {seed}", flush=True)
        rig.attack("random", seed=seed, words=20_000_000, seconds=10)
        rig.works()
        if time.monotonic() > end:
            break
        rig.renew()
