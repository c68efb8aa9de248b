# SPDX-License-Identifier: GPL-2.0-only
"""The quick start, followed literally where there is nothing but Debian: on the host and in
two machines.

`make test-packages` runs this. What is installed in a machine is installed in its root file
system before it boots, since an emulated compiler takes too long.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from lab import kernel
from lab.testing import VMs
from lab.vm import VM
from tests.documents.blocks import DOCUMENTS, blocks
from tests.documents.test_guides import FIRST, Reader
from tests.documents.world import Host, Machine, arguments

from .conftest import Packages
from .machine import MODULES
from .root import READER, Root, base

pytestmark = [pytest.mark.timeout(3600), pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make files of other users")]

QUICK_START = DOCUMENTS / f"{FIRST}.rst"
# What each Debian has that was installed by its installer
PREPARE = "apt-get install --no-install-recommends e2fsprogs iputils-ping"


# Of the kernel: what a file system on the disk needs
FILE_SYSTEM = ["ext4", "crc32c_generic"]


def add_kernel(root: Path) -> kernel.Kernel:
    """Install a kernel's modules, those that are needed, in a root file system."""
    [headers] = base().glob("usr/lib/modules/*")
    guest = kernel.get(headers.name)
    target = root / "usr/lib/modules" / guest.release
    for path in [*guest.with_dependencies([*MODULES, *FILE_SYSTEM]),
                 *guest.modules.glob("modules.builtin*"), guest.modules / "modules.order"]:
        copy = target / path.relative_to(guest.modules)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return guest


class CleanHost(Host):
    """A Debian that is the host."""

    def __init__(self, folder: Path, root: Root) -> None:
        # Not that of the other tests' readers
        # pylint: disable=super-init-not-called
        self.folder = folder
        self.home = "/root"
        self.root = root
        self.pid = root.pid
        self._enter = ["nsenter", f"--target={root.pid}", "--mount", "--pid", "chroot",
                       str(root.folder / "root")]
        root.run("mount -t sysfs sysfs /sys")

    def path(self, path: str) -> str:
        """A path of the host as those outside of it reach it."""
        return super().path(f"{self.root.folder}/root{path}")


class CleanMachine(Machine):
    """A machine with drivers of its own."""

    def __init__(self, vm: VM) -> None:
        # pylint: disable=super-init-not-called
        self.vm = vm


class CleanReader(Reader):
    """One whose machines have nothing but Debian."""

    def __init__(self, host: CleanHost, machines: VMs, root: Root, guest: kernel.Kernel) -> None:
        super().__init__(host, machines)
        self.root = root
        self.guest = guest

    def start_machines(self) -> None:
        """With the arguments that were printed last."""
        devices = arguments(self.places["host"], self.printed)
        folder = Path(f"/proc/{self.root.pid}/root{self.root.folder}/root")
        first, second = (self.machines(name, devices=[devices], start=False, root=folder,
                                       kernel=self.guest, memory="1G")
                         for name in ("vm-a", "vm-b"))
        # Once it answers it has joined, and is peer 0
        first.start(wait=False).qmp("query-status")
        second.start(wait=False)
        self.places.update({vm.name: CleanMachine(vm.wait_ready(900)) for vm in (first, second)})


def install(root: Root, place: str) -> None:
    """Do what the quick start says for a place that has nothing yet."""
    texts = [block.text for block in blocks(QUICK_START)
             if block.mark == "install" and block.argument == place]
    assert texts, f"{QUICK_START}: installs nothing in: {place}"
    root.run(READER)
    root.run(PREPARE)
    for text in texts:
        root.run(f"cd /root\n{text}")


def test_quick_start(packages: Packages, module_vms: VMs, tmp_path: Path) -> None:
    """It ends with ping over the interface, a mounted disk, and a message."""
    with Root(packages.folder) as machine, Root(packages.folder) as place:
        guest = add_kernel(Path(f"/proc/{machine.pid}/root{machine.folder}/root"))
        install(machine, "machine")
        install(place, "host")
        reader = CleanReader(CleanHost(tmp_path, place), module_vms, machine, guest)
        reader.follow(QUICK_START.name)

        assert "ping -c" in QUICK_START.read_text()
        mounted = reader.places["vm-a"].run("findmnt -n -o SOURCE,FSTYPE /mnt")
        assert re.fullmatch(r"/dev/ivblk0\s+ext4\n", mounted)
        assert reader.places["vm-b"].run("cat message.txt") == "Hello from vm-a\n"
        assert reader.places["vm-a"].run("modinfo -n ivshmem").startswith("/lib/modules/")
