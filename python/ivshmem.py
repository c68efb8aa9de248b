# SPDX-License-Identifier: BSD-3-Clause
"""Share memory with other virtual machines and wake them: libivshmem for Python.

    import ivshmem

    with ivshmem.open("/dev/ivshmem0") as handle:    # in a guest
        handle.join()
        with handle.channel(peer=1) as channel:
            channel.connect(timeout=10)
            channel.send(b"How are you?")
            print(channel.recv().data)

On the host the address is that of a server's socket: "unix:/run/ivshmem/lab.sock".

What the calls do is said by libivshmem(3) and libivshmem-channel(3), whose names these have.
They differ from C in what Python users expect:

- Errors are raised as OSError with the errno that is listed there, which Python turns into
  its own kinds: FileNotFoundError, PermissionError, TimeoutError (the time ran out),
  BlockingIOError (a timeout of 0), ConnectionResetError (the session is over).
- Times are in seconds; None waits for ever. A signal's handler runs while a call waits, and
  Ctrl-C ends it.
- Handles and channels can be used with "with", and by several threads. close() waits until
  the calls of others are over, and closes the channels first. A call on what is closed
  raises ValueError.
- The memory that map() gives stays mapped for as long as anything refers to it, also after
  close(). There is no way to store to it atomically, or in a certain order.
- What works in place in a channel's ring (reserve, commit, peek, release) is not there: a
  view of the ring could outlive it. recv_into() copies once.
"""

import contextlib
import ctypes
import enum
import errno
import math
import mmap
import os
import threading
import time
import uuid
import weakref
from typing import Any, Callable, Iterable, Iterator, NamedTuple

__all__ = ["Backend", "Cache", "Channel", "ChannelState", "ChannelStatus", "Event", "Handle",
           "Info", "MORE", "Message", "Peer", "PeerState", "Region", "RegionState", "Section",
           "SectionType", "open", "version"]

# ivshmem_open(), ivshmem_channel_send(), struct ivshmem_format_options
_RDONLY = 1
_FORCE = 1
_ERASE = 2
_ERROR_SIZE = 512
_LONGEST_WAIT = 0x7fffffff

MORE = 1
"""Of Channel.send(): more follows at once; see Channel.flush()."""


class Backend(enum.IntEnum):
    """What a handle works."""
    DEVICE = 1
    SERVER = 2
    VFIO = 3
    PCI = 4


class Cache(enum.IntEnum):
    """How the memory is cached in one's own mappings."""
    UNKNOWN = 0
    WB = 1
    WT = 2
    WC = 3
    UC = 4


class RegionState(enum.IntEnum):
    """Whether the memory is divided into sections."""
    UNFORMATTED = 0
    ATTACHED = 1
    REFUSED = 2


class SectionType(enum.IntEnum):
    """What a section is for; a newer format may have others."""
    RAW = 1
    NET = 2
    BLK = 3


class PeerState(enum.IntEnum):
    """Whether somebody is in a slot."""
    ABSENT = 0
    ALIVE = 1
    SILENT = 2


class ChannelState(enum.IntEnum):
    """Where a channel stands."""
    IDLE = 0
    CONNECTING = 1
    UP = 2
    OVER = 3


# What C fills in: "_name" is a char array or a word whose meaning a property gives.

class _Record(ctypes.Structure):
    """A structure that says what is in it."""

    def __repr__(self) -> str:
        names = [name.lstrip("_") for name, *_ in self._fields_]
        values = (f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({', '.join(values)})"


def _known(kind: type[enum.IntEnum], value: int) -> int:
    """The value by its name, or as it is if a newer library has more of them."""
    try:
        return kind(value)
    except ValueError:
        return value


class Info(_Record):
    """What the device or link is: struct ivshmem_info."""
    _fields_ = [("_backend", ctypes.c_uint32), ("peer_id", ctypes.c_uint32),
                ("vectors", ctypes.c_uint32), ("_doorbell", ctypes.c_uint32),
                ("memory_size", ctypes.c_uint64), ("_cache", ctypes.c_uint32),
                ("revision", ctypes.c_uint32)]
    backend = property(lambda self: _known(Backend, self._backend))
    doorbell = property(lambda self: bool(self._doorbell))
    cache = property(lambda self: _known(Cache, self._cache))


class Region(_Record):
    """How the memory is formatted: struct ivshmem_region."""
    _fields_ = [("_state", ctypes.c_uint32), ("error", ctypes.c_uint32),
                ("_reason", ctypes.c_char_p), ("failed", ctypes.c_uint32),
                ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32),
                ("compat", ctypes.c_uint32), ("ro_compat", ctypes.c_uint32),
                ("incompat", ctypes.c_uint32), ("_read_only", ctypes.c_uint32),
                ("instance", ctypes.c_uint32), ("_uuid", ctypes.c_uint8 * 16),
                ("slots", ctypes.c_uint32), ("sections", ctypes.c_uint32),
                ("_slot", ctypes.c_int32), ("epoch", ctypes.c_uint32),
                ("changes", ctypes.c_uint64)]
    state = property(lambda self: _known(RegionState, self._state))
    reason = property(lambda self: self._reason.decode())
    read_only = property(lambda self: bool(self._read_only))
    uuid = property(lambda self: uuid.UUID(bytes=bytes(self._uuid)))
    slot = property(lambda self: self._slot if self._slot >= 0 else None)


