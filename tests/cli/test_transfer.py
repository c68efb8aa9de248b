# SPDX-License-Identifier: GPL-2.0-only
"""send and recv between processes of the host: what arrives, and what if not."""
import json
import os
import random
import re
import signal
import stat
import struct
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from .program import BOUND, Running, program, run

LAYOUT = 'raw=lab:2M'
# Kinds of messages
HELLO, DATA, END = 0x49560001, 0x49560002, 0x49560003
XXH64_OF_ABCD = 0xde0327b0d25d92cc


@pytest.fixture
def link(serve: Callable[..., Any]) -> str:
    """A link of four peers with a section for channels."""
    return serve(peers=4, vectors=4, size='4M', layout=LAYOUT).address


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that the test feeds."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


def some_bytes(count: int) -> bytes:
    """Bytes that do not repeat."""
    return random.Random(count).randbytes(count)


def recv(start: Callable[..., Running], link: str, *arguments: Any) -> Running:
    """A receiver whose name is bob."""
    return start('recv', link, *arguments, '--name', 'bob')


def send(start: Callable[..., Running], link: str, *arguments: Any,
         **options: Any) -> Running:
    """A sender to bob whose name is alice."""
    return start('send', link, 'bob', *arguments, '--name', 'alice', **options)


@pytest.mark.parametrize('size', [0, 1, 4096, 3_000_017])
@pytest.mark.parametrize('sender', [[], ['alice']], ids=['any', 'named'])
def test_a_file_arrives(start, link: str, tmp_path: Path, size: int,
                        sender: list[str]):
    source, target = tmp_path / 'in', tmp_path / 'out'
    source.write_bytes(some_bytes(size))
    receiver = recv(start, link, *sender, '-o', target, '--json')
    said = json.loads(send(start, link, source, '--json').end())
    heard = json.loads(receiver.end())
    assert target.read_bytes() == source.read_bytes()
    assert said['bytes'] == heard['bytes'] == size
    assert said['xxh64'] == heard['xxh64']
    assert (said['peer_name'], heard['peer_name']) == ('bob', 'alice')
    assert os.listdir(tmp_path) == ['in', 'out'] or \
        os.listdir(tmp_path) == ['out', 'in']


def test_the_checksum_is_that_of_xxh64(start, link: str, tmp_path: Path):
    """Of no bytes it is known."""
    target = tmp_path / 'out'
    receiver = recv(start, link, '-o', target, '--json')
    assert json.loads(send(start, link, '--json').end())['xxh64'] == \
        'ef46db3751d8e999'
    receiver.end()


def test_standard_input_and_output(link: str, tmp_path: Path):
    data = some_bytes(1_000_000).hex()
    target = tmp_path / 'out'
    with target.open('w') as output, \
            subprocess.Popen([program(), 'recv', link, '--name', 'bob'],
                             stdout=output) as receiver:
        run('send', link, 'bob', input=data)
        assert receiver.wait(BOUND) == 0
    assert target.read_text() == data


def test_the_sender_may_come_first(start, link: str, tmp_path: Path):
    source, target = tmp_path / 'in', tmp_path / 'out'
    source.write_bytes(b'early')
    sender = send(start, link, source).wait_said(
        'waiting for peer bob ... (Ctrl-C ends)')
    recv(start, link, '-o', target).end()
    sender.end()
    assert target.read_bytes() == b'early'


def test_one_after_the_other(start, link: str, tmp_path: Path):
    """Nothing of an earlier one disturbs."""
    for count in range(5):
        source, target = tmp_path / f'in{count}', tmp_path / f'out{count}'
        source.write_bytes(some_bytes(100_000 + count))
        receiver = recv(start, link, '-o', target)
        send(start, link, source).end()
        receiver.end()
        assert target.read_bytes() == source.read_bytes()


def test_an_existing_file_is_replaced_as_a_whole(start, link: str,
                                                 tmp_path: Path):
    source, target = tmp_path / 'in', tmp_path / 'out'
    source.write_bytes(b'new')
    target.write_bytes(b'much older')
    target.chmod(0o640)
    receiver = recv(start, link, '-o', target)
    send(start, link, source).end()
    receiver.end()
    assert target.read_bytes() == b'new'
    assert target.stat().st_mode & 0o777 == 0o640


def has_written(receiver: Running, count: int) -> bool:
    """Whether it has so many bytes in its file, which has no name yet."""
    for path in Path(f'/proc/{receiver.process.pid}/fd').iterdir():
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size == count:
            return True
    return False


