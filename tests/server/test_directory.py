# SPDX-License-Identifier: GPL-2.0-only
"""What the server says in a formatted region: who is connected, who has gone,
and that the others hear of it at once; whatever clients do to the region."""
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from random import Random
from typing import Optional

import pytest

from .client import Client
from .process import ROOT
from .region import (CONNECTED, PAGE, RAW, UNTRACKED, VACANT, Line, Section,
                     line, lines, make_superblock, set_epoch, statuses)
from .test_hostile import healthy
from .waiting import BOUND, wait_until

FULL = (1 << 64) - 2
SECTIONS = [Section(RAW, 4, 1, 1, 'a')]


@pytest.fixture
def lab(link):
    """Start a server of a formatted link."""
    def start(peers=4, vectors=2, **keys):
        keys.setdefault('layout', 'raw')
        return link(peers=peers, vectors=vectors, **keys)
    return start


def join(server, peers: int = 4, vectors: int = 2) -> Client:
    """A client of it."""
    return Client(server.directory / 'lab.sock').handshake(peers, vectors)


def wait_status(client: Client, slot: int, status: int) -> Line:
    """Wait until the server says this of a slot."""
    wait_until(lambda: line(client.memory, slot).status == status,
               f'slot {slot} to have status {status}')
    return line(client.memory, slot)


def pending(client: Client, slot: int, vector: int) -> Optional[int]:
    """How often anybody's doorbell was rung; None for never."""
    try:
        return os.eventfd_read(client.eventfds[slot][vector])
    except BlockingIOError:
        return None


def test_who_is_connected(lab):
    """A client finds itself there, and how many there were before it."""
    server = lab()
    with join(server) as one:
        assert lines(one.memory, 4) == [Line(CONNECTED, 1, 0)] + \
            [Line(VACANT, 0, 0)] * 3
        with join(server) as two:
            assert lines(two.memory, 4) == [Line(CONNECTED, 1, 0)] * 2 + \
                [Line(VACANT, 0, 0)] * 2
        assert wait_status(one, 1, VACANT) == Line(VACANT, 1, 0)
        with join(server) as two:
            assert line(two.memory, 1) == Line(CONNECTED, 2, 0)


def test_a_slot_before_the_memory(lab):
    """No peer can be seen to be there while the server says that it is not."""
    server = lab()
    with join(server) as witness, Client(server.directory / 'lab.sock') as new:
        assert [new.message()[0] for _ in range(2)] == [0, 1]
        assert line(witness.memory, 1) == Line(CONNECTED, 1, 0)
    server.wait_log('slot 1: .* is gone')


CRASH = '''
import sys
from pathlib import Path
from tests.server.client import Client
from tests.server.region import set_epoch
client = Client(Path(sys.argv[1])).handshake(4, 2)
set_epoch(client.memory, client.id, 0xdeadbeef)
print(client.id, flush=True)
sys.stdin.read()
'''


