# SPDX-License-Identifier: GPL-2.0-only
"""ivshmem tap and a peer that says what it wants: it costs its own link only."""
import os
import random
import socket
import struct
import time
from typing import Any, Callable, Iterator

import pytest

from lab import Server
from tests.region_image import MAGIC, PAGE
from tests.server.process import processor_ticks
from tests.server.waiting import wait_until
from tests.vm.peer import Flood

from .card import (ALL, CSUM, ECN, FRAME, HELLO, PAD, TSO4, TSO6, Card, Layout,
                   ethernet, header, hello, mac)
from .program import BOUND, run_json
from .tap import Host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='only root may make a namespace')

VECTORS = 4
BROADCAST = 'ff:ff:ff:ff:ff:ff'
OTHER = '02:00:00:00:00:55'


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A link with a segment of four peers."""
    return serve(peers=4, vectors=VECTORS, size='64M', layout='net=lan:48M')


@pytest.fixture
def hosts(server: Server) -> Iterator[tuple[Host, Host]]:
    """Two hosts that see each other."""
    with Host(server.address, 1) as first, Host(server.address, 2) as second:
        first.wait_peer(second.slot, state='up')
        yield first, second


@pytest.fixture
def card(server: Server, hosts: tuple[Host, Host]) -> Iterator[Card]:
    """A card with a link to the first host, which has not said hello."""
    layout = Layout(run_json('info', server.address)['region'])
    with Card(server.socket, layout, 3, VECTORS) as made:
        yield made.connect(hosts[0].slot)


def arp_request(card: Card, host: Host) -> bytes:
    """Who has the host's address?"""
    return ethernet(BROADCAST, card.address, struct.pack(
        '>HHBBH6s4s6s4s', 1, 0x0800, 6, 4, 1, mac(card.address),
        socket.inet_aton('10.77.0.99'), bytes(6), socket.inet_aton(host.address)), 0x0806)


def is_frame_of(kind: int) -> Callable[[int, bytes], bool]:
    """Whether a record is a frame with this type."""
    return lambda record, payload: record == FRAME and \
        payload[28:30] == struct.pack('>H', kind)


def talk(card: Card, host: Host) -> None:
    """A question and its answer.

    It is asked again each second, as a kernel does: for a while after its carrier came the
    host's drops what it has to send.
    """
    heads = header(), mac(card.address) + mac(host.mac) + b'\x08\x06'
    asked = -1.0

    def answered() -> bool:
        nonlocal asked
        if time.monotonic() - asked > 1:
            card.send(arp_request(card, host))
            asked = time.monotonic()
        kind, payload = card.take() or (PAD, b'')
        return kind == FRAME and payload[:16] == heads[0] and payload[16:30] == heads[1]
    wait_until(answered, 'an answer')


def others_go_on(hosts: tuple[Host, Host]) -> None:
    """The two hosts still have their first session, without a fault."""
    first, second = hosts
    first.ping(second)
    seen = first.peer(second.slot)
    assert (seen['sessions'], seen['faults'], seen['rx_bad']) == (1, 0, 0)


def test_an_honest_card(hosts, card: Card):
    """The specification, read by somebody else, is what the program does."""
    first = hosts[0]
    said = card.await_record(lambda kind, _: kind == HELLO, 'a hello')
    features, max_frame, queues, address = struct.unpack_from('<III6s', said)
    assert features & (CSUM | TSO4 | TSO6 | ECN) == CSUM | TSO4 | TSO6 | ECN
    assert (max_frame, queues, address) == (65535 + 18, 1, mac(first.mac))
    card.greet()
    first.wait_peer(card.slot, state='up', rx_frames=0)
    for _ in range(3):
        talk(card, first)
    # What a newer peer says besides is passed over.
    card.put(77, b'something new')
    card.put(PAD - 1, b'')
    talk(card, first)
    assert first.peer(card.slot)['faults'] == 0
    card.leave()
    first.wait_peer(card.slot, state='down', reason='stale')


@pytest.mark.parametrize('features, max_frame, offloads', [
    (0, 65553, 0), (CSUM, 65553, 1), (ALL, 1514, 1), (ALL & ~CSUM, 65553, 0),
    (CSUM | TSO4, 65553, 1 | 2), (CSUM | TSO6, 65553, 1 | 4),
    (CSUM | TSO4 | ECN, 65553, 1 | 2 | 8), (CSUM | ECN, 65553, 1)])
