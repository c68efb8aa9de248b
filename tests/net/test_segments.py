# SPDX-License-Identifier: GPL-2.0-only
"""Segments of eight, and of sizes that do not do."""

import itertools

import pytest

from tests.region_image import NET, Image, Memory, Section
from tests.vm.peer import Peer

from .card import SUBNET, VECTORS, Card, device, exchange, meet, together, transfer
from .frames import ethernet
from .peer import NetPeer
from .wire import wait_until

PEERS = 8
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(module_servers):
    """A segment for eight, with rings of 1 MiB."""
    return module_servers(size="128M", vectors=VECTORS, peers=PEERS, layout="net=lan:64M")


@pytest.fixture(scope="module")
def eight(module_vms, server):
    """As many machines as it has room for."""
    vms = [module_vms(name, start=False, memory="256M", devices=[device(server)])
           for name in "abcdefgh"]
    module_vms.start(*vms)
    return together(Card.load, [Card(vm, number) for number, vm in enumerate(vms, 1)])


@pytest.fixture(scope="module")
def machines(eight):
    """Two of them, when the power of the others has failed."""
    for card in eight[2:]:
        card.vm.kill()
    return eight[:2]


@pytest.fixture(scope="module")
def others(server, machines):
    """The others are processes of the host."""
    peers = [NetPeer(server.socket, VECTORS, f"10.88.0.{10 + number}").start()
             for number in range(PEERS - 2)]
    yield peers
    for peer in peers:
        peer.__exit__()


def test_eight_machines(eight):
    """Each reaches each, and a broadcast of one all others."""
    assert {card.slot for card in eight} == set(range(PEERS))
    meet(eight)
    together(lambda card: card.vm.run(
        "echo 0 > /proc/sys/net/ipv4/icmp_echo_ignore_broadcasts"), eight)
    for card in (eight[0], eight[-1]):
        wanted = [other.address for other in eight if other is not card]
        card.vm.wait_for(f"""
            said=$(ping -n -b -c 3 -i 0.2 -W 1 {SUBNET}.255)
            for address in {' '.join(wanted)}; do
                [[ "$said" == *"from $address:"* ]] || exit
            done""")


def test_all_pairs_talk(machines, others):
    """Each with each, both ways; all but two of them are processes of the host."""
    a, b = machines
    assert {card.slot for card in machines} | {peer.slot for peer in others} == set(range(PEERS))
    for card in machines:
        for peer in others:
            card.reach(peer.host.address)
            peer.ping(card.address)
    for one, other in itertools.permutations(others, 2):
        one.ping(other.host.address)
    a.reach(b.address)
    exchange(a, b, 4 * MIB)


@pytest.mark.parametrize("target", ["ffffffffffff", "333300001234", "02deadbeef77"])
def test_flood_is_one_copy_for_each(machines, others, target):
    """Of a broadcast, a multicast and a frame to an unknown station."""
    a, b = machines
    before = b.statistics()["rx_packets"]
    for peer in others:
        peer.wait_ready(a.slot, b.slot)
    frame = bytes.fromhex(target) + a.station + b"\x88\xb5" + bytes(range(50))
    a.send(f"{frame.hex()}*50")

    def arrived(peer):
        return [found.slot for found in peer.received if found.frame[:len(frame)] == frame]

    for peer in others:
        wait_until(lambda peer=peer: len(arrived(peer)) >= 50, "50 copies")
    b.wait_statistic("rx_packets", before + 50)
    # Nobody passes on what was flooded to all.
    a.reach(b.address, 3)
    for peer in others:
        assert arrived(peer) == [a.slot] * 50
        peer.received.clear()


def test_unicast_goes_to_one(machines, others):
    """What is for a station that was seen goes to nobody else."""
    a, b = machines
    a.reach(b.address)
    for peer in others:
        peer.received.clear()
    a.ping(b.address, 50)
    transfer(a, b, MIB)
    for peer in others:
        assert not [found for found in peer.received if found.frame[:6] == b.station]


def test_a_station_behind_a_peer_is_learnt(machines, others):
    """By what it sends, and forgotten when it is seen elsewhere."""
    a, _ = machines
    station = bytes.fromhex("027788990001")
    for peer in (others[0], others[1], others[0]):
        peer.wait_ready(a.slot)
        for other in others:
            other.received.clear()
        assert peer.send(a.slot, ethernet(b"\xff" * 6, station, 0x88b5, b"here"))
        frame = (station + a.station).hex() + "88b5" + "11" * 60

        def found(other, frame=frame):
            return [one for one in other.received if one.frame.hex().startswith(frame)]

        def follows(peer=peer):
            a.send(frame)
            wait_until(lambda: found(peer), "a frame")
            others_too = [other for other in others if other is not peer and found(other)]
            for other in others:
                other.received.clear()
            return not others_too

        wait_until(follows, "the station's new place")


def test_peers_leave_until_nobody_is_there(machines, others):
    """The carrier goes with the last of them."""
    a, b = machines
    for peer in others:
        peer.park()
    a.reach(b.address, 3)
    b.vm.run("rmmod ivshmem_net")
    a.wait_carrier(False)
    b.insert()
    a.wait_carrier()
    a.reach(b.address)


def test_smallest_rings(vms, servers):
    """The MTU is what half a ring has room for, and more is refused."""
    server = servers(size="1M", vectors=VECTORS, peers=4)
    with Peer(server.socket) as peer, Memory(peer.memory) as region:
        region.write(Image(1 << 20, [Section(NET, "lan", 64 << 10, vector=1)], slots=4))
    card = Card(vms("small", devices=[device(server)]), 1).load()
    with NetPeer(server.socket, VECTORS, "10.88.0.10") as other:
        assert other.segment.ring == 4096
        other.ping(card.address)
        longest = 4096 // 2 - 32 - 16
        assert other.sessions[card.slot].hello.max_frame == longest
        # An Ethernet header with a VLAN tag
        assert card.link()["max_mtu"] == longest - 18
        card.ip(f"mtu {longest - 18}")
        card.ping("10.88.0.10", 5, f"-M do -s {longest - 18 - 28}")
        assert "mtu greater than" in card.refused(
            f"ip link set {card.name} mtu {longest - 17}")
        # Many times round so small a ring
        card.ping("10.88.0.10", 200, "-s 1400")
