# SPDX-License-Identifier: GPL-2.0-only
"""Back ends and guests that are killed at random: what was acknowledged is on the disk.

A program in the guest appends records to a file of a journalled file system, makes files
beside it, and says how far it is after each fsync(): on the host, by a file that the
guest's end does not touch.  What a killed guest had not flushed is gone with it.
"""

import os
import random
import textwrap

import pytest

from lab import BlkServer, ivshmem_doorbell
from lab.agent import poll_until
from lab.testing import VMs

from .guest import module

ROUNDS = 50
# Records of a life, at most; a guest's end costs a boot, a back end's next to nothing.
RECORDS = 60
GUEST_EVERY = 5
BOUND = 120
VECTORS = 2
DISK = 64 << 20
MOUNTED = "/run/disk"

# Record N is a line that says so, and of every eighth there is a file that is called so.
COMMON = """
import hashlib, os, sys
def record(number):
    said = f"{number:016d} "
    return (said + hashlib.sha256(said.encode()).hexdigest()).ljust(511).encode() + b"\\n"
def folder(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
"""

WRITER = COMMON + """
first, mounted, told = int(sys.argv[1]), sys.argv[2], sys.argv[3]
log = os.open(f"{mounted}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
tell = os.open(told, os.O_WRONLY | os.O_CREAT)
number = first
while True:
    if number % 8 == 0:
        with open(f"{mounted}/{number}.new", "wb") as file:
            file.write(record(number) * 20)
            file.flush()
            os.fsync(file.fileno())
        os.rename(f"{mounted}/{number}.new", f"{mounted}/{number}")
        folder(mounted)
    os.write(log, record(number))
    os.fsync(log)
    os.pwrite(tell, f"{number:016d}".encode(), 0)
    number += 1
"""

# Prints how many records there are, all of which are right.
CHECKER = COMMON + """
mounted = sys.argv[1]
size = len(record(0))
found = 0
with open(f"{mounted}/log", "rb") as log:
    while said := log.read(size):
        assert said == record(found), f"record {found}: {said!r}"
        if found % 8 == 0:
            with open(f"{mounted}/{found}", "rb") as file:
                assert file.read() == record(found) * 20, f"file {found}"
        found += 1
print(found)
"""


class Machine:
    """The guest through its lives, with the disk mounted."""

    def __init__(self, vms: VMs, devices: list[list[str]]) -> None:
        self.vms = vms
        self.devices = devices
        self.checked = 0
        self.boot()

    def boot(self) -> None:
        """A new life."""
        self.vm = self.vms("a", devices=self.devices)
        self.vm.load_driver()
        self.vm.run(f"insmod {module(self.vm)}")
        self.vm.wait_for("test -b /dev/ivblk0")
        for name, text in (("writer", WRITER), ("checker", CHECKER)):
            (self.vm.share / f"{name}.py").write_text(textwrap.dedent(text))

    @property
    def told(self) -> int:
        """How many records were acknowledged."""
        path = self.vm.share / "told"
        text = path.read_text() if path.exists() else ""
        return int(text) + 1 if text else self.checked

    def write(self, count: int) -> None:
        """Go on where the disk is; return after so many more, while it writes on."""
        self.vm.run(f"mkdir -p {MOUNTED} && mount /dev/ivblk0 {MOUNTED}")
        self.writer = self.vm.spawn(["python3", "/mnt/share/writer.py", str(self.checked),
                                     MOUNTED, "/mnt/share/told"])
        self.wait(count)

    def wait(self, count: int) -> None:
        """Return after so many more."""
        wanted = self.told + count
        poll_until(lambda: self.told >= wanted or self.writer.poll() is not None, BOUND,
                   f"{count} records after {self.told}")
        assert self.writer.poll() is None, self.writer.wait(BOUND)

    def check(self) -> None:
        """The file system is whole after its journal, and all that was told is there."""
        told = self.told
        self.vm.run(f"mkdir -p {MOUNTED} && mount /dev/ivblk0 {MOUNTED}")
        found = int(self.vm.run(["python3", "/mnt/share/checker.py", MOUNTED]).stdout)
        self.vm.run(f"umount {MOUNTED} && fsck.ext4 -f -n /dev/ivblk0")
        assert found >= told
        self.checked = found

    def stop(self) -> None:
        """End the program, unmount."""
        self.writer.kill()
        self.writer.wait(BOUND)
        self.vm.run(f"umount {MOUNTED}")


@pytest.fixture
def image(tmp_path):
    """A file with an empty file system."""
    path = tmp_path / "disk"
    path.touch()
    os.truncate(path, DISK)
    return path


@pytest.mark.attack("A34")
def test_nothing_acknowledged_is_lost(servers, vms, image):
    """Fifty times: the back end, the guest, or both are killed while it writes."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    server = servers(peers=2, vectors=VECTORS, size="32M", layout="blk=disk:16M")
    with BlkServer(server, image) as back:
        machine = Machine(vms, [ivshmem_doorbell(server, VECTORS)])
        machine.vm.run("mkfs.ext4 -q /dev/ivblk0")
        machine.write(1)
        for number in range(1, ROUNDS + 1):
            machine.wait(chance.randint(1, RECORDS))
            guest = number % GUEST_EVERY == 0
            if guest:
                machine.vm.kill()
            # After a guest's end, now and then only.
            if not guest or chance.random() < 0.5:
                back.kill()
                back.start()
            if guest:
                told = machine.told
                machine.boot()
                machine.checked = told
                machine.check()
                machine.write(1)
        machine.stop()
        machine.check()
