# SPDX-License-Identifier: GPL-2.0-only
"""The series for the kernel: it applies, and the kernel's own tools find nothing in it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.debian import locked
from lab.paths import ROOT
from tests.documents.blocks import commands
from upstream import checks, kernel, parts, series
from upstream.kernel import BUILDS, ORIGINALS, TREE

MODULES = BUILDS["modules"]


@pytest.fixture(scope="module", autouse=True)
def alone():
    """Nobody else changes the kernel's sources meanwhile."""
    with locked("upstream"):
        yield


@pytest.fixture(scope="module")
def patches():
    """The series, which is also what is in the kernel's sources."""
    made = series.make()
    series.apply()
    return made


def run(*words):
    """A command of the project's: status, and what it says."""
    done = subprocess.run([sys.executable, "-m", "upstream", *map(str, words)], cwd=ROOT,
                          text=True, check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def small_tree(folder, release=None):
    """As much of the kernel as the drivers are put into."""
    for name in parts.edited():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ORIGINALS / name, folder / name)
    (folder / "scripts").mkdir()
    shutil.copy(TREE / "scripts/unifdef.c", folder / "scripts")
    major, minor, sub = (release or kernel.version()).split(".")
    (folder / "Makefile").write_text(
        f"VERSION = {major}\nPATCHLEVEL = {minor}\nSUBLEVEL = {sub}\n")
    return folder


def contents(folder):
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*")
            if path.is_file() and ".git/" not in str(path)}


def test_patches_are_what_is_placed(patches, tmp_path):
    """git applies the series one by one; the result is what 'place' writes, which stays."""
    applied, placed = (small_tree(tmp_path / name) for name in ("applied", "linux")
                       if not (tmp_path / name).mkdir())
    for patch in patches[1:]:
        done = subprocess.run(["git", "apply", patch], cwd=applied, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"{patch.name}: {done.stdout}"
    (command,) = commands("upstream.rst", "upstream/test_series")
    subprocess.run(["bash", "-c", command], cwd=ROOT, check=True,
                   env=dict(os.environ, HOME=str(tmp_path)))
    assert contents(placed) == contents(applied)
    status, said = run("place", placed)
    assert status == 0 and said.startswith("0 files written"), said


def test_other_trees_are_refused(patches, tmp_path):  # pylint: disable=unused-argument
    """A kernel that needs compat.h, and a folder that is none, stay as they are."""
    folder = tmp_path / "empty"
    folder.mkdir()
    status, said = run("place", folder)
    assert status == 1 and "holds no sources of a kernel" in said, said
    (tmp_path / "old").mkdir()
    old = small_tree(tmp_path / "old", "6.1.0")
    before = contents(old)
    status, said = run("place", old)
    assert status == 1 and "make modules" in said, said
    assert contents(old) == before and not list(folder.iterdir())


def test_each_new_file_has_maintainers(patches):  # pylint: disable=unused-argument
    """The entry in MAINTAINERS, in its place of the alphabet, covers all that is new."""
    text = (TREE / "MAINTAINERS").read_text()
    entry = re.search(rf"\n\n(.+)\n(?:.+\n)+\n{parts.TITLE}\n((?:.+\n)+)\n(.+)\n", text)
    assert entry and entry[1] < parts.TITLE < entry[3], entry
    covered = re.findall(r"(?m)^F:\t(.+)$", entry[2])
    for name in series.state(len(parts.PARTS)):
        assert name in parts.edited() or any(
            name == path or path.endswith("/") and name.startswith(path)
            for path in covered), name


def test_checkpatch_and_kernel_doc(patches, tmp_path):
    """Nothing that is not explained; what is planted is found."""
    assert not checks.checkpatch(patches)
    assert not checks.kernel_doc()
    planted = tmp_path / patches[1].name
    planted.write_text(patches[1].read_text().replace(
        "+#endif /* IVSHMEM_NET_H */", "+#define planted ( 1 )"))
    assert any("SPACING" in line for line in checks.checkpatch([planted]))


@pytest.fixture
def planted(patches):  # pylint: disable=unused-argument
    """Puts a line at the end of a source of the kernel's, for as long as the test."""
    def plant(name: str, line: str) -> None:
        path = TREE / name
        path.write_text(path.read_text() + line)
    yield plant
    series.apply()


def test_modules_build(patches, planted):  # pylint: disable=unused-argument
    """With W=1 and sparse, for the newest kernel; a word of the wrong order is found."""
    checks.prepare(MODULES)
    assert not checks.objects(MODULES)
    for folder, name in zip(checks.FOLDERS, ("ivshmem", "ivshmem_net", "ivshmem_blk")):
        assert (MODULES.objects / folder / f"{name}.o").exists()
    planted("drivers/net/ivshmem/fdb.c",
            "\n__le32 planted(u32 value);\n__le32 planted(u32 value)\n{\n\treturn value;\n}\n")
    found = checks.objects(MODULES, ("drivers/net/ivshmem/",))
    assert any("fdb.c" in line and "incorrect type in return" in line for line in found), found


def test_usage():
    """Help, and what is none of the commands."""
    status, said = run("--help")
    assert status == 0 and all(word in said for word in ("place", "series", "check"))
    assert run("placed")[0] == 2
    assert run("place", Path("/nonexistent"))[0] == 1
