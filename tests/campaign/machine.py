# SPDX-License-Identifier: GPL-2.0-only
"""A machine of a campaign through its lives, and the loads that run in it."""

import re
import threading
from collections import Counter
from pathlib import Path

from lab import VM, LabError, Process, ivshmem_doorbell
from lab.agent import poll_until
from lab.console import ALARM
from lab.paths import MODULES, USERSPACE
from tests.net.card import SUBNET
from tests.vm.guest import DRIVER

# Only a hang takes as long as that.
BOUND = 180
VECTORS = 4
LOAD = USERSPACE / "tests/campaign/campaign_load"
NODE, DISK = "/dev/ivshmem0", "/dev/ivblk0"
BDF = "0000:00:10.0"
FUNCTIONS = f"/sys/bus/pci/devices/{BDF}"
KINDS = ("net", "channel", "disk")
# Each machine has so much of the disk, of which it uses the first part.
SHARE = 8 << 20

# What is waited for comes at its own time. The addresses are lost with the interface.
WAIT_NET = """
until [ -d {functions}/ivshmem.net.*/net ]; do busybox sleep 0.02; done
cd {functions}/ivshmem.net.*/net && name=$(echo *) &&
    ip link set "$name" up && ip address replace {address}/24 dev "$name" || exit
"""
WAIT_BLK = """
until [ -b {disk} ]; do busybox sleep 0.02; done
"""
INSERT = "insmod {modules}/core/ivshmem.ko || exit"
INSERT_NET = "insmod {modules}/net/ivshmem_net.ko || exit"
INSERT_BLK = "insmod {modules}/blk/ivshmem_blk.ko || exit"
# Who has the disk or the device open is told that it is gone, and closes it.
TAKE_BLK = """
for function in /sys/bus/auxiliary/devices/ivshmem.blk.*; do
    echo ${{function##*/}} > /sys/bus/auxiliary/drivers/ivshmem_blk.blk/unbind || exit
done
until rmmod ivshmem_blk 2>/run/rmmod; do busybox sleep 0.02; done
"""
TAKE_ALL = """
for device in {driver}/0000:*; do
    echo ${{device##*/}} > {driver}/unbind || exit
done
for module in ivshmem_net ivshmem_blk ivshmem; do
    until rmmod $module 2>/run/rmmod; do busybox sleep 0.02; done
done
"""


def next_boot(text: str) -> int:
    """Where the next kernel begins to speak: its clock begins anew."""
    clock = 0.0
    for line in re.finditer(r"^\[ *(\d+\.\d+)\].*$", text, re.M):
        if float(line[1]) < clock:
            return line.start()
        clock = float(line[1])
    return len(text)


class Failed(Exception):
    """What a campaign is there to find."""


