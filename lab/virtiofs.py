# SPDX-License-Identifier: GPL-2.0-only
"""Folders of the host in guests whose kernels have no 9p: a virtiofsd for each."""

import subprocess
import tempfile
from pathlib import Path

from .agent import poll_until
from .log import LabError

# Of Debian 12's qemu-system-common, and of 13's virtiofsd, which is another program
PROGRAMS = {Path("/usr/lib/qemu/virtiofsd"): ["-o", "sandbox=chroot", "-o"],
            Path("/usr/libexec/virtiofsd"): ["--sandbox=chroot", "--shared-dir"]}


def shared_memory(size: str) -> list[str]:
    """QEMU's arguments for memory of a guest that the daemons see."""
    return ["-object", f"memory-backend-memfd,id=memory,size={size},share=on",
            "-numa", "node,memdev=memory"]


class VirtioFS:
    """A folder of the host, which the guest mounts by its tag; it ends with the guest."""

    def __init__(self, tag: str, folder: Path, directory: Path) -> None:
        program = next((path for path in PROGRAMS if path.exists()), None)
        if not program:
            raise LabError("virtiofsd: not found; install the package of that name")
        self.tag = tag
        # The name of a socket has to be short
        self._folder = tempfile.TemporaryDirectory(prefix="ivs-")
        self.socket = Path(self._folder.name) / "socket"
        words = PROGRAMS[program]
        last = f"source={folder}" if words[-1] == "-o" else str(folder)
        with open(directory / f"virtiofsd-{tag}.log", "wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, f"--socket-path={self.socket}",
                 *words, last], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        try:
            poll_until(lambda: self.socket.exists() or self._process.poll() is not None, 60,
                       f"{program}: {log.name}")
            if self._process.poll() is not None:
                raise LabError(f"{program}: it has ended; {log.name} may say why (it needs root)")
        except BaseException:
            self.kill()
            raise

    @property
    def arguments(self) -> list[str]:
        """QEMU's arguments."""
        return ["-chardev", f"socket,id={self.tag},path={self.socket}",
                "-device", f"vhost-user-fs-pci,chardev={self.tag},tag={self.tag}"]

    def kill(self) -> None:
        """End the daemon."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()
