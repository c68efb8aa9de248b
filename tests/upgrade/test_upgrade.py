# SPDX-License-Identifier: GPL-2.0-only
"""Old and new meet: peers of other versions, and drivers that are replaced in use."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents.blocks import commands
from tests.region_image import ENTRIES, PAGE, Memory, Section
from tests.vm.guest import attribute
from tests.vm.peer import Peer
from tests.vm.region import wait_attribute, wait_state

from .release import commit_all, dist, repository, unpack, without_git
from .rig import (ANSWERED, BOUND, CHANNEL, DISK, DISK_SIZE, LINK, NODE, Machine,
                  WirePeer, device, image)

# The document's: step 2, and who uses the devices
UNBIND, WHO = commands("upgrading.rst", "upgrade/test_upgrade")
FROZEN = Path(__file__).with_name("wire-1.0") / "ivshmem"
# Of wire-1.0/README.md: these never change
CHECKSUMS = {
    "blk.h": "277c4bac517a21e3cbd7f71c0285428001253e69848932d7746f6d2cd7a24832",
    "link.h": "ae80ad2eff4a5ed0466edb874397fde42b0c1d9a0a71f32e4b8ba4042d5038c8",
    "net.h": "f4279bd705fa66708db4ba87370039903ceccf74fdbca221247766429b8d6cba",
    "peer.h": "33268edf29c28a3600312cd86dbbee8ba492c2643e15f3c7bfbe4b61544ee457",
    "port.h": "f7066219cb5b8f1e695059b7b756b0c3680bef98be541023bf4fed3ee2353d89",
    "ring.h": "26264437aeb64a3b0563df6a47125e55ae5b2b3f2d44e8ceb443a17ac68f3ff1",
    "wire.h": "0fbc9f4b28cdc34a901268390912d35323f0e743ab120bdd16ef339264bba99d",
}
# Offsets of words that are reserved in version 1.0: of the superblock, of its first entry
RESERVED = {f"at_{offset}": 0xffffffff for offset in (60, ENTRIES + 20, PAGE - 4)}


def test_frozen_headers():
    """Nobody has changed what stands for those who did not upgrade."""
    assert CHECKSUMS == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                         for path in FROZEN.iterdir()}


@pytest.fixture(scope="module")
def server(module_servers):
    """A link whose memory the tests format."""
    return module_servers(**LINK)


@pytest.fixture(scope="module")
def region(server):
    """The memory of the link."""
    with Peer(server.socket) as formatter, Memory(formatter.memory) as memory:
        yield memory


@pytest.fixture(scope="module")
def machine(module_vms, server):
    """A guest with today's drivers."""
    return Machine(module_vms("today", devices=[device(server)])).load()


@pytest.fixture(scope="module", params=["1.0", "newer"])
def formatted(request, region, machine):
    """A region of version 1.0, or of one with additions that nobody here knows."""
    if request.param == "1.0":
        region.write(image())
    else:
        newer = image(minor=7, compat=0x80000001)
        newer.sections += [Section(9, "future", 64 << 10, vector=2),
                           Section(1, "odd", 64 << 10, vector=2, features=1)]
        region.write(newer, **RESERVED)
    wait_state(machine.vm, "^attached 1[.]0 " if request.param == "1.0" else "^attached 1[.]7 ")
    return request.param


@pytest.mark.parametrize("claims", ["1.0", "newer"])
def test_peers_of_two_versions(formatted, claims, machine, server, tmp_path):
    """Handshakes, messages, frames and blocks, whoever is older.

    One that is newer sets all bits that nobody knows, sends longer hellos and answers,
    records of another kind, and writes to what is reserved. What it adds is passed over.
    """
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(DISK_SIZE))
    words = ["newer"] if claims == "newer" else []
    with WirePeer(server, disk, tmp_path / "log", *words) as peer:
        wait_attribute(machine.vm, "peers", f"^{peer.slot} alive .* old-peer$")
        machine.use(peer)
        done = subprocess.run([CHANNEL, server.address, str(peer.slot), "And I?"], check=True,
                              text=True, stdout=subprocess.PIPE, timeout=BOUND)
        assert done.stdout == "And I?\n"
        if formatted == "newer":
            peer.wait("^section future: not known$")
            peer.wait("^section odd: not known$")
        for kind in ("net", "blk"):
            peer.wait(f"^{kind} hello from .*: right$")
    assert "wrong" not in peer.said
    # No session ended but by those who left
    assert set(line.rpartition(" ")[2] for line in peer.said.splitlines()
               if " down: " in line) <= {"1"}
    assert any(disk.read_bytes())


