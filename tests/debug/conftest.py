# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the kernels that check themselves, and on them: for make test-debug."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.debugkernel import NAMES
from lab.kernel import Kernel

KERNEL = os.environ.get("KERNEL", "")
# The others would find nothing
if KERNEL not in NAMES:
    collect_ignore_glob = ["test_*.py"]


def built(name: str, guest: Kernel) -> Path:
    """The only module of a folder of this one, built for the guests' kernel."""
    # Below the tree, where guests see it
    folder = Path(__file__).parents[2] / "build/test" / name / guest.release
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(__file__).with_name(name), folder)
    done = subprocess.run(["make", "-C", guest.headers, f"M={folder}", *guest.make_arguments,
                           "modules"], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not done.returncode, done.stdout
    return next(folder.glob("*.ko"))


@pytest.fixture(scope="session")
def planted(guest_kernel: Kernel, guest_modules: None) -> Path:  # pylint: disable=unused-argument
    """The module with flaws."""
    return built("planted", guest_kernel)


@pytest.fixture(scope="session")
def delays(guest_kernel: Kernel, guest_modules: None) -> Path:  # pylint: disable=unused-argument
    """The module that holds up who calls a function."""
    return built("delays", guest_kernel)


@pytest.fixture(scope="session")
def faults(guest_kernel: Kernel, guest_modules: None) -> Path:  # pylint: disable=unused-argument
    """The module that lets steps fail."""
    return built("faults", guest_kernel)