class Machine:
    """One of them; @number is that of its address, of its part of the disk and so on.

    Its device is at the server behind @socket; a second one, if any, at that behind @more.
    """

    def __init__(self, number: int, count: int, socket: Path, directory: Path,
                 more: Path | None = None) -> None:
        self.number = number
        self.count = count
        self.name = "abcdefgh"[number - 1]
        self.devices = [ivshmem_doorbell(socket, VECTORS, addr="0x10")]
        if more:
            self.devices.append(ivshmem_doorbell(more, VECTORS, addr="0x11", id="second"))
        self.directory = directory
        self.told = 0
        self.lives = 0
        self.loads: dict[str, Process] = {}
        self.loops: list[str] = []
        # Of loads that have ended
        self.before: Counter[str] = Counter()
        # What was said before any module of ours was there
        self.hiccups: list[str] = []
        # Held by who treats it badly; who only looks at it does not wait.
        self.lock = threading.Lock()
        self.vm: VM

    # Life

    def power_on(self) -> None:
        """Begin a life; in the main thread, with which QEMU ends."""
        self.lives += 1
        self.vm = VM(self.name, self.devices,
                     memory="384M", no_reboot=False,
                     directory=self.directory / f"{self.name}-{self.lives}")
        self.vm.start(wait=False)

    def up(self) -> bool:
        """Wait until it is up; False, and it is noted, if that takes too long.

        A host that has much else to do does not get a machine up in time.
        """
        try:
            self.vm.wait_ready()
        except (LabError, TimeoutError) as error:
            self.hiccups.append(f"{self.name}: tried again: {str(error).splitlines()[0]}")
            self.vm.kill()
            return False
        self._note_hiccups()
        return True

    def begin(self) -> None:
        """Have it work, which is up."""
        self.script(INSERT, INSERT_NET, INSERT_BLK, WAIT_NET, WAIT_BLK)
        self.start_loads()
        self.keep_running(self.loops)

    def kill(self) -> None:
        """End QEMU as if the power failed."""
        self.vm.kill()
        self._collect()
        if self.vm.console.alarms():
            raise Failed(f"{self.name}: its console was alarming\n{self.evidence()}")

    def reset(self) -> None:
        """Press its button."""
        self.judge()
        self.vm.reset()
        text = self.vm.console.text()[self.vm.console.seen:]
        before = text[:next_boot(text)]
        if ALARM.search(before):
            raise Failed(f"{self.name}: alarming before its reset\n{self.evidence()}")
        self.vm.console.seen += len(before)
        self._note_hiccups()
        self._collect()
        self.begin()

    def panic(self) -> None:
        """Have its kernel panic, and boot again by itself."""
        self.judge()
        self.vm.forget_events("RESET")
        # An order that is not answered would be given again.
        order = self.vm.share / "panic"
        self.vm.spawn("until [ -e /mnt/share/panic ]; do busybox sleep 0.05; done; "
                      "echo c > /proc/sysrq-trigger")
        order.touch()
        self.vm.wait_reset(BOUND)
        order.unlink()
        self._collect()
        self._skip_panic()
        self._note_hiccups()
        self.begin()

    def _skip_panic(self) -> None:
        """No alarm up to the next kernel's start but the panic that was ordered."""
        text = self.vm.console.text()[self.vm.console.seen:]
        before, ordered, panic = text.partition("sysrq: Trigger a crash")
        if not ordered or ALARM.search(before):
            raise Failed(f"{self.name}: another panic than was ordered\n{self.evidence()}")
        self.vm.console.seen += len(before) + len(ordered) + next_boot(panic)

    def _note_hiccups(self) -> None:
        """Emulated processors can run what another one is about to patch, at boot."""
        text = self.vm.console.text()
        self.hiccups += [line for line in text[self.vm.console.seen:].splitlines()
                         if ALARM.search(line)]
        self.vm.console.seen = len(text)

    def script(self, *parts: str) -> None:
        """Run parts of scripts in the guest."""
        text = "\n".join(parts).format(
            modules=MODULES / self.vm.kernel.release / "drivers", functions=FUNCTIONS,
            address=f"{SUBNET}.{self.number}", disk=DISK, driver=DRIVER)
        self.vm.run(text, BOUND)

    # Loads

    def start_loads(self, kinds: tuple[str, ...] = KINDS) -> None:
        """Start what runs all the time."""
        for kind in kinds:
            status = f"/mnt/share/{kind}"
            words = {"net": [self.number, self.count],
                     "channel": [self.number, NODE],
                     "disk": [DISK, (self.number - 1) * SHARE // 512, self.told]}[kind]
            self.loads[kind] = self.vm.spawn([str(LOAD), kind, status, *map(str, words)])

    def keep_running(self, loops: list[str]) -> None:
        """Run scripts that do not end, in this life and in those to come."""
        self.loops = loops
        for loop in loops:
            self.vm.spawn(loop)

    def kill_loads(self, kinds: tuple[str, ...]) -> None:
        """End loads as a crash does."""
        pids = " ".join(f"-{self.loads[kind].pid}" for kind in kinds)
        self.vm.run(f"kill -KILL -- {pids}")
        for kind in kinds:
            self.loads[kind].wait(BOUND)
        self._collect(kinds)

    def _collect(self, kinds: tuple[str, ...] = KINDS) -> None:
        """Take over what loads have counted that have ended."""
        for kind in kinds:
            self.before.update(self._said(kind))
            if kind == "disk":
                path = self.vm.share / "disk.told"
                self.told = max(self.told, int(path.read_text() or 0) if path.exists() else 0)
            (self.vm.share / kind).unlink(missing_ok=True)

    def _said(self, kind: str) -> Counter[str]:
        path = self.vm.share / kind
        words = path.read_text(errors="replace").split() if path.exists() else []
        if len(words) % 2:
            return Counter()
        return Counter({f"{kind} {name}": int(value)
                        for name, value in zip(words[::2], words[1::2])})

    def counters(self) -> Counter[str]:
        """What its loads have counted, in all lives."""
        self._raise_wrong()
        total = Counter(self.before)
        for kind in KINDS:
            total.update(self._said(kind))
        return total

    def progress(self) -> dict[str, int]:
        """What has to grow if all loads run: messages from each other, the disk."""
        found = self.counters()
        others = [number for number in range(1, self.count + 1) if number != self.number]
        names = [f"{kind} messages{number}" for kind in ("net", "channel")
                 for number in others] + ["disk messages0", "disk acknowledged"]
        return {name: found[name] for name in names}

    def _raise_wrong(self) -> None:
        for path in self.vm.share.glob("*.wrong"):
            if text := path.read_text().strip():
                raise Failed(f"{self.name}: {text}\n{self.evidence()}")

    # Judgement

    def judge(self) -> None:
        """Nothing of data may be wrong, nothing alarming on the console."""
        self._raise_wrong()
        if alarms := self.vm.console.alarms():
            raise Failed(f"{self.name}: its console is alarming:\n{alarms}")
        if not self.vm.alive:
            raise Failed(f"{self.name}: QEMU has ended\n{self.evidence()}")

    def evidence(self) -> str:
        """What is known of it."""
        said = [self.vm.evidence()]
        for kind, load in self.loads.items():
            code = load.returncode
            said.append(f"{kind}: {self._said(kind)}"
                        + (f", has ended: {code} {load.stderr}" if code is not None else ""))
        return "\n".join(said)

    def wait_paused(self) -> None:
        """Wait until its processors stand."""
        poll_until(lambda: not self.vm.qmp("query-status")["running"], BOUND, "a pause")
