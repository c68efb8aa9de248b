# SPDX-License-Identifier: GPL-2.0-only
"""Unmodified programs on three machines of one segment."""

import re
import time

import pytest

from lab.agent import poll_until

from .card import BOUND, Capture, Stream, exchange, together, transfer, until

MIB = 1 << 20
# An Ethernet type that nobody has
EXPERIMENT = "88b5"
OFFLOADS = ["tx", "rx", "sg", "tso", "gso", "gro"]

# Takes frames of EXPERIMENT until there are as many as wanted; prints them.
TAKE = """
import socket, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
raw.bind((sys.argv[1], 0x88b5))
# SO_RCVBUFFORCE
raw.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
open("/run/takes", "w").close()
for _ in range(int(sys.argv[2])):
    print(raw.recv(1 << 17).hex())
"""


@pytest.fixture
def restored(trio):
    """All offloads on, an MTU of 1500 and all addresses, whatever a test does."""
    yield
    words = " ".join(f"{name} on" for name in OFFLOADS)

    def restore(card):
        # What was learnt of the path with another MTU would outlive it.
        card.vm.run(f"ethtool -K {card.name} {words}; ip link set {card.name} mtu 1500; "
                    "ip route flush cache; ip -6 route flush cache")
        card.configure()

    together(restore, trio)


def test_addresses_come_from_region_and_slot(trio):
    """Locally administered, alike but for the last byte, which is the slot."""
    addresses = [card.station for card in trio]
    for card, address in zip(trio, addresses):
        assert address[0] & 3 == 2
        assert address[5] == card.slot
    assert len({address[:5] for address in addresses}) == 1


def test_the_interface_is_made_anew_with_the_same_address(trio):
    """After the module was unloaded; the others reach it again without a hand."""
    a, _, c = trio
    before = c.mac
    c.vm.run("rmmod ivshmem_net")
    a.vm.wait_for(f"! ping -n -c 1 -W 1 {c.address}")
    c.insert()
    assert c.mac == before
    a.reach(c.address)
    c.reach(trio[1].address)


def test_carrier_follows_the_links(trio):
    """None without anybody else, and none that is up with a link that is down."""
    a, b, c = trio
    together(lambda card: card.vm.run("rmmod ivshmem_net"), (b, c))
    a.wait_carrier(False)
    assert a.link()["operstate"] == "DOWN"
    b.insert()
    a.wait_carrier()
    assert a.link()["operstate"] in ("UP", "UNKNOWN")
    c.insert()
    c.reach(a.address)
    b.reach(c.address)


@pytest.mark.parametrize("family", [4, 6])
def test_ping(trio, family):
    """Everybody everybody."""
    def ping(card):
        for other in trio:
            if other is not card:
                card.reach(other.address if family == 4 else other.address6, 10)

    together(ping, trio)


def test_ping_to_all(trio):
    """A multicast of IPv6 and a broadcast of IPv4 are answered by both others."""
    a, b, c = trio
    said = a.vm.run(f"ping -n -c 2 -i 0.2 -I {a.name} ff02::1", check=False).stdout
    assert len(set(re.findall(r"from (fe80[\w:]+)%", said))) >= 2, said
    for card in (b, c):
        card.vm.run("echo 0 > /proc/sys/net/ipv4/icmp_echo_ignore_broadcasts")
    found = set()
    deadline = time.monotonic() + BOUND
    while not found >= {b.address, c.address}:
        said = a.vm.run("ping -n -b -c 3 -i 0.2 10.88.0.255", check=False).stdout
        found = set(re.findall(r"from ([\d.]+):", said))
        assert time.monotonic() < deadline, said


def test_arp_is_a_broadcast(trio):
    """Both others see who is asked for, one answers."""
    a, b, c = trio
    wanted = f"arp dst host {b.address} and ether src {a.mac} and ether broadcast"
    captures = together(lambda card: Capture(card, wanted, count=1), (b, c))

    def ask():
        """A question of b's to a, at this instant, would tell a what it wants to know."""
        a.forget()
        a.reach(b.address)
        return captures[0].process.poll() is not None

    poll_until(ask, BOUND, "a question to all")
    for capture in captures:
        assert f"who-has {b.address}" in capture.wait().lines()[0]


@pytest.mark.parametrize("words", ["", "--reverse", "--parallel 4 --bidir"])
def test_tcp(trio, words):
    """One stream and several, either way, and both at once."""
    a, b, _ = trio
    end = Stream(a, b, f"-t 1 {words}").result()["end"]
    assert end["sum_received"]["bytes"] > MIB
    if "bidir" in words:
        assert end["sum_received_bidir_reverse"]["bytes"] > MIB


