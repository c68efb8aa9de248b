# SPDX-License-Identifier: GPL-2.0-only
"""ivshmem top on a host: real transfers, hostile memory, and its keys in a terminal."""
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.net.wire import Segment
from tests.region_image import Member, Memory
from tests.server.waiting import wait_until
from tests.vm.peer import Peer

from .program import BOUND, Running, program, run, run_json

# At ten a second
LOOKS = 600
LAYOUT = 'raw=lab:1M,,net=lan:4M'


@pytest.fixture
def server(serve: Callable[..., Any]) -> Any:
    """A link of four peers that is formatted."""
    return serve(peers=4, vectors=4, size='16M', layout=LAYOUT)


class Looks:
    """What a running top prints, a look at a time."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def next(self) -> list[dict]:
        """The devices at the next look."""
        line = self.running.line()
        assert line, self.running.said
        return json.loads(line)['devices']

    def until(self, condition: Callable[[dict], Any]) -> dict:
        """The first device, once it is as it should be."""
        for _ in range(LOOKS):
            device = self.next()[0]
            if condition(device):
                return device
        raise AssertionError(f'{LOOKS} looks in vain: {device}')


@pytest.fixture
def looks(start: Callable[..., Running]) -> Callable[..., Looks]:
    """Start top in the background."""
    return lambda *arguments: Looks(start('top', '--json', '-d', '0.1', *arguments))


def test_doorbells_are_counted(link: str, looks):
    # Nobody else rings: of an unformatted region the server says nothing.
    top = looks(link)
    first = top.next()[0]
    assert (first['device'], first['received'], first['vectors']) == (link, 0, 4)
    assert (first['rung'], first['region']) == (None, 'unformatted')
    run('ring', link, '0', '2', '--count', '37')
    run('ring', link, '0', '0', '--count', '5')
    assert top.until(lambda device: device['received'] >= 42)['received'] == 42
    rates = [top.next()[0]['received_per_second'] for _ in range(2)]
    assert rates == [0, 0]


@pytest.fixture
def stream(server: Any, start) -> tuple[Running, int]:
    """A receiver that waits for somebody to read what it has got, and its slot."""
    receiver = start('recv', server.address, '--name', 'to')
    peer, = wait_until(lambda: run_json('peers', server.address)['peers'], 'the receiver', BOUND)
    start('send', server.address, peer['slot'], '/dev/zero', '--name', 'from')
    return receiver, peer['slot']


def test_bytes_and_fill_of_a_link(server: Any, stream, looks):
    receiver, slot = stream
    top = looks(server.address)

    def there(device: dict) -> dict[str, Any] | None:
        links = [link for link in device['links'] if link['to'] == slot]
        return links[0] if links else None

    def stands_still(device: dict) -> bool:
        link = there(device)
        return bool(link and link['fill'] > link['ring_bytes'] / 2
                    and link['bytes_per_second'] == 0)

    device = top.until(stands_still)
    before = there(device)
    assert before and (before['name'], before['state']) == ('lab', 'up')
    assert before['fill'] <= before['ring_bytes'] == 65536
    assert before['frames'] is None
    assert sorted(peer['name'] for peer in device['peers']) == ['from', 'to']
    read = len(receiver.process.stdout.buffer.read(1 << 20))

    def grown(device: dict) -> int:
        return (there(device)['bytes'] - before['bytes']) % (1 << 32)

    # Beside what was read: what the receiver, its pipe and the ring hold, and headers.
    after = top.until(lambda device: grown(device) >= read - (1 << 18)
                      and stands_still(device))
    assert grown(after) <= read * 1.2 + (1 << 18)


@pytest.fixture
def memory(server: Any) -> Iterator[Memory]:
    """The region, as one sees it who may write anything there; in slot 0."""
    peer = Peer(server.socket)
    with Memory(peer.memory) as opened:
        yield opened


@pytest.mark.attack('A11', 'A46')
def test_impossible_words_are_bounded(server: Any, looks, memory: Memory):
    segment = Segment.find(memory, 'lan')
    for one, other in ((1, 2), (2, 1)):
        memory.store(segment.link(one, other), 100 + one)
        memory.store(segment.link(one, other) + 4, 100 + other)
    memory.store(segment.tx(1, 2, 0), 0xfffffff0)
    memory.store(segment.rx(1, 2, 0), 0x1000)
    memory.store(segment.tx(2, 1, 0), 0x40)
    links = looks(server.address).until(lambda device: device['links'])['links']
    assert [(link['from'], link['to'], link['state']) for link in links] == [
        (1, 2, 'broken'), (2, 1, 'up')]
    assert links[0]['fill'] == links[0]['ring_bytes']
    assert links[1]['fill'] == links[1]['bytes'] == 0x40


@pytest.mark.attack('A08', 'A46')
def test_a_name_does_not_write_to_the_terminal(server: Any, memory: Memory):
    Member(memory, 0, name='\x1b[2J\x07\x9b\x7fX').join()
    text = run('top', '-b', '-n', '1', '-d', '0.1', server.address)
    assert '?[2J' in text
    assert all(letter == '\n' or ' ' <= letter <= '~' for letter in text)


def test_links_come_and_go(directory: Path, serve, looks):
    address = f'unix:{directory}/late.sock'
    top = looks(address)
    assert 'no such socket' in top.next()[0]['lacks']
    late = serve(peers=2, vectors=1, layout='raw')
    late.socket.rename(directory / 'late.sock')
    device = top.until(lambda device: device['region'] == 'formatted')
    assert device['lacks'] is None
    run('format', address, 'raw=a:64K,raw=b:64K', '--force')
    assert top.until(lambda device: device['region'] == 'formatted')['slots'] == 2


def test_a_server_goes_and_another_one_comes(serve, looks):
    """What the old one's peers still have mapped is not shown as if it were there."""
    old = serve(peers=2, vectors=1, layout='raw')
    top = looks(old.address)
    assert top.next()[0]['slots'] == 2
    old.stop()
    assert 'no such socket' in top.until(lambda device: device['lacks'])['lacks']
    new = serve(peers=4, vectors=1, layout='raw')
    new.socket.rename(old.socket)
    top.until(lambda device: device['slots'] == 4)
    # Killed, so that its socket remains until the next one replaces it.
    new.kill()
    other = serve(peers=3, vectors=1, layout='raw')
    other.socket.rename(old.socket)
    top.until(lambda device: device['slots'] == 3)


