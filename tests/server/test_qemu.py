# SPDX-License-Identifier: GPL-2.0-only
"""A real QEMU as the client: what it makes of the handshake, of a refusal, of
others that come and go, and of the server's death."""
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from .client import Client
from .process import processor_ticks, unprivileged
from .qemu import ring_until
from .test_hostile import HOG
from .waiting import wait_until


@pytest.fixture
def pair(link, qemu, directory):
    """A server, a QEMU in slot 0 and a raw client in slot 1."""
    path = directory / 'lab.sock'
    server = link('--verbose', peers=4, vectors=4, size='64K')
    machine = qemu(path).enable()
    with Client(path).handshake(4, 4) as client:
        yield server, machine, client


def test_device(pair):
    """ID, vectors and size are those of the link; memory and doorbells work
    both ways."""
    _, machine, client = pair
    assert (machine.id, client.id) == (0, 1)
    assert machine.read_config(0x40) >> 16 & 0x7ff == 4 - 1
    machine.poke(0x8000, b'from the machine')
    assert client.map()[0x8000:0x8010] == b'from the machine'
    client.map()[0xfff0:0x10000] = b'from the client.'
    assert machine.peek(0xfff0, 16) == b'from the client.'
    for vector in range(4):
        ring_until(lambda: client.ring(0, vector),
                   lambda: machine.rung(vector), f'vector {vector} of QEMU')
        ring_until(lambda: machine.ring(1, vector),
                   lambda: client.rung(vector), f'vector {vector} of ours')


def test_shown_options_work(link, qemu, directory):
    """What --show-qemu prints is what a QEMU needs, also with an odd path."""
    path = directory / "it's a, path.sock"
    server = link(socket=str(path).replace(',', ',,'), vectors=3)
    machine = qemu(str(path).replace(',', ',,'), vectors=3).enable()
    server.wait_log(f'slot 0: pid {machine.process.pid} .* joined')
    assert machine.read_config(0x40) >> 16 & 0x7ff == 3 - 1


def test_link_full(link, qemu, directory):
    """QEMU says what it got and exits; it does not spin."""
    path = directory / 'lab.sock'
    server = link(peers=2, vectors=1)
    with Client(path).handshake(2, 1), Client(path).handshake(2, 1):
        machine = qemu(path)
        assert machine.wait_exit() == 1
    assert 'server sent version -87, expecting 0' in machine.log
    server.wait_log(f'pid {machine.process.pid} .* was refused: all slots')


def test_server_stops_while_a_qemu_connects(link, qemu, directory):
    """It is refused as well, or served before the end."""
    path = directory / 'lab.sock'
    server = link(peers=2, vectors=1)
    server.process.send_signal(signal.SIGSTOP)
    machine = qemu(path)
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGCONT)
    # Too late for the socket, refused, or served: never half of it.
    try:
        machine.enable()
    except AssertionError:
        assert machine.wait_exit() == 1
        assert 'Failed to connect' in machine.log or \
            'server sent version -108, expecting 0' in machine.log


def test_other_vectors_than_the_link(link, qemu, directory):
    """A device may have more vectors than the link, or fewer: it lives, and
    works with the smaller number, for its own and for those of others."""
    path = directory / 'lab.sock'
    link(peers=2, vectors=2)
    more = qemu(path, vectors=8).enable()
    fewer = qemu(path, vectors=1).enable()
    ring_until(lambda: more.ring(1, 0), lambda: fewer.rung(0), 'the doorbell')
    ring_until(lambda: fewer.ring(0, 0), lambda: more.rung(0), 'the doorbell')
    ring_until(lambda: more.ring(0, 1), lambda: more.rung(1), 'the doorbell')
    assert 'Too many eventfd received, device has 1 vectors' in fewer.log
    assert not more.log


def test_server_killed(pair, qemu, directory):
    """The machines and host programs that have joined go on without it."""
    server, machine, client = pair
    second = qemu(directory / 'lab.sock').enable()
    ring_until(lambda: second.ring(0, 2), lambda: machine.rung(2),
               'the doorbell before')
    server.stop(signal.SIGKILL)
    for _ in range(3):
        ring_until(lambda: machine.ring(2, 1), lambda: second.rung(1),
                   'the doorbell from QEMU to QEMU')
        ring_until(lambda: machine.ring(1, 0), lambda: client.rung(0),
                   'the doorbell from QEMU')
        ring_until(lambda: client.ring(2, 3), lambda: second.rung(3),
                   'the doorbell to QEMU')
    second.poke(0, b'word')
    assert machine.peek(0, 4) == b'word'


