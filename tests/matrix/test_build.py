# SPDX-License-Identifier: GPL-2.0-only
"""The modules build for every kernel that is supported, without a warning."""

import subprocess

import pytest

from lab import kernel, matrix
from lab.paths import ROOT


@pytest.mark.parametrize("name", matrix.KERNELS)
def test_builds_without_a_warning(name):
    """By the compilers of its Debian release, with all that W=1 looks for."""
    chosen = kernel.get(name)
    done = subprocess.run(["scripts/build-modules", chosen.headers], cwd=ROOT, text=True,
                          check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    made = {path.stem for path in (ROOT / done.stdout.strip()).glob("*/*.ko")}
    assert {"ivshmem", "ivshmem_net", "ivshmem_blk"} <= made, done.stdout
