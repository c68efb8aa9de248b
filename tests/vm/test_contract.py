# SPDX-License-Identifier: GPL-2.0-only
"""/dev/ivshmemN keeps the contract of include/uapi/linux/ivshmem.h.

The programs of tests/uapi hold one device to one part of it; here they are run
on devices of every kind.
"""

import re

import pytest

from lab import ivshmem_doorbell, ivshmem_plain

from .guest import attribute, check, node, program

FOUR = "00:10.0"
ONE = "00:11.0"
MANY = "00:12.0"
PLAIN = "00:13.0"
SMALLEST = "00:14.0"

# What the kernel, not the driver, cannot do, or has no room to show.
BEFORE_6_12 = ("test_huge_pages",)


@pytest.fixture(scope="module")
def vm(module_vms, module_servers, tmp_path_factory):
    """A guest with a device of each kind."""
    files = tmp_path_factory.mktemp("memory")
    vm = module_vms("contract", devices=[
        ivshmem_doorbell(module_servers(size="16M", vectors=8), 8, id="four", addr="0x10"),
        ivshmem_doorbell(module_servers(size="1M", vectors=1), 1, id="one", addr="0x11"),
        ivshmem_doorbell(module_servers(size="2M", vectors=64), 64, id="many",
                         addr="0x12"),
        ivshmem_plain(files / "plain", "4M", id="plain", addr="0x13"),
        ivshmem_plain(files / "smallest", "4K", id="smallest", addr="0x14")])
    vm.load_driver()
    vm.run("chmod 0666 /dev/ivshmem*")
    return vm


def huge_pages_missing(vm):
    major, minor = map(int, re.match(r"(\d+)\.(\d+)", vm.kernel.release).groups())
    return BEFORE_6_12 if (major, minor) < (6, 12) else ()


@pytest.mark.attack("A39", "A40", "A42")
@pytest.mark.parametrize("program", ["ioctl", "rights", "subscribe", "eventfd", "event",
                                     "uring", "readers", "limit", "map", "mapping"])
def test_device_with_doorbells(vm, program):
    check(vm, program, node(vm, FOUR),
          skipped=huge_pages_missing(vm) if program == "mapping" else ())


@pytest.mark.attack("A40")
def test_programs_of_32_bits(vm):
    if vm.kernel.architecture != "amd64":
        pytest.skip("int 0x80 is x86")
    check(vm, "compat", node(vm, FOUR))


@pytest.mark.parametrize("program", ["ioctl", "rights", "subscribe", "eventfd", "event"])
def test_device_with_one_vector(vm, program):
    """What needs two vectors is left out, and nothing else."""
    check(vm, program, node(vm, ONE),
          skipped=("test_refused_means_not_rung", "test_only_the_set",
                   "test_set_is_replaced", "test_vectors_are_separate", "test_burst",
                   "test_bad_buffer", "test_poll_of_other_vector",
                   "test_poll_after_partial_read"))


@pytest.mark.parametrize("program", ["ioctl", "rights", "subscribe", "eventfd", "event"])
def test_device_with_64_vectors(vm, program):
    check(vm, program, node(vm, MANY))


@pytest.mark.parametrize("program", ["plain", "ioctl", "map", "mapping"])
def test_device_without_doorbells(vm, program):
    check(vm, program, node(vm, PLAIN),
          skipped=huge_pages_missing(vm) if program == "mapping" else ())


@pytest.mark.attack("A04")
@pytest.mark.parametrize("program", ["plain", "ioctl", "map"])
def test_device_with_one_page(vm, program):
    check(vm, program, node(vm, SMALLEST))


def test_devices_are_independent(vm):
    """Each node is its own device: memory, size, id, vectors and doorbells."""
    sizes = {FOUR: 16 << 20, ONE: 1 << 20, MANY: 2 << 20, PLAIN: 4 << 20, SMALLEST: 4096}
    assert len({node(vm, address) for address in sizes}) == len(sizes)
    for address, size in sizes.items():
        assert attribute(vm, node(vm, address), "memory_size") == str(size)
    for action in ("write", "check"):
        for seed, address in enumerate(sizes):
            vm.run([str(program("pattern")), node(vm, address), action, str(seed)])

    def counts(address):
        name = node(vm, address).removeprefix("/dev/")
        return vm.run(f"grep -o 'count [0-9]*' /sys/kernel/debug/ivshmem/{name}/state").stdout

    quiet, busy = counts(MANY), counts(FOUR)
    check(vm, "subscribe", node(vm, FOUR))
    assert counts(FOUR) != busy and counts(MANY) == quiet


def test_silence_on_success(vm):
    """A device that works is no news: the driver says nothing to the log."""
    said = vm.run("dmesg | grep -i ivshmem", check=False).stdout.splitlines()
    about_the_module = re.compile("out-of-tree module taints|module verification failed")
    assert [line for line in said if not about_the_module.search(line)] == []
