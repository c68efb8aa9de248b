# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark of the network card: what it counts, what it leaves, how it ends."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from bench import report
from bench.net.__main__ import DOORBELLS, GROWN, GROWTH, UNITS, Results, grown
from bench.net.figures import instructions
from bench.net.ways import E1000E, LOOPBACK, OURS, PLUGIN, STREAM, TAP, counter
from lab import VM, accel
from lab.agent import poll_until
from lab.paths import ROOT
from lab.testing import VMs

BOUND = 60
LOOP = Path(__file__).with_name("loop.c")
TURNS = 100_000_000


# Instructions

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
    assert "net_instructions: its one argument is count=FILE" in done.stdout


def test_counter_names_the_file_that_it_cannot_make(userspace: None, tmp_path: Path):
    path = tmp_path / "missing" / "count"
    done = qemu(f"{PLUGIN},count={path}")
    assert done.returncode
    assert f"net_instructions: {path}: No such file or directory" in done.stdout


# Results

def measured() -> Results:
    """As after a round: our figures are 2, theirs 4, or missing where nothing is counted."""
    results = Results()
    for way in (OURS, TAP, STREAM, E1000E, LOOPBACK):
        lacks = {"doorbells_udp_64"} if way not in DOORBELLS else set()
        lacks |= {"irqs_udp_64"} if way == LOOPBACK else set()
        results.keep(way, {name: 2 if way == OURS else 4 for name in UNITS.keys() - lacks})
    for count in GROWTH:
        results.keep(grown(count), {name: count for name in GROWN})
    return results


def test_each_figure_is_held_to_each_way_that_has_it():
    rows = {(row["name"], row["peer"]): row for row in measured().rows()}
    for name in UNITS:
        ways = {peer for title, peer in rows if title == name}
        assert ways >= {TAP, STREAM}
        assert (E1000E in ways) == (name != "doorbells_udp_64")
        assert (LOOPBACK in ways) == (name not in ("doorbells_udp_64", "irqs_udp_64"))
    assert rows["insns_udp_64", TAP]["ratio"] == 2
    assert rows["udp_64", TAP]["ratio"] == 0.5


def test_growth_is_held_to_two_peers():
    rows = {row["name"]: row for row in measured().rows() if row["peer"] == "ivshmem-2"}
    assert rows.keys() == {f"{name}_peers_{count}" for name in GROWN for count in (4, 8)}
    assert rows["insns_udp_64_peers_8"]["ratio"] == 0.25
    assert rows["tcp_1_peers_4"]["ratio"] == 2


def test_table_has_all_rows_and_how_far_apart_figures_are():
    results = measured()
    results.keep(OURS, {"insns_udp_64": 2.5})
    lines = report.table(results.rows()).splitlines()
    assert len(lines) == 1 + len(results.rows())
    (line,) = [line for line in lines if line.split()[0] == "insns_udp_64" and TAP in line]
    assert line.split()[-1] == "22.2/0.0"


# The end

def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    return [int(word) for word in
            Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a bridge")
def test_interrupt_leaves_nothing(userspace: None, guest_modules: None):
    # Short, for it becomes part of sockets' names
    folder = Path(tempfile.mkdtemp(prefix="b-"))
    with subprocess.Popen(["/usr/bin/python3", "-m", "bench.net", "--quick"], cwd=ROOT,
                          env=dict(os.environ, TMPDIR=str(folder)), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as bench:
        # Two servers and two machines
        poll_until(lambda: len(children(bench.pid)) >= 4, BOUND, "machines")
        started = children(bench.pid)
        bench.send_signal(signal.SIGINT)
        said = bench.communicate(timeout=BOUND)
    assert bench.returncode == 130
    assert said[0] == ""
    assert said[1].endswith("bench: interrupted; everything is stopped\n")
    # What was just being started ends with whoever starts it.
    poll_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), BOUND,
               "the end of what was started")
    assert not list(folder.iterdir())
    shutil.rmtree(folder)