def test_killed_with_sigkill(lab):
    """Its epoch is that of the dead, and vector 0 of everybody who is there
    is rung; nobody else's, and no other vector."""
    server = lab()
    path = server.directory / 'lab.sock'
    with join(server) as one, join(server) as two, \
            subprocess.Popen([sys.executable, '-c', CRASH, path], text=True,
                             cwd=ROOT, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == '2\n'
        assert line(one.memory, 2) == Line(CONNECTED, 1, 0)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert one.wait_rung(0) == 1
        assert line(one.memory, 2) == Line(VACANT, 1, 0xdeadbeef)
        assert two.wait_rung(0) == 1
        assert [pending(one, slot, 0) for slot in range(4)] == [None] * 4
        assert [pending(one, slot, 1) for slot in range(4)] == [None] * 4
    server.wait_log(f'slot 2: pid {process.pid} .* is gone, without having '
                    'left the region\n')


def test_left_politely(lab):
    """An epoch of 0 is the peer's own word."""
    server = lab()
    with join(server) as one:
        with join(server) as two:
            set_epoch(two.memory, 1, 77)
            set_epoch(two.memory, 1, 0)
        assert one.wait_rung(0) == 1
        assert line(one.memory, 1) == Line(VACANT, 1, 0)
    server.wait_log('slot 1: .* is gone, not in the region\n')


def test_slot_that_is_used_again(lab):
    """The dead stays dead under its epoch until the new one has its own; one
    that never joins is not taken for it."""
    server = lab()
    with join(server) as one:
        with join(server) as two:
            set_epoch(two.memory, 1, 77)
        assert wait_status(one, 1, VACANT) == Line(VACANT, 1, 77)
        with join(server) as three:
            assert line(three.memory, 1) == Line(CONNECTED, 2, 77)
        assert wait_status(one, 1, VACANT) == Line(VACANT, 2, 77)
        server.wait_log('slot 1: .* is gone, not in the region\n')
        with join(server) as four:
            set_epoch(four.memory, 1, 78)
            assert line(four.memory, 1) == Line(CONNECTED, 3, 77)
        assert wait_status(one, 1, VACANT) == Line(VACANT, 3, 78)


def test_client_that_is_dropped(lab):
    """Others may not wait for one that has no doorbells any more."""
    server = lab()
    with join(server) as one, join(server) as two:
        set_epoch(two.memory, 1, 5)
        two.socket.send(b'x')
        assert one.wait_rung(0) == 1
        assert line(one.memory, 1) == Line(VACANT, 1, 5)
    server.wait_log('slot 1: .* was dropped: it sent data, which the protocol '
                    'does not have, without having left the region\n')


def test_64_peers(lab):
    """All of them come, and every other one goes."""
    server = lab(peers=64, vectors=1, size='1M')
    clients = [join(server, 64, 1) for _ in range(64)]
    memory = clients[0].memory
    assert statuses(memory, 64) == [CONNECTED] * 64
    for client in clients:
        set_epoch(memory, client.id, 1000 + client.id)
    for client in clients[1::2]:
        client.close()
    wait_until(lambda: statuses(memory, 64) == [CONNECTED, VACANT] * 32,
               'every other one to be gone')
    assert [one.gone_epoch for one in lines(memory, 64)] == \
        [1000 + slot if slot % 2 else 0 for slot in range(64)]
    for client in clients[::2]:
        client.wait_rung(0)
        client.close()


def test_server_ends(lab):
    """Machines that go on without it are left to each other's heartbeat."""
    server = lab()
    with join(server) as one, join(server) as two:
        set_epoch(one.memory, 0, 3)
        with join(server) as three:
            set_epoch(three.memory, 2, 4)
        wait_status(one, 2, VACANT)
        two.wait_rung(0)
        server.stop()
        assert lines(one.memory, 4) == [
            Line(UNTRACKED, 1, 0), Line(UNTRACKED, 1, 0),
            Line(UNTRACKED, 1, 4), Line(UNTRACKED, 0, 0)]
        # They were let go, and did not go.
        assert two.rung(0) == 0


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_server_returns(lab, directory, number):
    """Whoever was there before it is gone; counting goes on."""
    keys = {'size': '1M', 'memory': f'file:{directory}/memory'}
    server = lab(**keys)
    with join(server) as one, join(server) as two:
        set_epoch(one.memory, 0, 3)
        set_epoch(two.memory, 1, 4)
        server.stop(number)
        server = lab(**keys)
        assert lines(one.memory, 4) == [
            Line(VACANT, 1, 3), Line(VACANT, 1, 4),
            Line(VACANT, 0, 0), Line(VACANT, 0, 0)]
    with join(server) as one:
        assert line(one.memory, 0) == Line(CONNECTED, 2, 3)


def test_region_that_is_not_formatted(lab):
    """The server writes nothing there, and rings nobody."""
    server = lab(layout='none')
    with join(server) as one:
        with join(server) as two:
            os.pwrite(two.memory, b'\xff' * 64, 3 * PAGE)
        server.wait_log('slot 1: .* is gone\n')
        healthy(server.directory / 'lab.sock', 4, 2, 1)
        data = os.pread(one.memory, 4 << 20, 0)
        assert data == (bytes(3 * PAGE) + b'\xff' * 64).ljust(4 << 20, b'\0')
        assert not any(pending(one, slot, 0) for slot in range(4))


def test_region_that_a_client_formats(lab):
    """With the next event, or soon, all is said, also of those who were there before,
    as far as the region has slots; what others may use is left to them."""
    server = lab(layout='none')
    with join(server) as one:
        page = make_superblock(4 << 20, 3, 99, SECTIONS)
        os.pwrite(one.memory, page, 0)
        set_epoch(one.memory, 0, 5)
        set_epoch(one.memory, 2, 6)
        with join(server) as two:
            assert lines(two.memory, 4) == [
                Line(CONNECTED, 1, 0), Line(CONNECTED, 1, 0),
                Line(VACANT, 0, 6), Line(UNTRACKED, 0, 0)]
            server.wait_log('link lab: the region is formatted: peers=3, '
                            'layout=raw=a:16K:vector=1\n')
            with join(server) as three, join(server) as four:
                # No line and no page in the region, but doorbells.
                assert four.id == 3 and three.id == 2
                set_epoch(four.memory, 3, 7)
            server.wait_log('slot 3: .* is gone\n')
            wait_status(one, 2, VACANT)
            assert line(one.memory, 3) == Line(0, 0, 0)
        # Anew, and larger than the server: a plain device may be in slot 9.
        os.pwrite(one.memory, b'\0' * 4 + b'\0' * 30 * PAGE, 0)
        os.pwrite(one.memory, make_superblock(4 << 20, 10, 98, SECTIONS), 0)
        with join(server) as two:
            assert statuses(two.memory, 10) == \
                [CONNECTED] * 2 + [VACANT] * 2 + [UNTRACKED] * 6
            assert line(two.memory, 0).gone_epoch == 0
        server.wait_log('the region is formatted: peers=10')


@pytest.mark.parametrize('damage', [
    (0, b'\0\0\0\0'), (4, b'junk'), (8, b'\2'), (52, b'\xff\xff\xff\xff'),
    (56, b'\x21'), (64, b'\x09'), (28, b'other')])
def test_region_that_a_client_spoils(lab, damage):
    """Nothing is written any more to what cannot be read, or is somebody
    else's; once it is right again, all is said."""
    server = lab()
    with join(server) as one:
        page = os.pread(one.memory, PAGE, 0)
        offset, junk = damage
        # Another instance, for the superblock is not read all the time.
        os.pwrite(one.memory, struct.pack('<I', 1234), 28)
        os.pwrite(one.memory, junk, offset)
        os.pwrite(one.memory, b'\xaa' * 256, PAGE)
        with join(server) as two:
            assert os.pread(two.memory, 256, PAGE) == b'\xaa' * 256
        server.wait_log('slot 1: .* is gone\n')
        assert server.log.count('the region is formatted no more, by what a '
                                'client did: ') == 1
        os.pwrite(one.memory, bytes(256), PAGE)
        os.pwrite(one.memory, page, 0)
        with join(server) as two:
            assert statuses(two.memory, 4) == \
                [CONNECTED, CONNECTED, VACANT, VACANT]


def test_lines_that_a_client_overwrites(lab):
    """They are right again soon, also if nobody comes or goes, and who looks is told."""
    server = lab()
    with join(server) as one, join(server) as two:
        said = lines(one.memory, 4)
        for junk in (bytes(256), b'\xff' * 12, struct.pack('<III', VACANT, 1, 0)):
            while pending(one, 0, 0):
                pass
            os.pwrite(two.memory, junk, PAGE)
            wait_until(lambda: lines(one.memory, 4) == said, 'the lines of before')
            wait_until(lambda: pending(one, 0, 0), 'a doorbell')


def test_no_format_when_somebody_comes_and_goes(lab):
    """All is said once the format is back, though nobody comes or goes then."""
    server = lab()
    with join(server) as one, join(server) as two:
        set_epoch(two.memory, 1, 7)
        magic = os.pread(one.memory, 4, 0)
        os.pwrite(one.memory, bytes(4), 0)
        with join(server):
            two.close()
            server.wait_log('slot 1: .* is gone')
            os.pwrite(one.memory, magic, 0)
            wait_until(lambda: statuses(one.memory, 4) ==
                       [CONNECTED, VACANT, CONNECTED, VACANT], 'what happened meanwhile')


def test_superblock_that_was_another_for_a_moment(lab):
    """One of the same instance with fewer slots is not believed for ever."""
    server = lab()
    with join(server) as one, join(server):
        page = os.pread(one.memory, PAGE, 0)
        instance = struct.unpack_from('<I', page, 28)[0]
        os.pwrite(one.memory, bytes(4), 0)
        server.wait_log('the region is formatted no more')
        os.pwrite(one.memory, make_superblock(4 << 20, 2, instance, SECTIONS), 0)
        server.wait_log('the region is formatted: peers=2')
        os.pwrite(one.memory, page, 0)
        with join(server) as three:
            wait_status(one, three.id, CONNECTED)
            wait_status(one, 3, VACANT)


def test_feature_without_which_nothing_may_be_written(lab):
    """Nor does the server."""
    server = lab(layout='none')
    with join(server) as one:
        os.pwrite(one.memory, make_superblock(4 << 20, 4, 9, SECTIONS,
                                              ro_compat=1), 0)
        with join(server) as two:
            assert lines(two.memory, 4) == [Line(0, 0, 0)] * 4


def scribble(memory: int, stop: threading.Event) -> None:
    """Write anything over superblock and directory, as fast as possible."""
    random = Random(3)
    pages = [os.pread(memory, PAGE, 0), random.randbytes(PAGE),
             make_superblock(1 << 20, 64, 5, SECTIONS),
             make_superblock(1 << 20, 2, 6, SECTIONS), bytes(PAGE)]
    while not stop.is_set():
        os.pwrite(memory, random.choice(pages), 0)
        os.pwrite(memory, random.randbytes(64), random.randrange(PAGE))
        os.pwrite(memory, random.randbytes(PAGE),
                  PAGE * random.randrange(1, 10))


def test_scribbling_client(lab):
    """Clients join and leave as ever while one writes anything anywhere, the
    log is bounded, and when it stops the next event puts all right."""
    # The server takes up to 16 newcomers before it looks who has left.
    server = lab(size='1M', peers=20)
    stop = threading.Event()
    begun = time.monotonic()
    with join(server, 20) as hostile:
        page = os.pread(hostile.memory, PAGE, 0)
        thread = threading.Thread(target=scribble,
                                  args=(hostile.memory, stop))
        thread.start()
        try:
            for _ in range(300):
                with join(server, 20) as client:
                    assert 0 < client.id < 20
        finally:
            stop.set()
            thread.join()
        # As many as may come at once, and one for each second.
        assert server.log.count('\n') <= \
            16 + 4 * 20 + 2 * (time.monotonic() - begun) + 8
        os.pwrite(hostile.memory, bytes(21 * PAGE), PAGE)
        os.pwrite(hostile.memory, page, 0)

        def right() -> bool:
            with join(server, 20) as client:
                want = [VACANT] * 20
                want[0] = want[client.id] = CONNECTED
                return statuses(client.memory, 20) == want
        wait_until(right, 'all to have been seen to leave')


@pytest.mark.attack('A44')
@pytest.mark.parametrize('left', [0, 100, PAGE])
def test_file_that_a_client_shrinks(lab, directory, left):
    """The server is not killed by it, and goes on once it is long again."""
    path = directory / 'memory'
    server = lab(size='1M', memory=f'file:{path}')
    with join(server) as one:
        page = os.pread(one.memory, PAGE, 0)
        with join(server):
            os.ftruncate(one.memory, left)
        server.wait_log('slot 1: .* is gone')
        healthy(server.directory / 'lab.sock', 4, 2, 1)
        server.wait_log('slot 1: .* is gone', count=2)
        assert os.fstat(one.memory).st_size == left
        server.wait_log('the region is formatted no more')
        os.ftruncate(one.memory, 1 << 20)
        os.pwrite(one.memory, page, 0)
        with join(server) as two:
            assert statuses(two.memory, 4) == \
                [CONNECTED, CONNECTED, VACANT, VACANT]


def test_doorbells_that_would_block(lab):
    """A client fills one up and makes all block for everybody: the server
    does not sleep, and rings the others."""
    server = lab()
    with join(server) as hostile, join(server) as one:
        for fds in hostile.eventfds.values():
            os.set_blocking(fds[0], True)
        os.eventfd_write(hostile.eventfds[0][0], FULL)
        join(server).close()
        assert select.select([one.eventfds[1][0]], [], [], BOUND)[0]
        healthy(server.directory / 'lab.sock', 4, 2, 2)
        assert hostile.rung(0) == FULL


TOGGLE = '''
import os, sys
from pathlib import Path
from tests.server.client import Client
client = Client(Path(sys.argv[1])).handshake(20, 2)
fds = [fds[0] for fds in client.eventfds.values()]
print(client.id, flush=True)
while True:
    for fd in fds:
        os.set_blocking(fd, False)
        try:
            os.eventfd_read(fd)
            os.eventfd_write(fd, (1 << 64) - 2)
        except BlockingIOError:
            pass
        os.set_blocking(fd, True)
'''


def test_doorbells_that_block_now_and_then(lab):
    """Nor if the client changes its mind between two instructions of the
    server's, and then dies with all doorbells full."""
    server = lab(peers=20)
    path = server.directory / 'lab.sock'
    with subprocess.Popen([sys.executable, '-c', TOGGLE, path], text=True,
                          cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == '0\n'
            for _ in range(200):
                with join(server, 20) as client:
                    assert 0 < client.id < 20
        finally:
            process.kill()
            process.wait()

    def first() -> bool:
        with join(server, 20) as client:
            return client.id == 0
    wait_until(first, 'slot 0 to be free')
