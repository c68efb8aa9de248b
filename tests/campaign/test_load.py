# SPDX-License-Identifier: GPL-2.0-only
"""The loads see what is wrong; without machines."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab.agent import poll_until

from .crashes import KINDS, plan
from .machine import BOUND, LOAD, next_boot

BLOCK = 4096
BLOCKS = 1024

# A liar speaks for a machine, in a network of its own.
LIE = """
ip link set lo up
"$1" net "$2" 1 1 &
/usr/bin/python3 - <<END
import socket, struct, time
while True:
    try:
        peer = socket.create_connection(("127.0.0.1", 6789))
        break
    except OSError:
        time.sleep(0.01)
peer.sendall(struct.pack("<QQQ", 0x7473657672616368, 1, 2) + bytes(1 << 15))
END
wait
"""


@pytest.fixture
def folder(userspace):
    """On a file system that knows O_DIRECT."""
    path = Path(tempfile.mkdtemp(prefix="ivs-", dir="/var/tmp"))
    yield path
    shutil.rmtree(path)


class Disk:
    """A load on a file instead of a disk."""

    def __init__(self, folder):
        self.image = folder / "image"
        self.status = folder / "status"
        self.image.write_bytes(bytes(BLOCKS * BLOCK))

    @property
    def told(self):
        """The last number that it said is on the disk."""
        path = folder_file(self.status, "told")
        return int(path.read_text() or 0) if path.exists() else 0

    def wrong(self):
        """What it has found."""
        path = folder_file(self.status, "wrong")
        return path.read_text() if path.exists() else ""

    def run(self, more, told=0):
        """Let it write so many more, and kill it."""
        with subprocess.Popen([LOAD, "disk", self.status, self.image, "0", str(told)],
                              start_new_session=True) as load:
            wanted = self.told + more
            poll_until(lambda: self.told >= wanted or load.poll() is not None, BOUND, "writes")
            ended = load.poll()
            load.kill()
        return ended


def folder_file(status, kind):
    """Beside the status."""
    return Path(f"{status}.{kind}")


def test_a_killed_disk_goes_on(folder):
    """Time and again: what it has said to be there is."""
    disk = Disk(folder)
    for _ in range(4):
        assert disk.run(100, disk.told) is None, disk.wrong()
    assert disk.told >= 400


@pytest.mark.parametrize("flaw", ["other", "lost", "moved", "empty"])
def test_a_flaw_of_the_disk_is_seen(folder, flaw):
    """A byte that is another, a write that did not happen, or somewhere else."""
    disk = Disk(folder)
    disk.run(BLOCKS)
    before = disk.image.read_bytes()
    disk.run(BLOCKS, disk.told)
    data = bytearray(disk.image.read_bytes())
    # Later than the batch that was under way
    block = (disk.told - 100) * 637 % BLOCKS * BLOCK
    neighbour = (block + BLOCK) % (BLOCKS * BLOCK)
    if flaw == "other":
        data[block + 2000] ^= 1
    elif flaw == "lost":
        data[block + 512:block + 1024] = before[block + 512:block + 1024]
    elif flaw == "moved":
        data[block:block + BLOCK] = data[neighbour:neighbour + BLOCK]
    else:
        data[block:block + 512] = bytes(512)
    disk.image.write_bytes(data)
    assert disk.run(1, disk.told) == 3
    assert "disk: sector" in disk.wrong()


def test_a_lie_on_the_network_is_seen(folder):
    """The first message is another one."""
    status = folder / "net"
    user = ["--user", "--map-root-user"] if os.geteuid() else []
    done = subprocess.run(["unshare", *user, "--net", "--pid", "--fork", "--kill-child",
                           "bash", "-c", LIE, "bash", LOAD, status],
                          timeout=BOUND, check=False, text=True, capture_output=True)
    assert "message 0 of machine 2 differs" in folder_file(status, "wrong").read_text(), done


def test_a_seed_stands_for_an_order():
    """The same one for the same, which has each kind."""
    assert plan(7, 200, 3) == plan(7, 200, 3) != plan(8, 200, 3)
    assert {crash.kind for crash in plan(7, len(KINDS), 3)} == set(KINDS)


def test_a_panic_ends_where_the_next_kernel_begins():
    """Its clock begins anew."""
    panic = "\n[  298.643745] Kernel panic - not syncing: sysrq\n[  298.718546] Kernel Offset\n"
    after = "[    2.047994] WARNING: of the next one\n[   30.913989] ivshmem: loading\n"
    assert (panic + after)[next_boot(panic + after):] == after
    assert next_boot(panic) == len(panic)
