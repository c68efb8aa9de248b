# SPDX-License-Identifier: GPL-2.0-only
"""A disk in a guest: a section, a back end on the host, and what programs do with it."""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Iterator

from lab import VM, Process, Server, ivshmem_doorbell
from lab.agent import poll_until
from lab.paths import MODULES

from .disk import BackEnd

BOUND = 180
QUEUES = 4
FUNCTION = "/sys/bus/auxiliary/devices/ivshmem.blk.0"
LAYOUT = f"blk=disk0:96M:queues={QUEUES}"
LINK = {"size": "128M", "vectors": 4, "peers": 3, "layout": LAYOUT}
NODE = "/dev/ivblk0"


def device(server: Server) -> list[str]:
    """The arguments of a device on a link."""
    return ivshmem_doorbell(server, 4, addr="0x10")


def module(vm: VM) -> Path:
    """The driver of the disk, built for the guest's kernel."""
    return MODULES / vm.kernel.release / "drivers/blk/ivshmem_blk.ko"


class Disk:
    """The disk of a guest, and the back end that is started and ended for it."""

    def __init__(self, server: Server, vm: VM, directory: Path, size: int = 256 << 20) -> None:
        self.server = server
        self.vm = vm
        self.directory = directory
        self.image = directory / "disk.img"
        with open(self.image, "wb") as image:
            image.truncate(size)
        self.back: BackEnd | None = None

    # The back end

    def serve(self, *arguments: Any, **options: Any) -> BackEnd:
        """Start the back end, in the place of one that has ended."""
        if self.back:
            self.back.__exit__()
        self.back = BackEnd(self.server.address, *(arguments or [self.image]), **options)
        return self.back

    def kill(self) -> None:
        """End the back end as a crash does."""
        assert self.back
        self.back.kill()

    def stop(self) -> None:
        """End the back end, if there is one."""
        if self.back:
            self.back.__exit__()
        self.back = None

    # The driver

    def load(self, parameters: str = "") -> None:
        """Load the disk's driver."""
        self.vm.run(f"insmod {module(self.vm)} {parameters}")

    def unload(self) -> None:
        """Remove the disk's driver, which has to succeed."""
        self.vm.run("rmmod ivshmem_blk", BOUND)

    def state(self) -> str:
        """What the driver says of the disk."""
        return self.vm.run(f"cat {FUNCTION}/state").stdout.strip()

    def wait(self, state: str = "ready") -> None:
        """Wait until the disk is in this state, and if it is ready, the node is there."""
        there = f"&& [ -b {NODE} ]" if state == "ready" else ""
        self.vm.run(f"until [ $(< {FUNCTION}/state) = {state} ] {there}; do "
                    "busybox sleep 0.02; done", BOUND)

    def timeout(self, seconds: int) -> None:
        """How long requests wait for a back end."""
        self.vm.run(f"echo {seconds} > {FUNCTION}/reconnect_timeout")

    def limit(self, name: str) -> int:
        """A number that the queue's attributes say."""
        return int(self.vm.run(f"cat /sys/block/ivblk0/queue/{name}").stdout)

    def sectors(self) -> int:
        """The size that the guest sees."""
        return int(self.vm.run("cat /sys/block/ivblk0/size").stdout)

    def counters(self) -> dict[str, int]:
        """What the driver has counted, all queues together."""
        said = self.vm.run("cat /sys/kernel/debug/ivshmem_blk/ivblk0/state").stdout
        sums: dict[str, int] = {}
        for line in said.splitlines():
            words = line.split(": ")[-1].split()
            for name, value in zip(words[::2], words[1::2]):
                sums[name] = sums.get(name, 0) + int(value)
        return sums

    def wait_counter(self, name: str, least: int) -> None:
        """Wait until the driver has counted so many."""
        poll_until(lambda: self.counters().get(name, 0) >= least, BOUND, f"{name} {least}")

    # Programs

    def spawn_fio(self, words: str) -> Process:
        """Start fio on the disk; its result comes with done()."""
        return self.vm.spawn(f"exec fio --name=job --filename={NODE} --output-format=json "
                             f"--verify_fatal=1 {words}")

    def fio(self, words: str) -> dict[str, Any]:
        """Run fio on the disk, which has to succeed; what it says of its job."""
        return done(self.spawn_fio(words))

    def run(self, command: str, timeout: float = BOUND) -> str:
        """Run a command in the guest; what it printed."""
        return self.vm.run(command, timeout).stdout

    def fails(self, command: str) -> str:
        """Run a command in the guest that has to fail; what it complained of."""
        result = self.vm.run(command, BOUND, check=False)
        assert result.returncode, f"{command}: has succeeded"
        return result.stderr + result.stdout


def done(process: Process) -> dict[str, Any]:
    """Wait for a fio that has to succeed; what it says of its job."""
    result = process.wait(BOUND)
    assert result.returncode == 0, result.stdout + result.stderr
    job = json.loads(result.stdout[result.stdout.index("{"):])["jobs"][0]
    assert not job["error"], job
    return job


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder on a file system that is none of memory."""
    path = Path(tempfile.mkdtemp(prefix="ivs-", dir="/var/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)
