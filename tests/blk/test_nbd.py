# SPDX-License-Identifier: GPL-2.0-only
"""NBD exports as disks: images of QEMU, and servers that fail."""
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.server.waiting import wait_until

from .disk import (BOUND, DISCARD, FLUSH, FUA, IO_ERROR, KEEP, NO_SPACE, OK, READ, WRITE,
                   ZEROES, BackEnd, run)


@pytest.fixture
def nbd(stack, directory: Path):
    """Start a server: nbd('qemu-nbd', ...); its URI."""
    def start(*command: Any) -> str:
        path = directory / 'nbd.sock'
        path.unlink(missing_ok=True)
        option = '--socket' if command[0] == 'qemu-nbd' else '--unix'
        process = subprocess.Popen([*map(str, command[:1]), option, path,
                                    *map(str, command[1:])])
        stack.callback(process.wait)
        stack.callback(process.kill)
        start.process = process
        wait_until(path.exists, 'the server to listen', BOUND)
        return f'nbd+unix:///?socket={path}'
    return start


def test_an_image_of_qemu(export, attach, nbd, directory: Path):
    """What is written to a qcow2 image is what qemu-img finds there."""
    image = directory / 'disk.qcow2'
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', image, '16M'], check=True)
    uri = nbd('qemu-nbd', '--format=qcow2', '--discard=unmap', '--persistent', image)
    back = export(uri)
    front = attach()
    hello = front.hello()
    assert hello['sectors'] == 32768 and hello['features'] == 0b11110
    data = random.randbytes(300 << 10)
    for queue in (0, 1):
        assert front.write(8 + 1024 * queue, data, queue=queue, flags=FUA) == OK
        assert front.read(8 + 1024 * queue, len(data), queue=queue) == data
    assert front.ask(FLUSH) == OK
    for flags in (0, KEEP, FUA):
        assert front.ask(ZEROES, sector=16, length=65536, flags=flags) == OK
        assert front.read(16, 65536) == bytes(65536)
    assert front.ask(DISCARD, sector=1024, length=65536) == OK
    back.end()
    start = directory / 'raw'
    nbd.process.terminate()
    nbd.process.wait(BOUND)
    subprocess.run(['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', image, start], check=True)
    raw = start.read_bytes()
    assert raw[4096:8192] == data[:4096] and raw[8192:8192 + 65536] == bytes(65536)
    assert raw[1032 * 512 + 65536:1032 * 512 + len(data)] == data[65536:]


def test_many_at_once(export, attach, nbd):
    """Large and small, both ways, answered in any order."""
    export(nbd('nbdkit', '--foreground', 'memory', '16M'))
    front = attach()
    most = front.hello()['max_length']
    for n in range(60):
        assert front.write(n * 256, bytes([n]) * 131072 if n % 9 == 0 else
                           bytes([n]) * 4096) == OK
    for n in range(200):
        front.request(READ, sector=n % 60 * 256, length=most if n % 20 == 0 else 4096,
                      buffer=0 if n % 20 == 0 else most)
    front.push()
    assert all(status == OK for _, _, status in front.answers(200))


@pytest.mark.attack("A33")
def test_more_at_once_than_are_begun(export, attach, nbd):
    """What is too much waits in the ring."""
    back = export(nbd('nbdkit', '--foreground', '--filter=delay', 'memory', '16M',
                      'rdelay=20ms'))
    front = attach()
    front.hello()
    for n in range(600):
        front.request(READ, sector=n, length=512, queue=n % 2)
    front.push()
    assert all(status == OK for _, _, status in front.answers(600))
    assert back.front(1)['full'] > 0


@pytest.mark.parametrize('error, status', [('EIO', IO_ERROR), ('ENOSPC', NO_SPACE)])
def test_errors_reach_the_front_end(export, attach, nbd, directory: Path, error: str,
                                    status: int):
    trigger = directory / 'fail'
    back = export(nbd('nbdkit', '--foreground', '--filter=error', 'memory', '16M',
                      f'error={error}', 'error-rate=100%', f'error-file={trigger}'))
    front = attach()
    front.hello()
    assert front.write(0, bytes(4096)) == OK
    trigger.write_text('')
    for _ in range(3):
        assert front.write(0, bytes(4096)) == status
    assert front.ask(READ, length=4096) == status
    trigger.unlink()
    assert front.write(0, bytes(4096)) == OK
    assert sum(back.front(1)['answers'].values()) == 6


def test_a_server_that_only_lets_read(server, nbd, attach):
    uri = nbd('nbdkit', '--foreground', '--readonly', 'memory', '16M')
    assert 'export it read-only' in run(server.address, uri, status=1)
    with BackEnd('--read-only', server.address, uri):
        front = attach()
        assert front.hello()['features'] == 1
        assert front.read(0, 4096) == bytes(4096)


def test_a_server_that_dies(export, attach, nbd, directory: Path):
    """The back end ends, and its successor goes on where it was."""
    command = ['nbdkit', '--foreground', '--filter=delay', 'memory', '16M', 'rdelay=2']
    back = export(nbd(*command))
    front = attach()
    front.hello()
    front.request(READ, length=4096)
    front.push()
    wait_until(lambda: back.front(1)['in_flight'] == 1, 'the request to be in flight')
    nbd.process.kill()
    back.wait(1)
    assert 'the NBD server is gone' in back.log
    export(nbd(*command[:2], 'memory', '16M'))
    front.hello()
    assert front.read(0, 4096) == bytes(4096)
    assert front.sessions() == 2


@pytest.mark.attack("A34")
def test_a_session_waits_for_what_the_one_before_has_begun(export, attach, nbd):
    """Else a write of before would be done after a read of now."""
    back = export(nbd('nbdkit', '--foreground', '--filter=delay', 'memory', '16M', 'wdelay=2'))
    front = attach()
    front.hello()
    data = random.randbytes(4096)
    front.do('write', 0, 0, data.hex())
    front.request(WRITE, length=len(data))
    front.push()
    wait_until(lambda: back.front(1)['in_flight'] == 1, 'the write to be in flight')
    front.do('reset')
    # Who has read it may use the buffer of the write for something else.
    front.hello()
    assert back.front(1)['in_flight'] == 0
    assert front.read(0, len(data)) == data
    assert back.front(1)['orphans'] == 1


def test_no_server(server, directory: Path):
    said = run(server.address, f'nbd+unix:///?socket={directory}/none', status=1)
    assert 'start the NBD server, or correct the URI' in said
    said = run(server.address, 'nbd://[', status=1)
    assert 'correct the URI' in said


def test_a_size_that_no_disk_has(server, nbd):
    said = run(server.address, nbd('nbdkit', '--foreground', 'memory', '1000'), status=1)
    assert 'its size of 1000 bytes is no multiple of 512; change it at the server' in said
