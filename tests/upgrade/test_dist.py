# SPDX-License-Identifier: GPL-2.0-only
"""make dist: the tarball of a commit, the same bytes everywhere, complete without git."""

import os
import re
import shutil
import subprocess
import tempfile

import pytest

from lab.paths import ROOT
from scripts.checks.tree import Tree
from tests.documents.blocks import commands

from .release import dist, git, identity, repository, unpack, without_git

# The document's
MAKE, UNPACK, TAG, SIGN, VERIFY = commands("releases.rst", "upgrade/test_dist")
RELEASE = "0.1.0"


def follow(text, version, folder, environment=None):
    """Run commands of the document, whose release has another number, in a folder."""
    return subprocess.run(["bash", "-ec", text.replace(RELEASE, version)], cwd=folder, text=True,
                          env=dict(os.environ, **environment or {}), check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


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
    done = follow(MAKE, version, origin)
    assert done.returncode == 0, done.stderr
    made = f"build/dist/ivshmem-{version}.tar.xz"
    assert made in done.stdout.splitlines()
    return origin / made


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


def test_works_without_git(tarball, version, tmp_path):
    """Out of the tarball user space builds; make help tells what else there is."""
    shutil.copy(tarball, tmp_path)
    environment = without_git(tmp_path)
    done = follow(UNPACK, version, tmp_path, environment)
    assert done.returncode == 0 and "make userspace" in done.stdout, done.stderr
    sources = tmp_path / f"ivshmem-{version}"

    def run(*command):
        return subprocess.run(command, cwd=sources, env=environment, check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    run("meson", "setup", "build/meson")
    run("ninja", "-C", "build/meson", "tools/ivshmem/ivshmem")
    said = run("build/meson/tools/ivshmem/ivshmem", "--version")
    assert said == f"ivshmem {version} (libivshmem {version})\n"
    done = subprocess.run(["scripts/dist"], cwd=sources, env=environment, text=True,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and "this is no work tree of git" in done.stderr


@pytest.fixture
def signer():
    """The environment of somebody who has a key, and writes what changed into tags."""
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        environment = {"GNUPGHOME": home, "GIT_EDITOR": "cp CHANGELOG.md", **identity()}
        # Whatever this user signs with
        environment["GIT_CONFIG_GLOBAL"] = "/dev/null"
        subprocess.run(["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key",
                        "Nobody <nobody@localhost>", "ed25519"], check=True,
                       env=dict(os.environ, **environment))
        yield environment
        subprocess.run(["gpgconf", "--kill", "all"], check=True,
                       env=dict(os.environ, **environment))


def test_signatures(origin, tarball, version, signer, tmp_path):
    """Tag and tarball are signed and verified; one that was changed is noticed."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    shutil.copytree(tarball.parent, clone / "build/dist")
    for text, folder in ((TAG, "."), (SIGN, "."), (VERIFY, "build/dist")):
        done = follow(text, version, clone / folder, signer)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    assert "\n## " in git(clone, "tag", "--list", "--format=%(contents)")
    with (clone / "build/dist" / tarball.name).open("ab") as changed:
        changed.write(b"more")
    for line in VERIFY.splitlines():
        assert follow(line, version, clone / "build/dist", signer).returncode, line
