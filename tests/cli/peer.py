# SPDX-License-Identifier: GPL-2.0-only
"""A peer in the test's own process, by libivshmem itself."""
import ctypes
import errno
import mmap
from pathlib import Path
from typing import Any

from lab.paths import USERSPACE


class Info(ctypes.Structure):
    """struct ivshmem_info."""
    _fields_ = [('backend', ctypes.c_uint32), ('peer_id', ctypes.c_uint32),
                ('vectors', ctypes.c_uint32), ('doorbell', ctypes.c_uint32),
                ('memory_size', ctypes.c_uint64), ('cache', ctypes.c_uint32),
                ('revision', ctypes.c_uint32)]


class Event(ctypes.Structure):
    """struct ivshmem_event."""
    _fields_ = [('vector', ctypes.c_uint32), ('count', ctypes.c_uint64)]


def library() -> ctypes.CDLL:
    """The library of the build, its calls declared."""
    loaded = ctypes.CDLL(str(Path(USERSPACE / 'lib/libivshmem.so')))
    handle = ctypes.c_void_p
    loaded.ivshmem_close.argtypes = [handle]
    loaded.ivshmem_close.restype = None
    loaded.ivshmem_get_info.argtypes = [handle, ctypes.POINTER(Info)]
    loaded.ivshmem_map.argtypes = [handle, ctypes.c_uint64, ctypes.c_size_t,
                                   ctypes.c_int, ctypes.POINTER(handle)]
    loaded.ivshmem_unmap.argtypes = [handle, ctypes.c_size_t]
    loaded.ivshmem_ring.argtypes = [handle, ctypes.c_uint32, ctypes.c_uint32]
    loaded.ivshmem_wait.argtypes = [handle, ctypes.POINTER(Event),
                                    ctypes.c_uint, ctypes.c_int]
    loaded.ivshmem_join.argtypes = [handle, ctypes.c_char_p]
    loaded.ivshmem_channel_open.argtypes = [handle, ctypes.c_char_p,
                                            ctypes.c_uint32, ctypes.c_uint,
                                            ctypes.POINTER(handle)]
    loaded.ivshmem_channel_connect.argtypes = [handle, ctypes.c_int]
    loaded.ivshmem_channel_send.argtypes = [handle, ctypes.c_char_p,
                                            ctypes.c_size_t, ctypes.c_uint32,
                                            ctypes.c_uint, ctypes.c_int]
    loaded.ivshmem_channel_drain.argtypes = [handle, ctypes.c_int]
    loaded.ivshmem_channel_close.argtypes = [handle]
    loaded.ivshmem_channel_close.restype = None
    loaded.ivshmem_version.restype = ctypes.c_char_p
    return loaded


def check(result: int) -> int:
    """What a call returned, or its error as an exception."""
    if result < 0:
        raise OSError(-result, errno.errorcode.get(-result, '?'))
    return result


class Peer:
    """A peer of a link; a context manager. `memory` is all of the memory."""

    def __init__(self, address: str, length: int = 0) -> None:
        self._library: Any = library()
        self._handle = ctypes.c_void_p()
        self._channel = ctypes.c_void_p()
        check(self._library.ivshmem_open(address.encode(), 0,
                                         ctypes.byref(self._handle)))
        self.info = Info()
        check(self._library.ivshmem_get_info(self._handle,
                                             ctypes.byref(self.info)))
        self.length = length or self.info.memory_size
        self._address = ctypes.c_void_p()
        check(self._library.ivshmem_map(self._handle, 0, self.length,
                                        mmap.PROT_READ | mmap.PROT_WRITE,
                                        ctypes.byref(self._address)))
        assert self._address.value
        self.memory = memoryview((ctypes.c_ubyte * self.length).from_address(
            self._address.value)).cast('B')

    @property
    def id(self) -> int:
        """Its own peer id."""
        return self.info.peer_id

    def ring(self, peer: int, vector: int) -> None:
        """Interrupt a peer."""
        check(self._library.ivshmem_ring(self._handle, peer, vector))

    def wait(self, timeout: float = 60) -> dict[int, int]:
        """Wait for doorbells; their counts by vector, {} on a time-out."""
        events = (Event * 256)()
        count = check(self._library.ivshmem_wait(self._handle, events, 256,
                                                 int(timeout * 1000)))
        return {event.vector: event.count for event in events[:count]}

    def connect(self, peer: int, name: str) -> None:
        """Join the directory and connect the channel to a slot."""
        check(self._library.ivshmem_join(self._handle, name.encode()))
        check(self._library.ivshmem_channel_open(self._handle, None, peer, 0,
                                                 ctypes.byref(self._channel)))
        check(self._library.ivshmem_channel_connect(self._channel, 60_000))

    def send(self, kind: int, data: bytes) -> None:
        """Send a message through the channel."""
        check(self._library.ivshmem_channel_send(self._channel, data, len(data),
                                                 kind, 0, 60_000))

    def drain(self) -> None:
        """Wait until all that was sent was taken out of the memory."""
        check(self._library.ivshmem_channel_drain(self._channel, 10_000))

    def close(self) -> None:
        """Leave the link."""
        self._library.ivshmem_channel_close(self._channel)
        self._channel = ctypes.c_void_p()
        if self._handle:
            self.memory.release()
            check(self._library.ivshmem_unmap(self._address, self.length))
            self._library.ivshmem_close(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self) -> 'Peer':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
