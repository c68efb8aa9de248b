# SPDX-License-Identifier: GPL-2.0-only
"""The library from Python, between peers of a server."""
import ctypes
import errno
import gc
import os
import re
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from lab import Server
from lab.paths import USERSPACE

from .test_library import CALLS, HEADER

BOUND = 60
# A view of the ring could outlive it
IN_PLACE = {'reserve', 'commit', 'peek', 'release'}


@pytest.fixture
def server() -> Iterator[Server]:
    """A link of three peers with a section for channels."""
    with Server(size='8M', peers=3, vectors=3, layout='raw=lab:2M,,net') as running:
        yield running


@pytest.fixture
def pair(ivshmem: Any, server: Server) -> Iterator[tuple[Any, Any]]:
    """Two peers that have joined."""
    with ivshmem.open(server.address) as one, \
            ivshmem.open(server.address) as other:
        one.join('one')
        other.join('other')
        yield one, other


@pytest.fixture
def channels(pair: tuple[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """A channel between them."""
    one, other = pair[0].channel(1), pair[1].channel(0)
    connecting = threading.Thread(target=one.connect)
    connecting.start()
    other.connect(BOUND)
    connecting.join(BOUND)
    yield one, other


# What was declared twice

def test_all_calls_are_there_that_do_not_work_in_place(ivshmem: Any):
    # pylint: disable=protected-access
    bound = {f'ivshmem_{name}' for name in ivshmem._calls}
    assert set(CALLS) - bound == {f'ivshmem_channel_{name}' for name in IN_PLACE}


def test_structures_are_those_of_the_header(ivshmem: Any, tmp_path: Path):
    """Each member of each structure is where C puts it."""
    # pylint: disable=protected-access
    structures = {'info': ivshmem.Info, 'region': ivshmem.Region,
                  'section': ivshmem.Section, 'peer': ivshmem.Peer,
                  'channel_status': ivshmem.ChannelStatus,
                  'event': ivshmem._Event, 'format_options': ivshmem._FormatOptions}
    defined = set(re.findall(r'^struct ivshmem_(\w+) {', HEADER.read_text(), re.M))
    assert defined == set(structures)
    expected = {}
    lines = []
    for name, structure in structures.items():
        lines.append(f'S({name})')
        expected[name] = [ctypes.sizeof(structure)]
        for member, kind in structure._fields_:
            lines.append(f'M({name}, {member.lstrip("_")})')
            place = getattr(structure, member)
            expected[f'{name}.{member.lstrip("_")}'] = [place.offset, ctypes.sizeof(kind)]
    (tmp_path / 'layout.c').write_text(LAYOUT_C.replace('LINES', '\n'.join(lines)))
    subprocess.run(['cc', '-Wall', '-Werror', f'-I{HEADER.parent}', tmp_path / 'layout.c',
                    '-o', tmp_path / 'layout'], check=True)
    said = subprocess.run([tmp_path / 'layout'], check=True, capture_output=True, text=True)
    found = {words[0]: [int(word) for word in words[1:]]
             for words in map(str.split, said.stdout.splitlines())}
    assert found == expected


LAYOUT_C = """
#include <stddef.h>
#include <stdio.h>
#include <libivshmem.h>
#define S(name) printf("%s %zu\\n", #name, sizeof(struct ivshmem_##name));
#define M(name, member) printf("%s %zu %zu\\n", #name "." #member, \\
    offsetof(struct ivshmem_##name, member), \\
    sizeof(((struct ivshmem_##name *)NULL)->member));
int main(void) {
LINES
return 0; }
"""


def test_numbers_are_those_of_the_header(ivshmem: Any):
    """Each member of an enumeration has the header's value."""
    text = HEADER.read_text()
    for prefix, kind in (('BACKEND_', ivshmem.Backend), ('CACHED_', ivshmem.Cache),
                         ('', ivshmem.RegionState), ('', ivshmem.SectionType),
                         ('', ivshmem.PeerState), ('CHANNEL_', ivshmem.ChannelState)):
        for member in kind:
            assert re.search(rf'\bIVSHMEM_{prefix}{member.name} = {member.value},', text)


def test_the_version_is_that_of_the_library(ivshmem: Any):
    assert re.fullmatch(r'\d+\.\d+\.\d+', ivshmem.version())


def test_it_is_installed_where_python_looks(tmp_path: Path):
    subprocess.run(['meson', 'install', '--no-rebuild', '-C', USERSPACE, '--destdir',
                    tmp_path], check=True, capture_output=True)
    installed = next(tmp_path.rglob('ivshmem.py')).parent
    known = subprocess.run(['/usr/bin/python3', '-c', 'import sys; print(*sys.path, sep="\\n")'],
                           check=True, capture_output=True, text=True).stdout.splitlines()
    assert f'/{installed.relative_to(tmp_path)}' in known


# Opening

def test_what_a_link_is(ivshmem: Any, pair: tuple[Any, Any]):
    info = pair[1].info
    assert info.backend == ivshmem.Backend.SERVER and info.doorbell is True
    assert (info.peer_id, info.vectors, info.memory_size) == (1, 3, 8 << 20)
    assert 'peer_id=1' in repr(info) and 'Backend.SERVER' in repr(info)
    assert pair[0].peer_vectors(1) == 3


@pytest.mark.parametrize('address, kind, word', [
    ('unix:/none', FileNotFoundError, 'unix:/none'),
    ('/none', FileNotFoundError, '/none'),
    ('/dev/null', OSError, '/dev/null'),
    ('', OSError, ''),
])
def test_an_address_that_is_wrong(ivshmem: Any, address: str, kind: type, word: str):
    with pytest.raises(kind, match=word):
        ivshmem.open(address)


def test_what_is_closed_cannot_be_used(ivshmem: Any, server: Server):
    with ivshmem.open(server.address) as handle:
        assert not handle.closed
    assert handle.closed
    handle.close()
    with pytest.raises(ValueError, match='the handle is closed'):
        handle.ring(1)


def test_a_handle_that_nobody_refers_to_is_closed(ivshmem: Any, server: Server):
    """Or its slot would be taken for ever."""
    for _ in range(5):
        ivshmem.open(server.address)
        gc.collect()


def test_programs_that_are_started_get_nothing(ivshmem: Any, server: Server):
    """Each descriptor that the library opens is closed at exec."""
    def descriptors() -> set[int]:
        return {int(name) for name in os.listdir('/proc/self/fd')}
    before = descriptors()
    with ivshmem.open(server.address) as handle:
        handle.join()
        handle.channel(1).fileno()
        # Without that of the listing itself
        mine = [number for number in descriptors() - before
                if os.path.lexists(f'/proc/self/fd/{number}')]
        assert len(mine) > 6
        assert not any(os.get_inheritable(number) for number in mine)
    assert descriptors() == before


def test_reading_only(ivshmem: Any, server: Server):
    with ivshmem.open(server.address, readonly=True) as handle:
        with pytest.raises(OSError) as error:
            handle.ring(1)
        assert error.value.errno == errno.EBADF
        with pytest.raises(PermissionError):
            handle.map_section('lab')
        view = handle.map_section('lab', readonly=True)
        with pytest.raises(TypeError):
            view[0] = 1


# Memory

def test_memory_is_shared(pair: tuple[Any, Any]):
    mine, other = pair[0].map_section('lab'), pair[1].map_section('lab')
    assert len(mine) == 2 << 20
    mine[-5:] = b'hello'
    assert bytes(other[-5:]) == b'hello'


def test_memory_outlives_its_handle(ivshmem: Any, server: Server):
    with ivshmem.open(server.address) as handle:
        offset = handle.section('lab').offset
        whole = handle.map()
        part = handle.map(offset, 4096)[4:8]
    part[:] = b'kept'
    gc.collect()
    assert bytes(whole[offset + 4:offset + 8]) == b'kept'


def test_memory_that_nobody_refers_to_is_unmapped(pair: tuple[Any, Any]):
    def mappings() -> int:
        return Path('/proc/self/maps').read_text().count('ivshmem')
    gc.collect()
    before = mappings()
    part = pair[0].map()[10:20]
    assert mappings() == before + 1
    del part
    gc.collect()
    assert mappings() == before


@pytest.mark.parametrize('offset, length', [(1, 4096), (1 << 64, 4096), (-4096, 4096),
                                            (0, (1 << 64) + 4096), (8 << 20, 4096), (0, 16 << 20)])
def test_memory_that_is_not_there(pair: tuple[Any, Any], offset: int, length: int):
    with pytest.raises(OSError) as error:
        pair[0].map(offset, length)
    assert error.value.errno == errno.EINVAL


def test_a_server_has_no_dmabufs(pair: tuple[Any, Any]):
    with pytest.raises(OSError) as error:
        pair[0].export_dmabuf()
    assert error.value.errno == errno.EOPNOTSUPP


# Doorbells

def test_doorbells_arrive(ivshmem: Any, pair: tuple[Any, Any]):
    one, other = pair
    other.subscribe([2])
    other.wait(0)
    assert other.wait(0) == []
    one.ring(1, 1)
    one.ring(1, 2)
    assert select.select([other], [], [], BOUND)[0]
    assert other.wait(BOUND) == [ivshmem.Event(vector=2, count=1)]
    with pytest.raises(ValueError, match='vector 256'):
        other.subscribe([256])


def test_the_time_runs_out(pair: tuple[Any, Any]):
    pair[0].subscribe([2])
    begin = time.monotonic()
    assert pair[0].wait(0.05) == []
    assert time.monotonic() - begin >= 0.05


def test_signals_are_handled_while_it_waits(pair: tuple[Any, Any]):
    """One whose handler raises ends the wait; after another one it goes on."""
    handled = threading.Event()

    def go_on(*_: object) -> None:
        handled.set()
        signal.signal(signal.SIGUSR1, give_up)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def give_up(*_: object) -> None:
        raise InterruptedError('given up')

    main = threading.main_thread().ident
    assert main

    def send() -> None:
        # Again, should one come before the call
        while not done.wait(0.05):
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, go_on)
    done = threading.Event()
    sender = threading.Thread(target=send)
    pair[0].subscribe([2])
    sender.start()
    try:
        with pytest.raises(InterruptedError, match='given up'):
            pair[0].wait(BOUND)
    finally:
        done.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert handled.is_set()


def test_closing_waits_for_calls_of_others(ivshmem: Any, pair: tuple[Any, Any]):
    one, other = pair
    other.subscribe([2])
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.extend(other.wait(BOUND)))
    waiting.start()
    # pylint: disable=protected-access
    while not other._users:
        time.sleep(0.001)
    closing = threading.Thread(target=other.close)
    closing.start()
    while not other.closed:
        time.sleep(0.001)
    with pytest.raises(ValueError):
        other.wait(0)
    assert closing.is_alive()
    one.ring(1, 2)
    waiting.join(BOUND)
    closing.join(BOUND)
    assert got == [ivshmem.Event(2, 1)]


