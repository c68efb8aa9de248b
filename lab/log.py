# SPDX-License-Identifier: GPL-2.0-only
"""What the lab says while it works, and the errors that it raises."""

import sys


class LabError(Exception):
    """Something in the lab cannot be done; the message names the remedy."""


def say(message: str) -> None:
    """Tell the user what is going on (standard error, at once)."""
    print(f"lab: {message}", file=sys.stderr, flush=True)
