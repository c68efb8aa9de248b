# SPDX-License-Identifier: GPL-2.0-only
"""Three machines on one formatted region; one is killed while it writes, and returns."""

from lab import ivshmem_doorbell
from lab.paths import MODULES, USERSPACE

from .guest import CLASS, attribute

TOOL = USERSPACE / "tools/ivshmem/ivshmem"
NODE = "/dev/ivshmem0"
LINKS = "/sys/bus/auxiliary/devices/ivshmem.net.0/links"
VECTORS = 4


def start(vm):
    """Load the drivers into a guest, the one that has links in the kernel included."""
    vm.run(f"hostname machine-{vm.name}")
    vm.load_driver()
    vm.run(f"insmod {MODULES / vm.kernel.release}/drivers/test/ivshmem_echo.ko")


def slot(vm):
    """The own slot of a guest."""
    return int(attribute(vm, NODE, "peer_id"))


def epoch(vm, other):
    """The epoch of a peer, as a guest sees it."""
    return vm.run(f"awk '$1 == {other} {{ print $3 }}' {CLASS}/ivshmem0/peers").stdout.strip()


def sessions(vm, other):
    """How often the kernel's link to a peer has come up."""
    return int(vm.run(f"awk '$1 == {other} {{ print $3 }}' {LINKS}").stdout)


def wait_up(vm, *others):
    """Wait until the kernel's links to others are up."""
    for other in others:
        vm.wait_for(f"grep -q '^{other} up' {LINKS}")


def test_one_of_three_is_killed_while_it_writes_and_returns(vms, servers):
    """Seen dead by both others, by the server's word; then under new epochs."""
    server = servers(size="64M", vectors=VECTORS, peers=4,
                     layout="net=lan:16M,,raw=lab:16M")
    a, b, c = [vms(name, start=False,
                   devices=[ivshmem_doorbell(server, VECTORS, addr="0x10")])
               for name in "abc"]
    vms.start(a, b, c)
    for vm in (a, b, c):
        start(vm)
    wait_up(a, slot(b), slot(c))
    wait_up(c, slot(a), slot(b))
    place, before = slot(b), {vm.name: sessions(vm, slot(b)) for vm in (a, c)}
    was, between = epoch(a, place), sessions(a, slot(c))

    receiver = a.spawn(f"exec {TOOL} recv {NODE} {place} -o /dev/null --progress "
                       "2>/run/said")
    b.spawn(f"exec {TOOL} send {NODE} {slot(a)} /dev/zero")
    a.wait_for("grep -q iB/s /run/said")
    b.kill()
    for vm in (a, c):
        vm.wait_for(f"! grep -q '^{place} ' {CLASS}/ivshmem0/peers")
        vm.wait_for(f"! grep -q '^{place} up' {LINKS}")
    assert receiver.wait().returncode == 1
    # The link of the two that live has gone on.
    wait_up(a, slot(c))
    assert sessions(a, slot(c)) == between

    again = vms("b", devices=[ivshmem_doorbell(server, VECTORS, addr="0x10")])
    start(again)
    assert slot(again) == place
    wait_up(again, slot(a), slot(c))
    for vm in (a, c):
        wait_up(vm, place)
        assert sessions(vm, place) > before[vm.name]
        assert epoch(vm, place) == epoch(again, place) != was

    again.run("head -c 8M /dev/urandom > /run/file")
    receiver = a.spawn(f"exec {TOOL} recv {NODE} {place} -o /run/file")
    again.run(f"{TOOL} send {NODE} {slot(a)} /run/file", timeout=120)
    assert receiver.wait().returncode == 0
    assert a.run("sha256sum /run/file").stdout == again.run("sha256sum /run/file").stdout
