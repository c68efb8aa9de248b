# SPDX-License-Identifier: GPL-2.0-only
"""The configuration is read again while links are served."""
import grp
import os
import re
import resource
import signal
import stat
from pathlib import Path

import pytest

from .client import (REFUSED_PERMISSION, REFUSED_SHUTDOWN, Client, refusal)
from .process import unprivileged
from .waiting import wait_until


class Reloading:
    """A server whose configuration changes."""

    def __init__(self, directory: Path, serve):
        self.directory = directory
        self.path = directory / 'test.conf'
        self.serve = serve
        self.server = None

    def link(self, name: str, *lines: str) -> str:
        """A section of a small link whose socket is in the directory."""
        small = [] if any('peers' in line for line in lines) else \
            ['peers=2', 'vectors=1', 'size=4K']
        where = [] if any('socket' in line for line in lines) else \
            [f'socket={self.socket(name)}']
        return '\n'.join([f'[link {name}]', *where, *small, *lines, ''])

    def socket(self, name: str) -> Path:
        """Where the link of that name usually is."""
        return self.directory / f'{name}.sock'

    def write(self, *sections: str) -> None:
        """Write the configuration."""
        self.path.write_text(''.join(sections))

    def start(self, *sections: str, **options) -> 'Reloading':
        """Write it, and start the server with it."""
        self.write(*sections)
        self.server = self.serve('--config', self.path, **options)
        return self

    def hang_up(self) -> None:
        """Have the server read it; returns when it has."""
        self.server.notifications = []
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_notification('READY=1')

    def reload(self, *sections: str) -> None:
        """Write another one, which must be taken."""
        self.write(*sections)
        count = self.server.log.count('ivshmemd: reloaded: ')
        self.hang_up()
        assert self.server.log.count('ivshmemd: reloaded: ') == count + 1, \
            self.server.log

    def refused(self, *sections: str) -> str:
        """Write another one, which must not be taken; what the server says,
        to the log and as its status."""
        self.write(*sections)
        count = self.server.log.count('ivshmemd: reloaded: ')
        self.hang_up()
        assert self.server.log.count('ivshmemd: reloaded: ') == count
        said = re.findall('not reloaded, everything stays as it was: (.*)',
                          self.server.log)[-1]
        assert '; not reloaded: ' + said in self.server.notifications[-1]
        return said


@pytest.fixture
def reloading(directory, serve):
    """A server to start with a configuration that will change."""
    return Reloading(directory, serve)


def talk(one: Client, other: Client) -> None:
    """Both have the same memory and each other's doorbells."""
    with one.map() as mine, other.map() as theirs:
        mine[7] = (mine[7] + 1) % 256
        assert theirs[7] == mine[7]
    one.ring(other.id, 0)
    assert other.wait_rung(0) == 1
    other.ring(one.id, 0)
    assert one.wait_rung(0) == 1


def test_links_come_and_go(reloading):
    """New ones are served, those that are gone end as with the server, and
    clients of all others notice nothing."""
    link, socket = reloading.link, reloading.socket
    server = reloading.start(link('stays', 'peers=3', 'vectors=1'),
                             link('goes')).server
    with Client(socket('stays')).handshake(3, 1) as one, \
            Client(socket('stays')).handshake(3, 1) as other, \
            Client(socket('goes')).handshake(2, 1) as gone:
        gone.map()[0:2] = b'ok'
        reloading.reload(link('stays', 'peers=3', 'vectors=1'), link('comes'))
        assert gone.message() is None
        # What they have stays theirs.
        assert gone.map()[0:2] == b'ok'
        assert not list(reloading.directory.glob('goes.sock*'))
        assert one.nothing_comes() and other.nothing_comes()
        talk(one, other)
        with Client(socket('stays')).handshake(3, 1) as third:
            assert third.id == 2
            talk(one, third)
        with Client(socket('comes')).handshake(2, 1) as fresh:
            assert fresh.id == 0
    assert 'link goes: it is gone from the configuration' in server.log
    assert 'without having left' not in server.log


