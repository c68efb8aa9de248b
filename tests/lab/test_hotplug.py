# SPDX-License-Identifier: GPL-2.0-only
"""Devices come and go while a guest runs."""

import pytest

from lab import LabError, ivshmem_doorbell, ivshmem_plain

PRESENT = "lspci -n -d 1af4:1110 | grep -q ."


@pytest.fixture
def vm(vms):
    return vms()


def test_plain_device_comes_and_goes_repeatedly(vm, tmp_path):
    for _ in range(3):
        device = vm.add_device(ivshmem_plain(tmp_path / "memory", "16M"))
        vm.wait_for(PRESENT)
        assert "[size=16M]" in vm.run("lspci -v -d 1af4:1110").stdout
        vm.remove_device(device)
        vm.wait_for(f"! {PRESENT}")


def test_doorbell_device_comes_and_goes_repeatedly(vm, servers):
    server = servers()
    for _ in range(3):
        device = vm.add_device(ivshmem_doorbell(server, vectors=4))
        vm.wait_for(PRESENT)
        assert "MSI-X: Enable- Count=4" in vm.run("lspci -v -d 1af4:1110").stdout
        vm.remove_device(device)
        vm.wait_for(f"! {PRESENT}")


def test_every_slot_takes_a_device(vm, tmp_path):
    for slot in range(4):
        vm.add_device(ivshmem_plain(tmp_path / f"m{slot}", "4M", id=f"m{slot}"), slot)
    vm.wait_for("test $(lspci -n -d 1af4:1110 | wc -l) = 4")
    vm.remove_device("m2")
    vm.wait_for("test $(lspci -n -d 1af4:1110 | wc -l) = 3")


def test_refusal_says_why(vm, tmp_path):
    with pytest.raises(LabError, match="slot7"):
        vm.add_device(ivshmem_plain(tmp_path / "memory", "4M"), slot=7)
