# SPDX-License-Identifier: GPL-2.0-only
"""A disk in a guest: programs find it as any other."""

import signal
from typing import Any, Iterator

import pytest

from .guest import FUNCTION, LINK, NODE, Disk, device, done, folder

SIZE = 512 << 20


@pytest.fixture(scope="module")
def disk(module_vms: Any, module_servers: Any) -> Iterator[Disk]:
    """A guest with two processors, and a disk that is ready."""
    server = module_servers(**LINK)
    vm = module_vms("disk", [device(server)], smp=2, memory="768M")
    with folder() as directory:
        disk = Disk(server, vm, directory, SIZE)
        vm.load_driver()
        disk.load("poll_queues=1")
        disk.serve(disk.image, "--serial", "lab 1")
        disk.wait()
        yield disk
        disk.stop()


def test_is_there(disk: Disk) -> None:
    """It has the size, the limits and the serial number that the back end says."""
    assert disk.sectors() == SIZE // 512
    assert disk.run("cat /sys/block/ivblk0/serial") == "lab 1\n"


def test_copies(disk: Disk) -> None:
    """What dd writes is in the backing file, and comes back."""
    disk.run(f"head -c 8M /dev/urandom > /run/data && "
             f"dd if=/run/data of={NODE} bs=64k oflag=direct conv=fsync status=none")
    data = disk.run("sha256sum < /run/data")
    assert disk.run(f"head -c 8M {NODE} | sha256sum") == data
    assert disk.run(f"dd if={NODE} bs=1M count=8 iflag=direct status=none | sha256sum") == data


@pytest.mark.parametrize("words", [
    "--ioengine=libaio --direct=1 --rw=randrw --bs=4k --iodepth=16 --verify=crc32c",
    "--ioengine=io_uring --direct=1 --rw=randrw --bsrange=512-256k "
    "--iodepth=32 --verify=crc32c",
    "--ioengine=io_uring --hipri=1 --direct=1 --rw=randwrite --bs=4k --iodepth=8 --verify=crc32c",
])
def test_verifies(disk: Disk, words: str) -> None:
    """fio reads what it has written."""
    disk.fio(f"{words} --size=16M --io_size=16M")


def test_verifies_tails(disk: Disk) -> None:
    """Through the page cache, in pieces that end anywhere."""
    disk.fio("--ioengine=psync --rw=write --bsrange=100-9000 --bs_unaligned --size=4M "
             "--verify=crc32c --end_fsync=1 --invalidate=1")


def test_waits_for_buffers(disk: Disk) -> None:
    """What finds no buffer is done when others have ended, whatever their sizes."""
    before = disk.counters()["starved"]
    disk.fio("--ioengine=io_uring --direct=1 --rw=randrw --bssplit=512/30:4k/30:480k/40 "
             "--iodepth=64 --size=64M --verify=crc32c")
    assert disk.counters()["starved"] > before


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_holds_files(disk: Disk, kind: str) -> None:
    """A tree of files is the same after it was written, mounted again, and checked."""
    size, check = ("", "e2fsck -fn") if kind == "ext4" else ("-f", "xfs_repair -n")
    disk.run(f"modprobe {kind} && mkfs.{kind} -q {size or '-F'} {NODE} && mkdir -p /run/there && "
             f"mount {NODE} /run/there")
    disk.run("cp -r /usr/share/doc/[a-c]* /run/there && cd /run/there && "
             "find . -type f -exec sha256sum {} + > /run/sums && sync")
    disk.run(f"umount /run/there && mount {NODE} /run/there && cd /run/there && "
             "sha256sum --quiet -c /run/sums && [ -s /run/sums ]")
    disk.run(f"umount /run/there && {check} {NODE}")


def test_gives_space_back(disk: Disk) -> None:
    """What is discarded, or set to zeroes, is so in the backing file, too."""
    at, length = 64 << 20, 8 << 20

    def allocated() -> int:
        return disk.image.stat().st_blocks * 512

    disk.run(f"dd if=/dev/urandom of={NODE} bs=1M count=8 seek=64 oflag=direct status=none")
    full = allocated()
    disk.run(f"blkdiscard -o {at} -l {length} {NODE}")
    assert allocated() <= full - length
    disk.run(f"dd if=/dev/urandom of={NODE} bs=1M count=8 seek=64 oflag=direct status=none && "
             f"blkdiscard -z -o {at + 4096} -l 65536 {NODE}")
    with open(disk.image, "rb") as image:
        image.seek(at)
        data = image.read(128 << 10)
    assert any(data[:4096]) and not any(data[4096:4096 + 65536]) and any(data[4096 + 65536:])


