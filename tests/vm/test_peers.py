# SPDX-License-Identifier: GPL-2.0-only
"""The directory: peers that come, go, die, fall silent, return; and the own place."""

import os
import threading
import time

import pytest

from lab import ivshmem_doorbell, ivshmem_plain
from tests.region_image import (CONNECTED, NET, PAGE, RAW, Heart, Image, Member, Memory,
                                Section, ServerLine, VACANT, wait_until)

from .guest import CLASS, attribute, set_attribute
from .peer import Peer
from .region import ask, functions, peers, state, wait_attribute, wait_state

SIZE = 4 << 20
NODE = "/dev/ivshmem0"
OWN = 1
STATE = "/sys/kernel/debug/ivshmem/ivshmem0/state"


def sections():
    """Something to have links in, and something for programs."""
    return [Section(NET, "lan", 1 << 20, vector=1), Section(RAW, "lab", 64 << 10)]


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """The memory of the plain device, formatted."""
    path = tmp_path_factory.mktemp("peers") / "memory"
    with open(path, "wb") as memory:
        memory.truncate(SIZE)
    with Memory(path) as mapped:
        mapped.path = path
        mapped.write(Image(SIZE, sections()))
        yield mapped


@pytest.fixture(scope="module")
def vm(module_vms, region):
    """A guest with a plain device, in slot 1."""
    vm = module_vms("peers", devices=[ivshmem_plain(region.path, SIZE, addr="0x10")])
    vm.run("hostname guest-one")
    vm.load_driver()
    assert set_attribute(vm, NODE, "slot", str(OWN)).returncode == 0
    return vm


def own_line(region, slot=OWN):
    """Epoch, heartbeat, vectors and name that the guest publishes."""
    line = (2 + slot) * PAGE
    name = region.map[line + 24:line + 64].rstrip(b"\0").decode()
    return region.word(line), region.word(line + 4), region.word(line + 8), name


def test_own_place(vm, region):
    """Epoch, heartbeat, vectors, name; the name follows the host's, or what is given."""
    epoch, beat, vectors, name = own_line(region)
    assert epoch and vectors == 0 and name == "guest-one"
    wait_until(lambda: own_line(region)[1] != beat)
    said = ask(vm, "peer", NODE, OWN)
    assert (said["state"], said["epoch"], said["vectors"], said["name"]) == \
        (1, epoch, 0, "guest-one")
    vm.run("hostname guest-two")
    wait_until(lambda: own_line(region)[3] == "guest-two")
    assert set_attribute(vm, NODE, "name", "x" * 40).returncode != 0
    assert set_attribute(vm, NODE, "name", "two words").returncode != 0
    assert set_attribute(vm, NODE, "name", "y" * 39).returncode == 0
    wait_until(lambda: own_line(region)[3] == "y" * 39)
    vm.run(f"echo > {CLASS}/ivshmem0/name; hostname guest-one")
    wait_until(lambda: own_line(region)[3] == "guest-one")
    assert own_line(region)[0] == epoch, "a new name is no new life"


WATCH = """
import fcntl, os, select, struct, sys
f = os.open(sys.argv[1], os.O_RDONLY)
p = select.poll(); p.register(f, select.POLLPRI)
def ask():
    a = bytearray(struct.pack('<I84x', 88)); fcntl.ioctl(f, 0xd604, a)
    return struct.unpack_from('<Q', a, 8)[0]
before = ask()
assert not p.poll(0)
open('/run/watch.ready', 'w').close()
assert p.poll(60000)[0][1] == select.POLLPRI
assert p.poll(0), 'it stays until asked'
assert ask() > before
"""


def test_comes_and_goes(vm, region):
    """Joins, changes and leaves of another; programs are told by EPOLLPRI."""
    vm.run("rm -f /run/watch.ready")
    watch = vm.spawn(["/usr/bin/python3", "-c", WATCH, NODE])
    vm.wait_for("[ -e /run/watch.ready ]")
    member = Member(region, 4, vectors=3, name="other one").join()
    with Heart(member):
        wait_attribute(vm, "peers", "^4 alive")
        assert peers(vm)[4] == ("alive", member.epoch, 3, "other?one")
        assert watch.wait().returncode == 0, watch.stderr
        said = ask(vm, "peer", NODE, 4)
        assert (said["state"], said["epoch"], said["vectors"], said["joins"]) == \
            (1, member.epoch, 3, 1)
        member.join()
        wait_attribute(vm, "peers", f"^4 alive {member.epoch:08x}")
        assert ask(vm, "peer", NODE, 4)["joins"] == 2
        member.leave()
        vm.wait_for(f"! grep -q '^4 ' {CLASS}/ivshmem0/peers")


