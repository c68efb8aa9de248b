# SPDX-License-Identifier: GPL-2.0-only
"""What takes the sources of a kernel, and minutes to build, is for 'make upstream' alone."""

import os
from typing import Any


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave it out of all others."""
    others = [item for item in items
              if item.nodeid.startswith("tests/upstream/") and not os.environ.get("UPSTREAM")
              and item.fspath.purebasename != "test_sources"]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
