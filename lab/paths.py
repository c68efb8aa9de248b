# SPDX-License-Identifier: GPL-2.0-only
"""Where things are: the project's tree and everything below build/."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"

KERNELS = BUILD / "kernel"      # guest kernels, one folder per release
MODULES = BUILD / "modules"     # our modules, one folder per kernel release
USERSPACE = BUILD / "meson"     # libivshmem, ivshmem, ivshmemd
LAB = BUILD / "lab"             # consoles, shares, what the lab remembers
TOOLS = LAB / "tools"           # Debian packages unpacked for the guests
