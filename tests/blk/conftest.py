# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for the tests of the back end of disks, on a host without machines."""
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from lab import Server

from .disk import BackEnd, FrontEnd, program

ROOT = Path(__file__).resolve().parents[2]
SIZE = 8 << 20


@pytest.fixture(scope='session', autouse=True)
def built() -> None:
    """The programs that are tested, up to date unless named from outside."""
    if 'IVSHMEM_BLK_SERVER' not in os.environ:
        subprocess.run([ROOT / 'scripts/build-userspace'], check=True,
                       stdout=subprocess.DEVNULL)
    assert program().exists(), f'{program()} does not exist'


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory on a file system that is none of memory, open to all."""
    path = Path(tempfile.mkdtemp(prefix='ivs-', dir='/var/tmp'))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def stack(directory: Path) -> Iterator[contextlib.ExitStack]:
    """What is entered here ends with the test, before the directory goes."""
    with contextlib.ExitStack() as entered:
        yield entered


@pytest.fixture
def mount(directory: Path, stack):
    """Mount a file system: mount('tmpfs', 'none', '-o', 'size=1m')."""
    if os.geteuid():
        pytest.skip('only root may mount')

    def make(kind: str, source: Any, *options: str) -> Path:
        path = directory / kind
        path.mkdir()
        subprocess.run(['mount', '-t', kind, *options, source, path], check=True)
        stack.callback(subprocess.run, ['umount', '-l', path], check=True)
        return path
    return make


@pytest.fixture
def serve(stack: contextlib.ExitStack) -> Callable[..., Server]:
    """Start ivshmemd with a link: serve(layout='blk=disk0')."""
    def start(**keys: Any) -> Server:
        server = Server(**{'peers': 4, 'vectors': 2, **keys})
        stack.callback(server.remove)
        return server.start()
    return start


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server whose link has a BLK section of four peers and two queues."""
    return serve(size='64M', layout='blk=disk0:48M:queues=2')


@pytest.fixture
def image(directory: Path) -> Path:
    """A backing file of 8 MiB, of which each sector tells its number."""
    path = directory / 'disk.img'
    path.write_bytes(b''.join(f'sector {n:<504} '.encode() for n in range(SIZE // 512)))
    return path


@pytest.fixture
def export(stack: contextlib.ExitStack, server: Server) -> Callable[..., BackEnd]:
    """Start the back end: export(file, '--read-only')."""
    def start(*arguments: Any, **options: Any) -> BackEnd:
        return stack.enter_context(BackEnd(server.address, *arguments, **options))
    return start


@pytest.fixture
def attach(stack: contextlib.ExitStack, server: Server) -> Callable[..., FrontEnd]:
    """Start front ends."""
    def start(**options: Any) -> FrontEnd:
        return stack.enter_context(FrontEnd(server.address, **options))
    return start


@pytest.fixture
def back(export: Callable[..., BackEnd], image: Path) -> BackEnd:
    """A back end with the image."""
    return export(image)


@pytest.fixture
def front(back: BackEnd, attach: Callable[..., FrontEnd]) -> FrontEnd:
    """A front end of it."""
    front = attach()
    front.hello()
    return front


@pytest.fixture
def notifications(stack: contextlib.ExitStack) -> Callable[[Path], socket.socket]:
    """Make a socket for the notifications of a service."""
    def make(path: Path) -> socket.socket:
        notify = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify.bind(str(path))
        notify.settimeout(30)
        return notify
    return make
