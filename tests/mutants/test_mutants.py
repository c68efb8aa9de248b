# SPDX-License-Identifier: GPL-2.0-only
"""The lists of defects are what the sources are, and some of them are caught."""

import os
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from lab.paths import BUILD, ROOT

from . import checks
from .campaign import CAUGHT, NOT_BUILT, SURVIVED, Campaign, Report, Result
from .defect import Defect
from .defects import DEFECTS
from .tree import Tree

# Unit tests of little code: seconds each
QUICK = ("unit region-", "unit ivshmemd ", "unit cli-station")
SAMPLE = 3


@pytest.fixture(name="tree", scope="module")
def a_tree() -> Tree:
    """A copy of the sources, which stays."""
    found = Tree(BUILD / "test/mutants")
    found.update()
    return found


@pytest.fixture(name="campaign")
def a_campaign(tree: Tree, tmp_path: Path) -> Campaign:
    """One whose results nobody keeps."""
    return Campaign(tree, Report(tmp_path / "mutants.json", []))


def quick() -> list[Defect]:
    """Those that a unit test of little code finds."""
    return [defect for defect in DEFECTS if defect.found_by[0].startswith(QUICK)]


def test_every_defect_is_one():
    """Its text is there once, what is to find it exists, its class of attack as well."""
    classes = set(re.findall(r"^\*\*(A\d\d)\*\*", (
        ROOT / "Documentation/assurance/attacks.rst").read_text(), re.M))
    for defect in DEFECTS:
        text = (ROOT / defect.file).read_text()
        assert defect.wrong(text) != text, defect.name
        assert defect.found_by and all(map(checks.exists, defect.found_by)), defect.name
        assert defect.attack in classes, defect.name
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)


def test_every_part_has_some():
    parts = Counter(re.match(r"(drivers/\w+|\w+)", defect.file)[1] for defect in DEFECTS)
    assert set(parts) == {"include", "drivers/core", "drivers/net", "drivers/blk", "lib",
                          "server", "blkserver", "tools"}
    assert min(parts.values()) >= 8
    # Beside those of the format, which unit tests, fuzzers and proofs have of their own
    assert sum(parts.values()) - parts["include"] >= 60


def test_some_are_caught(campaign: Campaign):
    """Others each day; make mutants tries all."""
    seed = int(os.environ.get("SEED", time.strftime("%Y%m%d")))
    print(f"seed {seed}")
    for defect in Random(seed).sample(quick(), SAMPLE):
        outcome, by = campaign.judge(defect)
        assert outcome == CAUGHT, f"{defect.name}: {outcome}"
        assert by


def test_what_is_not_caught_is_told(campaign: Campaign):
    """Nor is what does not compile; and the copy is as it was each time."""
    defect = next(defect for defect in DEFECTS if defect.found_by == ("unit ivshmemd pace",))
    right = (ROOT / defect.file).read_text()
    first = right.splitlines()[0]
    for new, outcome in ((f"{first} /* harmless */", SURVIVED), ("nonsense", NOT_BUILT)):
        assert campaign.judge(replace(defect, old=first, new=new))[0] == outcome
        assert (campaign.tree.folder / defect.file).read_text() == right


def test_results_are_kept(tmp_path: Path):
    """What was caught, unless it is another defect by now; all else is tried once more."""
    defects = quick()[:3]
    path = tmp_path / "mutants.json"
    report = Report(path, defects)
    for defect, outcome in zip(defects, (CAUGHT, CAUGHT, SURVIVED)):
        report.add(Result.of(defect, outcome, "a test", 1))
    assert report.summary().splitlines()[-1] == "2 of 3 caught (66.7 %)"
    changed = [replace(defects[0], new="another"), *defects[1:]]
    assert set(Report(path, changed, resume=True).results) == {defects[1].name}
