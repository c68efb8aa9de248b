# SPDX-License-Identifier: GPL-2.0-only
"""python3 -m tests.campaign crash|soak, which is what 'make crash' and 'make soak' run."""

import signal
import sys

from . import crash, soak

CAMPAIGNS = {"crash": crash.main, "soak": soak.main}


def interrupted(*_: object) -> None:
    """A polite kill is taken like Ctrl-C, so that nothing is left behind."""
    raise KeyboardInterrupt


def main() -> int:
    """The command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in CAMPAIGNS:
        print(f"usage: python3 -m tests.campaign {'|'.join(CAMPAIGNS)} [OPTION]...; "
              "--help says more", file=sys.stderr)
        return 2
    # A shell that starts this in the background has it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupted)
    return CAMPAIGNS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
