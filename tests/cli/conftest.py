# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for the tests of the command line tool on a host."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from lab import Server

from .hostile import HostileServer
from .peer import Peer
from .program import Running, program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session', autouse=True)
def built() -> None:
    """The programs that are tested, up to date unless named from outside."""
    if 'IVSHMEM' not in os.environ:
        subprocess.run([ROOT / 'scripts/build-userspace'], check=True,
                       stdout=subprocess.DEVNULL)
    assert program().exists(), f'{program()} does not exist'


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose path is short enough for sockets, open to all."""
    path = Path(tempfile.mkdtemp(prefix='ivs-', dir='/tmp'))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def serve(directory: Path) -> Iterator[Callable[..., Server]]:
    """Start ivshmemd with a link: serve(peers=2); it ends with the test."""
    servers: list[Server] = []

    def start(**keys: Any) -> Server:
        keys.setdefault('size', '1M')
        keys.setdefault('directory', directory)
        servers.append(Server(**keys))
        return servers[-1].start()

    yield start
    for server in servers:
        server.remove()


@pytest.fixture
def link(serve: Callable[..., Server]) -> str:
    """Address of a link of four peers with four vectors and 1 MiB."""
    return serve(peers=4, vectors=4).address


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start the tool; what still runs at the end is killed."""
    programs: list[Running] = []

    def begin(*arguments: Any, **options: Any) -> Running:
        programs.append(Running(*arguments, **options))
        return programs[-1]

    yield begin
    for running in programs:
        running.remove()


@pytest.fixture
def join() -> Iterator[Callable[[str], Peer]]:
    """Join links from within the test."""
    peers: list[Peer] = []

    def join_link(address: str) -> Peer:
        peers.append(Peer(address))
        return peers[-1]

    yield join_link
    for peer in peers:
        peer.close()


@pytest.fixture
def hostile(directory: Path) -> Iterator[Callable[..., HostileServer]]:
    """Start servers that break the rules."""
    servers: list[HostileServer] = []

    def start_server(*steps: Any, **options: Any) -> HostileServer:
        path = directory / f'hostile-{len(servers)}.sock'
        servers.append(HostileServer(path, steps, **options))
        return servers[-1]

    yield start_server
    for server in servers:
        server.close()
