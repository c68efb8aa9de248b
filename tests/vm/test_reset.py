# SPDX-License-Identifier: GPL-2.0-only
"""The PCI function is reset while it is in use."""

import struct

import pytest

from lab import ivshmem_doorbell

from .guest import attribute, check, node

VECTORS = 4
RECORD = struct.Struct("=IIQ")

# Opens the device, has it reset, and says what was counted meanwhile.
RESET = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
with open(sys.argv[2], "w") as f:
    f.write("1")
sys.stdout.write(os.read(fd, 4096).hex())
"""


@pytest.fixture(scope="module")
def vm(module_vms, module_servers):
    """A guest whose device is alone on its bus, which can be reset therefore."""
    server = module_servers(size="1M", vectors=VECTORS, peers=2)
    vm = module_vms("reset", devices=[ivshmem_doorbell(server, VECTORS, bus="slot0")])
    vm.load_driver()
    return vm


def test_reset(vm):
    """Not a removal: each vector counts one event, and everything works on."""
    address = vm.run("basename $(readlink /sys/class/ivshmem/ivshmem0/device)"
                     ).stdout.strip()
    said = vm.run(["/usr/bin/python3", "-c", RESET, "/dev/ivshmem0",
                   f"/sys/bus/pci/devices/{address}/reset"]).stdout
    events = [(vector, count) for vector, _, count in
              RECORD.iter_unpack(bytes.fromhex(said))]
    assert events == [(vector, 1) for vector in range(VECTORS)]
    assert attribute(vm, "/dev/ivshmem0", "peer_id") == "0"
    assert node(vm, address.removeprefix("0000:")) == "/dev/ivshmem0"
    check(vm, "event", "/dev/ivshmem0")