def test_what_cannot_be_opened_is_left_alone_for_longer(hostile):
    """After 5 seconds, 10, 20 and so on: the test has not the time for a fifth."""
    useless = hostile()
    run('top', '-b', '-n', '30', '-d', '0.1', useless.address)
    assert 1 <= len(useless.clients) <= 4


@pytest.mark.attack('A44', 'A46')
def test_memory_that_is_made_smaller(directory: Path, serve, looks):
    """The directory is there still, and the sections are not."""
    path = directory / 'memory'
    server = serve(peers=4, vectors=1, size='16M', layout=LAYOUT,
                   memory=f'file:{path}')
    top = looks(server.address)
    assert top.next()[0]['lacks'] is None
    os.truncate(path, 6 * 4096)
    device = top.until(lambda device: device['lacks'])
    assert 'its memory is gone' in device['lacks']
    assert (device['region'], device['slots']) == ('formatted', 4)
    os.truncate(path, 16 << 20)
    assert top.until(lambda device: not device['lacks'])


def test_batch_has_tables(server: Any):
    text = run('top', '--batch', '--count', '2', '--delay', '0.1', server.address, 'unix:/none')
    head, own, other = text.splitlines()[:3]
    assert head.split() == ['DEVICE', 'MEMORY', 'REGION', 'SLOT', 'PEERS', 'LINKS',
                            'RECVD/s', 'RUNG/s']
    assert own.split()[-8:] == ['16', 'MiB', 'formatted', '0', '0', '0', '0', '-']
    assert other.split()[:2] == ['unix:/none', '-']
    assert text.count('DEVICE') == 2
    assert 'not shown: no such socket; start ivshmemd' in text


