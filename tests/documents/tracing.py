# SPDX-License-Identifier: GPL-2.0-only
"""What the guides do with perf and bpftrace.

Both take minutes to begin in an emulated machine, so that `make test-packages` runs this.
"""

import re

import pytest

from .blocks import commands
from .test_guides import FIRST, Reader
from .world import Host

pytestmark = pytest.mark.timeout(3600)
TIMEOUT = 900


def test_tracing(module_vms, tmp_path):
    """They see the driver's events, what the machine does, and who waits."""
    host = Host(tmp_path)
    try:
        reader = Reader(host, module_vms)
        reader.follow(f"{FIRST}.rst")
        ours, peer = reader.places["vm-a"], reader.places["vm-b"]
        trace, count, record, schedule = commands("debugging.rst", "documents/tracing")

        assert "ivshmem:ivshmem_ring" in ours.run(trace, TIMEOUT)

        counter = ours.spawn(count)
        ours.vm.wait_for("find /proc/[0-9]*/fd -lname '*perf_event*' | grep -q .", TIMEOUT)
        # It opens that before it begins to count
        peer.run("for i in $(seq 50); do ivshmem ring 0 5; done")
        ours.finish(counter, stop=True)
        assert re.search(r"@\[5\]: [1-9]", counter.stdout)

        assert "[k] " in ours.run(record, TIMEOUT)
        assert "Runtime ms" in ours.run(schedule, TIMEOUT)
    finally:
        host.close()
