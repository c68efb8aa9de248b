# SPDX-License-Identifier: GPL-2.0-only
"""The region's format: found, attached to, refused, and left when it goes."""

import pytest

from lab import ivshmem_plain
from lab.agent import poll_until
from tests.region_image import (BLK, ENTRIES, MAGIC, MINOR, NET, PAGE, RAW, RESERVED, SECTIONS,
                                SIZE_LOG2, SLOTS, Image, Memory, Section)

from .guest import CLASS, DRIVER, set_attribute
from .region import ask, functions, section_nodes, state, wait_state

SIZE = 8 << 20
BDF = "0000:00:10.0"
NODE = "/dev/ivshmem0"


def sections():
    """One of each type, and another of programs."""
    return [Section(NET, "lan", 2 << 20, vector=1), Section(RAW, "lab", 64 << 10),
            Section(BLK, "disk", 1 << 20, vector=2), Section(RAW, "notes", 128 << 10)]


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """The file that is the memory, mapped on the host."""
    path = tmp_path_factory.mktemp("region") / "memory"
    with open(path, "wb") as memory:
        memory.truncate(SIZE)
    with Memory(path) as mapped:
        mapped.path = path
        yield mapped


@pytest.fixture(scope="module")
def vm(module_vms, region):
    """A guest with a plain device, that has a slot."""
    vm = module_vms("region", devices=[ivshmem_plain(region.path, SIZE, addr="0x10")])
    vm.load_driver()
    assert set_attribute(vm, NODE, "slot", "1").returncode == 0
    return vm


@pytest.fixture
def erased(vm, region):
    """An unformatted region, before and after."""
    region.erase()
    wait_state(vm, "^unformatted$")
    yield
    region.erase()
    wait_state(vm, "^unformatted$")


def test_unformatted_belongs_to_programs(vm, erased):
    assert functions(vm) == [] and section_nodes(vm) == []
    for name in ("peers", "sections"):
        assert vm.run(f"cat {CLASS}/ivshmem0/{name}").stdout == ""


def test_attaches_by_itself(vm, region, erased):
    """Formatted later by somebody else: functions, nodes and tables appear."""
    image = Image(SIZE, sections())
    region.write(image)
    assert wait_state(vm, "^attached") == \
        f"attached 1.0 instance 0x{image.instance:08x} slots 8 slot 1"
    assert sorted(functions(vm)) == ["ivshmem.blk.0", "ivshmem.net.0"]
    assert section_nodes(vm) == ["ivshmem0.lab", "ivshmem0.notes"]
    table = [line.split() for line in
             vm.run(f"cat {CLASS}/ivshmem0/sections").stdout.splitlines()]
    assert [(name, kind, int(offset), int(size), int(vector), int(queues))
            for name, kind, offset, size, vector, queues, _ in table] == \
        [(s.name, {RAW: "raw", NET: "net", BLK: "blk"}[s.type], at, s.size, s.vector, s.queues)
         for s, at in zip(image.sections, image.offsets())]
    assert vm.run(f"cd {CLASS}/ivshmem0.notes && cat section offset size vector").stdout.split() \
        == ["notes", str(image.offsets()[3]), str(128 << 10), "0"]


def test_leaves_when_erased(vm, region, erased):
    """Magic 0: functions and nodes go, and the own epoch with them."""
    region.write(Image(SIZE, sections()))
    wait_state(vm, "^attached")
    line = 3 * PAGE
    assert region.word(line)
    region.erase()
    wait_state(vm, "^unformatted")
    assert functions(vm) == [] and section_nodes(vm) == []
    vm.wait_for("true")
    assert region.word(line) == 0


def test_notices_another_format(vm, region, erased):
    """A new instance without a moment of magic 0: left, and attached anew."""
    region.write(Image(SIZE, sections()))
    wait_state(vm, "^attached")
    other = Image(SIZE, [Section(RAW, "other", 64 << 10)], slots=4)
    page = other.superblock()
    region.map[0:PAGE] = page
    wait_state(vm, f"instance 0x{other.instance:08x} slots 4")
    vm.wait_for("[ -e /dev/ivshmem0.other ]")
    assert functions(vm) == [] and section_nodes(vm) == ["ivshmem0.other"]


