# SPDX-License-Identifier: GPL-2.0-only
"""How fast this processor's time stamp counter runs.

An emulated guest reads the host's counter, and measures its frequency when it
boots. On a busy host the measurement is off by anything, and with it all time
in that guest; so the guest is told instead.
"""

import ctypes
import functools
import mmap
import platform
import time
from typing import Callable

# rdtsc; shl $32,%rdx; or %rdx,%rax; ret
_READ_COUNTER = bytes.fromhex("0f31 48c1e220 4809d0 c3")

TRIALS = 5
TRIAL_SECONDS = 0.02


def _moment(read: Callable[[], int]) -> tuple[int, int]:
    """Counter and clock (ns) at the same time, as well as that can be had."""
    best = None
    for _ in range(20):
        before = time.monotonic_ns()
        counter = read()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, counter, (before + after) // 2)
    assert best
    return best[1:]


@functools.cache
def tsc_khz() -> int:
    """The counter's frequency in kHz; 0, which guests ignore, where there is none."""
    if platform.machine() != "x86_64":
        return 0
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE
                   | mmap.PROT_EXEC) as page:
        page.write(_READ_COUNTER)
        anchor = ctypes.c_char.from_buffer(page)
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(anchor))
        found = []
        for _ in range(TRIALS):
            counter, clock = _moment(read)
            time.sleep(TRIAL_SECONDS)
            counter_then, clock_then = _moment(read)
            found.append((counter_then - counter) * 1000000 // (clock_then - clock))
        del read, anchor
    return sorted(found)[TRIALS // 2]
