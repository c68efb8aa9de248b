# SPDX-License-Identifier: GPL-2.0-only
"""What `make packages` makes, and its life in a Debian, from the first day to the last, in
this order.

All in one file: several at a time would build the packages in the same place.
"""

import os
import re
import subprocess
from typing import Iterator

import pytest

from tests.documents.blocks import commands

from .conftest import Packages, names
from .older import VERSION
from .root import READER, Root

MODULES = ("ivshmem", "ivshmem_blk", "ivshmem_net")
# The document's, of a machine and its host
DOCUMENT = commands("install.rst", "packages/test_packages")
# Below the floor; what dkms looks for first is there
OLD_KERNEL = "5.10.0-99-amd64"
# What is still there after purge is not ours: what packages of others keep of their own
OTHERS = re.compile(r"/(var/(lib/(dpkg|apt|dkms/mok|systemd|ucf|python)|cache|log|backups)"
                    r"|etc/(ld\.so\.cache|passwd-?|group-?|g?shadow-?|resolv\.conf"
                    r"|apparmor\.d(/local)?|\.pwd\.lock|.*/\.wh.*)"
                    r"|tmp|run|root)\b.*"
                    # What depmod makes of all modules, and the folder of a kernel that is gone
                    r"|/usr/lib/modules/[^/]+(/modules[.].*)?")
# Of each package what nobody should have to look for, by what it is
CONTENTS = {
    "ivshmem-blk-server": [r"usr/bin/ivshmem-blk-server",
                           r"(usr/)?lib/systemd/system/ivshmem-blk-server@\.service",
                           r"usr/share/doc/ivshmem-blk-server/examples/blk\.conf",
                           r"usr/share/man/man8/ivshmem-blk-server\.8\.gz"],
    "ivshmem-dkms": [r"usr/src/ivshmem-[\d.]+/dkms\.conf",
                     r"usr/src/ivshmem-[\d.]+/drivers/Kbuild",
                     r"usr/src/ivshmem-[\d.]+/include/ivshmem/wire\.h",
                     r"usr/lib/udev/rules\.d/70-ivshmem\.rules",
                     r"usr/lib/sysusers\.d/ivshmem-dkms\.conf"],
    "ivshmem-tools": [r"usr/bin/ivshmem",
                      r"(usr/)?lib/systemd/system/ivshmem-tap@\.service",
                      r"usr/share/bash-completion/completions/ivshmem",
                      r"usr/share/man/man1/ivshmem\.1\.gz"],
    "ivshmemd": [r"usr/sbin/ivshmemd",
                 r"(usr/)?lib/systemd/system/ivshmemd\.service",
                 r"(usr/)?lib/systemd/system/ivshmemd@\.socket",
                 r"etc/ivshmem/ivshmemd\.conf",
                 r"etc/apparmor\.d/ivshmemd",
                 r"usr/lib/sysusers\.d/ivshmemd\.conf",
                 r"usr/share/man/man5/ivshmemd\.conf\.5\.gz",
                 r"usr/share/man/man8/ivshmemd\.8\.gz"],
    "libivshmem-dev": [r"usr/include/libivshmem\.h", r"usr/include/linux/ivshmem\.h",
                       r"usr/include/ivshmem/ring\.h",
                       r"usr/lib/[^/]+/libivshmem\.so",
                       r"usr/lib/[^/]+/pkgconfig/libivshmem\.pc",
                       r"usr/share/man/man3/ivshmem_open\.3\.gz",
                       r"usr/share/doc/libivshmem-dev/examples/hello\.c"],
    "libivshmem0": [r"usr/lib/[^/]+/libivshmem\.so\.0"],
    "python3-ivshmem": [r"usr/lib/python3/dist-packages/ivshmem\.py"],
}


def test_all_are_built(packages: Packages) -> None:
    """Each part has its package, and is told of."""
    assert names(packages.folder) == sorted(CONTENTS)
    for name in CONTENTS:
        assert f"\n  {name}_{packages.version}_" in packages.output


