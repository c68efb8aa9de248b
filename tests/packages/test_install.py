# SPDX-License-Identifier: GPL-2.0-only
"""`make install` for those whose system has no packages of ours, and `make uninstall`; by the
commands of the documents."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab.debian import locked
from lab.kernel import Kernel
from lab.paths import BUILD, ROOT
from tests.documents.blocks import commands, everywhere

INSTALL, INSTALL_DKMS = commands("install.rst", "packages/test_install")
*README, COMPILE_README = commands("README.md", "packages/test_install")
(COMPILE,) = commands("programs.rst", "packages/test_install")
(SIGN,) = commands("secure-boot.rst", "packages/test_install")
# A sudo for those who are root, or need not be
PATH = f"{ROOT}/tests/documents/bin:{os.environ['PATH']}"

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


def follow(text: str, destination: Path, prefix: str, kernel: Kernel) -> None:
    """Run commands in the folder of the project, whose make installs into a folder of ours."""
    variables = f"DESTDIR={destination} PREFIX={prefix} KDIR={kernel.headers}"
    with locked("install"):
        done = subprocess.run(["bash", "-ec", text], cwd=ROOT, check=False, text=True,
                              env=dict(os.environ, PATH=PATH, MAKEFLAGS=f" -- {variables}"),
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
    for text in (INSTALL, INSTALL_DKMS):
        follow(text, tmp_path, prefix, guest_kernel)
    found = files(tmp_path)
    assert {f"{prefix.lstrip('/')}/{name}" for name in EXPECTED} <= found
    updates = f"lib/modules/{guest_kernel.release}/updates"
    assert {name for name in found if name.startswith("lib/modules")} == \
        {f"{updates}/{name}.ko" for name in ("ivshmem", "ivshmem_blk", "ivshmem_net")}
    assert {"usr/src", "etc/apparmor.d"} <= {str(Path(*Path(name).parts[:2])) for name in found}

    own.write_text("mine")
    follow("make uninstall", tmp_path, prefix, guest_kernel)
    assert files(tmp_path) == {str(own.relative_to(tmp_path))}
    assert not list(tmp_path.glob("**/ivshmem-*"))


def test_readme(tmp_path: Path, prefix: str, guest_kernel: Kernel) -> None:
    """What it says for the host, and for machines, installs all of it."""
    for text in README:
        follow(text, tmp_path, prefix, guest_kernel)
    assert {f"{prefix.lstrip('/')}/{name}" for name in EXPECTED} <= files(tmp_path)
    assert list(tmp_path.glob("lib/modules/*/updates/ivshmem.ko"))


def test_modules_are_signed(tmp_path: Path, prefix: str, guest_kernel: Kernel) -> None:
    """Each of those that were installed, by the key that was made for that."""
    follow("make install-modules", tmp_path, prefix, guest_kernel)
    modules = tmp_path / "lib/modules"
    (modules / guest_kernel.release / "build").symlink_to(guest_kernel.headers)
    text = SIGN.replace("/lib/modules", str(modules))
    subprocess.run(["bash", "-ec", f"uname() {{ echo {guest_kernel.release}; }}\n{text}"],
                   cwd=tmp_path, env=dict(os.environ, PATH=PATH), check=True)
    signed = list(modules.glob("*/updates/*.ko"))
    assert len(signed) == 3
    for path in signed:
        assert subprocess.check_output(["/usr/sbin/modinfo", "-F", "signer", path], text=True) \
            == "modules of this machine\n"


@pytest.mark.parametrize("document, command", [("README.md", COMPILE_README),
                                               ("programs.rst", COMPILE)])
def test_program_is_built(document: str, command: str, tmp_path: Path, prefix: str,
                          guest_kernel: Kernel) -> None:
    """What a document has in C, with the library that was installed."""
    (source,) = [block.text for block in everywhere()
                 if (block.document, block.language) == (document, "c")]
    (tmp_path / "hello.c").write_text(source)
    follow("make install-userspace", tmp_path, prefix, guest_kernel)
    [found] = tmp_path.rglob("libivshmem.pc")
    compiler = 'cc() { command cc -Wall -Wextra -Werror "$@"; }\n'
    subprocess.run(["bash", "-ec", compiler + command], cwd=tmp_path, check=True,
                   env=dict(os.environ, PKG_CONFIG_PATH=str(found.parent),
                            PKG_CONFIG_SYSROOT_DIR=str(tmp_path)))
    assert (tmp_path / "a.out").exists()
