# SPDX-License-Identifier: GPL-2.0-only
"""A segment without any server: the machines share a file, choose their slots, and
nobody rings."""

import pytest

from lab import ivshmem_plain
from lab.paths import USERSPACE
from tests.region_image import NET, PAGE, RAW, Image, Memory, Section

from .card import Card, exchange, meet, together, transfer, until

TOOL = USERSPACE / "tools/ivshmem/ivshmem"
NODE = "/dev/ivshmem0"
REGION = "/sys/class/ivshmem/ivshmem0/region"
MIB = 1 << 20
SIZE = 64 * MIB
MACHINES = 3


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """The file, formatted before anybody is there, with a slot for each machine."""
    path = tmp_path_factory.mktemp("plain") / "memory"
    with open(path, "wb") as file:
        file.truncate(SIZE)
    with Memory(path) as mapped:
        mapped.path = path
        mapped.write(Image(SIZE, [Section(NET, "lan", 32 * MIB), Section(RAW, "lab", MIB)],
                           slots=MACHINES))
        yield mapped


def device(memory):
    """The arguments of a device with this memory."""
    return [ivshmem_plain(memory.path, "64M", addr="0x10")]


@pytest.fixture(scope="module")
def cards(module_vms, memory):
    """Machines that boot at the same time, and reach each other."""
    machines = [module_vms(name, start=False, devices=device(memory))
                for name in ("first", "second", "third")]
    module_vms.start(*machines)
    found = [Card(vm, number) for number, vm in enumerate(machines, 1)]
    together(Card.load, found)
    meet(found)
    return found


def own_slot(card):
    """The slot that a machine has, once it has one."""
    until(card.vm, f"grep -q ' slot [0-9]*$' {REGION}")
    return int(card.vm.run(f"cat {REGION}").stdout.split()[-1])


def test_each_machine_has_a_slot_of_its_own(cards, memory):
    """Nobody has written one."""
    for card in cards:
        assert card.vm.run("cat /sys/class/ivshmem/ivshmem0/slot").stdout == "auto\n"
    assert sorted(map(own_slot, cards)) == list(range(MACHINES))
    assert all(memory.word((2 + slot) * PAGE) for slot in range(MACHINES))
    assert len({card.mac for card in cards}) == MACHINES


@pytest.mark.attack("A38")
def test_everything_arrives(cards):
    """Pings without a loss, and a file with its checksum, both ways."""
    for card, other in (cards[:2], cards[1::-1]):
        card.ping(other.address, 5)
        transfer(card, other, 4 * MIB)


def test_a_machine_comes_back(cards):
    """Who has lost its driver is noticed by its heartbeat, and found again."""
    first, second = cards[:2]
    second.vm.run("rmmod ivshmem_net")
    first.reach(cards[2].address)
    second.insert()
    first.reach(second.address)
    exchange(first, second, MIB)


def test_doctor_says_what_is_missing(cards):
    """And what it costs, and what would be better."""
    said = cards[0].vm.run(f"{TOOL} doctor {NODE}", check=False).stdout
    assert "no doorbells" in said and "poll" in said and "ivshmemd" in said


def test_the_slot_of_a_machine_that_died(cards, memory, module_vms):
    """Nobody has left it; when its heart was silent for long enough it is chosen again."""
    first, third = cards[0], cards[2]
    lost = own_slot(third)
    third.vm.kill()
    epoch = memory.word((2 + lost) * PAGE)
    fourth = Card(module_vms("fourth", devices=device(memory)), 4)
    assert memory.word((2 + lost) * PAGE) == epoch != 0
    fourth.load()
    assert own_slot(fourth) == lost and memory.word((2 + lost) * PAGE) not in (0, epoch)
    meet([first, fourth])
    exchange(first, fourth, MIB)
