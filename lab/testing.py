# SPDX-License-Identifier: GPL-2.0-only
"""pytest fixtures: virtual machines and servers, and watch over all consoles.

After each phase of each test (set-up, test, tear-down) the consoles of all
guests are looked at. A line that no healthy kernel prints fails the test,
unless it has said that it expects it::

    @pytest.mark.console_expects("BUG: .* made on purpose")
"""

import functools
import os
import re
import signal
import statistics
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

import pytest

from . import accel, debugkernel, kernel, progress
from .checkup import checkup
from .log import say
from .paths import BUILD, ROOT
from .patience import patient
from .progress import Progress
from .reports import KINDS
from .server import Server
from .vm import VM, VMDied

# VMs whose consoles are watched: those that run, and those that ended during
# the test that is running.
_watched: list[VM] = []
_boot_seconds: list[float] = []
# What kernels have reported, and how hard they looked for it, since a phase of a test told
_tally: Counter[str] = Counter()
# What has failed so far: a whole run takes most of an hour, and tells at its end
FAILURES = BUILD / "test/failures.log"


class _Failures:
    """Says what fails as it does, and keeps it for who cannot wait for the end."""

    def __init__(self, config: Any) -> None:
        self.config = config
        FAILURES.parent.mkdir(parents=True, exist_ok=True)
        FAILURES.write_text("")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A phase of a test has ended, in this process or in one of the others."""
        if not report.failed:
            return
        with FAILURES.open("a") as log:
            log.write(f"{report.nodeid} ({report.when})\n{report.longreprtext}\n")
            log.writelines(f"--- {title}\n{text}\n" for title, text in report.sections)
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal:
            terminal.ensure_newline()
            terminal.write_line(f"FAILED {report.nodeid}: see {FAILURES}")


class _Tally:
    """Adds up what kernels have reported, in whichever process."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A phase of a test has ended, in this process or in one of the others."""
        self.total.update(getattr(report, "tally", {}))


def pytest_configure(config: Any) -> None:
    """Announce our marker, be patient, and take a polite kill like Ctrl-C."""
    config.pluginmanager.register(_Tally(), _Tally.__name__)
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        if config.rootpath == ROOT:
            config.pluginmanager.register(_Failures(config))
        if path := config.getoption("--progress"):
            config.pluginmanager.register(Progress(Path(path)), Progress.__name__)
    config.addinivalue_line("markers", "console_expects(regex): console lines that "
                            "match are no reason to fail this test")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)


def count(what: str, number: int) -> None:
    """Add something to what is told of a run on a kernel that checks itself."""
    _tally[what] += number


def _build(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}:\n{done.stdout}", pytrace=False)


@pytest.fixture(scope="session")
def guest_kernel() -> kernel.Kernel:
    """The kernel of the guests, fetched."""
    return kernel.get()


@pytest.fixture(scope="session")
def userspace() -> None:
    """Library, server and tools built."""
    _build("scripts/build-userspace")


@functools.cache
def _build_modules(release: str) -> kernel.Kernel:
    guest = kernel.get(release)
    _build("scripts/build-modules", str(guest.headers), *guest.make_arguments)
    return guest


def build_modules(release: str) -> kernel.Kernel:
    """A kernel ("6.12") fetched, and our modules built for it.

    Where all are to run on a kernel that checks itself, a test of another one is not run,
    and that of the usual kernel is on this one.
    """
    chosen = os.environ.get("KERNEL", "")
    if chosen not in debugkernel.NAMES or release.endswith(f"-{chosen}"):
        return _build_modules(release)
    if release != "6.1":
        pytest.skip(f"a test of {release} alone, and this run is of {chosen}")
    return _build_modules(chosen)


@pytest.fixture(scope="session")
def guest_modules(guest_kernel: kernel.Kernel) -> None:
    """Our modules built for the guests' kernel."""
    build_modules(guest_kernel.release)


def _wait_ready(vm: VM) -> None:
    """Wait until a guest is up; again if its kernel has died before anything of ours came.

    Emulated processors can run what another one is about to patch (static branches, at
    boot), and the kernel panics.
    """
    try:
        vm.wait_ready()
    except VMDied:
        if "Kernel panic" not in vm.console.text() or vm.ports:
            raise
        say(f"{vm.name}: its kernel has died while it booted, starting it again:\n"
            + vm.console.tail())
        vm.start_again()


class VMs:
    """Makes VMs for one test or module, and ends them all with it."""

    def __init__(self, directory: Path, guest_kernel: kernel.Kernel) -> None:
        self.directory = directory
        self.kernel = guest_kernel
        self.made: list[VM] = []

    def __call__(self, name: str = "a", *args: Any, start: bool = True,
                 kind: type[VM] = VM, **kwargs: Any) -> VM:
        """A VM, running unless told otherwise; arguments are those of its kind."""
        used = sum(vm.name == name for vm in self.made)
        folder = f"{name}-{used + 1}" if used else name
        kwargs.setdefault("directory", self.directory / folder)
        kwargs.setdefault("kernel", self.kernel)
        vm = kind(name, *args, **kwargs)
        self.made.append(vm)
        _watched.append(vm)
        if start:
            self.start(vm)
        return vm

    def start(self, *machines: VM) -> None:
        """Start several at once and wait until all of them are up."""
        for vm in machines:
            vm.start(wait=False)
        for vm in machines:
            _wait_ready(vm)
            _boot_seconds.append(vm.boot_seconds)
            count("guests", 1)

    def end(self) -> None:
        """End all of them, of which some can say first what is left of our modules."""
        try:
            wrong = [checkup(vm, _tally) for vm in self.made]
        finally:
            for vm in self.made:
                vm.kill()
        if any(wrong):
            pytest.fail("\n".join(filter(None, wrong)), pytrace=False)


