# SPDX-License-Identifier: GPL-2.0-only
"""Asks a device about its region, in a guest: ivshmem's ioctls and mappings.

Usage: inside.py COMMAND NODE [ARGUMENT...]; prints JSON.  Errors are told by
name, in "errno".
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import struct
import sys
from typing import Any

MAGIC = 0xd6
REGION = struct.Struct("<IIQ14I16s")
SECTION = struct.Struct("<IIIIQQIIII40s")
PEER = struct.Struct("<10I48s")
FORMAT = struct.Struct("<IIQII")
DMABUF = struct.Struct("<IIIIQQ")


def ioctl(node: str, number: int, argument: bytearray) -> None:
    """Open, ask, close."""
    descriptor = os.open(node, os.O_RDWR)
    try:
        fcntl.ioctl(descriptor, MAGIC << 8 | number, argument)
    finally:
        os.close(descriptor)


def region(node: str) -> dict[str, Any]:
    """IVSHMEM_IOC_REGION."""
    argument = bytearray(REGION.pack(REGION.size, 0, *[0] * 15, b""))
    ioctl(node, 4, argument)
    names = ("size flags changes state error failed major minor compat ro_compat incompat "
             "attributes instance slots slot epoch sections uuid").split()
    answer = dict(zip(names, REGION.unpack(argument)))
    answer["uuid"] = answer["uuid"].hex()
    return answer


def section(node: str, index: str) -> dict[str, Any]:
    """IVSHMEM_IOC_SECTION."""
    argument = bytearray(SECTION.pack(SECTION.size, 0, int(index), *[0] * 7, b""))
    ioctl(node, 5, argument)
    names = ("size flags index type offset length vector queues ring_size attributes "
             "name").split()
    answer = dict(zip(names, SECTION.unpack(argument)))
    answer["name"] = answer["name"].rstrip(b"\0").decode()
    return answer


def peer(node: str, slot: str) -> dict[str, Any]:
    """IVSHMEM_IOC_PEER."""
    argument = bytearray(PEER.pack(PEER.size, 0, int(slot), *[0] * 7, b""))
    ioctl(node, 6, argument)
    names = ("size flags slot state epoch generation vectors features joins reserved "
             "name").split()
    answer = dict(zip(names, PEER.unpack(argument)))
    answer["name"] = answer["name"].rstrip(b"\0").decode()
    return answer


def format(node: str, flags: str, superblock: str = "") -> dict[str, Any]:
    """IVSHMEM_IOC_FORMAT with the superblock in a file."""
    page = ctypes.create_string_buffer(4096)
    address = 0
    if superblock:
        with open(superblock, "rb") as file:
            page.raw = file.read(4096)
        address = ctypes.addressof(page)
    argument = bytearray(FORMAT.pack(FORMAT.size, int(flags), address, 0, 0))
    try:
        ioctl(node, 7, argument)
        said = ""
    except OSError as failure:
        said = errno.errorcode[failure.errno or 0]
    _, _, _, error, failed = FORMAT.unpack(argument)
    return {"errno": said, "error": error, "failed": failed}


def maps(node: str, *ranges: str) -> list[str]:
    """Try to map each OFFSET:LENGTH[:ro]; "" where that works."""
    found = []
    for text in ranges:
        offset, length, *read_only = text.split(":")
        descriptor = os.open(node, os.O_RDWR)
        protection = mmap.PROT_READ | (0 if read_only else mmap.PROT_WRITE)
        try:
            mapped = mmap.mmap(descriptor, int(length), mmap.MAP_SHARED, protection,
                               offset=int(offset))
            mapped[0]
            mapped.close()
            found.append("")
        except OSError as failure:
            found.append(errno.errorcode[failure.errno or 0])
        os.close(descriptor)
    return found


def exports(node: str, *ranges: str) -> list[str]:
    """Try to export each OFFSET:LENGTH[:ro], and look at it; "" where that works."""
    found = []
    for text in ranges:
        offset, length, *read_only = text.split(":")
        descriptor = os.open(node, os.O_RDWR)
        argument = DMABUF.pack(DMABUF.size, 0, os.O_RDONLY if read_only else os.O_RDWR, 0,
                               int(offset), int(length))
        protection = mmap.PROT_READ | (0 if read_only else mmap.PROT_WRITE)
        try:
            buffer = fcntl.ioctl(descriptor, MAGIC << 8 | 8, bytearray(argument))
            mapped = mmap.mmap(buffer, int(length), mmap.MAP_SHARED, protection)
            mapped[0]
            mapped.close()
            os.close(buffer)
            found.append("")
        except OSError as failure:
            found.append(errno.errorcode[failure.errno or 0])
        os.close(descriptor)
    return found


def main() -> None:
    """Run one command."""
    command, *arguments = sys.argv[1:]
    call = {"region": region, "section": section, "peer": peer, "format": format,
            "maps": maps, "exports": exports}[command]
    try:
        answer: Any = call(*arguments)
    except OSError as failure:
        answer = {"errno": errno.errorcode[failure.errno or 0]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