def test_the_kernel_does_what_a_peer_does_not_accept(hosts, card: Card, features: int,
                                                     max_frame: int, offloads: int):
    """What one cannot do is done for all, as long as it is there."""
    first = hosts[0]
    before = first.report()['offloads']
    assert before & 7 == 7
    card.greet(features=features, max_frame=max_frame)
    wait_until(lambda: first.report()['offloads'] == offloads, f'offloads {offloads}', BOUND)
    others_go_on(hosts)
    card.leave()
    wait_until(lambda: first.report()['offloads'] == before, 'offloads as before', BOUND)


def send_udp(host: Host, card: Card, length: int, count: int = 1) -> None:
    """Datagrams from a host to the card."""
    host.run('ip', 'neighbour', 'replace', '10.77.0.99', 'lladdr', card.address,
             'dev', 'tap0')
    with host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(os.urandom(length), ('10.77.0.99', 4000))


def checksum(data: bytes) -> int:
    """The sum of the Internet's protocols; 0 of what has a right one."""
    total = sum(struct.unpack(f'>{len(data) // 2}H', data[:len(data) & ~1]))
    total += data[-1] << 8 if len(data) & 1 else 0
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


@pytest.mark.parametrize('features', [0, CSUM])
def test_checksums_are_complete_for_who_needs_it(hosts, card: Card, features: int):
    first = hosts[0]
    card.greet(features=features)
    first.wait_peer(card.slot, state='up')
    wait_until(lambda: first.report()['offloads'] == features, 'offloads', BOUND)
    send_udp(first, card, 501)
    frame = card.await_record(is_frame_of(0x0800), 'a datagram')
    assert frame[0] & 1 == features & CSUM
    assert frame[10:16] == bytes(6)
    packet = frame[30:]
    udp = packet[20:]
    pseudo = packet[12:20] + struct.pack('>BBH', 0, 17, len(udp))
    assert (checksum(pseudo + udp) == 0) == (not features)


def test_longer_frames_than_a_peer_takes_are_not_sent(hosts, card: Card):
    first = hosts[0]
    card.greet(max_frame=200)
    first.running.wait_said('does not take packets of more than 186 bytes')
    send_udp(first, card, 200 - 42 + 1)
    first.wait_peer(card.slot, tx_unfit=1)
    send_udp(first, card, 200 - 42)
    frame = card.await_record(is_frame_of(0x0800), 'a datagram')
    assert len(frame) == 216
    talk(card, first)


# Fields of the header that no honest peer sends with that frame
BAD_HEADERS: list[dict[str, int]] = [
    {'flags': 1, 'start': 13, 'offset': 4}, {'flags': 1, 'start': 59, 'offset': 0},
    {'flags': 1, 'start': 14, 'offset': 45}, {'flags': 1, 'start': 65535, 'offset': 65535},
    {'gso': 1, 'gso_size': 20}, {'flags': 1, 'start': 34, 'offset': 16, 'gso': 1},
    {'flags': 1, 'start': 34, 'offset': 6, 'gso': 3, 'gso_size': 20},
    {'flags': 1, 'start': 34, 'offset': 6, 'gso': 2, 'gso_size': 20},
    {'flags': 1, 'start': 34, 'offset': 6, 'gso': 0x80, 'gso_size': 20},
    {'flags': 1, 'start': 34, 'offset': 6, 'gso': 0x85, 'gso_size': 20},
    {'flags': 1, 'start': 34, 'offset': 6, 'gso': 0x7f, 'gso_size': 20}]


@pytest.mark.attack('A22', 'A23')
def test_bad_frames_are_dropped(hosts, card: Card):
    """The link stays, and what is right passes."""
    first = hosts[0]
    card.greet()
    frame = ethernet(first.mac, card.address)
    for fields in BAD_HEADERS:
        card.send(frame, **fields)
    card.send(ethernet(first.mac, '03:00:00:00:00:99'))
    card.send(ethernet(BROADCAST, first.mac))
    card.send(frame[:13])
    card.put(FRAME, b'')
    card.put(FRAME, bytes(15))
    card.send(frame + bytes(65554 - len(frame)))
    bad = len(BAD_HEADERS) + 6
    assert first.wait_peer(card.slot, rx_bad=bad)['rx_bad'] == bad
    # These are hints, or mean nothing: the largest frame, an odd header.
    before = first.show()['stats64']['rx']['packets']
    card.send(frame, flags=0xf0, hdr_len=65535, start=65535, offset=65535, gso_size=1)
    card.send(frame + bytes(65553 - len(frame)))
    wait_until(lambda: first.show()['stats64']['rx']['packets'] == before + 2, 'both', BOUND)
    talk(card, first)
    seen = first.peer(card.slot)
    assert (seen['rx_bad'], seen['faults']) == (bad, 0)
    others_go_on(hosts)


