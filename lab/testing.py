# SPDX-License-Identifier: GPL-2.0-only
"""pytest fixtures: virtual machines for tests, and watch over their consoles."""

import re
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from . import accel, kernel
from .log import say
from .paths import BUILD, ROOT
from .vm import VM

# VMs whose consoles are watched: those that run, and those that ended during
# the test that is running.
_watched: list[VM] = []


@pytest.fixture(scope="session")
def lab_ready() -> None:
    """Guest kernel fetched, module and user space built, accelerator known."""
    guest = kernel.get()
    mode, why = accel.choose(guest)
    say(f"guests run {guest.release} on {mode.upper()} ({why})")
    subprocess.run(["make", "-C", str(ROOT), "-s", "guest-modules"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["make", "-C", str(ROOT), "-s", "userspace"], check=True,
                   stdout=subprocess.DEVNULL)


class VMs:
    """Makes VMs for one test or module, and ends them all with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[VM] = []

    def __call__(self, name: str = "a", *args: Any, start: bool = True,
                 **kwargs: Any) -> VM:
        """A VM, running unless told otherwise; arguments are those of VM."""
        kwargs.setdefault("directory", self.directory / name)
        vm = VM(name, *args, **kwargs)
        self.made.append(vm)
        _watched.append(vm)
        if start:
            vm.start()
        return vm

    def start(self, *machines: VM) -> None:
        """Start several at once and wait until all of them are up."""
        for vm in machines:
            vm.start(wait=False)
        for vm in machines:
            vm.wait_ready()

    def end(self) -> None:
        """End all of them."""
        for vm in self.made:
            vm.kill()


def _folder(node: Any) -> Path:
    return BUILD / "test" / re.sub(r"[^\w.-]+", "_", node.nodeid)


@pytest.fixture
def vms(lab_ready: None, request: Any) -> Iterator[VMs]:
    """Makes VMs that live as long as the test."""
    maker = VMs(_folder(request.node))
    yield maker
    maker.end()


@pytest.fixture(scope="module")
def module_vms(lab_ready: None, request: Any) -> Iterator[VMs]:
    """Makes VMs that live as long as the module's tests."""
    maker = VMs(_folder(request.node))
    yield maker
    maker.end()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Fail a test during which a console said something alarming."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "teardown":
        _watched[:] = [vm for vm in _watched if vm.alive]
        return
    allowed = [mark.args[0] for mark in item.iter_markers("console_expects")]
    alarms = [(vm, vm.console.alarms(allowed)) for vm in _watched]
    text = "".join(f"{vm.name} ({vm.log_path}):\n{said}\n" for vm, said in alarms if said)
    if text and report.outcome != "skipped":
        report.outcome = "failed"
        before = f"{report.longreprtext}\n\n" if report.longrepr else ""
        report.longrepr = f"{before}A console said something alarming:\n{text}"
    elif report.failed:
        for vm in _watched:
            report.sections.append((f"console of {vm.name}: {vm.log_path}",
                                    vm.console.tail(40)))