class Section(_Record):
    """A section of the region: struct ivshmem_section."""
    _fields_ = [("index", ctypes.c_uint32), ("_type", ctypes.c_uint32),
                ("vector", ctypes.c_uint32), ("queues", ctypes.c_uint32),
                ("ring_size", ctypes.c_uint32), ("_usable", ctypes.c_uint32),
                ("offset", ctypes.c_uint64), ("size", ctypes.c_uint64),
                ("_name", ctypes.c_char * 33)]
    type = property(lambda self: _known(SectionType, self._type))
    usable = property(lambda self: bool(self._usable))
    name = property(lambda self: self._name.decode("ascii", "replace"))


class Peer(_Record):
    """Who is in a slot: struct ivshmem_peer."""
    _fields_ = [("slot", ctypes.c_uint32), ("_state", ctypes.c_uint32),
                ("epoch", ctypes.c_uint32), ("generation", ctypes.c_uint32),
                ("vectors", ctypes.c_uint32), ("features", ctypes.c_uint32),
                ("joins", ctypes.c_uint32), ("_name", ctypes.c_char * 41)]
    state = property(lambda self: _known(PeerState, self._state))
    name = property(lambda self: self._name.decode("ascii", "replace"))


class ChannelStatus(_Record):
    """Where a channel stands: struct ivshmem_channel_status."""
    _fields_ = [("_state", ctypes.c_uint32), ("error", ctypes.c_int32),
                ("slot", ctypes.c_uint32), ("peer", ctypes.c_uint32),
                ("sessions", ctypes.c_uint64), ("faults", ctypes.c_uint64),
                ("kicks", ctypes.c_uint64), ("sleeps", ctypes.c_uint64),
                ("_reason", ctypes.c_char_p)]
    state = property(lambda self: _known(ChannelState, self._state))
    reason = property(lambda self: self._reason.decode())


class _Event(ctypes.Structure):
    _fields_ = [("vector", ctypes.c_uint32), ("count", ctypes.c_uint64)]


class _FormatOptions(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint32), ("slots", ctypes.c_uint32),
                ("vectors", ctypes.c_uint32)]


class Event(NamedTuple):
    """A vector that was rung, and how often."""
    vector: int
    count: int


class Message(NamedTuple):
    """A message, and the word that its sender has given with it."""
    data: bytes
    kind: int


_Vectors = ctypes.c_uint64 * 4
_pointer, _word, _text = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p
_int, _flags, _size = ctypes.c_int, ctypes.c_uint, ctypes.c_size_t
_to = ctypes.POINTER

_CALLS: dict[str, tuple[Any, ...]] = {
    "open": (_text, _flags, _to(_pointer)),
    "get_info": (_pointer, _to(Info)),
    "peer_vectors": (_pointer, _word),
    "map": (_pointer, ctypes.c_uint64, _size, _int, _to(_pointer)),
    "unmap": (_pointer, _size),
    "ring": (_pointer, _word, _word),
    "subscribe": (_pointer, _Vectors),
    "wait": (_pointer, _to(_Event), _flags, _int),
    "fd": (_pointer,),
    "get_region": (_pointer, _to(Region)),
    "get_section": (_pointer, _word, _to(Section)),
    "find_section": (_pointer, _text, _to(Section)),
    "map_section": (_pointer, _to(Section), _int, _to(_pointer)),
    "get_peer": (_pointer, _word, _to(Peer)),
    "wait_change": (_pointer, _to(ctypes.c_uint64), _int),
    "join": (_pointer, _text),
    "leave": (_pointer,),
    "format": (_pointer, _text, _to(_FormatOptions), _text, _size),
    "export_dmabuf": (_pointer, ctypes.c_uint64, _size, _int),
    "channel_open": (_pointer, _text, _word, _flags, _to(_pointer)),
    "channel_connect": (_pointer, _int),
    "channel_send": (_pointer, _pointer, _size, _word, _flags, _int),
    "channel_flush": (_pointer,),
    "channel_drain": (_pointer, _int),
    "channel_recv": (_pointer, _pointer, _size, _to(_size), _to(_word), _int),
    "channel_fd": (_pointer,),
    "channel_set_spin": (_pointer, _flags),
    "channel_get_status": (_pointer, _to(ChannelStatus)),
}
# Those that return no errno value
_OTHERS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "close": (None, (_pointer,)),
    "channel_close": (None, (_pointer,)),
    "channel_max_length": (_size, (_pointer,)),
    "version": (_text, ()),
}


