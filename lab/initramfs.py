# SPDX-License-Identifier: GPL-2.0-only
"""The guests' first file system: busybox, a few modules, and lab/guest/init.

Written as an uncompressed "newc" cpio archive: unpacking one costs an emulated
guest much less than decompressing it.
"""

import hashlib
import re
import shlex
import shutil
import stat
import subprocess
import threading
from pathlib import Path
from typing import Iterable

from . import foreign
from .kernel import Kernel, read_module
from .log import LabError
from .paths import LAB

GUEST = Path(__file__).resolve().parent / "guest"

# What a guest needs before it sees the host's files: the transport, the
# channel of the guest agent, the file systems.
MODULES = ["virtio_pci", "virtio_console", "overlay"]
TRANSPORTS = {"9p": ["9p", "9pnet_virtio"], "virtiofs": ["virtiofs"]}


class Cpio:
    """An archive in the "newc" format that the kernel unpacks at boot."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.inode = 0

    def _add(self, name: str, mode: int, content: bytes) -> None:
        self.inode += 1
        path = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0,
                  len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self.parts.append(head + b"\0" * (-len(head) % 4))
        self.parts.append(content + b"\0" * (-len(content) % 4))

    def folder(self, name: str) -> None:
        """Add an empty directory."""
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self._add(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def archive(self) -> bytes:
        """The whole archive."""
        self._add("TRAILER!!!", 0, b"")
        whole = b"".join(self.parts)
        return whole + b"\0" * (-len(whole) % 512)


def transport(kernel: Kernel) -> str:
    """The file system by which guests see the host's files: 9p, or virtiofs without it."""
    return "9p" if kernel.config("CONFIG_NET_9P") else "virtiofs"


def busybox(architecture: str = "amd64") -> Path:
    """The host's statically linked busybox, or that of guests of another processor."""
    if architecture != "amd64":
        return foreign.root() / "usr/bin/busybox"
    found = shutil.which("busybox", path="/bin:/usr/bin")
    if not found:
        raise LabError("busybox: not found; run 'make setup' (package "
                       "busybox-static)")
    content = Path(found).read_bytes()
    if b"/lib64/ld-linux" in content[:4096]:
        raise LabError(f"{found}: is dynamically linked; install busybox-static")
    return Path(found)


def _skeleton(init: Path, architecture: str = "amd64") -> Cpio:
    cpio = Cpio()
    for folder in ("bin", "dev", "proc", "sys", "modules", "host", "root", "lab"):
        cpio.folder(folder)
    cpio.file("bin/busybox", busybox(architecture).read_bytes(), 0o755)
    cpio.link("bin/sh", "busybox")
    cpio.file("init", init.read_bytes(), 0o755)
    return cpio


def build(kernel: Kernel) -> bytes:
    """The archive for guests of @kernel, made anew when what is in it changed."""
    modules = kernel.with_dependencies(MODULES + TRANSPORTS[transport(kernel)])
    key = hashlib.sha256()
    for path in (GUEST / "init", busybox(kernel.architecture), Path(__file__), *modules):
        status = path.stat()
        key.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    cached = LAB / "initramfs" / f"{kernel.release}-{key.hexdigest()[:12]}.cpio"
    try:
        return cached.read_bytes()
    except FileNotFoundError:
        pass
    cpio = _skeleton(GUEST / "init", kernel.architecture)
    for number, path in enumerate(modules):
        name = path.name.split(".ko")[0]
        cpio.file(f"modules/{number:02}-{name}.ko", read_module(path))
    archive = cpio.archive()
    cached.parent.mkdir(parents=True, exist_ok=True)
    for old in cached.parent.glob(f"{kernel.release}-*.cpio"):
        old.unlink(missing_ok=True)
    # Others may be making the same one, threads of this process among them
    partial = cached.with_suffix(f".{threading.get_native_id()}")
    partial.write_bytes(archive)
    partial.rename(cached)
    return archive


def _libraries(program: Path) -> list[Path]:
    """What the dynamic linker maps for @program; nothing if it is static."""
    done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL, check=False)
    return [Path(name) for name in re.findall(r"(/\S+) \(0x", done.stdout)]


def files(paths: Iterable[Path]) -> bytes:
    """An archive with host files under their own names, and their libraries.

    For guests that have nothing but memory.
    """
    wanted: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise LabError(f"{path}: not found, but wanted in a guest")
        for file in (path, *_libraries(path)):
            wanted[file] = file.resolve()
    cpio = Cpio()
    for folder in sorted({parent for name in wanted for parent in name.parents}):
        # Debian's /bin and /lib lead below /usr, as they do on the host.
        if folder.is_symlink():
            cpio.link(f"root{folder}", str(folder.readlink()))
        else:
            cpio.folder(f"root{folder}")
    for name, source in wanted.items():
        inside = name.parent.resolve() / name.name
        for folder in reversed(inside.parents):
            cpio.folder(f"root{folder}")
        cpio.file(f"root{inside}", source.read_bytes(), source.stat().st_mode & 0o777)
    return cpio.archive()


def settings(values: dict[str, str]) -> bytes:
    """An archive with the file /lab/settings: shell variables for one guest.

    The kernel unpacks archives that follow each other into the same place.
    """
    cpio = Cpio()
    cpio.folder("lab")
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    cpio.file("lab/settings", lines.encode())
    return cpio.archive()


def probe() -> bytes:
    """The smallest archive: a user space that says that it runs, and stops."""
    return _skeleton(GUEST / "probe").archive()
