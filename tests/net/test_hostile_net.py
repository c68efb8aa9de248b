# SPDX-License-Identifier: GPL-2.0-only
"""Peers that lie: it costs their own link, and nothing else.

While each of them lies, a stream between two honest machines goes on.
"""

import random
import struct
import time

import pytest

from tests.vm.peer import Flood

from .card import VECTORS, Capture, Card, Witness, device, programs, together
from .frames import (ARP, BROADCAST, DATA_VALID, GSO_ECN, GSO_TCPV4, GSO_TCPV6,
                     GSO_UDP, GSO_UDP_L4, IPV4, NEEDS_CSUM, TCP, Header, arp, ethernet, ipv4,
                     tcp, udp)
from .peer import CSUM, FRAME, HELLO, NetPeer, hello
from .wire import ALIGN, HEADER, PAD, UP, Over, total, wait_until

QUEUES = 2
PEERS = 16
# A link rests twice as long after each fault: nobody is caught more often than that
PATIENCE = 3
MAC = bytes.fromhex("0e4956000099")
PASSED_ON = "02:00:00:00:fa:ce"


@pytest.fixture(scope="module")
def server(module_servers):
    """A segment for sixteen, with rings of 512 KiB."""
    return module_servers(size="256M", vectors=VECTORS, peers=PEERS,
                          layout=f"net=lan:250M:queues={QUEUES}")


@pytest.fixture(scope="module")
def honest(module_vms, server):
    """Two machines that keep the rules."""
    machines = [module_vms(name, start=False, devices=[device(server)]) for name in "ab"]
    module_vms.start(*machines)
    a, b = cards = [Card(vm, number) for number, vm in enumerate(machines, 1)]

    def load(card):
        card.load().ethtool("-L", f"combined {QUEUES}")

    together(load, cards)
    # What goes to one station is passed on to a card that can do nothing by itself.
    a.vm.run(f"""
        modprobe dummy numdummies=0 && ip link add sink type dummy &&
        ethtool -K sink tx off sg off tso off gso off && ip link set sink up &&
        tc qdisc add dev {a.name} clsact &&
        tc filter add dev {a.name} ingress flower dst_mac {PASSED_ON} \
            action mirred egress redirect dev sink""")
    a.reach(b.address)
    return a, b


@pytest.fixture(scope="module")
def witness(honest):
    """The stream between them."""
    running = Witness(*honest)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def unharmed(witness):
    """It goes on after each lie."""
    yield
    witness.goes_on()


class Liars:
    """Hands out peers; one that was caught too often keeps its slot and does nothing."""

    def __init__(self, server, victim):
        self.server = server
        self.victim = victim
        self.made = []
        self.caught = PATIENCE

    def get(self):
        """One with a good link to the victim."""
        if self.caught >= PATIENCE:
            if self.made:
                self.made[-1].park()
            self.made.append(NetPeer(self.server.socket, VECTORS, "10.88.0.99",
                                     mac=MAC, queues=QUEUES).start())
            self.caught = 0
        liar = self.made[-1]
        liar.wait_ready(self.victim.slot)
        return liar


@pytest.fixture(scope="module")
def liars(server, honest):
    """All of them."""
    maker = Liars(server, honest[0])
    yield maker
    for liar in maker.made:
        liar.__exit__()


@pytest.fixture
def liar(liars, honest):
    """A process of the host with a link; afterwards it keeps the rules again."""
    found = liars.get()
    found.ping(honest[0].address)
    yield found
    found.wait_ready(liars.victim.slot, timeout=90)
    found.ping(liars.victim.address)
    found.received.clear()


def slot_counters(card, slot):
    """What the victim has counted of a peer."""
    start = f"peer{slot}_"
    return {name.removeprefix(start): value for name, value in card.counters().items()
            if name.startswith(start)}


def errors(card, slot):
    """What it received from a peer and did not like."""
    return slot_counters(card, slot)["rx_errors"]


def to(card, kind, payload):
    """A frame of the liar's to a card."""
    return ethernet(card.station, MAC, kind, payload)


def segment(card, size=3000):
    """TCP that an offload has to finish; where TCP begins is 34."""
    return to(card, IPV4, tcp("10.88.0.99", card.address, (1, 2), bytes(size)))


