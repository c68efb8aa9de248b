# SPDX-License-Identifier: GPL-2.0-only
"""Where the commands of the guides are run: the host, and two machines.

What they do to the host happens in namespaces of its own, which have an empty /run, a
network of their own, and no processes but theirs.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from lab import VM
from lab.agent import poll_until
from lab.paths import MODULES, USERSPACE
from lab.patience import patient

PROGRAMS = [USERSPACE / "server", USERSPACE / "tools/ivshmem", USERSPACE / "blkserver",
            Path(__file__).with_name("bin")]
# What readers have to put in themselves: the group of their QEMU, their users. In a user's
# namespaces there are none but these.
OWN = {"group=kvm": "group=root", "libvirt-qemu:@operators": "root:@root"}
PRELUDE = """
set -e -o pipefail
export PATH={programs}:$PATH:/usr/sbin:/sbin
cd {folder}
"""
OPENED = "test -S {path} || find /proc/[0-9]*/fd -lname {path} 2>/dev/null | grep -q ."


def script(text: str, folder: Path | str) -> str:
    """What a reader types, in his shell."""
    for theirs, ours in OWN.items():
        text = text.replace(theirs, ours)
    return PRELUDE.format(programs=":".join(map(str, PROGRAMS)), folder=folder) + text


class Host:
    """The host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Where the reader is
        self.home: Path | str = folder
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._holder = subprocess.Popen(
            ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child",
             "--mount-proc", "--propagation", "private", "sh", "-c",
             "mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && "
             "ip link set lo up && echo ready && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout and self._holder.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.pid = int(children.read_text().split()[0])
        self._enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid",
                       *(["--user", "--preserve-credentials"] if user else [])]

    def path(self, path: str) -> str:
        """A path of the host as those outside of it reach it."""
        return f"/proc/{self.pid}/root{path}"

    def run(self, text: str) -> str:
        """Run commands; what they print. Those in the background stay."""
        process = self.spawn(text)
        status = process.wait(patient(120))
        printed = Path(process.log).read_text()
        assert status == 0, f"host: exit status {status}\n{text}\n{printed}"
        return printed

    def spawn(self, text: str) -> Any:
        """Begin to run commands."""
        log = self.folder / f"log-{len(list(self.folder.glob('log-*')))}"
        with log.open("wb") as output:
            # A group of its own, for Ctrl-C
            process = subprocess.Popen([*self._enter, "bash", "-c", script(text, self.home)],
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       start_new_session=True)
        process.log = str(log)
        return process

    def finish(self, process: Any, stop: bool) -> None:
        """Wait for the end of what was spawned."""
        if stop:
            assert process.poll() is None, f"host: has ended\n{Path(process.log).read_text()}"
            os.killpg(process.pid, signal.SIGINT)
        status = process.wait(patient(120))
        assert stop or status == 0, f"host: {status}\n{Path(process.log).read_text()}"

    def wait_for(self, command: str) -> None:
        """Until a command succeeds."""
        poll_until(lambda: not self.spawn(command).wait(), 60, f"host: {command}")

    def close(self) -> None:
        """End all that runs in it."""
        self._holder.kill()
        self._holder.communicate()


class Machine:
    """A virtual machine, in which readers work as root."""

    def __init__(self, vm: VM) -> None:
        self.vm = vm
        install_modules(vm)

    def run(self, text: str, timeout: float = 120) -> str:
        """Run commands; what they print."""
        done = self.vm.run(script(text, "/root"), timeout=timeout, check=False)
        assert done.returncode == 0, \
            f"{self.vm.name}: exit status {done.returncode}\n{text}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def spawn(self, text: str) -> Any:
        """Begin to run commands."""
        # A signal is for the command, and not for the shell around it
        head, _, last = text.rpartition("\n")
        if not re.search(r"[|;&]", last):
            text = f"{head}\nexec {last}"
        return self.vm.spawn(script(text, "/root"))

    def finish(self, process: Any, stop: bool) -> None:
        """Wait for the end of what was spawned."""
        if stop:
            assert process.poll() is None, f"{self.vm.name}: has ended: {process.stderr}"
            process.kill("INT")
        done = process.wait(120)
        assert stop or done.returncode == 0, \
            f"{self.vm.name}: {done.returncode}\n{done.stdout}{done.stderr}"

    def wait_for(self, command: str) -> None:
        """Until a command succeeds."""
        self.vm.wait_for(command)


def install_modules(vm: VM) -> None:
    """Have modprobe find our modules beside those of the machine's kernel."""
    release = vm.kernel.release
    folder = vm.share / "lib/modules" / release
    (folder / "updates").mkdir(parents=True)
    (folder / "kernel").symlink_to(vm.kernel.modules / "kernel")
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(vm.kernel.modules / name, folder)
    for name in ("core/ivshmem", "net/ivshmem_net", "blk/ivshmem_blk"):
        shutil.copy(MODULES / release / f"drivers/{name}.ko", folder / "updates")
    subprocess.run(["/usr/sbin/depmod", "-b", vm.share, release], check=True)
    vm.run("mount -o bind /mnt/share/lib/modules/$(uname -r) /lib/modules/$(uname -r)")


def arguments(host: Host, printed: str) -> list[str]:
    """QEMU's, as the server prints them, but with the place of the socket."""
    found = re.search(r"^-chardev .*path=([^,\s]+).*$", printed, re.M)
    assert found, printed
    host.wait_for(f"test -S {found[1]}")
    return shlex.split(found[0].replace(found[1], host.path(found[1])))
