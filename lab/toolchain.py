# SPDX-License-Identifier: GPL-2.0-only
"""Compilers of another Debian release, or for another processor, below build/toolchain.

They are unpacked, not installed, and run in a root file system of their own with the
project's tree in it: a kernel's own build tools need the C library of its release.
"""

import os
import shutil
from pathlib import Path

from .debian import Apt, locked
from .log import LabError, say
from .paths import BUILD, ROOT

# What a kernel's headers build modules with; for arm64, too
PACKAGES = ("gcc", "gcc-aarch64-linux-gnu", "make", "bash", "dash", "coreutils", "sed", "grep",
            "findutils", "mawk", "perl", "pahole")
# Folders that are below /usr, with a link in the root
MERGED = ("bin", "sbin", "lib", "lib64")
# Tells that one is as it is described here
STAMP = ".packages"


def get(suite: str) -> Path:
    """The root of the compilers of a release, fetched on the first call."""
    root = BUILD / "toolchain" / suite
    wanted = " ".join(PACKAGES)
    if _stamp(root) != wanted:
        with locked("fetch"):
            if _stamp(root) != wanted:
                say(f"fetching the compilers of Debian {suite} once (110 MB)")
                root.parent.mkdir(exist_ok=True)
                Apt.of(suite).unpack_closure(PACKAGES, root)
                _complete(root)
                (root / STAMP).write_text(wanted)
    return root


def _complete(root: Path) -> None:
    """What would be done when the packages are installed."""
    (root / "usr/bin/awk").symlink_to("mawk")
    # Those of Debian 12 have files that belong below /usr
    for name in MERGED:
        folder = root / name
        if folder.is_dir() and not folder.is_symlink():
            shutil.copytree(folder, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder)


def _stamp(root: Path) -> str:
    try:
        return (root / STAMP).read_text()
    except OSError:
        return ""


def command(suite: str) -> list[str]:
    """The words that run what follows them with these compilers."""
    usr = get(suite) / "usr"
    links = [word for name in MERGED
             for word in ("--symlink", f"usr/{name}", f"/{name}")]
    return ["bwrap", "--die-with-parent", "--ro-bind", str(usr), "/usr", *links,
            "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
            # Others were not unpacked, and perl would say so
            "--setenv", "LANG", "C", "--setenv", "LC_ALL", "C",
            "--bind", str(ROOT), str(ROOT)]


def run(suite: str, words: list[str]) -> None:
    """Become the command @words, which sees these compilers."""
    try:
        os.execvp("bwrap", [*command(suite), "--chdir", str(ROOT), *words])
    except FileNotFoundError:
        raise LabError("bwrap: not found; run 'make setup' (package bubblewrap)") from None
