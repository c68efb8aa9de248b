# SPDX-License-Identifier: GPL-2.0-only
"""How long the lab waits: as long as said, times what the guests' kernel is slower."""

import os

from .debugkernel import slowness


def patient(seconds: float) -> float:
    """@seconds, for Debian's kernels; more for one that checks itself."""
    return seconds * slowness(os.environ.get("KERNEL", ""))