class Servers:
    """Makes servers for one test or module, and ends them all with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[Server] = []

    def __call__(self, *args: Any, start: bool = True, **kwargs: Any) -> Server:
        """A server, ready unless told otherwise; arguments are those of Server."""
        kwargs.setdefault("directory", self.directory / f"ivshmemd-{len(self.made)}")
        server = Server(*args, **kwargs)
        self.made.append(server)
        if start:
            server.start()
        return server

    def end(self) -> None:
        """End all of them."""
        for server in self.made:
            server.remove()


def _folder(node: Any) -> Path:
    return BUILD / "test" / re.sub(r"[^\w.-]+", "_", node.nodeid.removeprefix("tests/"))


@pytest.fixture
def vms(guest_kernel: kernel.Kernel, guest_modules: None,
        request: Any) -> Iterator[VMs]:
    """Makes VMs that live as long as the test."""
    maker = VMs(_folder(request.node), guest_kernel)
    yield maker
    maker.end()


@pytest.fixture(scope="module")
def module_vms(guest_kernel: kernel.Kernel, guest_modules: None,
               request: Any) -> Iterator[VMs]:
    """Makes VMs that live as long as the module's tests."""
    maker = VMs(_folder(request.node), guest_kernel)
    yield maker
    maker.end()


@pytest.fixture
def servers(userspace: None, request: Any) -> Iterator[Servers]:
    """Makes servers that live as long as the test."""
    maker = Servers(_folder(request.node))
    yield maker
    maker.end()


@pytest.fixture(scope="module")
def module_servers(userspace: None, request: Any) -> Iterator[Servers]:
    """Makes servers that live as long as the module's tests."""
    maker = Servers(_folder(request.node))
    yield maker
    maker.end()


def expected_alarms(vm: VM) -> str:
    """What is alarming on a guest's console so far, which then is no failure of the test."""
    said = vm.console.alarms()
    vm.console.reports.clear()
    return said


def _alarms(item: Any) -> str:
    """What the consoles said that they should not have, since last asked."""
    allowed = [mark.args[0] for mark in item.iter_markers("console_expects")]
    said = [(vm, vm.console.alarms(allowed, final=not vm.alive)) for vm in _watched]
    return "".join(f"{vm.name} ({vm.log_path}):\n{text}\n" for vm, text in said if text)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Fail a test during which a console said something alarming."""
    outcome = yield
    report = outcome.get_result()
    alarms = _alarms(item)
    if report.failed or alarms:
        for vm in _watched:
            report.sections.append((f"console of {vm.name}: {vm.log_path}",
                                    vm.console.tail(40)))
    if alarms:
        before = f"{report.longreprtext}\n\n" if report.failed else ""
        report.outcome = "failed"
        report.longrepr = f"{before}A guest's console is alarming:\n{alarms}"
    for vm in _watched:
        _tally.update(vm.console.reports)
        vm.console.reports.clear()
    report.tally = dict(_tally)
    _tally.clear()
    if report.when == "teardown":
        _watched[:] = [vm for vm in _watched if vm.alive]


def pytest_addoption(parser: Any) -> None:
    """An option for runs on kernels that check themselves."""
    parser.addoption("--guests-only", action="store_true", help="only tests that boot guests "
                     "with our modules: for kernels that check themselves")
    parser.addoption("--progress", metavar="FILE", help="leave out what has passed according "
                     "to FILE, and add to it what becomes of the others")


def _tells_of_kernel(item: Any) -> bool:
    """Whether a test boots guests that are looked at: not in a process of its own."""
    return ("guest_modules" in item.fixturenames
            and not item.nodeid.startswith(("tests/bench/", "tests/demo/")))


def _is_for_kernel(item: Any) -> bool:
    """Whether the guests' kernel is the one that the test is for, if it is for one only."""
    mark = item.get_closest_marker("kernel")
    return not mark or mark.args[0] == os.environ.get("KERNEL", "")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave out what tells nothing about a kernel; the bound of each is the lab's, too."""
    done = progress.done(config)
    wanted = [item for item in items if _is_for_kernel(item) and item.nodeid not in done
              and (_tells_of_kernel(item) or not config.getoption("--guests-only"))]
    config.hook.pytest_deselected(items=list(set(items) - set(wanted)))
    items[:] = wanted
    usual = float(config.getini("timeout") or 0)
    for item in items:
        own = item.get_closest_marker("timeout")
        seconds = own.args[0] if own else usual
        item.add_marker(pytest.mark.timeout(patient(seconds)), append=False)


def pytest_sessionfinish(session: Any) -> None:
    """One of several processes that run tests tells the first one of its guests."""
    if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and progress.done(session.config):
        # All has been done before
        session.exitstatus = pytest.ExitCode.OK
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["boot_seconds"] = _boot_seconds


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Such a process has ended."""
    _boot_seconds.extend(getattr(node, "workeroutput", {}).get("boot_seconds", []))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what the guests ran on, how long they took to boot, and what was reported."""
    if not _boot_seconds:
        return
    guest = kernel.get()
    mode, why = accel.choose(guest)
    terminalreporter.write_line(
        f"{len(_boot_seconds)} guests booted {guest.release} on {mode.upper()} "
        f"({why}), in {statistics.median(_boot_seconds):.1f} s (median)")
    if guest.checks_itself:
        told = terminalreporter.config.pluginmanager.get_plugin(_Tally.__name__)
        counts = {kind: 0 for kind in (*KINDS, "other")} | told.total
        terminalreporter.write_line("reports: " + ", ".join(
            f"{count} {kind}" for kind, count in counts.items()))
