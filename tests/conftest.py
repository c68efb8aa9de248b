# SPDX-License-Identifier: GPL-2.0-only
"""The tests use the lab, whose fixtures are described in lab/testing.py, and Python's
binding of the library."""

import ctypes
import importlib
import signal
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
pytest_plugins = ["lab.testing"]

# A shell that starts this in the background has it ignore Ctrl-C, nohup has it ignore
# the end of a terminal, and so would all programs that are tried with them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def ivshmem(userspace: None) -> Iterator[Any]:  # pylint: disable=unused-argument
    """The module of that name, with the library that was built."""
    from lab.paths import ROOT, USERSPACE
    # It is then found by its name
    ctypes.CDLL(str(USERSPACE / "lib/libivshmem.so.0"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "python"))
        yield importlib.import_module("ivshmem")
