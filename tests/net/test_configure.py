# SPDX-License-Identifier: GPL-2.0-only
"""What an administrator does with the card: settings, and interfaces on top of it."""

import re

import pytest

from .card import Capture, Card, Witness, exchange, meet, together, transfer
from .conftest import PEERS, QUEUES

MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def same_cards(trio):
    """Nothing that is done here makes another interface of one."""
    before = [card.index for card in trio]
    yield
    assert [card.index for card in trio] == before


@pytest.fixture
def restored(trio):
    """The cards have their addresses again, and reach each other."""
    yield
    together(Card.configure, trio)
    meet(trio)


def test_driver_information(trio):
    card = trio[0]
    said = card.ethtool("-i")
    assert re.search(r"^driver: ivshmem_net$", said, re.M)
    assert re.search(r"^bus-info: \S+$", said, re.M)
    said = card.ethtool("")
    assert "Link detected: yes" in said
    assert "Duplex: Full" in said


def test_byte_queue_limits(trio):
    """A queue that the kernel's limit stops goes on, and nothing counts as left behind."""
    a, b, _ = trio
    limits = f"/sys/class/net/{a.name}/queues/tx-*/byte_queue_limits"

    def stops():
        return sum(value for name, value in a.counters().items()
                   if re.fullmatch(r"queue\d+_tx_stops", name))

    before = stops()
    a.vm.run(f"for limit in {limits}/limit_max; do echo 3000 >$limit; done")
    try:
        exchange(a, b, MIB)
        assert stops() > before + 10
        a.vm.wait_for(f"! cat {limits}/inflight | grep -vqx 0")
    finally:
        a.vm.run(f"for limit in {limits}/limit_max; do echo max >$limit; done")


def test_channels(trio):
    """As many as the section has, fewer on demand, and traffic with any."""
    a, b, _ = trio

    def current():
        maximum, now = re.findall(r"Combined:\s+(\d+)", a.ethtool("-l"))
        return int(maximum), int(now)

    assert current()[0] == QUEUES
    for count in (1, QUEUES):
        if current()[1] != count:
            a.ethtool("-L", f"combined {count}")
        assert current() == (QUEUES, count)
        # What the stack takes to receive on
        assert a.vm.run(f"ls -d /sys/class/net/{a.name}/queues/rx-* | wc -l").stdout == f"{count}\n"
        a.reach(b.address)
        exchange(a, b, MIB)
    for words, why in (("combined 0", "no RX or TX channel"),
                       (f"combined {QUEUES + 1}", "exceeds maximum"),
                       ("rx 1", "exceeds maximum"), ("tx 1", "exceeds maximum")):
        assert why in a.refused(f"ethtool -L {a.name} {words}")
    assert current() == (QUEUES, QUEUES)
    a.ethtool("-L", "combined 1")


def test_ring_sizes_are_those_of_the_region(trio):
    said = trio[0].ethtool("-g")
    assert re.search(r"^(RX|TX):\s+\d+", said, re.M), said


def test_coalescing(trio):
    """For how long it polls before it asks for interrupts; traffic with any value."""
    a, b, _ = trio
    before = re.search(r"^rx-usecs:\s+(\d+)", a.ethtool("-c"), re.M)[1]
    for microseconds in (0, 200, int(before)):
        if f"rx-usecs:\t{microseconds}\n" not in a.ethtool("-c"):
            a.ethtool("-C", f"rx-usecs {microseconds}")
        assert re.search(rf"^rx-usecs:\s+{microseconds}$", a.ethtool("-c"), re.M)
        a.reach(b.address, 3)
    assert "at most 1000" in a.refused(f"ethtool -C {a.name} rx-usecs 1001")


