# SPDX-License-Identifier: GPL-2.0-only
"""One end of 'make shell': connects the user's terminal to a guest's.

The first line of a connection says what it is for: "attach ROWS COLUMNS", after
which it carries the terminal's bytes, or "resize ROWS COLUMNS".
"""

import contextlib
import os
import selectors
import shutil
import signal
import socket
import sys
import termios
import tty
from pathlib import Path
from typing import Any

from .log import LabError
from .paths import LAB

# The file that tells where the guests' terminals are.
PLACE = LAB / "shell"

# Ctrl-], as in telnet.
LEAVE = b"\x1d"


def _connect(vm: str, request: str) -> socket.socket:
    try:
        folder = Path(PLACE.read_text().strip())
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(folder / vm))
    except (FileNotFoundError, ConnectionRefusedError):
        raise LabError(f"VM {vm}: does not run; start the pair a and b with "
                       "'make shell' in another terminal") from None
    columns, rows = shutil.get_terminal_size()
    connection.sendall(f"{request} {rows} {columns}\n".encode())
    return connection


def attach(vm: str) -> None:
    """Work in a guest until its shell ends or Ctrl-] is typed."""
    connection = _connect(vm, "attach")

    def resized(*_: Any) -> None:
        _connect(vm, "resize").close()

    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    before = termios.tcgetattr(keyboard) if os.isatty(keyboard) else None
    if before:
        tty.setraw(keyboard)
        signal.signal(signal.SIGWINCH, resized)
    try:
        _carry(connection, keyboard, screen)
    finally:
        if before:
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        connection.close()


def _carry(connection: socket.socket, keyboard: int, screen: int) -> None:
    """Bytes in both directions until the guest or the user ends it."""
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ)
    selector.register(keyboard, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is connection:
                said = connection.recv(65536)
                if not said:
                    return
                os.write(screen, said)
                continue
            try:
                typed = os.read(keyboard, 4096)
            except OSError:
                # The terminal itself is gone.
                return
            if not typed or LEAVE in typed:
                return
            connection.sendall(typed)
