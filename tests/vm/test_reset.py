# SPDX-License-Identifier: GPL-2.0-only
"""The PCI function is reset while it is in use."""

import struct

import pytest

from lab import ivshmem_doorbell
from tests.region_image import NET, PAGE, RAW, Image, Memory, Section

from .guest import attribute, check, node
from .peer import Peer
from .region import functions, wait_state

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


# Has the device reset while its section is mapped, and uses it afterwards.
RESET_MAPPED = """
import mmap, os, sys
m = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 4096)
m[0] = 7
with open(sys.argv[2], "w") as f:
    f.write("1")
assert m[0] == 7
m[1] = 8
"""


def reset_file(vm):
    """By which the device is reset."""
    address = vm.run("basename $(readlink /sys/class/ivshmem/ivshmem0/device)").stdout
    return f"/sys/bus/pci/devices/{address.strip()}/reset"


@pytest.fixture(scope="module")
def vm(module_vms, module_servers):
    """A guest whose device is alone on its bus, which can be reset therefore."""
    server = module_servers(size="1M", vectors=VECTORS, peers=2)
    vm = module_vms("reset", devices=[ivshmem_doorbell(server, VECTORS, bus="slot0")])
    vm.load_driver()
    vm.server = server
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


def test_reset_of_a_formatted_region(vm):
    """This kernel leaves and joins anew; sections of programs stay."""
    with Peer(vm.server.socket) as peer, Memory(peer.memory) as region:
        image = Image(1 << 20, [Section(NET, "lan", 512 << 10), Section(RAW, "lab", PAGE)])
        region.write(image)
        assert wait_state(vm, "^attached").endswith("slot 0")
        before = region.word(2 * PAGE)
        vm.run(["/usr/bin/python3", "-c", RESET_MAPPED, "/dev/ivshmem0.lab", reset_file(vm)])
        assert region.map[image.offsets()[1]:][:2] == bytes((7, 8))
        assert region.word(2 * PAGE) not in (0, before)
        assert len(functions(vm)) == 1
        region.erase()
        wait_state(vm, "^unformatted")
