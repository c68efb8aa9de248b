# SPDX-License-Identifier: GPL-2.0-only
"""The region is formatted when its memory is made, and a file is not lost."""
import os
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from . import region
from .client import Client
from .process import refused, run
from .region import BLK, NET, PAGE, RAW, Section
from .test_memory import huge_pages

LAB = [Section(NET, 1024, 1, 1, 'net'), Section(RAW, 256, 2, 1, 'lab')]


def formatted(server, peers: int = 8, vectors: int = 4) -> region.Superblock:
    """What a client finds in the region."""
    with Client(server.directory / 'lab.sock') as client:
        return region.superblock(client.handshake(peers, vectors).memory)


def test_new_memory(link):
    """Slots, vectors and sections are those of the link."""
    server = link(size='16M', layout='net:4M,,raw=lab:1M')
    found = formatted(server)
    assert (found.size, found.slots, found.sections) == (16 << 20, 8, LAB)
    server.wait_log('link lab: formatted: peers=8, layout=net:4M:vector=1,'
                    'raw=lab:1M:vector=2\n')
    assert server.log.count('formatted') == 2


def test_auto(link):
    """A word is enough."""
    server = link(size='64M', peers=2, layout='auto')
    assert [(s.type, s.name) for s in formatted(server, 2).sections] == \
        [(NET, 'net'), (BLK, 'blk'), (RAW, 'shared')]


def test_only_the_superblock_and_the_lines_are_written(link):
    """All else has no memory yet: who uses it first decides on its node."""
    server = link(size='256M', peers=64, vectors=1, layout='auto')
    with Client(server.directory / 'lab.sock').handshake(64, 1) as client:
        assert os.fstat(client.memory).st_blocks * 512 <= 2 * PAGE


def test_two_links_have_two_identities(serve, directory):
    """Instance and UUID are random."""
    server = serve('--link', f'lab,socket={directory}/lab.sock,layout=raw',
                   '--link', f'b,socket={directory}/b.sock,layout=raw')
    one = formatted(server)
    with Client(directory / 'b.sock').handshake(8, 4) as client:
        two = region.superblock(client.memory)
    assert one.instance != two.instance and one.uuid != two.uuid


def test_huge_pages_are_formatted(link):
    """Whether by this machine's huge pages or by others: if there are any."""
    page, available = huge_pages()
    if not available:
        pytest.skip('no free huge pages')
    server = link(size=page, memory='hugetlb', layout='raw')
    assert formatted(server).sections[0].name == 'raw'
    with Client(server.directory / 'lab.sock').handshake(8, 4) as client:
        assert region.line(client.memory, 0).status == region.CONNECTED


@pytest.mark.parametrize('keys, why', [
    ('layout=net:64M', 'layout=net:64M: the sections need 66M'),
    ('layout=', 'layout=: there is no section'),
    ('layout=net:1M', 'section net: 1M is too small for 8 slots'),
    ('layout=disk', 'section "disk": expected TYPE'),
    ('layout=raw:vector=4', 'peers have the vectors 0 to 3'),
    ('layout=raw:1M,raw:1M', '"raw:1M": expected KEY=VALUE; a comma in a '
                             'value is written twice'),
    ('layout=raw:1M,raw=b', 'the comma before it written twice in --link'),
    ('layout-force=yes', 'layout-force=yes without layout='),
    ('layout=raw,layout-force=1', 'layout-force=1: expected yes or no'),
    ('layout=raw,layout=raw', 'layout= is set twice'),
    ('size=16K,layout=raw', 'take a region of 64K'),
])
def test_refused(keys, why):
    """Before anything is made, with the reason."""
    reason = refused('--check', '--link', f'lab,size=4M,{keys}'.replace(
        'size=4M,size=', 'size='), status=2)
    assert 'ivshmemd: --link lab: ' in reason and why in reason


def test_refused_in_a_file(directory):
    """There, commas are written once; a mistake is blamed on the link."""
    path = directory / 'test.conf'
    path.write_text('[link a]\nsize=16M\nlayout = net:4M,raw=lab:1M\n')
    shown = run('--check', '--config', path).stdout
    assert shown.splitlines()[1:] == [
        '  section net: net, offset 2M, size 4M, vector 1, queues 1, '
        'ring size 64K',
        '  section lab: raw, offset 6M, size 1M, vector 2, queues 1, '
        'ring size 16K']
    path.write_text('[link a]\n[link b]\nlayout = net:64M\nsize = 4M\n')
    assert f'{path}:2: layout=net:64M: the sections need 66M' in \
        refused('--check', '--config', path, status=2)


@pytest.fixture
def memory(directory):
    """A path for memory=file:."""
    return directory / 'memory'


@pytest.fixture
def link_of_file(link, memory):
    """Start a server of that file."""
    def start(**keys):
        return link(memory=f'file:{memory}', size='16M', **keys)
    return start


def refused_file(memory, **keys) -> str:
    """Try the same, in vain."""
    items = ','.join(f'{key}={value}'.replace('_', '-')
                     for key, value in keys.items())
    return refused('--link', f'lab,socket={memory}.sock,size=16M,'
                   f'memory=file:{memory},{items}', status=1)


