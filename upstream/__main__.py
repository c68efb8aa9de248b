# SPDX-License-Identifier: GPL-2.0-only
"""Put the drivers into a kernel tree, or make a series of patches of them.

Usage: python3 -m upstream place TREE
       python3 -m upstream series [--signoff]
       python3 -m upstream check

place   writes drivers, headers, documents and configuration into the kernel's sources in
        TREE; once more brings them up to date.
series  makes patches for the newest kernel that Debian has the sources of (167 MB, fetched
        once), with a cover letter: build/upstream/series. With --signoff each is signed with
        the name and address that git has: that certifies its origin, see
        Documentation/process/submitting-patches.rst in the kernel.
check   makes the series and has the kernel's tools look at it: checkpatch --strict,
        kernel-doc, and W=1 and sparse after each patch, as modules, built in, for a processor
        of 32 bits and one that is big-endian; then links a kernel with the drivers built in.
"""

import subprocess
import sys
from pathlib import Path

from lab.log import LabError

from . import checks, guest, kernel, parts, series
from .kernel import BUILDS


def place(tree: str) -> int:
    """The command of that name."""
    written = series.place(Path(tree).expanduser().resolve())
    print(f"{len(written)} files written; 'make menuconfig' in {tree} has them below Device "
          "Drivers: Virtualization drivers, Network device support, Block devices")
    return 0


def make_series(sign_off: bool) -> int:
    """The command of that name."""
    for path in series.make(sign_off):
        print(path)
    return 0


def check() -> int:
    """The command of that name: exit status 1 where something is found."""
    patches = series.make()
    series.apply()
    findings = {"checkpatch": checks.checkpatch(patches), "kernel-doc": checks.kernel_doc(),
                "documents": checks.documents()}
    for name, build in BUILDS.items():
        checks.prepare(build)
        findings[name] = checks.objects(build)
    findings["each patch"] = checks.each_patch(BUILDS["modules"])
    checks.modules()
    built = guest.build()
    for name, found in findings.items():
        print(f"{name}: {len(found)} findings")
        for line in found:
            print(f"  {line}")
    print(f"{len(parts.PARTS)} patches for Linux {kernel.version()}: {series.PATCHES}")
    print(f"with the drivers built in: {built.release}")
    return 1 if any(findings.values()) else 0


def main(words: list[str]) -> int:
    """Exit status of a command line."""
    if set(words) & {"-h", "--help"}:
        print((__doc__ or "").strip())
        return 0
    if words[:1] == ["place"] and len(words) == 2:
        return place(words[1])
    if words in (["series"], ["series", "--signoff"]):
        return make_series(len(words) == 2)
    if words == ["check"]:
        return check()
    print((__doc__ or "").strip(), file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (LabError, OSError, subprocess.CalledProcessError) as error:
        print(f"upstream: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
