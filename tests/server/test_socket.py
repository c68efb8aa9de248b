# SPDX-License-Identifier: GPL-2.0-only
"""The socket's file: who else is there, what is in the way, what is left."""
import grp
import os
import signal
import socket
import stat
import subprocess

import pytest

from .client import Client
from .process import refused, unprivileged


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_clean_end(link, number):
    """Socket and lock are removed, clients are let go, the status is 0."""
    server = link()
    path = server.directory / 'lab.sock'
    with Client(path).handshake(8, 4) as client:
        assert server.stop(number) == 0
        assert client.message() is None
    assert not list(server.directory.glob('lab.sock*'))
    server.wait_notification('STOPPING=1')


def test_second_server(link, directory):
    """It is refused and told by whom; the first one is not disturbed."""
    server = link()
    path = directory / 'lab.sock'
    for _ in range(2):
        reason = refused('--link', f'lab,socket={path}', status=1)
        assert f'another ivshmemd serves it (pid {server.pid})' in reason
    with Client(path).handshake(8, 4) as client:
        assert client.id == 0


def test_stale_socket(link, directory):
    """After kill -9 the next server takes over without being asked."""
    first = link()
    first.stop(signal.SIGKILL)
    assert (directory / 'lab.sock').is_socket()
    assert (directory / 'lab.sock.lock').exists()
    second = link()
    with Client(directory / 'lab.sock').handshake(8, 4):
        pass
    assert second.stop() == 0
    assert not list(directory.glob('lab.sock*'))


def test_first_server_ends_last(link, directory):
    """A server removes its own socket only: one whose socket was removed by
    hand does not take away what is there now."""
    server = link()
    path = directory / 'lab.sock'
    path.unlink()
    path.write_text('somebody else\'s')
    assert server.stop() == 0
    assert path.read_text() == 'somebody else\'s'


def test_path_is_a_file(directory):
    """What is no socket is never removed."""
    path = directory / 'lab.sock'
    path.write_text('precious')
    reason = refused('--link', f'lab,socket={path}', status=1)
    assert f'{path}: is there and not a socket; remove it' in reason
    assert path.read_text() == 'precious'
    assert not (directory / 'lab.sock.lock').exists()


def test_path_is_a_symbolic_link(directory):
    """Nor is what it points to."""
    path = directory / 'lab.sock'
    path.symlink_to('/etc/passwd')
    assert 'not a socket' in refused('--link', f'lab,socket={path}', status=1)
    assert path.is_symlink()


def test_another_program_listens(directory):
    """A socket that is in use is not taken, though nobody holds our lock."""
    path = directory / 'lab.sock'
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        reason = refused('--link', f'lab,socket={path}', status=1)
    assert f'{path}: another program may be listening on it' in reason
    assert path.is_socket()


def test_missing_directory(directory):
    """The directory is named, and what to do about it."""
    path = directory / 'no/lab.sock'
    reason = refused('--link', f'lab,socket={path}', status=1)
    assert f'{path}.lock: its directory does not exist; create it' in reason


def test_unwritable_directory(directory):
    """Without permission to write there is no server."""
    directory.chmod(0o555)
    reason = refused('--link', f'lab,socket={directory}/lab.sock', status=1,
                     **unprivileged())
    assert 'cannot write to its directory: Permission denied; allow user' \
        in reason
    directory.chmod(0o777)


def test_path_too_long(directory):
    """The system's limit is checked before anything is made."""
    path = directory / ('x' * 100)
    reason = refused('--link', f'lab,socket={path}', status=2)
    assert 'longer than the 107 characters' in reason


@pytest.mark.parametrize('mode', ['0600', '0660', '0666', '0770'])
def test_mode(serve, directory, mode):
    """The socket has the mode that was asked for, whatever the umask is."""
    serve('--link', f'lab,socket={directory}/lab.sock,mode={mode}',
          preexec_fn=lambda: os.umask(0o077))
    result = stat.S_IMODE((directory / 'lab.sock').stat().st_mode)
    assert result == int(mode, 8)


def test_default_mode(link, directory):
    """Others cannot connect unless that is asked for."""
    link()
    assert stat.S_IMODE((directory / 'lab.sock').stat().st_mode) == 0o660


def test_group(link, directory, other_group):
    """The socket can be given to a group."""
    link(group=other_group)
    status = (directory / 'lab.sock').stat()
    assert grp.getgrgid(status.st_gid).gr_name == other_group
    assert stat.S_IMODE(status.st_mode) == 0o660


def test_foreign_group(directory):
    """Not everybody may do so; then nothing is left behind."""
    reason = refused('--link', f'lab,socket={directory}/lab.sock,group=root',
                     status=1, **unprivileged())
    assert 'cannot give it to the user and group that are set for it' in reason
    assert not list(directory.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can change users')
def test_user_and_permission(link, directory):
    """The owner can connect, a stranger cannot."""
    link(user='nobody', mode='0600', peers=2, vectors=1)
    code = 'import socket, sys; socket.socket(1).connect(sys.argv[1])'
    command = ['/usr/bin/python3', '-c', code, directory / 'lab.sock']
    for user, status in (('nobody', 0), ('daemon', 1)):
        result = subprocess.run(command, user=user, extra_groups=[],
                                stderr=subprocess.DEVNULL, check=False)
        assert result.returncode == status
