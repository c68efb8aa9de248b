# SPDX-License-Identifier: GPL-2.0-only
"""Servers that end and start again, while machines and programs stay connected."""
import mmap
import os
import signal
import subprocess
import threading

import pytest

from lab.paths import USERSPACE

from .client import Client
from .manager import Manager
from .qemu import ring_until
from .waiting import BOUND, wait_until

TOOL = USERSPACE / 'tools/ivshmem/ivshmem'
PEERS = 4
VECTORS = 2

ENDS = pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL],
                               ids=['stopped', 'killed'])


@pytest.fixture
def manage(directory):
    """Start a manager with one link, given by its keys."""
    managers: list[Manager] = []

    def begin(*arguments: str, **keys) -> Manager:
        keys = {'socket': directory / 'lab.sock', 'peers': PEERS, 'vectors': VECTORS, **keys}
        settings = ','.join(f'{key}={value}' for key, value in keys.items())
        managers.append(Manager(directory, '--link', f'lab,{settings}', *arguments))
        managers[-1].start()
        return managers[-1]

    yield begin
    for manager in managers:
        manager.close()


@pytest.fixture
def join(directory):
    """Connect clients, which are closed at the end."""
    clients: list[Client] = []

    def begin(peers: int = PEERS) -> Client:
        clients.append(Client(directory / 'lab.sock').handshake(peers, VECTORS))
        return clients[-1]

    yield begin
    for client in clients:
        client.close()


def word(client: Client) -> int:
    """The first word of the memory."""
    with mmap.mmap(client.memory, 4096) as memory:
        return int.from_bytes(memory[:4], 'little')


def set_word(client: Client, value: int) -> None:
    """Write it."""
    with mmap.mmap(client.memory, 4096) as memory:
        memory[:4] = value.to_bytes(4, 'little')


@pytest.mark.attack('A45')
@ENDS
def test_clients_stay(manage, join, number):
    """They meet who comes later, in the same memory, by the same doorbells."""
    manager = manage()
    first, second = join(), join()
    set_word(first, 7)
    wait_until(lambda: manager.clients() == {0, 1}, 'both to be kept')
    for turn in range(3):
        manager.restart(number)
        assert first.nothing_comes() and second.nothing_comes()
        third = join()
        assert third.id == 2
        assert word(third) == 7 + turn
        set_word(third, 8 + turn)
        third.ring(1, 1)
        wait_until(lambda: second.rung(1), 'the doorbell of the new one')
        second.ring(2, 0)
        wait_until(lambda: third.rung(0), 'the doorbell to the new one')
        wait_until(lambda: manager.clients() == {0, 1, 2}, 'the third to be kept')
        third.close()
        wait_until(lambda: manager.clients() == {0, 1}, 'the third to be forgotten')
    assert manager.log.count('goes on where an earlier server ended, with 2 clients') == 3


@ENDS
def test_ends_are_seen_afterwards(manage, join, number):
    """Of those who end while there is no server, and of those who end later."""
    manager = manage()
    first, second, third = join(), join(), join()
    wait_until(lambda: manager.clients() == {0, 1, 2}, 'all to be kept')
    manager.stop(number)
    second.close()
    manager.start()
    wait_until(lambda: 'slot 1: ' in manager.log.split('goes on')[1], 'the end of the second')
    first.close()
    wait_until(lambda: manager.clients() == {2}, 'both to be forgotten')
    assert [join().id, join().id, join().id] == [0, 1, 3]
    assert third.nothing_comes()


@pytest.fixture
def killed():
    """A peer that is to be killed; a function that starts it."""
    running: list[subprocess.Popen] = []

    def begin(address: str) -> subprocess.Popen:
        running.append(subprocess.Popen([TOOL, 'peers', address, '--join', '--watch',
                                         '--name', 'killed'], stdout=subprocess.DEVNULL))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait(BOUND)


