# SPDX-License-Identifier: GPL-2.0-only
"""Runs the tests that boot guests, on one kernel, for scripts that go through several."""

import os
import re
import subprocess
import sys
from collections import Counter

from .paths import ROOT

# The line with the counts is not as long, in bytes.
LAST = 1000


def run(kernel: str, arguments: list[str]) -> Counter[str]:
    """Run scripts/test with KERNEL=@kernel and show what it prints; how many passed, failed,
    were skipped.

    Ctrl-C is for the tests first, which end in order.
    """
    # Should we die without a word, it still ends what it has started.
    with subprocess.Popen(["setpriv", "--pdeathsig", "TERM", ROOT / "scripts/test",
                           "--guests-only", *arguments], env=dict(os.environ, KERNEL=kernel),
                          stdout=subprocess.PIPE) as tests:
        assert tests.stdout
        said = b""
        try:
            # Not by lines: pytest says a line of many tests in several pieces.
            while piece := os.read(tests.stdout.fileno(), 1 << 16):
                sys.stdout.buffer.write(piece)
                sys.stdout.flush()
                said = (said + piece)[-LAST:]
        except KeyboardInterrupt:
            tests.communicate()
            raise
    last = said.decode(errors="replace").rstrip("\n").rpartition("\n")[2]
    outcomes = Counter({word: int(count) for count, word in re.findall(r"(\d+) (\w+)", last)})
    if tests.returncode and not outcomes["failed"]:
        outcomes["failed"] += 1
    return outcomes
