# SPDX-License-Identifier: GPL-2.0-only
"""What benchmarks count in guests."""

import subprocess
from pathlib import Path

import pytest

from bench.guest import PLUGIN, counter, instructions
from lab import VM, accel
from lab.agent import poll_until
from lab.testing import VMs

BOUND = 60
LOOP = Path(__file__).with_name("loop.c")
TURNS = 100_000_000


def qemu(plugin: str) -> subprocess.CompletedProcess:
    """QEMU with a plugin that it has to refuse."""
    return subprocess.run([accel.QEMU, "-machine", "none", "-display", "none",
                           "-plugin", plugin], text=True, check=False, timeout=BOUND,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def counted(userspace: None, module_vms: VMs) -> VM:
    """A machine whose instructions are counted, with the program that has so many."""
    vm = module_vms("a", [counter(module_vms.directory / "a")], mode="tcg")
    subprocess.run(["gcc", "-static", LOOP, "-o", vm.share / "loop"], check=True)
    return vm


def test_instructions_of_a_guest_are_counted(counted: VM):
    before = instructions(counted)
    counted.run(["/mnt/share/loop", str(TURNS)], timeout=BOUND)
    # On top come those that start it, and those of the clock's interrupts
    assert 2 * TURNS <= instructions(counted) - before <= 2.5 * TURNS


def test_guest_that_is_never_idle_is_counted(counted: VM):
    program = counted.spawn(["/mnt/share/loop", str(1 << 60)])
    before = instructions(counted)
    poll_until(lambda: instructions(counted) > before + 2 * TURNS, BOUND, "instructions")
    assert program.poll() is None
    program.kill()


def test_counter_without_a_file_is_refused(userspace: None):
    done = qemu(str(PLUGIN))
    assert done.returncode
    assert "guest_instructions: its one argument is count=FILE" in done.stdout


def test_counter_names_the_file_that_it_cannot_make(userspace: None, tmp_path: Path):
    path = tmp_path / "missing" / "count"
    done = qemu(f"{PLUGIN},count={path}")
    assert done.returncode
    assert f"guest_instructions: {path}: No such file or directory" in done.stdout
