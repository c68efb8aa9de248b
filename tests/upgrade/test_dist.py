# SPDX-License-Identifier: GPL-2.0-only
"""make dist: the tarball of a commit, the same bytes everywhere, complete without git."""

import os
import re
import subprocess

import pytest

from lab.paths import ROOT
from scripts.checks.tree import Tree

from .release import dist, git, repository, unpack, without_git


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """What others clone."""
    return repository(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="module")
def version():
    """The version of the sources."""
    return subprocess.run([ROOT / "scripts/version"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


@pytest.fixture(scope="module")
def tarball(origin, version):
    """The tarball of the origin."""
    done = dist(origin)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"build/dist/ivshmem-{version}.tar.xz\n"
    return origin / done.stdout.strip()


def test_same_bytes_in_another_clone(origin, tarball, tmp_path):
    """Neither place, umask, time zone, locale, nor what the user has set up matters."""
    clone = tmp_path / "clone"
    old = os.umask(0o077)
    try:
        git(tmp_path, "clone", "--quiet", str(origin), str(clone))
        git(clone, "config", "tar.umask", "0077")
        git(clone, "config", "core.autocrlf", "true")
        done = dist(clone, TZ="Pacific/Kiritimati", LC_ALL="C", XZ_OPT="-0", XZ_DEFAULTS="-T2")
    finally:
        os.umask(old)
    assert done.returncode == 0, done.stderr
    for name in (tarball.name, f"{tarball.name}.sha256"):
        assert (clone / "build/dist" / name).read_bytes() == tarball.with_name(name).read_bytes()
    subprocess.run(["sha256sum", "--check", "--status", f"{tarball.name}.sha256"],
                   cwd=clone / "build/dist", check=True)
    assert sorted(path.name for path in (clone / "build/dist").iterdir()) == \
        [tarball.name, f"{tarball.name}.sha256"]


def test_all_sources_and_nothing_else(tarball, version, tmp_path):
    """What git has, with its modes, owned by nobody in particular, as old as the commit."""
    listing = subprocess.run(["tar", "tvf", tarball], check=True, text=True,
                             stdout=subprocess.PIPE).stdout.splitlines()
    assert len({" ".join(line.split()[3:5]) for line in listing}) == 1, "several times"
    for line in listing:
        assert re.match(r"(-rw-r--r--|[d-]rwxr-xr-x|lrwxrwxrwx) root/root ", line), line
    sources = unpack(tarball, tmp_path / "there")
    assert sources.name == f"ivshmem-{version}"
    assert Tree(sources).files == Tree(ROOT).files


@pytest.mark.parametrize("what", ["changed", "new"])
def test_unclean_tree_is_refused(origin, tarball, what, tmp_path):
    """What is not committed would be missing: it is named, and nothing is made."""
    assert tarball.exists()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    name = {"changed": "README.md", "new": "lib/new.c"}[what]
    (clone / name).write_text("not committed\n")
    done = dist(clone)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("dist: the work tree is not clean; commit, stash or remove")
    assert name in done.stderr
    assert not (clone / "build").exists()


def test_works_without_git(tarball, tmp_path):
    """Out of the tarball user space builds; make help tells what else there is."""
    sources = unpack(tarball, tmp_path / "there")
    environment = without_git(tmp_path)

    def run(*command):
        return subprocess.run(command, cwd=sources, env=environment, check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    assert "make userspace" in run("make", "help")
    run("meson", "setup", "build/meson")
    run("ninja", "-C", "build/meson", "tools/ivshmem/ivshmem")
    said = run("build/meson/tools/ivshmem/ivshmem", "--version")
    version = sources.name.removeprefix("ivshmem-")
    assert said == f"ivshmem {version} (libivshmem {version})\n"
    done = subprocess.run(["scripts/dist"], cwd=sources, env=environment, text=True,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and "this is no work tree of git" in done.stderr