@ENDS
def test_the_region_says_what_has_happened(manage, directory, ivshmem, killed, number):
    """Nothing, to those who have stayed; who was killed meanwhile has gone."""
    manager = manage(layout='raw', size='1M')
    address = f'unix:{directory}/lab.sock'
    with ivshmem.open(address) as handle:
        handle.join('stays')
        process = killed(address)
        wait_until(lambda: handle.peer(1).state == ivshmem.PeerState.ALIVE, 'the other one')
        wait_until(lambda: manager.clients() == {0, 1}, 'both to be kept')
        before = [str(peer) for peer in handle.peers()]
        for _ in range(3):
            manager.restart(number)
            assert [str(peer) for peer in handle.peers()] == before
        generation = handle.peer(1).generation
        manager.stop(number)
        process.kill()
        process.wait(BOUND)
        manager.start()
        wait_until(lambda: handle.peer(1).state == ivshmem.PeerState.ABSENT,
                   'the other one to be gone')
        assert 'without having left the region' in manager.log
        killed(address)
        wait_until(lambda: handle.peer(1).state == ivshmem.PeerState.ALIVE, 'the next one')
        assert handle.peer(1).generation == generation + 1


@pytest.mark.attack('A45')
def test_no_message_is_lost(manage, directory, ivshmem):
    """Of a stream in a channel, while servers end and start again."""
    manager = manage(layout='raw', size='1M')
    address = f'unix:{directory}/lab.sock'
    messages = 20000
    with ivshmem.open(address) as first, ivshmem.open(address) as second:
        first.join('first')
        second.join('second')
        wait_until(lambda: manager.clients() == {0, 1}, 'both to be kept')
        done = threading.Event()

        def send() -> None:
            with first.channel(1) as channel:
                channel.connect(BOUND)
                for count in range(messages):
                    channel.send(count.to_bytes(4, 'little'), kind=1)
                while not done.is_set():
                    channel.send(b'', kind=2)
                channel.send(b'', kind=3)
                channel.drain(BOUND)

        sender = threading.Thread(target=send)
        sender.start()
        received: list[int] = []

        def receive() -> None:
            with second.channel(0) as channel:
                channel.connect(BOUND)
                while (message := channel.recv(BOUND)).kind != 3:
                    if message.kind == 1:
                        received.append(int.from_bytes(message.data, 'little'))

        receiver = threading.Thread(target=receive)
        receiver.start()
        for number in (signal.SIGTERM, signal.SIGKILL) * 3:
            manager.restart(number)
        done.set()
        sender.join(BOUND)
        receiver.join(BOUND)
    assert received == list(range(messages))


@ENDS
def test_a_machine_stays(manage, directory, qemu, number):
    """QEMU notices nothing, and its end is noticed."""
    manager = manage()
    path = directory / 'lab.sock'
    machine = qemu(path, vectors=VECTORS).enable()
    wait_until(lambda: manager.clients() == {0}, 'it to be kept')
    for _ in range(3):
        manager.restart(number)
    other = qemu(path, vectors=VECTORS).enable()
    assert other.id == 1
    ring_until(lambda: machine.ring(1, 1), lambda: other.rung(1), 'the doorbell')
    ring_until(lambda: other.ring(0, 0), lambda: machine.rung(0), 'the doorbell back')
    assert machine.alive() and not machine.log
    machine.kill()
    wait_until(lambda: manager.clients() == {1}, 'its end')


@pytest.mark.parametrize('change', [{'peers': 8}, {'vectors': 1}, {'size': '8M'}],
                         ids=lambda change: next(iter(change)))
def test_another_shape_is_another_memory(manage, join, directory, change):
    """What does not fit any more is given up, and said."""
    manager = manage()
    first = join()
    set_word(first, 7)
    wait_until(lambda: manager.clients() == {0}, 'it to be kept')
    keys = {'peers': PEERS, 'vectors': VECTORS, **change}
    words = ','.join(f'{key}={value}' for key, value in keys.items())
    manager.arguments = ('--link', f'lab,socket={directory}/lab.sock,{words}')
    manager.restart()
    assert 'link lab: the memory of the server before is given up' in manager.log
    wait_until(lambda: not manager.clients(), 'it to be forgotten')
    with Client(directory / 'lab.sock') as client:
        client.handshake(keys['peers'], keys['vectors'])
        assert client.id == 0 and word(client) == 0
    wait_until(lambda: len([name for name in manager.held if '/client/' not in name]) ==
               1 + keys['peers'] * keys['vectors'], 'the rest to be forgotten')


