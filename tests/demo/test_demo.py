# SPDX-License-Identifier: GPL-2.0-only
"""'make demo', as a whole: what it shows, leaves, and does when things go wrong."""

import copy
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from demo import network, report
from lab.paths import BUILD, ROOT

COUNT = 100
WAYS = ["driver", "vfio", "polling"]
PAIRS = ["vm-vm", "vm-host"]


def processes_of(folder: Path) -> list[int]:
    """Processes that were started with a file of @folder among their arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{folder}/".encode() in arguments:
            found.append(int(entry.name))
    return found


class Demo:
    """A run of the demo whose output is read as it comes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo", "--directory", str(folder), *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        self.shown = ""

    def read_until(self, text: str) -> None:
        """Follow the show up to a line with that text."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.shown += line
            if text in line:
                return
        pytest.fail(f"no {text!r} in\n{self.shown}\n{self.process.stderr.read()}")

    def end(self) -> tuple[int, str]:
        """Exit status and complaints."""
        out, err = self.process.communicate(timeout=300)
        self.shown += out
        return self.process.returncode, err


@pytest.fixture
def folder(userspace, guest_modules, request) -> Path:
    return BUILD / "test" / f"demo-{request.node.name}"


@pytest.fixture
def demo(folder: Path) -> Iterator[Demo]:
    run = Demo(folder, "--count", "100000")
    yield run
    if run.process.poll() is None:
        run.process.terminate()
        run.process.communicate()


@pytest.fixture(scope="module")
def done(userspace, guest_modules) -> subprocess.CompletedProcess:
    """A whole run."""
    return subprocess.run(
        [sys.executable, "-m", "demo", "--count", str(COUNT),
         "--directory", str(BUILD / "test/demo")],
        cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def summary(done) -> dict:
    """The summary that it left."""
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((BUILD / "test/demo/summary.json").read_text())


def test_succeeds_without_a_complaint(done):
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_everybody_reads_everybodys_greeting(done):
    for writer in ("vm-a", "vm-b", "host"):
        for reader in {"vm-a", "vm-b", "host"} - {writer}:
            assert any(line.split()[0] == reader and f'reads "Hello, {writer} here!"' in line
                       for line in done.stdout.splitlines() if "is rung on" in line)


def test_table_has_a_line_for_each_way_and_pair(done):
    rows = [line.split() for line in done.stdout.splitlines()
            if " VM-" in line]
    assert [(row[0], row[1]) for row in rows] == [
        (way, pair) for way in WAYS for pair in ("VM-VM", "VM-host")]
    assert all(row[2:4] == [str(COUNT), "0"] for row in rows)


def test_summary_says_what_was_run(summary, guest_kernel):
    assert summary["accel"] in ("kvm", "tcg")
    assert summary["kernel"] == guest_kernel.release
    assert summary["qemu"][0].isdigit()
    assert summary["peers"] == 3


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_lost(summary, way):
    figures = summary["ways"][way]
    assert figures["count"] == 2 * COUNT
    assert figures["lost"] == 0
    assert sorted(figures["pairs"]) == sorted(PAIRS)
    for pair in figures["pairs"].values():
        assert (pair["count"], pair["lost"], pair["late"]) == (COUNT, 0, 0)
        rtt = pair["rtt_us"]
        assert 0 < rtt["min"] <= rtt["p50"] <= rtt["p99"] <= rtt["max"]
    assert figures["rtt_us"] == figures["pairs"]["vm-vm"]["rtt_us"]


def test_network_is_measured_beside_the_hosts(summary, done):
    net = summary["net"]
    assert set(net) == {"tcp_gbit_s", "rtt_us", "virtio_tcp_gbit_s", "virtio_rtt_us",
                        "ratio"}
    assert net["tcp_gbit_s"] > 0 and net["rtt_us"] > 0
    if os.geteuid() == 0:
        assert net["ratio"] == pytest.approx(
            net["tcp_gbit_s"] / net["virtio_tcp_gbit_s"], abs=0.01)
        assert net["virtio_rtt_us"] > 0
        assert f"{net['ratio']:.2f} times as fast" in done.stdout
    else:
        assert net["ratio"] is None


def test_disk_is_measured_beside_virtio(summary, done):
    blk = summary["blk"]
    assert set(blk) == {"randread_iops", "virtio_randread_iops", "ratio"}
    assert blk["ratio"] == pytest.approx(
        blk["randread_iops"] / blk["virtio_randread_iops"], abs=0.01)
    assert blk["virtio_randread_iops"] > 0
    assert f"{blk['ratio']:.2f} times as fast" in done.stdout
    assert "written and read again" in done.stdout


def test_nothing_keeps_running(done):
    assert not processes_of(BUILD / "test/demo")


def test_lost_pings_and_doorbells_are_told(summary):
    assert not report.troubles(summary["ways"])
    ways = copy.deepcopy(summary["ways"])
    ways["vfio"]["pairs"]["vm-host"]["lost"] = 3
    ways["driver"]["pairs"]["vm-vm"]["late"] = 1
    assert report.troubles(ways) == [
        "driver, VM-VM: 1 answers came without their doorbell",
        f"vfio, VM-host: 3 of {COUNT} pings were lost"]


def test_table_without_answers():
    none = {"rtt_us": dict.fromkeys(report.FIGURES), "count": 5, "lost": 5, "late": 0}
    ways = {way: report.way_figures({"vm-vm": none, "vm-host": none}) for way in WAYS}
    assert "5     5         -" in report.table(ways)
    assert ways["polling"]["lost"] == 10


def test_network_table_without_a_peer():
    net = {"tcp_gbit_s": 1.5, "rtt_us": 200.0, "virtio_tcp_gbit_s": None,
           "virtio_rtt_us": None, "ratio": None}
    assert "1.50       200" in network.table(net)
    assert "times" not in network.table(net)


def test_interrupted_leaves_nothing_behind(demo, folder):
    demo.read_until("greet each other")
    assert processes_of(folder)
    demo.process.send_signal(signal.SIGINT)
    status, complaint = demo.end()
    assert (status, complaint) == (130, "\ndemo: interrupted; everything is stopped\n")
    assert not processes_of(folder)
    assert not (folder / "summary.json").exists()


def test_dead_machine_fails_it(demo, folder):
    demo.read_until("vm-a pings vm-b")
    for pid in processes_of(folder / "vm-b"):
        os.kill(pid, signal.SIGKILL)
    status, complaint = demo.end()
    assert status == 1
    assert complaint.startswith("demo: vm-b: ")
    assert not processes_of(folder)
    assert not (folder / "summary.json").exists()


def test_second_demo_is_refused(demo, folder):
    demo.read_until("starting ivshmemd")
    second = subprocess.run([sys.executable, "-m", "demo", "--directory", str(folder)],
                            cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 1
    assert "another demo is running here" in second.stderr


@pytest.mark.parametrize("count", ["0", "-1", "x", "1000001"])
def test_count_out_of_range(count):
    done = subprocess.run([sys.executable, "-m", "demo", "--count", count],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{count}: not a number of 1 to 1000000" in done.stderr
