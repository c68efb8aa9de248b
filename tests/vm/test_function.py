# SPDX-License-Identifier: GPL-2.0-only
"""Functions and links: the shared code in the kernel against itself, and a host's process.

The driver is drivers/test/ivshmem_echo.c; tests/uapi/echoed.c is the host's side.
"""

import os
import subprocess

import pytest

from lab import ivshmem_doorbell, ivshmem_plain
from lab.paths import MODULES
from tests.region_image import BLK, NET, RAW, Image, Memory, Section

from .guest import CLASS, DRIVER, attribute, program, set_attribute
from .peer import Flood, Peer
from .region import ask, functions, state, wait_state

SIZE = 16 << 20
NODE = "/dev/ivshmem0"
BDF = "0000:00:10.0"
HOST = 3


def sections():
    """Links with several queues, with one, and another section."""
    return [Section(NET, "lan", 8 << 20, vector=1, queues=3),
            Section(BLK, "disk", 4 << 20, vector=2), Section(RAW, "lab", 64 << 10)]


def load_echo(vm):
    """Load the driver that echoes."""
    vm.run(f"insmod {MODULES / vm.kernel.release}/drivers/test/ivshmem_echo.ko")


def links(vm, function="net.0"):
    """Slot -> state, sessions, records sent back, reason of the last end."""
    lines = vm.run(f"cat /sys/bus/auxiliary/devices/ivshmem.{function}/links").stdout
    return {int(slot): (how, int(sessions), int(echoed), int(reason))
            for slot, how, sessions, echoed, reason in map(str.split, lines.splitlines())}


def wait_link(vm, slot, how, function="net.0"):
    """Wait until the link to a peer is so."""
    vm.wait_for(f"grep -q '^{slot} {how}' /sys/bus/auxiliary/devices/ivshmem.{function}/links")


