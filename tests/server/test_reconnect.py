# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's own way to connect again, `reconnect=`: all that ivshmemd(8) says of it."""
import signal
from typing import Callable

import pytest

from .client import Client
from .manager import Manager
from .process import processor_ticks
from .qemu import Qemu, ring_until
from .test_qemu import connections
from .waiting import BOUND, wait_until

PEERS = 3
VECTORS = 2
SHAPE = {'peers': PEERS, 'vectors': VECTORS, 'size': '64K'}


@pytest.fixture
def again(request) -> str:
    """The option, as this QEMU has it: newer ones take milliseconds only."""
    newest = request.node.callspec.params['qemu'] == 'newest'
    return ',reconnect-ms=1000' if newest else ',reconnect=1'


@pytest.fixture
def plug(qemu, again, directory):
    """Start a QEMU, and plug the device in when its connection is there, for both ends."""
    def begin(log: Callable[[], str]) -> Qemu:
        machine = qemu(directory / 'lab.sock', vectors=VECTORS, machine='pc',
                       chardev=again, plugged=False)
        wait_until(lambda: f'pid {machine.process.pid} ' in log(), 'its connection')
        wait_until(machine.connected, 'it to know')
        return machine.plug().enable()
    return begin


@pytest.fixture
def manage(directory):
    """A manager that keeps a link's descriptors."""
    shape = ','.join(f'{key}={value}' for key, value in SHAPE.items())
    manager = Manager(directory, '--link', f'lab,socket={directory}/lab.sock,{shape}',
                      '--verbose')
    manager.start()
    yield manager
    manager.close()


def talk(machine: Qemu, client: Client) -> None:
    """Doorbells and memory work between both."""
    ring_until(lambda: machine.ring(client.id, 1), lambda: client.rung(1), 'the client')
    ring_until(lambda: client.ring(machine.id, 0), lambda: machine.rung(0), 'the machine')
    machine.poke(0x100, b'word')
    with client.map() as memory:
        assert memory[0x100:0x104] == b'word'
        memory[0x100:0x104] = bytes(4)


@pytest.mark.parametrize('served', [True, False], ids=['served', 'unserved'])
def test_a_device_from_the_start(link, qemu, again, directory, served: bool):
    """QEMU waits for what its main loop would read, which it has not come to: for ever,
    as busily as can be. It takes a slot if it can."""
    path = directory / 'lab.sock'
    server = link('--verbose', **SHAPE) if served else None
    machine = qemu(path, vectors=VECTORS, chardev=again)
    if server:
        server.wait_log(f'slot 0: pid {machine.process.pid} .* joined')
    # Much more than it takes to start
    wait_until(lambda: processor_ticks(machine.process.pid) > 100, 'it to spin', 4 * BOUND)
    assert machine.alive()
    if not server:
        link(**SHAPE)
        assert connections(path) == 1


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL],
                         ids=['stopped', 'killed'])
def test_a_server_that_goes_on(manage, plug, directory, number: int):
    """Where connections are kept there is none to be made again."""
    machine = plug(lambda: manage.log)
    with Client(directory / 'lab.sock').handshake(PEERS, VECTORS) as client:
        wait_until(lambda: manage.clients() == {0, 1}, 'both to be kept')
        for _ in range(3):
            manage.restart(number)
            talk(machine, client)
    assert manage.log.count(f'pid {machine.process.pid} (uid 0) connected') == 1
    assert machine.alive() and not machine.log


def test_a_server_that_begins_anew(link, plug, directory):
    """A QEMU in slot 0 connects again, and makes nothing of what it is sent: its peers
    are those that it had, and it is in the way of the new ones."""
    path = directory / 'lab.sock'
    first = link('--verbose', **SHAPE)
    machine = plug(lambda: first.log)
    with Client(path).handshake(PEERS, VECTORS) as client:
        first.stop(signal.SIGKILL)
        second = link('--verbose', **SHAPE)
        second.wait_log(f'slot 0: pid {machine.process.pid} .* joined')
        wait_until(lambda: machine.log.count('Too many eventfd') == PEERS * VECTORS,
                   'its complaints')
        assert 'server sent unexpected shared memory message' in machine.log
        talk(machine, client)
        with Client(path).handshake(PEERS, VECTORS) as stranger:
            assert stranger.id == 1
            machine.poke(0, b'word')
            with stranger.map() as memory:
                assert memory[:4] == bytes(4)
        ticks = processor_ticks(machine.process.pid)
        for _ in range(10):
            talk(machine, client)
        assert processor_ticks(machine.process.pid) - ticks < 100
    assert machine.alive()


def test_a_refusal(link, plug, directory):
    """It takes no harm from one, and asks again."""
    path = directory / 'lab.sock'
    first = link('--verbose', **SHAPE)
    machine = plug(lambda: first.log)
    with Client(path).handshake(PEERS, VECTORS) as client:
        first.stop(signal.SIGKILL)
        second = link('--verbose', allow='nobody', **SHAPE)
        refused = f'pid {machine.process.pid} .* was refused'
        second.wait_log(refused, count=2)
        talk(machine, client)
    assert 'server sent invalid message -13' in machine.log
    assert machine.alive()


def test_a_device_that_is_plugged_again(link, qemu, directory):
    """So a machine gets to a new server."""
    path = directory / 'lab.sock'
    first = link(**SHAPE)
    machine = qemu(path, vectors=VECTORS, machine='pc').enable()
    first.stop(signal.SIGKILL)
    link(**SHAPE)
    with Client(path).handshake(PEERS, VECTORS) as client:
        machine.monitor.negotiate()
        machine.eject()
        machine.monitor.wait_event('DEVICE_DELETED', BOUND)
        machine.connect(path)
        machine.plug().enable()
        assert (client.id, machine.id) == (0, 1)
        talk(machine, client)
    assert machine.alive() and not machine.log
