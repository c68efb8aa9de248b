# SPDX-License-Identifier: GPL-2.0-only
"""Packages of other distributions, built by their own tools, have what `make install` installs.

Without what they depend on: Debian has it by other names.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lab.debian import locked
from lab.paths import ROOT, USERSPACE
from tests.documents.blocks import commands
from tests.upgrade.release import repository

# The document's
RPM, ARCH = commands("install.rst", "packages/test_distributions")
SPEC = ROOT / "packaging/rpm/ivshmem.spec"
MACROS = Path(__file__).with_name("fedora.macros")
# One that does it, or asks nobody, where there is none
SUDO = str(ROOT / "tests/documents/bin")
# makepkg refuses root
AS_USER = "unshare --user --map-user=1000" if os.geteuid() == 0 else ""
# The tools, where they cannot know what is installed, and there is no pacman to install it
TOOLS = """
rpmbuild() { command rpmbuild --nodeps --load "$MACROS" --define "_topdir $HOME" "$@"; }
makepkg() { $AS_USER env PACMAN=true PATH="$SUDO:$PATH" makepkg --nodeps "$@"; }
"""

# What distributions put elsewhere: a part of a path, and what it stands for
ELSEWHERE = [
    (r"^usr/(local/)?", ""),
    (r"^lib(64|/[a-z\d_]+-linux-gnu)/(?=libivshmem|pkgconfig)", "lib/"),
    (r"^sbin/", "bin/"),
    (r"^lib/python3[.\d]*/(dist|site)-packages/", "python/"),
    (r"^share/man/(.*)\.gz$", r"share/man/\1"),
    (r"^(lib/sysusers\.d)/.*", r"\1/ivshmem.conf"),
]
# Where each has its own rules, of licences, documents, symbols and security
OWN = re.compile(r"share/(licenses|doc)/|lib/\.build-id|python/__pycache__|etc/apparmor\.d/"
                 r"|\.(PKGINFO|BUILDINFO|MTREE)")


def run(command, **options):
    """Run a program that has to succeed; what it has printed."""
    done = subprocess.run(list(map(str, command)), text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def essence(paths):
    """Names of files, as if all distributions had them in the same places."""
    found = set()
    for path in paths:
        for pattern, place in ELSEWHERE:
            path = re.sub(pattern, place, path.lstrip("/"))
        if not OWN.match(path):
            found.add(path)
    return found


def follow(text, folder, sources, **environment):
    """Run commands of the document where the sources are, with a folder as home."""
    return run(["bash", "-ec", TOOLS + text], cwd=sources,
               env=dict(os.environ, HOME=str(folder), MACROS=str(MACROS), AS_USER=AS_USER,
                        SUDO=SUDO, **environment))


@pytest.fixture(scope="module", name="sources")
def _sources(tmp_path_factory):
    """A commit of the tree as it is."""
    return repository(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module", name="installed")
def _installed(userspace, tmp_path_factory):
    """Names of what `make install` and `make install-dkms` install."""
    folder = tmp_path_factory.mktemp("installed")
    with locked("install"):
        run(["meson", "install", "-C", USERSPACE, "--no-rebuild", "--destdir", folder])
    run([ROOT / "scripts/install-dkms", folder])
    # Packages make a configuration of this document
    (folder / "etc/ivshmem").mkdir()
    (folder / "etc/ivshmem/ivshmemd.conf").touch()
    return essence(str(path.relative_to(folder)) for path in folder.rglob("*")
                   if path.is_symlink() or not path.is_dir())


def test_rpm(sources, installed, tmp_path):
    """rpmbuild builds all packages, which have each file; rpmlint finds nothing but what is
    listed beside the specification."""
    # Where Fedora's Python looks first, for modules that are for one processor
    said = follow(RPM, tmp_path, sources, PYTHONPATH="/usr/lib64/python3/site-packages")
    assert "RPM build warnings" not in said, said
    packages = list(tmp_path.glob("RPMS/*/*.rpm"))
    assert len(packages) == 7, packages
    files = run(["rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", *packages])
    assert essence(re.findall(r"^[^d]\S+ (.*)$", files, re.M)) == installed
    said = run(["rpmlint", "-r", SPEC.with_suffix(".rpmlintrc"), SPEC, *packages])
    assert not re.findall(r".*: [EW]: .*", said)


def test_arch(sources, installed, tmp_path):
    """makepkg builds both packages, which have each file."""
    follow(ARCH, tmp_path, sources, PKGEXT=".pkg.tar")
    packages = list((sources / "build/dist").glob("*.pkg.tar"))
    assert len(packages) == 2, packages
    files = [name for package in packages
             for name in run(["tar", "-tf", package]).splitlines() if not name.endswith("/")]
    assert essence(files) == installed