def test_closing_in_a_handler_does_not_wait_for_itself(pair: tuple[Any, Any]):
    def close(*_: object) -> None:
        pair[0].close()

    before = signal.signal(signal.SIGALRM, close)
    pair[0].subscribe([2])
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.05)
    try:
        with pytest.raises(RuntimeError, match='handler'):
            pair[0].wait(BOUND)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# The region

def test_what_is_in_the_region(ivshmem: Any, pair: tuple[Any, Any]):
    region = pair[0].region
    assert region.state == ivshmem.RegionState.ATTACHED
    assert (region.slots, region.slot, region.read_only) == (3, 0, False)
    assert [(section.name, section.type) for section in pair[0].sections()] == [
        ('lab', ivshmem.SectionType.RAW), ('net', ivshmem.SectionType.NET)]
    assert pair[0].section('lab').size == 2 << 20
    with pytest.raises(FileNotFoundError):
        pair[0].section('none')
    with pytest.raises(FileNotFoundError):
        pair[0].peer(3)
    assert [(peer.name, peer.state) for peer in pair[0].peers()] == [
        ('one', ivshmem.PeerState.ALIVE), ('other', ivshmem.PeerState.ALIVE),
        ('', ivshmem.PeerState.ABSENT)]


def test_a_change_is_noticed(ivshmem: Any, pair: tuple[Any, Any]):
    changes = pair[0].wait_change(0, 0)
    assert changes
    pair[1].leave()
    end = time.monotonic() + BOUND
    while pair[0].peer(1).state != ivshmem.PeerState.ABSENT:
        assert time.monotonic() < end
        changes = pair[0].wait_change(changes, 1)
    with pytest.raises(OSError) as error:
        pair[1].leave()
    assert error.value.errno == errno.ENOTCONN