def begun(start: Callable[..., Running], link: str, tmp_path: Path,
          pipe: tuple[int, int]) -> tuple[Running, Running, Path]:
    """A transfer that waits for more input, some of which has arrived."""
    target = tmp_path / 'out'
    receiver = recv(start, link, '-o', target)
    sender = send(start, link, stdin=pipe[0])
    os.write(pipe[1], b'x' * 5000)
    end = time.monotonic() + BOUND
    while not has_written(receiver, 5000):
        assert time.monotonic() < end, (sender.said, receiver.said)
        time.sleep(0.01)
    return sender, receiver, target


def test_a_sender_that_is_killed(start, link: str, tmp_path: Path, pipe):
    sender, receiver, target = begun(start, link, tmp_path, pipe)
    sender.interrupt(signal.SIGKILL)
    receiver.end(1)
    assert re.search(r'peer alice: the transfer broke off: .*; 5000 bytes have '
                     r'arrived, and nothing of it is kept; start both sides '
                     r'again', receiver.said)
    assert not list(tmp_path.iterdir())


def test_a_receiver_that_is_killed(start, link: str, tmp_path: Path, pipe):
    sender, receiver, _ = begun(start, link, tmp_path, pipe)
    receiver.interrupt(signal.SIGKILL)
    sender.end(1)
    assert not list(tmp_path.iterdir())
    assert re.search(r'peer bob: the transfer broke off: .*; 4.9 KiB were sent, '
                     r'and are not confirmed; start both sides again',
                     sender.said)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_sender_that_is_interrupted(start, link: str, tmp_path: Path, pipe,
                                      number: int):
    sender, receiver, _ = begun(start, link, tmp_path, pipe)
    sender.interrupt(number)
    sender.end(1)
    receiver.end(1)
    assert 'interrupted after 4.9 KiB' in sender.said
    assert 'peer alice: the sender was interrupted; 5000 bytes have arrived, ' \
           'and nothing of it is kept' in receiver.said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP])
def test_a_receiver_that_is_interrupted(start, link: str, tmp_path: Path, pipe,
                                        number: int):
    sender, receiver, _ = begun(start, link, tmp_path, pipe)
    receiver.interrupt(number)
    receiver.end(1)
    sender.end(1)
    assert 'interrupted; 5000 bytes have arrived' in receiver.said
    assert 'peer bob: the receiver was interrupted after 5000 bytes' in \
        sender.said
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_full(start, link: str, tmp_path: Path):
    source = tmp_path / 'in'
    source.write_bytes(some_bytes(5_000_000))
    receiver = recv(start, link, '-o', '/dev/full')
    sender = send(start, link, source)
    receiver.end(1)
    sender.end(1)
    assert '/dev/full: No space left on device' in receiver.said
    assert 'the receiver cannot write its output, after 0 bytes: No space left ' \
           'on device' in sender.said


def test_an_input_that_cannot_be_read(start, link: str, tmp_path: Path):
    """The memory of a process begins with a page that is not there."""
    receiver = recv(start, link, '-o', tmp_path / 'out')
    sender = send(start, link, '/proc/self/mem')
    sender.end(1)
    receiver.end(1)
    assert '/proc/self/mem: Input/output error' in sender.said
    assert 'peer alice: the sender cannot read its input: Input/output error' \
        in receiver.said
    assert not list(tmp_path.iterdir())


def test_a_directory_is_refused_at_once(link: str, tmp_path: Path):
    assert f'{tmp_path}: Is a directory' in run('send', link, 'bob', tmp_path,
                                                status=1)


def test_two_senders(start, link: str, tmp_path: Path):
    source = tmp_path / 'in'
    source.write_bytes(b'x')
    one = start('send', link, 'one', source, '--name', 'zero').wait_said(
        'waiting for peer one ... (Ctrl-C ends)')
    other = start('send', link, 'zero', source, '--name', 'one')
    one.end(1)
    other.end(1)
    assert any('it does not receive; run `ivshmem recv` there' in sender.said
               for sender in (one, other))


def wait_for_peer(link: str, name: str) -> int:
    """Wait until a peer with that name is there; its slot."""
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        for peer in json.loads(run('peers', link, '--json'))['peers']:
            if peer['name'] == name and peer['state'] == 'alive':
                return peer['slot']
    raise AssertionError(f'{name} did not come')