def test_everything_is_freed(reloading):
    """Links that come and go leave no descriptor, no file and no mapping."""
    link, socket = reloading.link, reloading.socket
    formatted = link('goes', 'peers=4', 'vectors=4', 'size=1M', 'layout=auto')
    server = reloading.start(link('stays')).server

    def kept() -> tuple[list[int], int]:
        maps = Path(f'/proc/{server.pid}/maps').read_text()
        return server.descriptors(), maps.count('memfd:ivshmem')

    with Client(socket('stays')).handshake(2, 1) as witness:
        server.wait_log('slot 0: .* joined')
        server.wait_idle()
        before = kept()
        for _ in range(20):
            reloading.reload(link('stays'), formatted)
            assert kept() != before
            with Client(socket('goes')).handshake(4, 4) as client, \
                    Client(socket('goes')) as sleeper:
                assert sleeper.message() == (0, None)
                reloading.reload(link('stays'))
                assert client.message() is None
                assert sleeper.drain() == 2 + 16
            wait_until(lambda: kept() == before,
                       'descriptors and mappings to be those of before')
        assert sorted(path.name for path in reloading.directory.glob('*.so*')
                      ) == ['stays.sock', 'stays.sock.lock']
        with Client(socket('stays')).handshake(2, 1) as client:
            talk(witness, client)


def test_hang_up_without_a_change(reloading):
    """Nothing happens, however often."""
    link, socket = reloading.link, reloading.socket
    server = reloading.start(link('a'), link('b')).server
    with Client(socket('a')).handshake(2, 1) as client, \
            Client(socket('a')).handshake(2, 1) as other:
        server.wait_log('slot 1: .* joined')
        server.wait_idle()
        before = server.descriptors()
        for _ in range(100):
            server.process.send_signal(signal.SIGHUP)
        server.wait_log('reloaded: 2 links')
        server.wait_idle()
        assert server.descriptors() == before
        assert client.nothing_comes() and other.nothing_comes()
        talk(client, other)
    assert 'is gone from the configuration' not in server.log


def test_service_manager_is_told(reloading):
    """That the configuration is being read, since when, and that it was."""
    server = reloading.start(reloading.link('a')).server
    reloading.hang_up()
    texts = server.notifications
    began = next(text for text in texts if 'RELOADING=1' in text)
    assert re.fullmatch(r'RELOADING=1\nMONOTONIC_USEC=\d+', began)
    ended = next(text for text in texts if 'READY=1' in text)
    assert ended == 'READY=1\nSTATUS=1 link, 0 clients'
    assert texts.index(began) < texts.index(ended)


@pytest.mark.parametrize('change, expected', [
    ('[link b]\nsize=3M\n', '{path}:5: size=3M: not a power of two'),
    ('nonsense\n', '{path}:4: expected KEY = VALUE'),
    ('[link b]\ngroup=no such\n', '{path}:5: group=no such: there is no such'),
    ('[link b]\nsocket={directory}/a.sock\n',
     '{path}:4: socket={directory}/a.sock is already that of link a, defined '
     'by {path}:1'),
    ('[link b]\nsocket={directory}/busy\n', 'link b cannot be made'),
    ('[link b]\nsocket={directory}/b.sock\nmemory=file:{directory}/busy\n',
     'link b cannot be made'),
    ('[link new]\nsocket={directory}/new.sock\n'
     '[link b]\nsocket={directory}/none/b.sock\n', 'link b cannot be made'),
])
def test_mistake(reloading, change, expected):
    """Everything stays as it was, and the reason is said; after it has been
    put right, the reason is forgotten."""
    names = {'path': reloading.path, 'directory': reloading.directory}
    first = f'[link a]\nsocket={reloading.socket("a")}\npeers=2 ; and 4\n'
    server = reloading.start(first).server
    (reloading.directory / 'busy').write_text('precious')
    with Client(reloading.socket('a')).handshake(2, 4) as client:
        server.wait_log('slot 0: .* joined')
        server.wait_idle()
        before = server.descriptors()
        assert expected.format(**names) in reloading.refused(
            first, change.format(**names))
        server.wait_idle()
        assert server.descriptors() == before
        assert client.nothing_comes()
        assert (reloading.directory / 'busy').read_text() == 'precious'
        assert not list(reloading.directory.glob('new.sock*'))
        with Client(reloading.socket('a')).handshake(2, 4) as other:
            talk(client, other)
        reloading.reload(first, reloading.link('b'))
        assert 'not reloaded' not in server.notifications[-1]
    with Client(reloading.socket('b')).handshake(2, 1):
        pass


def test_missing_file(reloading):
    """A configuration that is not there any more is a mistake, too."""
    reloading.start(reloading.link('a'))
    reloading.path.unlink()
    reloading.hang_up()
    reloading.server.wait_log('not reloaded, .*: cannot open the config')
    with Client(reloading.socket('a')).handshake(2, 1):
        pass


