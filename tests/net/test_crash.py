# SPDX-License-Identifier: GPL-2.0-only
"""Machines that die, stop, and return, while the others go on."""

import time

import pytest

from tests.vm.guest import DRIVER
from tests.vm.region import peers

from .card import VECTORS, Card, Transfer, Witness, device, meet, module, together, until
from .frames import BROADCAST, ethernet
from .peer import NetPeer

MIB = 1 << 20
PAUSE = 60
BDF = "0000:00:10.0"
MEMORY = """
sync; echo 3 > /proc/sys/vm/drop_caches
awk '/^(MemTotal|MemAvailable|SUnreclaim|Percpu|VmallocUsed):/ { print $1, $2 }' /proc/meminfo
"""


@pytest.fixture(scope="module")
def pair(module_vms, server):
    """Two machines that live for the whole module."""
    machines = [module_vms(name, start=False, devices=[device(server)]) for name in "ab"]
    module_vms.start(*machines)
    return together(Card.load, [Card(vm, number) for number, vm in enumerate(machines, 1)])


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
    meet([*pair, card])
    witness.goes_on()
    return card


def state(card, slot, wanted):
    """Wait until a card's machine has it that a peer is alive, or silent."""
    until(card.vm, f"grep -q '^{slot} {wanted}' /sys/class/ivshmem/ivshmem0/peers")


def reached(pair, card):
    """From both others and back, without a hand."""
    meet([*pair, card])
    for way in [Transfer(other, card, MIB, port=7000 + other.number) for other in pair]:
        way.wait()


def test_killed_and_started_again(pair, third, thirds, witness):
    """While it sends and is sent to; and once more."""
    a, b = pair
    for _ in range(2):
        third = thirds()
        slot, station = third.slot, third.station
        sends, gets = Witness(third, a, port=5291), Witness(b, third, port=5292)
        for stream in (sends, gets):
            stream.goes_on()
        third.vm.kill()
        witness.goes_on()
        for card in pair:
            card.vm.wait_for(f"! ping -n -c 1 -W 1 {third.address}")
            assert card.carrier()
        sends.stream.server.kill()
        gets.stream.client.kill()
        again = thirds()
        assert (again.slot, again.station) == (slot, station)
        reached(pair, again)
        witness.goes_on()


def test_reset(pair, third, witness):
    """The button of a machine, which says nothing to anybody."""
    third.vm.reset()
    third.load()
    reached(pair, third)
    witness.goes_on()


def test_paused_for_a_minute(pair, third, witness):
    """In the middle of traffic between all three: every connection goes on afterwards."""
    a, b = pair
    slot = third.slot
    streams = [Witness(a, third, port=5292), Witness(third, b, port=5293)]
    for stream in streams:
        stream.goes_on()
    changes = [card.vm.run(f"cat /sys/class/net/{card.name}/carrier_changes").stdout
               for card in pair]
    third.vm.pause()
    try:
        end = time.monotonic() + PAUSE
        together(lambda card: state(card, slot, "silent"), pair)
        # More than its ring has room for
        a.send(ethernet(BROADCAST, a.station, 0x88b5, bytes(1400)).hex() + "*4000")
        while time.monotonic() < end:
            witness.goes_on(amount=10 * MIB)
    finally:
        third.vm.cont()
    together(lambda card: state(card, slot, "alive"), pair)
    reached(pair, third)
    for stream in streams:
        stream.goes_on()
        stream.stop()
    witness.goes_on()
    assert changes == [card.vm.run(f"cat /sys/class/net/{card.name}/carrier_changes").stdout
                       for card in pair]


def test_modules_reloaded(pair, third, witness):
    """The card's alone, and both, under traffic from the others."""
    pinger = pair[0].vm.spawn(f"exec ping -n -q -f {third.address}")
    for _ in range(3):
        third.vm.run("rmmod ivshmem_net")
        third.insert()
        # From the first answer on, none is missing.
        third.reach(pair[0].address, 10)
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
        assert third.name not in third.vm.run("ls /sys/class/net").stdout.split()
        third.vm.run(f"echo {BDF} > {DRIVER}/bind")
        third.find()
        third.configure()
        third.reach(pair[0].address)
    pinger.kill("INT")
    reached(pair, third)
    witness.goes_on()


def memory(card):
    """KiB that are in use, of each kind."""
    lines = card.vm.run(MEMORY).stdout.splitlines()
    found = {name.rstrip(":"): int(value) for name, value in map(str.split, lines)}
    found["used"] = found.pop("MemTotal") - found.pop("MemAvailable")
    return found


def lost(was, now):
    """What has grown by more than the kernel's own caches do: a page for each life."""
    return {name: now[name] - was[name] for name in was
            if now[name] - was[name] > (200 if name == "used" else 40)}


def test_no_memory_is_lost(pair, third, server, witness):
    """Over many lives of the third, and many deaths of a fourth, in all three."""
    cards = [*pair, third]
    path = module(third.vm)

    def lives(count):
        third.vm.run(f"""
            for n in $(seq {count}); do
                rmmod ivshmem_net && insmod {path} || exit
                until [ -d /sys/bus/auxiliary/devices/ivshmem.net.0/net ]; do :; done
                ip link set {third.name} up || exit
                until [ "$(< /sys/class/net/{third.name}/carrier)" = 1 ]; do :; done
            done""", timeout=300)
        third.configure()
        reached(pair, third)

    def deaths(count):
        for number in range(count):
            fourth = NetPeer(server.socket, VECTORS, "10.88.0.4").start()
            fourth.wait_ready(*(card.slot for card in cards))
            fourth.ping(cards[number % len(cards)].address)
            fourth.crash()

    lives(2)
    deaths(3)
    before = together(memory, cards)
    # What the kernel keeps for later is there the second time, at last the sixth.
    for _ in range(6):
        lives(12)
        deaths(12)
        after = together(memory, cards)
        found = list(map(lost, before, after))
        if not any(found):
            break
        before = after
    assert not any(found), found
    witness.goes_on()


def test_the_others_go_down_and_up(pair, third, witness):
    """The others set theirs down and up, too: their connection outlives even that."""
    for card in pair:
        card.vm.run(f"ip link set {card.name} down; ip link set {card.name} up")
        card.configure()
    witness.goes_on()
    reached(pair, third)
    assert peers(pair[0].vm)
