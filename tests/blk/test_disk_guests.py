# SPDX-License-Identifier: GPL-2.0-only
"""Guests of other kinds: one that sleeps, one that may only read, a newer one, one with udev."""

from typing import Any

from lab.paths import MODULES, ROOT
from lab.testing import build_modules

from .guest import BOUND, LINK, NODE, Disk, device, folder


def test_sleeps_under_load(vms: Any, servers: Any) -> None:
    """Suspended to memory with I/O in flight, it goes on with that when it wakes."""
    server = servers(**LINK)
    driver = MODULES / vms.kernel.release / "drivers/blk/ivshmem_blk.ko"
    vm = vms("sleeper", [device(server)], root="memory",
             programs=[driver, "/usr/bin/dd", "/usr/bin/cmp", "/usr/bin/head"])
    with folder() as directory:
        disk = Disk(server, vm, directory, 64 << 20)
        vm.load_driver()
        disk.load()
        vm.run("cd /sys/kernel/debug && [ -d ivshmem_blk ] || busybox mount -t debugfs none .")
        disk.serve(disk.image)
        disk.wait()
        vm.run("head -c 4M /dev/urandom > /run/data; rm -f /run/enough")
        writer = vm.spawn(f"until [ -e /run/enough ]; do "
                          f"dd if=/run/data of={NODE} bs=16k oflag=direct status=none && "
                          f"dd if={NODE} bs=64k count=64 iflag=direct status=none | "
                          "cmp - /run/data || exit; done")
        disk.wait_counter("responses", 100)
        for _ in range(2):
            vm.sleep()
            vm.wake()
            disk.wait_counter("responses", disk.counters()["responses"] + 100)
        # The back end dies while the guest sleeps
        vm.sleep()
        disk.kill()
        disk.serve(disk.image)
        vm.wake()
        vm.run("touch /run/enough")
        result = writer.wait(BOUND)
        assert result.returncode == 0, result.stdout + result.stderr
        disk.stop()


def test_read_only(vms: Any, servers: Any) -> None:
    """A disk that may only be read is so for all programs, and stays so when it returns."""
    server = servers(**LINK)
    vm = vms("reader", [device(server)])
    with folder() as directory:
        disk = Disk(server, vm, directory, 16 << 20)
        vm.load_driver()
        disk.load()
        disk.serve(disk.image, "--read-only")
        disk.wait()
        assert disk.run("cat /sys/block/ivblk0/ro") == "1\n"
        disk.run(f"dd if={NODE} of=/dev/null bs=1M count=16 iflag=direct status=none")
        disk.fails(f"dd if=/dev/zero of={NODE} bs=4k count=1 oflag=direct")
        disk.kill()
        disk.wait("waiting")
        # One that could be written to by now is only read all the same
        disk.serve(disk.image)
        disk.wait()
        disk.run(f"dd if={NODE} of=/dev/null bs=1M count=1 iflag=direct status=none")
        disk.fails(f"dd if=/dev/zero of={NODE} bs=4k count=1 oflag=direct")
        disk.stop()


def test_newer_kernel(vms: Any, servers: Any) -> None:
    """The block layer of 6.12 sees the same disk, by interrupts and polled."""
    server = servers(**LINK)
    vm = vms("newer", [device(server)], smp=2, kernel=build_modules("6.12"))
    with folder() as directory:
        disk = Disk(server, vm, directory, 64 << 20)
        vm.load_driver()
        disk.load("poll_queues=1")
        disk.serve(disk.image)
        disk.wait()
        words = "--direct=1 --rw=randrw --bsrange=512-256k --iodepth=32 --size=16M --verify=crc32c"
        disk.fio(f"--ioengine=io_uring {words}")
        disk.fio(f"--ioengine=io_uring --hipri=1 {words}")
        assert disk.limit("fua") == 1
        assert disk.run("cat /sys/block/ivblk0/queue/write_cache") == "write back\n"
        assert disk.limit("rotational") == 0 and disk.limit("io_poll") == 1
        disk.kill()
        reader = vm.spawn(f"exec dd if={NODE} of=/dev/null bs=4k count=1 iflag=direct")
        disk.serve(disk.image)
        assert reader.wait(BOUND).returncode == 0
        # Gone while it is mounted
        disk.run(f"modprobe ext4 && mkfs.ext4 -q -F {NODE} && mkdir -p /run/there && "
                 f"mount {NODE} /run/there")
        disk.run("echo ivshmem.blk.0 > /sys/bus/auxiliary/drivers/ivshmem_blk.blk/unbind")
        vm.run("umount /run/there", BOUND)
        disk.unload()
        disk.stop()


def test_lasting_names(vms: Any, servers: Any) -> None:
    """udev links to the disk and its partitions by serial number."""
    server = servers(**LINK)
    vm = vms("names", [device(server)])
    with folder() as directory:
        disk = Disk(server, vm, directory, 64 << 20)
        vm.run(f"""
            mkdir -p /run/udev/rules.d && cp {ROOT}/packaging/udev/*.rules /run/udev/rules.d
            cp $(command -v udevadm) /run/systemd-udevd && /run/systemd-udevd --daemon""")
        vm.load_driver()
        disk.load()
        disk.serve(disk.image, "--serial", "lab 4")
        disk.wait()
        disk.run(f"printf 'label: gpt\\nsize=16MiB\\n' | sfdisk -q {NODE} && udevadm settle")
        names = "cd /dev/disk/by-id && for name in ivshmem-*; do readlink -f $name; done"
        assert disk.run(names).split() == [NODE, f"{NODE}p1"]
        disk.stop()