def test_too_many_descriptors(reloading):
    """The limit is what it was at the start."""
    server = reloading.start(reloading.link('a'), prefix=[
        'prlimit', '--nofile=200:200']).server
    assert 'the links need ' in reloading.refused(
        reloading.link('a'), reloading.link('b', 'peers=64', 'vectors=4'))
    with Client(reloading.socket('a')).handshake(2, 1):
        server.wait_log('slot 0: .* joined')


FIXED = {'size': 'size=8K', 'peers': 'peers=3', 'vectors': 'vectors=2',
         'memory': 'memory=file:{directory}/memory',
         'layout': 'layout=raw=a', 'socket': 'socket={directory}/other.sock'}


@pytest.mark.parametrize('key', FIXED)
def test_what_cannot_change(reloading, key):
    """It is named, and stays; what can change takes effect all the same, and
    links beside it come and go."""
    settings = {'size': 'size=64K', 'peers': 'peers=2', 'vectors': 'vectors=1'}
    server = reloading.start(reloading.link('a', *settings.values())).server
    with Client(reloading.socket('a')).handshake(2, 1) as client:
        settings[key] = FIXED[key].format(directory=reloading.directory)
        if key == 'layout':
            settings['size'] = 'size=64K'
        reloading.reload(reloading.link('a', *settings.values(), 'mode=0600'),
                         reloading.link('b'))
        assert re.search('link a: what cannot change while it is served stays '
                         f'as it is: {key}; restart the server', server.log)
        assert client.nothing_comes()
        path = reloading.socket('a')
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with Client(path).handshake(2, 1) as other:
            talk(client, other)
            assert os.fstat(other.memory).st_size == 65536
    assert not (reloading.directory / 'memory').exists()
    assert not (reloading.directory / 'other.sock').exists()
    with Client(reloading.socket('b')).handshake(2, 1):
        pass


def test_layout_by_force_that_cannot_change(reloading):
    """What belongs to a layout stays with it."""
    settings = ('size=64K', 'peers=2', 'vectors=1')
    server = reloading.start(reloading.link('a', *settings)).server
    reloading.reload(reloading.link('a', *settings, 'layout=raw=a', 'layout-force=yes',
                                    'mode=0600'))
    assert 'stays as it is: layout; restart' in server.log
    assert stat.S_IMODE(reloading.socket('a').stat().st_mode) == 0o600


def test_several_that_cannot_change(reloading):
    """All of them are named; and a place that such a link keeps is not free
    for another one."""
    server = reloading.start(reloading.link('a', 'peers=2', 'vectors=1')).server
    changed = reloading.link('a', 'peers=3', 'vectors=2', 'size=1M',
                             f'socket={reloading.socket("x")}')
    reloading.reload(changed)
    assert 'stays as it is: socket, size, peers, vectors; restart' in server.log
    thief = reloading.link('b', f'socket={reloading.socket("a")}')
    assert f'socket={reloading.socket("a")} is already that of link a' in \
        reloading.refused(changed, thief)


def test_socket_of_a_link_that_goes(reloading):
    """It is free after that link has gone, not with the same change."""
    second = reloading.link('b', f'socket={reloading.socket("a")}')
    reloading.start(reloading.link('a'))
    reason = reloading.refused(second)
    assert 'is already that of link a' in reason
    assert 'reload without the new link first' in reason
    reloading.reload(reloading.link('other'))
    reloading.reload(second)
    with Client(reloading.socket('a')).handshake(2, 1):
        pass


def test_link_that_comes_back(reloading):
    """It has new memory; its old one may still be ending."""
    one, socket = reloading.link('a', 'peers=32', 'vectors=64'), \
        reloading.socket('a')
    server = reloading.start(one).server
    with Client(socket) as sleeper, Client(socket).handshake(32, 64) as old:
        old.map()[0:3] = b'old'
        reloading.reload(reloading.link('b'))
        reloading.reload(one)
        with Client(socket).handshake(32, 64) as fresh:
            assert fresh.id == 0
            assert fresh.map()[0:3] == bytes(3)
        # It still gets what was begun, or is told that it does not.
        sleeper.drain()
        assert old.message() is None
    server.wait_log('slot 0: .* is gone')
    assert stat.S_ISSOCK(socket.stat().st_mode)


