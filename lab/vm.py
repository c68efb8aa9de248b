# SPDX-License-Identifier: GPL-2.0-only
"""One virtual machine: boot it, run commands in it, treat it badly, end it."""

import base64
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable

from . import accel, debian, foreign, initramfs
from .agent import Agent, poll_until
from .console import Console
from .initramfs import GUEST
from .kernel import Kernel, get as get_kernel
from .log import LabError
from .network import Port
from .paths import LAB, MODULES, ROOT, TOOLS, USERSPACE
from .patience import patient
from .qmp import QMP, Closed
from .virtiofs import VirtioFS, shared_memory

# A guest may wait for anything that itself is bounded: many guests share few
# processors, and emulation is slow.
BOOT_TIMEOUT = 180

COMMAND_LINE = ("loglevel=5 panic=-1 oops=panic softlockup_panic=1 "
                "watchdog_thresh=60 nmi_watchdog=0 rcupdate.rcu_cpu_stall_timeout=120 "
                "net.ifnames=0 mitigations=off")

# For each processor the machine, and what its kernel is told of it
MACHINES = {
    # Newer firmware puts the windows for hot-plugged devices where it reserves
    # addresses as a certain maker's processors need it.
    "amd64": ("q35", "console=ttyS0 pci=no_e820"),
    "arm64": ("virt,gic-version=3", "console=ttyAMA0"),
}

# How the host's files are mounted, and those that change meanwhile
OPTIONS = {
    "9p": ("trans=virtio,version=9p2000.L,msize=512000,cache=loose",
           "trans=virtio,version=9p2000.L,msize=512000,cache=none"),
    "virtiofs": ("relatime", "relatime"),
}
OVERLAY_OPTIONS = "index=off,xino=off,metacopy=off,redirect_dir=off"

HOTPLUG_SLOTS = 4
# Room in each slot for the memory of a device that is plugged in later. Too much
# for the gap below 4 GiB, so that the firmware places all shared memory above
# it; of the gap it says, in the MTRRs, that it is uncached.
HOTPLUG_WINDOW = "1G"

# Sleeping, and then what QEMU's firmware forgets: where the power management
# registers are (PMBASE and its switch in the chip set).
SLEEP = """
config=/sys/bus/pci/devices/0000:00:1f.0/config
dd if=$config of=/run/pmbase bs=1 skip=64 count=5 status=none
echo mem >/sys/power/state
status=$?
dd if=/run/pmbase of=$config bs=1 seek=64 conv=notrunc status=none
exit $status
"""

# What a device stands on: how it is made and removed at run time.
_BEHIND = {"-object": ("object_add", "object_del"),
           "-chardev": ("chardev-add", "chardev-remove")}


class CommandFailed(LabError):
    """A command in a guest ended with a status that is not 0."""


class VMDied(LabError):
    """The VM ended although somebody still wanted something from it."""


@dataclass(frozen=True)
class Result:
    """How a command in a guest ended."""

    command: str
    returncode: int
    stdout: str
    stderr: str


class Process:
    """A program that runs in a guest while the caller does something else."""

    def __init__(self, vm: "VM", command: str, pid: int) -> None:
        self.vm = vm
        self.command = command
        self.pid = pid
        self.result: Result | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.result is None:
            status = self.vm.ask_agent(lambda agent: agent.status(self.pid))
            if status:
                code = -status["signal"] if "signal" in status else status["exitcode"]
                self.result = Result(self.command, code,
                                     _decode(status.get("out-data")),
                                     _decode(status.get("err-data")))
        return None if self.result is None else self.result.returncode

    def wait(self, timeout: float = 60) -> Result:
        """Wait for the end; TimeoutError after @timeout seconds."""
        poll_until(lambda: self.poll() is not None, timeout,
                   f"{self.vm.name}: {self.command}")
        assert self.result is not None
        return self.result

    def kill(self, signal_name: str = "KILL") -> None:
        """Send a signal to the program and all that it started."""
        if self.poll() is None:
            # The shell's own: a small host has no other, nor has its guest
            self.vm.run(f"kill -s {signal_name} -- -{self.pid}", check=False)

    @property
    def returncode(self) -> int | None:
        """The exit status, once poll() or wait() has seen the end."""
        return self.result.returncode if self.result else None

    @property
    def stdout(self) -> str:
        """What the program wrote, known after its end."""
        return self.result.stdout if self.result else ""

    @property
    def stderr(self) -> str:
        """What the program wrote to standard error, known after its end."""
        return self.result.stderr if self.result else ""