def test_formatting(ivshmem: Any, server: Server):
    with ivshmem.open(server.address) as handle:
        with pytest.raises(OSError, match='disk'):
            handle.format('disk:1M', force=True)
        handle.format('raw=here:64K,raw=there', slots=2, force=True)
        assert [section.name for section in handle.sections()] == ['here', 'there']
        assert handle.region.slots == 2
        handle.erase(force=True)
        assert handle.region.state == ivshmem.RegionState.UNFORMATTED


# Channels

@pytest.mark.parametrize('data', [b'', b'x', bytearray(b'array'), memoryview(b'view'),
                                  memoryview(bytearray(b'0123456789'))[2:5]],
                         ids=['empty', 'bytes', 'bytearray', 'readonly', 'part'])
def test_messages_arrive(ivshmem: Any, channels: tuple[Any, Any], data: Any):
    one, other = channels
    one.send(data, kind=7)
    assert other.recv(BOUND) == ivshmem.Message(bytes(data), 7)


def test_messages_arrive_in_a_buffer(channels: tuple[Any, Any]):
    one, other = channels
    one.send(b'first', flags=1)
    one.send(b'second', 1)
    buffer = bytearray(5)
    assert other.recv_into(buffer, BOUND) == (5, 0)
    assert buffer == b'first'
    with pytest.raises(OSError) as error:
        other.recv_into(buffer, BOUND)
    assert error.value.errno == errno.EMSGSIZE
    with pytest.raises(TypeError):
        other.recv_into(b'constant', 0)
    assert other.recv().data == b'second'


