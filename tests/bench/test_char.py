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
                          text=True, check=False, timeout=600,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    rows = {(row["name"], row["peer"]): row
            for row in json.loads(left.read_text())["results"]}
    assert rows.keys() == {(name, peer) for name in UNITS for peer in ("vfio", "polling")}
    for (name, _), row in rows.items():
        assert row["ours"] > 0 and row["theirs"] > 0
        assert f"{name} " in done.stdout
