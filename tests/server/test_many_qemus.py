# SPDX-License-Identifier: GPL-2.0-only
"""QEMUs in numbers: they come and go, and are as many as a link can have slots."""
from .client import Client
from .qemu import ring_until
from .waiting import wait_until

TURNS = 500
AT_ONCE = 2
# As many as there can be
PEERS = 64
VECTORS = 64


def test_a_thousand_come_and_go(link, qemu, directory):
    """In two slots, beside one that stays: none of them crashes or complains."""
    path = directory / 'lab.sock'
    server = link(peers=1 + AT_ONCE, vectors=2)
    stays = qemu(path, vectors=2).enable()
    alone = len(server.descriptors())
    for _ in range(TURNS):
        going = [qemu(path, vectors=2) for _ in range(AT_ONCE)]
        for machine in going:
            # A device is not there before it has the memory
            assert machine.read_config(0) == 0x11101af4
        for machine in going:
            assert machine.alive() and not machine.log
            machine.kill()
        wait_until(lambda: len(server.descriptors()) == alone, 'both slots')
    last = qemu(path, vectors=2).enable()
    ring_until(lambda: stays.ring(last.id, 1), lambda: last.rung(1), 'the last doorbell')
    ring_until(lambda: last.ring(0, 0), lambda: stays.rung(0), 'the last doorbell back')
    assert not stays.log and not last.log


def test_as_many_as_there_can_be(link, qemu, directory):
    """A QEMU rings and is rung on the last vector of the last slot."""
    path = directory / 'lab.sock'
    link(peers=PEERS, vectors=VECTORS)
    first = qemu(path, vectors=VECTORS).enable()
    others = []
    for _ in range(PEERS - 2):
        others.append(Client(path).handshake(PEERS, VECTORS))
        # All of them together would be more descriptors than a process may have
        others[-1].forget()
    last = qemu(path, vectors=VECTORS).enable()
    assert (first.id, last.id) == (0, PEERS - 1)
    ring_until(lambda: first.ring(PEERS - 1, VECTORS - 1),
               lambda: last.rung(VECTORS - 1), 'the doorbell to the last one')
    ring_until(lambda: last.ring(0, VECTORS - 1), lambda: first.rung(VECTORS - 1),
               'the doorbell to the first one')
    for other in others:
        assert other.nothing_comes()
        other.close()
    assert not first.log and not last.log
