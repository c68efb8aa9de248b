# SPDX-License-Identifier: GPL-2.0-only
"""Parts of others' sources that Debian packages nowhere else, below build/source.

They are the kernel's own checkers and tests, and QEMU's own programs, unmodified, of
the packages that have all of their sources; only these parts of them are unpacked.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Callable

from .debian import Apt, locked
from .log import say
from .paths import BUILD

# One version on every supported Debian, so that they agree on what is right: 12 has it in
# its security archive, 13 as its own.
KERNEL = "linux-source-6.12"


def kernel() -> Path:
    """The top of the kernel's sources with some of its parts, fetched on the first call."""
    return _tree(KERNEL, "150 MB, about half a minute", _from_package, [
        # of scripts/check
        *(f"scripts/{name}" for name in
          ("checkpatch.pl", "kernel-doc", "spelling.txt", "const_structs.checkpatch")),
        # of tests/net/kselftest.py
        *(f"tools/testing/selftests/{name}" for name in
          ("lib.mk", "kselftest.h", "kselftest_harness.h", "net", "drivers/net")),
        "tools/net/ynl",
        "Documentation/netlink/specs",
    ])


def qemu() -> Path:
    """The same of the sources of the QEMU that Debian has."""
    return _tree("qemu", "25 MB", _from_source_package, [
        "contrib/ivshmem-client", "contrib/ivshmem-server",
        # The headers that those include
        "include/qemu", "include/qapi/error.h", "include/hw/misc/ivshmem.h",
    ])


def _tree(name: str, size: str, fetch: Callable[[str, Path], Path], parts: list[str]) -> Path:
    tree = BUILD / "source" / name
    stamp = tree / ".parts"
    wanted = "\n".join(parts)
    if not stamp.exists() or stamp.read_text() != wanted:
        with locked(f"fetch-{name}"):
            if not stamp.exists() or stamp.read_text() != wanted:
                say(f"fetching the sources of {name} once, for some parts of them ({size})")
                _unpack(tree, fetch, parts)
                stamp.write_text(wanted)
    return tree


def _unpack(tree: Path, fetch: Callable[[str, Path], Path], parts: list[str]) -> None:
    package = tree.with_name(f"{tree.name}.package")
    partial = tree.with_name(f"{tree.name}.partial")
    package.parent.mkdir(parents=True, exist_ok=True)
    try:
        archive = fetch(tree.name, package)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        say(f"unpacking {len(parts)} parts of {archive.name}")
        subprocess.run(["tar", "-x", "--use-compress-program=xz -T0", "-f", archive,
                        "-C", partial, "--strip-components=1", "--wildcards",
                        "--no-wildcards-match-slash", *(f"*/{part}" for part in parts)],
                       check=True)
        shutil.rmtree(tree, ignore_errors=True)
        partial.rename(tree)
    finally:
        shutil.rmtree(package, ignore_errors=True)


def _from_package(name: str, folder: Path) -> Path:
    """The archive that is all there is in a package of the name."""
    Apt().unpack([name], folder)
    return next(folder.glob("usr/src/linux-source-*.tar.xz"))


def _from_source_package(name: str, folder: Path) -> Path:
    """The authors' archive of a source package."""
    # Its lists are long, and nobody else needs them
    Apt(BUILD / "apt-source", kind="deb-src").download_source(name, folder)
    return next(folder.glob("*.orig.tar.xz"))
