# SPDX-License-Identifier: GPL-2.0-only
"""The back end of a guest's disk dies, returns, does not return, or is another one."""

from typing import Any, Iterator

import pytest

from lab.agent import poll_until

from .guest import BOUND, FUNCTION, LINK, NODE, Disk, device, folder

SIZE = 256 << 20
SERIAL = ("--serial", "lab 2")


@pytest.fixture(scope="module")
def module_disk(module_vms: Any, module_servers: Any) -> Iterator[Disk]:
    """A guest with a disk."""
    server = module_servers(**LINK)
    vm = module_vms("disk", [device(server)], memory="768M")
    with folder() as directory:
        disk = Disk(server, vm, directory, SIZE)
        vm.load_driver()
        disk.load()
        disk.serve(disk.image, *SERIAL)
        disk.wait()
        yield disk
        disk.stop()


@pytest.fixture
def disk(module_disk: Disk) -> Disk:
    """The disk, ready, of a back end that waits long."""
    module_disk.timeout(60)
    if not module_disk.back or module_disk.back.process.poll() is not None:
        module_disk.serve(module_disk.image, *SERIAL)
    module_disk.wait()
    return module_disk


def crash(disk: Disk, times: int, requests: int = 150) -> None:
    """Kill the back end under load and start it again, so often."""
    for _ in range(times):
        disk.wait_counter("responses", disk.counters()["responses"] + requests)
        disk.kill()
        disk.wait("waiting")
        disk.serve(disk.image, *SERIAL)
        disk.wait()


@pytest.mark.parametrize("engine", ["libaio", "io_uring"])
def test_data_survives(disk: Disk, engine: str) -> None:
    """Nobody sees that the back end was killed: fio verifies all that it has written."""
    before = disk.counters()
    disk.run("rm -f /run/enough")
    fio = disk.vm.spawn(f"""
        until [ -e /run/enough ]; do
            fio --name=job --filename={NODE} --ioengine={engine} --direct=1 --rw=randrw \
                --bsrange=4k-64k --iodepth=16 --size=16M --verify=crc32c --verify_backlog=64 \
                --verify_fatal=1 --verify_dump=0 || exit
        done""")
    crash(disk, 4)
    disk.run("touch /run/enough")
    result = fio.wait(BOUND)
    assert result.returncode == 0, result.stdout + result.stderr
    after = disk.counters()
    assert after["sessions"] == before["sessions"] + 4
    assert after["failures"] == before["failures"] and after["busy"] == 0


def test_replays(disk: Disk) -> None:
    """What was in flight is asked of the next back end, and each is done once."""
    before = disk.counters()["replays"]
    # Stopped it takes requests and answers none
    assert disk.back
    disk.back.send(19)
    writer = disk.vm.spawn(f"head -c 4M /dev/urandom > /run/new && "
                           f"dd if=/run/new of={NODE} bs=64k oflag=direct status=none")
    poll_until(lambda: disk.counters()["busy"] > 0, BOUND, "requests in flight")
    disk.kill()
    disk.serve(disk.image, *SERIAL)
    assert writer.wait(BOUND).returncode == 0
    assert disk.counters()["replays"] > before
    disk.run(f"cmp -n 4M /run/new {NODE}")


def test_files_survive(disk: Disk) -> None:
    """A journalled file system goes on; what was synced is there, and fsck content."""
    disk.run(f"modprobe ext4 && mkfs.ext4 -q -F {NODE} && mkdir -p /run/there && "
             f"mount {NODE} /run/there")
    writer = disk.vm.spawn("""
        cd /run/there && : > /run/sums && rm -f /run/enough
        for ((i = 0; ; i++)); do
            head -c $((i % 7 * 9000 + 100)) /dev/urandom > f$i && sync f$i || exit
            sha256sum f$i >> /run/sums
            ! [ -e /run/enough ] || exit 0
        done""")
    crash(disk, 3, 60)
    disk.run("touch /run/enough")
    result = writer.wait(BOUND)
    assert result.returncode == 0, result.stderr
    disk.run(f"umount /run/there && mount {NODE} /run/there && cd /run/there && "
             "sha256sum --quiet -c /run/sums && [ -s /run/sums ]")
    disk.run(f"umount /run/there && e2fsck -fn {NODE}")


def test_is_given_up(disk: Disk) -> None:
    """Without a back end requests fail after the time that was set, then at once."""
    disk.timeout(2)
    disk.kill()
    assert "Input/output error" in disk.fails(
        f"dd if={NODE} of=/dev/null bs=4k count=1 iflag=direct")
    assert disk.state() == "failed"
    disk.timeout(3600)
    assert "Input/output error" in disk.fails(
        f"dd if=/dev/zero of={NODE} bs=4k count=1 oflag=direct")
    disk.serve(disk.image, *SERIAL)
    disk.wait()
    disk.fio("--ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=4 --size=1M "
             "--verify=crc32c")