def test_counters_of_each_queue_add_up(trio):
    """Per-queue statistics cover all that the standard ones count."""
    a, b, _ = trio
    transfer(a, b, MIB)
    counters = b.counters()
    queues = [value for name, value in counters.items()
              if re.fullmatch(r"queue\d+_rx_packets", name)]
    peers = [value for name, value in counters.items()
             if re.fullmatch(r"peer\d+_rx_packets", name)]
    assert (len(queues), len(peers)) == (QUEUES, PEERS - 1)
    assert sum(queues) > 100
    assert counters[f"peer{a.slot}_rx_packets"] > 100


def test_another_address(trio):
    """Is used at once by all, and by the peers' tables."""
    a, b, c = trio
    for address in ("02:11:22:33:44:55", c.mac):
        c.vm.run(f"""
            ip link set {c.name} down
            ip link set {c.name} address {address}
            ip link set {c.name} up""")
        c.configure()

        def see(card, address=address):
            card.forget()
            card.reach(c.address)
            assert address in card.vm.run(f"ip neigh show {c.address}").stdout

        together(see, (a, b))
    c.refused(f"ip link set {c.name} address 01:00:5e:00:00:01")


def test_unknown_addresses_are_flooded(trio):
    """Everybody gets the frame; nobody's stack takes it, promiscuous or not."""
    a, b, c = trio
    captures = together(lambda card: Capture(card, "ether dst 02:de:ad:be:ef:01", count=3),
                        (b, c))
    assert b.link()["promiscuity"] > 0
    frame = "02deadbeef01" + a.station.hex() + "88b5" + "77" * 50
    a.send(f"{frame}*3")
    for capture in captures:
        assert len(capture.wait().lines()) == 3
    assert b.link()["promiscuity"] == 0


def test_vlan(trio):
    """Tagged traffic between two; the third, without the VLAN, does not answer."""
    a, b, c = trio
    together(lambda card: card.vm.run(f"""
        modprobe 8021q &&
        ip link add v7 link {card.name} type vlan id 7 &&
        ip address add 10.89.0.{card.number}/24 dev v7 && ip link set v7 up"""), (a, b))
    capture = Capture(b, "vlan 7 and icmp", count=2)
    a.reach("10.89.0.2")
    a.ping("10.89.0.2", 3, "-M do -s 1472")
    assert all("vlan 7" in line for line in capture.wait().lines())
    c.refused("ping -n -c 1 -W 1 10.89.0.2")
    exchange(a, b, 2 * MIB, ("10.89.0.1", "10.89.0.2"))
    together(lambda card: card.vm.run("ip link del v7"), (a, b))


@pytest.mark.usefixtures("restored")
def test_bridge_and_namespace_behind_a_peer(trio):
    """Its stations are learnt: what goes to them is not flooded to the third."""
    a, b, c = trio
    c.vm.run(f"""
        modprobe bridge && modprobe veth &&
        ip netns add inner &&
        ip link add br0 type bridge mcast_snooping 0 forward_delay 0 &&
        ip link add outside type veth peer name inside netns inner &&
        ip link set {c.name} master br0 && ip link set outside master br0 &&
        ip link set outside up && ip link set br0 up &&
        ip -n inner address add 10.88.0.50/24 dev inside && ip -n inner link set inside up""")
    a.reach("10.88.0.50")
    before = b.statistics()
    a.ping("10.88.0.50", 50)
    transfer(a, c, MIB, "10.88.0.50", inside="inner")
    after = b.statistics()
    # A few questions of ARP and IPv6; none of the thousands of packets.
    assert after["rx_bytes"] - before["rx_bytes"] < 50000
    b.reach("10.88.0.50")
    c.vm.run(f"""
        ip link set {c.name} nomaster; ip netns del inner; ip link del br0
        ip link del outside 2>/dev/null || :""")


