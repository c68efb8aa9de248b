# SPDX-License-Identifier: GPL-2.0-only
"""What front ends ask for is what happens to the file."""
import fcntl
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from .disk import (DISCARD, FLUSH, FUA, IO_ERROR, KEEP, NO_SPACE, OK, READ, WRITE, ZEROES,
                   BackEnd, FrontEnd, run)

BLOCK = 4096


def sectors(image: Path, sector: int, length: int) -> bytes:
    """What the file has there."""
    with open(image, 'rb') as file:
        return os.pread(file.fileno(), length, sector * 512)


def test_the_hello_describes_the_file(back: BackEnd, attach: Callable[..., FrontEnd],
                                      image: Path):
    hello = attach().hello()
    assert hello['sectors'] * 512 == image.stat().st_size
    assert hello['queues'] == 2 and hello['features'] == 0b11110
    assert hello['block_size'] == 512
    assert 4096 <= hello['max_length'] <= hello['buffers'] // 2
    assert back.told['bytes'] == image.stat().st_size


@pytest.mark.parametrize('direct', ['auto', 'off'])
def test_reads_and_writes(export, attach, image: Path, direct: str):
    back = export(image, f'--direct={direct}')
    assert back.told['direct'] == (direct == 'auto')
    front = attach()
    most = front.hello()['max_length']
    for length in (512, 1536, 4096, 65536, most):
        for queue in (0, 1):
            sector = random.randrange((8 << 20) - length) // 512
            assert front.read(sector, length, queue=queue) == sectors(image, sector, length)
            data = random.randbytes(length)
            assert front.write(sector, data, buffer=512, queue=queue) == OK
            assert sectors(image, sector, length) == data
            assert front.read(sector, length, buffer=1024, queue=queue) == data
    counters = back.front(1)
    assert counters['answers'] == {'ok': 30, 'io_error': 0, 'no_space': 0,
                                   'unsupported': 0, 'invalid': 0}
    assert counters['operations']['write']['requests'] == 10
    assert counters['operations']['read']['bytes'] == 4 * (512 + 1536 + 4096 + 65536 + most)


def test_the_first_and_the_last_sector(front: FrontEnd, image: Path):
    last = image.stat().st_size // 512 - 1
    for sector in (0, last):
        assert front.read(sector, 512) == sectors(image, sector, 512)
        assert front.write(sector, bytes(range(256)) * 2) == OK
        assert sectors(image, sector, 512) == bytes(range(256)) * 2


def test_buffers_that_the_kernel_may_not_keep(server, attach, stack, image: Path):
    """It is slower then, and works."""
    user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] \
        if not os.geteuid() else []
    image.chmod(0o666)
    server.socket.parent.chmod(0o755)
    server.socket.chmod(0o666)
    for limit, kept in (('1048576', False), ('8388608', True)):
        prefix = ['prlimit', f'--memlock={limit}', *user]
        with BackEnd(server.address, image, prefix=prefix) as back, \
                FrontEnd(server.address) as front:
            front.hello()
            data = os.urandom(65536)
            assert front.write(64, data) == OK
            assert front.read(64, 65536, buffer=4096) == data
            assert back.report()['front_ends'][0]['kept'] == kept


