# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark of the ring: what it leaves, and what it says where it cannot run."""

import json
import os
import statistics
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT

NAMES = {"msg_64", "msg_1500", "msg_64k", "pingpong"}
LIMITS = {"memcpy", "memcpy-unsynced", "memcpy-one-core"}


def bench(*arguments: object, cpus: str = "") -> subprocess.CompletedProcess:
    """The benchmark, on some CPUs only if so told."""
    prefix = ["taskset", "--cpu-list", cpus] if cpus else []
    return subprocess.run([*prefix, "/usr/bin/python3", "-m", "bench.ring",
                           *map(str, arguments)], cwd=ROOT, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_each_figure_is_kept_and_held_to_each_peer(userspace: None, tmp_path: Path):
    file = tmp_path / "ring.json"
    done = bench("--rounds", 2, "--seconds", 0.01, "--output", file)
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())["results"]
    assert {row["name"] for row in results} == NAMES
    for name in NAMES - {"pingpong"}:
        peers = {row["peer"] for row in results if row["name"] == name}
        assert LIMITS | {"seqpacket", "unix-stream", "pipe", "tcp-loopback"} <= peers
    assert {"flag"} <= {row["peer"] for row in results if row["name"] == "pingpong"}
    for row in results:
        assert row["runs"] == len(row["ours_all"]) == len(row["theirs_all"]) == 2
        assert row["ours"] == statistics.median(row["ours_all"]) > 0
        better = (row["ours"] / row["theirs"] if row["better"] == "higher" else
                  row["theirs"] / row["ours"])
        assert row["ratio"] == pytest.approx(better, abs=0.001)
        assert f"{row['peer']} " in done.stdout


def test_one_core_is_refused_in_words():
    one = str(min(os.sched_getaffinity(0)))
    done = bench(cpus=one)
    assert done.returncode == 1
    assert done.stderr == (f"bench-ring: two cores are needed; this process may use "
                           f"CPU {one}, which is one core\n")
