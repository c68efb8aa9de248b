# SPDX-License-Identifier: GPL-2.0-only
"""Sides that end, crash, come back, or were there already."""
import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

import pytest

from lab import Server
from lab.paths import USERSPACE
from tests.server.waiting import wait_until

from .disk import (BOUND, HELLO, OK, READ, READ_ONLY, REQUEST, WRITE, BackEnd, Failed, FrontEnd,
                   hello_record, program, request_record)


class Stress:
    """tests/blk/stress.c, a front end that checks what it reads; a context manager."""

    def __init__(self, link: str, seconds: int, seed: int) -> None:
        self.process = subprocess.Popen(
            [USERSPACE / 'tests/blk/blk_stress', link, str(seconds), str(seed)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self) -> tuple[int, int, int]:
        """Wait for it: how much it did, how much of it again, in how many sessions."""
        output, errors = self.process.communicate(timeout=2 * BOUND)
        assert not self.process.returncode, errors
        done, again, sessions = map(int, output.split())
        return done, again, sessions

    def __enter__(self) -> 'Stress':
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def empty(directory: Path) -> Path:
    """A backing file without anything in it, as tests/blk/stress.c wants it."""
    path = directory / 'empty.img'
    with open(path, 'wb') as file:
        file.truncate(8 << 20)
    return path


def test_all_that_is_read_is_what_was_written(export, server: Server, empty: Path):
    back = export(empty)
    with Stress(server.address, 3, 1) as stress:
        done, again, sessions = stress.end()
    assert done > 1000 and again == 0 and sessions == 1
    [last] = back.end()
    [front] = last['front_ends']
    assert front['faults'] == front['in_flight'] == 0
    assert sum(front['answers'].values()) == front['answers']['ok'] == done


@pytest.mark.attack("A34")
def test_back_ends_that_are_killed(export, server: Server, empty: Path):
    """A front end goes on with the next one, and nothing is lost or answered twice."""
    random.seed(4)
    with Stress(server.address, 10, 2) as stress:
        kills = 0
        while stress.process.poll() is None and kills < 12:
            back = export(empty)
            wait_until(lambda: back.report()['front_ends'] or
                       stress.process.poll() is not None, 'the front end to be there')
            time.sleep(random.random() / 2)
            back.kill()
            kills += 1
        export(empty)
        done, again, sessions = stress.end()
    assert kills >= 5 and sessions >= 5
    assert again, 'the back end was never killed with anything in flight'
    assert done > 500


def test_several_front_ends_are_served_at_once(export, server: Server, empty: Path):
    """One may write; the other reads what it writes."""
    back = export(empty)
    with Stress(server.address, 3, 3) as stress:
        # Who comes first may write.
        wait_until(lambda: any(f['state'] == 'up' for f in back.report()['front_ends']),
                   'the writer')
        with FrontEnd(server.address) as reader:
            assert reader.hello()['features'] == 1
            for sector in range(0, 8192, 64):
                assert reader.ask(READ, sector=sector, length=4096) == OK
        assert stress.end()[2] == 1


def test_a_front_end_that_is_killed(back: BackEnd, attach, image: Path):
    """In the middle of its requests: what it holds is released, others go on."""
    for n in range(4):
        front = attach()
        hello = front.hello()
        for m in range(100):
            front.request(READ, sector=m * 8, length=hello['max_length'])
        front.push()
        front.kill()
        wait_until(lambda: all(f['in_flight'] == 0 and f['state'] != 'up'
                               for f in back.report()['front_ends']),
                   'the back end to have ended all')
    front = attach()
    assert front.hello()['features'] & 1 == 0, 'the one before holds the right to write'
    assert front.read(7, 512).startswith(b'sector 7 ')


@pytest.mark.attack("A34")
def test_a_session_that_is_reset(front: FrontEnd, back: BackEnd):
    """What was in flight before is not answered after."""
    for n in range(20):
        for m in range(30):
            front.request(READ, sector=m * 8, length=65536, id=1000 + n)
        front.push()
        front.do('reset')
        front.hello()
        number = front.request(READ, sector=n, length=512, id=n)
        front.push()
        # Answers that came before the reset are of no interest.
        while True:
            [(_, answered, status)] = front.answers(1)
            if answered != 1000 + n:
                break
        assert (answered, status) == (number, OK)
    assert front.sessions() == 21
    assert back.front(1)['faults'] == 0


def test_a_back_end_that_ends_in_order(front: FrontEnd, back: BackEnd, export, image: Path):
    """What it has begun it ends."""
    data = os.urandom(65536)
    assert front.write(0, data) == OK
    back.end()
    export(image)
    front.hello()
    assert front.read(0, 65536) == data


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it(export, attach, image: Path, number: int):
    back = export(image)
    front = attach()
    front.hello()
    for m in range(200):
        front.request(WRITE, sector=m * 8, length=4096)
    front.push()
    [last] = back.end(number)
    assert all(f['in_flight'] == 0 for f in last['front_ends'])


@pytest.mark.attack("A34")
def test_a_file_is_exported_once(back: BackEnd, serve: Callable[..., Server], image: Path):
    """The second one waits, says who has it, and gives up."""
    other = serve(size='16M', layout='blk')
    begun = time.monotonic()
    reason = subprocess.run([program(), other.address, image], text=True, check=False,
                            capture_output=True, timeout=BOUND)
    assert reason.returncode == 1
    assert 'already exported' in reason.stderr
    assert f'process {back.pid}' in reason.stderr
    assert time.monotonic() - begun >= 9


def test_a_writer_keeps_readers_away_and_they_it(export, serve, stack, image: Path):
    """Any number may read, and none of them beside one that writes."""
    other, third = (serve(size='16M', layout='blk') for _ in range(2))
    readers = [stack.enter_context(BackEnd(link.address, image, '--read-only'))
               for link in (other, third)]
    with subprocess.Popen([program(), other.address, image], text=True,
                          stderr=subprocess.PIPE) as writer:
        assert writer.stderr
        assert 'in use; waiting' in writer.stderr.readline()
        writer.terminate()
        assert writer.wait(BOUND) == 0
    for reader in readers:
        reader.end()
    export(image).end()


def test_it_waits_for_its_predecessor(back: BackEnd, serve, stack, image: Path):
    """As it does after a crash, while the kernel still writes."""
    other = serve(size='16M', layout='blk')
    with subprocess.Popen([program(), '--json', other.address, image], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as after:
        assert after.stderr and after.stdout
        assert 'in use; waiting' in after.stderr.readline()
        back.end()
        assert 'front_ends' in after.stdout.readline()
        after.terminate()
        assert after.wait(BOUND) == 0


def test_a_section_has_one_back_end(back: BackEnd, front: FrontEnd, server: Server,
                                    directory: Path):
    """The second one says so and ends, and the first goes on."""
    other = directory / 'other.img'
    other.write_bytes(bytes(1 << 20))
    second = subprocess.run([program(), server.address, other], text=True, check=False,
                            capture_output=True, timeout=BOUND)
    assert second.returncode == 1
    assert 'has a back end already: peer 0, disk.img' in second.stderr
    assert front.read(1, 512).startswith(b'sector 1 ')


def test_the_writer_may_change(export, attach, image: Path):
    """The first one writes; the second once the first is gone."""
    export(image)
    first = attach()
    assert first.hello()['features'] & 1 == 0
    second = attach()
    assert second.hello()['features'] == 1
    assert second.write(0, bytes(512)) == 3
    # It may come back and write.
    first.do('reset')
    assert first.hello()['features'] & 1 == 0
    first.kill()
    wait_until(lambda: second.hello()['features'] & 1 == 0, 'the second one to write')
    assert second.write(0, bytes(512)) == OK


def test_a_writer_that_goes_while_its_link_rests(export, attach, image: Path):
    """It does not keep its right for ever."""
    back = export(image)
    first = attach()
    first.hello()
    second = attach()
    assert second.hello()['features'] == 1

    def rests_long() -> bool:
        with contextlib.suppress(Failed):
            first.hello()
            first.do('spoil', 'words')
        return back.front(1)['faults'] > 3
    wait_until(rests_long, 'its link to rest', BOUND)
    first.kill()
    wait_until(lambda: second.hello()['features'] & 1 == 0, 'the second one to write')


@pytest.mark.attack("A20")
def test_a_promise_that_was_not_made(export, attach, image: Path):
    """That who writes will only read can be what others have made of its hello."""
    back = export(image)
    first = attach(quiet=True)
    first.hello()
    first.do('record', 0, HELLO, hello_record().hex())
    first.push()
    back.wait_front(1, greeted=True)
    second = attach()
    assert second.hello()['features'] == 1
    first.do('reset')
    first.hello()
    first.do('record', 0, HELLO, hello_record(READ_ONLY).hex())
    first.push()
    back.wait_front(1, greeted=True)
    first.do('record', 0, REQUEST, request_record(WRITE).hex())
    first.push()
    back.wait_front(1, faults=1)
    assert second.hello()['features'] == 1
    assert first.hello()['features'] & 1 == 0


def test_who_only_reads_does_not_keep_others_from_writing(export, attach, image: Path):
    export(image)
    reader = attach(features=1)
    reader.hello()
    assert len(reader.read(0, 512)) == 512
    writer = attach()
    assert writer.hello()['features'] & 1 == 0
    assert writer.write(0, bytes(512)) == OK


def test_who_is_no_front_end_does_not_keep_others_from_writing(export, attach, image: Path):
    """Not for long: its link rests longer each time, and the other one is first."""
    export(image)
    wrong = attach(quiet=True)
    wrong.hello()
    other = attach()
    assert other.hello()['features'] == 1

    def writes() -> bool:
        with contextlib.suppress(Failed):
            wrong.do('record', 0, HELLO, '00' * 64)
            wrong.push()
        return other.hello()['features'] & 1 == 0
    wait_until(writes, 'the other one to write')
    assert other.write(0, bytes(512)) == OK


def test_all_may_write_where_that_is_wanted(export, attach, image: Path):
    export(image, '--writers=all')
    fronts = [attach(), attach()]
    for n, front in enumerate(fronts):
        assert front.hello()['features'] & 1 == 0
        assert front.write(n, bytes([n]) * 512) == OK
    assert fronts[0].read(1, 512) == b'\x01' * 512


def test_a_region_formatted_anew(back: BackEnd, front: FrontEnd, server: Server):
    """It takes part in the new one, as do the front ends."""
    subprocess.run([USERSPACE / 'tools/ivshmem/ivshmem', 'format', server.address, '--force',
                    'blk=disk0:16M'], check=True, stdout=subprocess.DEVNULL)
    back.wait_log('formatted anew')
    wait_until(lambda: back.front(1).get('greeted') and back.report()['queues'] == 1,
               'the front end to be back', BOUND)
    assert front.hello()['queues'] == 1
    assert front.read(3, 512).startswith(b'sector 3 ')


def test_it_goes_on_without_the_server(front: FrontEnd, back: BackEnd, server: Server):
    server.kill()
    assert front.read(9, 512).startswith(b'sector 9 ')
    back.end()
