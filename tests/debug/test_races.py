# SPDX-License-Identifier: GPL-2.0-only
"""What peers share is read once, by marked accesses, however it changes meanwhile.

A process of the host changes words of a live region to anything and back, many thousand
times a second: the kernel that looks for races sees a plain access of ours as one.
"""

import random
import threading

import pytest

from lab.testing import count
from tests.net.card import PACED, VECTORS, Card, Stream, device, meet, together
from tests.net.wire import LINE, Segment, Words
from tests.region_image import PAGE, Memory
from tests.vm.peer import Peer

PEERS = 3
QUEUES = 2
SECONDS = 20


class Liar(threading.Thread):
    """Changes words of a region to anything and back until it is stopped."""

    def __init__(self, memory, offsets):
        super().__init__()
        self.words = Words(memory)
        self.offsets = list(offsets)
        self.changed = 0
        self.ending = threading.Event()

    def run(self):
        rng = random.Random(7)
        while not self.ending.is_set():
            for offset in rng.choices(self.offsets, k=1000):
                before = self.words.load(offset)
                self.words.store(offset, rng.getrandbits(32))
                self.words.store(offset, before)
            self.changed += 1000

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        self.words.release()


@pytest.fixture(scope="module")
def server(module_servers):
    """A segment for three, one of which is the process of the host."""
    return module_servers(size="64M", vectors=VECTORS, peers=PEERS,
                          layout=f"net=lan:40M:queues={QUEUES},,raw=lab:1M")


@pytest.fixture(scope="module")
def memory(server):
    """The region, to the host."""
    with Peer(server.socket) as peer, Memory(peer.memory) as memory:
        yield memory


@pytest.fixture(scope="module")
def pair(module_vms, server):
    """Two guests that reach each other."""
    machines = [module_vms(name, start=False, smp=2, devices=[device(server)]) for name in "ab"]
    module_vms.start(*machines)
    cards = [Card(vm, number) for number, vm in enumerate(machines, 1)]
    together(Card.load, cards)
    meet(cards)
    return cards


def lines(memory, name="lan"):
    """Words of all links and rings of a segment."""
    segment = Segment.find(memory, name)
    starts = []
    for one in range(PEERS):
        for other in range(PEERS):
            if one != other:
                starts.append(segment.link(one, other))
                starts += [place(one, other, queue) for queue in range(QUEUES)
                           for place in (segment.tx, segment.rx)]
                starts += [segment.data(one, other, queue) + LINE * number
                           for queue in range(QUEUES) for number in range(64)]
    return [start + word for start in starts for word in range(0, LINE, 4)]


def watched(vm):
    """Accesses that the kernel has watched so far; none on a kernel that does not."""
    said = vm.run("cat /sys/kernel/debug/kcsan 2>/dev/null || :").stdout.splitlines()
    return sum(int(line.split()[1]) for line in said if line.startswith("setup_watchpoints"))


def test_links_and_rings(pair, memory):
    """While traffic runs; what they carry may be lost, and is well again afterwards."""
    a, b = pair
    before = [watched(card.vm) for card in pair]
    with Liar(memory, lines(memory)) as liar:
        for card, other in ((a, b), (b, a)):
            card.vm.run(f"ping -q -f -s 1000 -w {SECONDS} {other.address} || :", 4 * SECONDS)
    meet(pair)
    together(lambda ends: Stream(ends[0], ends[1], f"-n 1M {PACED}").result(), [(a, b)])
    found = [watched(card.vm) - old for card, old in zip(pair, before)]
    count("words rewritten", liar.changed)
    print(f"{liar.changed} words changed, {found} accesses watched")
    assert liar.changed > 10000
    assert a.vm.kernel.config("CONFIG_KCSAN") != "y" or min(found) > 1000


def test_directory(pair, memory):
    """Who is there, and whether they live; the superblock stays, or all would be gone."""
    with Liar(memory, range(PAGE, (2 + PEERS) * PAGE, 4)) as liar:
        for card in pair:
            card.vm.run(f"end=$((SECONDS + {SECONDS})); while [ $SECONDS -lt $end ]; do "
                        "cat /sys/class/ivshmem/ivshmem0/* >/dev/null 2>&1 || :; done", 4 * SECONDS)
    assert liar.changed > 10000
    together(lambda card: card.vm.wait_for("grep -q attached /sys/class/ivshmem/ivshmem0/region"),
             pair)
