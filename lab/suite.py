# SPDX-License-Identifier: GPL-2.0-only
"""Runs the tests that boot guests, on one kernel, for scripts that go through several."""

import os
import re
import subprocess
from collections import Counter

from .paths import ROOT


def run(kernel: str, arguments: list[str]) -> Counter[str]:
    """Run scripts/test with KERNEL=@kernel and show what it prints; how many passed, failed,
    were skipped.

    Ctrl-C is for the tests first, which end in order.
    """
    # Should we die without a word, it still ends what it has started.
    with subprocess.Popen(["setpriv", "--pdeathsig", "TERM", ROOT / "scripts/test",
                           "--guests-only", *arguments], text=True,
                          env=dict(os.environ, KERNEL=kernel), stdout=subprocess.PIPE) as tests:
        assert tests.stdout
        last = ""
        try:
            for last in tests.stdout:
                print(last, end="", flush=True)
        except KeyboardInterrupt:
            tests.communicate()
            raise
    outcomes = Counter({word: int(count) for count, word in re.findall(r"(\d+) (\w+)", last)})
    if tests.returncode and not outcomes["failed"]:
        outcomes["failed"] += 1
    return outcomes
