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
from bench.net.__main__ import DOORBELLS, GROWN, GROWTH, UNITS, grown, rows
from bench.net.ways import E1000E, LOOPBACK, OURS, STREAM, TAP
from lab.agent import poll_until
from lab.paths import ROOT

BOUND = 60


# Results

def measured() -> report.Results:
    """As after a round: our figures are 2, theirs 4, or missing where nothing is counted."""
    results = report.Results()
    for way in (OURS, TAP, STREAM, E1000E, LOOPBACK):
        lacks = {"doorbells_udp_64"} if way not in DOORBELLS else set()
        lacks |= {"irqs_udp_64"} if way == LOOPBACK else set()
        results.keep(way, {name: 2 if way == OURS else 4 for name in UNITS.keys() - lacks})
    for count in GROWTH:
        results.keep(grown(count), {name: count for name in GROWN})
    return results


def test_each_figure_is_held_to_each_way_that_has_it():
    found = {(row["name"], row["peer"]): row for row in rows(measured())}
    for name in UNITS:
        ways = {peer for title, peer in found if title == name}
        assert ways >= {TAP, STREAM}
        assert (E1000E in ways) == (name != "doorbells_udp_64")
        assert (LOOPBACK in ways) == (name not in ("doorbells_udp_64", "irqs_udp_64"))
    assert found["insns_udp_64", TAP]["ratio"] == 2
    assert found["udp_64", TAP]["ratio"] == 0.5


def test_growth_is_held_to_two_peers():
    found = {row["name"]: row for row in rows(measured()) if row["peer"] == "ivshmem-2"}
    assert found.keys() == {f"{name}_peers_{count}" for name in GROWN for count in (4, 8)}
    assert found["insns_udp_64_peers_8"]["ratio"] == 0.25
    assert found["tcp_1_peers_4"]["ratio"] == 2


def test_table_has_all_rows_and_how_far_apart_figures_are():
    results = measured()
    results.keep(OURS, {"insns_udp_64": 2.5})
    lines = report.table(rows(results)).splitlines()
    assert len(lines) == 1 + len(rows(results))
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
