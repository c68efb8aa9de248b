# SPDX-License-Identifier: GPL-2.0-only
"""The memory is mapped write-back, wherever the firmware has placed it."""

import re

import pytest

from lab import ivshmem_doorbell
from lab.testing import build_modules

from .guest import attribute, check, node

ADDRESS = "00:10.0"

# Little enough that the firmware finds room for everything below 4 GiB.
SMALL = "32M"


def memory_start(vm):
    """Address of BAR 2."""
    return int(vm.run(f"sed -n 3p /sys/bus/pci/devices/0000:{ADDRESS}/resource")
               .stdout.split()[0], 16)


def uncached_ranges(vm):
    """What the MTRRs call uncached, as (start, end)."""
    return [(int(base, 16), int(base, 16) + (int(size) << 20)) for base, size in
            re.findall(r"base=(\w+) .*size=\s*(\d+)MB, .*uncachable",
                       vm.run("cat /proc/mtrr").stdout)]


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def low(request, module_vms, module_servers):
    """A guest with a device in the uncached window, with each kind of kernel."""
    vm = module_vms(f"low-{request.param}", kernel=build_modules(request.param),
                    window=SMALL,
                    devices=[ivshmem_doorbell(module_servers(size="16M"),
                                              addr="0x10")])
    vm.load_driver()
    vm.run("chmod 0666 /dev/ivshmem0")
    assert any(start <= memory_start(vm) < end for start, end in uncached_ranges(vm))
    return vm


def test_write_back_in_an_uncached_window(low):
    assert attribute(low, node(low, ADDRESS), "cache_mode") == "wb"


@pytest.mark.parametrize("program", ["map", "mapping", "event", "limit"])
def test_contract_in_an_uncached_window(low, program):
    # the page tables are filled by the driver itself: small pages only
    check(low, program, node(low, ADDRESS),
          skipped=("test_huge_pages",) if program == "mapping" else (), SMALL_PAGES="1")


def test_debugger_reads_and_writes_mapped_memory(low):
    """ptrace() reaches the memory through the mapping of the process."""
    device = node(low, ADDRESS)
    script = ("import mmap, os, ctypes, sys\n"
              "m = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 8192)\n"
              "a = ctypes.addressof(ctypes.c_char.from_buffer(m))\n"
              "m[4096:4101] = b'hello'\n"
              "f = open('/proc/self/mem', 'r+b', buffering=0)\n"
              "f.seek(a + 4096); assert f.read(5) == b'hello'\n"
              "f.seek(a + 4097); assert f.write(b'ippo') == 4\n"
              "assert m[4096:4101] == b'hippo'\n")
    low.run(["/usr/bin/python3", "-c", script, device])


@pytest.fixture(scope="module")
def high(module_vms, module_servers):
    """A guest with a device above 4 GiB and a kernel that can do huge pages."""
    vm = module_vms("high-6.12", kernel=build_modules("6.12"),
                    devices=[ivshmem_doorbell(module_servers(size="16M"),
                                              addr="0x10")])
    vm.load_driver()
    vm.run("chmod 0666 /dev/ivshmem0")
    assert memory_start(vm) >= 4 << 30
    return vm


def test_huge_pages(high):
    check(high, "mapping", node(high, ADDRESS))


@pytest.mark.parametrize("program", ["ioctl", "rights", "subscribe", "eventfd", "event",
                                     "uring", "readers", "limit", "map"])
def test_contract_on_a_newer_kernel(high, program):
    check(high, program, node(high, ADDRESS))