# Frames that are dropped and counted: name -> header and frame, of a card
DROPPED = {
    "nothing": lambda card: (b"", b""),
    "less than a header": lambda card: (bytes(9), b""),
    "no frame": lambda card: (Header().pack(), b""),
    "13 bytes": lambda card: (Header().pack(), bytes(13)),
    "unknown type of segments": lambda card: (
        Header(NEEDS_CSUM, 2, 54, 1400, 34, 16).pack(), segment(card)),
    "unknown flag of type": lambda card: (
        Header(NEEDS_CSUM, 0x41, 54, 1400, 34, 16).pack(), segment(card)),
    "fragments of UDP, which nobody accepts": lambda card: (
        Header(NEEDS_CSUM, GSO_UDP, 42, 1400, 34, 6).pack(), segment(card)),
    "segments of no size": lambda card: (
        Header(NEEDS_CSUM, GSO_TCPV4, 54, 0, 34, 16).pack(), segment(card)),
    "segments without a checksum to complete": lambda card: (
        Header(0, GSO_TCPV4, 54, 1400, 0, 0).pack(), segment(card)),
    "checksum begins behind the frame": lambda card: (
        Header(NEEDS_CSUM, 0, 0, 0, 4000, 16).pack(), segment(card)),
    "checksum begins at the last byte": lambda card: (
        Header(NEEDS_CSUM, 0, 0, 0, 3053, 0).pack(), segment(card)),
    "checksum lies behind the frame": lambda card: (
        Header(NEEDS_CSUM, 0, 0, 0, 34, 65535).pack(), segment(card)),
    "checksum wraps round": lambda card: (
        Header(NEEDS_CSUM, 0, 0, 0, 65535, 65535).pack(), segment(card)),
    "segments of TCP over IPv6 in IPv4": lambda card: (
        Header(NEEDS_CSUM, GSO_TCPV6, 54, 1400, 34, 16).pack(), segment(card)),
    "segments in ARP": lambda card: (
        Header(NEEDS_CSUM, GSO_TCPV4, 54, 1400, 34, 16).pack(),
        to(card, ARP, arp(1, MAC, "10.88.0.99", bytes(6), card.address) + bytes(1000))),
    "from the victim itself": lambda card: (
        Header().pack(), ethernet(card.station, card.station, 0x88b5, bytes(50))),
}


@pytest.mark.attack("A22", "A23", "A24")
def test_frames_that_cannot_be(liar, honest):
    """Dropped, counted, and the session goes on."""
    a, _ = honest
    session, before = liar.links[a.slot].sessions, errors(a, liar.slot)
    for number, (lie, make) in enumerate(DROPPED.items(), 1):
        header, frame = make(a)
        wait_until(lambda header=header, frame=frame: liar.send(a.slot, frame, header), "room")
        liar.ping(a.address)
        assert errors(a, liar.slot) == before + number, lie
    assert liar.links[a.slot].sessions == session


def test_unknown_kinds_are_passed_over(liar, honest):
    a, _ = honest
    session, before = liar.links[a.slot].sessions, errors(a, liar.slot)
    for kind in (0, 3, 4, 77, 0x80000000, PAD - 1):
        for payload in (b"", b"x", bytes(5000)):
            assert liar.send(a.slot, payload, b"", kind=kind)
    liar.ping(a.address)
    assert liar.links[a.slot].sessions == session
    assert errors(a, liar.slot) == before


def random_frame(rng, card):
    """Something that is nearly right."""
    data = rng.randbytes(rng.choice([0, 1, 7, 100, 1400, 1500, 9000, 60000]))
    frame = bytearray(rng.choice([
        lambda: segment(card, len(data)),
        lambda: to(card, IPV4, udp("10.88.0.99", card.address, (1, 7), data[:60000], False)),
        lambda: to(card, ARP, arp(rng.randrange(4), MAC, "10.88.0.99", bytes(6), card.address)),
        lambda: to(card, 0x86dd, rng.randbytes(40) + data),
        lambda: to(card, 0x8100, rng.randbytes(rng.randrange(30))),
        lambda: to(card, rng.randrange(65536), data),
        lambda: to(card, IPV4, ipv4("10.88.0.99", card.address, rng.choice([TCP, 17, 47]),
                                    data))])())
    for _ in range(rng.choice([0, 0, 1, 3])):
        frame[rng.randrange(12, min(len(frame), 60))] = rng.randrange(256)
    return bytes(frame[:rng.choice([len(frame)] * 3 + [rng.randrange(1, 100)])])


