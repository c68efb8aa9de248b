# SPDX-License-Identifier: GPL-2.0-only
"""make assurance puts together what the last whole runs have left."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ["scripts/assurance", "lab/__init__.py", "lab/record.py", "lab/paths.py",
          "lab/reports.py", "Documentation/assurance/report.rst"]
TESTS = {"passed": 2300, "failed": 0, "skipped": 1,
         "hostile": {"words": 412534422, "doorbells": 17}}
FOUND = {
    "test": TESTS,
    "debug": {**TESTS, "tally": {"guests": 180, "kmemleak scans": 150, "KASAN": 0}},
    "kcsan": {**TESTS, "tally": {"guests": 180, "KCSAN watchpoints": 123456, "KCSAN": 0}},
    "proof": {"summary": "1234 properties", "failed": 0},
    "mutants": {"caught": 69, "mutants": 70},
    "crash": {"survived": 200, "done": 200, "seed": 7, "verified": {"messages": 12},
              "failures": []},
    "soak": {"seconds": 3600, "events": [1, 2], "errors": {}, "failures": [],
             "attacks": 1, "hostile_words": 2,
             "verified": {"messages": 12}, "growth": [{"name": "slab", "ok": True}]},
}


@pytest.fixture
def tree(tmp_path):
    """What the program needs, and a record of each kind."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "lab/__init__.py").write_text("")
    for name, found in FOUND.items():
        put(tmp_path, name, found)
    return tmp_path


def put(tree, name, found):
    """Leave a record."""
    path = tree / f"build/assurance/{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"command": f"make {name}", "ended": "2026-11-26 12:00",
                                "commit": "abc1234", "seconds": 60, "found": found}))


def collect(tree, *words, status=0):
    """Run it; what it printed."""
    done = subprocess.run([tree / "scripts/assurance", *words], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == status, done.stdout
    return done.stdout


def test_all_is_there(tree):
    said = collect(tree)
    assert said.count("ok ") == len(FOUND) and "NOT OK" not in said
    assert "412,534,422 hostile words" in said and "200 of 200 crashes" in said
    collected = json.loads((tree / "build/assurance.json").read_text())
    assert {name: record["found"] for name, record in collected.items()} == FOUND


def test_the_document_has_the_figures(tree):
    document = tree / "Documentation/assurance/report.rst"
    before = document.read_text()
    collect(tree)
    assert document.read_text() == before
    for _ in range(2):
        collect(tree, "--write")
        assert document.read_text().count("69 of 70 caught") == 1


def test_what_is_missing_is_named(tree):
    (tree / "build/assurance/soak.json").unlink()
    assert "NOT OK make soak: no whole run yet" in collect(tree, status=1)


@pytest.mark.parametrize("name, change", [
    ("test", {"failed": 1}), ("debug", {"failed": 1}), ("kcsan", {"failed": 2}),
    ("proof", {"failed": 1}), ("mutants", {"caught": 66}),
    ("crash", {"failures": [{"round": 3}]}), ("soak", {"errors": {"a net faults": 2}}),
    ("soak", {"growth": [{"name": "slab", "ok": False}]}),
])
def test_what_has_failed_is_not_ok(tree, name, change):
    put(tree, name, {**FOUND[name], **change})
    assert f"NOT OK make {name}: " in collect(tree, status=1)


def test_usage(tree):
    assert "--write" in collect(tree, "--help")
    assert "--write" in collect(tree, "--frob", status=2)
