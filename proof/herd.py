# SPDX-License-Identifier: GPL-2.0-only
"""Litmus tests of the pairs of barriers, by herd7 under the kernel's memory model.

Each file in litmus/ says what its result must be; those called *-weak lack what
orders the two sides. herd7 is in Debian sid, the model in the kernel's source.
"""

import re
import shutil
import subprocess
from pathlib import Path

from lab.debian import Apt, locked
from lab.paths import ROOT

from .packages import FOLDER, Program

HERD = Program("sid", ("herdtools7", "libc6", "libgmp10"), "usr/bin/herd7")
LIBRARY = "usr/share/herdtools7/herd"
MODEL = FOLDER / "memory-model"
# Small, so that it is all that is kept of the source.
PARTS = [f"linux-source-*/tools/memory-model/*.{kind}"
         for kind in ("bell", "cat", "cfg", "def")]
BOUND = 60


def _unpack_model(target: Path) -> None:
    """Fetch the source of the host's kernel and take the model out of it."""
    apt = Apt(FOLDER / "apt-host")
    apt.update()
    source = apt.depends("linux-source")
    package = target.with_name("linux-source")
    apt.unpack(source, package)
    archive, = (package / "usr/src").glob("linux-source-*.tar.xz")
    partial = target.with_name(target.name + ".partial")
    partial.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xJf", archive, "-C", partial, "--strip-components=3",
                    "--wildcards", *PARTS], check=True)
    shutil.rmtree(package)
    partial.rename(target)


def model() -> Path:
    """The folder with linux-kernel.cfg, fetched on the first call."""
    if not MODEL.exists():
        with locked("fetch-memory-model"):
            if not MODEL.exists():
                FOLDER.mkdir(parents=True, exist_ok=True)
                _unpack_model(MODEL)
    return MODEL


def tests() -> list[Path]:
    """All litmus tests."""
    return sorted((ROOT / "proof/litmus").glob("*.litmus"))


def expected(test: Path) -> str:
    """The result that @test says it must have."""
    return re.search(r"Result: (\w+)", test.read_text())[1]


def run(test: Path) -> str:
    """Whether what @test asks for exists: Never, Sometimes or Always."""
    library = HERD.folder() / LIBRARY
    done = HERD.run("-set-libdir", library, "-conf", "linux-kernel.cfg", test,
                    timeout=BOUND, cwd=model())
    told = re.search(r"^Observation \S+ (\w+)", done.stdout, re.M)
    if not told:
        raise RuntimeError(f"{test.name}: herd7 did not get to a result:\n{done.stdout}")
    return told[1]
