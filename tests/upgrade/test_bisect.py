# SPDX-License-Identifier: GPL-2.0-only
"""The commands that find the commit which broke something, as the documents have them."""

import os
import subprocess

from tests.documents.blocks import commands

from .release import commit_all, git, identity

# What the commands call: builds, and a test of what is "built"
PROGRAMS = {
    "scripts/build-userspace": "cp source built",
    "scripts/build-modules": 'test "$1" = headers && ! grep -q "does not build" source',
    "lab/__main__.py": None,
}
TEST = "def test_it():\n    assert 'broken' not in open('built').read()\n"


def plant(folder):
    """A project of a few lines that has what the commands call."""
    for name, line in PROGRAMS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n" if line else
                        "import sys\nassert sys.argv[1:] == ['kernel', '--headers']\n"
                        "print('headers')\n")
        path.chmod(0o755)
    (folder / ".gitignore").write_text("built\n__pycache__/\n")
    git(folder, "init", "--quiet")


def test_finds_the_commit(tmp_path):
    """Past those that do not build, and those that do not have the test."""
    plant(tmp_path)
    commits = {}
    for source in ("old", "fine", "does not build", "more", "broken", "broken still",
                   "broken, does not build", "broken and new"):
        (tmp_path / "source").write_text(f"{source}\n")
        commits[source] = commit_all(tmp_path, source)
        if source == "fine":
            (tmp_path / "tests/vm").mkdir(parents=True)
            (tmp_path / "tests/vm/test_removal.py").write_text(TEST)
    git(tmp_path, "tag", "v0.1.0", commits["old"])
    (text,) = commands("releases.rst", "upgrade/test_bisect")
    done = subprocess.run(["sh", "-euc", text], cwd=tmp_path, text=True, check=False,
                          env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **identity()),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert f"{commits['broken']} is the first bad commit" in done.stdout, done.stdout