def test_the_death_of_a_third_peer_does_not_matter(start, link: str,
                                                   tmp_path: Path, pipe):
    sender, receiver, target = begun(start, link, tmp_path, pipe)
    third = start('peers', link, '--join', '--watch', '--name', 'carol')
    wait_for_peer(link, 'carol')
    third.interrupt(signal.SIGKILL)
    third.end(-signal.SIGKILL)
    run('recv', link, 'alice', '--timeout', '0.5', status=1)
    os.write(pipe[1], b'the end')
    os.close(pipe[0])
    os.close(pipe[1])
    sender.end()
    receiver.end()
    assert target.read_bytes() == b'x' * 5000 + b'the end'


def test_progress_is_shown_after_two_seconds(start, link: str, tmp_path: Path,
                                             pipe):
    sender, receiver, _ = begun(start, link, tmp_path, pipe)
    for running in (sender, receiver):
        running.wait_said('4.9 KiB, ')
    os.close(pipe[0])
    os.close(pipe[1])
    sender.end()
    receiver.end()
    assert re.search(r'sent 4.9 KiB in \d+\.\d s, ', sender.said)
    assert re.search(r'received 4.9 KiB in \d+\.\d s, ', receiver.said)


def test_nobody_comes_in_time(link: str, tmp_path: Path):
    assert 'peer bob did not come in time' in \
        run('send', link, 'bob', '--timeout', '0.1', status=1)
    assert 'peer 2 did not come in time' in \
        run('send', link, '2', '--timeout', '0.1', status=1)
    assert 'somebody who sends did not come in time' in \
        run('recv', link, '-o', tmp_path / 'out', '--timeout', '0.1', status=1)
    assert not list(tmp_path.iterdir())


def test_waiting_can_be_interrupted(start, link: str):
    receiver = recv(start, link).wait_said('waiting for somebody who sends')
    receiver.interrupt()
    receiver.end(1)
    assert 'interrupted while waiting for somebody who sends' in receiver.said


@pytest.mark.parametrize('layout, arguments, complaint', [
    (None, [], 'the memory is not formatted; `ivshmem format` does it'),
    ('raw=a:1M,raw=b:1M', [], 'several sections would do; name one by --section'),
    ('net:2M', [], 'there is no section for channels'),
    ('net:2M', ['--section', 'net'], 'section net is not of type raw'),
    ('raw=s:16K', ['--section', 's'], 'section s is too small for channels'),
    ('raw=s:1M', ['--section', 'x'], 'there is no section x'),
])
def test_what_is_wrong_with_the_region(serve, layout: str, arguments: list[str],
                                       complaint: str):
    # In --link a comma that does not end a key is written twice.
    keys = {'layout': layout.replace(',', ',,')} if layout else {}
    link = serve(peers=4, vectors=2, size='4M', **keys).address
    for command in (['send', link, '1'], ['recv', link, '1'], ['recv', link]):
        assert complaint in run(*command, *arguments, status=1)


@pytest.mark.parametrize('arguments, complaint', [
    (['send'], 'one peer is needed'),
    (['send', ''], 'one peer is needed'),
    (['recv', ''], 'the name of the peer is empty'),
    (['send', '1', 'a', 'b'], 'b: one file at a time'),
    (['recv', '1', 'a'], 'a: one peer at a time'),
    (['recv', '--json'], '--json needs -o'),
    (['recv', '--timeout', '0'], '--timeout 0: malformed or out of range'),
    (['send', '1', '--section', ''], '--section : malformed or out of range'),
])
def test_wrong_usage(arguments: list[str], complaint: str):
    assert complaint in run(*arguments, status=2)


def test_a_sender_that_sends_more_than_it_announced(start, join, link: str,
                                                    tmp_path: Path):
    receiver = recv(start, link, '-o', tmp_path / 'out')
    sender = join(link)
    sender.connect(wait_for_peer(link, 'bob'), 'mallory')
    sender.send(HELLO, struct.pack('<IIQ', 1, 0, 1000))
    sender.send(DATA, b'x' * 600)
    sender.send(DATA, b'x' * 600)
    receiver.end(1)
    assert 'peer mallory: it sends something else than `ivshmem send`' in \
        receiver.said
    assert not list(tmp_path.iterdir())


@pytest.mark.attack('A20')
@pytest.mark.parametrize('length, checksum, right', [
    (4, XXH64_OF_ABCD, True), (4, XXH64_OF_ABCD ^ 1, False), (5, XXH64_OF_ABCD, False)])
def test_what_is_overwritten_on_its_way(start, join, link: str, tmp_path: Path, length: int,
                                        checksum: int, right: bool):
    """What has arrived is compared with what was sent; if it differs nothing is kept."""
    receiver = recv(start, link, '-o', tmp_path / 'out')
    sender = join(link)
    sender.connect(wait_for_peer(link, 'bob'), 'alice')
    sender.send(HELLO, struct.pack('<IIQ', 1, 0, 100))
    sender.send(DATA, b'abcd')
    sender.send(END, struct.pack('<IIQQ', 0, 0, length, checksum))
    receiver.end(0 if right else 1)
    assert ('is not what was sent' in receiver.said) != right
    assert list(tmp_path.iterdir()) == [tmp_path / 'out'] * right