def _load() -> dict[str, Callable[..., Any]]:
    """The calls of the library, by their names without "ivshmem_"."""
    try:
        library = ctypes.CDLL("libivshmem.so.0")
    except OSError as error:
        raise ImportError(f"{error}: install libivshmem, or say in LD_LIBRARY_PATH where "
                          "it is") from None
    calls = {name: (_int, types) for name, types in _CALLS.items()} | _OTHERS
    functions = {}
    for name, (result, types) in calls.items():
        functions[name] = getattr(library, f"ivshmem_{name}")
        functions[name].restype = result
        functions[name].argtypes = types
    return functions


_calls = _load()


def _check(name: str, arguments: tuple[Any, ...]) -> None:
    """Refuse numbers that C would cut off."""
    for kind, value in zip(_CALLS[name][1:], arguments):
        if kind in (_word, _size, _flags, ctypes.c_uint64) and isinstance(value, int) and \
                not 0 <= value < 1 << 8 * ctypes.sizeof(kind):
            raise OSError(errno.EINVAL, f"{name}: {value} is out of range")


def _raise(error: int, what: str | None = None) -> None:
    """Raise the exception of a negative errno value."""
    raise OSError(-error, os.strerror(-error), what)


def _until(timeout: float | None, call: Callable[[int], int]) -> int:
    """Make a call that waits, and again after a signal, whose handler has run by then."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = -1
        if end is not None:
            left = min(max(math.ceil((end - time.monotonic()) * 1000), 0), _LONGEST_WAIT)
        result = call(left)
        if result != -errno.EINTR:
            return result


_Cell = list[Any]


class _Closable:
    """What is closed once no call of another thread uses it any more."""

    def __init__(self, cell: "_Cell", close: str) -> None:
        # Where the pointer is until somebody closes it
        self._cell = cell
        self._close = _calls[close]
        # The threads that are in a call
        self._users: list[int] = []
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def _using(self, name: str) -> Iterator[Any]:
        """What to call the library with, which nobody closes meanwhile."""
        with self._changed:
            if self._cell[0] is None:
                raise ValueError(f"{name}: the {type(self).__name__.lower()} is closed")
            self._users.append(threading.get_ident())
        try:
            yield self._cell[0]
        finally:
            with self._changed:
                self._users.remove(threading.get_ident())
                self._changed.notify_all()

    def _call(self, name: str, *arguments: Any, timeout: float | None = 0.0) -> int:
        """Make a call that waits if its last argument is Ellipsis; a negative errno raises."""
        function = _calls[name]
        _check(name, arguments)
        with self._using(name) as pointer:
            if arguments and arguments[-1] is ...:
                result = _until(timeout, lambda left: function(pointer, *arguments[:-1], left))
            else:
                result = _until(None, lambda _: function(pointer, *arguments))
        if result < 0:
            _raise(result)
        return result

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._cell[0] is None

    def close(self) -> None:
        """Close it, after calls that other threads have begun; again is no error."""
        with self._changed:
            if threading.get_ident() in self._users:
                raise RuntimeError("close: in a signal's handler, within a call")
            pointer, self._cell[0] = self._cell[0], None
            while self._users:
                self._changed.wait()
        if pointer is not None:
            self._close_first()
            self._close(pointer)

    def _close_first(self) -> None:
        """Close what needs this one; no call uses it any more."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Not if __init__() has failed
        if hasattr(self, "_changed") and not self.closed:
            self.close()