def random_header(rng, frame):
    """Likewise."""
    some = [0, 1, 8, 14, 20, 34, 50, 54, 1400, 1448, len(frame), len(frame) - 1,
            max(len(frame) - 14, 0), 0x7fff, 0x8000, 0xffff]
    return Header(rng.choice([0, NEEDS_CSUM, NEEDS_CSUM, DATA_VALID, 3, 255]),
                  rng.choice([0, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, 2, 255,
                              GSO_TCPV4 | GSO_ECN, GSO_TCPV6 | GSO_ECN, GSO_ECN]),
                  *(rng.choice(some) % 65536 for _ in range(3)),
                  rng.choice([0, 6, 16, 17, 1, 0xffff]))


@pytest.mark.attack("A22")
def test_frame_that_is_longer_than_accepted(liar, honest):
    """A program's frames fit into a page, so that there is room for longer ones."""
    a, _ = honest
    a.ip(f"xdpdrv obj {programs(a.vm)} program xdp_pass")
    try:
        wait_until(lambda: liar.ready(a.slot)
                   and liar.sessions[a.slot].hello.max_frame < 4096, "another hello")
        liar.ping(a.address)
        limit, before = liar.sessions[a.slot].hello.max_frame, errors(a, liar.slot)
        for length in (limit + 1, 4096, 65536, 200000):
            frame = to(a, 0x88b5, bytes(length))[:length]
            wait_until(lambda frame=frame: liar.send(a.slot, frame), "room")
        liar.ping(a.address)
        assert errors(a, liar.slot) == before + 4
    finally:
        a.ip("xdpdrv off")
    wait_until(lambda: liar.ready(a.slot)
               and liar.sessions[a.slot].hello.max_frame > 4096, "another hello")


@pytest.mark.attack("A23")
def test_frames_that_need_more_than_was_agreed(liar, honest):
    """Who completes no checksums gets no frame without, and no segments."""
    a, _ = honest
    a.ethtool("-K", "rx off")
    try:
        wait_until(lambda: liar.ready(a.slot) and not liar.sessions[a.slot].hello.features,
                   "another hello")
        liar.ping(a.address)
        before = errors(a, liar.slot)
        assert liar.send(a.slot, segment(a, 100), Header(NEEDS_CSUM, 0, 0, 0, 34, 16))
        assert liar.send(a.slot, segment(a), Header(NEEDS_CSUM, GSO_TCPV4, 54, 1400, 34, 16))
        liar.ping(a.address)
        assert errors(a, liar.slot) == before + 2
    finally:
        a.ethtool("-K", "rx on")
    wait_until(lambda: liar.ready(a.slot) and liar.sessions[a.slot].hello.features,
               "another hello")


@pytest.mark.attack("A22", "A23")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_frames_at_random(liar, honest, seed):
    """Headers and frames that do not belong together: dropped by somebody.

    Half of them are passed on, so that the kernel has to cut and to complete them.
    """
    rng = random.Random(seed)
    a, _ = honest
    session = liar.links[a.slot].sessions
    for _ in range(700):
        frame = random_frame(rng, a)
        header = random_header(rng, frame)
        if rng.random() < 0.5:
            frame = bytes.fromhex(PASSED_ON.replace(":", "")) + frame[6:]
        queue = rng.randrange(QUEUES)
        wait_until(lambda: liar.send(a.slot, frame, header, queue=queue), "room")
    liar.ping(a.address)
    assert liar.links[a.slot].sessions == session
    assert not liar.failures


@pytest.mark.attack("A25")
def test_checksums_that_are_called_right(liar, honest):
    """They are wrong. Whoever does not take a peer's word for it (ethtool) drops them."""
    a, _ = honest
    wrong = to(a, IPV4, udp("10.88.0.99", a.address, (1, 7), bytes(100), False))
    errors = "awk '/^Udp:/ { print $8 }' /proc/net/snmp | tail -1"
    a.ethtool("-K", "rx off")
    try:
        liar.ping(a.address)
        before = int(a.vm.run(errors).stdout)
        for _ in range(10):
            assert liar.send(a.slot, wrong, Header(DATA_VALID))
        a.vm.wait_for(f"test $({errors}) -ge {before + 10}")
    finally:
        a.ethtool("-K", "rx on")


