# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own checkers, which Debian ships only within linux-source."""

import shutil
import subprocess
import sys
from pathlib import Path

from lab.debian import Apt, locked
from lab.log import LabError
from lab.paths import BUILD

from .base import CannotRun

TOOLS = BUILD / "check" / "kernel-scripts"
WANTED = ["checkpatch.pl", "kernel-doc", "spelling.txt", "const_structs.checkpatch"]
# One version on every supported Debian, so that they agree on what is clean:
# 12 has it in its security archive, 13 as its own.
PACKAGE = "linux-source-6.12"


def kernel_script(name: str) -> Path:
    """Path of a script of the kernel, fetched on the first call."""
    if not (TOOLS / name).exists():
        try:
            with locked("check-tools"):
                if not (TOOLS / name).exists():
                    _fetch()
        except (LabError, subprocess.CalledProcessError) as error:
            raise CannotRun(f"{name} comes from Debian's package {PACKAGE}, which could "
                            f"not be fetched: {error}") from error
    return TOOLS / name


def _fetch() -> None:
    print(f"check: fetching {PACKAGE} once, for {', '.join(WANTED)} (150 MB, "
          "about half a minute)", file=sys.stderr, flush=True)
    package = TOOLS.with_name("linux-source")
    package.parent.mkdir(parents=True, exist_ok=True)
    try:
        Apt().unpack([PACKAGE], package)
        archive = next(package.glob("usr/src/linux-source-*.tar.xz"))
        folder = archive.name.removesuffix(".tar.xz")
        partial = TOOLS.with_name(TOOLS.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        print(f"check: unpacking {len(WANTED)} files of {archive.name}",
              file=sys.stderr, flush=True)
        subprocess.run(["tar", "-xJf", archive, "-C", partial, "--strip-components=2",
                        *(f"{folder}/scripts/{name}" for name in WANTED)], check=True)
        shutil.rmtree(TOOLS, ignore_errors=True)
        partial.rename(TOOLS)
    finally:
        shutil.rmtree(package, ignore_errors=True)
