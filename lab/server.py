# SPDX-License-Identifier: GPL-2.0-only
"""The doorbell server, ivshmemd, as a process beside the VMs, and the back end of disks."""

from pathlib import Path

from .daemon import Daemon
from .paths import USERSPACE

PROGRAM = USERSPACE / "server/ivshmemd"
BLK_PROGRAM = USERSPACE / "blkserver/ivshmem-blk-server"


class Server(Daemon):
    """ivshmemd with one link, and more if asked; a context manager.

    @arguments are further ones of the program. What it says is in `log_path`.
    """

    def __init__(self, size: str | int = "4M", peers: int = 8, vectors: int = 4,
                 name: str = "lab", arguments: list[str] | None = None,
                 directory: Path | None = None, **keys: str | int) -> None:
        super().__init__(PROGRAM, [], directory)
        self.link = name
        self.socket = self._temporary / f"{name}.sock"
        keys = {"socket": str(self.socket), "size": size, "peers": peers,
                "vectors": vectors, **keys}
        settings = ",".join(f"{key}={value}" for key, value in keys.items())
        self.command += ["--link", f"{name},{settings}", *(arguments or [])]

    @property
    def address(self) -> str:
        """The link as the library and the tools take it."""
        return f"unix:{self.socket}"


class BlkServer(Daemon):
    """ivshmem-blk-server, which has a file or block device as a disk in the only BLK
    section of a link; a context manager. @arguments are further ones of the program."""

    def __init__(self, server: Server, file: Path, *arguments: str,
                 directory: Path | None = None) -> None:
        super().__init__(BLK_PROGRAM, [*arguments, server.address, str(file)], directory)
