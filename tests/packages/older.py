# SPDX-License-Identifier: GPL-2.0-only
"""The packages once more, as those of an older version would be."""

import re
import subprocess
from pathlib import Path

VERSION = "0.0.1"


def repack(package: Path, version: str, target: Path) -> None:
    """Make a package of @version the same but older, in the folder @target."""
    unpacked = target / "unpacked"
    subprocess.run(["dpkg-deb", "--raw-extract", package, unpacked], check=True)
    control = unpacked / "DEBIAN"
    for path in (control / "control", control / "postinst", control / "prerm",
                 *unpacked.glob("usr/src/*/dkms.conf")):
        if path.exists():
            text = path.read_text()
            path.write_text(re.sub(rf"\b{re.escape(version)}\b", VERSION, text))
    # A template that an upgrade changes
    for unit in unpacked.glob("**/systemd/system/*@.service"):
        unit.write_text(unit.read_text().replace("[Service]\n", "[Service]\nEnvironment=OLDER=1\n"))
    for sources in unpacked.glob(f"usr/src/ivshmem-{version}"):
        sources.rename(sources.with_name(f"ivshmem-{VERSION}"))
    (control / "md5sums").unlink(missing_ok=True)
    name = package.name.replace(f"_{version}_", f"_{VERSION}_")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", unpacked,
                    target / name], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["rm", "-r", unpacked], check=True)