def test_a_file_that_grows_ends_where_it_did(start, link: str, tmp_path: Path):
    source, target = tmp_path / 'in', tmp_path / 'out'
    source.write_bytes(b'before')
    # It has been looked at once the sender waits.
    sender = send(start, link, source).wait_said('waiting for peer bob')
    with source.open('ab') as output:
        output.write(b' and after')
    recv(start, link, '-o', target).end()
    sender.end()
    assert target.read_bytes() == b'before'


def test_a_file_although_standard_output_is_closed(start, link: str,
                                                   tmp_path: Path):
    source, target = tmp_path / 'in', tmp_path / 'out'
    source.write_bytes(some_bytes(100_000))
    sender = start('send', link, 'bob', source)
    subprocess.run(['sh', '-c', 'exec "$@" <&- >&-', 'sh', program(), 'recv',
                    link, '--name', 'bob', '-o', target],
                   check=True, timeout=BOUND)
    sender.end()
    assert target.read_bytes() == source.read_bytes()


def test_a_closed_standard_output(start, link: str, tmp_path: Path):
    source = tmp_path / 'in'
    source.write_bytes(b'lost')
    sender = start('send', link, 'bob', source)
    result = subprocess.run(['sh', '-c', 'exec "$@" >&-', 'sh', program(),
                             'recv', link, '--name', 'bob'],
                            check=False, text=True, stderr=subprocess.PIPE,
                            timeout=BOUND)
    sender.end(1)
    assert result.returncode == 1
    assert 'standard output: Bad file descriptor' in result.stderr


def test_what_is_overwritten_while_the_output_does_not_drain(start, join,
                                                            link: str):
    """What was taken into account is what is written."""
    receiver = recv(start, link)
    sender = join(link)
    sender.connect(wait_for_peer(link, 'bob'), 'mallory')
    sender.send(HELLO, struct.pack('<IIQ', 1, 0, 3 * 32768))
    for _ in range(3):
        sender.send(DATA, b'\xa5' * 32768)
    # More than a pipe takes.
    sender.drain()
    run_of_data = b'\xa5' * 1024
    whole = bytes(sender.memory)
    for offset in range(0, len(whole), len(run_of_data)):
        there = slice(offset, offset + len(run_of_data))
        if whole[there] == run_of_data:
            sender.memory[there] = b'\x5a' * len(run_of_data)
    output = receiver.process.stdout
    assert output.buffer.read(3 * 32768) == b'\xa5' * (3 * 32768)


@pytest.mark.parametrize('blocking', [True, False])
def test_a_receiver_that_is_interrupted_while_the_output_does_not_drain(
        start, join, link: str, pipe: tuple[int, int], blocking: bool):
    os.set_blocking(pipe[1], blocking)
    with subprocess.Popen([program(), 'recv', link, '--name', 'bob'],
                          stdout=pipe[1], stderr=subprocess.PIPE,
                          text=True) as receiver:
        sender = join(link)
        sender.connect(wait_for_peer(link, 'bob'), 'alice')
        sender.send(HELLO, struct.pack('<IIQ', 1, 0, 3 * 32768))
        for _ in range(3):
            sender.send(DATA, b'x' * 32768)
        # More than a pipe takes.
        sender.drain()
        receiver.terminate()
        _, said = receiver.communicate(timeout=BOUND)
    assert receiver.returncode == 1
    assert 'interrupted; 65536 of 98304 bytes have arrived' in said


def test_a_sender_that_says_nothing(start, join, link: str, tmp_path: Path):
    receiver = recv(start, link, 'mallory', '-o', tmp_path / 'out',
                    '--timeout', '5')
    join(link).connect(wait_for_peer(link, 'bob'), 'mallory')
    receiver.end(1)
    # Only on a loaded machine it did not connect either.
    assert 'it is there, but did not begin to send in time' in receiver.said \
        or 'did not come in time' in receiver.said


def test_an_own_slot_is_no_peer(link: str):
    assert 'peer 0: no such slot, or one\'s own' in run('send', link, '0',
                                                        status=1)
    for number in ('4', '64', '18446744073709551615'):
        assert f'peer {number}: no such slot, or one\'s own' in \
            run('send', link, number, status=1)
