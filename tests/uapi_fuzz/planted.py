# SPDX-License-Identifier: GPL-2.0-only
"""The driver with one flaw, which the fuzzer has to find."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.kernel import Kernel
from lab.paths import BUILD, ROOT


@dataclass(frozen=True)
class Flaw:
    """In @file, @old (which is there once) becomes @new.

    The console then says @report, and the fuzzer @complaint.
    """

    name: str
    file: str
    old: str
    new: str
    report: str
    complaint: str = ""


FLAWS = [
    # A vector that the device does not have
    Flaw("unchecked", "core/chardev.c",
         "\tif (arg.vector >= file->ivd->nr_vectors)\n"
         "\t\treturn -EINVAL;\n\n"
         "\treturn ivshmem_eventfd_bind(file,\n"
         "\t\t\t\t    array_index_nospec(arg.vector,\n"
         "\t\t\t\t\t\t       file->ivd->nr_vectors),\n",
         "\treturn ivshmem_eventfd_bind(file, arg.vector,\n",
         "KASAN"),
    # A peer that is not there
    Flaw("locked", "core/ioctl.c",
         "\tret = ivshmem_fill_peer(file, &arg);\n\tup_read(&file->ivd->lock);\n",
         "\tret = ivshmem_fill_peer(file, &arg);\n\tif (!ret)\n"
         "\t\tup_read(&file->ivd->lock);\n",
         "lock held when returning to user space", "does not come back"),
]


def build(flaw: Flaw, kernel: Kernel) -> Path:
    """Our module with a flaw, built for @kernel; below the tree, where guests see it."""
    folder = BUILD / "test/uapi_fuzz/planted" / kernel.release
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("drivers", "include"):
        shutil.copytree(ROOT / part, folder / part)
    kbuild = folder / "drivers/Kbuild"
    kbuild.write_text("".join(line for line in kbuild.read_text().splitlines(keepends=True)
                              if not line.startswith("obj-m") or "core/" in line))
    source = folder / "drivers" / flaw.file
    text = source.read_text()
    assert text.count(flaw.old) == 1, f"{flaw.file} has changed; so must {flaw.name} here"
    source.write_text(text.replace(flaw.old, flaw.new))
    done = subprocess.run(["make", "-C", kernel.headers, f"M={folder}/drivers",
                           *kernel.make_arguments, "modules"], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not done.returncode, done.stdout
    return folder / "drivers/core/ivshmem.ko"
