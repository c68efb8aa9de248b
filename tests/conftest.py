# SPDX-License-Identifier: GPL-2.0-only
"""The tests use the lab; its fixtures are described in lab/testing.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
pytest_plugins = ["lab.testing"]
