# SPDX-License-Identifier: GPL-2.0-only
"""A slot that the driver chooses itself, where neither a server nor anybody else does."""

import threading
import time

import pytest

from lab import ivshmem_plain
from lab.paths import USERSPACE
from tests.region_image import (NET, PAGE, RAW, VACANT, Heart, Image, Member, Memory, Section,
                                ServerLine, wait_until)

from .guest import CLASS, set_attribute
from .region import functions, state, wait_state

TOOL = USERSPACE / "tools/ivshmem/ivshmem"
SIZE = 4 << 20
SLOTS = 3
NODE = "/dev/ivshmem0"
STATE = "/sys/kernel/debug/ivshmem/ivshmem0/state"
OWN = r"slot [0-9]+$"


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """The file that is the memory, mapped on the host."""
    path = tmp_path_factory.mktemp("choice") / "memory"
    with open(path, "wb") as file:
        file.truncate(SIZE)
    with Memory(path) as mapped:
        mapped.path = path
        yield mapped


@pytest.fixture(scope="module")
def vm(module_vms, memory):
    """A guest with a plain device, for whose slot nobody cares."""
    vm = module_vms("choice", devices=[ivshmem_plain(memory.path, SIZE, addr="0x10")])
    vm.load_driver()
    return vm


@pytest.fixture
def region(vm, memory):
    """Unformatted first; the slots, once it is formatted, are three."""
    memory.erase()
    wait_state(vm, "^unformatted$")
    vm.run("dmesg -C")
    assert set_attribute(vm, NODE, "slot", "auto").returncode == 0
    yield memory
    memory.erase()
    wait_state(vm, "^unformatted$")


def image():
    """A section for a function, and one for programs."""
    return Image(SIZE, [Section(NET, "lan", 1 << 20, vector=1), Section(RAW, "lab", 64 << 10)],
                 slots=SLOTS)


def epochs(region):
    """What each slot says."""
    return [region.word((2 + slot) * PAGE) for slot in range(SLOTS)]


def own_slot(vm, wanted=OWN):
    """The slot of the guest, once it has one."""
    return int(wait_state(vm, wanted).rsplit(" ", 1)[1])


def rejoins(vm):
    """Times that the own words were found changed."""
    return int(vm.run(f"grep -o 'rejoins [0-9]*' {STATE}").stdout.split()[1])


def said(vm, words):
    """Lines of the log with these words."""
    return [line for line in vm.run("dmesg").stdout.splitlines() if words in line]


def test_an_empty_one_is_chosen(vm, region):
    """It has words in one slot, no function before that is settled, and can be told not to."""
    assert vm.run(f"cat {CLASS}/ivshmem0/slot").stdout == "auto\n"
    region.write(image())
    wait_until(lambda: any(epochs(region)))
    if state(vm).endswith(" none choosing"):
        assert functions(vm) == []
    own = own_slot(vm)
    assert [bool(epoch) for epoch in epochs(region)] == [slot == own for slot in range(SLOTS)]
    vm.wait_for("[ -e /sys/bus/auxiliary/devices/ivshmem.net.0 ]")
    beat = region.word((2 + own) * PAGE + 4)
    wait_until(lambda: region.word((2 + own) * PAGE + 4) != beat)
    assert set_attribute(vm, NODE, "slot", "none").returncode == 0
    assert state(vm).endswith("slot none")
    assert not any(epochs(region)) and functions(vm) == []
    assert set_attribute(vm, NODE, "slot", "auto").returncode == 0
    assert own_slot(vm) == own, "the one before, if it is still empty"


def test_neither_the_living_nor_a_server_loses_one(vm, region):
    """One slot is a server's, one has a peer: the third is chosen, whatever it says."""
    stale = Member(region, 1)
    with region.writing(image().superblock()):
        ServerLine(region, 0).say(VACANT)
        stale.join()
    with Heart(Member(region, 2).join()) as alive:
        # Nobody says when the dead one died, and the server's is never free
        assert own_slot(vm) == 1
        assert epochs(region)[2] == alive.epoch and not epochs(region)[0]
        assert epochs(region)[1] not in (0, stale.epoch)


def test_none_is_free(vm, region):
    """It is said once, and the first that gets free is taken."""
    with region.writing(image().superblock()):
        members = [Member(region, slot).join() for slot in range(SLOTS)]
    with Heart(members[0]), Heart(members[2]):
        with Heart(members[1]):
            wait_state(vm, "slot none full$")
            assert functions(vm) == []
            assert epochs(region) == [member.epoch for member in members]
            wait_until(lambda: len(said(vm, "slots are taken")) == 1)
            assert "all are taken" in vm.run(f"{TOOL} info {NODE}").stdout
            assert "first that gets free" in vm.run(f"{TOOL} doctor {NODE}", check=False).stdout
        members[1].leave()
        assert own_slot(vm) == 1
        assert len(said(vm, "slots are taken")) == 1


def test_who_comes_late_is_given_way_to(vm, region):
    """A claimant that was stopped between look and store: both are there, elsewhere."""
    region.write(image())
    own = own_slot(vm)
    vm.wait_for("[ -e /sys/bus/auxiliary/devices/ivshmem.net.0 ]")
    with Heart(Member(region, own).join()) as late:
        other = own_slot(vm, f"slot [^{own}]$")
        assert other != own and epochs(region)[own] == late.epoch
        vm.wait_for("[ -e /sys/bus/auxiliary/devices/ivshmem.net.0 ]")
        assert said(vm, f"taken slot {own}")


def test_a_server_that_begins_is_given_way_to(vm, region):
    """Slots that it keeps are its clients'."""
    region.write(image())
    own = own_slot(vm)
    ServerLine(region, own).say(VACANT)
    assert own_slot(vm, f"slot [^{own}]$") != own


class Rewriter:
    """Overwrites whatever the guest says of itself; a context manager."""

    def __init__(self, region):
        self.region = region
        self.count = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        ours = [0] * SLOTS
        while not self._end.wait(0.01):
            for slot, epoch in enumerate(epochs(self.region)):
                if epoch and epoch != ours[slot]:
                    self.count += 1
                    ours[slot] = 0x10000 + self.count
                    self.region.store((2 + slot) * PAGE, ours[slot])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def test_hostile_words_in_each_claim(vm, region):
    """No claim is ever settled; each is answered later than the one before."""
    before = rejoins(vm)
    region.write(image())
    with Rewriter(region) as rewriter:
        start = time.monotonic()
        wait_until(lambda: rejoins(vm) - before >= 3)
        seconds = time.monotonic() - start
        assert state(vm).split(" slot ")[1].startswith("none") and functions(vm) == []
        assert rewriter.count - 1 <= rejoins(vm) - before <= 2 + 2 * seconds
    own_slot(vm)
    vm.wait_for("[ -e /sys/bus/auxiliary/devices/ivshmem.net.0 ]")