def test_the_longest_message(channels: tuple[Any, Any]):
    one, other = channels
    data = os.urandom(one.max_length)
    one.send(data)
    assert other.recv(BOUND).data == data
    with pytest.raises(OSError) as error:
        one.send(data + b'x')
    assert error.value.errno == errno.EMSGSIZE


def test_waiting_on_a_channel(channels: tuple[Any, Any]):
    one, other = channels
    with pytest.raises(BlockingIOError):
        one.recv(timeout=0)
    with pytest.raises(TimeoutError):
        one.recv(timeout=0.01)
    other.send(b'now')
    assert select.select([one], [], [], BOUND)[0]
    assert one.recv(timeout=0).data == b'now'


def test_the_end_of_a_session(ivshmem: Any, channels: tuple[Any, Any]):
    one, other = channels
    one.set_spin(0)
    assert one.status.state == ivshmem.ChannelState.UP
    other.close()
    with pytest.raises(ConnectionResetError):
        one.recv(BOUND)
    assert one.status.state == ivshmem.ChannelState.OVER and one.status.reason
    with pytest.raises(ValueError, match='the channel is closed'):
        other.send(b'')


def test_a_cycle_is_collected(ivshmem: Any, server: Server):
    """Whichever of handle and channel goes first."""
    class Holder:
        """Refers to itself."""

    for _ in range(20):
        holder = Holder()
        holder.itself = holder
        holder.handle = ivshmem.open(server.address)
        holder.handle.join()
        holder.channel = holder.handle.channel(1, 'lab')
        del holder
        gc.collect()


def test_a_channel_that_is_opened_while_its_handle_is_closed(ivshmem: Any, server: Server):
    """It is closed as well, or is not opened."""
    for _ in range(50):
        handle = ivshmem.open(server.address)
        handle.join()
        opened: list[Any] = []

        def begin() -> None:
            try:
                opened.append(handle.channel(1, 'lab'))
            except ValueError:
                pass

        opening = threading.Thread(target=begin)
        opening.start()
        handle.close()
        opening.join(BOUND)
        assert all(channel.closed for channel in opened)


def test_a_handle_closes_its_channels(pair: tuple[Any, Any]):
    channel = pair[0].channel(1, 'lab')
    with pytest.raises(OSError) as error:
        pair[0].channel(1)
    assert error.value.errno == errno.EBUSY
    pair[0].close()
    assert channel.closed