def test_lintian_is_silent(packages: Packages) -> None:
    """Whatever it says, be it for information, is a mistake here."""
    assert not re.findall("^[EWI]: .*", packages.output, re.M)


def test_nothing_is_warned_of(packages: Packages) -> None:
    """By compilers with all that distributions switch on, nor by tools of packages."""
    log = (packages.folder / "log").read_text()
    assert "_FORTIFY_SOURCE" in log
    assert not re.findall(".*warning:.*", log)


@pytest.mark.parametrize("name", CONTENTS)
def test_files_are_where_they_belong(packages: Packages, name: str) -> None:
    """As the file system's standard and each tool that looks for them want it."""
    listing = subprocess.check_output(["dpkg-deb", "--fsys-tarfile", packages.path(name)])
    found = subprocess.run(["tar", "-t"], input=listing, stdout=subprocess.PIPE,
                           check=True).stdout.decode().split()
    files = [file.removeprefix("./") for file in found]
    for pattern in CONTENTS[name]:
        assert any(re.fullmatch(pattern, file) for file in files), (pattern, files)
    assert not [file for file in files if re.match("usr/local|build|tests", file)]
    assert not [file for file in files if "drivers/test" in file]


@pytest.fixture(name="root", scope="module")
def _root(packages: Packages) -> Iterator[Root]:
    """A Debian with headers of one kernel that is supported, and of one that is not."""
    if os.geteuid():
        pytest.skip("only root can make files of other users")
    with Root(packages.folder, packages.older) as root:
        root.run(f"mkdir -p /lib/modules/{OLD_KERNEL}/build/include")
        root.remember()
        yield root


def install(root: Root, folder: str, version: str) -> str:
    """Install all packages of a version; what was said."""
    wanted = " ".join(f"/packages/{folder}/{name}_{version}_*.deb" for name in CONTENTS)
    return root.run(f"apt-get install -y --no-install-recommends {wanted}")


def kernels(root: Root) -> list[str]:
    """Kernels whose headers are there, and that are supported."""
    found = root.run("cd /lib/modules && ls -d */build").split()
    return sorted(set(name.split("/")[0] for name in found) - {OLD_KERNEL})


def built(root: Root) -> list[str]:
    """What dkms has installed: "version kernel"."""
    lines = root.run("dkms status -m ivshmem").splitlines()
    matches = [re.fullmatch(r"ivshmem/([\d.]+), (\S+), x86_64: installed", line)
               for line in lines]
    assert all(matches), lines
    return sorted(f"{match[1]} {match[2]}" for match in matches if match)


def assert_modules(root: Root, version: str, *releases: str) -> None:
    """All modules of a version are where each of the kernels looks for them."""
    for release in releases:
        for name in MODULES:
            assert root.run(f"modinfo -k {release} -n {name}") == \
                f"/lib/modules/{release}/updates/dkms/{name}.ko\n"
            assert root.run(f"modinfo -k {release} -F version {name}") == f"{version}\n"
    probe = root.run(f"modprobe -S {releases[0]} -n -v pci:v00001AF4d00001110sv1sd1bc05sc00i00")
    assert "ivshmem.ko" in probe


def test_installation(root: Root, packages: Packages) -> None:
    """apt installs all of them, modules are built for each kernel with headers, and one
    below the floor is refused in words that say so."""
    [release] = kernels(root)
    said = install(root, packages.older.name, VERSION)
    assert f"ivshmem-dkms: no modules for {OLD_KERNEL}: they need Linux 6.1 or newer" in said
    assert built(root) == [f"{VERSION} {release}"]
    assert_modules(root, VERSION, release)


def test_an_old_kernel_comes(root: Root) -> None:
    """When headers of one are installed later that is not supported, it is refused, too."""
    # Debian 12's dkms takes a refusal for a failure, later ones do not
    said = root.run(f"/etc/kernel/header_postinst.d/dkms {OLD_KERNEL}", check=False)
    assert "BUILD_EXCLUSIVE directive which does not match this kernel" in said
    assert not [line for line in built(root) if OLD_KERNEL in line]


