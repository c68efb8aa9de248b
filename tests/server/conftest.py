# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for the tests of ivshmemd: the real program on real sockets.

The program is build/meson/server/ivshmemd; $IVSHMEMD names another one, for
example a build with sanitizers.
"""
import grp
import os
import resource
import shutil
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from lab import newest

from .activation import Activation
from .qemu import Qemu
from .process import Server, program

ROOT = Path(__file__).resolve().parents[2]

# Clients of large links hold thousands of descriptors.
resource.setrlimit(resource.RLIMIT_NOFILE,
                   (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


@pytest.fixture(scope='session', autouse=True)
def built() -> None:
    """Say what to do if there is no program to test."""
    if not program().exists():
        pytest.fail(f'{program()} does not exist: run '
                    '`meson setup build/meson && ninja -C build/meson`')


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose path is short enough for sockets, open to all."""
    path = Path(tempfile.mkdtemp(prefix='ivs-', dir='/tmp'))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def serve(directory: Path):
    """Start servers; those that still run at the end must end cleanly."""
    servers: list[Server] = []

    def start(*arguments: str, **options) -> Server:
        servers.append(Server(directory, *arguments, **options))
        return servers[-1].wait_ready()

    yield start
    for server in servers:
        server.finish()


@pytest.fixture
def link(serve, directory: Path):
    """Start a server with one link, given by its keys; `link(peers=2)`."""
    def start(*arguments: str, link_name: str = 'lab', options=None,
              **keys) -> Server:
        keys.setdefault('socket', directory / f'{link_name}.sock')
        items = [f'{key}={value}' for key, value in keys.items()]
        return serve('--link', ','.join([link_name, *items]), *arguments,
                     **(options or {}))
    return start


@pytest.fixture
def activation(directory, serve):
    """Sockets to pass; closed at the end."""
    sockets = Activation(directory, serve)
    yield sockets
    for one in sockets.sockets:
        one.close()


@pytest.fixture
def control(directory: Path) -> Path:
    """Where a control socket can be."""
    return directory / 'control.sock'


@pytest.fixture(params=['host', 'newest'])
def qemu(request):
    """Start QEMUs without a guest, the host's and Debian's newest; they are killed at the
    end."""
    program = ['qemu-system-x86_64'] if request.param == 'host' else newest.command()
    machines: list[Qemu] = []

    def start(*arguments: str, **options) -> Qemu:
        machines.append(Qemu(*arguments, program=program, **options))
        return machines[-1]

    yield start
    for machine in machines:
        machine.kill()


@pytest.fixture
def other_group() -> str:
    """A group that a socket can be given to."""
    if os.geteuid() == 0:
        return grp.getgrgid(1).gr_name
    others = [gid for gid in os.getgroups() if gid != os.getegid()]
    return grp.getgrgid((others or [os.getegid()])[0]).gr_name
