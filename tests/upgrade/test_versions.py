# SPDX-License-Identifier: GPL-2.0-only
"""Peers of version 1.0, and ones that are newer than ours, with today's drivers and library."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.region_image import ENTRIES, ENTRY, PAGE, Memory, Section
from tests.vm.peer import Peer
from tests.vm.region import wait_attribute, wait_state

from .rig import BOUND, CHANNEL, DISK_SIZE, LINK, Machine, WirePeer, device, image

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
