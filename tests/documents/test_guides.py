# SPDX-License-Identifier: GPL-2.0-only
"""The commands of the guides do what they are said to do, in the order of the text."""

import os
import re
import subprocess
from typing import Any

import pytest

from lab.paths import ROOT

from .blocks import DOCUMENTS, SHELLS, Block, blocks, differs, everywhere
from .world import OPENED, PROGRAMS, Host, Machine, arguments

# In the order of Documentation/index.rst, all with what the first one has set up
GUIDES = ["quick-start", "pipes", "network", "host", "user-space", "performance", "real-time",
          "securing", "debugging"]
# These take it apart
LAST = ["upgrading", "disk", "install", "troubleshooting"]
FIRST = GUIDES[0]
# By a test of their own, and their places
OTHERS = {"secure-boot": ["machine", "enrolled"]}
PLACES = ["host", "vm-a", "vm-b"]
ALL = [*GUIDES, *LAST, *OTHERS, "README"]
PROJECT = [(block.document, block.text) for block in everywhere()
           if block.mark == "run" and "project" in block.places]


class Reader:
    """Follows the guides literally."""

    def __init__(self, host: Host, machines: Any) -> None:
        self.places: dict[str, Any] = {"host": host}
        self.machines = machines
        self.behind: dict[str, list[tuple[Any, bool]]] = {}
        self.printed = ""

    def follow(self, guide: str) -> None:
        """All marked blocks of a document, but for those that are for other tests."""
        for block in (block for block in everywhere() if block.document == guide):
            if block.mark == "run":
                for place in filter(PLACES.__contains__, block.places):
                    self.do(block, place)
            elif block.mark == "shows":
                wrong = differs(block.text, self.printed)
                assert not wrong, f"{block}: {wrong}\nwas not printed, but\n{self.printed}"
        for place in list(self.behind):
            self.finish(place)

    def do(self, block: Block, place: str) -> None:
        """One block in one place."""
        if place not in self.places:
            self.start_machines()
        self.finish(place)
        where = self.places[place]
        if not block.manner:
            self.printed = where.run(block.text)
            return
        self.behind.setdefault(place, []).append(
            (where.spawn(block.text), block.manner == "until stopped"))
        if block.opens:
            where.wait_for(OPENED.format(path=block.opens))

    def finish(self, place: str) -> None:
        """What was begun in a place before the last block has to end."""
        for process, stop in self.behind.pop(place, []):
            self.places[place].finish(process, stop)

    def start_machines(self) -> None:
        """With the arguments that were printed last."""
        devices = arguments(self.places["host"], self.printed)
        first, second = (self.machines(name, devices=[devices], start=False)
                         for name in ("vm-a", "vm-b"))
        # Once it answers it has joined, and is peer 0
        first.start(wait=False).qmp("query-status")
        self.machines.start(second)
        self.places.update({vm.name: Machine(vm) for vm in (first.wait_ready(), second)})


@pytest.fixture(scope="module", name="reader")
def _reader(module_vms, tmp_path_factory):
    """One who has read the quick start."""
    host = Host(tmp_path_factory.mktemp("host"))
    try:
        reader = Reader(host, module_vms)
        reader.follow(f"{FIRST}.rst")
        yield reader
    finally:
        host.close()


def test_quick_start(reader):
    """It ends with ping over the interface, a mounted disk, and two messages."""
    text = (DOCUMENTS / f"{FIRST}.rst").read_text()
    assert all(word in text for word in ("ping -c", "ivshmem recv", "ivshmem dump"))
    mounted = reader.places["vm-a"].run("findmnt -n -o SOURCE,FSTYPE /mnt")
    assert re.fullmatch(r"/dev/ivblk0\s+ext4\n", mounted)
    assert reader.places["vm-b"].run("cat message.txt") == "Hello from vm-a\n"


@pytest.mark.parametrize("guide", GUIDES[1:] + LAST)
def test_guide(reader, guide):
    """Each goes on where the quick start has ended."""
    assert any(set(block.places) & set(PLACES) for block in blocks(DOCUMENTS / f"{guide}.rst")
               if block.mark == "run")
    reader.follow(f"{guide}.rst")


@pytest.mark.parametrize("document, text", PROJECT)
def test_project(document, text, userspace):
    """What is run in the folder of the sources, and changes nothing."""
    # Debian's Python, whatever else this user has
    path = ":".join([*map(str, PROGRAMS), "/usr/bin", os.environ["PATH"]])
    done = subprocess.run(["bash", "-e", "-c", text], cwd=ROOT, text=True, check=False,
                          env=dict(os.environ, PATH=path),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and done.stdout, f"{document}: {text}\n{done.stdout}"


def test_every_command_is_run():
    """Or the document says why not; what is no command has a language."""
    assert not [str(block) for block in everywhere()
                if not block.mark and block.language in SHELLS]
    assert not [str(block) for block in everywhere()
                if block.mark in ("run", "not run", "check") and not block.argument]


def has_test(block, place):
    """Whether something runs a block in a place that it names, or compares what is shown."""
    if "/" in place:
        text = (ROOT / f"tests/{place}.py").read_text()
        return f'commands("{block.document}", "{place}")' in text
    stem = block.document.partition(".")[0]
    return place == "project" or \
        stem in ALL and place in ["", *PLACES, *OTHERS.get(stem, [])]


def test_every_place_has_a_test():
    """What a document wants to be run somewhere is run there, and what it shows was printed."""
    assert not [(str(block), place) for block in everywhere() if block.mark in ("run", "shows")
                for place in block.places or [""] if not has_test(block, place)]
