# SPDX-License-Identifier: GPL-2.0-only
"""The tests' own peer: with itself, and against the headers' layout."""

import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT
from tests.region_image import Memory

from .frames import NEEDS_CSUM, UDP, Header, Packet, checksum, ethernet, pseudo, udp
from .peer import CSUM, FRAME, HELLO, NetPeer, hello
from .wire import UP, Segment, wait_until

VECTORS = 4
PEERS = 4
QUEUES = 2


@pytest.fixture
def server(servers):
    """A segment for four."""
    return servers(size="16M", vectors=VECTORS, peers=PEERS, layout=f"net=lan:12M:queues={QUEUES}")


@pytest.fixture
def pair(server):
    """Two peers with links between them."""
    with NetPeer(server.socket, VECTORS, "10.88.0.1", queues=QUEUES) as a, \
            NetPeer(server.socket, VECTORS, "10.88.0.2", queues=QUEUES) as b:
        a.wait_ready(b.slot)
        b.wait_ready(a.slot)
        yield a, b


def test_everything_lies_where_the_headers_have_it(pair, tmp_path):
    a, _ = pair
    source = Path(__file__).with_name("layout.c")
    subprocess.run(["gcc", f"-I{ROOT}/include", source, "-o", tmp_path / "layout"], check=True)
    said = subprocess.run([tmp_path / "layout"], check=True, stdout=subprocess.PIPE,
                          input=a.memory.map[:4096]).stdout.decode()
    segment = Segment.find(a.memory, "lan")
    rows = [tuple(map(int, line.split())) for line in said.splitlines()]
    assert len(rows) == PEERS * (PEERS - 1) * QUEUES
    for one, two, queue, link, tx, rx, data in rows:
        assert (segment.link(one, two), segment.tx(one, two, queue),
                segment.rx(one, two, queue), segment.data(one, two, queue)) == (
                    link, tx, rx, data)


def test_two_peers_ping_each_other(pair):
    a, b = pair
    a.ping("10.88.0.2")
    b.ping("10.88.0.1")
    assert a.host.known["10.88.0.2"] == b.mac
    assert a.sessions[b.slot].hello.address == b.mac
    assert a.sessions[b.slot].hello.queues == QUEUES


def test_frames_of_all_sizes_arrive_in_order(pair):
    """Several times round the ring, on both queues."""
    a, b = pair
    sent = []
    for number in range(600):
        frame = ethernet(b.mac, a.mac, 0x88b5, bytes([number % 256]) * (number * 37 % 30000))
        sent.append(frame)
        wait_until(lambda frame=frame, number=number: a.send(
            b.slot, frame, Header(flags=number % 3), queue=number % QUEUES), "room")
    wait_until(lambda: len(b.received) == len(sent), "all frames")
    for queue in range(QUEUES):
        own = {bytes(frame) for frame in sent[queue::QUEUES]}
        assert [found.frame for found in b.received if found.frame in own] \
            == [frame for frame in sent if frame in own]
    assert sorted(found.frame for found in b.received) == sorted(sent)
    assert sum(found.header.flags for found in b.received) == sum(n % 3 for n in range(600))


def test_who_does_not_consume_holds_up_only_the_sender(pair, server):
    a, b = pair
    b.consume = False
    frame = ethernet(b.mac, a.mac, 0x88b5, bytes(60000))
    while a.send(b.slot, frame):
        pass
    with NetPeer(server.socket, VECTORS, "10.88.0.3", queues=QUEUES) as c:
        c.ping("10.88.0.1")
        b.consume = True
        wait_until(lambda: a.send(b.slot, frame), "room")


def test_a_peer_returns(server):
    """The same slot, another epoch, and no record of the session before."""
    with NetPeer(server.socket, VECTORS, "10.88.0.1") as a:
        for number in range(3):
            with NetPeer(server.socket, VECTORS, "10.88.0.2") as b:
                b.wait_ready(a.slot)
                a.wait_ready(b.slot)
                assert a.links[b.slot].sessions == number + 1
                a.ping("10.88.0.2")
                slot = b.slot
            wait_until(lambda: a.links[slot].state != UP, "the end of the session")


def test_a_park_keeps_the_slot(server):
    with NetPeer(server.socket, VECTORS, "10.88.0.1") as a:
        a.park()
        with NetPeer(server.socket, VECTORS, "10.88.0.2") as b:
            assert b.slot != a.slot


def test_a_hello_is_what_the_specification_says(pair):
    a, b = pair
    assert hello(a.mac, CSUM, 1500, 2) == (
        b"\1\0\0\0\xdc\5\0\0\2\0\0\0" + a.mac + bytes(14))
    assert (HELLO, FRAME) == (1, 2)
    with Memory(a.server.memory) as memory:
        at = a.segment.data(a.slot, b.slot, 0)
        assert memory.word(at + 4) == HELLO and memory.word(at) == 32


def test_checksums():
    """Complete ones are right; those left to an offload become so by adding the rest."""
    whole = Packet.of(ethernet(bytes(6), bytes(6), 0x0800,
                               udp("10.0.0.1", "10.0.0.2", (1, 2), b"hello")))
    over = pseudo("10.0.0.1", "10.0.0.2", UDP, len(whole.payload))
    assert checksum(over + whole.payload) == 0
    part = Packet.of(ethernet(bytes(6), bytes(6), 0x0800,
                              udp("10.0.0.1", "10.0.0.2", (1, 2), b"hello", False)))
    value = checksum(part.payload)
    assert part.payload[:6] + value.to_bytes(2, "big") + part.payload[8:] == whole.payload
    assert Header(NEEDS_CSUM, 0, 0, 0, 34, 6).pack() == \
        b"\1\0\0\0\0\0" + b"\x22\0\6\0" + bytes(6)
