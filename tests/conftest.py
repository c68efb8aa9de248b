# SPDX-License-Identifier: GPL-2.0-only
"""What every test has: virtual machines, and consoles that stay quiet."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
pytest_plugins = ["lab.testing"]
