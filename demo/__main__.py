# SPDX-License-Identifier: GPL-2.0-only
"""python3 -m demo, which is what 'make demo' runs."""

import sys

from .demo import main

sys.exit(main())
