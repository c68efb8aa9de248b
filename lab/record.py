# SPDX-License-Identifier: GPL-2.0-only
"""Keeps what the last whole run of each kind has found, for 'make assurance' to collect."""

import json
import subprocess
import time
from typing import Any

from .paths import BUILD, ROOT

RECORDS = BUILD / "assurance"


def commit() -> str:
    """What was run; "" where there is no repository."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT,
                              text=True, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


# A run of hours is of what was there when it began, whatever is committed meanwhile
BEGUN = commit()


def keep(name: str, command: str, seconds: float, found: dict[str, Any],
         of: str = "") -> None:
    """Write build/assurance/@name.json, in the place of what was there.

    @command ran for @seconds and has just ended; @found is what there is to be said of it.
    It was @of other commits than the one it began with if it was made in several runs.
    """
    RECORDS.mkdir(parents=True, exist_ok=True)
    record = {"command": command, "ended": time.strftime("%Y-%m-%d %H:%M"),
              "commit": of or BEGUN, "seconds": round(seconds), "found": found}
    (RECORDS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
