# SPDX-License-Identifier: GPL-2.0-only
"""The campaigns, for a short time: each common crash once, then everything at once."""

import itertools
from random import SystemRandom

import pytest

from lab.agent import poll_until
from lab.paths import BUILD
from lab.testing import count

from .crash import Campaign, table
from .crashes import KINDS, plan
from .machine import BOUND, Failed
from .rig import MACHINES, Rig
from .soak import Soak, table as soak_table
from .trend import DISKS, SERVERS, errors

# Those that cost several boots are left to the long form.
SHORT = [kind for kind in KINDS if kind not in ("server-lost", "server-and-machine",
                                                "disk-and-machine")]
SECONDS = 10


@pytest.fixture(scope="module")
def rig(guest_modules, userspace):
    """Everything under load."""
    with Rig(BUILD / "test/campaign", attacked=True) as found:
        found.start()
        yield found


@pytest.mark.timeout(1800)
def test_crashes_are_survived(rig):
    """Each at a random instant; all run again, nothing is wrong."""
    seed = SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    crashes = plan(seed, len(SHORT), MACHINES, SHORT, longest_pause=2, haste=8)
    campaign = Campaign(crashes, seed, rig)
    campaign.run()
    outcome = campaign.outcome()
    assert not outcome["failures"], outcome["failures"]
    assert {kind: one["survived"] for kind, one in outcome["kinds"].items()} == \
        dict.fromkeys(outcome["kinds"], 1)
    assert set(outcome["kinds"]) == set(SHORT)
    count("crashes survived", outcome["survived"])
    assert all(outcome["verified"][f"{kind} bytes"] for kind in ("net", "channel", "disk"))
    print(table(outcome))


def test_everything_at_once(rig):
    """For a moment: no error, and all that is looked at is there."""
    soak = Soak(SECONDS, 1, 1, rig)
    soak.run()
    outcome = soak.outcome()
    print(soak_table(outcome))
    assert not outcome["failures"] and not outcome["errors"]
    assert outcome["events"]
    # One that is treated badly is left out now and then.
    for name in "abc":
        found = [sample[name] for sample in outcome["samples"] if name in sample]
        assert all(found[-1][figure] for figure in
                   ("MemAvailable", "Slab", "SUnreclaim", "interrupts", "rung"))
    for name in (*SERVERS, *DISKS):
        found = [sample[name] for sample in outcome["samples"] if name in sample]
        assert found[-1]["VmRSS"] and found[-1]["descriptors"] > 3


def test_hostile_peer_beside_all_that(rig):
    """A region that is attacked is of use again, and the loads have gone on meanwhile."""
    soak = Soak(SECONDS, SystemRandom().randrange(1 << 32), 1, rig)
    print(soak.attack())
    rig.judge()
    assert soak.outcome()["hostile_words"]
    assert not errors([soak.sampler.look()])


def test_wrong_data_is_seen(rig):
    """Somebody else writes into the file of the disk."""
    places = itertools.count(0, 7)
    with open(rig.image, "r+b", buffering=0) as image:
        def found():
            image.seek(next(places) * 4096 % (4 << 20))
            image.write(b"\x55" * 512)
            try:
                rig.judge()
            except Failed as error:
                return str(error)
            return ""
        assert "disk: sector" in poll_until(found, BOUND, "wrong data")
