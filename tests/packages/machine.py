# SPDX-License-Identifier: GPL-2.0-only
"""Packages in a virtual machine with a Debian of its own, systemd and a device of the kind
that they are for, from the first of them to the last, in this order.

`make test-packages` runs this; it takes too long for `make test`, since the machine's
compilers are emulated.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from lab import kernel, ivshmem_doorbell
from lab.kernel import Kernel
from lab.paths import LAB
from lab.vm import VM

from .conftest import Packages, names
from .older import VERSION
from .root import Root, base

pytestmark = [pytest.mark.timeout(3600), pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make files of other users")]

# What systemd and the packages want of the kernel besides what the lab loads
MODULES = ["9p", "9pnet_virtio", "autofs4", "overlay", "tun", "virtio_console", "virtio_pci"]
BOUND = 1800


def layer(guest: Kernel) -> Path:
    """A folder with a few of the kernel's modules: dkms has depmod read all that there are."""
    folder = LAB / "root/modules"
    shutil.rmtree(folder, ignore_errors=True)
    target = folder / "usr/lib/modules" / guest.release
    for path in guest.with_dependencies(MODULES):
        copy = target / path.relative_to(guest.modules)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for path in guest.modules.glob("modules.builtin*"):
        shutil.copy(path, target)
    shutil.copy(guest.modules / "modules.order", target)
    (folder / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", folder, guest.release], check=True)
    (folder / "lib").unlink()
    return folder


def needed(packages: Packages, target: Path) -> None:
    """What the packages depend on: the machine has no network."""
    target.mkdir()
    with Root(packages.folder, target) as root:
        wanted = " ".join(f"/packages/packages/{name}_{packages.version}_*.deb"
                          for name in names(packages.folder))
        root.run("apt-get install -y --no-install-recommends --download-only "
                 f"-o Dir::Cache::archives=/packages/{target.name} {wanted}")


@pytest.fixture(name="vm", scope="module")
def _vm(packages: Packages, module_vms: Any, module_servers: Any) -> Iterator[VM]:
    """A machine of that Debian, with a device and the packages of both versions at hand."""
    [folder] = base().glob("usr/lib/modules/*")
    guest = kernel.get(folder.name)
    server = module_servers(size="16M", layout="raw=lab:4M,,raw=other")
    vm = module_vms("debian", [ivshmem_doorbell(server)], kernel=guest, root=base(),
                    layers=[layer(guest)], memory="2G", smp=2, start=False)
    vm.start(wait=False)
    needed(packages, vm.share / "needed")
    for folder in (packages.folder, packages.older):
        for path in folder.glob("*.deb"):
            shutil.copy(path, vm.share)
    vm.wait_ready(600)
    yield vm


def install(vm: VM, names_wanted: list[str], version: str) -> None:
    """Install packages of a version, with what they depend on."""
    wanted = " ".join(f"/mnt/share/{name}_{version}_*.deb" for name in names_wanted)
    vm.run(f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "
           f"{wanted} $(ls /mnt/share/needed/*.deb)", timeout=BOUND)


def test_installation(vm: VM, packages: Packages) -> None:
    """apt installs them, dkms builds, and the device that is there has its driver by udev,
    with its group, without anybody's doing."""
    assert vm.run("systemctl is-system-running", check=False).stdout.strip() in \
        ("running", "degraded", "starting")
    vm.run("test -e /sys/bus/pci/devices/*/resource2 && ! test -e /dev/ivshmem0")
    install(vm, names(packages.folder), VERSION)
    vm.wait_for("test -c /dev/ivshmem/by-name/lab", timeout=300)
    assert vm.run("stat -c '%G %a' /dev/ivshmem0").stdout == "ivshmem 660\n"
    assert vm.run("modinfo -n ivshmem").stdout.startswith("/lib/modules/")


def test_doctor_is_content(vm: VM) -> None:
    """It finds nothing to complain of."""
    said = vm.run("ivshmem doctor", timeout=300).stdout
    assert "FAIL" not in said, said


def test_service(vm: VM) -> None:
    """It runs as its own user since it was installed, in its AppArmor profile, and serves."""
    assert vm.run("systemctl is-enabled ivshmemd; systemctl is-active ivshmemd").stdout == \
        "enabled\nactive\n"
    [user, profile] = vm.run("""
        pid=$(systemctl show -P MainPID ivshmemd)
        ps -o user= -p $pid; cat /proc/$pid/attr/current""").stdout.splitlines()
    assert user == "ivshmem"
    assert profile == "ivshmemd (enforce)"
    assert "own id   0" in vm.run("ivshmem info unix:/run/ivshmem/lab.sock").stdout


def test_upgrade_in_use(vm: VM, packages: Packages) -> None:
    """Who uses the device or has joined a link goes on, with the next version installed."""
    user = vm.spawn("exec sleep infinity 3<>/dev/ivshmem0")
    client = vm.spawn("exec ivshmem wait unix:/run/ivshmem/lab.sock --count 1")
    vm.wait_for("ivshmem server status | grep -E 'lab.* 1 '", timeout=120)
    before = vm.run("systemctl show -P MainPID ivshmemd").stdout
    install(vm, names(packages.folder), packages.version)
    assert vm.run("systemctl is-active ivshmemd").stdout == "active\n"
    assert vm.run("systemctl show -P MainPID ivshmemd").stdout != before
    assert user.poll() is None and client.poll() is None
    assert "FAIL" not in vm.run("ivshmem doctor", timeout=300).stdout
    vm.run("ivshmem ring unix:/run/ivshmem/lab.sock 0 0")
    assert client.wait(120).returncode == 0
    user.kill()
    assert vm.run("dkms status -m ivshmem").stdout.startswith(f"ivshmem/{packages.version}, ")


def test_next_boot_of_the_driver(vm: VM) -> None:
    """Loaded anew it is the one of the new version, and the device is there again."""
    vm.run("modprobe -r ivshmem_net ivshmem_blk ivshmem && modprobe ivshmem", timeout=120)
    vm.wait_for("test -c /dev/ivshmem/by-name/lab", timeout=120)


def test_removal(vm: VM, packages: Packages) -> None:
    """The service ends, programs and modules are gone; purge takes the rest."""
    wanted = " ".join(names(packages.folder))
    vm.run(f"apt-get remove -y {wanted}", timeout=BOUND)
    vm.run("! pgrep -x ivshmemd && ! command -v ivshmem && ! modinfo ivshmem")
    vm.run("modprobe -r ivshmem")
    vm.run("dpkg --purge ivshmemd ivshmem-blk-server ivshmem-dkms ivshmem-tools", timeout=BOUND)
    assert not vm.run("find / -xdev -name '*ivshmem*' ! -path '/mnt/*' ! -path '/var/log/*' "
                      "! -path '/var/lib/dpkg/*' ! -path '/sys/*' ! -path '/proc/*'").stdout
