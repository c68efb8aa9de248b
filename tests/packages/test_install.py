# SPDX-License-Identifier: GPL-2.0-only
"""`make install` for those whose system has no packages of ours, and `make uninstall`."""

import json
import subprocess
from pathlib import Path

import pytest

from lab.debian import locked
from lab.kernel import Kernel
from lab.paths import BUILD, ROOT

EXPECTED = ("bin/ivshmem", "bin/ivshmem-blk-server", "sbin/ivshmemd", "include/libivshmem.h",
            "include/linux/ivshmem.h", "include/ivshmem/wire.h",
            "lib/systemd/system/ivshmemd.service", "lib/systemd/system/ivshmem-tap@.service",
            "lib/sysusers.d/ivshmem.conf", "lib/udev/rules.d/70-ivshmem.rules",
            "share/bash-completion/completions/ivshmem", "share/man/man1/ivshmem.1",
            "share/man/man3/ivshmem_open.3", "share/man/man8/ivshmemd.8")


@pytest.fixture(name="prefix")
def _prefix(userspace: None) -> str:  # pylint: disable=unused-argument
    """Where user space has been built for."""
    options = subprocess.check_output(
        ["meson", "introspect", BUILD / "meson", "--buildoptions"])
    return next(option["value"] for option in json.loads(options)
                if option["name"] == "prefix")


def make(target: str, destination: Path, prefix: str, kernel: Kernel) -> None:
    """Have make do it for a folder of ours."""
    done = subprocess.run(["make", target, f"DESTDIR={destination}", f"PREFIX={prefix}",
                           f"KDIR={kernel.headers}"], cwd=ROOT, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def files(folder: Path) -> set[str]:
    """Names of what is below a folder, without the folders."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")
            if path.is_symlink() or not path.is_dir()}


def test_all_is_taken_away(tmp_path: Path, prefix: str, guest_kernel: Kernel) -> None:
    """What was installed is where it belongs, and gone after uninstall; what somebody else
    has put beside it stays."""
    own = tmp_path / prefix.lstrip("/") / "share/doc/ivshmem/notes"
    with locked("install"):
        make("install", tmp_path, prefix, guest_kernel)
        make("install-dkms", tmp_path, prefix, guest_kernel)
    found = files(tmp_path)
    assert {f"{prefix.lstrip('/')}/{name}" for name in EXPECTED} <= found
    updates = f"lib/modules/{guest_kernel.release}/updates"
    assert {name for name in found if name.startswith("lib/modules")} == \
        {f"{updates}/{name}.ko" for name in ("ivshmem", "ivshmem_blk", "ivshmem_net")}
    assert {"usr/src", "etc/apparmor.d"} <= {str(Path(*Path(name).parts[:2])) for name in found}

    own.write_text("mine")
    with locked("install"):
        make("uninstall", tmp_path, prefix, guest_kernel)
    assert files(tmp_path) == {str(own.relative_to(tmp_path))}
    assert not list(tmp_path.glob("**/ivshmem-*"))