def test_three_machines_at_once(trio):
    """Each sends to the next."""
    streams = [Stream(trio[number], trio[(number + 1) % 3], "-t 1", port=5210 + number)
               for number in range(3)]
    for stream in streams:
        assert stream.result()["end"]["sum_received"]["bytes"] > MIB


@pytest.mark.parametrize("words", ["-b 2M -l 64", "-b 20M -l 1400 --reverse",
                                   "-b 20M -l 16000"])
def test_udp(trio, words):
    """The card loses none, a socket may; what is longer than the MTU goes in parts."""
    a, b, _ = trio
    before = [card.statistics() for card in (a, b)]
    found = Stream(a, b, f"-u -t 1 {words}").result()["end"]["sum"]
    assert found["packets"] > 50
    assert found["lost_packets"] < found["packets"] * 0.5
    for card, was in zip((a, b), before):
        now = card.statistics()
        for name in ("tx_dropped", "tx_errors", "rx_dropped", "rx_errors"):
            assert now[name] == was[name], name


def test_udp_flood(trio):
    """More than can be taken: what is lost is lost, and the card goes on."""
    a, b, _ = trio
    found = Stream(a, b, "-u -t 1 -b 0 -l 64").result()["end"]["sum"]
    assert found["packets"] > 1000
    a.reach(b.address, 3)


@pytest.mark.parametrize("family", [4, 6])
def test_transfer(trio, family):
    """Large, both ways, several times round the rings, with the same checksum at both ends."""
    a, b, _ = trio
    addresses = (a.address, b.address) if family == 4 else (a.address6, b.address6)
    a.reach(addresses[1])
    exchange(a, b, 16 * MIB, addresses)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("mtu", [68, 576, 1280, 1500, 1501, 9000, 65500])