def test_many_at_once(front: FrontEnd, back: BackEnd, image: Path):
    """More than may be in flight at a time; each is answered once."""
    asked = {}
    for n in range(400):
        sector = random.randrange((8 << 20) // BLOCK) * 8
        asked[front.request(READ, sector=sector, length=512, buffer=n * 512)] = (sector, n)
    front.push()
    answers = front.answers(len(asked))
    assert sorted(number for _, number, _ in answers) == sorted(asked)
    assert all(status == OK for _, _, status in answers)
    for sector, n in asked.values():
        assert front.buffer(n * 512, 512) == sectors(image, sector, 512)
    assert back.front(1)['in_flight'] == 0


def test_zeroes_and_discards(front: FrontEnd, image: Path):
    """Space is given up, unless it is to be kept."""
    subprocess.run(['sync', image], check=True)
    before = image.stat().st_blocks
    megabyte = dict(length=1 << 20)
    assert front.ask(ZEROES, sector=2048, flags=KEEP, **megabyte) == OK
    assert sectors(image, 2048, 1 << 20) == bytes(1 << 20)
    assert image.stat().st_blocks >= before
    assert front.ask(ZEROES, sector=4096, flags=FUA, **megabyte) == OK
    assert sectors(image, 4096, 1 << 20) == bytes(1 << 20)
    # The file system may need a few blocks to tell where the rest is.
    assert image.stat().st_blocks <= before - 2048 + 64
    assert front.ask(DISCARD, sector=6144, **megabyte) == OK
    assert image.stat().st_blocks <= before - 4096 + 64
    # What is around them is as it was, and so is the size.
    for sector in (2047, 8192):
        assert sectors(image, sector, 512).startswith(f'sector {sector} '.encode())
    assert image.stat().st_size == 8 << 20


def test_without_discards_no_space_is_given_up(export, attach, image: Path):
    export(image, '--no-discard')
    front = attach()
    assert front.hello()['features'] == 0b10110
    subprocess.run(['sync', image], check=True)
    before = image.stat().st_blocks
    assert front.ask(ZEROES, sector=2048, length=1 << 20) == OK
    assert sectors(image, 2048, 1 << 20) == bytes(1 << 20)
    assert image.stat().st_blocks >= before


def test_a_read_only_export(export, attach, image: Path):
    os.chmod(image, 0o444)
    back = export(image, '--read-only')
    assert back.told['read_only']
    front = attach()
    assert front.hello()['features'] == 1
    assert front.read(5, 512).startswith(b'sector 5 ')
    before = image.read_bytes()
    assert front.write(5, bytes(512)) == 3
    assert front.ask(DISCARD, length=4096) == front.ask(ZEROES, length=4096) == 3
    assert front.ask(FLUSH) == OK
    assert image.read_bytes() == before


@pytest.fixture
def ext4(mount, directory: Path) -> Path:
    """An empty file system of 4 MiB."""
    with open(directory / 'fs', 'wb') as file:
        file.truncate(4 << 20)
    subprocess.run(['mkfs.ext4', '-q', directory / 'fs'], check=True)
    return mount('ext4', directory / 'fs', '-o', 'loop')


@pytest.mark.parametrize('kind', ['tmpfs', 'ext4'])
def test_a_full_file_system(export, attach, kind: str, mount, request):
    """Its want of space reaches the front end as such; then it goes on."""
    path = request.getfixturevalue('ext4') if kind == 'ext4' else \
        mount('tmpfs', 'none', '-o', 'size=1m')
    image = path / 'disk.img'
    with open(image, 'wb') as file:
        file.truncate(8 << 20)
    back = export(image)
    front = attach()
    front.hello()
    length = 64 << 10
    statuses = [front.write(n * 128, bytes([1]) * length) for n in range(128)]
    assert statuses[0] == OK and statuses[-1] == NO_SPACE
    assert set(statuses) == {OK, NO_SPACE}
    full = statuses.index(NO_SPACE)
    assert front.read(0, length) == bytes([1]) * length
    assert front.ask(DISCARD, length=length) == OK
    if kind == 'tmpfs':
        assert front.write(full * 128, bytes([2]) * 4096) == OK
    assert back.front(1)['answers']['no_space'] == statuses.count(NO_SPACE)


def test_zeroes_where_ranges_cannot_be_zeroed(export, attach, stack):
    """tmpfs has no FALLOC_FL_ZERO_RANGE: it takes two steps."""
    image = Path('/dev/shm') / f'ivs-{os.getpid()}'
    stack.callback(image.unlink)
    image.write_bytes(b'x' * (8 << 20))
    before = image.stat().st_blocks
    export(image)
    front = attach()
    front.hello()
    for n in range(4):
        front.request(ZEROES, sector=n * 16, length=8192, flags=KEEP | FUA)
    front.push()
    assert [status for _, _, status in front.answers(4)] == [OK] * 4
    assert image.stat().st_blocks == before
    assert front.ask(ZEROES, sector=1024, length=8192) == OK
    assert image.stat().st_blocks == before - 16
    data = image.read_bytes()
    assert data[:32768] == bytes(32768) and data[524288:532480] == bytes(8192)
    assert data.count(b'x') == len(data) - 32768 - 8192


def test_a_file_that_shrinks(front: FrontEnd, back: BackEnd, image: Path):
    """What is gone fails; it is said once."""
    os.truncate(image, 4 << 20)
    assert front.ask(READ, sector=12288, length=BLOCK) == IO_ERROR
    # Half of it is there.
    assert front.ask(READ, sector=8188, length=BLOCK) == IO_ERROR
    back.wait_log('is smaller than before')
    assert front.ask(WRITE, sector=12288, length=BLOCK) == IO_ERROR
    assert image.stat().st_size == 4 << 20
    assert front.read(8184, BLOCK).startswith(b'sector 8184 ')
    assert back.report()['bytes'] == 8 << 20
    assert back.log.count('is smaller than before') == 1


def test_a_file_that_grows(front: FrontEnd, back: BackEnd, image: Path):
    """It is told at once, without a signal, once it can be told."""
    os.truncate(image, (16 << 20) + 100)
    back.wait_log('no multiple of the block size')
    assert front.ask(READ, sector=16384, length=BLOCK) == 4
    os.truncate(image, 16 << 20)
    front.do('hellos', 2)
    assert front.hello()['sectors'] == 32768
    assert front.read(32760, BLOCK) == bytes(BLOCK)
    assert front.sessions() == 1


def test_all_but_the_size_stays(back: BackEnd, attach, image: Path):
    """Also for who has said meanwhile that it will not write."""
    front = attach(features=1)
    before = front.hello()
    os.truncate(image, 16 << 20)
    front.do('hellos', 2)
    assert front.hello() == {**before, 'sectors': 32768}


def test_a_signal_makes_it_smaller(front: FrontEnd, back: BackEnd, image: Path):
    os.truncate(image, 4 << 20)
    back.send(1)
    front.do('hellos', 2)
    assert front.hello()['sectors'] == 8192
    assert front.ask(READ, sector=8192, length=512) == 4


@pytest.mark.parametrize('size', [1024, 4096])
def test_larger_blocks(export, attach, image: Path, size: int):
    export(image, '--block-size', size)
    front = attach()
    hello = front.hello()
    assert hello['block_size'] == size <= hello['physical_block_size']
    assert front.ask(READ, length=512) == front.ask(READ, sector=1, length=size) == 4
    assert len(front.read(size // 512, size)) == size


def test_serial_and_queues(export, attach, image: Path):
    export(image, '--serial', 'number 1', '--queues', 1)
    front = attach()
    hello = front.hello()
    assert hello['serial'] == 'number 1' and hello['queues'] == 1


@pytest.fixture
def loop_device(stack):
    """Make a block device of a file: loop_device(path)."""
    if os.geteuid() or not shutil.which('losetup'):
        pytest.skip('only root may make a block device')

    def make(file: Path) -> Path:
        name = subprocess.run(
            ['losetup', '--find', '--show', '--sector-size', '4096', file], check=True,
            text=True, stdout=subprocess.PIPE).stdout.strip()
        stack.callback(subprocess.run, ['losetup', '--detach', name], check=True)
        return Path(name)
    return make


def test_direct_io_that_cannot_be_had(export, server, loop_device, mount, directory: Path):
    """The device has larger blocks than the disk shall have."""
    with open(directory / 'fs', 'wb') as file:
        file.truncate(8 << 20)
    device = loop_device(directory / 'fs')
    subprocess.run(['mkfs.ext4', '-q', device], check=True)
    image = mount('ext4', device) / 'disk.img'
    image.write_bytes(bytes(1 << 20))
    said = run(server.address, '--direct=on', '--block-size', 512, image, status=1)
    assert 'no direct I/O: it needs a larger alignment; use --direct=auto' in said
    assert not export('--block-size', 512, image).told['direct']


def flushes(device: Path) -> int:
    """How often the device was told to flush."""
    return int(Path(f'/sys/class/block/{device.name}/stat').read_text().split()[15])


def test_a_block_device(export, attach, loop_device, directory: Path):
    file = directory / 'loop.img'
    file.write_bytes(b'y' * (8 << 20))
    device = loop_device(file)
    back = export(device)
    front = attach()
    hello = front.hello()
    assert hello['block_size'] == 4096 and hello['sectors'] == 16384
    assert back.told['direct'] and hello['features'] == 0b11110
    assert front.read(0, BLOCK) == b'y' * BLOCK
    for flags in (0, KEEP, FUA):
        assert front.ask(ZEROES, sector=16, length=65536, flags=flags) == OK
        assert front.read(16, 65536) == bytes(65536)
        assert front.write(16, b'z' * 65536) == OK
        assert front.read(16, 65536) == b'z' * 65536
    assert front.ask(DISCARD, sector=1024, length=65536) == OK


def test_a_device_that_is_in_use(server, loop_device, mount, directory: Path):
    with open(directory / 'fs', 'wb') as file:
        file.truncate(8 << 20)
    device = loop_device(directory / 'fs')
    subprocess.run(['mkfs.ext4', '-q', device], check=True)
    mount('ext4', device)
    said = run(server.address, device, status=1)
    assert 'it is mounted, or used otherwise: end that' in said


@pytest.mark.parametrize('again', [{'operation': FLUSH},
                                   {'operation': WRITE, 'length': BLOCK, 'flags': FUA}])
def test_what_could_not_be_written_back(export, attach, loop_device, mount, again):
    """It is told of once: nothing that was answered can be relied on afterwards."""
    file = mount('tmpfs', 'none', '-o', 'size=1m') / 'disk.img'
    with open(file, 'wb') as disk:
        disk.truncate(8 << 20)
    back = export(loop_device(file), '--direct=off')
    front = attach()
    front.hello()
    assert front.ask(FLUSH) == OK
    for sector in range(0, 4 << 11, 1 << 7):
        assert front.write(sector, random.randbytes(1 << 16)) == OK
    assert front.ask(FLUSH) == IO_ERROR
    assert 'writing it back has failed' in back.log
    for _ in range(3):
        assert front.ask(**again) == IO_ERROR
    assert front.ask(READ, length=BLOCK) == OK


def test_flushes_and_fua_reach_the_medium(export, attach, loop_device, image: Path):
    device = loop_device(image)
    export(device)
    front = attach()
    front.hello()
    before = flushes(device)
    assert front.write(0, bytes(BLOCK)) == OK
    assert flushes(device) == before
    assert front.ask(FLUSH) == OK
    assert flushes(device) == before + 1
    assert front.write(0, bytes(BLOCK), flags=FUA) == OK
    assert flushes(device) == before + 2
    assert front.ask(ZEROES, length=BLOCK, flags=FUA) == OK
    assert flushes(device) == before + 3
    # The sector of a flush means nothing.
    assert front.ask(FLUSH, sector=0xffffffffffff) == OK
    assert flushes(device) == before + 4


# What an administrator does to a file system whose device is gone: _IOR('X', 125, u32)
EXT4_IOC_SHUTDOWN = 0x8004587d


def test_errors_of_the_medium(export, attach, ext4: Path):
    """They reach the front end as such, and it goes on asking."""
    image = ext4 / 'disk.img'
    image.write_bytes(b'y' * (1 << 20))
    back = export(image)
    front = attach()
    front.hello()
    assert front.read(0, BLOCK) == b'y' * BLOCK
    root = os.open(ext4, os.O_RDONLY)
    fcntl.ioctl(root, EXT4_IOC_SHUTDOWN, struct.pack('I', 2))
    os.close(root)
    assert front.write(0, bytes(BLOCK)) == IO_ERROR
    assert front.ask(FLUSH) == IO_ERROR
    assert front.ask(DISCARD, length=BLOCK) == IO_ERROR
    assert back.front(1)['answers']['io_error'] == 3