def _decode(base64_text: str | None) -> str:
    return base64.b64decode(base64_text or "").decode(errors="replace")


def _flatten(devices: Iterable[str | Iterable[str]]) -> list[str]:
    """Extra QEMU arguments: "-device x" strings are split, lists kept."""
    words: list[str] = []
    for device in devices:
        words += shlex.split(device) if isinstance(device, str) else map(str, device)
    return words


def _enough(memory: str, kernel: Kernel) -> str:
    """A kernel that checks itself keeps account of all its memory."""
    number, unit = int(memory[:-1]), memory[-1]
    return f"{number * 2 if kernel.checks_itself else number}{unit}"


class VM:
    """A virtual machine whose root file system is a copy of the host's.

    One of another processor has Debian's files for that instead (lab/foreign.py), and our
    own programs as they were built for it, in the place where the host has its own.

    Everything of the host is visible and, for the guest alone, writable; the
    changes are gone at the end. The project's tree is at its own path and
    follows the host's changes; /mnt/share is `share` on the host, for both to
    write. One VM object is one run of QEMU.

    With root="memory" the guest has only its memory: bash, busybox, our module,
    and @programs with their libraries, each under its own name. Such a guest
    can sleep; one whose files come over virtio-9p would not wake.

    With a folder as @root that is its root file system, and the init there runs; what is
    in @layers, folders of the project's tree, is there, too. It needs qemu-guest-agent.

    For each of @ports, which are those of a Network, it has a network card.
    @mode is "kvm" or "tcg" for who cannot do with what the lab chooses.
    """

    def __init__(self, name: str, devices: Iterable[str | Iterable[str]] = (), *,
                 memory: str = "512M", kernel: Kernel | None = None, smp: int = 1,
                 append: str = "", no_reboot: bool = True, machine: str = "",
                 terminal: bool = False, root: str | Path = "host", layers: Iterable[Path] = (),
                 programs: Iterable[Path | str] = (), window: str = HOTPLUG_WINDOW,
                 ports: Iterable[Port] = (), mode: str = "",
                 directory: Path | None = None) -> None:
        self.name = name
        self.devices = _flatten(devices)
        self.kernel = kernel or get_kernel()
        self.memory = _enough(memory, self.kernel)
        self.smp = smp
        self.append = append
        self.no_reboot = no_reboot
        self.machine = machine
        self.window = window
        self.ports = list(ports)
        self.mode = mode
        self.root = root
        self.layers = list(layers)
        self.programs = [Path(program) for program in programs]
        self.has_terminal = terminal
        self.terminal: socket.socket | None = None
        self.directory = directory or LAB / "vm" / f"{name}-{os.getpid()}"
        self.share = self.directory / "share"
        self.console = Console(self.directory / "console.log")
        self.boot_seconds = 0.0
        self._qemu: subprocess.Popen | None = None
        self._qmp: QMP | None = None
        self._agent: Agent | None = None
        self._agent_open = False
        self._sleeper: Process | None = None
        self._behind: dict[str, list[str]] = {}
        self._shares: list[VirtioFS] = []

    # Start and end

    def start(self, wait: bool = True) -> "VM":
        """Start QEMU and, unless told otherwise, wait until commands run."""
        if self._qemu:
            raise LabError(f"{self.name}: was started already")
        mode = self.mode or accel.choose(self.kernel)[0]
        shutil.rmtree(self.directory, ignore_errors=True)
        self.share.mkdir(parents=True)
        far: dict[str, socket.socket] = {}
        qmp, far["qmp"] = socket.socketpair()
        agent, far["agent"] = socket.socketpair()
        if self.has_terminal:
            self.terminal, far["terminal"] = socket.socketpair()
        self._qmp = QMP(qmp)
        self._agent = Agent(agent)
        command = self._command(mode, {name: end.fileno() for name, end in far.items()})
        (self.directory / "command").write_text(shlex.join(command) + "\n")
        self._started = time.monotonic()
        with open(self.directory / "qemu.log", "wb") as log:
            # Its own session: Ctrl-C is for us, who then end it in order; and
            # should we die without, the kernel ends it.
            self._qemu = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=accel.environment(mode),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[*(end.fileno() for end in far.values()),
                          *(port.fd for port in self.ports)],
                start_new_session=True)
        for end in far.values():
            end.close()
        if wait:
            self.wait_ready()
        return self

    def _command(self, mode: str, fds: dict[str, int]) -> list[str]:
        initrd = self.directory / "initrd"
        initrd.write_bytes(initramfs.build(self.kernel)
                           + initramfs.settings(self._settings())
                           + self._memory_files())
        architecture = self.kernel.architecture
        machine, parameters = MACHINES[architecture]
        words = " ".join([COMMAND_LINE, parameters, accel.kernel_parameters(mode, architecture),
                          self.kernel.parameters, self.append])
        command = [
            accel.PROGRAMS[architecture], "-name", self.name, "-nodefaults", "-no-user-config",
            "-display", "none", "-machine", machine + self.machine,
            *accel.arguments(mode, self.smp, architecture), "-m", self.memory,
            *self._boot(initrd, words),
            "-chardev", f"file,id=console,path={self.console.path}",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,fd={fds['qmp']}", "-mon", "chardev=qmp,mode=control",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,fd={fds['agent']}",
            # The guest, who has no udev, knows it as /dev/vport0p1.
            "-device", "virtserialport,chardev=agent,id=agent,nr=1,"
                       "name=org.qemu.guest_agent.0"]
        if self.has_terminal:
            command += ["-chardev", f"socket,id=terminal,fd={fds['terminal']}",
                        "-device", "virtconsole,chardev=terminal,nr=0"]
        if self.no_reboot:
            command.append("-no-reboot")
        if self.root != "memory":
            command += self._file_systems()
        for slot in range(HOTPLUG_SLOTS):
            command += ["-device", f"pcie-root-port,id=slot{slot},chassis={slot + 1},"
                                   f"slot={slot + 1},pref64-reserve={self.window}"]
        for port in self.ports:
            command += port.arguments
        return command + self.devices

    def _boot(self, initrd: Path, parameters: str) -> list[str]:
        """How the kernel gets into the machine, and what it is told."""
        image = self.kernel.boot_image if self.root == "memory" else self.kernel.image
        return ["-kernel", str(image), "-initrd", str(initrd), "-append", parameters]

    def _file_systems(self) -> list[str]:
        """What the guest sees of the host."""
        path = "/" if self.kernel.architecture == "amd64" else str(foreign.root())
        if self.root != "host":
            path = str(self.root)
        shares = [("root", path, True), ("tree", str(ROOT), True),
                  ("share", str(self.share), False)]
        if initramfs.transport(self.kernel) == "virtiofs":
            self._shares = [VirtioFS(tag, Path(folder), self.directory)
                            for tag, folder, _ in shares]
            return shared_memory(self.memory) + [word for share in self._shares
                                                 for word in share.arguments]
        arguments: list[str] = []
        for tag, path, read_only in shares:
            access = ",readonly=on" if read_only else ""
            arguments += ["-fsdev", f"local,id={tag},path={path},security_model=none,"
                                  f"multidevs=remap{access}",
                        "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        return arguments

    def _memory_files(self) -> bytes:
        """What a guest that has only its memory finds there."""
        if self.root != "memory":
            return b""
        if self.kernel.architecture != "amd64":
            raise LabError(f"{self.name}: a guest with only memory has the host's programs, "
                           "which its processor cannot run")
        fixed = [Path("/bin/bash"), Path("/usr/bin/setsid"), Path("/bin/busybox"),
                 GUEST / "start", self._agent_program()]
        module = [self.module] if self.module.exists() else []
        return initramfs.files([*fixed, *module, *self.programs])

    def _agent_program(self) -> Path:
        if self.kernel.architecture != "amd64":
            return Path("/usr/sbin/qemu-ga")
        return debian.unpacked("qemu-guest-agent", TOOLS / "qemu-guest-agent",
                               "usr/sbin/qemu-ga")

    def _settings(self) -> dict[str, str]:
        """What lab/guest/init wants to know."""
        transport = initramfs.transport(self.kernel)
        own = self.kernel.architecture == "amd64"
        return {
            "transport": transport,
            # What is at the place of the programs that the host has built for itself
            "programs": "" if own else str(foreign.userspace()),
            "root_kind": "folder" if isinstance(self.root, Path) else self.root,
            "layers": ":".join(f"/tree/{layer.relative_to(ROOT)}" for layer in self.layers),
            "name": self.name,
            "tree": str(ROOT),
            "userspace": str(USERSPACE),
            "modules": str(self.kernel.modules),
            "agent": str(self._agent_program()),
            "busybox": "/bin/busybox",
            "root_options": OPTIONS[transport][0],
            "live_options": OPTIONS[transport][1],
            "overlay_options": OVERLAY_OPTIONS,
        }

    def wait_ready(self, timeout: float = BOOT_TIMEOUT) -> "VM":
        """Wait until the guest takes commands."""
        deadline = time.monotonic() + patient(timeout)
        while not self._agent_is_open():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: not up in {timeout:g} s\n"
                                   + self.evidence())
            # An event comes when the agent opens its port, unless that was
            # before this monitor listened.
            self._watch(lambda qmp: qmp.poll_events(0.2))
        self.ask_agent(lambda agent: agent.call("guest-ping", timeout))
        # QEMU has read it; a reset does not read it again.
        (self.directory / "initrd").unlink(missing_ok=True)
        if not self.boot_seconds:
            if self.kernel.checks_itself:
                # What it has found before any of ours came
                self.console.alarms()
                self.console.reports.clear()
            self.boot_seconds = time.monotonic() - self._started
        return self

    def start_again(self) -> "VM":
        """Start one that has ended, from the beginning; see start()."""
        if self.ports:
            raise LabError(f"{self.name}: what its network cards were connected to is gone")
        self.kill()
        self._qemu = None
        self.console.seen = 0
        return self.start()

    def kill(self) -> None:
        """End QEMU at once (SIGKILL), as if the power failed."""
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
            for share in self._shares:
                share.kill()
            for connection in (self._qmp, self._agent):
                if connection:
                    connection.lines.sock.close()
            if self.terminal:
                self.terminal.close()

    def powerdown(self, timeout: float = 60) -> None:
        """Power the guest off in order and wait until QEMU is gone."""
        self.ask_agent(lambda agent: agent.spawn(["/bin/busybox", "poweroff", "-f"], {}))
        self.wait_end(timeout)

    def wait_end(self, timeout: float = 60) -> None:
        """Wait until QEMU has ended by itself."""
        assert self._qemu
        try:
            self._qemu.wait(patient(timeout))
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name}: still runs after {timeout:g} s\n"
                               + self.evidence()) from None

    def __enter__(self) -> "VM":
        return self if self._qemu else self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    # What is known about it

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        assert self._qemu, f"{self.name}: not started"
        return self._qemu.pid

    @property
    def alive(self) -> bool:
        """Whether QEMU runs."""
        return self._qemu is not None and self._qemu.poll() is None

    @property
    def answers(self) -> bool:
        """Whether it runs, neither paused nor asleep, and takes commands."""
        return (self.alive and self._agent_open
                and self.qmp("query-status")["status"] == "running")

    @property
    def log_path(self) -> Path:
        """The file with everything that the guest's console said."""
        return self.console.path

    def evidence(self) -> str:
        """The ends of the logs, for messages."""
        qemu = (self.directory / "qemu.log").read_text(errors="replace").strip()
        return (f"--- {self.log_path}\n{self.console.tail()}\n"
                + (f"--- {self.directory / 'qemu.log'}\n{qemu}\n" if qemu else ""))

    # QEMU's monitor

    def _agent_is_open(self) -> bool:
        """Whether the guest agent has opened its end of the channel."""
        if not self._agent_open:
            self._agent_open = any(device["label"] == "agent" and device["frontend-open"]
                                   for device in self.qmp("query-chardev"))
        return self._agent_open

    def _watch(self, use: Any) -> Any:
        """use(monitor), with the end of QEMU told as such."""
        if self._qmp is None:
            raise LabError(f"{self.name}: not started")
        try:
            return use(self._qmp)
        except Closed as error:
            raise self._died() from error

    def _died(self) -> VMDied:
        assert self._qemu
        try:
            status: int | None = self._qemu.wait(5)
        except subprocess.TimeoutExpired:
            status = None
        how = ("lost its connection" if status is None else
               f"was ended by {signal.Signals(-status).name}" if status < 0 else
               f"ended with status {status}")
        return VMDied(f"{self.name}: QEMU {how}\n" + self.evidence())

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Execute a monitor command; underscores in names stand for dashes."""
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self._watch(lambda qmp: qmp.command(command, arguments))

    def wait_event(self, name: str, timeout: float = 60,
                   match: Any = lambda data: True) -> dict:
        """Wait for (or take, if it was there already) an event of QEMU."""
        return self._watch(lambda qmp: qmp.wait_event(name, timeout, match))

    def forget_events(self, name: str) -> None:
        """Drop the events of QEMU that have come so far: firmware may reset a guest twice."""
        # The events before an answer have come with it.
        self.qmp("query-status")
        self._watch(lambda qmp: qmp.forget_events(name))

    def pause(self) -> None:
        """Stop the guest's CPUs."""
        self.qmp("stop")

    def cont(self) -> None:
        """Let the guest's CPUs go on."""
        self.qmp("cont")

    def reset(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Press the reset button and wait until the guest is up again."""
        if self.no_reboot:
            raise LabError(f"{self.name}: was started with no_reboot=True, a reset "
                           "would end it")
        self.forget_events("RESET")
        self.qmp("system_reset")
        self.wait_reset(timeout)

    def wait_reset(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Wait until a guest that resets itself, as after a panic, is up again.

        A reset that nobody has waited for counts, unless forget_events() came between.
        """
        self.wait_event("RESET", timeout)
        self._agent_open = False
        self.wait_ready(timeout)

    # Commands in the guest

    def ask_agent(self, use: Any) -> Any:
        """use(agent), with the end of QEMU told as such."""
        if self._agent is None:
            raise LabError(f"{self.name}: not started")
        if not self._agent_open:
            self.wait_ready()
        try:
            return use(self._agent)
        except Closed as error:
            raise self._died() from error

    def spawn(self, command: str | list[str], env: dict[str, str] | None = None,
              stdin: str | bytes = b"") -> Process:
        """Start a command (a string goes through bash) and do not wait."""
        argv = ["/bin/bash", "-c", command] if isinstance(command, str) else command
        shown = command if isinstance(command, str) else shlex.join(command)
        given = stdin.encode() if isinstance(stdin, str) else stdin
        pid = self.ask_agent(lambda agent: agent.spawn(list(argv), env or {}, given))
        return Process(self, shown, pid)

    def run(self, command: str | list[str], timeout: float = 60, check: bool = True,
            env: dict[str, str] | None = None, stdin: str | bytes = b"") -> Result:
        """Run a command and wait for its end.

        CommandFailed if it fails and @check is set; TimeoutError (and the
        command is killed) after @timeout seconds.
        """
        process = self.spawn(command, env, stdin)
        try:
            result = process.wait(timeout)
        except TimeoutError:
            process.kill()
            raise
        if check and result.returncode:
            raise CommandFailed(f"{self.name}: {result.command}: exit status "
                                f"{result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def wait_for(self, command: str | list[str], timeout: float = 60) -> Result:
        """Run a command again and again until it succeeds."""
        def succeeds() -> Result | None:
            result = self.run(command, timeout, check=False)
            return None if result.returncode else result
        return poll_until(succeeds, timeout, f"{self.name}: {command}")

    def wait_console(self, regex: str, timeout: float = 60) -> re.Match:
        """Wait until the console's log has a match."""
        return poll_until(lambda: re.search(regex, self.console.text(), re.M), timeout,
                          f"{self.name}: console: {regex}")

    # The driver

    @property
    def module(self) -> Path:
        """Our module, built for this guest's kernel."""
        return MODULES / self.kernel.release / "drivers/core/ivshmem.ko"

    def load_driver(self, parameters: str = "") -> None:
        """Load our module."""
        if not self.module.exists():
            raise LabError(f"{self.module}: not built; run 'make modules "
                           f"KDIR={self.kernel.headers}'")
        self.run(f"insmod {self.module} {parameters}".strip())

    # Sleep

    def sleep(self, timeout: float = 60) -> None:
        """Suspend the guest to memory (ACPI S3); it needs root="memory"."""
        if self.root != "memory":
            raise LabError(f"{self.name}: only a VM with root='memory' can sleep")
        self._sleeper = self.spawn(SLEEP)
        self.wait_event("SUSPEND", timeout)

    def wake(self, timeout: float = 60) -> None:
        """Wake a guest that sleeps, and wait until it takes commands."""
        self.qmp("system_wakeup")
        self.wait_event("WAKEUP", timeout)
        self._agent_open = False
        self.wait_ready(timeout)
        assert self._sleeper
        if self._sleeper.wait(timeout).returncode:
            raise LabError(f"{self.name}: did not sleep: {self._sleeper.stderr}")

    def resume(self, device: str, timeout: float = 120) -> None:
        """Go on as the machine that has hibernated to @device in an earlier run of QEMU."""
        assert self._agent
        self.spawn(f'echo "$(cat /sys/block/{Path(device).name}/dev)" > /sys/power/resume')
        self.wait_console("PM: hibernation: hibernation exit", timeout)
        # Another agent, who has not heard what was said to the one before
        self._agent = Agent(self._agent.lines.sock)
        self._agent_open = False
        self.wait_ready(timeout)

    # Hot-plug

    def add_device(self, arguments: Iterable[str], slot: int = 0) -> str:
        """Plug a device, given as for a start, into a free slot; its id.

        Slots are numbered 0 to 3. What the device stands on (memory, character
        device) is made for it and goes with it.
        """
        words = _flatten([arguments])
        parts = list(zip(words[::2], words[1::2]))
        device = ""
        behind = []
        for option, value in parts:
            ident = re.search(r"\bid=([^,]+)", value)
            assert ident, f"{value}: needs an id"
            if option == "-device":
                device = ident[1]
                self._hmp(f"device_add {value},bus=slot{slot}")
            else:
                add, remove = _BEHIND[option]
                self._hmp(f"{add} {value}")
                behind.append(f"{remove} {ident[1]}")
        self._behind[device] = behind
        return device

    def remove_device(self, ident: str, timeout: float = 60) -> None:
        """Ask the guest to give up a device and wait until it is gone."""
        self.qmp("device_del", id=ident)
        self.wait_event("DEVICE_DELETED", timeout,
                        lambda event: event.get("device") == ident)
        for command in self._behind.pop(ident, []):
            self._hmp(command)

    def _hmp(self, command: str) -> None:
        """A command of the human monitor, which takes arguments as at start."""
        answer = self.qmp("human-monitor-command", command_line=command).strip()
        if answer:
            raise LabError(f"{self.name}: {command}: {answer}")
