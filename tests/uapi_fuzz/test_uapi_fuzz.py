# SPDX-License-Identifier: GPL-2.0-only
"""Random calls of the driver, from many processes at once, do no harm.

On kernels that check themselves it takes longer, and on the one with KCOV the calls are
guided by what they reach; a flaw that is put there is found.
"""

import os
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest

from lab.agent import poll_until
from lab.kernel import Kernel
from lab.testing import count, expected_alarms

from .conftest import HOURS
from .planted import FLAWS, Flaw, build
from .rig import BOUND, LINK, Fuzzed

KERNEL = os.environ.get("KERNEL", "")
SECONDS = 150 if KERNEL in ("debug", "kcsan") else 15
SEED = int(os.environ.get("SEED", random.randrange(2 ** 32)))
# What others depend on
NEEDED = ["open", "mmap", "eventfd", "attribute"]


@pytest.fixture
def fuzzed(vms: Any, servers: Any, tmp_path: Path) -> Fuzzed:
    """A guest in a link with sections of all kinds."""
    return Fuzzed(vms, servers(**LINK), tmp_path)


def run(fuzzed: Fuzzed, seed: int, seconds: float) -> dict[str, Any]:
    """Fuzz, with all that happens meanwhile; then all has to be as before."""
    print(f"seed {seed}")
    fuzzed.start(f"--seed={seed}", f"--seconds={seconds}")
    fuzzed.disturb(seed)
    said = fuzzed.result()
    print({key: value for key, value in said.items() if key != "kinds"}, dict(fuzzed.done))
    fuzzed.works()
    count("random calls", said["calls"])
    return said


@pytest.mark.attack("A40", "A41")
def test_random_calls(fuzzed: Fuzzed) -> None:
    """Each call comes back, and no console says anything."""
    said = run(fuzzed, SEED, SECONDS)
    assert all(said["kinds"][name][1] for name in NEEDED), said
    assert fuzzed.done
    if fuzzed.vm.kernel.config("CONFIG_KCOV") == "y":
        count("places reached by them", said["pcs"])
        assert said["pcs"] > 100 and said["kept"] > 1, said


@pytest.mark.timeout(int(HOURS * 3600) + 900)
def test_calls_for_hours(fuzzed: Fuzzed) -> None:
    """Each quarter of an hour with another seed, for as long as HOURS says."""
    end = time.monotonic() + HOURS * 3600
    seed = SEED
    while time.monotonic() < end:
        run(fuzzed, seed, min(900, end - time.monotonic()))
        seed += 1


@pytest.mark.kernel("debug")
@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.name)
def test_a_flaw_is_found(fuzzed: Fuzzed, guest_kernel: Kernel, flaw: Flaw) -> None:
    """A flaw that was put into the driver, by a seed that nobody has chosen."""
    module = build(flaw, guest_kernel)
    fuzzed.vm.run(f"rmmod ivshmem_net ivshmem_blk ivshmem && insmod {module}")
    fuzzed.start(f"--seed={SEED}", f"--seconds={4 * BOUND}", "--bound=30")
    fuzzed.vm.wait_console(flaw.report, BOUND)
    poll_until(lambda: flaw.complaint in fuzzed.complaint, BOUND, flaw.complaint)
    fuzzed.vm.kill()
    assert re.search(flaw.report, expected_alarms(fuzzed.vm))