def test_a_station_moves(trio):
    """From behind one peer to behind another: traffic follows."""
    a, b, c = trio
    # It says where it is, as a machine that has moved does.
    together(lambda card: card.vm.run(f"""
        modprobe macvlan &&
        ip link add mv0 link {card.name} address 02:77:00:00:00:01 type macvlan mode bridge &&
        ip address add 10.88.0.70/32 dev mv0 &&
        echo 1 > /proc/sys/net/ipv4/conf/mv0/arp_notify"""), (b, c))
    a.vm.run(f"ip neigh replace 10.88.0.70 lladdr 02:77:00:00:00:01 dev {a.name}")
    for card, other in ((b, c), (c, b), (b, c)):
        other.vm.run("ip link set mv0 down")
        card.vm.run("ip link set mv0 up; busybox arping -U -c 1 -I mv0 10.88.0.70 || :")
        a.reach("10.88.0.70")
    together(lambda card: card.vm.run("ip link del mv0"), (b, c))
    a.vm.run(f"ip neigh del 10.88.0.70 dev {a.name}")


def test_macvlan(trio):
    """An address of its own on top of the interface."""
    a, b, _ = trio
    a.vm.run(f"""
        modprobe macvlan
        ip netns add apart
        ip link add mv1 link {a.name} type macvlan mode bridge
        ip link set mv1 netns apart
        ip -n apart address add 10.88.0.60/24 dev mv1
        ip -n apart link set mv1 up""")
    b.reach("10.88.0.60")
    b.ping("10.88.0.60", 10)
    a.vm.run("ip netns del apart")


@pytest.mark.usefixtures("restored")
def test_bond(trio):
    """The card is a port of a bond, which sets its address and its MTU."""
    a, b, _ = trio
    b.vm.run(f"""
        modprobe bonding max_bonds=0 &&
        ip link add bond0 type bond mode active-backup miimon 100 &&
        ip address flush dev {b.name} &&
        ip link set {b.name} down && ip link set {b.name} master bond0 &&
        ip address add 10.88.0.80/24 dev bond0 && ip link set bond0 up""")
    a.reach("10.88.0.80")
    transfer(b, a, MIB)
    b.vm.run(f"ip link set {b.name} nomaster; ip link del bond0; ip link set {b.name} up")


@pytest.mark.attack("A27")
@pytest.mark.usefixtures("restored")
def test_namespace(trio):
    """Moved into a namespace it works there; the end of that gives it back."""
    a, b, _ = trio
    index = a.index
    a.vm.run(f"""
        ip netns add away && ip link set {a.name} netns away &&
        ip -n away address add {a.address}/24 dev {a.name} &&
        ip -n away link set {a.name} up""")
    b.reach(a.address)
    a.vm.run("ip netns del away")
    a.vm.wait_for(f"ip link show {a.name}")
    assert a.index == index
    a.configure()
    a.reach(b.address)


RECONFIGURE = {
    "mtu": ("ip link set {0} mtu 9000", "ip link set {0} mtu 1500"),
    "channels": ("ethtool -L {0} combined 2", "ethtool -L {0} combined 1"),
    "coalescing": ("ethtool -C {0} rx-usecs 0", "ethtool -C {0} rx-usecs 50"),
    "offloads": ("ethtool -K {0} rx off tx off", "ethtool -K {0} rx on tx on tso on"),
    "down": ("ip link set {0} down", "ip link set {0} up"),
    "promiscuous": ("ip link set {0} promisc on", "ip link set {0} promisc off"),
}


@pytest.fixture(scope="module")
def witness(trio):
    """As much as one connection carries, from the first to the second."""
    running = Witness(*trio[:2], words="")
    yield running
    running.stop()
    exchange(trio[0], trio[1], MIB)


@pytest.mark.attack("A27")
@pytest.mark.parametrize("what", RECONFIGURE)
def test_reconfigured_under_traffic(trio, witness, what):
    """Sender and receiver, during one connection, which outlives all of it."""
    for card in trio[:2]:
        for command in RECONFIGURE[what]:
            card.vm.run(command.format(card.name))
            if command.endswith("down"):
                continue
            # Something comes through in between.
            witness.goes_on()
