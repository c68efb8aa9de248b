# SPDX-License-Identifier: GPL-2.0-only
"""Runs in a guest: has the device open and mapped, waits, and says what it is told.

The arguments are the node of a section, and "poll" or "read": how it waits.
"""

import errno
import mmap
import os
import select
import signal
import sys


def error_of(call):
    """The error that a call fails with."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "none"


def signal_of(access):
    """The signal that ends a process which does this."""
    child = os.fork()
    if not child:
        access()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "none"


def main(node, manner):
    """Wait until the device is gone."""
    device = os.open(node, os.O_RDWR)
    memory = mmap.mmap(device, mmap.PAGESIZE)
    memory[:5] = b"there"
    with open(f"/run/ready-{manner}", "w", encoding="ascii"):
        pass
    if manner == "poll":
        poll = select.poll()
        poll.register(device, select.POLLIN)
        while not poll.poll()[0][1] & select.POLLHUP:
            os.read(device, 4096)
        print("poll: HUP")
    else:
        try:
            while True:
                os.read(device, 4096)
        except OSError as error:
            print(f"read: {errno.errorcode[error.errno]}")
    print("mmap:", error_of(lambda: mmap.mmap(device, mmap.PAGESIZE)))
    print("access:", signal_of(lambda: memory[0]), flush=True)
    # Until somebody writes there the module is in use
    with open(f"/run/end-{manner}", encoding="ascii") as end:
        end.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
