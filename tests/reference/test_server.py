# SPDX-License-Identifier: GPL-2.0-only
"""Our library and our guests at QEMU's ivshmem-server."""

import errno
import re
import threading

import pytest

from lab import ivshmem_doorbell
from lab.agent import poll_until
from lab.paths import USERSPACE
from tests.cli.program import run
from tests.net.card import Card, meet, together, transfer

from .programs import BOUND, ReferenceServer

TOOL = USERSPACE / "tools/ivshmem/ivshmem"
NODE = "/dev/ivshmem0"
VECTORS = 2
MIB = 1 << 20


@pytest.fixture
def server():
    """A link of 4 MiB."""
    with ReferenceServer(vectors=VECTORS) as running:
        yield running


def wait_known(handle, peer):
    """Wait until a handle was told of a peer's doorbells."""
    def known():
        try:
            return handle.peer_vectors(peer) == VECTORS
        except OSError as error:
            assert error.errno == errno.ENXIO
            return False
    poll_until(known, BOUND, f"peer {peer}")


def wait_gone(handle, peer):
    """Wait until a handle knows of no such peer: the server tells who comes and who goes in
    any order."""
    def gone():
        try:
            handle.ring(peer, 0)
        except OSError as error:
            assert error.errno == errno.ENXIO
            return True
        return False
    poll_until(gone, BOUND, f"peer {peer} leaves")


def test_peers_come_and_go(ivshmem, server):
    """Each is told of the others; an id is nobody's again, and then another one comes."""
    with ivshmem.open(server.address) as first:
        with ivshmem.open(server.address) as second:
            assert (first.info.peer_id, second.info.peer_id) == (0, 1)
            wait_known(first, 1)
            wait_known(second, 0)
            first.ring(1, 1)
            assert second.wait(BOUND) == [ivshmem.Event(1, 1)]
            second.ring(0, 0)
            assert first.wait(BOUND) == [ivshmem.Event(0, 1)]
            first.map()[-1:] = b"x"
            assert bytes(second.map()[-1:]) == b"x"
        with ivshmem.open(server.address) as third:
            assert third.info.peer_id == 2
            wait_known(first, 2)
            wait_gone(first, 1)


def test_channels(ivshmem, server):
    """There is no directory of the server's: a heartbeat tells who is there."""
    with ivshmem.open(server.address) as first, ivshmem.open(server.address) as second:
        first.format("raw=lab", slots=2)
        first.join("first")
        second.join("second")
        with first.channel(1) as sender, second.channel(0) as receiver:
            connecting = threading.Thread(target=sender.connect)
            connecting.start()
            receiver.connect(BOUND)
            connecting.join(BOUND)
            data = bytes(range(256)) * 1000
            for count in range(10):
                sender.send(data, count)
                assert receiver.recv(BOUND) == ivshmem.Message(data, count)
            first.close()
            with pytest.raises(ConnectionResetError):
                receiver.recv(BOUND)


def test_the_end_of_the_server(ivshmem, server):
    """Those who have joined go on with each other."""
    with ivshmem.open(server.address) as first, ivshmem.open(server.address) as second:
        wait_known(first, 1)
        assert server.end() == 0
        first.ring(1, 1)
        assert second.wait(BOUND) == [ivshmem.Event(1, 1)]


@pytest.fixture(scope="module")
def link():
    """A link of 64 MiB, for guests."""
    with ReferenceServer(str(64 * MIB), vectors=4) as running:
        yield running


@pytest.fixture(scope="module")
def pair(module_vms, link):
    """Two guests with our drivers, whose ids are their slots."""
    machines = []
    for name in ("first", "second"):
        # One after the other: the second one is told of the first, which is told of it
        # while it runs already
        machines.append(module_vms(name, devices=[ivshmem_doorbell(link, 4, addr="0x10")]))
        machines[-1].load_driver()
    machines[0].run(f"{TOOL} format {NODE} net=lan:32M,raw=lab --peers 3")
    return [Card(vm, number) for number, vm in enumerate(machines, 1)]


def test_network_between_guests(pair):
    """Pings without a loss, and files with their checksums."""
    together(Card.insert, pair)
    meet(pair)
    for card, other in (pair, pair[::-1]):
        card.ping(other.address, 5)
        transfer(card, other, 4 * MIB)
    rung = pair[0].vm.run("cat /sys/kernel/debug/ivshmem/ivshmem0/state").stdout
    assert any(int(count) for count in re.findall(r"\bcount (\d+)", rung)), rung


def test_channel_between_guest_and_host(pair, link):
    """A file that the host sends is whole in the guest."""
    guest = pair[0].vm
    data = guest.share / "data"
    data.write_bytes(bytes(range(256)) * 4096)
    receives = guest.spawn(f"exec {TOOL} recv {NODE} -o /run/got")
    run("send", link.address, "0", data)
    receives.wait(BOUND)
    guest.run("cmp /run/got /mnt/share/data")