@pytest.mark.attack("A02", "A06")
def test_another_superblock_for_a_moment(vm, region, erased):
    """Whoever has attached to it does not keep what others never read."""
    right = Image(SIZE, sections())
    lie = Image(SIZE, [Section(RAW, "other", 64 << 10)], slots=4, instance=right.instance)
    region.write(lie)
    wait_state(vm, f"instance 0x{right.instance:08x} slots 4")
    # Magic and instance are the same all the time
    region.map[4:PAGE] = right.superblock()[4:]
    wait_state(vm, f"instance 0x{right.instance:08x} slots 8 slot 1")
    vm.wait_for("[ -e /dev/ivshmem0.notes ]")
    assert section_nodes(vm) == ["ivshmem0.lab", "ivshmem0.notes"]
    # One that is wrong is no reason to leave
    before = region.word(3 * PAGE)
    region.map[8:PAGE] = bytes(8) + right.superblock()[16:]
    vm.run("busybox sleep 1.5")
    region.map[4:PAGE] = right.superblock()[4:]
    vm.run("busybox sleep 1.5")
    assert region.word(3 * PAGE) == before


def entry(index, word):
    """Keyword that spoils word @word of entry @index."""
    return f"at_{ENTRIES + index * 64 + 4 * word}"


BAD = {
    "major": ({"at_8": 2}, r"another major version \(2[.]0, this driver knows 1[.]0\)"),
    "incompat": ({"at_24": 6, f"at_{MINOR}": 3}, r"bits 0x6; version 1[.]3 has it"),
    "size": ({f"at_{SIZE_LOG2}": 24}, "size"),
    "slots": ({f"at_{SLOTS}": 65}, "slots"),
    "sections": ({f"at_{SECTIONS}": 33}, "sections"),
    "reserved": ({f"at_{RESERVED}": 1}, "reserved"),
    "type": ({entry(1, 0): 9}, r"type .*\(section 1\)"),
    "pages": ({entry(2, 1): 1}, r"pages .*\(section 2\)"),
    "vector": ({entry(3, 2): 256}, r"vector .*\(section 3\)"),
    "queues": ({entry(3, 3): 17}, r"queues of a section is not 1 to 16 \(section 3\)"),
    "name": ({entry(0, 8): 0}, r"name .*\(section 0\)"),
    "room": ({entry(3, 1): 1 << 20}, r"larger than the memory \(section 3\)"),
}


@pytest.mark.attack("A02", "A03", "A04")
@pytest.mark.parametrize("what", BAD)
def test_refused_with_reason(vm, region, erased, what):
    """Each field that is wrong is named, nothing of the region is mapped or used."""
    spoilt, reason = BAD[what]
    region.write(Image(SIZE, sections()), **spoilt)
    wait_state(vm, f"^refused: .*{reason}")
    assert functions(vm) == [] and section_nodes(vm) == []
    assert ask(vm, "maps", NODE, "0:4096", "81920:4096") == ["EINVAL", "EINVAL"]


@pytest.mark.attack("A01")
def test_bad_checksum(vm, region, erased):
    page = bytearray(Image(SIZE, sections()).superblock())
    page[4] ^= 1
    region.write_page(bytes(page))
    wait_state(vm, "^refused: checksum of the superblock is wrong")
    # put right without a moment of magic 0
    region.map[4:5] = bytes([region.map[4] ^ 1])
    wait_state(vm, "^attached")


def test_two_sections_of_one_name(vm, region, erased):
    region.write(Image(SIZE, [Section(RAW, "x", PAGE), Section(RAW, "x", PAGE)]))
    wait_state(vm, r"^refused: two sections have one name \(section 1\)")


def test_refusal_is_said(vm, region, erased):
    """Once, with the reason, however often the driver looks."""
    vm.run("rmmod ivshmem && dmesg -C")
    region.write(Image(SIZE, sections()), **{entry(3, 3): 17})
    vm.load_driver()
    wait_state(vm, "^refused")
    vm.run("sleep 2")
    said = [line for line in vm.run("dmesg").stdout.splitlines() if "refused" in line]
    assert len(said) == 1 and "queues of a section is not 1 to 16 (section 3)" in said[0]
    assert set_attribute(vm, NODE, "slot", "1").returncode == 0


def test_newer_minor_is_used(vm, region, erased):
    """What a newer version has added is left alone, the rest works."""
    image = Image(SIZE, sections() + [Section(77, "future", 64 << 10),
                                      Section(NET, "odd", 1 << 20, features=1)],
                  minor=9, compat=0x80)
    region.write(image, **{f"at_{RESERVED}": 5})
    wait_state(vm, "^attached 1[.]9")
    assert sorted(functions(vm)) == ["ivshmem.blk.0", "ivshmem.net.0"]
    table = vm.run(f"cat {CLASS}/ivshmem0/sections").stdout
    assert "future unknown" in table and "odd unknown" in table


def test_read_only_features(vm, region, erased):
    """Nothing is written: no place in the directory, no functions."""
    region.write(Image(SIZE, sections(), ro_compat=1, minor=1))
    assert wait_state(vm, "^attached").endswith("slot none read-only")
    assert functions(vm) == [] and section_nodes(vm) == ["ivshmem0.lab", "ivshmem0.notes"]
    assert region.map[PAGE:10 * PAGE] == bytes(9 * PAGE)