class Channel(_Closable):
    """One end of a channel: messages to and from one other peer. See Handle.channel()."""

    def __init__(self, handle: "Handle", cell: _Cell) -> None:
        super().__init__(cell, "channel_close")
        # The library needs it for as long as the channel is open
        self._handle = handle
        self.max_length = _calls["channel_max_length"](cell[0])
        self._buffer = bytearray(self.max_length)
        self._receiving = threading.Lock()

    def connect(self, timeout: float | None = None) -> None:
        """Wait until the other end is connected, too."""
        self._call("channel_connect", ..., timeout=timeout)

    def send(self, data: Any, kind: int = 0, flags: int = 0,
             timeout: float | None = None) -> None:
        """Send what is in a bytes-like object as one message; flags is 0 or MORE."""
        view = memoryview(data).cast("B")
        # bytes stay where they are; other views that cannot be written have no address
        source = data if isinstance(data, bytes) else \
            bytes(view) if view.readonly else _address(view)
        self._call("channel_send", source, view.nbytes, kind, flags, ..., timeout=timeout)

    def flush(self) -> None:
        """Show the peer what was sent with MORE."""
        self._call("channel_flush")

    def drain(self, timeout: float | None = None) -> None:
        """Wait until the peer has received all."""
        self._call("channel_drain", ..., timeout=timeout)

    def recv(self, timeout: float | None = None) -> Message:
        """Receive a message."""
        with self._receiving:
            length, kind = self.recv_into(self._buffer, timeout)
            return Message(bytes(memoryview(self._buffer)[:length]), kind)

    def recv_into(self, buffer: Any, timeout: float | None = None) -> tuple[int, int]:
        """Receive a message into a writable object; its length and kind."""
        view = memoryview(buffer).cast("B")
        length, kind = ctypes.c_size_t(), ctypes.c_uint32()
        self._call("channel_recv", _address(view), view.nbytes, ctypes.byref(length),
                   ctypes.byref(kind), ..., timeout=timeout)
        return length.value, kind.value

    def fileno(self) -> int:
        """A descriptor for select and asyncio; call first, poll after BlockingIOError."""
        return self._call("channel_fd")

    def set_spin(self, seconds: float) -> None:
        """How long to look before going to sleep, at most 0.1."""
        self._call("channel_set_spin", round(seconds * 1_000_000))

    @property
    def status(self) -> ChannelStatus:
        """Where the channel stands."""
        status = ChannelStatus()
        self._call("channel_get_status", ctypes.byref(status))
        return status


def _address(view: memoryview) -> Any:
    """Where the bytes of a writable view are, for as long as the result lives."""
    return (ctypes.c_char * view.nbytes).from_buffer(view)


