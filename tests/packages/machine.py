# SPDX-License-Identifier: GPL-2.0-only
"""Packages in a virtual machine with a Debian of its own, systemd and a device of the kind
that they are for, from its first boot to their end, in this order.

`make test-packages` runs this; it takes too long for `make test`: the upgrade builds the
modules with compilers that are emulated.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from lab import kernel, ivshmem_doorbell
from lab.kernel import Kernel
from lab.paths import LAB
from lab.vm import VM
from tests.documents.blocks import commands, marked

from .conftest import Packages, names
from .older import VERSION
from .root import READER, Root, base

pytestmark = [pytest.mark.timeout(3600), pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make files of other users")]

# What systemd and the packages want of the kernel besides what the lab loads
MODULES = ["9p", "9pnet_virtio", "autofs4", "overlay", "tun", "virtio_console", "virtio_pci"]
BOUND = 1800

# An instance of each unit that is a template, as an administrator makes them
INSTANCES = """
mkdir -p /etc/ivshmem/ivshmemd.conf.d
cat >/etc/ivshmem/ivshmemd.conf.d/own.conf <<END
[link segment]
size = 16M
layout = net=lan:8M,blk=disk0:4M
[link called]
END
cat >/etc/ivshmem/blk-own.conf <<END
[export own]
file = /var/lib/ivshmem-blk/own.img
link = unix:/run/ivshmem/segment.sock
END
install -d -o ivshmem -g ivshmem -m 700 /var/lib/ivshmem-blk
install -o ivshmem -g ivshmem -m 600 /dev/null /var/lib/ivshmem-blk/own.img
truncate -s 1M /var/lib/ivshmem-blk/own.img
systemctl stop ivshmemd
systemctl enable --now ivshmemd@called.socket
systemctl start ivshmemd
systemctl enable --now ivshmem-tap@segment ivshmem-blk-server@own
"""
SERVICES = ("ivshmemd", "ivshmem-tap@segment", "ivshmem-blk-server@own")
# What is left of them is the administrator's
OWN = ["/etc/ivshmem", "/etc/ivshmem/ivshmemd.conf.d", "/var/lib/ivshmem-blk"]


def layer(guest: Kernel, root: Path) -> Path:
    """A folder with a few of the kernel's modules, and with those that dkms has built in @root:
    depmod reads all that there are, which takes an emulated machine minutes."""
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
    shutil.copytree(root / "usr/lib/modules" / guest.release / "updates", target / "updates")
    (folder / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", folder, guest.release], check=True)
    (folder / "lib").unlink()
    return folder


def installed(packages: Packages, target: Path) -> None:
    """A root file system with the older packages, installed natively."""
    subprocess.run(["rm", "-rf", "--one-file-system", target], check=True)
    target.mkdir(parents=True)
    with Root(packages.older, target) as root:
        wanted = " ".join(f"/packages/{packages.older.name}/{name}_{VERSION}_*.deb"
                          for name in names(packages.older))
        root.run(f"apt-get install -y --no-install-recommends {wanted}")
        root.run(READER)
        root.run(f"rm -f /etc/resolv.conf && cp -ax /. /packages/{target.name}")


@pytest.fixture(name="vm", scope="module")
def _vm(packages: Packages, module_vms: Any, module_servers: Any) -> Iterator[VM]:
    """A machine of that Debian with a device, and the older packages."""
    target = LAB / "root/installed"
    installed(packages, target)
    [folder] = base().glob("usr/lib/modules/*")
    guest = kernel.get(folder.name)
    server = module_servers(size="16M", layout="raw=lab:4M,,raw=other")
    vm = module_vms("debian", [ivshmem_doorbell(server)], kernel=guest, root=target,
                    layers=[layer(guest, target)], memory="2G", smp=2, start=False)
    vm.start(wait=False)
    for path in packages.folder.glob("*.deb"):
        shutil.copy(path, vm.share)
    vm.wait_ready(BOUND)
    yield vm
    subprocess.run(["rm", "-rf", "--one-file-system", target], check=True)


def install(vm: VM, version: str, *wanted: str) -> None:
    """Install packages of a version in the machine."""
    files = " ".join(f"/mnt/share/{name}_{version}_*.deb" for name in wanted)
    vm.run(f"apt-get install -y --no-install-recommends {files}", timeout=BOUND,
           env={"DEBIAN_FRONTEND": "noninteractive"})


def test_driver(vm: VM) -> None:
    """udev has loaded the driver for the device at boot, and given it its group."""
    vm.wait_for("test -c /dev/ivshmem/by-name/lab", timeout=300)
    assert vm.run("stat -c '%G %a' /dev/ivshmem0").stdout == "ivshmem 660\n"
    assert "/updates/dkms/" in vm.run("modinfo -n ivshmem").stdout


def test_doctor_is_content(vm: VM) -> None:
    """It finds nothing to complain of."""
    said = vm.run("ivshmem doctor", timeout=300).stdout
    assert "FAIL" not in said, said


def test_service(vm: VM) -> None:
    """It runs since the machine was booted, as its own user, in its AppArmor profile."""
    vm.wait_for("systemctl is-active ivshmemd", timeout=300)
    assert vm.run("systemctl is-enabled ivshmemd; systemctl is-active ivshmemd").stdout == \
        "enabled\nactive\n"
    [user, profile] = vm.run("""
        pid=$(systemctl show -P MainPID ivshmemd)
        ps -o user= -p $pid; cat /proc/$pid/attr/current""").stdout.splitlines()
    assert user == "ivshmem"
    assert profile == "ivshmemd (enforce)"
    assert "own id   0" in vm.run("ivshmem info unix:/run/ivshmem/lab.sock").stdout


def test_documented_service(vm: VM) -> None:
    """What the quick start says of the next boot: a link of another group is served."""
    [link] = [block.text for block in marked("check") if block.document == "quick-start.rst"]
    [group, serve] = commands("quick-start.rst", "packages/machine")
    file = "/etc/ivshmem/ivshmemd.conf.d/demo.conf"
    vm.run(f"mkdir -p {file.rpartition('/')[0]}; cat >{file} <<'END'\n{link}\nEND")
    assert re.search(r"^demo .* 0/8 ", vm.run(f"{group}\n{serve}", timeout=300).stdout, re.M)
    assert vm.run("stat -c %G /run/ivshmem/demo.sock").stdout == "kvm\n"
    vm.run(f"rm -r {file} /etc/systemd/system/ivshmemd.service.d; systemctl daemon-reload; "
           "systemctl restart ivshmemd", timeout=300)


def processes(vm: VM) -> list[str]:
    """The main processes of the services, all of which are active."""
    for unit in (*SERVICES, "ivshmemd@called.socket"):
        vm.wait_for(f"systemctl is-active {unit}", timeout=300)
    return vm.run(f"systemctl show -P MainPID {' '.join(SERVICES)}").stdout.split()


def test_instances(vm: VM) -> None:
    """A segment on the host, a disk and a socket that somebody else holds are served."""
    vm.run(INSTANCES, timeout=300)
    assert len(set(processes(vm)) - {"0"}) == len(SERVICES)
    assert "own id   0" in vm.run("ivshmem info unix:/run/ivshmem/called.sock").stdout
    assert vm.run("ip -o link show segment").stdout


def test_upgrade_in_use(vm: VM, packages: Packages) -> None:
    """Who uses the device or has joined a link goes on, with the next version installed."""
    user = vm.spawn("exec sleep infinity 3<>/dev/ivshmem0")
    client = vm.spawn("exec ivshmem wait unix:/run/ivshmem/lab.sock --count 1")
    vm.wait_for("ivshmem server status | grep -E '^lab .* 1/8 '", timeout=120)
    before = processes(vm)
    older = f"systemctl show -P Environment {' '.join(SERVICES)} | grep -c OLDER=1"
    assert vm.run(older).stdout == "2\n"
    install(vm, packages.version, *names(packages.folder))
    assert vm.run(older, check=False).stdout == "0\n"
    assert not set(before) & set(processes(vm))
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
    vm.run("! pgrep -u ivshmem && ! command -v ivshmem && ! modinfo ivshmem")
    assert not vm.run("systemctl list-units --no-legend --state=active 'ivshmem*'").stdout
    vm.run("rmmod ivshmem")
    vm.run("dpkg --purge ivshmemd ivshmem-blk-server ivshmem-dkms ivshmem-tools", timeout=BOUND)
    assert vm.run("find / -xdev -name '*ivshmem*' ! -path '/var/log/*' "
                  "! -path '/var/lib/systemd/*' | sort").stdout.splitlines() == OWN
    assert vm.run("ls /etc/ivshmem/*").stdout.split() == \
        ["/etc/ivshmem/blk-own.conf", "/etc/ivshmem/ivshmemd.conf.d:", "own.conf"]


def test_installation(vm: VM, packages: Packages) -> None:
    """On a machine without any of it, the server runs once it is installed."""
    install(vm, packages.version, "ivshmemd", "ivshmem-tools", "libivshmem0")
    assert vm.run("systemctl is-active ivshmemd").stdout == "active\n"
    vm.run("ivshmem info unix:/run/ivshmem/lab.sock")
