# SPDX-License-Identifier: GPL-2.0-only
"""A Debian of its own that packages are installed in: made once, kept below build/lab/root.

It has dkms, a kernel's headers and what the packages depend on, but not them. What is
changed in it is kept in memory and gone at the end.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from lab import debian
from lab.log import LabError, say
from lab.paths import LAB

# Those of the kernel's meta package, which all kernels of a release share, and what the
# machine of tests/packages/machine.py is to have
PACKAGES = ("apparmor", "dkms", "iproute2", "kmod", "libc6-dev", "linux-headers-amd64",
            "procps", "python3", "qemu-guest-agent", "systemd-sysv", "udev")
STAMP = LAB / "root/packages.stamp"
BASE = LAB / "root/packages"
# Mounts a copy of the base that is written to in memory, and stays until it is killed
HOLD = """
set -e
mount -t tmpfs -o mode=755 memory "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" root "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mount -t tmpfs memory "$2/root/run"
cat /etc/resolv.conf >"$2/root/etc/resolv.conf"
mkdir "$2/root/packages"
for folder in $3; do
    mkdir "$2/root/packages/${folder##*/}"
    mount --bind "$folder" "$2/root/packages/${folder##*/}"
done
echo ready
exec sleep infinity
"""
# The reader of a document says yes, is root already, and has the packages where they were made
# or where they were copied to
READER = """
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/yes
printf '#!/bin/sh\\nexec "$@"\\n' >/usr/bin/sudo
chmod 755 /usr/bin/sudo
mkdir /root/build
ln -s /packages/packages /root/build/packages
ln -s /packages/packages /root/packages
"""
PROXIES = {name: os.environ[name] for name in ("http_proxy", "https_proxy", "no_proxy")
           if name in os.environ}
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
               "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8", **PROXIES}


def base() -> Path:
    """The root file system, fetched on the first call."""
    wanted = " ".join((debian.codename(), *PACKAGES))
    if not (STAMP.exists() and STAMP.read_text() == wanted):
        with debian.locked("fetch"):
            if not (STAMP.exists() and STAMP.read_text() == wanted):
                _fetch(wanted)
    return BASE


def _fetch(wanted: str) -> None:
    say(f"fetching a Debian {debian.codename()} to install packages in once (130 MB)")
    BASE.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["rm", "-rf", "--one-file-system", BASE], check=True)
    sources = BASE.with_suffix(".list")
    sources.write_text("".join(archive.line() + "\n" for archive
                               in debian.host_archives(debian.codename())))
    log = BASE.with_suffix(".log")
    with open(log, "wb") as output:
        done = subprocess.run(
            ["mmdebstrap", "--mode=root", "--variant=minbase", "--skip=cleanup/apt/lists",
             f"--include={','.join(PACKAGES)}", debian.codename(), BASE, sources],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode:
        raise LabError(f"mmdebstrap: failed; {log} says why")
    STAMP.write_text(wanted)


class Root:
    """The Debian with changes of its own; a context manager.

    @folders of the host are below /packages there, each by its last name.
    """

    def __init__(self, *folders: Path) -> None:
        self.folder = LAB / "root/changes"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._before: set[str] = set()
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", HOLD, "sh",
                 str(base()), str(self.folder), " ".join(map(str, folders))]
        # pylint: disable-next=consider-using-with
        self._holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._holder.stdout
        if self._holder.stdout.readline() != b"ready\n":
            self.close()
            raise LabError(f"{self.folder}: no file system can be mounted there")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.pid = int(children.read_text())

    def run(self, script: str, check: bool = True) -> str:
        """Run a script there; what it printed, errors included."""
        command = ["nsenter", f"--target={self.pid}", "--mount", "--pid",
                   "chroot", str(self.folder / "root"), "sh", "-euc", script]
        done = subprocess.run(command, env=ENVIRONMENT, text=True, check=False, cwd="/",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

    def _files(self) -> set[str]:
        return set(self.run("find / -xdev ! -path '/packages*'").splitlines())

    def remember(self) -> None:
        """What is there now is not new."""
        self._before = self._files()

    def added(self) -> set[str]:
        """Names of what is new."""
        return self._files() - self._before

    def close(self) -> None:
        """End what runs there; the changes are gone."""
        self._holder.kill()
        self._holder.communicate()

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
