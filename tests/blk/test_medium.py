# SPDX-License-Identifier: GPL-2.0-only
"""What is wrong with the backing file reaches programs in the guest, as it is."""

import os

import pytest

from lab import BlkServer, ivshmem_doorbell
from lab.agent import poll_until

from .guest import NODE, module

BOUND = 60
VECTORS = 2
SIZE = 32 << 20


@pytest.fixture(name="guest")
def _guest(servers, vms):
    """A guest with the driver, and its server."""
    server = servers(peers=2, vectors=VECTORS, size="32M", layout="blk=disk:16M")
    vm = vms("a", devices=[ivshmem_doorbell(server, VECTORS)])
    vm.load_driver()
    vm.run(f"insmod {module(vm)}")
    return vm, server


def _image(path):
    """A file without blocks."""
    path.touch()
    os.truncate(path, SIZE)
    return path


def _dd(vm, words):
    return vm.run(f"dd bs=1M {words}", check=False).stderr


def test_full_file_system(guest, mount):
    """A write that finds no space says so; what was written before is there."""
    vm, server = guest
    with BlkServer(server, _image(mount("tmpfs", "none", "-o", "size=8m") / "disk")):
        vm.wait_for(f"test -b {NODE}")
        said = _dd(vm, f"if=/dev/urandom of={NODE} oflag=direct")
        assert "No space left on device" in said
        # All that there was space for; dd counts whole ones
        assert "8+0 records out" in said or "7+0 records out" in said
        assert "7+0 records out" in _dd(vm, f"if={NODE} of=/dev/null count=7 iflag=direct")
        # Space that is given up is space again.
        vm.run(f"blkdiscard {NODE}")
        assert "7+0 records out" in _dd(vm, f"if=/dev/urandom of={NODE} count=7 oflag=direct")


def test_file_that_became_shorter(guest, tmp_path):
    """Behind its end there is nothing but errors, before it all is as it was."""
    vm, server = guest
    image = _image(tmp_path / "disk")
    with BlkServer(server, image) as back:
        vm.wait_for(f"test -b {NODE}")
        os.truncate(image, SIZE // 2)
        # It looks at the size every half second.
        poll_until(lambda: "smaller than before" in back.log, BOUND, "a look at the size")
        for words in (f"if={NODE} of=/dev/null skip=20 count=1 iflag=direct",
                      f"if=/dev/zero of={NODE} seek=20 count=1 oflag=direct"):
            assert "Input/output error" in _dd(vm, words)
        assert "1+0 records out" in _dd(vm, f"if={NODE} of=/dev/null count=1 iflag=direct")
        assert image.stat().st_size == SIZE // 2
