# SPDX-License-Identifier: GPL-2.0-only
"""Memory shared between guests is one memory: nothing that is written is lost."""

import struct
import subprocess
from pathlib import Path

import pytest

from lab import ivshmem_plain

COUNT = 1_000_000
# Where the sum is: see struct shared in add.c.
SUM = 64


@pytest.fixture(scope="module")
def add(tmp_path_factory):
    """The program add.c, built."""
    program = tmp_path_factory.mktemp("add") / "add"
    source = Path(__file__).with_name("add.c")
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
    return program


def test_no_increment_is_lost_between_guests_and_host(vms, add, tmp_path):
    memory = tmp_path / "memory"
    memory.write_bytes(bytes(1 << 20))
    pair = [vms(name, [ivshmem_plain(memory, "1M")], start=False) for name in "ab"]
    vms.start(*pair)
    running = []
    for vm in pair:
        (vm.share / "add").write_bytes(add.read_bytes())
        (vm.share / "add").chmod(0o755)
        running.append(vm.spawn(
            "bar=$(echo /sys/bus/pci/devices/*/resource2_wc); "
            f"cp /mnt/share/add /tmp && /tmp/add $bar 3 {COUNT}"))
    host = subprocess.Popen([add, memory, "3", str(COUNT)], stdout=subprocess.PIPE)
    for process in running:
        assert process.wait(300).returncode == 0, process.stderr
    assert host.wait(300) == 0
    host.stdout.close()
    total = struct.unpack_from("<Q", memory.read_bytes(), SUM)[0]
    assert total == 3 * COUNT


def test_private_memory_is_not_shared(vms, tmp_path):
    memory = tmp_path / "memory"
    memory.write_bytes(bytes(1 << 20))
    vm = vms("a", [ivshmem_plain(memory, "1M", share=False)])
    vm.run("bar=$(echo /sys/bus/pci/devices/*/resource2_wc); busybox devmem "
           "$(( $(sed -n 3p ${bar%2_wc} | cut -d' ' -f1) )) 32 0x12345678")
    assert memory.read_bytes() == bytes(1 << 20)
