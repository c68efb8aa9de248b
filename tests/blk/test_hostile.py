# SPDX-License-Identifier: GPL-2.0-only
"""Front ends that break the rules: each harms itself only."""
import contextlib
import random
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from lab import Server
from lab.paths import ROOT
from tests.region_image import MAGIC
from tests.server.waiting import wait_until

from .backend import PythonBackEnd
from .disk import (BOUND, DISCARD, FLUSH, FUA, HELLO, INVALID, KEEP, OK, READ, READ_ONLY, REQUEST,
                   RESPONSE, UNSUPPORTED, WRITE, ZEROES, BackEnd, Failed, FrontEnd, hello_record,
                   request_record)

SECTORS = (8 << 20) // 512


@pytest.fixture
def honest(back: BackEnd, attach: Callable[..., FrontEnd], front: FrontEnd) -> FrontEnd:
    """A front end that is served beside the one that is not honest."""
    other = attach()
    other.hello()
    return other


def works(front: FrontEnd) -> None:
    """Somebody is served."""
    sector = random.randrange(SECTORS)
    assert front.read(sector, 512).startswith(f'sector {sector} '.encode())


@pytest.mark.attack("A32")
@pytest.mark.parametrize('request_, status', [
    (dict(operation=READ, sector=SECTORS, length=512), INVALID),
    (dict(operation=READ, sector=SECTORS - 1, length=1024), INVALID),
    (dict(operation=READ, sector=0xffffffffffffffff, length=512), INVALID),
    (dict(operation=READ, sector=0x8000000000000000, length=512), INVALID),
    (dict(operation=READ, sector=(1 << 55) - 1, length=512), INVALID),
    (dict(operation=READ, length=0), INVALID),
    (dict(operation=READ, length=511), INVALID),
    (dict(operation=READ, length=513), INVALID),
    (dict(operation=READ, length=0xfffffe00), INVALID),
    (dict(operation=READ, length=512, buffer=1), INVALID),
    (dict(operation=READ, length=512, buffer=0xfffffe00), INVALID),
    (dict(operation=READ, length=512, flags=FUA), INVALID),
    (dict(operation=READ, length=512, flags=4), UNSUPPORTED),
    (dict(operation=WRITE, length=512, flags=KEEP), INVALID),
    (dict(operation=FLUSH, length=512), INVALID),
    (dict(operation=DISCARD, length=0), INVALID),
    (dict(operation=DISCARD, length=8 << 20, sector=8), INVALID),
    (dict(operation=DISCARD, length=0x80000000), INVALID),
    (dict(operation=ZEROES, length=512, sector=SECTORS), INVALID),
    (dict(operation=5), UNSUPPORTED),
    (dict(operation=0xffffffff), UNSUPPORTED),
])
def test_requests_that_cannot_be(front: FrontEnd, back: BackEnd, image: Path,
                                 request_: dict[str, Any], status: int):
    """Each is answered, nothing is done, and the session goes on."""
    before = image.read_bytes()
    assert front.ask(**request_) == status
    works(front)
    assert image.read_bytes() == before
    assert front.sessions() == 1
    counters = back.front(1)
    assert counters['answers']['invalid'] + counters['answers']['unsupported'] == 1
    assert counters['faults'] == 0


def test_the_last_buffer_and_the_longest_request(front: FrontEnd, image: Path):
    limits = front.hello()
    end = limits['buffers']
    assert front.ask(READ, length=512, buffer=end - 512) == OK
    assert front.ask(READ, length=1024, buffer=end - 512) == INVALID
    assert front.ask(READ, length=512, buffer=end) == INVALID
    assert front.ask(READ, length=limits['max_length']) == OK
    assert front.ask(READ, length=limits['max_length'] + 512) == INVALID


def test_the_same_id_many_times(front: FrontEnd, image: Path):
    """Ids are the front end's own affair."""
    for n in range(100):
        front.request(READ, sector=n, length=512, buffer=n * 512, id=7)
    front.push()
    assert front.answers(100) == [(0, 7, OK)] * 100
    for n in range(100):
        assert front.buffer(n * 512, 512).startswith(f'sector {n} '.encode())


@pytest.mark.parametrize('queue, kind, payload', [
    (0, REQUEST, b''),
    (1, REQUEST, request_record()[:31]),
    (0, RESPONSE, bytes(16)),
    (0, HELLO, bytes(64)),
    (1, HELLO, struct.pack('<III52x', 1, 0, 2)),
])
def test_records_that_end_the_session(front: FrontEnd, honest: FrontEnd, back: BackEnd,
                                      queue: int, kind: int, payload: bytes):
    """That session only; it may begin anew."""
    front.do('record', queue, kind, payload.hex())
    front.push()
    back.wait_front(1, faults=1)
    assert 'does not speak as a front end of a disk' in back.log
    works(honest)
    wait_until(lambda: front.hello() and front.sessions() == 2, 'it to come again', BOUND)
    works(front)
    assert honest.sessions() == 1