@pytest.mark.attack("A10")
def test_silence_and_resumption(vm, region):
    """Nobody watches: a heart that stands still is silence, and may beat again."""
    member = Member(region, 5).join()
    with Heart(member):
        wait_attribute(vm, "peers", "^5 alive")
    start = time.monotonic()
    wait_attribute(vm, "peers", "^5 silent")
    # not sooner than is promised
    assert time.monotonic() - start > 4
    with Heart(member):
        wait_attribute(vm, "peers", f"^5 alive {member.epoch:08x}")
    assert ask(vm, "peer", NODE, 5)["joins"] == 1
    member.leave()
    vm.wait_for(f"! grep -q '^5 ' {CLASS}/ivshmem0/peers")


def test_words_of_the_past(vm, region):
    """What was there before the driver, and never moves, is nobody."""
    Member(region, 6).join()
    vm.run("rmmod ivshmem")
    vm.load_driver()
    assert set_attribute(vm, NODE, "slot", str(OWN)).returncode == 0
    wait_state(vm, f"slot {OWN}")
    beat = own_line(region)[1]
    wait_until(lambda: own_line(region)[1] - beat > 3)
    assert 6 not in peers(vm)


def test_the_server_knows_at_once(vm, region):
    """One that the server saw die is dead, whatever its heart does."""
    member = Member(region, 3)
    line = ServerLine(region, 3)
    line.say(CONNECTED, 7)
    member.join()
    with Heart(member):
        wait_attribute(vm, "peers", "^3 alive")
        assert ask(vm, "peer", NODE, 3)["generation"] == 7
        line.say(VACANT, 7, member.epoch)
        vm.wait_for(f"! grep -q '^3 ' {CLASS}/ivshmem0/peers")
        line.say(CONNECTED, 8, member.epoch)
        wait_until(lambda: ask(vm, "peer", NODE, 3)["generation"] == 8)
        assert 3 not in peers(vm)
        member.join()
        wait_attribute(vm, "peers", f"^3 alive {member.epoch:08x}")
        member.leave()
    line.say(0, 0)


def rejoins(vm):
    """Times that the own words were found changed."""
    return int(vm.run(f"grep -o 'rejoins [0-9]*' {STATE}").stdout.split()[1])


@pytest.mark.attack("A07")
def test_own_words_changed(vm, region):
    """By another peer in the same slot, or a snapshot: joined anew under a new epoch."""
    for offset, value in ((0, 77), (4, 12345), (8, 9), (12, 1)):
        wait_until(lambda: own_line(region)[0] != 0)
        wait_attribute(vm, "peers", f"^{OWN} alive")
        before, count = own_line(region)[0], rejoins(vm)
        region.store((2 + OWN) * PAGE + offset, value)
        wait_until(lambda: own_line(region)[0] not in (before, value, 0))
        assert rejoins(vm) > count
    line = ServerLine(region, OWN)
    before = own_line(region)[0]
    line.say(CONNECTED, 1, before)
    wait_until(lambda: own_line(region)[0] not in (before, 0))
    line.say(0, 0)


@pytest.mark.attack("A07")
def test_unwatched_slot_is_fought_for_slowly(vm, region):
    """Somebody who writes there without end is answered ever more rarely."""
    end = time.monotonic() + 8
    count = rejoins(vm)
    while time.monotonic() < end:
        region.store((2 + OWN) * PAGE, 0xdead)
        time.sleep(0.001)
    assert 1 <= rejoins(vm) - count <= 6
    vm.run("rmmod ivshmem")
    vm.load_driver()
    assert set_attribute(vm, NODE, "slot", str(OWN)).returncode == 0
    wait_attribute(vm, "peers", f"^{OWN} alive")


def hammer(region, end, spare):
    """Random bytes and changing words over everything, but not @spare bytes at the start."""
    noise = os.urandom(1 << 20)
    while not end.is_set():
        for at in range(spare, SIZE, 1 << 18):
            length = min(1 << 18, SIZE - at)
            start = int.from_bytes(os.urandom(2), "little")
            region.map[at:at + length] = noise[start:start + length]


