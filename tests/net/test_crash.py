# SPDX-License-Identifier: GPL-2.0-only
"""Machines that die, stop, and return, while the others go on."""

import json

import pytest

from tests.vm.guest import DRIVER
from tests.vm.region import peers

from .card import Card, Witness, device, module, transfer

MIB = 1 << 20
BDF = "0000:00:10.0"
MEMORY = """
sync; echo 3 > /proc/sys/vm/drop_caches
awk '/^(MemAvailable|Slab|SUnreclaim|Percpu|VmallocUsed):/ { print $1, $2 }' /proc/meminfo
"""


@pytest.fixture(scope="module")
def pair(module_vms, server):
    """Two machines that live for the whole module."""
    machines = [module_vms(name, start=False, devices=[device(server)]) for name in "ab"]
    module_vms.start(*machines)
    cards = [Card(vm, number).load() for number, vm in enumerate(machines, 1)]
    cards[0].reach(cards[1].address)
    return cards


@pytest.fixture(scope="module")
def witness(pair):
    """A stream between the two, that nothing of the third ever breaks."""
    running = Witness(*pair)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def thirds(module_vms, server):
    """Makes the third machine, again and again."""
    made = []

    def make():
        if made and made[-1].vm.alive:
            return made[-1]
        vm = module_vms("c", devices=[device(server)], no_reboot=False)
        made.append(Card(vm, 3).load())
        return made[-1]

    return make


@pytest.fixture
def third(pair, thirds, witness):
    """The third machine, which all reach."""
    card = thirds()
    for other in pair:
        other.reach(card.address)
        card.reach(other.address)
    witness.goes_on()
    return card


def reached(pair, card):
    """From both others and back, without a hand."""
    for other in pair:
        other.reach(card.address, timeout=120)
        card.reach(other.address)
        transfer(other, card, MIB)


def test_killed_and_started_again(pair, third, thirds, witness):
    """While it sends to both and both send to it."""
    slot, mac = third.slot, third.mac
    Witness(third, pair[0], port=5291).goes_on()
    third.vm.kill()
    witness.goes_on()
    for card in pair:
        card.vm.wait_for(f"! ping -n -c 1 -W 1 {third.address}")
        assert card.carrier()
    again = thirds()
    assert (again.slot, again.mac) == (slot, mac)
    reached(pair, again)
    witness.goes_on()


def test_killed_many_times(pair, third, thirds, witness):
    """The return costs the same the third time."""
    for _ in range(2):
        thirds().vm.kill()
        reached(pair, thirds())
        witness.goes_on()


def test_reset(pair, third, witness):
    """The button of a machine, which says nothing to anybody."""
    third.vm.reset()
    third.load()
    reached(pair, third)
    witness.goes_on()


def test_paused(pair, third, witness):
    """Silent for longer than a peer may be; all of its connections go on afterwards."""
    slot = third.slot
    own = Witness(pair[0], third, "-b 5M", port=5292)
    own.goes_on()
    third.vm.pause()
    for card in pair:
        card.vm.wait_for(f"grep -q '^{slot} silent' /sys/class/ivshmem/ivshmem0/peers")
    # What is sent to it now has no room at last.
    pair[0].vm.run("ping -n -q -b -f -c 3000 -s 1400 -W 1 10.88.0.255", check=False)
    witness.goes_on()
    third.vm.cont()
    pair[1].vm.wait_for(f"grep -q '^{slot} alive' /sys/class/ivshmem/ivshmem0/peers")
    reached(pair, third)
    own.goes_on()
    own.stop()
    witness.goes_on()


def test_modules_reloaded(pair, third, witness):
    """The card's alone, and both, under traffic from the others."""
    pinger = pair[0].vm.spawn(f"exec ping -n -q -f {third.address}")
    for _ in range(3):
        third.vm.run("rmmod ivshmem_net")
        third.insert()
        third.reach(pair[0].address)
    third.vm.run("rmmod ivshmem_net; rmmod ivshmem")
    third.load()
    pinger.kill("INT")
    reached(pair, third)
    witness.goes_on()


def test_device_unbound_and_bound(pair, third, witness):
    """The interface goes with the device, and comes with it, in the middle of traffic."""
    pinger = pair[0].vm.spawn(f"exec ping -n -q -f {third.address}")
    for _ in range(3):
        third.vm.run(f"echo {BDF} > {DRIVER}/unbind")
        assert third.name not in [link["ifname"] for link in json.loads(
            third.vm.run("ip -json link").stdout)]
        third.vm.run(f"echo {BDF} > {DRIVER}/bind")
        third.find()
        third.configure()
        third.reach(pair[0].address)
    pinger.kill("INT")
    reached(pair, third)
    witness.goes_on()


def memory(card):
    """KiB of each kind."""
    lines = card.vm.run(MEMORY).stdout.splitlines()
    return {name.rstrip(":"): int(value) for name, value in map(str.split, lines)}


def test_no_memory_is_lost(pair, third, witness):
    """Over many lives of the third, in all three."""
    path = module(third.vm)

    def lives(count):
        third.vm.run(f"""
            for n in $(seq {count}); do
                rmmod ivshmem_net && insmod {path} || exit
                until [ -d /sys/bus/auxiliary/devices/ivshmem.net.0/net ]; do :; done
                ip link set {third.name} up || exit
                until [ "$(cat /sys/class/net/{third.name}/carrier)" = 1 ]; do :; done
            done""", timeout=300)
        third.configure()
        reached(pair, third)

    lives(2)
    before = [memory(card) for card in (*pair, third)]
    lives(12)
    after = [memory(card) for card in (*pair, third)]
    for card, was, now in zip((*pair, third), before, after):
        shown = f"machine {card.number}: {was} -> {now}"
        # 12 lives with two links of two queues: one lost page for each would be 200 KiB.
        for kind in ("SUnreclaim", "VmallocUsed", "Percpu"):
            assert now[kind] - was[kind] < 1500, shown
        assert was["MemAvailable"] - now["MemAvailable"] < 12 << 10, shown
    witness.goes_on()


def test_the_others_go_down_and_up(pair, third, witness):
    """The others set theirs down and up, too: their connection outlives even that."""
    for card in pair:
        card.vm.run(f"ip link set {card.name} down; ip link set {card.name} up")
        card.configure()
    witness.goes_on()
    reached(pair, third)
    assert peers(pair[0].vm)