def test_records_that_are_not_known(front: FrontEnd, back: BackEnd):
    """They are passed over, as is what follows a request that is known."""
    front.do('record', 0, 77, '00' * 100)
    front.do('record', 0, REQUEST, (request_record() + bytes(64)).hex())
    front.push()
    assert front.answers(1) == [(0, 1, OK)]
    assert back.front(1)['passed'] == 1


@pytest.mark.parametrize('payload', [
    struct.pack('<III', 1, 0, 1),
    struct.pack('<III52x', 3, 0, 1),
    struct.pack('<III52x', 1, 0, 0),
    struct.pack('<III52x', 1, 0, 3),
])
def test_hellos_that_cannot_be(back: BackEnd, attach, front: FrontEnd, payload: bytes):
    other = attach(quiet=True)
    other.hello()
    other.do('record', 0, HELLO, payload.hex())
    other.push()
    back.wait_front(2, faults=1)
    works(front)


@pytest.mark.attack("A20")
@pytest.mark.parametrize('operation', [WRITE, DISCARD, ZEROES])
def test_who_would_not_write_and_does(back: BackEnd, attach, front: FrontEnd, operation: int):
    """It said something else, maybe, than was heard: it may say it again."""
    other = attach(quiet=True)
    other.hello()
    other.do('record', 0, HELLO, hello_record(READ_ONLY).hex())
    other.do('record', 0, REQUEST, request_record(operation=operation).hex())
    other.push()
    back.wait_front(2, faults=1)
    works(front)


@pytest.mark.attack("A20")
def test_more_queues_than_were_said(back: BackEnd, attach, front: FrontEnd):
    """They are not left without an answer: what was said may not be what was heard."""
    other = attach(quiet=True)
    other.hello()
    other.do('record', 0, HELLO, hello_record().hex())
    other.push()
    back.wait_front(2, greeted=True)
    other.do('record', 1, REQUEST, request_record().hex())
    other.push()
    back.wait_front(2, faults=1)
    works(front)


def test_a_request_before_the_hello(back: BackEnd, attach, front: FrontEnd):
    other = attach(quiet=True)
    other.hello()
    other.do('record', 0, REQUEST, request_record().hex())
    other.push()
    back.wait_front(2, faults=1)
    assert not back.front(2)['greeted']
    works(front)


def test_a_front_end_without_a_hello_gets_nothing(back: BackEnd, attach):
    """Its other queues are not looked at."""
    other = attach(quiet=True)
    other.hello()
    other.do('record', 1, REQUEST, request_record().hex())
    other.push()
    other.do('record', 0, HELLO, hello_record(queues=2).hex())
    assert sum(back.front(1)['answers'].values()) == 0
    other.push()
    assert other.answers(1) == [(1, 1, OK)]


def put_all(front: FrontEnd, **more: Any) -> int:
    """Fill a ring with requests; how many there were room for."""
    n = 0
    with contextlib.suppress(Failed):
        while True:
            front.request(READ, length=512, **more)
            n += 1
            if n % 500 == 0:
                front.push()
    front.push()
    return n


@pytest.mark.attack("A15", "A33")
def test_answers_that_nobody_takes(front: FrontEnd, honest: FrontEnd, back: BackEnd):
    """They fill the ring to the front end; no more of its requests are taken."""
    front.do('freeze')
    put = put_all(front)
    stuck = back.wait_front(1, stuck=1)
    begun = stuck['operations']['read']['requests']
    assert begun < put and stuck['in_flight'] == 0
    for _ in range(20):
        works(honest)
    assert back.front(1)['operations']['read']['requests'] == begun
    before = back.report()['sleeps']
    works(honest)
    assert back.report()['sleeps'] - before < 100, 'it looks again and again'
    front.do('thaw')
    assert len(front.answers(put)) == put
    works(front)


@pytest.mark.attack("A33")
def test_a_flood_does_not_keep_others_from_being_served(front: FrontEnd, honest: FrontEnd,
                                                        back: BackEnd):
    """What one front end may have in flight is limited."""
    limits = front.hello()
    for _ in range(3):
        for queue in (0, 1):
            for _ in range(300):
                front.request(READ, length=limits['max_length'], queue=queue)
        front.push()
        works(honest)
        assert back.front(1)['in_flight'] <= 256
        front.answers(600)
    works(front)