def test_mtu(trio, mtu):
    """Exactly that size goes through, one byte more does not, and TCP knows."""
    a, b, _ = trio
    together(lambda card: card.ip(f"mtu {mtu}"), (a, b))
    a.reach(b.address)
    size = mtu - 28
    a.ping(b.address, 3, f"-M do -s {size}")
    assert "too long" in a.refused(f"ping -n -c 1 -W 1 -M do -s {size + 1} {b.address}")
    # in parts
    if size + 1 <= 65507:
        a.ping(b.address, 2, f"-M dont -s {min(3 * size + 1, 65507)}")
    exchange(a, b, MIB // 8 if mtu < 1000 else 2 * MIB)


@pytest.mark.usefixtures("restored")
def test_mtus_that_differ(trio):
    """A frame that the receiver does not accept is not sent to it, and counted."""
    a, b, c = trio
    together(lambda card: card.ip("mtu 9000"), (a, c))
    a.reach(c.address)
    a.ping(c.address, 3, "-M do -s 8972")
    a.reach(b.address)
    exchange(a, b, MIB)


def test_mtu_out_of_range(trio):
    """The kernel says which way, and in its list of interfaces how far one can go."""
    card = trio[0]
    for mtu, what in ((0, "less"), (67, "less"), (65501, "greater"), (100000, "greater")):
        said = card.refused(f"ip link set {card.name} mtu {mtu}")
        assert re.search(rf"mtu {what} than device", said), said
    shown = card.link()
    assert (shown["mtu"], shown["min_mtu"], shown["max_mtu"]) == (1500, 68, 65500)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("off", [["tx"], ["rx"], ["sg"], ["tso"], ["gro"],
                                 ["tso", "gso", "gro"], OFFLOADS], ids="-".join)
def test_offloads(trio, off):
    """Whatever is switched off, on one side and on both: the same bytes arrive."""
    a, b, _ = trio
    for card, addresses in ((a, (a.address, b.address)), (b, (a.address6, b.address6))):
        card.ethtool("-K", " ".join(f"{name} off" for name in off))
        a.reach(addresses[1])
        exchange(a, b, 2 * MIB, addresses)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("who, what", [("sender", "tx off tso off gso off"),
                                       ("sender", "tx off"), ("receiver", "rx off")])
def test_checksums_are_complete_when_nobody_can_leave_them(trio, who, what):
    """On the wire, by tcpdump on the receiver: no checksum is wrong."""
    a, b, _ = trio
    # It would show what the receiver has put together.
    b.ethtool("-K", "gro off")
    (a if who == "sender" else b).ethtool("-K", what)
    a.reach(b.address)
    capture = Capture(b, f"(tcp port 7000 or udp port 9) and src host {a.address}")
    transfer(a, b, MIB // 2)
    a.vm.run(f"for n in $(seq 30); do echo $n > /dev/udp/{b.address}/9; done", check=False)
    capture.wait_for("UDP", 30)
    lines = capture.stop().lines("-vvv")
    assert sum("udp sum ok" in line for line in lines) == 30
    assert sum("(correct)" in line for line in lines) > 20
    # A checksum such as 0x8bad is none of the two
    assert not [line for line in lines if re.search(r"\bincorrect\b|\bbad\b", line)][:3]


def test_segments_are_not_cut_where_nobody_needs_it(trio):
    """TCP leaves in pieces far longer than the MTU, and so arrives."""
    a, b, _ = trio
    capture = Capture(b, f"tcp port 7000 and src host {a.address} and greater 3000", count=5)
    transfer(a, b, 8 * MIB)
    assert len(capture.wait().lines()) == 5


def test_frames_are_what_was_sent(trio):
    """Of small, odd and full size, byte by byte, to one and to all."""
    a, b, c = trio
    sizes = [14, 15, 31, 59, 60, 61, 63, 64, 65, 127, 333, 1000, 1501, 1513, 1514]
    targets = {b.station.hex(): [b], "f" * 12: [b, c], "333300001234": [b, c]}
    sent = {target: [target + a.station.hex() + EXPERIMENT
                     + bytes((size + at) % 256 for at in range(size - 14)).hex()
                     for size in sizes] for target in targets}

    def take(card):
        own = [target for target, takers in targets.items() if card in takers]
        card.vm.run("rm -f /run/takes")
        process = card.vm.spawn(["/usr/bin/python3", "-c", TAKE, card.name,
                                 str(len(sizes) * len(own))])
        until(card.vm, "[ -e /run/takes ]")
        return process, own

    takers = together(take, (b, c))
    a.send(*(frame for frames in sent.values() for frame in frames))
    for process, own in takers:
        found = process.wait(BOUND).stdout.split()
        assert process.returncode == 0, process.stderr
        for target in own:
            arrived = [frame for frame in found if frame.startswith(target)]
            assert len(arrived) == len(sizes)
            for before, after in zip(sent[target], arrived):
                # What is shorter than a wire carries may come with zeros behind it.
                assert after[:len(before)] == before
                assert not after[len(before):].strip("0")
                assert len(after) <= max(len(before), 120)


def test_statistics_are_exact(trio):
    """Frames and bytes on both sides, when nobody else sends."""
    a, b, _ = trio
    together(lambda card: card.vm.run(
        f"echo 1 > /proc/sys/net/ipv6/conf/{card.name}/disable_ipv6"), trio)
    frame = (b.station + a.station).hex() + EXPERIMENT + "5a" * 486
    deadline = time.monotonic() + BOUND
    while True:
        before = a.statistics(), b.statistics()
        a.send(f"{frame}*200")
        b.wait_statistic("rx_packets", before[1]["rx_packets"] + 200)
        after = a.statistics(), b.statistics()
        grown = [after[0][f"tx_{what}"] - before[0][f"tx_{what}"] for what in
                 ("packets", "bytes")]
        grown += [after[1][f"rx_{what}"] - before[1][f"rx_{what}"] for what in
                  ("packets", "bytes")]
        if grown == [200, 200 * 500, 200, 200 * 500]:
            break
        # An answer to somebody's question may have come between.
        assert time.monotonic() < deadline, grown
    for name in ("rx_errors", "tx_errors", "rx_crc_errors", "tx_carrier_errors"):
        assert after[0][name] == after[1][name] == 0

    def restore(card):
        card.vm.run(f"echo 0 > /proc/sys/net/ipv6/conf/{card.name}/disable_ipv6")
        card.configure()

    together(restore, trio)


def test_pktgen(trio):
    """The kernel's own generator: each packet is sent or counted as dropped."""
    a, b, _ = trio
    count, sizes = 3000, (42, 61, 333, 1514)
    before, there = a.statistics(), b.statistics()
    a.vm.run(f"""
        modprobe pktgen && cd /proc/net/pktgen &&
        echo rem_device_all > kpktgend_0 && echo add_device {a.name} > kpktgend_0 &&
        for size in {" ".join(map(str, sizes))}; do
            for word in 'count {count}' "pkt_size $size" 'clone_skb 0' 'delay 0' \\
                        'dst {b.address}' 'dst_mac {b.mac}'; do
                echo "$word" > {a.name} || exit
            done
            echo start > pgctrl && grep -q '^Result: OK' {a.name} || exit
        done
        echo rem_device_all > kpktgend_0 && rmmod pktgen""", timeout=BOUND)
    after = a.statistics()
    grown = sum(after[name] - before[name] for name in ("tx_packets", "tx_dropped"))
    assert grown >= count * len(sizes)
    assert b.statistics()["rx_packets"] > there["rx_packets"]
    a.reach(b.address, 3)
