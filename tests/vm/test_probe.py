# SPDX-License-Identifier: GPL-2.0-only
"""Devices that the driver cannot use, or not fully, and what it says then."""

import re

import pytest

from lab import ivshmem_doorbell, ivshmem_plain

from .guest import attribute, check, node, nodes

MORE_THAN_THERE_ARE = 300


@pytest.fixture(scope="module")
def vm(module_vms, module_servers):
    """A guest with a device that has more vectors than one CPU can tell apart."""
    server = module_servers(size="1M", vectors=256, peers=2)
    vm = module_vms("probe", devices=[
        ivshmem_doorbell(server, MORE_THAN_THERE_ARE, addr="0x10")])
    return vm


def said_about(vm, device):
    """What the driver said about the PCI device, as it would be read in a log."""
    # Newer kernels themselves say after it that its probe has failed
    return re.findall(rf"ivshmem {re.escape(device)}: (?!probe with driver )(.*)",
                      vm.run("dmesg").stdout)


def test_more_vectors_than_interrupts(vm):
    """The device works with as many vectors as the system has interrupts for."""
    vm.load_driver()
    device = node(vm, "00:10.0")
    vectors = int(attribute(vm, device, "vectors"))
    assert 1 <= vectors <= 256
    check(vm, "subscribe", device)
    check(vm, "rights", device)


def test_memory_that_did_not_fit(vm, tmp_path):
    """A region that the PCI window has no room for: refused, and said why."""
    if vm.kernel.architecture != "amd64":
        pytest.skip("the kernel there gives bridges larger windows, without firmware's leave")
    before = nodes(vm)
    vm.add_device(ivshmem_plain(tmp_path / "large", "2G", id="large"), slot=0)
    vm.wait_console(r"ivshmem 0000:[0-9a-f:.]+: .*BAR 2", 60)
    where = vm.run("ls /sys/bus/pci/devices | grep -v 0000:00:").stdout.split()
    (line,) = [line for bdf in where for line in said_about(vm, bdf)]
    assert re.search("BAR 2.*(window|room|size)", line), line
    assert nodes(vm) == before
    vm.remove_device("large")


def test_module_of_another_kernel(vm):
    """insmod says whose module it is; nothing is loaded."""
    # The release alone does not matter where symbols have versions.
    vm.run("rmmod ivshmem", check=False)
    vm.run(f"sed '/vermagic=/s/ SMP / UP_ /' {vm.module} > /run/other.ko")
    refused = vm.run("insmod /run/other.ko", check=False)
    assert refused.returncode != 0 and "Invalid module format" in refused.stderr
    vm.wait_console("ivshmem: version magic '.* UP_ .*' should be '.* SMP ")
    assert "ivshmem" not in vm.run("lsmod").stdout
    vm.load_driver()
    check(vm, "subscribe", node(vm, "00:10.0"))
