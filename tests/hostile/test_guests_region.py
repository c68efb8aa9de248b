# SPDX-License-Identifier: GPL-2.0-only
"""Guests in a region whose superblock, directory and sections are attacked.

Each attack is made while frames, blocks and messages are on their way. Once it is over
all of that works again by itself.
"""

import pytest

from .attacker import listed
from .rig import Rig


@pytest.mark.parametrize("name", listed("region", "sections"))
def test_attack(rig: Rig, name: str) -> None:
    """Another region goes on meanwhile, and the attacked one afterwards."""
    rig.attack(name)
    rig.recovers(name)
