# SPDX-License-Identifier: GPL-2.0-only
"""The packages, built once."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.paths import BUILD, ROOT
from tests.documents.blocks import commands

from .older import repack


@dataclass(frozen=True)
class Packages:
    """What was built."""

    folder: Path
    older: Path
    version: str
    # What make packages has said, lintian included
    output: str

    def path(self, name: str) -> Path:
        """The file of a package."""
        [path] = self.folder.glob(f"{name}_*.deb")
        return path


def names(folder: Path) -> list[str]:
    """Of packages, but for those with symbols for debuggers."""
    return sorted(path.name.split("_")[0] for path in folder.glob("*.deb")
                  if "-dbgsym_" not in path.name)


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """The packages of the last commit, and the same as an older version."""
    (command,) = commands("install.rst", "packages/conftest")
    done = subprocess.run(["bash", "-ec", command], cwd=ROOT, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    folder = BUILD / "packages"
    version = subprocess.check_output(
        ["dpkg-deb", "--field", next(folder.glob("libivshmem0_*.deb")), "Version"], text=True)
    older = tmp_path_factory.mktemp("older")
    for name in names(folder):
        [path] = folder.glob(f"{name}_*.deb")
        repack(path, version.strip(), older)
    return Packages(folder, older, version.strip(), done.stdout)
