# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark of drivers in kernel and user space: what it leaves."""

import json
import subprocess

from bench import report
from bench.char.__main__ import UNITS
from lab.paths import ROOT


def test_each_figure_is_held_to_each_way(userspace: None, guest_modules: None):
    left = report.quick("char")
    left.unlink(missing_ok=True)
    done = subprocess.run(["/usr/bin/python3", "-m", "bench.char", "--quick"], cwd=ROOT,
                          text=True, check=False, timeout=840,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(left.read_text())
    rows = {(row["name"], row["peer"]): row for row in outcome["results"]}
    assert rows.keys() == {(name, peer) for name in UNITS for peer in ("vfio", "polling")}
    for (name, _), row in rows.items():
        assert row["ours"] > 0 and row["theirs"] > 0
        assert f"{name} " in done.stdout
    assert "-rt-" in outcome["machine"]["guest_kernel_rt"]
    for kernel in ("stock", "rt"):
        for peer, side in (("vfio", "ours"), ("vfio", "theirs"), ("polling", "theirs")):
            parts = [rows[f"doorbell_{part}_{kernel}", peer][side]
                     for part in ("p50", "p99", "p999", "max")]
            assert parts == sorted(parts)
