# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own checkers, which Debian ships only within linux-source."""

import subprocess
from pathlib import Path

from lab import source
from lab.log import LabError

from .base import CannotRun


def kernel_script(name: str) -> Path:
    """Path of a script of the kernel, fetched on the first call."""
    try:
        return source.kernel() / "scripts" / name
    except (LabError, subprocess.CalledProcessError) as error:
        raise CannotRun(f"{name} comes from Debian's package {source.KERNEL}, which could "
                        f"not be fetched: {error}") from error
