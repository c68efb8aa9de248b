# SPDX-License-Identifier: GPL-2.0-only
"""A segment without any server: the machines share a file, and nobody rings."""

import pytest

from lab import ivshmem_plain
from lab.paths import USERSPACE

from .card import Card, exchange, meet, together, transfer

TOOL = USERSPACE / "tools/ivshmem/ivshmem"
NODE = "/dev/ivshmem0"
MIB = 1 << 20


@pytest.fixture(scope="module")
def pair(module_vms, tmp_path_factory):
    """Two machines whose slots were chosen by hand, and who reach each other."""
    path = tmp_path_factory.mktemp("plain") / "memory"
    with open(path, "wb") as memory:
        memory.truncate(64 * MIB)
    machines = [module_vms(name, start=False,
                           devices=[ivshmem_plain(path, "64M", addr="0x10")])
                for name in ("first", "second")]
    module_vms.start(*machines)
    for slot, vm in enumerate(machines):
        vm.load_driver()
        if not slot:
            vm.run(f"{TOOL} format {NODE} net=lan:32M,raw=lab --peers 2")
        vm.run(f"echo {slot} > /sys/class/ivshmem/ivshmem0/slot")
    cards = [Card(vm, number) for number, vm in enumerate(machines, 1)]
    together(Card.insert, cards)
    meet(cards)
    return cards


@pytest.mark.attack("A38")
def test_everything_arrives(pair):
    """Pings without a loss, and a file with its checksum, both ways."""
    for card, other in (pair, pair[::-1]):
        card.ping(other.address, 5)
        transfer(card, other, 4 * MIB)


def test_a_machine_comes_back(pair):
    """Who has lost its driver is noticed by its heartbeat, and found again."""
    first, second = pair
    second.vm.run("rmmod ivshmem_net")
    first.wait_carrier(False)
    second.insert()
    first.reach(second.address)
    exchange(first, second, MIB)


def test_doctor_says_what_is_missing(pair):
    """And what it costs, and what would be better."""
    said = pair[0].vm.run(f"{TOOL} doctor {NODE}", check=False).stdout
    assert "no doorbells" in said and "poll" in said and "ivshmemd" in said