class Echoed:
    """tests/uapi/echoed on the host; a context manager."""

    def __init__(self, memory, slot, peer, section, records, doorbell=None):
        path = f"/proc/{os.getpid()}/fd/{memory.descriptor}"
        words = [path, slot, peer, section, records]
        if doorbell is not None:
            words.append(doorbell)
        self.process = subprocess.Popen(
            [str(program("echoed")), *map(str, words)], text=True,
            pass_fds=[] if doorbell is None else [doorbell],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def wait_up(self):
        """The epoch of the peer, once a session has begun."""
        line = self.process.stdout.readline()
        assert line.startswith("up "), self.process.stderr.read()
        return line.split()[1]

    def finish(self):
        """All that it said, after a good end."""
        out, err = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, out + err
        return out.splitlines()


@pytest.fixture(scope="module")
def vm(module_vms, module_servers):
    """A guest with doorbells whose kernel echoes."""
    server = module_servers(name="echo", size="16M", vectors=4, peers=4)
    vm = module_vms("echo", devices=[ivshmem_doorbell(server, 4, addr="0x10")])
    vm.load_driver()
    load_echo(vm)
    vm.server = server
    return vm


@pytest.fixture(scope="module")
def peer(vm):
    """A process of the host that has joined the link of the server."""
    with Peer(vm.server.socket) as joined:
        joined.learn(4, 4)
        yield joined


@pytest.fixture(scope="module")
def region(vm, peer):
    """The memory, formatted."""
    with Memory(peer.memory) as memory:
        yield memory


@pytest.fixture(autouse=True)
def formatted(request):
    """Each test of the guest with doorbells begins with a new format."""
    if "region" not in request.fixturenames:
        yield
        return
    vm, region = request.getfixturevalue("vm"), request.getfixturevalue("region")
    image = Image(SIZE, sections())
    region.write(image)
    wait_state(vm, f"^attached.*0x{image.instance:08x}")
    vm.wait_for("[ -e /sys/bus/auxiliary/devices/ivshmem.blk.0/links ]")
    yield


def own_slot(vm):
    """The guest's."""
    return int(attribute(vm, NODE, "peer_id"))


def doorbell(vm, peer, vector):
    """Descriptor that rings the guest."""
    return peer.doorbells[own_slot(vm)][vector]


@pytest.mark.parametrize("section, vector", [("lan", 1), ("disk", 2)])
def test_echo(vm, peer, region, section, vector):
    """Records of all lengths, on all queues, come back as they were sent."""
    with Echoed(region, peer.id, own_slot(vm), section, 400,
                doorbell(vm, peer, vector)) as host:
        host.wait_up()
        assert host.finish()[-1] == f"echoed {400 * (3 if section == 'lan' else 1)}"
    wait_link(vm, peer.id, "down", "net.0" if section == "lan" else "blk.0")


def test_host_is_killed(vm, peer, region):
    """At any moment: its return is another session, and nothing old is delivered."""
    epochs = set()
    for _ in range(3):
        with Echoed(region, peer.id, own_slot(vm), "lan", 0, doorbell(vm, peer, 1)) as host:
            epochs.add(host.wait_up())
            before = links(vm)[peer.id][2]
            vm.wait_for(f"[ $(awk '$1 == {peer.id} {{ print $4 }}' /sys/bus/auxiliary/devices"
                        f"/ivshmem.net.0/links) -gt {before} ]")
    assert len(epochs) == 3
    with Echoed(region, peer.id, own_slot(vm), "lan", 100, doorbell(vm, peer, 1)) as host:
        host.wait_up()
        assert host.finish()[-1] == "echoed 300"


def test_guest_begins_anew(vm, peer, region):
    """Driver unloaded, device unbound, while records fly: the host's link comes back."""
    with Echoed(region, peer.id, own_slot(vm), "lan", 0, doorbell(vm, peer, 1)) as host:
        epochs = [host.wait_up()]
        vm.run("rmmod ivshmem_echo")
        load_echo(vm)
        epochs.append(host.wait_up())
        vm.run(f"echo {BDF} > {DRIVER}/unbind; echo {BDF} > {DRIVER}/bind")
        epochs.append(host.wait_up())
        vm.run("rmmod ivshmem_echo; rmmod ivshmem")
        vm.load_driver()
        load_echo(vm)
        epochs.append(host.wait_up())
        assert len(set(epochs)) == 4
        wait_link(vm, peer.id, "up")


def test_formatted_while_links_are_up(vm, peer, region):
    """By force, from inside: nothing is written to the new format in the name of the old."""
    with Echoed(region, peer.id, own_slot(vm), "lan", 0, doorbell(vm, peer, 1)) as host:
        host.wait_up()
        image = Image(SIZE, [Section(NET, "other", 8 << 20, vector=1)])
        (vm.share / "superblock").write_bytes(image.superblock())
        assert ask(vm, "format", NODE, 0, "/mnt/share/superblock")["errno"] == "EBUSY"
        host.process.kill()
        host.process.wait()
        assert ask(vm, "format", NODE, 1, "/mnt/share/superblock")["errno"] == ""
    assert f"0x{image.instance:08x}" in state(vm)
    assert functions(vm) == ["ivshmem.net.0"]


def test_flood_of_doorbells(vm, peer, region):
    """All vectors are rung without end: records still come back."""
    with Flood(peer, own_slot(vm)) as flood:
        with Echoed(region, peer.id, own_slot(vm), "lan", 50) as host:
            host.wait_up()
            assert host.finish()[-1] == "echoed 150"
    assert flood.rung > 1000


def test_memory_is_remapped_only_unused(vm, peer, region):
    """Functions use it: its cache mode cannot be changed under them."""
    assert "busy" in set_attribute(vm, NODE, "cache_mode", "uc").stderr
    assert attribute(vm, NODE, "cache_mode") == "wb"


def test_plain_device_and_a_second_one(vms, tmp_path):
    """Without doorbells all is found by looking; names of functions do not clash."""
    devices = []
    for name, addr in (("one", "0x10"), ("two", "0x11")):
        path = tmp_path / name
        with open(path, "wb") as memory:
            memory.truncate(SIZE)
        with Memory(path) as region:
            region.write(Image(SIZE, sections()))
        devices.append(ivshmem_plain(path, SIZE, id=name, addr=addr))
    vm = vms("plain", devices=devices)
    vm.load_driver()
    load_echo(vm)
    for number in (0, 1):
        assert set_attribute(vm, f"/dev/ivshmem{number}", "slot", "1").returncode == 0
    assert functions(vm) == ["ivshmem.blk.0", "ivshmem.blk.1", "ivshmem.net.0",
                             "ivshmem.net.1"]
    assert vm.run("ls /dev/ivshmem?.lab").stdout.split() == ["/dev/ivshmem0.lab",
                                                             "/dev/ivshmem1.lab"]
    with Memory(tmp_path / "two") as region, Echoed(region, HOST, 1, "disk", 30) as host:
        host.wait_up()
        assert host.finish()[-1] == "echoed 30"
    assert vm.run(f"cat {CLASS}/ivshmem1/slot").stdout.strip() == "1"


def test_two_machines(vms, servers):
    """The kernel's links with each other: up on both sides, and anew after a kill."""
    server = servers(size="16M", vectors=4, peers=4)
    a, b = [vms(name, start=False, devices=[ivshmem_doorbell(server, 4, addr="0x10")])
            for name in ("a", "b")]
    vms.start(a, b)
    with Peer(server.socket) as peer, Memory(peer.memory) as region:
        region.write(Image(SIZE, sections()))
    for vm in (a, b):
        vm.load_driver()
        load_echo(vm)
        wait_state(vm, "^attached")
    for function in ("net.0", "blk.0"):
        wait_link(a, own_slot(b), "up", function)
        wait_link(b, own_slot(a), "up", function)
    before = links(a)[own_slot(b)][1]
    slot = own_slot(b)
    b.kill()
    again = vms("b", devices=[ivshmem_doorbell(server, 4, addr="0x10")])
    again.load_driver()
    load_echo(again)
    wait_link(again, own_slot(a), "up")
    wait_link(a, own_slot(again), "up")
    assert own_slot(again) != slot or links(a)[slot][1] > before
