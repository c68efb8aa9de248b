# SPDX-License-Identifier: GPL-2.0-only
"""Packages of other distributions, built by their own tools, have what `make install` installs.

Without what they depend on: Debian has it by other names.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.debian import locked
from lab.paths import ROOT, USERSPACE

SPEC = ROOT / "packaging/rpm/ivshmem.spec"
PKGBUILD = ROOT / "packaging/arch/PKGBUILD"
MACROS = Path(__file__).with_name("fedora.macros")
# makepkg refuses root
AS_USER = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []

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


@pytest.fixture(scope="module", name="tarball")
def _tarball(tmp_path_factory):
    """What `make dist` would make of the tree as it is."""
    version = run([ROOT / "scripts/version"]).strip()
    path = tmp_path_factory.mktemp("dist") / f"ivshmem-{version}.tar.xz"
    names = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"]
                if (ROOT / ".git").exists() else
                ["find", ".", "-path", "./build", "-prune", "-o", "-type", "f", "-print"],
                cwd=ROOT).splitlines()
    listing = path.with_name("names")
    listing.write_text("".join(f"{name}\n" for name in names if (ROOT / name).exists()))
    run(["tar", "-C", ROOT, "-T", listing, f"--transform=s|^|ivshmem-{version}/|",
         "-I", "xz -0", "-cf", path])
    return path


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


def test_rpm(tarball, installed, tmp_path):
    """rpmbuild builds all packages, which have each file; rpmlint finds nothing but what is
    listed beside the specification."""
    said = run(["rpmbuild", "-bb", "--nodeps", "--load", MACROS,
                "--define", f"_topdir {tmp_path}", "--define", f"_sourcedir {tarball.parent}",
                SPEC],
               # Where Fedora's Python looks first, for modules that are for one processor
               env=dict(os.environ, PYTHONPATH="/usr/lib64/python3/site-packages"))
    assert "RPM build warnings" not in said, said
    packages = list(tmp_path.glob("RPMS/*/*.rpm"))
    assert len(packages) == 7, packages
    files = run(["rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", *packages])
    assert essence(re.findall(r"^[^d]\S+ (.*)$", files, re.M)) == installed
    said = run(["rpmlint", "-r", SPEC.with_suffix(".rpmlintrc"), SPEC, *packages])
    assert not re.findall(r".*: [EW]: .*", said)


def test_arch(tarball, installed, tmp_path):
    """makepkg builds both packages, which have each file."""
    for path in (PKGBUILD, tarball):
        shutil.copy(path, tmp_path)
    run([*AS_USER, "makepkg", "--nodeps"], cwd=tmp_path,
        env=dict(os.environ, HOME=str(tmp_path), PKGEXT=".pkg.tar"))
    packages = list(tmp_path.glob("*.pkg.tar"))
    assert len(packages) == 2, packages
    files = [name for package in packages
             for name in run(["tar", "-tf", package]).splitlines() if not name.endswith("/")]
    assert essence(files) == installed
