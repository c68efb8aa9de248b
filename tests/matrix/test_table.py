# SPDX-License-Identifier: GPL-2.0-only
"""The table of kernels in the README is what the last run of scripts/test-matrix wrote."""

import importlib.util
import re
from importlib.machinery import SourceFileLoader

import pytest

from lab import matrix
from lab.paths import ROOT

ROW = {"kernel": "6.1", "release": "6.1.0-56-amd64", "debian": "12", "backports": False,
       "builds": True, "boots": True, "passed": 7, "failed": 0, "skipped": 0}


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script as a module, with a README of its own."""
    loader = SourceFileLoader("test_matrix", str(ROOT / "scripts/test-matrix"))
    spec = importlib.util.spec_from_loader("test_matrix", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    monkeypatch.setattr(module, "README", tmp_path / "README.md")
    return module


def test_readme_has_a_row_for_each_kernel(script):
    text = (ROOT / "README.md").read_text()
    assert all(text.count(marker) == 1 for marker in script.MARKERS)
    begin, end = map(text.index, script.MARKERS)
    rows = re.findall(r"^\| (\d\S+) \|.*\|$", text[begin:end], re.M)
    assert len(rows) == len(matrix.KERNELS)
    for row, origin in zip(rows, matrix.KERNELS.values()):
        assert row.startswith(origin.version) and row.endswith(origin.suffix)


def test_only_the_table_is_written(script):
    before = "# Title\n" + script.MARKERS[0] + "| old |\n" + script.MARKERS[1] + "more\n"
    script.README.write_text(before)
    script.write_readme([ROW, ROW | {"release": "7.0", "builds": False, "boots": None}])
    after = script.README.read_text()
    assert after.startswith("# Title\n" + script.MARKERS[0] + "| kernel ")
    assert after.endswith(script.MARKERS[1] + "more\n")
    assert "| 6.1.0-56-amd64 | 12 | yes | yes | 7 passed, 0 failed |\n" in after
    assert "| 7.0 | 12 | no | - | - |\n" in after
    assert "old" not in after


@pytest.mark.parametrize("change", [{"builds": False}, {"boots": False}, {"failed": 1}])
def test_what_fails_is_wrong(script, change):
    assert not script.wrong(ROW)
    assert script.wrong(ROW | change)