@pytest.mark.attack("A32")
def test_random_requests(front: FrontEnd, honest: FrontEnd, back: BackEnd, image: Path):
    """Thousands of them, of which most cannot be: each is answered once."""
    random.seed(5)
    words = [0, 1, 2, 3, 4, 5, 511, 512, 513, 4096, 65536, SECTORS - 1, SECTORS,
             0x7fffffff, 0x80000000, 0xfffffe00, 0xffffffff]
    size = image.stat().st_size
    for n in range(20):
        for m in range(100):
            fields = [random.choice(words) for _ in range(6)]
            front.do('record', random.randrange(2), REQUEST,
                     struct.pack('<IIIIIII4x', n * 100 + m, *fields).hex())
        front.push()
        answered = front.answers(100)
        assert sorted(number for _, number, _ in answered) == \
            list(range(n * 100, n * 100 + 100))
        honest.hello()
    assert front.sessions() == 1 and image.stat().st_size == size
    assert back.front(1)['in_flight'] == 0
    assert honest.ask(READ, length=512) == OK


@pytest.mark.parametrize('what', ['index', 'header', 'words'])
def test_rings_that_are_overwritten(front: FrontEnd, honest: FrontEnd, back: BackEnd, what: str):
    """The session ends, the link rests, and others go on."""
    for n in range(1, 4):
        front.hello()
        front.do('spoil', what)
        # It may be over before that.
        with contextlib.suppress(Failed):
            front.request(READ, length=512)
        front.push()
        back.wait_front(1, faults=n)
        works(honest)
    front.hello()
    works(front)
    assert honest.sessions() == 1


@pytest.mark.attack("A05", "A29")
def test_a_front_end_that_claims_to_be_a_back_end(back: BackEnd, attach, server: Server):
    """Nor does it end one that has just come back to a region that was erased."""
    with PythonBackEnd(server.socket, 4, SECTORS) as hostile:
        back.wait_log('is another back end')
        before = back.log.count('is another back end')
        with hostile.lock:
            hostile.memory.store(0, 0)
            back.wait_log('was formatted anew')
            hostile.memory.store(0, MAGIC)
        wait_until(lambda: back.log.count('is another back end') > before, 'the same again')
    front = attach()
    front.hello()
    works(front)
    assert back.process.poll() is None


@pytest.mark.attack("A36")
def test_doorbells_without_end(front: FrontEnd, honest: FrontEnd, back: BackEnd):
    """Most of them are not listened to."""
    before = back.report()['sleeps']
    for _ in range(4):
        front.do('ring', 50000)
        works(honest)
    assert back.report()['sleeps'] - before < 200000 / 8


# What waits in poll() for nothing then waits: others get in between
LATE = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <unistd.h>

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    static int (*real)(struct pollfd *, nfds_t, int);
    int ready;

    if (!real)
        real = (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");
    ready = real(fds, n, timeout);
    if (ready && !timeout)
        usleep(20000);
    return ready;
}
'''

# Leaves all doorbells of a peer writable for a moment, fills them up, makes them block and
# keeps them full, until a thread sleeps for that
FILL = '''
import os, select, sys, time
from contextlib import suppress
from pathlib import Path
from tests.server.client import Client
client = Client(Path(sys.argv[1])).handshake(4, 2)
fds = client.eventfds[int(sys.argv[2])]
tasks = Path(f'/proc/{sys.argv[3]}/task')

def sleeps():
    return any(task.joinpath('syscall').read_text().startswith('1 ')
               for task in tasks.iterdir())

def change(fd, full):
    os.set_blocking(fd, False)
    with suppress(BlockingIOError):
        os.eventfd_read(fd)
    with suppress(BlockingIOError):
        if full:
            os.eventfd_write(fd, (1 << 64) - 2)
    os.set_blocking(fd, True)

def slept():
    for fd in fds:
        change(fd, False)
    time.sleep(0.002)
    for _ in range(40):
        for fd in select.select([], fds, [], 0)[1]:
            change(fd, True)
        if all(sleeps() for _ in range(3)):
            return True
        time.sleep(0.001)
    return False

print('ready', flush=True)
while not slept():
    pass
'''


@pytest.mark.attack("A36")
def test_doorbells_that_block(server: Server, export, attach, image: Path, directory: Path):
    """The back end goes to sleep in one: all are served again, and it ends when told to."""
    late = directory / 'late.so'
    subprocess.run(['cc', '-shared', '-fPIC', '-x', 'c', '-', '-o', late], input=LATE,
                   text=True, check=True)
    back = export(image, prefix=['env', f'LD_PRELOAD={late}'])
    # One after the other: the back end is peer 0, the victim 1
    victim = attach()
    victim.hello()
    other = attach()
    other.hello()
    with subprocess.Popen([sys.executable, '-c', FILL, server.socket, '1', str(back.pid)],
                          cwd=ROOT, text=True, stdout=subprocess.PIPE) as filler:
        assert filler.stdout and filler.stdout.readline() == 'ready\n'
        until = time.monotonic() + 4 * BOUND
        while filler.poll() is None and time.monotonic() < until:
            with contextlib.suppress(Failed):
                works(victim)
        filler.kill()
        assert filler.wait() == 0, 'it never slept'
    for _ in range(3):
        works(other)
    back.end()
