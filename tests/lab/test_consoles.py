# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that complains fails the test that ran, and only that one."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from lab.console import Console
from lab.paths import ROOT

# Run by a pytest of its own; the order matters.
SUITE = '''
import pytest

@pytest.fixture(scope="module")
def vm(module_vms):
    return module_vms()

def complain(vm, line):
    vm.run(["sh", "-c", 'echo "$0" > /dev/kmsg', line])

def test_quiet(vm):
    vm.run("true")

def test_warning(vm):
    complain(vm, "WARNING: made on purpose")

def test_quiet_again(vm):
    vm.run("true")

@pytest.mark.console_expects("WARNING: .* on purpose")
def test_expected(vm):
    complain(vm, "WARNING: made on purpose")

@pytest.mark.console_expects("WARNING: .* on purpose")
def test_another_than_expected(vm):
    complain(vm, "BUG: made on purpose")

@pytest.fixture
def late(vm):
    yield
    complain(vm, "INFO: task x:1 blocked for more than 120 seconds.")

def test_late(late):
    pass
'''


@pytest.fixture(scope="module")
def report(guest_kernel, guest_modules, tmp_path_factory):
    """Outcome of each test of SUITE, and all that was printed."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "conftest.py").write_text("pytest_plugins = ['lab.testing']\n")
    (folder / "test_suite.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers",
         f"--junitxml={folder}/report.xml", str(folder)],
        cwd=folder, env=dict(os.environ, PYTHONPATH=str(ROOT)), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
    outcomes = {}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        outcome = next((child.tag for child in case), "passed")
        outcomes.setdefault(case.get("name"), set()).add(outcome)
    return outcomes, done.stdout


@pytest.mark.parametrize("name, outcome", [
    ("test_quiet", {"passed"}),
    ("test_warning", {"failure"}),
    ("test_quiet_again", {"passed"}),
    ("test_expected", {"passed"}),
    ("test_another_than_expected", {"failure"}),
    # The test itself was well; its tear-down was not.
    ("test_late", {"error"}),
])
def test_complaint_is_of_the_test_that_ran(report, name, outcome):
    outcomes, _ = report
    assert outcomes[name] - {"passed"} == outcome - {"passed"}


def test_log_and_its_place_are_shown(report):
    _, output = report
    assert re.search(r"A guest's console is alarming:\s+\S*a \(.*/console\.log\):", output)
    assert "WARNING: made on purpose" in output


@pytest.mark.parametrize("line", [
    "[    1.0] WARNING: CPU: 0 PID: 1 at kernel/foo.c:12 foo+0x1/0x2",
    "[    1.0] WARNING: possible circular locking dependency detected",
    "[    1.0] BUG: KASAN: slab-out-of-bounds in foo",
    "[    1.0] BUG: unable to handle page fault for address: ffff",
    "[    1.0] Oops: 0002 [#1] PREEMPT SMP NOPTI",
    "[    1.0] INFO: task kworker/0:1:12 blocked for more than 120 seconds.",
    "[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
    "[    1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
    "[    1.0] Kernel panic - not syncing: Fatal exception",
    "[    1.0] UBSAN: array-index-out-of-bounds in foo.c:3:4",
    "[    1.0] refcount_t: underflow; use-after-free.",
    "[    1.0] irq 11: nobody cared (try booting with the \"irqpoll\" option)",
    "[    1.0] DMA-API: device driver frees DMA memory with different size",
    "[    1.0] kmemleak: unreferenced object 0xffff (size 32):",
])
def test_lines_that_no_healthy_kernel_prints(tmp_path, line):
    log = tmp_path / "console.log"
    log.write_text(f"[    0.9] all is well\n{line}\n")
    assert line in Console(log).alarms()


@pytest.mark.parametrize("line", [
    "[    1.0] ivshmem: loading out-of-tree module taints kernel.",
    "[    1.0] kprobes: kprobe jump-optimization is enabled.",
    "[    1.0] Debugging symbols loaded",
    "[    1.0] ..MP-BIOS bug: 8254 timer not connected to IO-APIC",
    "[    1.0] ACPI: Added _OSI(Processor Aggregator Device)",
])
def test_lines_that_healthy_kernels_print(tmp_path, line):
    log = tmp_path / "console.log"
    log.write_text(f"{line}\n")
    assert Console(log).alarms() == ""


def test_an_alarm_is_told_once(tmp_path):
    log = tmp_path / "console.log"
    log.write_text("Oops: 1\n")
    console = Console(log)
    assert "Oops: 1" in console.alarms()
    assert console.alarms() == ""
    log.write_text("Oops: 1\nOops: 2\n")
    assert console.alarms() == "Oops: 2"
