# SPDX-License-Identifier: GPL-2.0-only
"""Formatting from inside, and what programs may map of what is formatted."""

import os
import time

import pytest

from lab import ivshmem_doorbell
from tests.region_image import (BLK, NET, PAGE, RAW, Image, Member, Memory, Section)

from .guest import CLASS, attribute, set_attribute
from .peer import Peer
from .region import (INSIDE, ask, functions, section_nodes, state, wait_attribute,
                     wait_state)

SIZE = 16 << 20
NODE = "/dev/ivshmem0"
FORCE, ERASE = 1, 2
UNFORMATTED, ATTACHED, REFUSED, UNSETTLED = 0, 1, 2, 3
NO_SLOT = 0xffffffff


def sections():
    """One of each type, and another of programs, large enough for huge pages."""
    return [Section(NET, "lan", 2 << 20, vector=1), Section(RAW, "lab", 64 << 10),
            Section(BLK, "disk", 1 << 20, vector=2), Section(RAW, "big", 4 << 20, vector=3)]


@pytest.fixture(scope="module")
def vm(module_vms, module_servers):
    """A guest with a doorbell device."""
    server = module_servers(name="format", size="16M", vectors=4, peers=3)
    vm = module_vms("format", devices=[ivshmem_doorbell(server, 4, addr="0x10")])
    vm.load_driver()
    vm.server = server
    return vm


@pytest.fixture(scope="module")
def peer(vm):
    """A process of the host that has joined."""
    with Peer(vm.server.socket) as joined:
        joined.learn(3, 4)
        yield joined


@pytest.fixture(scope="module")
def region(vm, peer):
    """Its memory."""
    with Memory(peer.memory) as memory:
        yield memory


@pytest.fixture(autouse=True)
def erased(vm, region):
    """Each test begins with an unformatted region."""
    region.erase()
    wait_state(vm, "^unformatted")
    yield


def format_inside(vm, image, flags=0, **spoilt):
    """IVSHMEM_IOC_FORMAT in the guest, or erase."""
    if image is None:
        return ask(vm, "format", NODE, flags | ERASE)
    (vm.share / "superblock").write_bytes(image.superblock(**spoilt))
    return ask(vm, "format", NODE, flags, "/mnt/share/superblock")


def test_format_and_erase(vm, region):
    """The region is attached when the call returns, and as the image says."""
    image = Image(SIZE, sections())
    region.map[PAGE:20 * PAGE] = os.urandom(19 * PAGE)
    assert format_inside(vm, image) == {"errno": "", "error": 0, "failed": 0}
    said = ask(vm, "region", NODE)
    assert (said["state"], said["instance"], said["slots"], said["sections"]) == \
        (ATTACHED, image.instance, 8, 4)
    assert said["uuid"] == image.uuid.hex()
    own = int(attribute(vm, NODE, "peer_id"))
    assert said["slot"] == own and said["epoch"] == region.word((2 + own) * PAGE) != 0
    assert functions(vm) == ["ivshmem.blk.0", "ivshmem.net.0"]
    assert section_nodes(vm) == ["ivshmem0.big", "ivshmem0.lab"]
    # its own page aside, the directory is as if nobody had ever been there
    for slot in set(range(8)) - {own}:
        assert region.map[(2 + slot) * PAGE:(3 + slot) * PAGE] == bytes(PAGE)
    assert region.map[0:PAGE] == image.superblock()

    assert format_inside(vm, None)["errno"] == ""
    assert region.word(0) == 0 and state(vm) == "unformatted"
    said = ask(vm, "region", NODE)
    assert (said["state"], said["slot"], said["instance"]) == (UNFORMATTED, NO_SLOT, 0)
    assert functions(vm) == [] and section_nodes(vm) == []


def test_sections_are_told(vm):
    image = Image(SIZE, sections())
    assert format_inside(vm, image)["errno"] == ""
    for index, (section, offset) in enumerate(zip(image.sections, image.offsets())):
        for node in (NODE, f"{NODE}.lab"):
            said = ask(vm, "section", node, index)
            assert (said["type"], said["offset"], said["length"], said["vector"],
                    said["queues"], said["name"]) == \
                (section.type, offset, section.size, section.vector, 1, section.name)
            own = 2 if node.endswith(section.name) else 0
            assert said["attributes"] == 1 | own
    assert ask(vm, "section", NODE, 4) == {"errno": "ENOENT"}
    assert ask(vm, "section", NODE, 2 ** 32 - 1) == {"errno": "ENOENT"}
    assert ask(vm, "peer", NODE, 8) == {"errno": "ENOENT"}