# Hellos that end the session: what is sent first, as (queue, kind, payload)
BAD_HELLOS = {
    "frames too short": [(0, HELLO, hello(MAC, 0, 85, 1))],
    "no length at all": [(0, HELLO, hello(MAC, 0, 0, 1))],
    "no queues": [(0, HELLO, hello(MAC, 0, 1514, 0))],
    "more queues than there are": [(0, HELLO, hello(MAC, 0, 1514, QUEUES + 1))],
    "most queues": [(0, HELLO, hello(MAC, 0, 1514, 2 ** 32 - 1))],
    "no address": [(0, HELLO, hello(bytes(6)))],
    "a group's address": [(0, HELLO, hello(b"\x01\0\x5e\0\0\1"))],
    "everybody's address": [(0, HELLO, hello(BROADCAST))],
    "too short": [(0, HELLO, hello(MAC)[:31])],
    "empty": [(0, HELLO, b"")],
    "a frame first": [(0, FRAME, bytes(80)), (0, HELLO, hello(MAC))],
    "another kind first": [(0, 77, bytes(80)), (0, HELLO, hello(MAC))],
    "two": [(0, HELLO, hello(MAC)), (0, HELLO, hello(MAC))],
    "on another queue, too": [(0, HELLO, hello(MAC)), (1, HELLO, hello(MAC))],
}

GOOD_HELLOS = {
    "longer": hello(MAC) + bytes(4000),
    "unknown features": hello(MAC, 0xffffffff),
    "longest frames": hello(MAC, CSUM, 2 ** 32 - 1),
    "shortest frames": hello(MAC, 0, 86),
    "what is reserved": hello(MAC)[:18] + b"\xff" * 14,
    "segments without checksums": hello(MAC, 30),
}


def caught(liar, card):
    """How often a card has found fault with a peer."""
    return slot_counters(card, liar.slot)["faults"]


def wait_caught(liar, liars, card, before, lie):
    """Wait until it is noticed."""
    wait_until(lambda: caught(liar, card) > before, f"a fault: {lie}")
    liars.caught += 1


def begin_anew(liar, slot, hellos):
    """Another session, that begins with these."""
    with liar.lock:
        liar.hellos = hellos
        liar.links[slot].end()


def test_hellos_that_cannot_be(liars, honest):
    """Each costs the session; a right one is taken again."""
    a, _ = honest
    for lie, hellos in BAD_HELLOS.items():
        liar = liars.get()
        good, before = liar.hellos, caught(liar, a)
        begin_anew(liar, a.slot, hellos)
        wait_caught(liar, liars, a, before, lie)
        begin_anew(liar, a.slot, good)
        liar.wait_ready(a.slot)
        liar.ping(a.address)


@pytest.mark.parametrize("what", GOOD_HELLOS)
def test_hello_that_is_unusual(liar, honest, what):
    """Taken, and nothing is sent that it does not accept."""
    a, _ = honest
    good, before = liar.hellos, caught(liar, a)
    begin_anew(liar, a.slot, [(0, HELLO, GOOD_HELLOS[what])])
    try:
        liar.wait_ready(a.slot)
        if what == "shortest frames":
            liar.received.clear()
            a.vm.run("ping -n -c 1 -W 1 10.88.0.123", check=False)
            wait_until(lambda: liar.received, "a question of ARP")
            assert all(len(found.frame) <= 86 for found in liar.received
                       if found.slot == a.slot)
        else:
            liar.ping(a.address)
        if what == "segments without checksums":
            assert not any(found.header.flags & NEEDS_CSUM or found.header.gso_type
                           for found in liar.received)
        assert caught(liar, a) == before
    finally:
        begin_anew(liar, a.slot, good)


def store_prod(liar, slot, move):
    """Publish an index that cannot be."""
    ring = liar.links[slot].tx[0]
    ring.words.store(ring.own, move(ring))
    liar.kick(slot)


def record(liar, slot, length, kind, place=None):
    """Publish 64 bytes with a header that cannot be."""
    ring = liar.links[slot].tx[0]
    ring.header(ring.next % ring.size if place is None else place, length, kind)
    ring.next += ALIGN
    ring.publish()
    liar.kick(slot)