def test_removal_lets_handshakes_finish(reloading):
    """A client that is reading gets all of it, as at the server's end; one
    that has not been accepted is refused."""
    server = reloading.start(reloading.link('a', 'peers=32', 'vectors=64'),
                             reloading.link('b')).server
    with Client(reloading.socket('a')) as client:
        server.wait_idle()
        reloading.write(reloading.link('b'))
        server.process.send_signal(signal.SIGSTOP)
        waiting = Client(reloading.socket('a'))
        server.process.send_signal(signal.SIGHUP)
        server.process.send_signal(signal.SIGCONT)
        client.handshake(32, 64)
        assert client.message() is None
        # Accepted before the signal was seen, or refused.
        first = waiting.message()
        assert first in [(0, None), (REFUSED_SHUTDOWN, None)]
        waiting.drain()
        waiting.close()
    with Client(reloading.socket('b')).handshake(2, 1):
        pass


def test_stop_while_a_link_is_leaving(reloading):
    """Nobody is waited for twice."""
    server = reloading.start(reloading.link('a', 'peers=32', 'vectors=64'),
                             reloading.link('b')).server
    with Client(reloading.socket('a')):
        server.wait_idle()
        reloading.reload(reloading.link('b'))
        assert server.stop() == 0
    assert not list(reloading.directory.glob('*.sock*'))


def test_permissions_of_the_socket(reloading, other_group):
    """Mode and group follow, to what was not set as well; who has connected
    stays."""
    path = reloading.socket('a')
    reloading.start(reloading.link('a'))

    def is_now() -> tuple[int, str]:
        status = path.stat()
        return stat.S_IMODE(status.st_mode), \
            grp.getgrgid(status.st_gid).gr_name

    before = is_now()
    assert before[0] == 0o660
    inode = path.stat().st_ino
    with Client(path).handshake(2, 1) as client:
        reloading.reload(reloading.link('a', 'mode=0606',
                                        f'group={other_group}'))
        assert is_now() == (0o606, other_group)
        reloading.reload(reloading.link('a'))
        assert is_now() == before
        assert path.stat().st_ino == inode
        assert client.nothing_comes()


def test_group_that_it_may_not_give(reloading):
    """The permissions of that link stay as they are, and that is said."""
    server = reloading.start(reloading.link('a', 'mode=0666'),
                             **unprivileged()).server
    reloading.reload(reloading.link('a', 'mode=0600', 'group=root'),
                     reloading.link('b'))
    assert 'cannot give it to the user and group that are set' in server.log
    assert 'link a: mode, user and group of its socket stay as they are' in \
        server.log
    path = reloading.socket('a')
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    with Client(reloading.socket('b')).handshake(2, 1):
        pass
    # What was not possible is tried again.
    reloading.reload(reloading.link('a', 'mode=0606'))
    assert stat.S_IMODE(path.stat().st_mode) == 0o606


def test_socket_that_is_not_there_any_more(reloading):
    """What somebody has put in its place is not touched."""
    server = reloading.start(reloading.link('a')).server
    path = reloading.socket('a')
    path.unlink()
    path.write_text('precious')
    path.chmod(0o644)
    reloading.reload(reloading.link('a', 'mode=0600'))
    assert f'{path}: the socket is not there any more' in server.log
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_who_may_join(reloading):
    """allow= counts for those who come from then on."""
    path = reloading.socket('a')
    reloading.start(reloading.link('a', 'peers=3', 'vectors=1'))
    stranger = f'allow={os.geteuid() + 1}'
    with Client(path).handshake(3, 1) as client:
        reloading.reload(reloading.link('a', 'peers=3', 'vectors=1', stranger))
        assert refusal(path) == REFUSED_PERMISSION
        assert client.nothing_comes()
        reloading.reload(reloading.link('a', 'peers=3', 'vectors=1',
                                        f'{stranger}:{os.geteuid()}'))
        with Client(path).handshake(3, 1) as other:
            talk(client, other)


def test_handshake_timeout(reloading):
    """It follows, unless the command line has the last word."""
    server = reloading.start(reloading.link('a', 'peers=32', 'vectors=64')
                             ).server
    reloading.reload('[server]\nhandshake-timeout=1\n',
                     reloading.link('a', 'peers=32', 'vectors=64'))
    with Client(reloading.socket('a')):
        server.wait_log('was dropped: it does not read')