@pytest.mark.attack("A02")
def test_wrong_superblocks(vm, region):
    """Refused with the reason, and nothing is written."""
    before = region.map[0:4 * PAGE]
    image = Image(SIZE, sections())
    vector_of_third = 64 + 2 * 64 + 8
    for spoilt, error, failed in (({"at_8": 2}, 2, 0), ({"at_24": 1}, 4, 0),
                                  ({"at_52": 1}, 6, 0),
                                  ({f"at_{vector_of_third}": 300}, 11, 2)):
        assert format_inside(vm, image, **spoilt) == \
            {"errno": "EINVAL", "error": error, "failed": failed}
    assert format_inside(vm, Image(SIZE // 2, []))["error"] == 5
    assert region.map[0:4 * PAGE] == before


def test_rights(vm):
    """An unformatted region is anybody's; a formatted or refused one is root's."""
    (vm.share / "superblock").write_bytes(Image(SIZE, sections()).superblock())
    vm.run(f"chmod 0666 {NODE}")
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 " \
        f"{INSIDE} format {NODE}"
    assert '"errno": ""' in vm.run(f"{nobody} 0 /mnt/share/superblock").stdout
    (vm.share / "superblock").write_bytes(Image(SIZE, sections()).superblock())
    assert '"errno": "EPERM"' in vm.run(f"{nobody} 1 /mnt/share/superblock").stdout
    assert '"errno": "EPERM"' in vm.run(f"{nobody} 3").stdout
    assert ask(vm, "format", f"{NODE}.lab", ERASE)["errno"] == "ENOTSUP"
    assert state(vm).startswith("attached")


def test_refused_region_is_repaired(vm, region):
    """Nothing of it can be mapped, but it can be formatted."""
    region.write(Image(SIZE, sections(), incompat=1))
    wait_state(vm, "^refused")
    said = ask(vm, "region", NODE)
    assert (said["state"], said["error"], said["incompat"], said["slot"]) == \
        (REFUSED, 4, 1, NO_SLOT)
    assert ask(vm, "maps", NODE, f"0:{SIZE}", "0:4096") == ["EINVAL", "EINVAL"]
    # those who know what it is may be using it
    for flags, errno in ((0, "EBUSY"), (ERASE, "EBUSY"), (FORCE, "")):
        image = None if flags & ERASE else Image(SIZE, sections())
        assert format_inside(vm, image, flags)["errno"] == errno
    assert state(vm).startswith("attached")


def test_same_instance(vm):
    """Peers could not tell it from the one before."""
    image = Image(SIZE, sections())
    assert format_inside(vm, image)["errno"] == ""
    assert format_inside(vm, image)["errno"] == "EINVAL"


@pytest.mark.attack("A05")
def test_region_in_use(vm, region, peer):
    """Peers that are there forbid it, unless forced: then they are given time."""
    assert format_inside(vm, Image(SIZE, sections()))["errno"] == ""
    other = Member(region, peer.id).join()
    wait_attribute(vm, "peers", f"^{peer.id} alive")
    before = state(vm)
    image = Image(SIZE, [Section(RAW, "new", PAGE)])
    assert format_inside(vm, image)["errno"] == "EBUSY"
    assert format_inside(vm, None)["errno"] == "EBUSY"
    assert state(vm) == before
    # it does not leave, and after two seconds is not waited for any more
    assert format_inside(vm, image, FORCE)["errno"] == ""
    assert f"instance 0x{image.instance:08x}" in state(vm)
    assert region.word(other.line) == 0


def test_dead_peers_do_not_matter(vm, region, peer):
    """Words of nobody: where the server has none, and where no server looks."""
    vacant, = set(range(3)) - {int(attribute(vm, NODE, "peer_id")), peer.id}
    with region.writing(Image(SIZE, sections()).superblock()):
        dead = [Member(region, slot).join() for slot in (vacant, 6)]
    wait_state(vm, "^attached")
    assert all(region.word(member.line) == member.epoch for member in dead)
    assert format_inside(vm, Image(SIZE, sections()))["errno"] == ""


def whole(vm):
    """A program that maps everything, and then looks at pages that it is told."""
    return vm.spawn(["/usr/bin/python3", "-c", PROBE, NODE, str(SIZE)])


# Prints "ready"; then for each line "OFFSET" of the pipe whether the page is there.
PROBE = """
import mmap, os, signal, sys
m = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), int(sys.argv[2]))
m[0]; m[5 << 20]
open('/run/probe.ready', 'w').close()
answers = open('/run/probe.out', 'w')
for line in open('/run/probe.in'):
    child = os.fork()
    if not child:
        m[int(line)]
        os._exit(0)
    answers.write('%d\\n' % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    answers.flush()
"""


def test_older_mapping_is_revoked(vm, region):
    """A mapping of the whole, made before, keeps what is for programs and no more."""
    vm.run("rm -f /run/probe.*; mkfifo /run/probe.in")
    program = whole(vm)
    vm.wait_for("[ -e /run/probe.ready ]")
    image = Image(SIZE, sections())
    assert format_inside(vm, image)["errno"] == ""
    lan, lab, disk, big = image.offsets()
    asked = [0, PAGE, lan, lab, lab + (64 << 10) - 1, lab + (64 << 10), disk, big,
             big + (4 << 20) - 1, SIZE - 1]
    there = [False, False, False, True, True, False, False, True, True, False]
    vm.run("printf '%s\\n' " + " ".join(map(str, asked)) + " >/run/probe.in")
    program.wait()
    answers = vm.run("cat /run/probe.out").stdout.split()
    assert [answer == "0" for answer in answers] == there
    assert {answer for answer in answers if answer != "0"} == {"-7"}


def test_what_can_be_mapped(vm):
    """On the device's node: ranges within one RAW section; on its own: its range."""
    image = Image(SIZE, sections())
    assert format_inside(vm, image)["errno"] == ""
    lan, lab, disk, big = image.offsets()
    good = [f"{lab}:65536", f"{lab + PAGE}:4096", f"{big}:{4 << 20}"]
    bad = [f"0:{SIZE}", "0:4096", f"{lan}:4096", f"{disk}:4096", f"{lab}:{65536 + PAGE}",
           f"{lab - PAGE}:8192", f"{big + (4 << 20)}:4096", f"{big}:{SIZE - big}",
           f"{SIZE}:4096", f"{2 ** 62}:4096"]
    assert ask(vm, "maps", NODE, *good, *bad) == [""] * 3 + ["EINVAL"] * len(bad)
    bad = ["61440:8192", "65536:4096", "69632:4096", f"{big - lab}:4096", f"{2 ** 62}:4096"]
    assert ask(vm, "maps", f"{NODE}.lab", "0:65536", "61440:4096", *bad) == \
        [""] * 2 + ["EINVAL"] * len(bad)
    assert vm.run(f"cat {CLASS}/ivshmem0.big/size").stdout.strip() == str(4 << 20)


def test_node_shows_its_section(vm, region):
    """Its first byte is the section's first byte, and so on."""
    image = Image(SIZE, sections())
    assert format_inside(vm, image)["errno"] == ""
    big = image.offsets()[3]
    pattern = os.urandom(4 << 20)
    region.map[big:big + len(pattern)] = pattern
    (vm.share / "pattern").write_bytes(pattern)
    vm.run(["/usr/bin/python3", "-c",
            "import mmap, os, sys\n"
            f"m = mmap.mmap(os.open('{NODE}.big', os.O_RDWR), 4 << 20)\n"
            "assert m[:] == open('/mnt/share/pattern', 'rb').read()\n"
            "m[-1] = 77; m[0] = 78\n"])
    assert region.map[big] == 78 and region.map[big + (4 << 20) - 1] == 77


READ_ONLY = """
import mmap, os, sys, errno
f = os.open(sys.argv[1], os.O_RDWR)
try:
    mmap.mmap(f, 4096)
except OSError as e:
    assert e.errno == errno.EROFS, e
else:
    raise SystemExit('writable')
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
a = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, f, ctypes.c_long(0))
assert ctypes.string_at(a, 1)
assert libc.mprotect(ctypes.c_void_p(a), ctypes.c_size_t(4096), 3) == -1
assert ctypes.get_errno() == errno.EACCES
"""


def test_read_only_region(vm, region):
    """Features that forbid writing: EROFS, and no mprotect(2) around it."""
    region.write(Image(SIZE, sections(), ro_compat=4))
    wait_state(vm, "read-only$")
    vm.run(["/usr/bin/python3", "-c", READ_ONLY, f"{NODE}.lab"])
    assert ask(vm, "region", NODE)["attributes"] == 1


def test_read_only_region_in_use(vm, region, peer):
    """Those who may write to it are seen, and forbid to format it; nothing is written."""
    region.write(Image(SIZE, sections(), ro_compat=4))
    wait_state(vm, "read-only$")
    other = Member(region, peer.id).join()
    wait_attribute(vm, "peers", f"^{peer.id} alive")
    own = int(attribute(vm, NODE, "peer_id"))
    assert region.map[(2 + own) * PAGE:(3 + own) * PAGE] == bytes(PAGE)
    assert format_inside(vm, Image(SIZE, sections()))["errno"] == "EBUSY"
    assert state(vm).endswith("read-only") and region.word(other.line)
    assert format_inside(vm, Image(SIZE, sections()), FORCE)["errno"] == ""


OPEN_NODE = """
import errno, fcntl, mmap, os, select, signal, sys
f = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(f, 4096)
m[0]
e = os.eventfd(0)
import struct
fcntl.ioctl(f, 0xd602, struct.pack('<IIIi', 16, 0, 3, e))
open('/run/node.ready', 'w').close()
p = select.poll(); p.register(f, select.POLLIN)
while True:
    found = p.poll(60000)
    assert found
    if found[0][1] & (select.POLLERR | select.POLLHUP):
        break
    os.read(f, 4096)
assert os.eventfd_read(e) >= 1
for call in (lambda: os.read(f, 4096), lambda: mmap.mmap(f, 4096),
             lambda: fcntl.ioctl(f, 0xd600, bytearray(struct.pack('<I36x', 40)))):
    try:
        call()
    except OSError as error:
        assert error.errno == errno.ENODEV, error
    else:
        raise SystemExit('works')
child = os.fork()
if not child:
    m[0]
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGBUS
"""


def test_open_node_dies_with_its_format(vm, region):
    """Also when a section of the same name takes its place."""
    assert format_inside(vm, Image(SIZE, sections()))["errno"] == ""
    vm.run("rm -f /run/node.ready")
    program = vm.spawn(["/usr/bin/python3", "-c", OPEN_NODE, f"{NODE}.lab"])
    vm.wait_for("[ -e /run/node.ready ]")
    assert format_inside(vm, Image(SIZE, sections()))["errno"] == ""
    result = program.wait()
    assert result.returncode == 0, result.stderr
    assert ask(vm, "maps", f"{NODE}.lab", "0:4096") == [""]
    assert ask(vm, "maps", f"{NODE}.big", "0:4096") == [""]


def test_write_combining(vm, region):
    """Memory without order of stores: this kernel joins and formats nothing."""
    assert set_attribute(vm, NODE, "cache_mode", "wc").returncode == 0
    assert format_inside(vm, Image(SIZE, sections()))["errno"] == "ENOTSUP"
    region.write(Image(SIZE, sections()))
    assert wait_state(vm, "^attached").endswith("slot none")
    assert functions(vm) == []
    assert set_attribute(vm, NODE, "cache_mode", "wb").returncode == 0
    assert state(vm).endswith(f"slot {attribute(vm, NODE, 'peer_id')}")
    assert functions(vm) == ["ivshmem.blk.0", "ivshmem.net.0"]
    assert set_attribute(vm, NODE, "cache_mode", "wc").returncode != 0
    # nor without functions
    assert format_inside(vm, Image(SIZE, [Section(RAW, "lab", PAGE)]))["errno"] == ""
    assert set_attribute(vm, NODE, "cache_mode", "wc").returncode != 0
    assert attribute(vm, NODE, "cache_mode") == "wb"


@pytest.mark.attack("A05")
def test_format_again_and_again(vm, region):
    """As fast as somebody can: nothing is lost, and a format works at the end."""
    for number in range(40):
        region.write(Image(SIZE, sections()))
        if number % 3 == 0:
            region.erase()
    image = Image(SIZE, sections())
    assert format_inside(vm, image)["errno"] == ""
    assert f"0x{image.instance:08x}" in state(vm)
    assert functions(vm) == ["ivshmem.blk.0", "ivshmem.net.0"]


def hold_back(vm, region):
    """Format as fast as the guest attaches, which its peer line tells."""
    line = (2 + int(attribute(vm, NODE, "peer_id"))) * PAGE

    def attached() -> bool:
        region.write(Image(SIZE, sections()))
        until = time.monotonic() + 5
        while time.monotonic() < until and not region.word(line):
            time.sleep(0.01)
        return region.word(line) != 0

    for _ in range(200):
        if not attached() and state(vm) == "unsettled":
            return
    pytest.fail("every format was attached")


def test_format_that_is_held_back(vm, region):
    """Formatted too often to be attached: it is not taken for unformatted."""
    hold_back(vm, region)
    assert ask(vm, "region", NODE)["state"] == UNSETTLED
    assert ask(vm, "maps", NODE, f"0:{SIZE}", "0:4096") == ["EAGAIN", "EAGAIN"]
    image = Image(SIZE, sections())
    (vm.share / "superblock").write_bytes(image.superblock())
    vm.run(f"chmod 0666 {NODE}")
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 " \
        f"{INSIDE} format {NODE}"
    assert '"errno": "EPERM"' in vm.run(f"{nobody} 1 /mnt/share/superblock").stdout
    assert state(vm) == "unsettled"
    # whoever may waits for no limit
    assert format_inside(vm, image)["errno"] == ""
    assert f"0x{image.instance:08x}" in state(vm)
    region.erase()
    wait_state(vm, "^unformatted")
    assert ask(vm, "maps", NODE, f"0:{SIZE}") == [""]
