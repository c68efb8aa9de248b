# SPDX-License-Identifier: GPL-2.0-only
"""The lists of defects are what the sources are, and some of them are caught."""

import os
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from lab.agent import poll_until
from lab.paths import BUILD, ROOT

from . import checks
from .campaign import CAUGHT, NOT_BUILT, SURVIVED, Campaign, Report, Result
from .defect import Defect
from .defects import DEFECTS
from .tree import Tree

# Unit tests of little code: seconds each
QUICK = ("unit region-", "unit ivshmemd ", "unit cli-station")
SAMPLE = 3
BOUND = 60


@pytest.fixture(name="trees", scope="module")
def two_trees() -> list[Tree]:
    """Copies of the sources, which stay."""
    return [Tree(BUILD / f"test/mutants-{number}") for number in (1, 2)]


@pytest.fixture(name="campaign")
def a_campaign(trees: list[Tree], tmp_path: Path) -> Campaign:
    """One whose results nobody keeps."""
    return Campaign(trees, Report(tmp_path / "mutants.json", []))


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
    campaign.run(Random(seed).sample(quick(), SAMPLE))
    results = campaign.report.results.values()
    assert len(results) == SAMPLE
    assert not [result for result in results if result.outcome != CAUGHT or not result.by]


def test_what_is_not_caught_is_told(campaign: Campaign):
    """Nor is what does not compile; and the copy is as it was each time."""
    tree = campaign.trees[0]
    tree.update()
    defect = next(defect for defect in DEFECTS if defect.found_by == ("unit ivshmemd pace",))
    right = (ROOT / defect.file).read_text()
    first = right.splitlines()[0]
    for new, outcome in ((f"{first} /* harmless */", SURVIVED), ("nonsense", NOT_BUILT)):
        assert campaign.judge(replace(defect, old=first, new=new), tree)[0] == outcome
        assert (tree.folder / defect.file).read_text() == right


def test_ends_in_order(tmp_path: Path):
    """What runs is told, once, and is waited for; nothing is begun afterwards."""
    tree = Tree(tmp_path / "tree")
    tree.folder.mkdir()
    script = "trap 'echo told; sleep 0.5; echo ended; exit 3' TERM; echo begun; " \
        "while :; do sleep 0.1; done"
    with ThreadPoolExecutor() as pool:
        running = pool.submit(tree.run, "bash", "-c", script, bound=BOUND)
        poll_until(lambda: tree.log.exists() and "begun" in tree.log.read_text(), BOUND, "it runs")
        tree.stop()
        assert running.result() == (3, "begun\ntold\nended\n")
    campaign = Campaign([tree], Report(tmp_path / "mutants.json", []))
    tree.update = lambda: None  # type: ignore[method-assign]
    campaign.run(quick())
    assert not campaign.report.results


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