@pytest.mark.attack("A06")
@pytest.mark.parametrize("spare", [PAGE, 0], ids=["behind the superblock", "everywhere"])
def test_hostile_region(vm, region, spare):
    """Whatever is written wherever: the guest works, and so does the region afterwards."""
    region.write(Image(SIZE, sections()))
    wait_state(vm, "^attached")
    end = threading.Event()
    thread = threading.Thread(target=hammer, args=(region, end, spare))
    thread.start()
    try:
        for _ in range(5):
            vm.run(f"cat {CLASS}/ivshmem0/{{region,peers,sections,slot}} {STATE} >/dev/null;"
                   " sleep 1")
            ask(vm, "region", NODE)
            ask(vm, "peer", NODE, 2)
    finally:
        end.set()
        thread.join()
    image = Image(SIZE, sections())
    region.write(image)
    wait_state(vm, f"^attached.*0x{image.instance:08x}")
    wait_attribute(vm, "peers", f"^{OWN} alive")
    assert functions(vm) == ["ivshmem.net.0"]


@pytest.mark.attack("A05", "A09")
def test_superblock_toggled(vm, region):
    """A format that comes and goes without end costs a bounded number of devices."""
    end = threading.Event()

    def toggle():
        pages = [Image(SIZE, sections()).superblock() for _ in range(2)]
        pages.append(Image(SIZE, sections(), major=3).superblock())
        while not end.is_set():
            for page in pages:
                region.map[0:PAGE] = page
                time.sleep(0.02)
            region.erase()

    def attaches():
        return int(vm.run(f"grep -o 'attaches [0-9]*' {STATE}").stdout.split()[1])

    vm.run("dmesg -C")
    before = attaches()
    thread = threading.Thread(target=toggle)
    thread.start()
    try:
        vm.run("sleep 10")
        assert attaches() - before <= 2 * 16
        assert len(vm.run("dmesg").stdout.splitlines()) <= 2 * 5
    finally:
        end.set()
        thread.join()
    assert ask(vm, "format", NODE, 3)["errno"] == ""
    image = Image(SIZE, sections())
    (vm.share / "superblock").write_bytes(image.superblock())
    assert ask(vm, "format", NODE, 0, "/mnt/share/superblock")["errno"] == ""
    assert f"0x{image.instance:08x}" in state(vm)


def test_three_machines(vms, servers):
    """Two guests and a process of the host; one guest is killed, and another comes back."""
    server = servers(size="4M", vectors=4, peers=4)
    two = [vms(name, start=False,
               devices=[ivshmem_doorbell(server, 4, addr="0x10")]) for name in ("a", "b")]
    vms.start(*two)
    a, b = two
    with Peer(server.socket) as peer, Memory(peer.memory) as region:
        peer.learn(4, 4)
        region.write(Image(SIZE, sections()))
        for vm in two:
            vm.run(f"hostname machine-{vm.name}")
            vm.load_driver()
            wait_state(vm, "^attached")
        slot = {vm.name: int(attribute(vm, NODE, "peer_id")) for vm in two}
        member = Member(region, peer.id, name="host").join()
        with Heart(member):
            wait_attribute(a, "peers", f"^{slot['b']} alive .* 4 machine-b")
            wait_attribute(a, "peers", f"^{peer.id} alive .* 0 host")
            wait_attribute(b, "peers", f"^{slot['a']} alive .* 4 machine-a")
            epoch = peers(a)[slot["b"]][1]
            b.kill()
            # its server line says nothing here: it is silence, within its bound
            a.wait_for(f"! grep -q '^{slot['b']} alive' {CLASS}/ivshmem0/peers")
            again = vms("b", devices=[ivshmem_doorbell(server, 4, addr="0x10")])
            again.load_driver()
            wait_state(again, "^attached")
            slot["b"] = int(attribute(again, NODE, "peer_id"))
            wait_attribute(a, "peers", f"^{slot['b']} alive")
            assert peers(a)[slot["b"]][1] != epoch
            member.leave()
            a.wait_for(f"! grep -q '^{peer.id} ' {CLASS}/ivshmem0/peers")
