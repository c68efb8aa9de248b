# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's arguments for ivshmem devices."""

import itertools
from pathlib import Path
from typing import Any

# QEMU forgets the memory of an unplugged device only after a while, and aborts
# when the next one in its slot names its memory the same.
_memories = itertools.count()


def _properties(properties: dict[str, Any]) -> str:
    return "".join(f",{name.replace('_', '-')}={value}"
                   for name, value in properties.items())


def ivshmem_plain(path: Path | str, size: str | int = "4M", *, share: bool = True,
                  id: str = "ivshmem", **properties: Any) -> list[str]:
    """A device without doorbells: the memory is the file @path.

    Further properties are the device's own, "master='on'" for example.
    """
    memory = f"{id}-memory-{next(_memories)}"
    backend = (f"memory-backend-file,id={memory},mem-path={path},size={size},"
               f"share={'on' if share else 'off'}")
    return ["-object", backend,
            "-device", f"ivshmem-plain,id={id},memdev={memory}"
                       + _properties(properties)]


def ivshmem_doorbell(server: Any, vectors: int = 4, *, id: str = "ivshmem",
                     **properties: Any) -> list[str]:
    """A device with doorbells, attached to @server (a Server or a socket's path)."""
    path = getattr(server, "socket", server)
    return ["-chardev", f"socket,id={id}-server,path={path}",
            "-device", f"ivshmem-doorbell,id={id},chardev={id}-server,"
                       f"vectors={vectors}" + _properties(properties)]
