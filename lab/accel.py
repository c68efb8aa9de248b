# SPDX-License-Identifier: GPL-2.0-only
"""KVM or emulation: KVM is used only after it has been seen to work.

A machine can have /dev/kvm and yet never run a guest (nested virtualisation
that is half there). So a kernel is booted under it once, and the outcome is
remembered for this boot of the host, this QEMU and this kernel.
"""

import hashlib
import json
import os
import selectors
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from . import initramfs
from .clock import tsc_khz
from .kernel import Kernel
from .log import LabError, say
from .paths import LAB

QEMU = "qemu-system-x86_64"
# Of the processors that guests are emulated with
PROGRAMS = {"amd64": QEMU, "arm64": "qemu-system-aarch64"}
SILENCE = 4.0   # seconds without a word on the console
BUDGET = 8.0    # seconds until user space must have spoken


def qemu_version() -> str:
    """First line of what QEMU says about itself."""
    try:
        done = subprocess.run([QEMU, "--version"], stdout=subprocess.PIPE, text=True,
                              check=True)
    except FileNotFoundError:
        raise LabError(f"{QEMU}: not found; run 'make setup' (package "
                       "qemu-system-x86)") from None
    return done.stdout.splitlines()[0]


def arguments(accel: str, cpus: int, architecture: str = "amd64") -> list[str]:
    """QEMU's arguments for a guest under @accel.

    An emulated guest that could never have a second CPU gets no memory barriers
    and no atomic operations from QEMU: memory shared with another guest would
    silently go wrong. Without "fast string" features the kernel copies with
    instructions that QEMU 7.2 emulates well.
    """
    if accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host", "-smp", str(cpus)]
    smp = str(cpus) if cpus > 1 else "1,maxcpus=2"
    # On the other processor the newest one computes signatures of pointers, slowly
    cpu = "max,-erms,-fsrm" if architecture == "amd64" else "cortex-a72"
    return ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", cpu, "-smp", smp]


def environment(accel: str) -> dict[str, str]:
    """QEMU's environment under @accel; see keep-eventfds.c for what it repairs."""
    if accel == "kvm":
        return dict(os.environ)
    source = Path(__file__).with_name("keep-eventfds.c")
    library = LAB / "tools" / f"keep-eventfds-{int(source.stat().st_mtime)}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        partial = library.with_suffix(f".{threading.get_native_id()}")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-fPIC", "-shared",
                        "-o", partial, source], check=True)
        partial.rename(library)
    return dict(os.environ, LD_PRELOAD=str(library))


def kernel_parameters(accel: str, architecture: str = "amd64") -> str:
    """What guest kernels under @accel are told.

    QEMU derives every emulated CPU's time stamp counter from one clock, so that
    it can be trusted; the alternative is a device access per look at the clock.
    Its frequency is told, since measuring it fails when the host is busy.

    What QEMU 7.2 has translated of a program it finds again at the same address
    only: programs are not to lie elsewhere each time that they run.
    """
    if accel == "kvm":
        return ""
    if architecture != "amd64":
        return "norandmaps"
    return f"tsc=reliable tsc_early_khz={tsc_khz()} norandmaps"


def boots(command: list[str]) -> str:
    """"" if the guest's user space speaks in time, else what went wrong."""
    start = heard = time.monotonic()
    said = b""
    # Its own session and SIGKILL: a vCPU that spins in the host's kernel
    # ignores everything milder.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True) as qemu:
        try:
            assert qemu.stdout is not None
            selector = selectors.DefaultSelector()
            selector.register(qemu.stdout, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                left = min(start + BUDGET, heard + SILENCE) - now
                if left <= 0:
                    return (f"its guest said nothing for {SILENCE:g} s"
                            if now < start + BUDGET else
                            f"its guest reached no user space in {BUDGET:g} s")
                if not selector.select(left):
                    continue
                chunk = os.read(qemu.stdout.fileno(), 65536)
                if not chunk:
                    return f"QEMU ended: {said.decode(errors='replace').strip()[-200:]}"
                said, heard = said + chunk, time.monotonic()
                if b"user space reached" in said:
                    return ""
        finally:
            qemu.kill()


def prove_kvm(kernel: Kernel) -> str:
    """Boot @kernel under KVM: "" when that works, else why it does not."""
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no permission for /dev/kvm; join the group kvm"
    say(f"trying KVM with {kernel.release} (at most {BUDGET:g} s) ...")
    with tempfile.NamedTemporaryFile(prefix="ivshmem-probe-") as initrd:
        initrd.write(initramfs.probe())
        initrd.flush()
        return boots([
            QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35", *arguments("kvm", 1), "-m", "256M",
            "-serial", "stdio", "-kernel", str(kernel.image), "-initrd", initrd.name,
            "-append", "console=ttyS0 panic=-1"])


def _memory(kernel: Kernel) -> Path:
    """The file that remembers the outcome for this host, QEMU and kernel."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    key = hashlib.sha256(f"{boot} {qemu_version()} {kernel.release}".encode())
    return LAB / "accel" / f"{key.hexdigest()[:16]}.json"


def choose(kernel: Kernel) -> tuple[str, str]:
    """The accelerator for guests of @kernel, "kvm" or "tcg", and why.

    LAB_ACCEL=kvm or LAB_ACCEL=tcg decides without a trial.
    """
    forced = os.environ.get("LAB_ACCEL", "")
    if forced:
        if forced not in ("kvm", "tcg"):
            raise LabError(f"LAB_ACCEL={forced}: unknown; use kvm or tcg")
        return forced, f"LAB_ACCEL={forced}"
    if kernel.architecture != "amd64":
        return "tcg", f"the guests' processor is {kernel.architecture}"
    memory = _memory(kernel)
    try:
        known = json.loads(memory.read_text())
        return known["accel"], known["why"]
    except (OSError, ValueError, KeyError):
        pass
    trouble = prove_kvm(kernel)
    accel = "tcg" if trouble else "kvm"
    why = f"KVM is not usable: {trouble}" if trouble else "KVM booted a guest"
    memory.parent.mkdir(parents=True, exist_ok=True)
    partial = memory.with_suffix(f".{threading.get_native_id()}")
    partial.write_text(json.dumps({"accel": accel, "why": why,
                                   "kernel": kernel.release}) + "\n")
    partial.rename(memory)
    return accel, why
