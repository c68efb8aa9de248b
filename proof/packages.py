# SPDX-License-Identifier: GPL-2.0-only
"""Programs of other Debian suites, also where Debian 12 is the host.

Their packages are unpacked beside the build together with the libraries that
they need, C library included, and started through the dynamic loader of that C
library. Nothing is installed.
"""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from lab.debian import Apt, codename, host_archives, locked
from lab.paths import BUILD

FOLDER = BUILD / "proof"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = f"{LIBRARIES}/ld-linux-x86-64.so.2"


class SuiteApt(Apt):
    """apt on a private root, for a suite that need not be the host's."""

    def __init__(self, suite: str) -> None:
        super().__init__(FOLDER / f"apt-{suite}")
        self.suite = suite

    def configure(self) -> None:
        """Take the host's archives, with the other suite in place of its own."""
        super().configure()
        host = codename()
        archives = [replace(archive, suite=self.suite) for archive in host_archives(host)
                    if archive.suite in (host, "stable")]
        (self.root / "sources.list").write_text(
            "".join(archive.line() + "\n" for archive in dict.fromkeys(archives)))


@dataclass(frozen=True)
class Program:
    """@path, of the first of @packages of @suite; the others are its libraries."""

    suite: str
    packages: tuple[str, ...]
    path: str

    def folder(self) -> Path:
        """Where it is unpacked, fetched on the first call."""
        folder = FOLDER / self.packages[0]
        if not folder.exists():
            with locked(f"fetch-{self.packages[0]}"):
                if not folder.exists():
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    SuiteApt(self.suite).unpack(list(self.packages), folder)
        return folder

    def run(self, *arguments: str | Path, timeout: float,
            cwd: Path | None = None) -> subprocess.CompletedProcess:
        """Run it; its output is kept, whatever its exit status."""
        folder = self.folder()
        return subprocess.run(
            [folder / LOADER, "--library-path", f"{folder / LIBRARIES}:{folder}/usr/lib",
             folder / self.path, *arguments], check=False, text=True, timeout=timeout,
            cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
