# SPDX-License-Identifier: GPL-2.0-only
"""Releases of the sources as they are, whether these are a work tree of git or not."""

import os
import shutil
import subprocess
from pathlib import Path

from lab.paths import ROOT
from scripts.checks.tree import Tree

IDENTITY = ("-c", "user.name=Nobody", "-c", "user.email=nobody@localhost",
            "-c", "init.defaultBranch=main", "-c", "commit.gpgSign=false")


def git(folder: Path, *arguments: str) -> str:
    """Run git; what it prints."""
    return subprocess.run(["git", "-C", folder, *IDENTITY, *arguments], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def identity() -> dict[str, str]:
    """The same as environment, for commands that call git themselves."""
    found = {"GIT_CONFIG_COUNT": str(len(IDENTITY) // 2)}
    for number, setting in enumerate(IDENTITY[1::2]):
        key, _, value = setting.partition("=")
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def commit_all(folder: Path, subject: str) -> str:
    """Commit what is there; the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", subject)
    return git(folder, "rev-parse", "HEAD").strip()


def repository(folder: Path) -> Path:
    """A repository whose only commit has the sources."""
    for name in Tree(ROOT).files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    commit_all(folder, "All")
    return folder


def dist(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run scripts/dist there."""
    return subprocess.run(["scripts/dist"], cwd=folder, env=dict(os.environ, **environment),
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def unpack(tarball: Path, folder: Path) -> Path:
    """The folder in a tarball."""
    folder.mkdir()
    subprocess.run(["tar", "xf", tarball, "-C", folder], check=True)
    (sources,) = folder.iterdir()
    return sources


def without_git(folder: Path) -> dict[str, str]:
    """An environment in which calling git fails, and says so."""
    (folder / "git").write_text("#!/bin/sh\necho git is not here >&2\nexit 99\n")
    (folder / "git").chmod(0o755)
    return dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}")
