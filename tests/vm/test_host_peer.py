# SPDX-License-Identifier: GPL-2.0-only
"""A process of the host as peer: it shares the memory, and rings without end."""

import mmap
import os
import re

import pytest

from lab import ivshmem_doorbell

from .guest import CLASS, DRIVER, attribute, check, node, program, set_attribute
from .peer import Flood, Peer

PEERS = 2
VECTORS = 4
BDF = "0000:00:10.0"
STATE = "/sys/kernel/debug/ivshmem/ivshmem0/state"


@pytest.fixture(scope="module")
def server(module_servers):
    """A server for the guest and a process of the host."""
    return module_servers(size="1M", vectors=VECTORS, peers=PEERS)


@pytest.fixture(scope="module")
def vm(module_vms, server):
    """A guest with one device."""
    vm = module_vms("victim", devices=[ivshmem_doorbell(server, VECTORS, addr="0x10")])
    vm.load_driver()
    return vm


@pytest.fixture(scope="module")
def peer(vm, server):
    """The process of the host that rings."""
    with Peer(server.socket) as joined:
        joined.learn(PEERS, VECTORS)
        yield joined


@pytest.fixture
def flood(vm, peer):
    """All vectors of the guest are rung while the test runs."""
    with Flood(peer, int(attribute(vm, node(vm, "00:10.0"), "peer_id"))) as running:
        yield running


def interrupts(vm):
    """Seconds since boot, and what all vectors together have counted."""
    said = vm.run(f"cut -d' ' -f1 /proc/uptime; cat {STATE}").stdout
    return (float(said.splitlines()[0]),
            sum(map(int, re.findall(r"^vector \d+: .*\bcount (\d+)", said, re.M))))


def test_memory_is_shared_with_the_host(vm, peer):
    """What the guest writes through its device, the host's process reads."""
    vm.run([str(program("pattern")), node(vm, "00:10.0"), "write", "3"])
    size = os.fstat(peer.memory).st_size
    assert size == int(attribute(vm, node(vm, "00:10.0"), "memory_size"))
    with mmap.mmap(peer.memory, size) as memory:
        words = memoryview(memory).cast("I")
        assert all(word == (index * 2654435761 + 3) & 0xffffffff
                   for index, word in enumerate(words))
        for index in range(len(words)):
            words[index] = (index * 2654435761 + 4) & 0xffffffff
        words.release()
    vm.run([str(program("pattern")), node(vm, "00:10.0"), "check", "4"])


@pytest.mark.attack("A36")
def test_flooded_guest_works(vm, flood):
    """Commands run, the memory is usable, doorbells are still told of."""
    device = node(vm, "00:10.0")
    before = interrupts(vm)
    vm.run("find /usr/share/doc >/dev/null; sha256sum /usr/bin/qemu-system-x86_64")
    check(vm, "map", device)
    vm.run(["/usr/bin/python3", "-c",
            "import os, select, sys; f = os.open(sys.argv[1], os.O_RDONLY)\n"
            "for _ in range(100):\n"
            "    assert select.select([f], [], [], 10)[0]; os.read(f, 4096)", device])
    assert interrupts(vm)[1] > before[1]
    assert flood.rung > 1000


@pytest.mark.attack("A36")
def test_interrupts_are_bounded(vm, flood):
    """irq_rate bounds what a flood costs: interrupts a second on each vector."""
    device = node(vm, "00:10.0")
    rate = 100
    assert set_attribute(vm, device, "irq_rate", str(rate)).returncode == 0
    start, first = interrupts(vm)
    check(vm, "map", device)
    check(vm, "ioctl", device)
    end, last = interrupts(vm)
    # a tenth of a second's worth, for what had been saved up
    assert 0 < last - first <= VECTORS * rate * (end - start + 0.1)
    assert set_attribute(vm, device, "irq_rate", "100000").returncode == 0


@pytest.mark.attack("A37")
def test_unbound_and_bound_while_flooded(vm, flood):
    """A doorbell may come at any moment of probe and removal."""
    vm.run(f"""
        for round in $(seq 20); do
            echo {BDF} > {DRIVER}/unbind && echo {BDF} > {DRIVER}/bind || exit 1
            until grep -q 'vector 0: .*count [1-9]' {STATE}; do :; done
        done""", timeout=120)
    assert flood.rung > 1000


def test_quiet_again(vm, peer):
    """After the flood each doorbell counts exactly, as before."""
    check(vm, "event", node(vm, "00:10.0"))
    assert vm.run(f"ls {CLASS}").stdout.split() == ["ivshmem0"]
