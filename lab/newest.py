# SPDX-License-Identifier: GPL-2.0-only
"""The newest QEMU that Debian has, beside the host's own, below build/newest-qemu.

It runs with the libraries of its own suite, by their own loader: nothing is installed.
"""

from .debian import Apt, Archive, codename, host_archives, locked
from .log import say
from .paths import BUILD

SUITE = "sid"
ROOT = BUILD / "newest-qemu"
LIBRARIES = ROOT / "usr/lib/x86_64-linux-gnu"
PROGRAM = ROOT / "usr/bin/qemu-system-x86_64"


def command() -> list[str]:
    """The words that start it, to be followed by its options; fetched on the first call."""
    if not PROGRAM.exists():
        with locked("fetch-newest-qemu"):
            if not PROGRAM.exists():
                _fetch()
    return ["env", f"QEMU_MODULE_DIR={LIBRARIES}/qemu", f"{LIBRARIES}/ld-linux-x86-64.so.2",
            "--library-path", str(LIBRARIES), str(PROGRAM),
            *(word for folder in ("qemu", "seabios")
              for word in ("-L", f"{ROOT}/usr/share/{folder}"))]


def _fetch() -> None:
    say(f"fetching the QEMU of Debian {SUITE} once, with its libraries (45 MB)")
    archives = [Archive(archive.uri, SUITE, ("main",), archive.signed_by)
                for archive in host_archives(codename()) if archive.suite == codename()]
    Apt(BUILD / "apt-newest", archives=archives).unpack_closure(["qemu-system-x86"], ROOT)
