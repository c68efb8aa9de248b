# SPDX-License-Identifier: GPL-2.0-only
"""Parts of the kernel's sources that Debian packages nowhere else, below build/source.

They are the kernel's own checkers and its own tests, unmodified, of the package
that has all of its sources; only these parts of it are unpacked.
"""

import shutil
import subprocess
from pathlib import Path

from .debian import Apt, locked
from .log import say
from .paths import BUILD

# One version on every supported Debian, so that they agree on what is right: 12
# has it in its security archive, 13 as its own.
PACKAGE = "linux-source-6.12"
TREE = BUILD / "source" / PACKAGE

PARTS = [
    # of scripts/check
    *(f"scripts/{name}" for name in
      ("checkpatch.pl", "kernel-doc", "spelling.txt", "const_structs.checkpatch")),
    # of tests/net/kselftest.py
    *(f"tools/testing/selftests/{name}" for name in
      ("lib.mk", "kselftest.h", "kselftest_harness.h", "net", "drivers/net")),
    "tools/net/ynl",
    "Documentation/netlink/specs",
]


def tree() -> Path:
    """The top of the kernel's sources with PARTS in it, fetched on the first call."""
    stamp = TREE / ".parts"
    wanted = "\n".join(PARTS)
    if not stamp.exists() or stamp.read_text() != wanted:
        with locked("fetch-source"):
            if not stamp.exists() or stamp.read_text() != wanted:
                _fetch()
                stamp.write_text(wanted)
    return TREE


def _fetch() -> None:
    say(f"fetching {PACKAGE} once, for the kernel's own checkers and tests (150 MB, about "
        "half a minute)")
    package = TREE.with_name(f"{PACKAGE}.package")
    partial = TREE.with_name(f"{PACKAGE}.partial")
    package.parent.mkdir(parents=True, exist_ok=True)
    try:
        Apt().unpack([PACKAGE], package)
        archive = next(package.glob("usr/src/linux-source-*.tar.xz"))
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        say(f"unpacking {len(PARTS)} parts of {archive.name}")
        subprocess.run(["tar", "-x", "--use-compress-program=xz -T0", "-f", archive,
                        "-C", partial, "--strip-components=1",
                        *(f"{archive.name.removesuffix('.tar.xz')}/{part}"
                          for part in PARTS)], check=True)
        shutil.rmtree(TREE, ignore_errors=True)
        partial.rename(TREE)
    finally:
        shutil.rmtree(package, ignore_errors=True)
