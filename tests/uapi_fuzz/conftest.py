# SPDX-License-Identifier: GPL-2.0-only
"""What goes on for HOURS does so only when asked to."""

import os
from typing import Any

HOURS = float(os.environ.get("HOURS", "0"))


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave it out."""
    others = [item for item in items if item.name == "test_calls_for_hours" and not HOURS]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
