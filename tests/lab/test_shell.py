# SPDX-License-Identifier: GPL-2.0-only
"""'make shell', driven through a terminal as a person would."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

from lab.attach import PLACE
from lab.paths import ROOT


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *command):
        self.screen, far = pty.openpty()
        self.bytes = b""
        self.process = subprocess.Popen(
            command, stdin=far, stdout=far, stderr=far, cwd=ROOT, start_new_session=True,
            env=dict(os.environ, TERM="xterm"))
        os.close(far)

    def type(self, text):
        """Press keys."""
        os.write(self.screen, text.encode())

    def expect(self, regex, timeout=120):
        """Wait until the screen shows it; what came before is done with."""
        deadline = time.monotonic() + timeout
        while True:
            # Colours and cursor movements apart.
            text = re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]|\r", "",
                          self.bytes.decode(errors="replace"))
            match = re.search(regex, text)
            if match:
                self.bytes = text[match.end():].encode()
                return match
            left = deadline - time.monotonic()
            assert left > 0, f"no {regex!r} on the screen: {text[-2000:]!r}"
            if select.select([self.screen], [], [], left)[0]:
                try:
                    self.bytes += os.read(self.screen, 65536)
                except OSError:
                    pytest.fail(f"no {regex!r}, and the end: {text[-2000:]!r}")

    def wait(self):
        """Exit status of the program."""
        return self.process.wait(60)

    def close(self):
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        os.close(self.screen)


@pytest.fixture
def terminal(userspace, guest_modules):
    opened = []

    def start(*command):
        opened.append(Terminal(*command))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def lab_shell(*arguments):
    return sys.executable, "-m", "lab", "shell", *arguments


def qemus_of(process):
    """QEMUs that a process has started and that still run."""
    found = subprocess.run(["pgrep", "-P", str(process.pid), "qemu-system"], text=True,
                           stdout=subprocess.PIPE, check=False)
    return found.stdout.split()


PROMPT = r"root@vm-{}\S*:\S*# "


def test_a_person_works_in_one_vm_and_leaves(terminal):
    screen = terminal(*lab_shell("--no-tmux"))
    screen.expect("This is VM a")
    screen.expect(PROMPT.format("a"))
    assert len(qemus_of(screen.process)) == 2
    screen.type("echo $((6 * 7)) answers; ls /dev/ivshmem0\r")
    screen.expect(r"\n42 answers\n/dev/ivshmem0")
    screen.expect(PROMPT.format("a"))
    # What the greeting proposes.
    screen.type("ivshmem info\r")
    screen.expect("ivshmem0")
    screen.expect(PROMPT.format("a"))
    # Job control: Ctrl-C ends the program in the guest, not the session.
    screen.type("echo go; sleep 10000\r")
    screen.expect(r"\ngo")
    screen.type("\x03")
    screen.expect(PROMPT.format("a"))
    screen.type("exit\r")
    screen.expect("both VMs are gone")
    assert screen.wait() == 0
    assert not PLACE.exists()


def test_second_terminal_reaches_the_other_vm(terminal):
    first = terminal(*lab_shell("--no-tmux"))
    first.expect(PROMPT.format("a"))
    second = terminal(*lab_shell("b"))
    second.expect(PROMPT.format("b"))
    second.type("cat /sys/class/ivshmem/ivshmem0/peer_id\r")
    peer = second.expect(r"peer_id\n(\d)\n")[1]
    first.type("cat /sys/class/ivshmem/ivshmem0/peer_id\r")
    assert {peer, first.expect(r"peer_id\n(\d)\n")[1]} == {"0", "1"}
    second.expect(PROMPT.format("b"))
    second.type("ivshmem wait\r")
    first.type(f"while ivshmem ring {peer} 0; do :; done\r")
    second.expect(PROMPT.format("b"))
    first.type("\x03")
    # A third finds it taken.
    third = terminal(*lab_shell("b"))
    third.expect("in use in another terminal")
    third.wait()
    # Ctrl-] leaves b, and the next who comes gets a fresh shell there.
    second.type("\x1d")
    assert second.wait() == 0
    fourth = terminal(*lab_shell("b"))
    fourth.expect(PROMPT.format("b"))
    first.type("\x1d")
    first.expect("both VMs are gone")
    fourth.wait()


def test_without_a_pair_the_remedy_is_named(terminal):
    screen = terminal(*lab_shell("b"))
    screen.expect("VM b: does not run; start the pair a and b with 'make shell'")
    assert screen.wait() == 1


def test_hanging_up_cleans_up(terminal):
    screen = terminal(*lab_shell("--no-tmux"))
    screen.expect(PROMPT.format("a"))
    guests = qemus_of(screen.process)
    screen.process.terminate()
    screen.wait()
    assert guests and not any(os.path.exists(f"/proc/{pid}") for pid in guests)
    assert not PLACE.exists()


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_side_by_side(terminal):
    screen = terminal(*lab_shell())
    screen.expect("(?s)vm-a.*vm-b|vm-b.*vm-a")
    screen.type("exit\r")
    # The other one gets the whole window.
    screen.expect("(?s)This is VM b.*vm-b")
    screen.type("exit\r")
    screen.expect("both VMs are gone")
    assert screen.wait() == 0