def test_slot_of_a_plain_device(vm, region, erased):
    """Without one: no functions; given one: joined; moved: joined anew."""
    assert set_attribute(vm, NODE, "slot", "none").returncode == 0
    region.write(Image(SIZE, sections()))
    assert wait_state(vm, "^attached").endswith("slot none")
    assert functions(vm) == [] and section_nodes(vm)
    assert set_attribute(vm, NODE, "slot", "5").returncode == 0
    assert state(vm).endswith("slot 5") and region.word(7 * PAGE)
    assert len(functions(vm)) == 2
    assert set_attribute(vm, NODE, "slot", "1").returncode == 0
    assert region.word(7 * PAGE) == 0 and region.word(3 * PAGE)
    assert set_attribute(vm, NODE, "slot", "64").returncode != 0
    assert set_attribute(vm, NODE, "slot", "63").returncode == 0
    assert state(vm).endswith("slot none") and functions(vm) == []
    assert set_attribute(vm, NODE, "slot", "1").returncode == 0


# Tells the host as soon as the first node is there, whoever makes the others, and prints
# what is known once the last one is
BETWEEN = f"""
import mmap, os, time
def wait(name):
    while not os.path.exists(name):
        time.sleep(0.0002)
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
open("/run/waits", "w").close()
wait("/dev/ivshmem0.s0")
first = mmap.mmap(os.open("/dev/ivshmem0.s0", os.O_RDWR), {PAGE})
first[0] = 1
wait("/dev/ivshmem0.s31")
time.sleep(0.1)
print(open("{CLASS}/ivshmem0/region").read())
"""


@pytest.mark.attack("A05", "A09")
def test_erased_for_a_moment_while_attached_to(vm, region, erased):
    """No format when the guest is to join, and again the same one at its next look."""
    image = Image(SIZE, [Section(RAW, f"s{n}", PAGE) for n in range(32)])
    first = image.offsets()[0]

    def met():
        region.store(first, 0)
        vm.run("rm -f /run/waits")
        guest = vm.spawn(["/usr/bin/python3", "-c", BETWEEN])
        vm.wait_for("[ -e /run/waits ]")
        region.write(image)
        poll_until(lambda: region.word(first), 60, "the first node", longest=0)
        region.store(0, 0)
        said = guest.wait(60)
        region.store(0, MAGIC)
        wait_state(vm, "^attached.*slot 1$")
        region.erase()
        wait_state(vm, "^unformatted$")
        return "slot none" in said.stdout

    poll_until(met, 180, "a guest that was about to join")


def test_unbind_and_reload(vm, region, erased):
    """Everything goes with the driver, and is back with it; the slot is empty meanwhile."""
    region.write(Image(SIZE, sections()))
    wait_state(vm, "^attached.*slot 1")
    vm.run(f"echo {BDF} > {DRIVER}/unbind")
    assert functions(vm) == [] and section_nodes(vm) == []
    assert region.word(3 * PAGE) == 0
    vm.run(f"echo {BDF} > {DRIVER}/bind")
    wait_state(vm, "^attached")
    assert section_nodes(vm) == ["ivshmem0.lab", "ivshmem0.notes"]
    vm.run("rmmod ivshmem")
    vm.load_driver()
    wait_state(vm, "^attached")
    assert set_attribute(vm, NODE, "slot", "1").returncode == 0
    assert len(functions(vm)) == 2


def test_unplugged_while_formatted(vm, region, erased, tmp_path):
    """Functions, nodes and files of sections go with the device."""
    path = tmp_path / "second"
    with open(path, "wb") as memory:
        memory.truncate(SIZE)
    with Memory(path) as second:
        second.write(Image(SIZE, sections()))
        before = functions(vm)
        device = vm.add_device(ivshmem_plain(path, SIZE, id="second"))
        wait_state(vm, "^attached", "ivshmem1")
        assert set_attribute(vm, "/dev/ivshmem1", "slot", "2").returncode == 0
        assert len(functions(vm)) == len(before) + 2
        reader = vm.spawn(["/usr/bin/python3", "-c",
                           "import mmap, os, select\n"
                           "f = os.open('/dev/ivshmem1.lab', os.O_RDWR)\n"
                           "m = mmap.mmap(f, 65536); m[0]\n"
                           "open('/run/reader.ready', 'w').close()\n"
                           "p = select.poll(); p.register(f, select.POLLIN)\n"
                           "assert p.poll(60000)[0][1] & select.POLLHUP\n"])
        vm.wait_for("[ -e /run/reader.ready ]")
        assert second.word(4 * PAGE)
        vm.remove_device(device)
        assert reader.wait().returncode == 0, reader.stderr
        assert functions(vm) == before and section_nodes(vm) == []
        assert second.word(4 * PAGE) == 0
