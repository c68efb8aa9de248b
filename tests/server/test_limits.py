# SPDX-License-Identifier: GPL-2.0-only
"""What one user can have of a link, and how often."""
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .client import (REFUSED_FULL, REFUSED_PACE, REFUSED_SHUTDOWN,
                     REFUSED_USER, Client, refusal)
from .control import status
from .process import Server, unprivileged
from .waiting import BOUND, wait_until

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0,
                               reason='only root can be several users')

# Joins a link, says its slot or how it was refused, and stays until it is told.
JOIN = '''
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
value, = struct.unpack('<q', s.recv(8))
if not value:
    value, = struct.unpack('<q', s.recv(8))
print(value, flush=True)
sys.stdin.read()
'''


class Stranger:
    """A client of another user."""

    def __init__(self, path: Path):
        self.process = subprocess.Popen(
            ['/usr/bin/python3', '-c', JOIN, path], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, **unprivileged())
        self.answer = int(self.process.stdout.readline())

    def __enter__(self) -> 'Stranger':
        return self

    def __exit__(self, *_) -> None:
        self.process.communicate(timeout=BOUND)


def refusals(control: Path) -> dict[str, int]:
    """How many clients of the link were refused, by reason."""
    return status(control)['links'][0]['refusals']


def test_clients_per_user(link, control):
    """More are refused; one that leaves makes room."""
    server = link('--control', control, peers=4, vectors=1,
                  **{'clients-per-user': 2})
    path = control.parent / 'lab.sock'
    with Client(path).handshake(4, 1), Client(path) as second:
        second.handshake(4, 1)
        assert refusal(path) == REFUSED_USER
        server.wait_log('was refused: its user has as many clients as '
                        'clients-per-user= allows')
        assert refusals(control)['user-limit'] == 1
        second.close()
        server.wait_log('slot 1: .* is gone')
        with Client(path).handshake(4, 1) as third:
            assert third.id == 1


@ONLY_ROOT
def test_each_user_has_its_own(link, control):
    """What one has, others do not miss."""
    link(peers=4, vectors=1, mode='0666', **{'clients-per-user': 1})
    path = control.parent / 'lab.sock'
    with Client(path).handshake(4, 1) as mine, Stranger(path) as other:
        assert (mine.id, other.answer) == (0, 1)
        assert refusal(path) == REFUSED_USER
        with Stranger(path) as more:
            assert more.answer == REFUSED_USER


def test_limits_change(serve, directory, control):
    """A reload changes them for those who come; those who are there stay."""
    path = directory / 'test.conf'
    text = (f'[server]\ncontrol={control}\n[link lab]\n'
            f'socket={directory}/lab.sock\npeers=4\nvectors=1\n')
    path.write_text(text)
    server = serve('--config', path)
    with Client(directory / 'lab.sock').handshake(4, 1) as one, \
            Client(directory / 'lab.sock').handshake(4, 1) as other:
        path.write_text(text + 'clients-per-user=1\n')
        server.process.send_signal(signal.SIGHUP)
        server.wait_log('reloaded: ')
        assert refusal(directory / 'lab.sock') == REFUSED_USER
        assert one.nothing_comes() and other.nothing_comes()
        path.write_text(text + 'connects-per-second=1\n')
        server.process.send_signal(signal.SIGHUP)
        server.wait_log('reloaded: ', count=2)
        crowd = together(server, directory / 'lab.sock', 30)
        wait_until(lambda: refusals(control)['pace'] > 0,
                   'the pace to be kept')
        for client in crowd:
            client.close()


def together(server: Server, path: Path, count: int) -> list[Client]:
    """Clients who are there at the same moment for the server, in this
    order."""
    server.process.send_signal(signal.SIGSTOP)
    clients = [Client(path) for _ in range(count)]
    server.process.send_signal(signal.SIGCONT)
    return clients


def test_pace(link, control):
    """A burst is served, then some wait for their turn, and the others are
    refused; nobody who waits is forgotten."""
    server = link('--control', control, peers=4, vectors=1,
                  **{'connects-per-second': 1})
    crowd = together(server, control.parent / 'lab.sock', 24)
    # The rate of a second and the slots; sixteen wait.
    for slot, client in enumerate(crowd[:4]):
        assert client.handshake(4, 1).id == slot
    assert crowd[4].message() == (REFUSED_FULL, None)
    for client in crowd[21:]:
        assert client.message() == (REFUSED_PACE, None)
        assert client.message() is None
    counts = status(control)['links'][0]
    assert counts['refusals']['pace'] == 3
    assert counts['counts']['connects'] == 24
    crowd[2].close()
    assert crowd[5].handshake(4, 1).id == 2
    for client in crowd:
        client.close()