def test_file_keeps_its_layout(link_of_file, memory):
    """A restart changes neither the instance nor the bytes."""
    server = link_of_file(layout='net:4M,,raw=lab:1M')
    before = formatted(server)
    server.stop()
    with open(memory, 'r+b') as file:
        file.seek(6 << 20)
        file.write(b'precious')
    server = link_of_file(layout='net:4M,,raw=lab:1M')
    assert formatted(server) == before
    assert 'link lab: the region is formatted: peers=8' in server.log
    assert 'link lab: formatted' not in server.log
    with open(memory, 'rb') as file:
        file.seek(6 << 20)
        assert file.read(8) == b'precious'


def test_file_of_another_layout(link_of_file, memory):
    """It is refused, whatever differs, and not changed."""
    link_of_file(layout='net:4M,,raw=lab:1M').stop()
    before = memory.read_bytes()
    for keys in ({'layout': 'net:4M'}, {'layout': 'auto'},
                 {'layout': 'net:4M,,raw=lab:1M', 'peers': 7},
                 {'layout': 'net:4M,,raw=lab:1M:vector=3'}):
        reason = refused_file(memory, **keys)
        assert f'memory=file:{memory} has another layout (peers=8, ' \
            'layout=net:4M:vector=1,raw=lab:1M:vector=2); remove the file, ' \
            'or set layout-force=yes to lose what is in it' in reason
        assert memory.read_bytes() == before


@pytest.mark.parametrize('place', [0, 4095, PAGE, 9 * PAGE + 7, 2 << 20],
                         ids=['first', 'page', 'lines', 'peers', 'links'])
def test_file_with_data(memory, place):
    """A byte where formatting would write is somebody's."""
    with open(memory, 'wb') as file:
        file.truncate(16 << 20)
        file.seek(place)
        file.write(b'x')
    before = memory.read_bytes()
    reason = refused_file(memory, layout='net:4M')
    assert f'memory=file:{memory} has data, and is not formatted; remove' \
        in reason
    assert memory.read_bytes() == before


def test_file_of_zeros(link_of_file, memory):
    """Nobody has used it: it is formatted as a new one is, and what is no
    business of the format stays."""
    with open(memory, 'wb') as file:
        file.truncate(16 << 20)
        file.seek(-4096, os.SEEK_END)
        file.write(b'data of a section')
    server = link_of_file(layout='net:4M,,raw=lab')
    assert formatted(server).sections[0] == LAB[0]
    with open(memory, 'rb') as file:
        file.seek(-4096, os.SEEK_END)
        assert file.read(17) == b'data of a section'


def test_file_of_a_newer_version(link_of_file, memory):
    """What cannot be read is not formatted over either, but by force."""
    link_of_file(layout='raw').stop()
    with open(memory, 'r+b') as file:
        file.seek(8)
        file.write(b'\2')
    assert 'cannot be read as formatted: formatted by another major version' \
        in refused_file(memory, layout='raw')
    server = link_of_file(layout='raw', **{'layout-force': 'yes'})
    assert formatted(server).sections[0].name == 'raw'


def test_forced(link_of_file, memory):
    """Directory and links begin empty, under another instance; done once."""
    server = link_of_file(layout='raw:1M')
    before = formatted(server)
    server.stop()
    with open(memory, 'r+b') as file:
        file.seek(PAGE)
        file.write(b'\xff' * ((16 << 20) - PAGE))
    force = {'layout-force': 'yes'}
    server = link_of_file(layout='net:4M,,raw=lab:1M', **force)
    after = formatted(server)
    assert after.instance != before.instance and after.sections == LAB
    assert 'formatted, over what was there: peers=8' in server.log
    with Client(server.directory / 'lab.sock').handshake(8, 4) as client:
        data = client.map()
        # Pages of the peers, and the blocks of the first outbox.
        assert not any(data[2 * PAGE:10 * PAGE])
        assert not any(data[2 << 20:(2 << 20) + PAGE])
        # Data of rings and what lies between sections is left alone.
        assert data[(2 << 20) + PAGE] == data[10 * PAGE] == 0xff
    server.stop()
    server = link_of_file(layout='net:4M,,raw=lab:1M', **force)
    assert formatted(server) == after


def test_forced_under_machines_that_run(link_of_file, memory):
    """The region is not formatted for so long that peers, who look every
    500 ms, see it, and is formatted again only then."""
    server = link_of_file(layout='raw:1M')
    before = formatted(server).instance
    server.stop()
    looks = []
    with open(memory, 'rb', buffering=0) as file, \
            ThreadPoolExecutor() as pool:
        starting = pool.submit(link_of_file, layout='raw:2M',
                               **{'layout-force': 'yes'})
        while not starting.done():
            looks.append(struct.unpack('<I', os.pread(file.fileno(), 4, 0)))
            time.sleep(0.5)
        server = starting.result()
    assert (0,) in looks
    assert formatted(server).instance != before


def test_link_without_layout(link_of_file, memory):
    """As ever: a file is served whatever is in it, and no byte changes."""
    with open(memory, 'wb') as file:
        file.write(os.urandom(PAGE).ljust(16 << 20, b'\0'))
    before = memory.read_bytes()
    server = link_of_file()
    with Client(server.directory / 'lab.sock').handshake(8, 4):
        pass
    server.wait_log('is gone')
    server.stop()
    assert memory.read_bytes() == before
    assert 'format' not in server.log
