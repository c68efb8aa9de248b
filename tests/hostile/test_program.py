# SPDX-License-Identifier: GPL-2.0-only
"""The hostile peer itself: what it writes can be written again, and is where it says."""

import os
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.net.wire import Segment
from tests.region_image import PAGE, Image, Memory, Section

from tests.vm.peer import Peer

from .attacker import WORDS, attack, listed, printed

pytestmark = pytest.mark.usefixtures("userspace")
SIZE = 16 << 20
SLOTS = 4
RAW, NET, BLK = 1, 2, 3


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Path]:
    """A file with a formatted region."""
    path = tmp_path / "region"
    path.write_bytes(bytes(SIZE))
    with Memory(path) as memory:
        memory.write(Image(SIZE, [Section(NET, "lan", 4 << 20), Section(BLK, "disk", 4 << 20),
                                  Section(RAW, "lab", 2 << 20)], slots=SLOTS))
    yield path


def test_the_list_is_complete(userspace: None) -> None:
    """What the program knows is what tests are made of."""
    known = [(name, tuple(classes.split())) for name, _, classes, _ in printed()]
    assert known == [(param.values[0], param.marks[0].args) for param in listed()]


def test_enough_is_written() -> None:
    """100 million words in the attacks on guests alone."""
    assert len(listed()) * WORDS >= 100_000_000


@pytest.mark.parametrize("name", listed())
def test_a_seed_gives_the_same_words(region: Path, tmp_path: Path, name: str) -> None:
    """With what was seen of a region that others write to meanwhile."""
    seen = tmp_path / "seen"
    words = {"words": 300_000, "seconds": 0}
    first = attack(name, region, record=seen, **words)
    assert attack(name, region, replay=seen, **words)["digest"] == first["digest"]


def test_another_seed_gives_other_words(region: Path) -> None:
    """As anybody would hope."""
    digests = {attack("random", region, words=1000, seconds=0, seed=seed)["digest"]
               for seed in range(4)}
    assert len(digests) == 4


@pytest.mark.parametrize("name", ["random", "link-epochs", "never-empty", "disk-requests"])
def test_only_own_words(region: Path, name: str) -> None:
    """Nothing outside of the own slot is touched."""
    before = region.read_bytes()
    attack(name, region, words=1_000_000, seconds=0, only=2)
    after = region.read_bytes()
    with Memory(region) as memory:
        own = [range(4 * PAGE, 5 * PAGE)]
        for kind, title in ((NET, "lan"), (BLK, "disk"), (RAW, "lab")):
            section = type("Any", (Segment,), {"KIND": kind}).find(memory, title)
            own.append(range(section.outbox(2), section.outbox(3)))
    changed = {at // 64 for at in range(0, SIZE, 64) if before[at:at + 64] != after[at:at + 64]}
    assert changed
    assert not [line for line in changed if not any(line * 64 in place for place in own)]


@pytest.mark.parametrize("name", listed("region"))
def test_the_superblock_is_restored(region: Path, name: str) -> None:
    """Whatever was done to it."""
    before = region.read_bytes()[:PAGE]
    attack(name, region, words=100_000, seconds=0)
    assert region.read_bytes()[:PAGE] == before


def test_it_rings(servers: Any) -> None:
    """All that are connected to a server, on each vector."""
    server = servers(size="4M", vectors=2, peers=2, layout="raw=lab:1M")
    with Peer(server.socket) as peer:
        peer.learn(2, 2)
        said = attack("doorbells", server.address, words=1000, seconds=0)
        assert min(map(os.eventfd_read, peer.doorbells[peer.id])) >= said["doorbells"] // 2
