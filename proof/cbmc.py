# SPDX-License-Identifier: GPL-2.0-only
"""CBMC, the bounded model checker, also where Debian 12 is the host.

Its package is in Debian from 13 on. It is unpacked beside the build together
with the libraries that it needs, C library included, and started through the
dynamic loader of that C library.
"""

import subprocess
from dataclasses import replace
from pathlib import Path

from lab.debian import Apt, codename, host_archives, locked
from lab.paths import BUILD

SUITE = "trixie"
FOLDER = BUILD / "proof" / "cbmc"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = f"{LIBRARIES}/ld-linux-x86-64.so.2"
# CBMC runs the host's preprocessor; everything else is in these.
PACKAGES = ["cbmc", "libc6", "libstdc++6", "libgcc-s1", "minisat"]


class SuiteApt(Apt):
    """apt on a private root, for a suite that need not be the host's."""

    def configure(self) -> None:
        """Take the host's archives, with the other suite in place of its own."""
        super().configure()
        host = codename()
        archives = [replace(archive, suite=SUITE) for archive in host_archives(host)
                    if archive.suite in (host, "stable")]
        (self.root / "sources.list").write_text(
            "".join(archive.line() + "\n" for archive in dict.fromkeys(archives)))


def fetch() -> Path:
    """The folder with CBMC unpacked, fetched on the first call."""
    if not FOLDER.exists():
        with locked("fetch-cbmc"):
            if not FOLDER.exists():
                FOLDER.parent.mkdir(parents=True, exist_ok=True)
                SuiteApt(BUILD / "proof" / "apt").unpack(PACKAGES, FOLDER)
    return FOLDER


def cbmc(*arguments: str | Path, timeout: float) -> subprocess.CompletedProcess:
    """Run CBMC; its output is kept, whatever its exit status."""
    folder = fetch()
    return subprocess.run(
        [folder / LOADER, "--library-path", f"{folder / LIBRARIES}:{folder}/usr/lib",
         folder / "usr/bin/cbmc", *arguments], check=False, text=True, timeout=timeout,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