def test_links_of_the_command_line(serve, directory):
    """They stay beside those of the file."""
    path = directory / 'test.conf'
    path.write_text(f'[link b]\nsocket={directory}/b.sock\n')
    server = serve('--config', path, '--link', f'a,socket={directory}/a.sock')
    with Client(directory / 'a.sock').handshake(8, 4) as client:
        path.write_text(f'[link c]\nsocket={directory}/c.sock\n')
        server.process.send_signal(signal.SIGHUP)
        server.wait_log('reloaded: 2 links')
        assert client.nothing_comes()
    assert sorted(path.name for path in directory.glob('*.sock')) == \
        ['a.sock', 'c.sock']


def test_drop_in(reloading):
    """A link is a file that is put there, and taken away."""
    server = reloading.start(reloading.link('a')).server
    folder = reloading.directory / 'test.conf.d'
    folder.mkdir()
    (folder / 'b.conf').write_text(reloading.link('b'))
    reloading.hang_up()
    with Client(reloading.socket('b')).handshake(2, 1) as client:
        (folder / 'b.conf').unlink()
        reloading.hang_up()
        assert client.message() is None
    assert server.log.count('reloaded: ') == 2


def test_socket_of_the_service_manager(activation, directory):
    """It cannot be closed, for the manager has it as well: while there is no
    link, who connects is told so; a link that comes back has it again."""
    activation.listen('one')
    path = directory / 'test.conf'
    one = f'[link one]\nsocket={directory}/one.sock\npeers=2\nvectors=1\n'
    other = f'[link other]\nsocket={directory}/other.sock\n'
    path.write_text(one + other)
    server = activation.start('--config', path)
    server.wait_idle()
    before = server.descriptors()

    def reload(text: str, count: int) -> None:
        path.write_text(text)
        server.process.send_signal(signal.SIGHUP)
        server.wait_log('reloaded: ', count)

    with Client(directory / 'one.sock').handshake(2, 1) as client:
        reload(other, 1)
        assert client.message() is None
    assert 'link one: its socket unit is still there; stop and disable it' in \
        server.log
    assert refusal(directory / 'one.sock') == REFUSED_SHUTDOWN
    reload(one.replace('peers=2', 'peers=3\nmode=0600') + other, 2)
    with Client(directory / 'one.sock').handshake(3, 1) as client:
        assert client.id == 0
    assert not (directory / 'one.sock.lock').exists()
    server.wait_log('slot 0: .* is gone')
    reload(other, 3)
    reload(one + other, 4)
    # Other numbers, but not more.
    wait_until(lambda: len(server.descriptors()) == len(before),
               'the descriptors to be as many as before')
    assert server.stop() == 0
    assert (directory / 'one.sock').is_socket()


def test_socket_unit_that_was_stopped(activation, directory):
    """The link that comes back makes a socket of its own then."""
    activation.listen('one')
    path = directory / 'test.conf'
    one = f'[link one]\nsocket={directory}/one.sock\npeers=2\nvectors=1\n'
    other = f'[link other]\nsocket={directory}/other.sock\n'
    path.write_text(one + other)
    server = activation.start('--config', path)
    path.write_text(other)
    server.process.send_signal(signal.SIGHUP)
    server.wait_log('reloaded: 1 link')
    (directory / 'one.sock').unlink()
    path.write_text(one + other)
    server.process.send_signal(signal.SIGHUP)
    server.wait_log('reloaded: 2 links')
    with Client(directory / 'one.sock').handshake(2, 1):
        assert (directory / 'one.sock.lock').exists()


def test_no_descriptor_for_who_comes_to_no_link(activation, directory):
    """The reserve is spent on telling them."""
    activation.listen('one')
    path = directory / 'test.conf'
    other = f'[link other]\nsocket={directory}/other.sock\n'
    path.write_text(f'[link one]\nsocket={directory}/one.sock\n' + other)
    server = activation.start('--config', path)
    path.write_text(other)
    server.process.send_signal(signal.SIGHUP)
    server.wait_log('reloaded: 1 link')
    server.wait_idle()
    numbers = server.descriptors()
    free = min(set(range(len(numbers) + 1)) - set(numbers))
    hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (free, hard))
    for _ in range(5):
        assert refusal(directory / 'one.sock') == REFUSED_SHUTDOWN
    server.wait_idle()
    # Not even that one is of use: they wait, and are told when there are descriptors again
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (min(numbers) + 1, hard))
    with Client(directory / 'one.sock') as late:
        assert late.nothing_comes()
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (free, hard))
        assert late.message()[0] == REFUSED_SHUTDOWN