def test_has_partitions(disk: Disk) -> None:
    """A table of partitions makes nodes of its own, which stay within their bounds."""
    disk.run(f"printf 'label: gpt\\nsize=16MiB\\nsize=16MiB\\n' | sfdisk -q --wipe always {NODE}")
    disk.run(f"until [ -b {NODE}p2 ]; do busybox sleep 0.02; done")
    assert disk.run("cat /sys/block/ivblk0/ivblk0p2/size").strip() == str((16 << 20) // 512)
    disk.run(f"head -c 1M /dev/urandom > /run/part && "
             f"dd if=/run/part of={NODE}p2 bs=64k oflag=direct status=none && "
             f"cmp -n 1M /run/part {NODE}p2 && "
             f"wipefs -qa {NODE} && blockdev --rereadpt {NODE} && ! [ -b {NODE}p2 ]")


def test_is_counted(disk: Disk) -> None:
    """The block layer and the driver count what is done; a batch costs one doorbell."""
    before, counted = disk.run("cat /sys/block/ivblk0/stat").split(), disk.counters()
    disk.run(f"dd if={NODE} of=/dev/null bs=64k count=32 iflag=direct status=none")
    after = disk.run("cat /sys/block/ivblk0/stat").split()
    assert int(after[0]) - int(before[0]) == 32
    assert int(after[2]) - int(before[2]) == 32 * 128
    now = disk.counters()
    assert now["requests"] - counted["requests"] >= 32
    assert now["busy"] == 0 and now["requests"] == now["responses"]
    disk.fio("--ioengine=io_uring --direct=1 --rw=randread --bs=4k --iodepth=32 "
             "--iodepth_batch=16 --iodepth_batch_complete_min=8 --size=16M")
    last = disk.counters()
    assert last["kicks"] - now["kicks"] < (last["requests"] - now["requests"]) / 2


def test_is_polled(disk: Disk) -> None:
    """Who polls gets answers without a doorbell."""
    before = disk.counters()
    disk.fio("--ioengine=io_uring --hipri=1 --direct=1 --rw=randread --bs=4k --iodepth=1 "
             "--size=4M")
    after = disk.counters()
    assert after["responses"] - before["responses"] >= 1024
    assert after["doorbells"] - before["doorbells"] < 100


def test_looks_before_it_sleeps(disk: Disk) -> None:
    """A single request is answered without a doorbell where one looks for so long."""
    read = f"dd if={NODE} of=/dev/null bs=4k count=256 iflag=direct status=none"
    before = disk.counters()
    usual = disk.run(f"cat {FUNCTION}/poll_usecs").strip()
    disk.run(f"echo 1000 > {FUNCTION}/poll_usecs && {read}")
    looked = disk.counters()
    assert looked["hits"] > before["hits"]
    disk.run(f"echo 0 > {FUNCTION}/poll_usecs && {read}")
    after = disk.counters()
    assert after["spins"] == looked["spins"] and after["busy"] == 0
    disk.run(f"echo {usual} > {FUNCTION}/poll_usecs")
    assert "out of range" in disk.fails(f"echo 1001 > {FUNCTION}/poll_usecs")


def test_looks_only_where_one_waits_for_each(disk: Disk) -> None:
    """Who has many in flight, sent one at a time, is not held up by looking."""
    assert disk.back
    fio = "--cpus_allowed=0 --ioengine=libaio --direct=1 --rw=randread --bs=4k"
    disk.run(f"echo 1000 > {FUNCTION}/poll_usecs")
    disk.fio(f"{fio} --iodepth=1 --number_ios=64")
    before = disk.counters()
    # Nothing is answered, so that all but the first are sent with others in flight
    disk.back.send(signal.SIGSTOP)
    many = disk.spawn_fio(f"{fio} --iodepth=48 --number_ios=48")
    try:
        disk.wait_counter("busy", 48)
        after = disk.counters()
    finally:
        disk.back.send(signal.SIGCONT)
    done(many)
    disk.run(f"echo 50 > {FUNCTION}/poll_usecs")
    assert after["spins"] - before["spins"] <= 1


def test_grows(disk: Disk) -> None:
    """A backing file that grows is a larger disk at once."""
    with open(disk.image, "r+b") as image:
        image.truncate(SIZE + (32 << 20))
    assert disk.back
    disk.back.send(signal.SIGHUP)
    disk.run(f"until [ $(< /sys/block/ivblk0/size) = {(SIZE + (32 << 20)) // 512} ]; do "
             "busybox sleep 0.02; done")
    disk.run(f"dd if=/dev/urandom of={NODE} bs=1M seek=520 count=1 oflag=direct status=none")
    disk.fails(f"dd if=/dev/urandom of={NODE} bs=1M seek=544 count=1 oflag=direct status=none")


def test_ends(disk: Disk) -> None:
    """The driver can be removed, and a disk is there again when it is loaded."""
    disk.unload()
    assert "ivblk0" not in disk.run("ls /sys/block")
    disk.load("poll_queues=1")
    disk.wait()
    assert disk.fio("--ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=4 "
                    "--size=1M --verify=crc32c")["write"]["total_ios"] == 256
