# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's ivshmem-client at our server, beside a peer of our library's."""

import pytest

from lab import Server
from lab.agent import poll_until

from .programs import BOUND, ReferenceClient

PEERS = 3
VECTORS = 2


@pytest.fixture
def server(userspace):
    """A link of three slots."""
    with Server(peers=PEERS, vectors=VECTORS) as running:
        yield running


@pytest.fixture
def client(server):
    """The client, in slot 0, when it knows all doorbells."""
    with ReferenceClient(server.socket) as running:
        running.wait_said("our_id=0")
        for _ in range(PEERS):
            poll_until(lambda: running.said.count("new vector") == PEERS * VECTORS, BOUND,
                       "all doorbells")
        yield running


def test_it_knows_all_slots(client):
    """With all of their vectors, also where nobody is yet."""
    client.command("dump")
    client.wait_said("peer_id = 2")
    dump = client.said[client.said.index("our_id = 0"):]
    assert dump.count("is enabled") == PEERS * VECTORS
    assert "peer_id = 1" in dump


def test_doorbells_both_ways(client, server, ivshmem):
    with ivshmem.open(server.address) as handle:
        assert handle.info.peer_id == 1
        client.command("int 1 1")
        assert handle.wait(BOUND) == [ivshmem.Event(vector=1, count=1)]
        client.command("int 1 all")
        heard = set()
        while heard != {0, 1}:
            events = handle.wait(BOUND)
            assert events
            heard |= {event.vector for event in events}
        handle.ring(0, 1)
        client.wait_said("receive notification from peer_id=0 vector=1")
    # Nobody has told it that the peer went, and ringing nobody does no harm
    client.command("int 1 0")
    client.command("dump")
    client.wait_said("peer_id = 1")


def test_it_is_refused_when_the_link_is_full(client, server, ivshmem):
    """It tries again every second, and joins when there is room."""
    with ivshmem.open(server.address), ivshmem.open(server.address):
        with ReferenceClient(server.socket) as late:
            late.wait_said("cannot connect to server, retry in 1 second")
            assert "our_id" not in late.said
    with ReferenceClient(server.socket) as late:
        late.wait_said("our_id=1")


def test_it_survives_the_server(client, server):
    """It is told by the end of the connection, and connects to the next server."""
    server.kill()
    client.wait_said("disconnected from server")
    server.start()
    poll_until(lambda: client.said.count("our_id=0") == 2, BOUND, "to be back")
