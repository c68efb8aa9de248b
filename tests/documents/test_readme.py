# SPDX-License-Identifier: GPL-2.0-only
"""README.md, read before all others: a link and two machines of its own."""

from .test_guides import Reader
from .world import Host


def test_readme(module_vms, tmp_path):
    """It ends with a region that the first machine has formatted, which the other one sees."""
    host = Host(tmp_path)
    try:
        reader = Reader(host, module_vms)
        reader.follow("README.md")
        reader.places["vm-b"].wait_for("ivshmem info | grep -q '^big .* raw '")
    finally:
        host.close()