NEXT = "99.0.1"
USER = Path(__file__).with_name("user.py")


@pytest.fixture(scope="module")
def next_modules(guest_kernel, machine, tmp_path_factory):
    """The modules of another release, built out of its tarball, without git; as guests see them."""
    folder = tmp_path_factory.mktemp("next")
    origin = repository(folder / "origin")
    meson = origin / "meson.build"
    meson.write_text(meson.read_text().replace(f"version: '{machine.version()}'",
                                               f"version: '{NEXT}'"))
    commit_all(origin, f"Release {NEXT}")
    done = dist(origin)
    assert done.stdout == f"build/dist/ivshmem-{NEXT}.tar.xz\n", done.stderr
    sources = unpack(origin / done.stdout.strip(), folder / "there")
    # Without what debuggers want, which takes a third of the time
    done = subprocess.run(["scripts/build-modules", guest_kernel.headers, "KCFLAGS=-g0",
                           *guest_kernel.make_arguments], cwd=sources, text=True,
                          env=without_git(folder), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout
    for module in Path(done.stdout.split()[-1]).rglob("*.ko"):
        place = machine.vm.share / "next" / module.parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, place)
    return Path("/mnt/share/next")


@pytest.fixture
def peer(region, machine, server, tmp_path):
    """A peer that stays, and has been used."""
    region.write(image())
    wait_state(machine.vm, "^attached 1[.]0 ")
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(DISK_SIZE))
    with WirePeer(server, disk, tmp_path / "log") as there:
        machine.use(there)
        yield there


def test_drivers_are_replaced_in_use(machine, peer, next_modules):
    """Documentation/upgrading.rst, with programs, an interface and a file system in use."""
    vm, card = machine.vm, machine.card
    slot = attribute(vm, NODE, "peer_id")
    before = (card.name, card.mac)
    vm.run(f"mkfs.ext4 -q -O ^has_journal {DISK} && mkdir /run/disk && mount {DISK} /run/disk &&"
           " cp /run/blocks /run/disk", BOUND)
    vm.run("mkfifo /run/end-poll /run/end-read")
    users = {manner: vm.spawn(["/usr/bin/python3", str(USER), f"{NODE}.lab", manner])
             for manner in ("poll", "read")}
    vm.wait_for("test -e /run/ready-poll && test -e /run/ready-read")
    waits = vm.spawn([str(CHANNEL), NODE, str(peer.slot)])
    peer.wait(f"^lab to {slot} up$", times=2)
    pings = vm.spawn(f"exec ping {ANSWERED} >>/run/answers 2>&1")
    vm.wait_for("grep -q 'bytes from' /run/answers")

    for name in ("ivshmem_blk", "ivshmem"):
        refused = vm.run(f"rmmod {name}", check=False)
        assert refused.returncode and "in use" in refused.stderr
    vm.run("umount /run/disk")
    vm.run(UNBIND)
    peer.wait(f"^peer {slot} left$")
    done = waits.wait(BOUND)
    assert done.returncode == 1 and "No such device" in done.stderr
    vm.run("rmmod ivshmem_blk ivshmem_net")
    assert "in use" in vm.run("rmmod ivshmem", check=False).stderr
    found = vm.run(WHO).stdout
    for user in users.values():
        assert f"/proc/{user.pid}/fd/" in found and f"/proc/{user.pid}/maps" in found
    for manner, first in (("poll", "poll: HUP"), ("read", "read: ENODEV")):
        vm.run(f"echo > /run/end-{manner}")
        assert users[manner].wait(BOUND).stdout.splitlines() == \
            [first, "mmap: ENODEV", "access: SIGBUS"], users[manner].wait(1)
    vm.run("rmmod ivshmem")
    assert not vm.run("ls /dev | grep '^iv'; grep ^ivshmem /proc/modules", check=False).stdout

    machine.load(next_modules)
    assert machine.version() == NEXT
    wait_attribute(vm, "peers", f"^{peer.slot} alive .* old-peer$")
    peer.wait(f"^peer {slot} joined$", times=2)
    machine.channel(peer)
    machine.ping()
    assert (card.name, card.mac) == before
    for kind in ("lan", "disk"):
        peer.wait(f"^{kind} to {slot} up$", times=2)
    vm.run("> /run/answers")
    vm.wait_for("grep -q 'bytes from' /run/answers")
    pings.kill()
    machine.wait_disk()
    vm.run(f"mount {DISK} /run/disk && cmp /run/blocks /run/disk/blocks && umount /run/disk",
           BOUND)
