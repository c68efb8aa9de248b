# SPDX-License-Identifier: GPL-2.0-only
"""The shared memory: its sizes, and where it comes from."""
import os
import re
import resource
import stat
import subprocess
from pathlib import Path

import pytest

from .client import Client
from .process import program, refused, run, unprivileged


@pytest.mark.parametrize('size, remedy', [
    ('3M', 'use 2M or 4M'), ('5000', 'use 4K or 8K'),
    ('1025M', 'use 1G or 2G'), ('12345678901', 'use 8G or 16G'),
    ('15000000T', 'use 8388608T'),
])
def test_not_a_power_of_two(size, remedy):
    """QEMU aborts at such a size; the sizes next to it are named."""
    reason = refused('--link', f'lab,size={size}', status=2)
    assert f'--link lab: size={size}: not a power of two' in reason
    assert remedy in reason


@pytest.mark.parametrize('size', ['0', '1', '2K', '4095', '2048'])
def test_too_small(size):
    """Less than a page is too little."""
    assert 'too small; use 4K or a larger power of two' in \
        refused('--link', f'lab,size={size}', status=2)


@pytest.mark.parametrize('size', ['', 'big', '-4096', '4 M', '4MB', '0x1000',
                                  '4.5M', '99999999999999999999',
                                  '99999999999999T', '+4096', ' 4096'])
def test_no_size(size):
    """What is no number, or none that fits, is refused as such."""
    assert f'size={size}: expected a power of two' in \
        refused('--link', f'lab,size={size}', status=2)


@pytest.mark.parametrize('size, count', [('4096', 4096), ('64k', 65536),
                                         ('2M', 2 << 20), ('1G', 1 << 30)])
def test_size(link, size, count):
    """Units are powers of 1024; the memory has exactly that size."""
    path = link(size=size).directory / 'lab.sock'
    with Client(path).handshake(8, 4) as client:
        assert os.fstat(client.memory).st_size == count


def test_more_than_the_machine_has():
    """A memory object could be made, but not be filled."""
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    size = 1 << memory.bit_length()
    reason = refused('--link', f'lab,size={size}', status=2)
    assert f'more than the {memory >> 20} MiB of memory that this machine ' \
        'has; lower size=' in reason


def test_links_together_more_than_the_machine_has():
    """All links share one machine."""
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    size = 1 << memory.bit_length() - 1
    assert run('--check', '--link', f'one,size={size}').returncode == 0
    reason = refused('--link', f'one,size={size}', '--link',
                     f'two,size={size}', status=2)
    assert '--link two: ' in reason and 'with the links before it' in reason


