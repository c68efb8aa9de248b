# SPDX-License-Identifier: GPL-2.0-only
"""The tests use the lab; its fixtures are described in lab/testing.py."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
pytest_plugins = ["lab.testing"]

# A shell that starts this in the background has it ignore Ctrl-C, nohup has it ignore
# the end of a terminal, and so would all programs that are tried with them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
