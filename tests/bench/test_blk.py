# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark of the disk: what it leaves."""

import json
import subprocess

from bench import report
from bench.blk.__main__ import PARTS
from bench.blk.disks import NVME, VIRTIO
from bench.blk.figures import QUICK
from lab.paths import ROOT


def test_each_figure_is_held_to_each_disk_that_has_it(userspace: None, guest_modules: None):
    left = report.quick("blk")
    left.unlink(missing_ok=True)
    done = subprocess.run(["/usr/bin/python3", "-m", "bench.blk", "--quick"], cwd=ROOT,
                          text=True, check=False, timeout=900,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    rows = {(row["name"], row["peer"]): row
            for row in json.loads(left.read_text())["results"]}
    names = [f"{job}{part}" for job in QUICK
             for part in ["", *(f"_{part}" for part in PARTS)]]
    # What rings an NVMe is no function.
    assert rows.keys() == {(name, peer) for name in names for peer in (VIRTIO, NVME)
                           if peer == VIRTIO or not name.endswith("_kicks")}
    for (name, _), row in rows.items():
        assert row["ours"] > 0 and row["theirs"] > 0
        assert f"{name} " in done.stdout
