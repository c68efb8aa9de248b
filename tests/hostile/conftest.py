# SPDX-License-Identifier: GPL-2.0-only
"""The guests that are attacked, and how much was written in all."""

import json
from contextlib import ExitStack
from typing import Any, Iterator

import pytest

from tests.blk.guest import folder

from .attacker import COUNT, HOURS
from .rig import Rig


@pytest.fixture(scope="module")
def rig(module_vms: Any, module_servers: Any) -> Iterator[Rig]:
    """Two guests with an attacked and a quiet region."""
    with folder() as directory, ExitStack() as stack:
        yield Rig(module_vms, module_servers, stack, directory)


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """What goes on for HOURS does so only when asked to."""
    others = [item for item in items if item.name == "test_for_hours" and not HOURS]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what the hostile peers of this run have done."""
    if not hasattr(terminalreporter.config, "workerinput") and COUNT.exists():
        said = json.loads(COUNT.read_text(encoding="ascii"))
        terminalreporter.write_line(
            f"hostile peers: {said['words']:,} words and {said['doorbells']:,} doorbells "
            f"in {len(said['attacks'])} attacks ({COUNT.name})")