def test_a_link_that_is_gone_is_not_kept(manage, directory):
    """By a reload, or when the next server does not have it."""
    path = directory / 'links.conf'
    two = ''.join(f'[link {name}]\nsocket = {directory}/{name}.sock\npeers = 2\nvectors = 1\n'
                  for name in ('one', 'two'))
    path.write_text(two)
    manager = manage('--config', str(path))
    assert {name.split('/')[1] for name in manager.held} == {'lab', 'one', 'two'}
    path.write_text(two.split('[link two]')[0])
    manager.process.send_signal(signal.SIGHUP)
    wait_until(lambda: {name.split('/')[1] for name in manager.held} == {'lab', 'one'},
               'the link to be forgotten')
    manager.arguments = manager.arguments[:2]
    manager.restart()
    assert {name.split('/')[1] for name in manager.held} == {'lab'}
    assert 'link one: the memory of the server before is given up' in manager.log


def test_a_manager_that_does_not_read(manage, join):
    """Clients come and go as ever; it is told later what holds then."""
    manager = manage()
    stays = join()
    wait_until(lambda: manager.clients() == {0}, 'it to be kept')
    manager.reads.clear()
    for _ in range(300):
        join().close()
    last = join()
    assert not manager.clients() - {0, 1}
    manager.reads.set()
    wait_until(lambda: manager.clients() == {0, last.id}, 'the manager to be right')
    assert stays.nothing_comes()


@ENDS
def test_a_client_in_its_handshake_has_to_join_again(manage, directory, number):
    """Nobody knows which doorbells it has; it is told, and its slot is free."""
    manager = manage(peers=32, vectors=64)
    path = directory / 'lab.sock'
    with Client(path) as slow:
        assert [slow.message()[0] for _ in range(2)] == [0, 0]
        _, slow.memory = slow.message()
        wait_until(lambda: manager.clients() == {0}, 'it to be kept')
        manager.restart(number)
        assert slow.drain() < 32 * 64
        assert 'was in its handshake when the server before ended' in manager.log
        with Client(path) as other:
            other.handshake(32, 64)
            assert other.id == 0
    wait_until(lambda: not manager.clients(), 'both to be forgotten')


def test_more_than_the_manager_keeps(manage, join):
    """The link is not kept in part, which is said; it is new after a restart."""
    manager = manage()
    manager.stop()
    manager.forget()
    # Memory, doorbells, clients
    manager.start(FDSTORE=str(PEERS * VECTORS + PEERS))
    assert 'link lab: it does not outlive this server: 13 more descriptors' in manager.log
    first = join()
    assert not manager.held
    manager.restart()
    wait_until(lambda: not first.nothing_comes(), 'the end of the connection')
    assert join().id == 0


@pytest.mark.parametrize('change', ['memory=file:{}/memory', 'numa=0', 'layout=raw'])
def test_other_settings_are_another_memory(manage, join, directory, change):
    """As in a restart without a manager."""
    manager = manage()
    join()
    wait_until(lambda: manager.clients() == {0}, 'it to be kept')
    manager.arguments = (*manager.arguments[:-1], manager.arguments[-1] + ',' +
                         change.format(directory))
    manager.restart()
    assert 'the memory of the server before is given up' in manager.log
    assert join().id == 0


def test_a_name_of_another_version_is_left_alone(manage, join):
    """It is no reason not to serve."""
    manager = manage()
    manager.held['store/lab/future/1'] = [os.open('/dev/null', os.O_RDONLY)]
    manager.restart()
    assert 'the service manager has kept "store/lab/future/1", which is of another version' \
        in manager.log
    assert join().id == 0


def test_nothing_is_kept_unasked(manage, join):
    """Where the manager does not say that it keeps descriptors."""
    manager = manage()
    manager.stop()
    manager.forget()
    manager.start(FDSTORE='')
    join()
    manager.restart()
    assert not any('/client/' in name for name in manager.held)
