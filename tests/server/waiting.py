# SPDX-License-Identifier: GPL-2.0-only
"""Waiting for conditions, with a bound that only a hang reaches."""
import time
from typing import Callable, TypeVar

BOUND = 30.0

T = TypeVar('T')


def wait_until(condition: Callable[[], T], what: str,
               bound: float = BOUND) -> T:
    """Look at a condition again and again until it holds; its value."""
    end = time.monotonic() + bound
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'waited {bound:.0f} s in vain for {what}')
        time.sleep(0.005)
