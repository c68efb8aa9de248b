# SPDX-License-Identifier: GPL-2.0-only
"""'make shell': a pair of VMs to type into, connected by one region."""

import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from . import accel
from .attach import PLACE, attach
from .devices import ivshmem_doorbell
from .kernel import get as get_kernel
from .log import LabError, say
from .paths import LAB, ROOT
from .qmp import Closed
from .server import Server
from .vm import VM, Process, VMDied

NAMES = ("a", "b")
# Seconds that a shell that was left may take to end before the next.
HANDOVER = 5

WELCOME = """\
\x1b[1mThis is VM {name}, peer {peer}.\x1b[0m It shares memory with VM {other}, peer {far}. Try:
  ivshmem list             ivshmem info             ivshmem doctor
  ivshmem wait             and in VM {other}:  ivshmem ring {peer} 0
  ivshmem ping --listen    and in VM {other}:  ivshmem ping {peer}
Everything of the host is here; /mnt/share is {share}.
'exit' or Ctrl-] leaves{how}.

"""


class Desk:
    """Serves one guest's terminal to whoever connects."""

    def __init__(self, vm: VM, folder: Path, welcome: str) -> None:
        self.vm = vm
        self.welcome = welcome
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / vm.name))
        self.listener.listen()
        self.occupied = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._answer, args=(connection,),
                             daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                request, rows, columns = self._first_line(connection)
                if request == "resize":
                    self.vm.run(["stty", "-F", "/dev/hvc0", "rows", rows,
                                 "cols", columns], check=False)
                elif not self.occupied.acquire(timeout=HANDOVER):
                    connection.sendall(b"This VM is in use in another terminal.\r\n")
                else:
                    try:
                        self._session(connection, rows, columns)
                    finally:
                        self.occupied.release()
            except (LabError, OSError, ValueError):
                # The user or the guest went away; both is a way to leave.
                pass

    @staticmethod
    def _first_line(connection: socket.socket) -> list[str]:
        line = b""
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                raise ValueError("connection closed")
            line += byte
        return line.decode().split()

    def _session(self, connection: socket.socket, rows: str, columns: str) -> None:
        """One shell, from its prompt to its end."""
        connection.sendall(self.welcome.replace("\n", "\r\n").encode())
        # Whoever opens a terminal as leader of a session without one gets it
        # as the controlling one: with it come job control and Ctrl-C.
        shell = self.vm.spawn(
            "exec </dev/hvc0 >/dev/hvc0 2>&1; "
            f"stty sane rows {rows} cols {columns}; "
            f"exec /bin/bash --rcfile {ROOT}/lab/guest/bashrc -i",
            env={"TERM": os.environ.get("TERM", "xterm"), "LAB_TREE": str(ROOT)})
        try:
            self._carry(connection, shell)
        finally:
            shell.kill("HUP")
            shell.wait()

    def _carry(self, connection: socket.socket, shell: Process) -> None:
        terminal = self.vm.terminal
        assert terminal
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ, terminal)
            selector.register(terminal, selectors.EVENT_READ, connection)
            ended = False
            while True:
                ready = selector.select(0.2)
                for key, _ in ready:
                    chunk = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not chunk:
                        return
                    key.data.sendall(chunk)
                if not ready:
                    # Everything that it had written is through.
                    if ended:
                        return
                    ended = shell.poll() is not None


def _start_pair(server: Server) -> list[VM]:
    pair = [VM(name, [ivshmem_doorbell(server)], terminal=True,
               directory=LAB / "vm" / f"shell-{name}") for name in NAMES]
    try:
        for vm in pair:
            vm.start(wait=False)
        for vm in pair:
            vm.wait_ready()
            vm.load_driver()
            say(f"VM {vm.name} is up after {vm.boot_seconds:.1f} s, console in "
                f"{vm.log_path}")
    except BaseException:
        _end(pair)
        raise
    return pair


def _end(pair: list[VM]) -> None:
    for vm in pair:
        vm.kill()


def _side_by_side() -> None:
    """Both VMs in one tmux, which ends with the second shell."""
    command = [sys.executable, "-m", "lab", "shell"]
    tmux = ["tmux", "-L", f"ivshmem-{os.getpid()}"]
    env = {name: value for name, value in os.environ.items() if name != "TMUX"}
    try:
        subprocess.run([*tmux, "new-session", "-c", ROOT, *command, "a", ";",
                        "split-window", "-h", "-c", ROOT, *command, "b", ";",
                        "select-pane", "-t", "0", ";",
                        "set", "status-right", "Ctrl-b o: other VM; exit: leave "],
                       check=False, env=env)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, env=env,
                       stderr=subprocess.DEVNULL)


def run(use_tmux: bool = True) -> int:
    """Start the pair, let the user work in it, and end it."""
    side_by_side = (use_tmux and shutil.which("tmux") is not None
                    and sys.stdin.isatty() and sys.stdout.isatty())

    def hung_up(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, hung_up)
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    with Server(peers=2, directory=LAB / "vm" / "shell-server") as server, \
            tempfile.TemporaryDirectory(prefix="ivshmem-shell-") as folder:
        mode, why = accel.choose(get_kernel())
        say(f"starting VMs a and b on {mode.upper()} ({why}) ...")
        pair = _start_pair(server)
        try:
            for number, vm in enumerate(pair):
                how = "" if side_by_side else ", which ends both VMs" if number == 0 else ""
                Desk(vm, Path(folder), WELCOME.format(
                    name=vm.name, other=pair[1 - number].name, peer=number,
                    far=1 - number, share=vm.share, how=how))
            PLACE.write_text(folder + "\n")
            if side_by_side:
                _side_by_side()
            else:
                say("VM a follows; for VM b type 'make shell VM=b' in another terminal")
                attach("a")
            return 0
        except (VMDied, Closed) as error:
            raise LabError(str(error)) from error
        finally:
            PLACE.unlink(missing_ok=True)
            _end(pair)
            say("both VMs are gone")
