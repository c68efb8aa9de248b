# SPDX-License-Identifier: GPL-2.0-only
"""Each kind of check finds a flaw that was made for it, and names it.

Each flaw has a guest of its own: a kernel that has reported one of them looks for others
with less care.
"""

import mmap
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

from lab import ivshmem_plain
from lab.checkup import checkup
from lab.reports import parse
from lab.testing import expected_alarms


# Flaw -> kind of the report, and how its first line starts
FLAWS = {
    "out-of-bounds": ("KASAN", "BUG: KASAN: slab-out-of-bounds in out_of_bounds"),
    "use-after-free": ("KASAN", "BUG: KASAN: use-after-free in use_after_free"),
    "shift": ("UBSAN", "UBSAN: shift-out-of-bounds in .*ivshmem_planted.c"),
    "sleep-in-atomic": ("atomic sleep", "BUG: scheduling while atomic"),
    "lock-order": ("lockdep", "WARNING: possible circular locking dependency detected"),
    "free-active": ("ODEBUG", "ODEBUG: free active .* timer_list"),
    "underflow": ("refcount", "refcount_t: decrement hit 0; leaking memory"),
}
FLAW = "/sys/module/ivshmem_planted/parameters/flaw"

# Lets one step after the other fail, until the flaw comes to its end before the one that
# was to; how many have failed. Reading and writing the number is such a step, too.
FAIL_EACH = f"""
import os

for name, value in (("failslab/ignore-gfp-wait", "N"), ("failslab/verbose", "0"),
                    ("fail_usercopy/verbose", "0"), ("fail_page_alloc/verbose", "0")):
    with open(f"/sys/kernel/debug/{{name}}", "w") as setting:
        setting.write(value)
failed = left = 0
while not left:
    with open("{FLAW}", "wb", 0) as flaw, open("/proc/thread-self/fail-nth", "r+b", 0) as nth:
        os.write(nth.fileno(), b"%d" % (failed + 1))
        try:
            os.write(flaw.fileno(), b"missed-unwind")
        except OSError:
            pass
        try:
            left = int(os.pread(nth.fileno(), 20, 0))
            os.write(nth.fileno(), b"0")
        except OSError:
            left = 1
    failed += not left
print(failed)
"""

debug_only = pytest.mark.kernel("debug")


@debug_only
@pytest.mark.parametrize("flaw", FLAWS)
def test_reported(vms, planted, flaw):
    kind, title = FLAWS[flaw]
    vm = vms(flaw)
    vm.run(f"insmod {planted}")
    vm.run(f"echo {flaw} >{FLAW}", check=False)
    vm.wait_console(title)
    said = expected_alarms(vm)
    # Some reports end lockdep, which no guest may have without
    vm.kill()
    assert kind in [report.kind for report in parse(said.splitlines())], said


@debug_only
@pytest.mark.parametrize("flaw", ["leak", "missed-unwind"])
def test_leak(vms, planted, flaw):
    """It is found when the module is unloaded: the module's own, at an address that is gone."""
    vm = vms(flaw)
    vm.run(f"insmod {planted}")
    if flaw == "leak":
        vm.run(f"echo leak >{FLAW}")
    else:
        assert int(vm.run(["python3", "-c", FAIL_EACH]).stdout) >= 2
    tally: Counter[str] = Counter()
    said = checkup(vm, tally)
    assert tally == {"kmemleak": 1, "kmemleak scans": 1}, said
    assert "unreferenced object" in said and "(size 64)" in said
    # It would say so again
    vm.kill()


@debug_only
def test_no_leak(vms, planted):
    """Nothing is found where nothing was lost."""
    vm = vms()
    vm.run(f"insmod {planted}")
    tally: Counter[str] = Counter()
    assert checkup(vm, tally) == ""
    assert tally == {"kmemleak scans": 1, "kmemleak": 0}
    vm.kill()


@contextmanager
def rewritten(path):
    """A process of the host that writes the first word of a region all the time."""
    ending = threading.Event()

    def write():
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as region:
            with memoryview(region) as whole, whole.cast("I") as words:
                while not ending.is_set():
                    for number in range(100000):
                        words[0] = number

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ending.set()
        writer.join()


@pytest.mark.kernel("kcsan")
def test_double_fetch(vms, planted, tmp_path):
    """A plain read of memory that a process of the host writes meanwhile."""
    memory = tmp_path / "memory"
    memory.write_bytes(bytes(1 << 20))
    vm = vms("double-fetch", [ivshmem_plain(memory, "1M")])
    vm.run(f"insmod {planted}")
    with rewritten(memory):
        vm.run(f"for i in 1 2 3 4 5; do echo double-fetch >{FLAW} || exit; done", 300)
        vm.wait_console("BUG: KCSAN: data-race in double_fetch")
    said = expected_alarms(vm)
    assert "race at unknown origin" in said
    assert [report.kind for report in parse(said.splitlines()) if report.ours] == ["KCSAN"]