def test_file_size_limit(directory):
    """A limit of the process is an error, not a death by SIGXFSZ."""
    reason = refused('--link', f'lab,socket={directory}/s,size=8M', status=1,
                     preexec_fn=lambda: resource.setrlimit(
                         resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    assert 'size=8M: larger than this process may make a file; lower size= ' \
        'or raise the limit' in reason
    assert not list(directory.iterdir())


def huge_pages() -> tuple[int, int]:
    """Size of a huge page, and how many are free and not promised."""
    text = Path('/proc/meminfo').read_text()
    size, free, promised = (
        int(re.search(rf'{name}:\s+(\d+)', text).group(1))
        for name in ('Hugepagesize', 'HugePages_Free', 'HugePages_Rsvd'))
    return size << 10, free - promised


def test_huge_pages(link, directory):
    """If there are huge pages, they are used, and kept for the link before
    any guest touches them; if not, that is said, with the remedy."""
    page, available = huge_pages()
    if available < 1:
        reason = refused('--link', f'lab,socket={directory}/s,size={page},'
                         'memory=hugetlb', status=1)
        assert 'there are not enough free huge pages' in reason
        assert f'hugepages-{page >> 10}kB/nr_hugepages, or use memory=memfd' \
            in reason
        assert not list(directory.iterdir())
        return
    server = link(size=page, memory='hugetlb')
    assert huge_pages()[1] == available - 1
    with Client(server.directory / 'lab.sock').handshake(8, 4) as client:
        assert os.fstat(client.memory).st_blksize == page
        client.map()[0:1] = b'x'
        with pytest.raises(PermissionError):
            os.ftruncate(client.memory, 0)
    assert server.stop() == 0
    assert huge_pages()[1] == available


def test_less_than_a_huge_page():
    """The size must be at least one of them."""
    assert 'less than one huge page; use size=' in \
        refused('--link', 'lab,size=4K,memory=hugetlb', status=2)


def test_huge_page_size_of_another_machine():
    """Only sizes that there are."""
    assert 'this machine has no huge pages of that size' in \
        refused('--link', 'lab,memory=hugetlb:8K', status=2)


def test_numa_nodes(link):
    """The memory is bound to them, for all who map it."""
    path = link(size='2M', numa='0').directory / 'lab.sock'
    with Client(path).handshake(8, 4) as client, client.map() as memory:
        memory[0] = 1
        maps = Path('/proc/self/numa_maps').read_text()
    line, = [line for line in maps.splitlines() if 'ivshmem-lab' in line]
    assert 'bind:0' in line.split()


@pytest.mark.parametrize('nodes', ['', 'x', '1023', '0-', '-1', '0;1', '99999999999'])
def test_no_numa_nodes(nodes):
    """What is no list of nodes, or of nodes of another machine."""
    assert f'numa={nodes}: expected NUMA nodes of this machine' in \
        refused('--link', f'lab,numa={nodes}', status=2)


def test_numa_nodes_of_a_file(directory):
    """Where a file is, its file system decides."""
    assert 'numa=0: goes with memory=memfd or hugetlb' in \
        refused('--link', f'lab,numa=0,memory=file:{directory}/memory', status=2)


def test_new_file(link, directory):
    """It is made with its whole size, for the server's user only."""
    path = directory / 'memory'
    server = link(size='64K', memory=f'file:{path}')
    status = path.stat()
    assert status.st_size == status.st_blocks * 512 == 65536
    assert stat.S_IMODE(status.st_mode) == 0o600
    with Client(server.directory / 'lab.sock').handshake(8, 4) as client:
        client.map()[0:5] = b'hello'
    assert path.read_bytes()[:5] == b'hello'
    assert 'clients can shrink the file' in server.log


def test_existing_file(link, directory):
    """It is used as it is, and stays when the server ends."""
    path = directory / 'memory'
    path.write_bytes(b'before' + bytes(4096 - 6))
    server = link(size='4K', memory=f'file:{path}')
    with Client(server.directory / 'lab.sock').handshake(8, 4) as client:
        assert client.map()[0:6] == b'before'
    assert server.stop() == 0
    assert path.read_bytes()[:6] == b'before'


@pytest.mark.parametrize('size', [0, 4095, 8192])
def test_file_of_another_size(directory, size):
    """It may be the memory of running machines: never resized."""
    path = directory / 'memory'
    path.write_bytes(bytes(size))
    reason = refused('--link', f'lab,socket={directory}/s,size=4K,'
                     f'memory=file:{path}', status=1)
    assert f'exists and has {size} bytes, but size=4K' in reason
    assert path.stat().st_size == size


def test_file_is_a_symbolic_link(directory):
    """Whoever can write to the directory cannot redirect the server."""
    (directory / 'target').write_bytes(bytes(4096))
    (directory / 'memory').symlink_to('target')
    assert 'a symbolic link is not followed' in refused(
        '--link', f'lab,socket={directory}/s,size=4K,'
        f'memory=file:{directory}/memory', status=1)


def test_file_is_a_fifo(directory):
    """Nor make it wait."""
    os.mkfifo(directory / 'memory')
    assert 'not a regular file' in refused(
        '--link', f'lab,socket={directory}/s,size=4K,'
        f'memory=file:{directory}/memory', status=1)


def test_file_without_permission(directory):
    """The system's reason is passed on."""
    (directory / 'closed').mkdir(mode=0o700)
    assert 'cannot create: ' in refused(
        '--link', f'lab,socket={directory}/s,size=4K,'
        f'memory=file:{directory}/missing/memory', status=1)
    path = directory / 'memory'
    path.write_bytes(bytes(4096))
    path.chmod(0o400)
    assert 'Permission denied' in refused(
        '--link', f'lab,socket={directory}/s,size=4K,memory=file:{path}',
        status=1, **unprivileged())


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can mount')
def test_file_system_is_full(directory):
    """Space is allocated at the start: a guest that touches memory for which
    there is none is killed by SIGBUS.  The attempt leaves no file."""
    place = directory / 'small'
    place.mkdir()
    script = (f'mount -t tmpfs -o size=64k none {place} && '
              f'{program()} --link lab,socket={directory}/s,size=1M,'
              f'memory=file:{place}/memory; echo $?; ls -A {place}')
    result = subprocess.run(['unshare', '--mount', 'sh', '-c', script],
                            text=True, capture_output=True, check=True)
    assert 'cannot allocate its space: No space left on device; make room' \
        in result.stderr
    assert result.stdout == '1\n'
