# SPDX-License-Identifier: GPL-2.0-only
"""The kernel with the drivers built in, as the lab's guests boot one."""

import shutil
import subprocess

from lab.kernel import Kernel
from lab.log import say

from . import kernel, series
from .kernel import BUILDS, HERE


def build() -> Kernel:
    """Link it, and have its files where the lab looks for those of a kernel."""
    series.apply()
    which = BUILDS["built-in"]
    objects = kernel.configure(which)
    say("built-in: linking a kernel; minutes the first time")
    kernel.make(which, ["bzImage", "modules"])
    release = (objects / "include/config/kernel.release").read_text().strip()
    root = HERE / "kernel" / release
    shutil.rmtree(root, ignore_errors=True)
    (root / "boot").mkdir(parents=True)
    shutil.copy(objects / "arch/x86/boot/bzImage", root / f"boot/vmlinuz-{release}")
    shutil.copy(objects / "vmlinux", root / "vmlinux")
    subprocess.run(["strip", root / "vmlinux"], check=True)
    shutil.copy(objects / ".config", root / f"boot/config-{release}")
    modules = root / "lib/modules" / release
    modules.mkdir(parents=True)
    shutil.copy(objects / "modules.builtin", modules)
    # There are none
    (modules / "modules.dep").touch()
    return Kernel(root)