def test_what_the_interface_does_not_take_is_counted(hosts, card: Card):
    """One that is down takes nothing."""
    first = hosts[0]
    card.greet()
    talk(card, first)
    first.run('ip', 'link', 'set', 'tap0', 'down')
    before = first.peer(card.slot)['rx_refused']
    card.send(ethernet(BROADCAST, card.address))
    seen = first.wait_peer(card.slot, rx_refused=before + 1)
    assert seen['faults'] == 0
    first.run('ip', 'link', 'set', 'tap0', 'up')
    talk(card, first)


def spoil_prod(step: int) -> Callable[[Card], None]:
    """Publish so much more."""
    def spoil(card: Card) -> None:
        card.store(card.layout.sends(card.slot, card.peer), card.next + step)
    return spoil


def spoil_own_words(card: Card) -> None:
    """Overwrite what only the host writes."""
    card.store(card.layout.link(card.peer, card.slot) + 4, 12345)


# What costs the session; the reason; whether after a hello
FAULTS: dict[str, tuple[Callable[[Card], Any], str, bool]] = {
    'frame-first': (lambda c: c.send(ethernet(BROADCAST, c.address)), 'bad_record', False),
    'other-first': (lambda c: c.put(9, b'x'), 'bad_record', False),
    'short-hello': (lambda c: c.put(HELLO, hello(c.address)[:31]), 'bad_record', False),
    'no-queue': (lambda c: c.greet(queues=0), 'bad_record', False),
    'queues': (lambda c: c.greet(queues=2), 'bad_record', False),
    'frames-too-short': (lambda c: c.greet(max_frame=85), 'bad_record', False),
    'group': (lambda c: c.put(HELLO, hello('01:00:00:00:00:01')), 'bad_record', False),
    'no-address': (lambda c: c.put(HELLO, hello('00:00:00:00:00:00')), 'bad_record', False),
    'two-hellos': (lambda c: c.greet(), 'bad_record', True),
    'unaligned': (spoil_prod(4), 'bad_prod', True),
    'too-much': (spoil_prod(1 << 24), 'bad_prod', True),
    'backwards': (spoil_prod(-64), 'bad_prod', True),
    'length': (lambda c: c.put(FRAME, bytes(60), 4096), 'bad_length', True),
    'huge': (lambda c: c.put(FRAME, bytes(60), 2 ** 32 - 1), 'bad_length', True),
    'padding': (lambda c: c.put(PAD, bytes(60)), 'bad_pad', True),
    'words-of-others': (spoil_own_words, 'tampered', True)}


@pytest.mark.attack('A11')
@pytest.mark.parametrize('name', FAULTS)
def test_a_fault_costs_the_session_only(hosts, card: Card, name: str):
    first = hosts[0]
    spoil, reason, greeted = FAULTS[name]
    if greeted:
        card.greet()
        talk(card, first)
    spoil(card)
    card.kick()
    card.await_end()
    seen = first.wait_peer(card.slot, faults=1)
    assert (seen['reason'], seen['faults']) == (reason, 1)
    first.running.wait_said(f'peer {card.slot}: ')
    others_go_on(hosts)
    # It rests, and comes back.
    card.connect(first.slot).greet()
    talk(card, first)


@pytest.mark.attack('A06', 'A11')
def test_a_fault_while_there_is_no_format(hosts, card: Card):
    """It is found when there is none for a moment: the session ends for both all the same."""
    first = hosts[0]
    for _ in range(3):
        card.greet()
        talk(card, first)
        card.store(0, 0)
        card.greet()
        time.sleep(0.05)
        card.store(0, MAGIC)
        card.await_end()
        card.connect(first.slot)
    card.greet()
    talk(card, first)
    hosts[1].ping(first)