class Handle(_Closable):
    """An open device, or a connection to a server as a peer. See open()."""

    def __init__(self, address: str | os.PathLike[str], readonly: bool = False) -> None:
        pointer = ctypes.c_void_p()
        name = os.fspath(address)
        result = _until(None, lambda _: _calls["open"](os.fsencode(name),
                                                       _RDONLY if readonly else 0,
                                                       ctypes.byref(pointer)))
        if result < 0:
            _raise(result, name)
        super().__init__([pointer], "close")
        # Open channels, whichever of both is collected first
        self._channels: list[tuple[_Cell, weakref.ref[Channel]]] = []

    def _close_first(self) -> None:
        for cell, reference in self._channels:
            channel = reference()
            if channel is not None:
                channel.close()
            elif cell[0] is not None:
                pointer, cell[0] = cell[0], None
                _calls["channel_close"](pointer)

    @property
    def info(self) -> Info:
        """What the device or link is."""
        info = Info()
        self._call("get_info", ctypes.byref(info))
        return info

    def fileno(self) -> int:
        """A descriptor for select and asyncio: readable when wait() has something to do."""
        return self._call("fd")

    # Doorbells

    def peer_vectors(self, peer: int) -> int:
        """On how many vectors a peer can be rung; the host only."""
        return self._call("peer_vectors", peer)

    def ring(self, peer: int, vector: int = 0) -> None:
        """Interrupt a peer. What was written to the memory before is visible to it first."""
        self._call("ring", peer, vector)

    def subscribe(self, vectors: Iterable[int]) -> None:
        """Choose the vectors that wait() waits for; at first these are all."""
        words = _Vectors()
        for vector in vectors:
            if not 0 <= vector < 256:
                raise ValueError(f"vector {vector}: not below 256")
            words[vector // 64] |= 1 << vector % 64
        self._call("subscribe", words)

    def wait(self, timeout: float | None = None) -> list[Event]:
        """Wait for doorbells and consume them; nothing if the time ran out."""
        events = (_Event * 256)()
        count = self._call("wait", events, len(events), ..., timeout=timeout)
        return [Event(event.vector, event.count) for event in events[:count]]

    # Memory

    def map(self, offset: int = 0, length: int = 0, readonly: bool = False) -> memoryview:
        """Map a part of the memory, from a multiple of the page size on; 0: to its end."""
        if not length:
            length = self.info.memory_size - offset
        address = ctypes.c_void_p()
        self._call("map", offset, length, _protection(readonly), ctypes.byref(address))
        return _mapped(address, length, readonly)

    def map_section(self, section: Section | str, readonly: bool = False) -> memoryview:
        """Map all of a section, which may be given by its name."""
        if isinstance(section, str):
            section = self.section(section)
        address = ctypes.c_void_p()
        self._call("map_section", ctypes.byref(section), _protection(readonly),
                   ctypes.byref(address))
        return _mapped(address, section.size, readonly)

    def export_dmabuf(self, offset: int = 0, length: int = 0, readonly: bool = False) -> int:
        """Export a part of the memory as a dma-buf; its descriptor, which is the caller's."""
        return self._call("export_dmabuf", offset, length, _protection(readonly))

    # The region

    @property
    def region(self) -> Region:
        """How the memory is formatted now."""
        region = Region()
        self._call("get_region", ctypes.byref(region))
        return region

    def section(self, name: str) -> Section:
        """A section by its name; FileNotFoundError if there is none."""
        section = Section()
        self._call("find_section", name.encode(), ctypes.byref(section))
        return section

    def sections(self) -> Iterator[Section]:
        """All sections, in order."""
        for index in range(self.region.sections):
            section = Section()
            self._call("get_section", index, ctypes.byref(section))
            yield section

    def peer(self, slot: int) -> Peer:
        """Who is in a slot."""
        peer = Peer()
        self._call("get_peer", slot, ctypes.byref(peer))
        return peer

    def peers(self) -> Iterator[Peer]:
        """Who is in each slot, also where nobody is."""
        return map(self.peer, range(self.region.slots))

    def wait_change(self, changes: int = 0, timeout: float | None = None) -> int:
        """Wait until Region.changes is another count; that one, the same if the time ran out."""
        count = ctypes.c_uint64(changes)
        self._call("wait_change", ctypes.byref(count), ..., timeout=timeout)
        return count.value

    def join(self, name: str | None = None) -> None:
        """Take part as a peer, for others to see."""
        self._call("join", None if name is None else name.encode())

    def leave(self) -> None:
        """Take part no longer."""
        self._call("leave")

    def format(self, description: str, slots: int = 0, vectors: int = 0,
               force: bool = False) -> None:
        """Divide the memory into sections, as in "net,blk:64M,raw=lab"."""
        self._format(description.encode(), slots, vectors, _FORCE if force else 0)

    def erase(self, force: bool = False) -> None:
        """Leave the memory unformatted."""
        self._format(None, 0, 0, _ERASE | (_FORCE if force else 0))

    def _format(self, description: bytes | None, slots: int, vectors: int, flags: int) -> None:
        options = _FormatOptions(flags, slots, vectors)
        said = ctypes.create_string_buffer(_ERROR_SIZE)
        try:
            self._call("format", description, ctypes.byref(options), said, _ERROR_SIZE)
        except OSError as error:
            if said.value and error.errno:
                raise OSError(error.errno, said.value.decode(errors="replace")) from None
            raise

    def channel(self, peer: int, section: str | None = None) -> Channel:
        """Open one end of a channel to the peer in a slot; None: the section that is fit."""
        pointer = ctypes.c_void_p()
        with self._using("channel_open"):
            self._call("channel_open", None if section is None else section.encode(), peer, 0,
                       ctypes.byref(pointer))
            cell: _Cell = [pointer]
            channel = Channel(self, cell)
            self._channels = [entry for entry in self._channels if entry[0][0] is not None]
            self._channels.append((cell, weakref.ref(channel)))
        return channel


def _protection(readonly: bool) -> int:
    return mmap.PROT_READ | (0 if readonly else mmap.PROT_WRITE)


def _mapped(address: ctypes.c_void_p, length: int, readonly: bool) -> memoryview:
    """A view of what is mapped, and unmapped once nothing refers to it any more."""
    array = (ctypes.c_char * length).from_address(address.value or 0)
    weakref.finalize(array, _calls["unmap"], address, length).atexit = False
    view = memoryview(array).cast("B")
    return view.toreadonly() if readonly else view


def open(address: str | os.PathLike[str],  # pylint: disable=redefined-builtin
         readonly: bool = False) -> Handle:
    """Open a device, "/dev/ivshmem0", or join a link, "unix:/run/ivshmem/lab.sock".

    readonly: only look, never ring or write.
    """
    return Handle(address, readonly)


def version() -> str:
    """The version of the library that runs."""
    return _calls["version"]().decode()
