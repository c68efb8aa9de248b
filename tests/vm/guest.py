# SPDX-License-Identifier: GPL-2.0-only
"""What the tests do inside a guest: run test programs, find a device's node."""

import itertools
import os
import re
import socket
from pathlib import Path

from lab import VM, Process, Result
from lab.paths import USERSPACE

PROGRAMS = USERSPACE / "tests/uapi"

CLASS = "/sys/class/ivshmem"
DRIVER = "/sys/bus/pci/drivers/ivshmem"


def program(name: str) -> Path:
    """A test program, at the same place on the host and in the guests."""
    path = PROGRAMS / name
    assert path.exists(), f"{path}: not built"
    return path


def node(vm: VM, address: str) -> str:
    """The device node of the PCI device at @address ("00:10.0")."""
    names = vm.run(f"ls /sys/bus/pci/devices/0000:{address}/ivshmem").stdout.split()
    # others are those of sections
    names = [name for name in names if "." not in name]
    assert len(names) == 1, f"{address}: {names}"
    return f"/dev/{names[0]}"


def attribute(vm: VM, device: str, name: str) -> str:
    """A sysfs attribute of the device with the node @device."""
    return vm.run(f"cat {CLASS}/{Path(device).name}/{name}").stdout.strip()


def set_attribute(vm: VM, device: str, name: str, value: str) -> Result:
    """Write an attribute; the status says whether that was accepted."""
    return vm.run(f"echo -n '{value}' > {CLASS}/{Path(device).name}/{name}", check=False)


def judge(result: Result, skipped: tuple[str, ...] = ()) -> None:
    """Fail unless a test program passed all its tests.

    Only those named in @skipped may have been left out.
    """
    said = result.stdout + result.stderr
    left_out = re.findall(r"^not ok \d+ # SKIP (\S+)", result.stdout, re.M)
    assert result.returncode == 0, f"{result.command}: {result.returncode}\n{said}"
    assert re.search(r"^ok ", result.stdout, re.M), f"{result.command}: no test ran\n{said}"
    assert set(left_out) <= set(skipped), f"{result.command}: left out {left_out}"


def check(vm: VM, name: str, *arguments: str, timeout: float = 120,
          skipped: tuple[str, ...] = (), **environment: str) -> Result:
    """Run a test program in a guest; it must pass all its tests."""
    command = [str(program(name)), *arguments]
    result = vm.run(command, timeout=timeout, check=False,
                    env={"CMOCKA_MESSAGE_OUTPUT": "TAP", **environment})
    judge(result, skipped)
    return result


class Running:
    """A test program that says when it is ready, and ends later."""

    count = 0

    def __init__(self, vm: VM, name: str, *arguments: str) -> None:
        Running.count += 1
        self.vm = vm
        self.log = f"/run/{name}-{Running.count}"
        words = " ".join([str(program(name)), *arguments])
        self.process: Process = vm.spawn(
            f"CMOCKA_MESSAGE_OUTPUT=TAP exec {words} >{self.log} 2>&1")
        vm.wait_for(f"grep -q ^ready {self.log} || ! test -d /proc/{self.process.pid}")
        assert self.process.poll() is None, self.output()

    def output(self) -> str:
        """What it has said up to now."""
        return self.vm.run(f"cat {self.log}").stdout

    def stop(self) -> None:
        """Ask it to end (SIGTERM)."""
        self.vm.run(f"kill {self.process.pid}")

    def wait(self, timeout: float = 120) -> Result:
        """Wait for its end; the result carries what it said."""
        code = self.process.wait(timeout).returncode
        return Result(self.process.command, code, self.output(), "")


def nodes(vm: VM) -> list[str]:
    """All device nodes of the driver."""
    return vm.run(f"cd {CLASS} && echo *").stdout.replace("*", "").split()


_names = itertools.count()


def keep_descriptors_busy(vm: VM, count: int) -> None:
    """Fill @count free descriptor numbers of QEMU with files that never are ready.

    QEMU before 10.0.13 goes on watching the eventfds of a doorbell device that
    has been unplugged, by their numbers: a file that gets one of these numbers
    and is ready makes it use the memory of the device that is gone.
    """
    for _ in range(count):
        quiet = os.eventfd(0)
        # A descriptor comes with a byte; between commands a space says nothing.
        socket.send_fds(vm._qmp.lines.sock, [b" "], [quiet])
        vm.qmp("getfd", fdname=f"quiet{next(_names)}")
        os.close(quiet)
