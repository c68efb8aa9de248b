# SPDX-License-Identifier: GPL-2.0-only
"""What a client is told, in which order, and that the slots are permanent."""
import errno
import fcntl
import os
import signal

import pytest
from .client import Client

F_GET_SEALS = 1034


@pytest.mark.parametrize('peers, vectors', [(2, 1), (3, 2), (8, 4)])
def test_order_and_contents(link, peers, vectors):
    """Version, ID, memory, the others slot by slot, the own doorbells last;
    then silence."""
    server = link(peers=peers, vectors=vectors, size='64K')
    path = server.directory / 'lab.sock'
    clients = [Client(path).handshake(peers, vectors) for _ in range(peers)]
    for number, client in enumerate(clients):
        assert client.id == number
        others = [slot for slot in range(peers) if slot != number]
        assert client.order == [slot for slot in [*others, number]
                                for _ in range(vectors)]
        assert os.fstat(client.memory).st_size == 65536
    # The others have come since; nobody is told of that.
    assert all(client.nothing_comes() for client in clients)
    for client in clients:
        client.close()


def test_doorbells_are_the_same_for_all(link):
    """A number from the eventfd of one client is read by exactly one other."""
    server = link(peers=3, vectors=2)
    path = server.directory / 'lab.sock'
    clients = [Client(path).handshake(3, 2) for _ in range(3)]
    for sender in clients:
        for receiver in clients:
            for vector in range(2):
                sender.ring(receiver.id, vector)
                rung = {(client.id, v): client.rung(v)
                        for client in clients for v in range(2)}
                assert rung.pop((receiver.id, vector)) == 1
                assert not any(rung.values())
    for client in clients:
        client.close()


def test_doorbells_do_not_block(link):
    """A peer that reads or rings one never gets stuck."""
    path = link(peers=2, vectors=1).directory / 'lab.sock'
    with Client(path).handshake(2, 1) as client:
        for fds in client.eventfds.values():
            assert not os.get_blocking(fds[0])
            with pytest.raises(BlockingIOError):
                os.eventfd_read(fds[0])


def test_memory_is_shared(link):
    """What one client writes, the other reads."""
    path = link(peers=2, vectors=1).directory / 'lab.sock'
    with Client(path).handshake(2, 1) as one, \
            Client(path).handshake(2, 1) as two:
        one.map()[1000:1005] = b'hello'
        assert two.map()[1000:1005] == b'hello'


def test_lowest_free_slot(link):
    """A new client gets the lowest slot, whoever left last."""
    server = link(peers=4, vectors=1)
    path = server.directory / 'lab.sock'
    clients = [Client(path).handshake(4, 1) for _ in range(4)]
    for number in (2, 1):
        clients[number].close()
        server.wait_log(rf'slot {number}: .* is gone')
    for number in (1, 2):
        clients[number] = Client(path).handshake(4, 1)
        assert clients[number].id == number
    for client in clients:
        client.close()


def test_slot_outlives_its_client(link):
    """The next client in a slot gets the same eventfds, which nobody else has
    to learn, and none of the doorbells that were meant for its
    predecessor."""
    server = link(peers=2, vectors=2)
    path = server.directory / 'lab.sock'
    with Client(path).handshake(2, 2) as witness:
        for turn in range(1, 6):
            with Client(path).handshake(2, 2) as client:
                assert client.id == 1
                assert client.rung(0) == client.rung(1) == 0
                witness.ring(1, 1)
                assert client.wait_rung(1) == 1
                witness.ring(1, 0)
            server.wait_log('slot 1: .* is gone', count=turn)
            # Nobody is there; this one is not for the next one either.
            witness.ring(1, 1)
        assert witness.nothing_comes()


def test_ring_before_the_peer_is_there_is_not_heard(link):
    """A doorbell of an empty slot is not an event for who comes later."""
    path = link(peers=2, vectors=1).directory / 'lab.sock'
    with Client(path).handshake(2, 1) as early:
        early.ring(1, 0)
        with Client(path).handshake(2, 1) as late:
            assert late.rung(0) == 0
            # From now on each one counts.
            early.ring(1, 0)
            early.ring(1, 0)
            assert late.rung(0) == 2


def test_clients_ring_each_other_without_the_server(link):
    """kill -9 of the server takes nothing from those who have joined."""
    server = link(peers=3, vectors=2)
    path = server.directory / 'lab.sock'
    clients = [Client(path).handshake(3, 2) for _ in range(3)]
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    for sender in clients:
        for receiver in clients:
            sender.ring(receiver.id, 1)
            assert receiver.wait_rung(1) == 1
    clients[0].map()[0:4] = b'mine'
    assert clients[2].map()[0:4] == b'mine'
    for client in clients:
        client.close()


def test_eight_clients_with_32_vectors(link):
    """All 8 * 8 * 32 ways lead to where they should."""
    path = link(peers=8, vectors=32).directory / 'lab.sock'
    clients = [Client(path).handshake(8, 32) for _ in range(8)]
    for sender in clients:
        for receiver in clients:
            for vector in range(32):
                sender.ring(receiver.id, vector)
        assert all(receiver.rung(vector) == 1 for receiver in clients
                   for vector in range(32))
    for client in clients:
        client.close()


def test_64_peers(link):
    """The largest number of peers: all join, and reach each other."""
    path = link(peers=64, vectors=1).directory / 'lab.sock'
    clients = [Client(path).handshake(64, 1) for _ in range(64)]
    assert [client.id for client in clients] == list(range(64))
    for client in clients:
        client.ring((client.id + 1) % 64, 0)
    assert all(client.rung(0) == 1 for client in clients)
    for client in clients:
        client.close()


def test_largest_link(link):
    """As many doorbells as a link may have, more than one buffer holds."""
    server = link(peers=16, vectors=256)
    path = server.directory / 'lab.sock'
    with Client(path).handshake(16, 256) as one, \
            Client(path).handshake(16, 256) as two:
        one.ring(1, 255)
        assert two.rung(255) == 1
    assert 'each client gets 4097 descriptors' in server.log


@pytest.mark.attack('A44')
def test_seals(link):
    """No client can resize the memory under the others, or lift that."""
    path = link().directory / 'lab.sock'
    with Client(path).handshake(8, 4) as client:
        seals = fcntl.fcntl(client.memory, F_GET_SEALS)
        assert seals == 0x1 | 0x2 | 0x4     # SEAL, SHRINK, GROW
        for size in (0, 4096, 8 << 20):
            with pytest.raises(OSError) as error:
                os.ftruncate(client.memory, size)
            assert error.value.errno == errno.EPERM
        with pytest.raises(OSError) as error:
            os.close(os.open(f'/proc/self/fd/{client.memory}',
                             os.O_RDWR | os.O_TRUNC))
        assert error.value.errno == errno.EPERM
        client.map()[0:1] = b'x'


def test_several_links_are_separate(serve, directory):
    """One server, two links: other memory, other doorbells, own slots."""
    serve('--link', f'one,socket={directory}/one,peers=2,vectors=1,size=8K',
          '--link', f'two,socket={directory}/two,peers=3,vectors=2,size=16K')
    with Client(directory / 'one').handshake(2, 1) as one, \
            Client(directory / 'two').handshake(3, 2) as two:
        assert one.id == two.id == 0
        assert len(one.map()) == 8192 and len(two.map()) == 16384
        one.ring(0, 0)
        assert two.rung(0) == 0
        assert one.rung(0) == 1
        one.map()[0:3] = b'one'
        assert two.map()[0:3] == b'\0\0\0'