def test_no_pace(link, control):
    """Without a limit nobody is refused for that."""
    server = link('--control', control, peers=4, vectors=1,
                  **{'connects-per-second': 'none'})
    crowd = together(server, control.parent / 'lab.sock', 300)
    assert all(client.message() in [(0, None), (REFUSED_FULL, None)]
               for client in crowd)
    for client in crowd:
        client.close()
    assert refusals(control)['pace'] == 0


@pytest.mark.parametrize('way', ['close', 'garbage', 'stop', 'kill link'])
def test_end_of_a_client_that_waits(link, control, directory, way):
    """It goes as it likes, and is told when the server does."""
    path = directory / 'test.conf'
    path.write_text(f'[link waits]\nsocket={directory}/waits.sock\npeers=4\n'
                    'vectors=1\nconnects-per-second=1\n')
    server = link('--control', control, '--config', path)
    server.wait_idle()
    before = server.descriptors()
    crowd = together(server, directory / 'waits.sock', 6)

    def waiting() -> int:
        return status(control)['links'][1]['waiting']

    last = crowd[5]
    if way == 'close':
        last.close()
        wait_until(lambda: waiting() == 0, 'it to be gone')
    elif way == 'garbage':
        last.socket.send(b'x')
        wait_until(lambda: waiting() == 0, 'it to be dropped')
    elif way == 'stop':
        assert server.stop() == 0
    else:
        path.write_text('[server]\n')
        server.process.send_signal(signal.SIGHUP)
        server.wait_log('reloaded: 1 link')
    if way != 'close':
        # Served before all that, if the machine is that slow.
        assert last.message() in [(REFUSED_SHUTDOWN, None), (0, None), None,
                                  (REFUSED_FULL, None)]
    for client in crowd:
        client.close()
    if way != 'stop':
        wait_until(lambda: server.descriptors() == before or
                   way == 'kill link' and
                   len(server.descriptors()) < len(before),
                   'all descriptors of clients to be closed')


# Connects and hangs up as fast as it can, and says how often that was.
FLOOD = '''
import select, socket, sys
count = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(sys.argv[1])
            count += 1
        except BlockingIOError:
            pass
        s.close()
print(count)
'''


@pytest.mark.attack('A43')
@ONLY_ROOT
@pytest.mark.parametrize('peers, vectors', [(8, 4), (32, 64)])
def test_flood(link, control, peers, vectors):
    """One user who connects without end: others join at their first attempt,
    on this link and on another, and he gets no more than his share."""
    server = link('--control', control, peers=peers, vectors=vectors,
                  mode='0666', **{'clients-per-user': peers - 2})
    path = control.parent / 'lab.sock'
    began = time.monotonic()
    with subprocess.Popen(['/usr/bin/python3', '-c', FLOOD, path], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          **unprivileged()) as flood:
        wait_until(lambda: refusals(control)['pace'] > 1000, 'the flood')
        for _ in range(20):
            with Client(path).handshake(peers, vectors) as one, \
                    Client(path).handshake(peers, vectors) as other:
                one.ring(other.id, 0)
                assert other.wait_rung(0) == 1
        flood.stdin.close()
        count = int(flood.stdout.read())
    assert count > 1000
    link_status = status(control)['links'][0]
    seconds = time.monotonic() - began
    # Some waited for their turn, and did not wait for long.
    served = link_status['counts']['reclaimed'] + len(link_status['slots'])
    # 40 were ours; he had a burst, and then 100 a second.
    assert served <= 40 + 100 + peers + 100 * (seconds + 1)
    assert server.log.count('\n') < 1000


def test_flood_of_one_user(link, control):
    """Who floods and is refused has harmed nobody but himself: soon after,
    he is served again."""
    server = link('--control', control, peers=4, vectors=4)
    path = control.parent / 'lab.sock'
    for _ in range(2000):
        Client(path).close()
    assert refusals(control)['pace'] > 0

    def joins() -> bool:
        with Client(path) as client:
            return client.message() == (0, None)

    wait_until(joins, 'the user to be served again')
    server.wait_log(r'link lab: \d+ lines about clients were left out')


def test_room_at_once(link, control):
    """Who comes after another has hung up finds its slot free, though the
    server has not looked yet."""
    server = link('--control', control, peers=2, vectors=1)
    path = control.parent / 'lab.sock'
    one, other = (Client(path).handshake(2, 1) for _ in range(2))
    server.process.send_signal(signal.SIGSTOP)
    fresh = Client(path)
    other.close()
    # For the server, both have happened at the same time.
    server.process.send_signal(signal.SIGCONT)
    assert fresh.handshake(2, 1).id == 1
    assert sum(refusals(control).values()) == 0
    one.close()
    fresh.close()
