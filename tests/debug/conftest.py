# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the kernels that check themselves, and on them: for make test-debug."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.debugkernel import NAMES

KERNEL = os.environ.get("KERNEL", "")
# The others would find nothing
if KERNEL not in NAMES:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(config, items):
    """What only one of the kernels looks for is left to that one."""
    others = [item for item in items if (mark := item.get_closest_marker("kernel"))
              and mark.args[0] != KERNEL]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
def planted(guest_kernel, guest_modules) -> Path:
    """The module with flaws, built for the guests' kernel."""
    # Below the tree, where guests see it
    folder = Path(__file__).parents[2] / "build/test/planted" / guest_kernel.release
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(__file__).with_name("planted"), folder)
    done = subprocess.run(["make", "-C", guest_kernel.headers, f"M={folder}",
                           *guest_kernel.make_arguments, "modules"],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert not done.returncode, done.stdout
    return folder / "ivshmem_planted.ko"