def test_unmounts_without(disk: Disk) -> None:
    """A file system whose disk is gone for good can be unmounted, and the driver removed."""
    disk.timeout(2)
    disk.run(f"modprobe ext4 && mkfs.ext4 -q -F {NODE} && mkdir -p /run/there && "
             f"mount {NODE} /run/there && head -c 1M /dev/urandom > /run/there/data")
    disk.kill()
    disk.vm.run("sync; umount /run/there", BOUND)
    disk.unload()
    disk.serve(disk.image, *SERIAL)
    disk.load()
    disk.wait()
    disk.run(f"e2fsck -fy {NODE} || [ $? -le 1 ]")


def test_unbinds_while_waiting(disk: Disk) -> None:
    """Unbound while requests wait for a back end, these fail at once."""
    disk.timeout(0)
    disk.kill()
    disk.wait("waiting")
    reader = disk.vm.spawn(f"exec dd if={NODE} of=/dev/null bs=4k count=1 iflag=direct")
    # On its way into the queue, or there: both have to end
    disk.run(f"until grep -q io_schedule\\\\\\|blk /proc/{reader.pid}/stack; do "
             "busybox sleep 0.02; done")
    driver = "/sys/bus/auxiliary/drivers/ivshmem_blk.blk"
    disk.run(f"echo ivshmem.blk.0 > {driver}/unbind")
    assert reader.wait(BOUND).returncode != 0
    disk.serve(disk.image, *SERIAL)
    disk.run(f"echo ivshmem.blk.0 > {driver}/bind")
    disk.wait()
    disk.run(f"dd if={NODE} of=/dev/null bs=4k count=1 iflag=direct status=none")


@pytest.mark.parametrize("other", ["serial", "smaller"])
def test_refuses_another(disk: Disk, other: str) -> None:
    """A back end with another disk is not used: requests wait for the right one."""
    disk.kill()
    reader = disk.vm.spawn(f"exec dd if={NODE} of=/dev/null bs=4k count=1 iflag=direct")
    wrong = disk.directory / f"wrong-{other}"
    with open(wrong, "wb") as image:
        image.truncate(SIZE if other == "serial" else SIZE // 2)
    disk.serve(wrong, *(("--serial", "another") if other == "serial" else SERIAL))
    disk.run("until dmesg | tail -n 3 | grep -q 'is not used: its disk is not the one'; do "
             "busybox sleep 0.02; done")
    assert disk.state() == "waiting" and reader.poll() is None
    disk.serve(disk.image, *SERIAL)
    assert reader.wait(BOUND).returncode == 0, reader.stderr
    assert disk.state() == "ready"


def test_stays_as_large(disk: Disk) -> None:
    """What has grown, and was so for a minute, is another disk when it is smaller again."""
    disk.kill()
    larger = disk.directory / "larger"
    with open(larger, "wb") as image:
        image.truncate(2 * SIZE)
    disk.serve(larger, *SERIAL)
    poll_until(lambda: disk.sectors() == 2 * SIZE // 512, BOUND, "a larger disk")
    disk.run("end=$(($(cut -d. -f1 /proc/uptime) + 62)); "
             "until [ $(cut -d. -f1 /proc/uptime) -gt $end ]; do busybox sleep 1; done")
    disk.kill()
    disk.serve(disk.image, *SERIAL)
    disk.run("until dmesg | tail -n 3 | grep -q 'is not used: its disk is not the one'; do "
             "busybox sleep 0.02; done")
    disk.serve(larger, *SERIAL)
    disk.wait()
    disk.unload()
    disk.serve(disk.image, *SERIAL)
    disk.load()


def test_does_not_wait_for_the_silent(disk: Disk) -> None:
    """A back end that stays but does not answer is given up as one that is gone."""
    disk.timeout(2)
    assert disk.back
    disk.back.send(19)
    assert "Input/output error" in disk.fails(
        f"dd if={NODE} of=/dev/null bs=4k count=1 iflag=direct")
    disk.back.send(18)
    disk.wait()
    disk.run(f"dd if={NODE} of=/dev/null bs=4k count=1 iflag=direct status=none")


def test_ends_in_order(disk: Disk) -> None:
    """A back end that ends in order is waited for as well."""
    assert disk.back
    disk.back.end()
    disk.wait("waiting")
    disk.serve(disk.image, *SERIAL)
    disk.wait()
    assert disk.run(f"cat {FUNCTION}/back_end").strip() != "-1"


def test_next_life_of_the_guest(disk: Disk, vms: Any) -> None:
    """A guest that dies while it writes has the disk in its next life."""
    fio = disk.spawn_fio("--ioengine=libaio --direct=1 --rw=randwrite --bs=16k --iodepth=16 "
                         "--size=64M --time_based --runtime=3600")
    disk.wait_counter("responses", disk.counters()["responses"] + 200)
    assert fio.poll() is None
    disk.vm.kill()
    vm = vms("disk", [device(disk.server)], memory="768M")
    vm.load_driver()
    again = disk
    again.vm = vm
    again.load()
    again.wait()
    again.fio("--ioengine=libaio --direct=1 --rw=randrw --bs=4k --iodepth=8 --size=4M "
              "--verify=crc32c")
