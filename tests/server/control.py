# SPDX-License-Identifier: GPL-2.0-only
"""The control socket as a program sees it, and the tool that asks there."""
import json
import os
import socket
import subprocess
from pathlib import Path

from .process import ROOT
from .waiting import BOUND

TOOL = Path(os.environ.get('IVSHMEM',
                           ROOT / 'build/meson/tools/ivshmem/ivshmem'))


def connect(path: Path) -> socket.socket:
    """A connection to the control socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(BOUND)
    connection.connect(str(path))
    return connection


def read_all(connection: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    answer = b''
    try:
        while part := connection.recv(65536):
            answer += part
    except ConnectionResetError:
        pass    # it has not read all that it was sent
    return answer


def ask(path: Path, request: bytes) -> bytes:
    """Send a request; all that comes until the server hangs up."""
    with connect(path) as connection:
        connection.sendall(request)
        return read_all(connection)


def status(path: Path) -> dict:
    """What the server says."""
    answer = ask(path, b'status\n')
    assert answer.endswith(b'}\n') and answer.count(b'\n') == 1
    return json.loads(answer)


def tool(*arguments: str, code: int = 0, **options) -> str:
    """Run the tool; what it prints, or what it complains about."""
    result = subprocess.run([TOOL, 'server', *map(str, arguments)], text=True,
                            capture_output=True, timeout=BOUND, check=False,
                            **options)
    assert result.returncode == code, result.stdout + result.stderr
    assert not (result.stdout if code else result.stderr)
    return result.stderr if code else result.stdout
