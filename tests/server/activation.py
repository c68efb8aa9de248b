# SPDX-License-Identifier: GPL-2.0-only
"""Listening sockets that are passed to the server, as systemd does it."""
import socket
import subprocess

from .process import program
from .waiting import BOUND

# Becomes the program with the listening sockets at 3, 4, ... as systemd does.
ACTIVATE = '''
import fcntl, os, sys
copies = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100)
          for fd in sys.argv[1].split(",")]
for target, copy in enumerate(copies, 3):
    os.dup2(copy, target, inheritable=True)
os.environ.update(LISTEN_FDS=str(len(copies)), LISTEN_PID=str(os.getpid()),
                  LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
'''


class Activation:
    """Listening sockets as a service manager holds them."""

    def __init__(self, directory, serve):
        self.directory = directory
        self.serve = serve
        self.sockets: list[socket.socket] = []
        self.names: list[str] = []

    def listen(self, name: str, kind=socket.SOCK_STREAM) -> None:
        """Open a socket at the given name's usual place."""
        self.sockets.append(socket.socket(socket.AF_UNIX, kind))
        self.sockets[-1].bind(str(self.directory / f'{name}.sock'))
        if kind == socket.SOCK_STREAM:
            self.sockets[-1].listen()
        self.names.append(name)

    def arguments(self) -> list[str]:
        """What comes before the program and its arguments."""
        return ['/usr/bin/python3', '-c', ACTIVATE,
                ','.join(str(s.fileno()) for s in self.sockets),
                ':'.join(self.names)]

    def options(self) -> dict:
        """What Popen needs to pass the sockets."""
        return {'pass_fds': [s.fileno() for s in self.sockets]}

    def start(self, *arguments: str):
        """Start the server with the sockets."""
        return self.serve(*arguments, prefix=self.arguments(),
                          **self.options())

    def refused(self, *arguments: str) -> str:
        """Start a server that must not come up; what it says."""
        result = subprocess.run(
            [*self.arguments(), program(), *arguments], text=True,
            capture_output=True, timeout=BOUND, check=False, **self.options())
        assert result.returncode == 1
        return result.stderr

    def link(self, name: str) -> str:
        """The option for a link whose socket is at its usual place."""
        return f'--link={name},peers=2,vectors=1,' \
            f'socket={self.directory}/{name}.sock'