def store_cons(liar, slot, move):
    """Say that something was consumed that was not sent, of whichever queue is used."""
    for ring in liar.links[slot].rx:
        ring.words.store(ring.own, move(ring))
    liar.kick(slot)


def to_the_start(liar, slot):
    """Fill the ring up to its end, and put padding at its start."""
    ring = liar.links[slot].tx[0]
    while ring.next % ring.size:
        rest = ring.size - ring.next % ring.size
        if ring.put(77, bytes(min(rest, ring.size // 4) - HEADER)) and ring.publish():
            liar.kick(slot)
    record(liar, slot, ALIGN - HEADER, PAD)


RINGS = {
    "prod not aligned": lambda liar, slot: store_prod(liar, slot, lambda ring: ring.prod + 1),
    "prod more than fits": lambda liar, slot: store_prod(
        liar, slot, lambda ring: ring.cons + 2 * ring.size),
    "prod goes back": lambda liar, slot: store_prod(liar, slot, lambda ring: ring.prod - ALIGN),
    "prod far away": lambda liar, slot: store_prod(liar, slot, lambda ring: 2 ** 31),
    "record longer than the ring": lambda liar, slot: record(liar, slot, 2 ** 32 - 1, FRAME),
    "record beyond prod": lambda liar, slot: record(liar, slot, 2000, FRAME),
    "padding that does not fill": lambda liar, slot: record(liar, slot, 100, PAD),
    "padding at the start": to_the_start,
    "cons not aligned": lambda liar, slot: store_cons(liar, slot, lambda ring: ring.cons + 4),
    "cons beyond prod": lambda liar, slot: store_cons(
        liar, slot, lambda ring: ring.cons + 2 ** 30),
    "cons goes back": lambda liar, slot: store_cons(
        liar, slot, lambda ring: ring.cons - 2 ** 20),
}


@pytest.mark.attack("A11", "A12", "A14")
def test_rings_that_cannot_be(liars, honest):
    """Each costs the session; the next one is as good as any."""
    a, _ = honest
    full = (MAC + a.station).hex() + "88b5" + "00" * 1400 + "*500"
    for lie, tell in RINGS.items():
        liar = liars.get()
        liar.ping(a.address)
        before = caught(liar, a)
        with liar.lock:
            # It does not correct the index by what it does next.
            liar.consume = not lie.startswith("cons")
            tell(liar, a.slot)
        if lie.startswith("cons"):
            # A sender looks at the other's index when its ring is full.
            a.send(full)
        wait_caught(liar, liars, a, before, lie)
        liar.consume = True
        liar.wait_ready(a.slot)
        liar.ping(a.address)


@pytest.mark.attack("A36")
def test_flood_of_kicks(liar, honest, witness):
    """On all vectors of both, without end."""
    a, b = honest
    with Flood(liar.server, a.slot) as one, Flood(liar.server, b.slot) as two:
        witness.goes_on()
        a.ping(b.address, 10)
        liar.ping(a.address)
    assert one.rung > 1000 and two.rung > 1000


@pytest.mark.attack("A15")
def test_who_does_not_consume(liar, honest, witness):
    """Frames to it are dropped and counted; those to others are not held up."""
    a, b = honest
    before = slot_counters(a, liar.slot)
    liar.consume = False
    session = liar.links[a.slot].sessions
    try:
        for target in (MAC, BROADCAST):
            a.send((target + a.station).hex() + "88b5" + "00" * 1400 + "*2000")
        a.ping(b.address, 10)
        witness.goes_on()
        after = slot_counters(a, liar.slot)
        assert after["tx_dropped"] - before["tx_dropped"] > 1000
    finally:
        liar.consume = True
    liar.ping(a.address)
    assert liar.links[a.slot].sessions == session


@pytest.mark.attack("A17", "A26")
def test_flood_of_frames(liar, honest, witness):
    """As many as it can, from as many stations: tables and memory do not grow with them."""
    a, b = honest
    slab = "awk '/^Slab/ { print $2 }' /proc/meminfo"
    before = int(a.vm.run(slab).stdout)
    deadline = time.monotonic() + 4
    rng = random.Random(4)
    sent = 0
    while time.monotonic() < deadline:
        station = bytes((2, *rng.randbytes(5)))
        for slot in (a.slot, b.slot):
            sent += liar.send(slot, ethernet(BROADCAST, station, 0x88b5, bytes(100)))
    assert sent > 2000
    witness.goes_on()
    assert int(a.vm.run(slab).stdout) - before < 16 << 10


@pytest.mark.attack("A20")
def test_frames_that_change_while_they_are_read(liar, liars, honest):
    """Header, kind, length and contents, again and again; sessions may end."""
    rng = random.Random(5)
    a, _ = honest
    link = liar.links[a.slot]
    ring = link.tx[0]
    deadline = time.monotonic() + 4
    rounds = 0
    while time.monotonic() < deadline and liars.caught < PATIENCE:
        liar.wait_ready(a.slot)
        before = link.sessions
        with liar.lock:
            try:
                start = ring.next
                for _ in range(16):
                    frame = segment(a)
                    ring.put(FRAME, Header(NEEDS_CSUM, GSO_TCPV4, 54, 1400, 34, 16).pack() + frame)
                if ring.publish():
                    liar.kick(a.slot)
            except Over:
                continue
            for _ in range(300):
                place = (start + rng.randrange(16) * total(16 + len(frame))) % ring.size
                # Of header of the ring, header of the frame, or headers of protocols
                at = place + rng.choice([0, 4, 32, 34, 36, 38, 40, 60, 70, 80]) // 4 * 4
                if rng.random() < 0.9 and at < place + HEADER:
                    continue
                ring.words.store(ring.data + at % ring.size, rng.getrandbits(32))
        rounds += 1
        liars.caught += link.sessions != before
    assert rounds > 1


@pytest.mark.attack("A24")
def test_address_of_another_peer_in_frames(liar, honest):
    """Teaches nobody anything: what is for that peer still goes to it, and only there."""
    a, b = honest
    liar.received.clear()
    forged = ethernet(BROADCAST, b.station, ARP,
                      arp(1, b.station, b.address, bytes(6), "10.88.0.200"))
    for _ in range(20):
        assert liar.send(a.slot, forged)
    liar.ping(a.address)
    a.ping(b.address, 20)
    assert not [found for found in liar.received if found.frame[:6] == b.station]


@pytest.mark.attack("A24")
def test_address_of_another_peer_in_the_hello(server, honest, witness):
    """The one who had it keeps it."""
    a, b = honest
    with NetPeer(server.socket, VECTORS, "10.88.0.98", mac=b.station) as thief:
        thief.wait_ready(a.slot)
        forged = ethernet(a.station, b.station, 0x88b5, bytes(50))
        for _ in range(20):
            thief.send(a.slot, forged)
        a.ping(b.address, 20)
        witness.goes_on()


@pytest.mark.attack("A24")
def test_own_address_of_the_victim(server, honest, witness):
    """Nor does it believe that it is somebody else."""
    a, b = honest
    with NetPeer(server.socket, VECTORS, "10.88.0.98", mac=a.station) as thief:
        thief.wait_ready(b.slot)
        for slot in (a.slot, b.slot):
            thief.send(slot, ethernet(BROADCAST, a.station, 0x88b5, bytes(50)))
        b.ping(a.address, 20)
        witness.goes_on()


def test_address_of_a_peer_that_has_died(server, honest):
    """It is back in another slot, and nobody has noticed the end of its session."""
    a, _ = honest
    with NetPeer(server.socket, VECTORS, "10.88.0.98") as dead:
        dead.wait_ready(a.slot)
        dead.ping(a.address)
        with dead.lock:
            a.vm.wait_for(f"grep -q '^{dead.slot} silent' /sys/class/ivshmem/ivshmem0/peers")
            with NetPeer(server.socket, VECTORS, "10.88.0.98", mac=dead.mac) as back:
                back.wait_ready(a.slot)
                back.ping(a.address)


@pytest.mark.attack("A11")
def test_who_begins_anew_and_wants_no_link(server, honest):
    """As a machine that was reset, without the driver: the link's words are those of before."""
    a, _ = honest
    with NetPeer(server.socket, VECTORS, "10.88.0.97") as peer:
        peer.wait_ready(a.slot)
        link = peer.links[a.slot]
        begun = link.ack
        # The life that the session is of is known when the directory was looked at again
        beat = peer._member.heart
        wait_until(lambda: peer._member.heart > beat + 6, "a session that has settled")
        assert peer.words.load(link.other) == begun
        with peer.lock:
            peer.links.pop(a.slot)
            peer._member.join()
        wait_until(lambda: peer.words.load(link.other) != begun, "a link that is down")
        with peer.lock:
            peer.links[a.slot] = link
        peer.wait_ready(a.slot)
        peer.ping(a.address)


@pytest.mark.attack("A20")
@pytest.mark.parametrize("place, value", [(4, 200), (12, 0x0a0b0c02)], ids=["longest", "address"])
def test_hello_that_somebody_else_changed(server, honest, place, value):
    """Who said it sees that, and begins a session in which it is believed as it was said."""
    a, _ = honest
    peer = NetPeer(server.socket, VECTORS, "10.88.0.94")
    peer.consume = False
    with peer:
        wait_until(lambda: peer.links[a.slot].state == UP
                   and peer.words.load(peer.segment.tx(a.slot, peer.slot, 0)), "a hello")
        before = slot_counters(a, peer.slot)
        with peer.lock:
            record = peer.segment.data(a.slot, peer.slot, 0) + HEADER
            said = peer.words.load(record + place)
            peer.words.store(record + place, value)
            peer.consume = True
            peer._turn()
            believed = peer.sessions[a.slot]
        assert struct.unpack_from("<I", believed.payload, place)[0] == value
        wait_until(lambda: peer.sessions[a.slot].number > believed.number
                   and peer.ready(a.slot), "another session", 90)
        assert struct.unpack_from("<I", peer.sessions[a.slot].payload, place)[0] == said
        after = slot_counters(a, peer.slot)
        assert after["faults"] == before["faults"] + 1
        peer.ping(a.address)


def test_sessions_that_begin_without_end(liar, honest, witness):
    """Up and down as fast as the victim allows: it allows it ten times a second."""
    a, _ = honest
    begun = liar.links[a.slot].sessions
    start = time.monotonic()
    while time.monotonic() < start + 3:
        with liar.lock:
            liar.links[a.slot].end()
            liar._turn()
    witness.goes_on()
    assert liar.links[a.slot].sessions - begun < 15 * (time.monotonic() - start)


@pytest.mark.attack("A09")
def test_peer_comes_and_goes(server, honest, witness):
    """In the directory, with links up each time."""
    a, b = honest
    for _ in range(5):
        with NetPeer(server.socket, VECTORS, "10.88.0.97") as peer:
            peer.wait_ready(a.slot, b.slot)
            peer.ping(a.address)
    witness.goes_on()


@pytest.mark.attack("A38")
def test_wishes_of_others_are_overwritten(server, honest, witness):
    """Whoever is not kicked for that looks by itself, sooner or later."""
    a, b = honest
    with NetPeer(server.socket, VECTORS, "10.88.0.95") as vandal:
        vandal.wait_ready(a.slot)
        layout, words = vandal.segment, vandal.words
        spots = [place(*pair, queue) + 4 for place in (layout.tx, layout.rx)
                 for pair in ((a.slot, b.slot), (b.slot, a.slot)) for queue in range(QUEUES)]
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            for spot in spots:
                words.store(spot, 0x80000000)
        witness.goes_on()
        a.reach(b.address, 3)


def test_words_of_others_are_overwritten(server, honest, witness):
    """That can cost any link; all of them return once it stops, and so does the stream."""
    a, b = honest
    rng = random.Random(9)
    with NetPeer(server.socket, VECTORS, "10.88.0.96") as vandal:
        vandal.wait_ready(a.slot)
        before = slot_counters(b, a.slot)["sessions"] + slot_counters(a, b.slot)["sessions"]
        layout, words = vandal.segment, vandal.words
        spots = [layout.link(*pair) for pair in ((a.slot, b.slot), (b.slot, a.slot))]
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            for spot in spots:
                words.store(spot + rng.randrange(layout.block // 4) * 4, rng.getrandbits(32))
            for one, two in ((a.slot, b.slot), (b.slot, a.slot)):
                at = layout.data(one, two, 0) + rng.randrange(layout.ring // 4) * 4
                words.store(at, rng.getrandbits(32))
        a.reach(b.address, 3, timeout=180)
        assert slot_counters(b, a.slot)["sessions"] + slot_counters(a, b.slot)["sessions"] > before
        vandal.ping(a.address)
    witness.goes_on(timeout=300)
    capture = Capture(b, f"src host {a.address}", count=10)
    assert len(capture.wait().lines()) == 10
