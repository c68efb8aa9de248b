# SPDX-License-Identifier: GPL-2.0-only
"""The examples, each between peers of a server."""
import os
import random
import re
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from lab import Server
from lab.paths import ROOT, USERSPACE

BOUND = 60
ENVIRONMENT = {**os.environ, 'LD_LIBRARY_PATH': str(USERSPACE / 'lib'),
               'PYTHONPATH': str(ROOT / 'python')}


@pytest.fixture(scope='module', autouse=True)
def built() -> None:
    """The library, up to date."""
    subprocess.run([ROOT / 'scripts/build-userspace'], check=True,
                   stdout=subprocess.DEVNULL)


@pytest.fixture
def server() -> Iterator[Server]:
    """A link whose memory is one section for channels."""
    with Server(size='4M', peers=3, vectors=3, layout='raw') as running:
        yield running


class Example:
    """An example that runs, with what it says line by line."""

    def __init__(self, *command: Any) -> None:
        # Not a "with": the fixture ends it.
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=ENVIRONMENT)

    def type(self, line: str) -> None:
        """Give it a line."""
        assert self.process.stdin
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()

    def line(self) -> str:
        """The next line that it says."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip('\n')

    def done(self) -> str:
        """Wait until it has ended, without more to read; the rest that it says."""
        said = self.process.communicate(timeout=BOUND)[0]
        assert self.process.returncode == 0, said
        return said


@pytest.fixture
def start() -> Iterator[Callable[..., Example]]:
    """Starts examples by their names, and ends those that still run."""
    running: list[Example] = []

    def begin(name: str, *arguments: Any) -> Example:
        command = [USERSPACE / 'examples' / name]
        if name.endswith('.py'):
            command = ['/usr/bin/python3', ROOT / 'examples' / name]
        running.append(Example(*command, *map(str, arguments)))
        return running[-1]

    yield begin
    for example in running:
        example.process.kill()
        example.process.communicate()


def wait_joined(server: Server, slot: int, example: Example) -> None:
    """Wait until the server says that this example has this slot."""
    end = time.monotonic() + BOUND
    while f'slot {slot}: pid {example.process.pid} ' not in server.log:
        assert time.monotonic() < end, server.log
        time.sleep(0.01)


def test_hello_greets_both_ways(start):
    """Whoever comes first is told by whoever comes last."""
    with Server(size='64K', peers=2, vectors=1) as server:
        first = start('hello', server.address, 1)
        wait_joined(server, 0, first)
        second = start('hello', server.address, 0)
        assert first.done() == 'vector 0 was rung, peer 1 says: Hello from peer 1\n'
        assert second.done() == 'vector 0 was rung, peer 0 says: Hello from peer 0\n'


def test_hello_says_what_is_wrong():
    result = subprocess.run([USERSPACE / 'examples/hello', 'unix:/none', '1'],
                            check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == 'hello: unix:/none: No such file or directory\n'


def test_channel_asks_and_answers(start, server: Server):
    asks = start('channel', server.address, 1, 'How are you?')
    wait_joined(server, 0, asks)
    answers = start('channel', server.address, 0)
    assert asks.done() == 'I cannot tell.\n'
    assert answers.done() == 'How are you?\n'


def test_requests_are_answered_one_after_the_other(start, server: Server):
    """Also when the one who asked before has gone, and its slot is another's."""
    serves = start('requests', server.address)
    wait_joined(server, 0, serves)
    before = 'nothing'
    for word in ('one', 'two', 'three'):
        assert start('requests', server.address, 0, word).done() == f'{before}\n'
        before = word


def test_requests_of_two_at_a_time(start, server: Server):
    serves = start('requests', server.address)
    wait_joined(server, 0, serves)
    both = [start('requests', server.address, 0, word) for word in ('one', 'two')]
    assert sorted(example.done() for example in both) in (
        ['nothing\n', 'one\n'], ['nothing\n', 'two\n'])


@pytest.mark.parametrize('other', ['events', 'chat.py'])
def test_events_and_others_talk(start, server: Server, other: str):
    """A peer that has gone may come again."""
    stays = start('events', server.address, 1)
    wait_joined(server, 0, stays)
    for count in range(2):
        comes = start(other, server.address, 0)
        assert stays.line() == 'connected'
        if other == 'events':
            assert comes.line() == 'connected'
        comes.type(f'question {count}')
        assert stays.line() == f'peer: question {count}'
        stays.type(f'answer {count}')
        assert comes.line() == f'peer: answer {count}'
        assert comes.done() == ''
    assert stays.done() == ''


def test_chat_notices_that_the_other_one_has_gone(start, server: Server):
    stays = start('chat.py', server.address, 1)
    wait_joined(server, 0, stays)
    comes = start('events', server.address, 0)
    assert comes.line() == 'connected'
    # Who leaves at once may have gone before the other one has seen it
    comes.type('hello')
    assert stays.line() == 'peer: hello'
    comes.done()
    assert stays.line() == 'the other one has gone'
    assert stays.done() == ''


def test_frames_are_seen_as_they_were_drawn(start, server: Server):
    """All that were sent, however many were left out."""
    sees = start('frames', server.address, 1)
    wait_joined(server, 0, sees)
    sent = re.fullmatch(r'(\d+) sent, (\d+) left out\n',
                        start('frames', server.address, 0, 30).done())
    assert sent and int(sent[1]) + int(sent[2]) == 30 and int(sent[1])
    assert sees.done() == f'{sent[1]} seen, 0 damaged\n'


def test_uring_stores_what_comes(start, server: Server, tmp_path: Path):
    data = random.Random(1).randbytes(3_000_000)
    source, target = tmp_path / 'in', tmp_path / 'out'
    source.write_bytes(data)
    stores = start('uring', server.address, 1, target)
    wait_joined(server, 0, stores)
    subprocess.run(['/usr/bin/python3', '-c', SENDER, server.address, source],
                   check=True, env=ENVIRONMENT, timeout=BOUND)
    assert stores.done() == f'{len(data)} bytes\n'
    assert target.read_bytes() == data


SENDER = """
import sys
import ivshmem
with ivshmem.open(sys.argv[1]) as handle:
    handle.join()
    with open(sys.argv[2], 'rb') as source, handle.channel(0) as channel:
        channel.connect()
        while data := source.read(60_001):
            channel.send(data)
        channel.send(b'')
        channel.drain()
"""
