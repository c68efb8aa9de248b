# SPDX-License-Identifier: GPL-2.0-only
"""Programs of the host in a region that is attacked: server, library, tool, disks' back end.

Of each attack none of them gets more than it costs: it ends in time, says nothing that a
terminal would obey, and all work again once it is over.
"""

import contextlib
import re
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from lab import Server
from tests.blk.disk import OK, READ, BackEnd, FrontEnd
from tests.cli.program import program
from tests.server.waiting import wait_until
from tests.vm.peer import Peer

from .attacker import Attack, listed

pytestmark = pytest.mark.usefixtures("userspace")
BOUND = 60
LAYOUT = "blk=disk0:24M:queues=2,,raw=lab:16M,,net=lan:16M"
SECONDS = 0.4
# What never asks anybody to wait; more is done by who looks at the same words
COMMANDS = [("info", "{}"), ("peers", "{}"), ("peers", "{}", "--json"), ("doctor", "{}"),
            ("dump", "{}", "--length", "64K"), ("format", "{}", "raw=lab:1M", "--dry-run")]
OBEYED = re.compile(r"[\0-\x08\x0b-\x1f\x7f\x80-\x9f]")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Server, BackEnd]]:
    """A server, and a disk in a section of its link."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(8 << 20))
    with contextlib.ExitStack() as stack:
        server = Server(size="64M", vectors=4, peers=8, layout=LAYOUT)
        stack.callback(server.remove)
        server.start()
        yield server, stack.enter_context(BackEnd(server.address, image, "--writers=all"))


def look(command: tuple[str, ...], address: str) -> None:
    """Run the tool to its end, which may be a complaint."""
    words = [word.format(address) for word in command]
    done = subprocess.run([program(), *words], check=False, text=True, errors="replace",
                          timeout=BOUND, stdin=subprocess.DEVNULL, capture_output=True)
    said = done.stdout + done.stderr
    assert done.returncode in (0, 1), (words, done.returncode, said)
    assert "Sanitizer" not in said, said
    assert command[0] == "dump" or not OBEYED.search(said), repr(said)


def transfer(address: str, **options: Any) -> tuple[subprocess.Popen, subprocess.Popen]:
    """Start a sender and a receiver of messages, who find each other by name."""
    words = ["--timeout", "20"]
    receiver = subprocess.Popen([program(), "recv", address, "sender", "-o", "/dev/null",
                                 "--name", "receiver", *words], **options)
    sender = subprocess.Popen([program(), "send", address, "receiver", "-",
                               "--name", "sender", *words], **options)
    return sender, receiver


def works(server: Server, back: BackEnd) -> None:
    """Everything does: a disk is read, a message arrives, a client is welcome."""
    with Peer(server.socket) as peer:
        assert peer.memory
    with FrontEnd(server.address, section="disk0") as front:
        front.hello()
        assert front.ask(READ, length=4096) == OK
    for process in transfer(server.address, stdin=subprocess.DEVNULL):
        assert process.wait(BOUND) == 0
    assert back.process.poll() is None


def processor_time(pid: int) -> float:
    """What a process has used, in ticks."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return int(words[11]) + int(words[12])


def wait_quiet(pid: int) -> None:
    """Wait until a process has done nothing between fifty looks."""
    seen = [processor_time(pid)]

    def rests() -> bool:
        seen.append(processor_time(pid))
        return len(seen) > 50 and seen[-1] == seen[-51]

    wait_until(rests, f"process {pid} to rest", BOUND)


@pytest.mark.attack("A46", "A08", "A32", "A28")
@pytest.mark.parametrize("name", listed())
def test_attack(host: tuple[Server, BackEnd], name: str) -> None:
    """While it runs, all kinds of programs use the region."""
    server, back = host
    with FrontEnd(server.address, section="disk0") as front, contextlib.ExitStack() as stack:
        front.hello()
        with open("/dev/zero", "rb") as zeroes:
            streams = transfer(server.address, stdin=zeroes, stderr=subprocess.DEVNULL)
        for process in streams:
            stack.callback(process.wait, BOUND)
            stack.callback(process.kill)
        with Attack(name, server.address, seconds=SECONDS) as running:
            # Each attack meets another one first.
            number = sum(name.encode())
            while running.process.poll() is None:
                look(COMMANDS[number % len(COMMANDS)], server.address)
                number += 1
            running.wait()
    works(server, back)
    wait_quiet(server.pid)
    wait_quiet(back.pid)
