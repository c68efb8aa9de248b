# SPDX-License-Identifier: GPL-2.0-only
"""What the tool says about servers that are none, or no good."""
import os
import socket
from pathlib import Path

import pytest

from .hostile import handshake
from .program import run

REFUSAL = {-87: 'every slot of the link is taken', -108: 'shutting down',
           -24: 'out of file descriptors', -13: 'permission denied',
           -122: 'as many slots as clients-per-user= allows',
           -11: 'connects too often'}


@pytest.mark.parametrize('version', [1, 2, -1, 1 << 40])
def test_wrong_version(hostile, version: int):
    server = hostile(version)
    assert 'does not speak the protocol' in run('info', server.address,
                                                status=1)


@pytest.mark.parametrize('version', REFUSAL)
def test_refusal(hostile, version: int):
    server = hostile(version)
    assert REFUSAL[version] in run('info', server.address, status=1)


@pytest.mark.parametrize('garbage', [
    b'HTTP/1.1 400 Bad Request\r\n\r\n', b'\xff' * 4096, b'\0' * 64,
    b'\0' * 8 + b'\xff' * 8, b'x'], ids=repr)
def test_garbage(hostile, garbage: bytes):
    server = hostile(garbage)
    assert 'does not speak the protocol' in run('info', server.address,
                                                status=1)


@pytest.mark.parametrize('steps', range(5))
def test_a_server_that_dies_in_the_handshake(hostile, steps: int):
    server = hostile(*handshake()[:steps])
    assert 'does not speak the protocol' in run('info', server.address,
                                                status=1)


def test_a_server_that_dies_after_the_handshake(hostile):
    server = hostile(*handshake())
    assert 'own id   1' in run('info', server.address)
    run('poke', server.address, '0', 'still here')
    assert 'still here' in run('dump', server.address)


def test_a_server_that_says_nothing(hostile):
    server = hostile(stays=True)
    assert 'the server does not answer' in run('info', server.address,
                                               status=1)


@pytest.mark.attack('A46')
def test_memory_that_vanishes_while_in_use(hostile, start):
    """The server takes the pages away that are mapped."""
    steps = handshake(1 << 20)
    server = hostile(*steps, stays=True)
    listener = start('ping', server.address, '--listen')
    listener.wait_said('listens on')
    os.ftruncate(steps[2][1], 0)
    listener.end(1)
    assert 'the shared memory is gone' in listener.said


@pytest.mark.parametrize('size', [1, 100, 4095, 5000])
def test_memory_of_odd_size(hostile, size: int):
    server = hostile(*handshake(size), stays=True)
    run('poke', server.address, str(size - 1), 'x')
    assert 'not inside' in run('poke', server.address, str(size), 'x',
                               status=1)


def test_stale_socket(directory: Path):
    path = directory / 'stale.sock'
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert 'no server is listening; start ivshmemd again' in run(
        'info', f'unix:{path}', status=1)


def test_no_socket(directory: Path):
    assert 'no such socket; start ivshmemd' in run(
        'info', f'unix:{directory}/none.sock', status=1)
    assert 'too long for a socket' in run('info', 'unix:/' + 'x' * 200,
                                          status=1)


@pytest.mark.parametrize('path, complaint', [
    ('/dev/null', 'not an ivshmem device'),
    ('/etc/passwd', 'not an ivshmem device'),
    ('/dev/ivshmem77', '`ivshmem doctor` tells what is missing'),
    ('/' + 'x' * 600, 'too long')])
def test_no_device(path: str, complaint: str):
    assert complaint in run('info', path, status=1)


def test_every_slot_taken(serve, join):
    link = serve(peers=2).address
    join(link)
    join(link)
    assert 'every slot of the link is taken' in run('info', link, status=1)


@pytest.mark.skipif(os.geteuid() != 0, reason='needs another user')
def test_no_permission(serve):
    link = serve(mode='0600').address
    Path(link[5:]).parent.chmod(0o755)
    complaint = run('info', link, status=1, user=65534, group=65534,
                    extra_groups=[])
    assert 'permission denied; the link\'s configuration' in complaint


def test_memory_that_vanishes_under_a_peer(hostile, start):
    """The thread that shows that it lives is the first to notice."""
    steps = handshake(1 << 20)
    memory = steps[2][1]
    server = hostile(*steps, stays=True)
    run('format', server.address, 'raw=lab:64K', '--peers', '2')
    peer = start('peers', server.address, '--join', '--watch')
    peer.wait_said('Ctrl-C ends')
    os.ftruncate(memory, 0)
    peer.end(1)
    assert 'the shared memory is gone' in peer.said
