# SPDX-License-Identifier: GPL-2.0-only
"""What guests of another processor than the host's have: Debian's files, and our programs.

Their root file system is unpacked below build/lab/root, with the libraries and headers that
our user space is built with there, by the compilers of lab/toolchain.py.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from . import toolchain
from .debian import Apt, locked
from .log import LabError, say
from .paths import BUILD, LAB, ROOT

SUITE = "trixie"
ARCHITECTURE = "arm64"
PREFIX = "aarch64-linux-gnu"
# What the tests use in guests, and what our programs are built with
PACKAGES = ("base-files", "bash", "busybox-static", "coreutils", "dash", "e2fsprogs", "ethtool",
            "fio", "findutils", "grep", "iperf3", "iproute2", "iputils-ping", "kmod", "mawk",
            "procps", "python3-minimal", "libpython3-stdlib", "qemu-guest-agent", "sed",
            "util-linux",
            "libc6-dev", "libcmocka-dev", "libdrm-dev", "libinih-dev", "libjson-c-dev",
            "libnbd-dev", "libncurses-dev", "libnuma-dev", "libsystemd-dev", "liburing-dev",
            "libxxhash-dev")
STAMP = ".packages"
USERSPACE = BUILD / f"meson-{ARCHITECTURE}"
# What of it runs in guests
PROGRAMS = re.compile(r"lib/libivshmem[.]so.*|tools/ivshmem/ivshmem|tests/uapi/\w+")


def root() -> Path:
    """The root file system, fetched on the first call."""
    target = LAB / "root" / ARCHITECTURE
    if not _is_current(target):
        with locked("fetch"):
            if not _is_current(target):
                say(f"fetching a root file system for {ARCHITECTURE} once (110 MB)")
                target.parent.mkdir(parents=True, exist_ok=True)
                Apt.of(SUITE, ARCHITECTURE).unpack_closure(PACKAGES, target)
                # What the package would do when it is installed
                (target / "usr/bin/awk").symlink_to("mawk")
                (target / STAMP).write_text(" ".join(PACKAGES))
    return target


def _is_current(target: Path) -> bool:
    stamp = target / STAMP
    return stamp.exists() and stamp.read_text() == " ".join(PACKAGES)


def _wrapper(name: str, *words: str) -> Path:
    """A program that is one of the compilers' with some words before its arguments.

    meson looks for names that it knows among all words of a command.
    """
    path = BUILD / f"toolchain/{SUITE}-{ARCHITECTURE}" / f"{PREFIX}-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [*toolchain.command(SUITE), f"{PREFIX}-{name}", *words]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)
    return path


def _cross_file() -> str:
    """What meson has to know of it."""
    libraries = f"{root()}/usr/lib/{PREFIX}/pkgconfig"
    return f"""# {" ".join(PACKAGES)}
[binaries]
c = '{_wrapper("gcc", f"--sysroot={root()}")}'
ar = '{_wrapper("ar")}'
strip = '{_wrapper("strip")}'
pkgconfig = 'pkg-config'
[properties]
sys_root = '{root()}'
pkg_config_libdir = '{libraries}:{root()}/usr/share/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
"""


def userspace() -> Path:
    """Our programs for guests, built or brought up to date."""
    description = BUILD / f"meson-{ARCHITECTURE}.ini"
    with locked(f"build-userspace-{ARCHITECTURE}"):
        text = _cross_file()
        if not ((USERSPACE / "build.ninja").exists() and description.read_text() == text):
            shutil.rmtree(USERSPACE, ignore_errors=True)
            description.write_text(text)
            _run("meson", "setup", "--cross-file", str(description), str(USERSPACE))
        linked = _run("ninja", "-C", str(USERSPACE), "-t", "targets", "rule", "c_LINKER").split()
        _run("ninja", "-C", str(USERSPACE), *filter(PROGRAMS.fullmatch, linked))
    return USERSPACE


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, text=True, check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise LabError(f"{' '.join(map(str, command))}: failed\n{done.stdout[-3000:]}")
    return done.stdout