def test_a_peer_that_empties_nothing(hosts, card: Card):
    """Its ring fills up; what is for others goes on."""
    first = hosts[0]
    card.greet()
    first.wait_peer(card.slot, state='up')
    count = 2 * card.layout.ring // 1500
    send_udp(first, card, 1400, count)
    seen = first.wait_peer(card.slot, tx_full=1)
    assert seen['tx_frames'] <= card.layout.ring // 1472
    others_go_on(hosts)
    # One that claims to have taken what it was not sent has lied.
    card.store(card.layout.receives(first.slot, card.slot), 1 << 30)
    send_udp(first, card, 1400, 5)
    first.wait_peer(card.slot, faults=1, reason='bad_cons')
    others_go_on(hosts)


def test_garbage_in_all_words_of_a_peer(hosts, card: Card):
    """Its lines, its indices, and what lies in its rings."""
    first, layout = hosts[0], card.layout
    own = layout.link(card.slot, first.slot)
    chance = random.Random(4)
    for _ in range(5):
        card.greet()
        for _ in range(200):
            data = layout.data(card.slot, first.slot) + chance.randrange(0, layout.ring, 64)
            card.memory.map[data:data + 64] = chance.randbytes(64)
            card.memory.map[own + 8:own + 192] = chance.randbytes(184)
            card.store(layout.sends(card.slot, first.slot), chance.choice([
                chance.getrandbits(32), chance.getrandbits(8) * 64, card.next + 64]))
            card.memory.map[PAGE * (2 + card.slot) + 12:PAGE * (3 + card.slot)] = \
                chance.randbytes(PAGE - 12)
            card.kick()
        card.await_end()
        others_go_on(hosts)
        card.connect(first.slot)
    card.greet()
    talk(card, first)
    others_go_on(hosts)


@pytest.mark.attack('A36')
def test_who_rings_all_the_time(hosts, card: Card):
    """It costs a part of a processor, and no traffic."""
    first = hosts[0]
    card.greet()
    with Flood(card.client, first.slot) as flood:
        begin, ticks = time.monotonic(), processor_ticks(first.pid)
        for _ in range(5):
            others_go_on(hosts)
        talk(card, first)
        used = (processor_ticks(first.pid) - ticks) / os.sysconf('SC_CLK_TCK')
        elapsed = time.monotonic() - begin
        assert flood.rung > 1000
    assert used < elapsed / 2, (used, elapsed)


@pytest.mark.attack('A24')
def test_an_address_is_its_owners(hosts, card: Card):
    """Neither a hello nor frames take it away."""
    first, second = hosts
    card.address = second.mac
    card.greet()
    first.wait_peer(card.slot, state='up', conflicts=1)
    first.running.wait_said(f'has the address {second.mac} of another one')
    for _ in range(10):
        card.send(ethernet(BROADCAST, second.mac))
    first.wait_peer(card.slot, rx_frames=10)
    before = first.peer(second.slot)['tx_frames']
    first.ping(second, count=10)
    assert first.peer(second.slot)['tx_frames'] >= before + 10
    # It leaves the address to whom it belongs.
    card.leave()
    first.wait_peer(card.slot, state='down')
    others_go_on(hosts)


def test_nor_can_it_be_the_hosts(hosts, card: Card):
    first = hosts[0]
    card.address = first.mac
    card.greet()
    first.wait_peer(card.slot, state='up', conflicts=1)
    others_go_on(hosts)


def test_stations_behind_a_peer(hosts, card: Card):
    """Where they were seen last; a peer that invents them costs nobody's place."""
    first, second = hosts
    card.greet()
    first.wait_peer(card.slot, state='up')
    card.send(ethernet(BROADCAST, OTHER))
    first.wait_peer(card.slot, rx_frames=1)
    card.address = OTHER
    before = first.report()
    send_udp(first, card, 100, 20)
    card.await_record(is_frame_of(0x0800), 'a datagram')
    after = first.wait_peer(card.slot, tx_frames=20 + first.peer(
        card.slot, before)['tx_frames'])
    assert after
    report = first.report()
    assert report['flooded'] - before['flooded'] < 20
    for number in range(20_000):
        card.put(FRAME, bytes(16) + mac(BROADCAST) + b'\x02\x01' +
                 struct.pack('>I', number) + b'\x88\xb5' + bytes(46))
        if number % 1000 == 999:
            first.wait_peer(card.slot, rx_frames=number)
    others_go_on(hosts)
    assert first.peer(second.slot)['rx_frames'] > 0