def test_user(root: Root) -> None:
    """The user of the services and the group of devices are there."""
    assert root.run("getent passwd ivshmem").startswith("ivshmem:x:")
    assert root.run("getent group ivshmem").startswith("ivshmem:x:")


def test_programs(root: Root, packages: Packages) -> None:
    """What was installed runs, with the libraries that it depends on."""
    for program in ("ivshmem", "ivshmemd", "ivshmem-blk-server"):
        assert packages.version in root.run(f"{program} --version")
    root.run("ivshmemd --check")
    assert root.run("python3 -c 'import ivshmem; print(ivshmem.version())'").strip() == \
        packages.version


def test_development(root: Root) -> None:
    """An example is built with the library's package, and headers are found without."""
    root.run("""
        cd /usr/share/doc/libivshmem-dev/examples
        gcc -Wall -Werror -o /tmp/hello hello.c -livshmem
        ldd /tmp/hello | grep libivshmem.so.0
        for header in /usr/include/linux/ivshmem.h /usr/include/ivshmem/*.h; do
            echo "#include <${header#/usr/include/}>"
        done | gcc -Wall -Werror -xc -fsyntax-only -""")


def test_upgrade(root: Root, packages: Packages) -> None:
    """The modules are the new ones, nothing is left of the old ones; the administrator's
    change of the configuration stays."""
    [release] = kernels(root)
    root.run("echo '# mine' >>/etc/ivshmem/ivshmemd.conf")
    install(root, packages.folder.name, packages.version)
    assert built(root) == [f"{packages.version} {release}"]
    assert_modules(root, packages.version, release)
    assert not [name for name in root.added() if VERSION in name and "ivshmem" in name]
    assert root.run("tail -n 1 /etc/ivshmem/ivshmemd.conf") == "# mine\n"


def test_new_kernel(root: Root, packages: Packages) -> None:
    """Headers of a second kernel arrive, and there are modules for it at once."""
    [release] = kernels(root)
    flavour = release.replace("-amd64", "-cloud-amd64")
    root.run(f"apt-get install -y --no-install-recommends linux-headers-{flavour}")
    assert kernels(root) == sorted([release, flavour])
    assert built(root) == sorted(f"{packages.version} {kernel}" for kernel in kernels(root))
    assert_modules(root, packages.version, release, flavour)
    root.run(f"apt-get purge -y linux-headers-{flavour}")


def test_removal(root: Root) -> None:
    """Without the packages there are no modules and no programs; the configuration stays."""
    root.run(f"apt-get remove -y {' '.join(CONTENTS)}")
    assert built(root) == []
    assert not root.run("find /lib/modules/ -name 'ivshmem*'")
    assert not root.run("find /usr -name '*ivshmem*'")
    assert root.run("tail -n 1 /etc/ivshmem/ivshmemd.conf") == "# mine\n"


def test_purge(root: Root) -> None:
    """After purge nothing is there that was not before, but for the user."""
    known = root.run("dpkg-query -W -f '${Package} ${db:Status-Status}\\n'").splitlines()
    kept = [name for name, _, status in (line.partition(" ") for line in known)
            if name in CONTENTS and status == "config-files"]
    assert "ivshmemd" in kept
    root.run(f"apt-get purge -y --autoremove {' '.join(kept)}")
    left = [name for name in root.added() if not OTHERS.fullmatch(name)]
    assert left == []
    assert root.run("getent passwd ivshmem")


def test_document(root: Root, packages: Packages) -> None:
    """Its commands install what they are said to, and take all of it away again."""
    machine, host, status, remove_from_machine, remove_from_host = DOCUMENT
    root.run(READER)
    root.run(f"cd /root\n{machine}")
    [release] = kernels(root)
    assert root.run(status) == f"ivshmem/{packages.version}, {release}, x86_64: installed\n"
    assert_modules(root, packages.version, release)
    root.run(remove_from_machine)
    assert not root.run("find /usr /etc -name '*ivshmem*'")
    root.run(f"cd /root\n{host}")
    root.run("ivshmemd --check && ivshmem --version")
    root.run(remove_from_host)
    assert not root.run("find /usr /etc -name '*ivshmem*'")
