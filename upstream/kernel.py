# SPDX-License-Identifier: GPL-2.0-only
"""The newest kernel that Debian has the sources of, and builds of it, below build/upstream.

It is fetched once, from the backports of the newest release that is supported, and built
by the compilers of the host: its own build tools are built, too.
"""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab import matrix
from lab.debian import Apt, locked
from lab.log import LabError, say
from lab.paths import BUILD

from . import parts

HERE = BUILD / "upstream"
TREE = HERE / "linux"
# The kernel's files that are changed, as they were
ORIGINALS = HERE / "originals"
# Large, and needed by nothing that is built here
LEFT_OUT = ("drivers/gpu/drm/amd/*.[ch]", "drivers/gpu/drm/nouveau/*.[ch]", "arch/*/boot/dts/*",
            "Documentation/devicetree/*", "tools/perf/*", "sound/soc/*.[ch]")
# Seconds between two words about what is going on
SILENCE = 20


@dataclass(frozen=True)
class Build:
    """How the kernel is configured and built."""

    name: str
    # Of the drivers' options: "y" or "m"
    kind: str
    # Debian's name of the processor; builds for one share what is made
    architecture: str
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def objects(self) -> Path:
        """Folder of what is made."""
        return HERE / f"objects-{self.architecture}"


# What the drivers need, and what they look at
BASE = ("MODULES", "PCI", "PCI_MSI", "NET", "INET", "NETDEVICES", "BLOCK", "BLK_DEV", "EXPERT",
        "DEBUG_FS", "SYNC_FILE", "VIRT_DRIVERS", "SMP", "TRANSPARENT_HUGEPAGE", "FTRACE",
        "PM", "SUSPEND", "BPF_SYSCALL")
DRIVERS = ("IVSHMEM", "IVSHMEM_NET", "IVSHMEM_BLK")
# What a guest of the lab is booted with
GUEST = ("64BIT", "TTY", "SERIAL_8250", "SERIAL_8250_CONSOLE", "PRINTK", "BLK_DEV_INITRD",
         "BINFMT_ELF", "BINFMT_SCRIPT", "TMPFS", "DEVTMPFS", "PROC_FS", "SYSFS", "ACPI", "UNIX",
         "VIRTIO_MENU", "VIRTIO_PCI", "VIRTIO_CONSOLE", "NET_9P", "NET_9P_VIRTIO",
         "NETWORK_FILESYSTEMS", "9P_FS", "PVH", "HYPERVISOR_GUEST", "OVERLAY_FS", "FUTEX", "EPOLL",
         "SIGNALFD", "TIMERFD", "POSIX_TIMERS", "SHMEM", "MULTIUSER", "HIGH_RES_TIMERS", "PACKET",
         "KALLSYMS", "BUG", "FILE_LOCKING", "ADVISE_SYSCALLS", "MEMBARRIER", "AIO", "IO_URING",
         "HW_RANDOM", "HW_RANDOM_VIRTIO", "RD_GZIP", "RTC_CLASS", "FUSE_FS", "VIRTIO_FS")
BUILDS = {build.name: build for build in [
    Build("modules", "m", "amd64", options=GUEST),
    Build("built-in", "y", "amd64", options=GUEST),
    Build("32-bit", "m", "i386", ("ARCH=i386",)),
    Build("big-endian", "m", "s390x", ("ARCH=s390", "CROSS_COMPILE=s390x-linux-gnu-")),
]}


def tree() -> Path:
    """The kernel's sources, fetched and unpacked on the first call."""
    if not (ORIGINALS / "version").exists():
        with locked("fetch-upstream"):
            if not (ORIGINALS / "version").exists():
                _unpack()
    return TREE


def version() -> str:
    """Of the kernel, as "7.3.4"."""
    return (ORIGINALS / "version").read_text().strip()


def _unpack() -> None:
    suite = matrix.KERNELS["newest"].suite
    apt = Apt.of(suite)
    package = max((name for name in apt.packages("linux-source-")
                   if re.fullmatch(r"linux-source-\d+\.\d+", name)),
                  key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
    HERE.mkdir(parents=True, exist_ok=True)
    fetched, partial = HERE / "package", HERE / "linux.partial"
    say(f"fetching {package} of Debian {suite} once (167 MB; over 1 GB unpacked)")
    apt.unpack([package], fetched)
    archive = next(fetched.glob("usr/src/linux-source-*.tar.xz"))
    say(f"unpacking {archive.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    subprocess.run(["tar", "-x", "--use-compress-program=xz -T0", "--strip-components=1",
                    "-f", archive, "-C", partial, "--wildcards",
                    *(f"--exclude=*/{name}" for name in LEFT_OUT)], check=True)
    shutil.rmtree(fetched)
    shutil.rmtree(TREE, ignore_errors=True)
    partial.rename(TREE)
    for name in parts.edited():
        (ORIGINALS / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, ORIGINALS / name)
    (ORIGINALS / "version").write_text(f"{release_of(TREE)}\n")


def release_of(folder: Path) -> str:
    """Version of the kernel whose sources are in @folder."""
    try:
        text = (folder / "Makefile").read_text(encoding="utf-8")
        return ".".join(re.findall(r"(?m)^(?:VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", text)[:3])
    except OSError:
        return ""


def configure(build: Build, drivers: tuple[str, ...] = DRIVERS) -> Path:
    """Folder of the objects of a build, configured with the drivers that there are."""
    objects = build.objects
    objects.mkdir(parents=True, exist_ok=True)
    options = (*BASE, *build.options)
    wanted = "".join([*(f"CONFIG_{name}=y\n" for name in options),
                      *(f"CONFIG_{name}={build.kind}\n" for name in drivers)])
    stamp = objects / "wanted"
    if stamp.exists() and stamp.read_text() == wanted and (objects / ".config").exists():
        make(build, ["olddefconfig"])
    else:
        stamp.write_text(wanted)
        make(build, [f"KCONFIG_ALLCONFIG={stamp}", "allnoconfig"])
    config = (objects / ".config").read_text().splitlines()
    lacking = [name for name in drivers if f"CONFIG_{name}={build.kind}" not in config]
    if lacking:
        raise LabError(f"{build.name}: cannot be configured with {', '.join(lacking)}")
    return objects


def make(build: Build, arguments: list[str], warn: bool = False) -> str:
    """What a make of the kernel says, telling every now and then that it goes on.

    With @warn all that W=1 finds is an error.
    """
    command = ["make", f"-j{len(os.sched_getaffinity(0))}", f"O={build.objects}", *build.arguments,
               *(["W=1", "KCFLAGS=-Werror"] if warn else []), *arguments]
    lines: list[str] = []
    said = time.monotonic()
    with subprocess.Popen(command, cwd=TREE, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, LC_ALL="C")) as running:
        assert running.stdout
        for line in running.stdout:
            lines.append(line)
            if time.monotonic() > said + SILENCE:
                said = time.monotonic()
                say(f"{build.name}: {len(lines)} steps; {' '.join(line.split())}")
    if running.returncode:
        raise LabError(f"{' '.join(command)}:\n{''.join(lines[-60:])}")
    return "".join(lines)
