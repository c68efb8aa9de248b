# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark of doorbells: what it leaves."""

import json
import subprocess
from pathlib import Path

from lab.paths import ROOT


def test_each_figure_is_kept_and_held_to_each_peer(userspace: None, guest_modules: None,
                                                   tmp_path: Path):
    file = tmp_path / "doorbell.json"
    done = subprocess.run(["/usr/bin/python3", "-m", "bench.doorbell", "--runs", "1",
                           "--count", "20", "--output", file], cwd=ROOT, text=True,
                          check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())["results"]
    assert {(row["name"], row["peer"]) for row in results} == {
        (f"doorbell_{pair}_{figure}", peer) for pair in ("vm_vm", "vm_host")
        for figure in ("p50", "p99") for peer in ("vfio", "polling")}
    for row in results:
        assert row["ours"] > 0 and row["theirs"] > 0
        assert f"{row['name']} " in done.stdout
