# SPDX-License-Identifier: GPL-2.0-only
"""What was written and not flushed, when the back end's machine fails."""

import os
import uuid

import pytest

from lab import BlkServer, ivshmem_doorbell
from lab.agent import poll_until

from .guest import FUNCTION, module

BOUND = 120
VECTORS = 2
DISK = 16 << 20
LOST = "back end has lost what it had not flushed"

# Prints what becomes of each fsync().
SYNC = """
import os, sys
fd = os.open("/dev/ivblk0", os.O_WRONLY)
for _ in range(2):
    try:
        os.fsync(fd)
        print("done")
    except OSError as error:
        print(error.strerror)
"""


class AnotherMachine(BlkServer):
    """A back end on a machine that was started at another time."""

    def __init__(self, *arguments, directory):
        super().__init__(*arguments, directory=directory)
        boot = self._temporary / "boot"
        boot.write_text(f"{uuid.uuid4()}\n")
        self.command = ["unshare", "--mount", "sh", "-c",
                        'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"',
                        str(boot), *self.command]


@pytest.fixture(name="disk")
def _disk(servers, vms, tmp_path):
    """A guest, and what starts back ends for it."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, DISK)
    server = servers(peers=2, vectors=VECTORS, size="32M", layout="blk=disk:16M")
    vm = vms("a", devices=[ivshmem_doorbell(server, VECTORS)])
    vm.load_driver()
    vm.run(f"insmod {module(vm)}")
    (vm.share / "sync.py").write_text(SYNC)

    def serve(kind=BlkServer):
        return kind(server, image, directory=tmp_path)

    return vm, serve


def _write(vm, more=""):
    vm.run(f"dd if=/dev/urandom of=/dev/ivblk0 bs=64k count=8 oflag=direct {more}")


def _sync(vm):
    return vm.run(["python3", "/mnt/share/sync.py"]).stdout.split("\n")[:2]


def _return(vm, serve, kind):
    """The back end is killed, and returns there or elsewhere."""
    with serve() as back:
        vm.wait_for("test -b /dev/ivblk0")
        _write(vm)
        back.kill()
    back = serve(kind)
    back.start()
    poll_until(lambda: vm.run(f"cat {FUNCTION}/state").stdout
               == "ready\n", BOUND, "the back end's return")
    return back


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_flush_fails_where_the_cache_is_lost(disk):
    """Once: it is told, and the next one is right again."""
    vm, serve = disk
    with _return(vm, serve, AnotherMachine):
        assert _sync(vm) == ["Input/output error", "done"]
        assert LOST in vm.run("dmesg").stdout
        _write(vm, "conv=fsync")


def test_flush_succeeds_where_only_a_process_ended(disk):
    """The page cache is there still."""
    vm, serve = disk
    with _return(vm, serve, BlkServer):
        assert _sync(vm) == ["done", "done"]
        assert LOST not in vm.run("dmesg").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_flush_succeeds_where_all_was_flushed(disk):
    """Of what was flushed nothing can be lost."""
    vm, serve = disk
    with serve() as back:
        vm.wait_for("test -b /dev/ivblk0")
        _write(vm, "conv=fsync")
        back.kill()
    with serve(AnotherMachine):
        poll_until(lambda: vm.run(f"cat {FUNCTION}/state").stdout
                   == "ready\n", BOUND, "the back end's return")
        assert _sync(vm) == ["done", "done"]
        assert LOST not in vm.run("dmesg").stdout