def test_slots_are_used_again(pair, qemu, directory):
    """Twenty QEMUs come and go in the same slot.  To one that is told of such
    a change it is a use-after-free; the one that stays is not told, and
    still reaches each of them."""
    server, machine, client = pair
    path = directory / 'lab.sock'
    for turn in range(1, 21):
        guest = qemu(path).enable()
        assert guest.id == 2
        ring_until(lambda: machine.ring(2, 3), lambda: guest.rung(3),
                   f'the doorbell to guest {turn}')
        ring_until(lambda: guest.ring(0, 1), lambda: machine.rung(1),
                   f'the doorbell from guest {turn}')
        ring_until(lambda: guest.ring(1, 0), lambda: client.rung(0),
                   f'the doorbell to the host from guest {turn}')
        guest.kill()
        server.wait_log('slot 2: .* is gone', count=turn)
    assert machine.alive() and not machine.log
    ring_until(lambda: client.ring(0, 0), lambda: machine.rung(0),
               'the doorbell of the one that stayed')
    assert client.nothing_comes()


def test_unplug_after_others_left(link, qemu, directory):
    """A QEMU that was ever told of a peer's leaving frees memory twice when
    its device is unplugged (which malloc notices with 16 vectors, and not
    always with 4).  Here it does not."""
    path = directory / 'lab.sock'
    server = link('--verbose', peers=4, vectors=16)
    machine = qemu(path, vectors=16, machine='pc').enable()
    for turn in range(1, 4):
        with Client(path).handshake(4, 16) as other:
            ring_until(lambda: machine.ring(1, 0), lambda: other.rung(0),
                       'the doorbell of one that leaves')
        server.wait_log('slot 1: .* is gone', count=turn)
    machine.eject()
    assert machine.read_config(0) == 0xffffffff
    assert machine.alive() and not machine.log


def test_handshake_that_cannot_be_completed(link, qemu, directory):
    """Without descriptors to send, QEMU waits for the memory.  When the server
    gives up, it says so in a way that makes QEMU exit, and not spin."""
    path = directory / 'lab.sock'
    options = {'preexec_fn': lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (256, 256)), **unprivileged()}
    link('--handshake-timeout', '1', peers=2, vectors=2, mode='0666',
         options=options)
    with subprocess.Popen(['/usr/bin/python3', '-c', HOG],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          **unprivileged()) as hog:
        assert hog.stdout.readline() == b'full\n'
        machine = qemu(path)
        assert machine.wait_exit() == 1
        hog.stdin.close()
    assert 'server sent invalid message 65536' in machine.log


def connections(path) -> int:
    """Sockets with this name: the listening one, and one for each client."""
    lines = Path('/proc/net/unix').read_text().splitlines()
    return sum(line.endswith(f' {path}') for line in lines)


def test_dropped_behind_the_memory(link, qemu, directory):
    """A QEMU that stands still in the middle of its handshake is dropped.  It
    lives on with those doorbells that it knows, at no cost."""
    path = directory / 'lab.sock'
    server = link('--handshake-timeout', '1', peers=64, vectors=64)
    server.process.send_signal(signal.SIGSTOP)
    machine = qemu(path, vectors=64)
    wait_until(lambda: connections(path) == 2, 'QEMU to connect')
    machine.process.send_signal(signal.SIGSTOP)
    server.process.send_signal(signal.SIGCONT)
    server.wait_log('slot 0: .* was dropped: it does not read')
    machine.process.send_signal(signal.SIGCONT)
    machine.enable()
    assert machine.id == 0
    with Client(path).handshake(64, 64) as client:
        assert client.id == 0       # the slot is free again
    ticks = processor_ticks(machine.process.pid)
    # A QEMU that spins would use up its time slices meanwhile.
    for _ in range(3):
        with Client(path).handshake(64, 64):
            pass
    assert machine.read_config(0) == 0x11101af4
    assert processor_ticks(machine.process.pid) - ticks < 10
    assert machine.alive()
