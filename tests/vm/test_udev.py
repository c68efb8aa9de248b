# SPDX-License-Identifier: GPL-2.0-only
"""The udev rule: who may use the devices, and by which lasting names."""

import pytest

from lab import ivshmem_plain
from lab.paths import ROOT
from tests.region_image import NET, RAW, Image, Memory, Section

# Group, mode and node of each link, sorted by its name.
LINKS = """
    cd /dev/ivshmem/by-path && for link in *; do
        echo "$link $(readlink -f "$link") $(stat -L -c '%G %a' "$link")"
    done"""


@pytest.fixture(scope="module")
def vm(module_vms, tmp_path_factory):
    """A guest with udev, the project's rule, and two devices."""
    folder = tmp_path_factory.mktemp("memory")
    vm = module_vms("udev", devices=[
        ivshmem_plain(folder / "two", "2M", id="two", addr="0x12"),
        ivshmem_plain(folder / "one", "1M", id="one", addr="0x11")])
    vm.memories = folder
    vm.run(f"""
        mkdir -p /run/udev/rules.d
        cp {ROOT}/packaging/udev/*.rules /run/udev/rules.d
        # called so, the program is the daemon
        cp $(command -v udevadm) /run/systemd-udevd
        systemd-sysusers {ROOT}/packaging/sysusers.d/ivshmem.conf
        /run/systemd-udevd --daemon""")
    vm.load_driver()
    settle(vm)
    return vm


def settle(vm):
    """Wait until udev has done what there is to do."""
    vm.run("udevadm settle --timeout=60")


def links(vm):
    """Link name -> (node, group, mode)."""
    lines = vm.run(LINKS).stdout.splitlines()
    return {name: (node, group, mode) for name, node, group, mode in map(str.split, lines)}


def test_members_of_the_group_may_use_it(vm):
    """Group ivshmem, mode 0660: nobody may not, a member may."""
    assert {(group, mode) for _, group, mode in links(vm).values()} == {("ivshmem", "660")}
    use = "setpriv --reuid=65534 --regid=65534 {} bash -c 'exec 3<>/dev/ivshmem0'"
    stranger = vm.run(use.format("--clear-groups"), check=False)
    assert "Permission denied" in stranger.stderr
    group = vm.run("getent group ivshmem").stdout.split(":")[2]
    vm.run(use.format(f"--groups={group}"))


def test_names_that_last(vm):
    """Each device has a link by its place on the bus, whatever its number."""
    found = links(vm)
    assert sorted(found) == ["pci-0000:00:11.0", "pci-0000:00:12.0"]
    for name, (node, _, _) in found.items():
        address = name.removeprefix("pci-")
        assert vm.run(f"ls /sys/bus/pci/devices/{address}/ivshmem").stdout.strip() == \
            node.removeprefix("/dev/")


def test_names_last_when_numbers_change(vm):
    """Bound in the other order the numbers swap and the links do not."""
    before = links(vm)
    driver = "/sys/bus/pci/drivers/ivshmem"
    addresses = ["0000:00:11.0", "0000:00:12.0"]
    for address in addresses:
        vm.run(f"echo {address} > {driver}/unbind")
    settle(vm)
    assert vm.run("ls /dev/ivshmem*", check=False).stdout == ""
    by_number = sorted(before, key=lambda name: before[name][0])
    for name in reversed(by_number):
        vm.run(f"echo {name.removeprefix('pci-')} > {driver}/bind")
    settle(vm)
    after = links(vm)
    assert sorted(after) == sorted(before)
    assert [after[name][0] for name in by_number] == ["/dev/ivshmem1", "/dev/ivshmem0"]
    test_names_that_last(vm)


def test_names_of_sections(vm):
    """A section is found by its name, and by its device's place with its name."""
    with Memory(vm.memories / "one") as region:
        region.write(Image(1 << 20, [Section(NET, "lan", 512 << 10),
                                     Section(RAW, "lab-1", 4096)]))
        vm.wait_for("ls /dev/ivshmem?.lab-1")
        settle(vm)
        node = vm.run("readlink -f /dev/ivshmem/by-name/lab-1").stdout.strip()
        assert node == vm.run("ls /dev/ivshmem?.lab-1").stdout.strip()
        found = links(vm)
        assert sorted(found) == ["pci-0000:00:11.0", "pci-0000:00:11.0-lab-1",
                                 "pci-0000:00:12.0"]
        assert found["pci-0000:00:11.0-lab-1"] == (node, "ivshmem", "660")
        assert vm.run("ls /dev/ivshmem/by-name").stdout.split() == ["lab-1"]
        region.erase()
        vm.wait_for("! ls /dev/ivshmem?.lab-1")
        settle(vm)
        assert sorted(links(vm)) == ["pci-0000:00:11.0", "pci-0000:00:12.0"]


def test_names_for_looking_glass(vm):
    """With the module parameter, and only with it, its client finds the devices."""
    look = "cd /dev && for link in kvmfr*; do readlink $link; done; true"
    assert vm.run(look).stdout == ""
    vm.run("echo 1 >/sys/module/ivshmem/parameters/kvmfr")
    with Memory(vm.memories / "one") as region:
        region.write(Image(1 << 20, [Section(RAW, "lab", 4096)]))
        vm.wait_for("ls /dev/ivshmem?.lab")
        vm.run("udevadm trigger --subsystem-match=ivshmem")
        settle(vm)
        names = vm.run("cd /dev && ls -d kvmfr*").stdout.split()
        assert names == ["kvmfr-lab", "kvmfr0", "kvmfr1"]
        section = vm.run("cd /dev && ls ivshmem?.lab").stdout.strip()
        assert vm.run(look).stdout.split() == [section, "ivshmem0", "ivshmem1"]
        region.erase()
        vm.wait_for("! ls /dev/ivshmem?.lab")