def test_no_terminal():
    assert '-b prints without one' in run('top', status=1)


def test_a_chosen_driver():
    """It is for the only PCI device, of which a host has none."""
    assert 'there is no ivshmem device' in run('--driver', 'pci', 'top', '-b', status=1)


def test_ctrl_c_ends_batch(server: Any, start):
    running = start('top', '-b', '-d', '0.1', server.address)
    assert running.line()
    running.interrupt()
    running.end()


class Terminal:
    """tmux, with a program in it."""

    def __init__(self, path: Path, *command: Any) -> None:
        self.path = path
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '80', '-y', '24',
                  ' '.join(map(str, command)) + '; echo "ended $?"; read -r _')

    def tmux(self, *arguments: str) -> str:
        """Run a command of tmux; what it printed."""
        return subprocess.run(['tmux', '-S', self.path, *arguments], check=True, text=True,
                              capture_output=True, timeout=BOUND).stdout

    @property
    def screen(self) -> str:
        """What is shown."""
        return self.tmux('capture-pane', '-p')

    def expect(self, *texts: str, without: str = '\0') -> str:
        """Wait until all of it is shown."""
        wait_until(lambda: all(text in self.screen for text in texts)
                   and without not in self.screen, f'{texts} on the screen', BOUND)
        return self.screen

    def press(self, *keys: str) -> None:
        """Press keys."""
        self.tmux('send-keys', *keys)

    def close(self) -> None:
        """End it."""
        self.tmux('kill-server')


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Start a program in a terminal."""
    opened: list[Terminal] = []

    def begin(*command: Any) -> Terminal:
        opened.append(Terminal(tmp_path / 'tmux', *command))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def test_keys(server: Any, terminal, memory: Memory):
    Member(memory, 0, name='somebody').join()
    screen = terminal(program(), 'top', '-d', '0.2', 'unix:/none', server.address)
    screen.expect('ivshmem top - ', 'every 0.2 s, by name', 'no such socket')
    screen.press('Down')
    screen.expect('somebody', 'alive', without='no such socket')
    screen.press('h')
    screen.expect('PgUp, PgDn', without='DEVICE')
    screen.press('h', 's')
    screen.expect('by rate', 'DEVICE')
    screen.press('s', 'p')
    screen.expect('by fill, PAUSED')
    screen.press('p', 'Up')
    screen.expect('no such socket', without='PAUSED')
    screen.press('q')
    screen.expect('ended 0', without='DEVICE')


def test_resize(server: Any, terminal, memory: Memory):
    Member(memory, 0, name='somebody').join()
    screen = terminal(program(), 'top', '-d', '0.2', server.address)
    screen.expect('somebody', 'RUNG/s')
    for width, height in ((20, 5), (1, 1), (200, 60)):
        screen.tmux('resize-window', '-x', str(width), '-y', str(height))
    screen.expect('somebody', 'RUNG/s', 'h help, q quit')
    screen.press('q')
    screen.expect('ended 0')


def test_impatience_leaves_the_terminal_as_it_was(hostile, terminal):
    """The second signal ends it while it waits for a server that does not answer."""
    silent = hostile(stays=True)
    # By many names, as each is given up after seconds.
    names = [silent.address.replace('/hostile', '/.' * n + '/hostile') for n in range(8)]
    screen = terminal('trap : INT QUIT; ulimit -c 0;', program(), 'top', *names)
    wait_until(lambda: silent.clients, 'top to connect', BOUND)
    screen.expect('ivshmem top - ', 'opening all there are')
    screen.press('C-c', 'C-\\')
    screen.expect('ended 13')
    screen.press('e', 'c', 'h', 'o', 'e', 'd')
    screen.expect('ended 13', 'echoed')


def test_unknown_terminal(terminal):
    terminal('env', 'TERM=nonsense', program(), 'top', 'unix:/none').expect(
        '-b prints without one', 'ended 1')
