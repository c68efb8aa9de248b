# SPDX-License-Identifier: GPL-2.0-only
"""Which patch has which file, and what it changes in those of the kernel."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from lab.log import LabError
from lab.paths import ROOT

from . import sources
from .sources import FILES, LIST

Edit = Callable[[str], str]
MAINTAINERS = "MAINTAINERS"
TITLE = "IVSHMEM DRIVERS"


@dataclass(frozen=True)
class Part:
    """One patch: its number is that of its message, series/NN-NAME."""

    name: str
    # Sources of the project
    sources: tuple[str, ...]
    # New files that only a kernel tree has, and what they are called in FILES
    files: dict[str, str] = field(default_factory=dict)
    # Files of the kernel that get a line
    edits: dict[str, Edit] = field(default_factory=dict)
    # What the entry in MAINTAINERS gets
    maintained: tuple[str, ...] = ()
    # Folder whose objects can be built from here on, though nothing leads there yet
    builds: str = ""


def _after(anchor: str, line: str) -> Edit:
    """Put @line behind the one that is @anchor, unless it is there."""
    def edit(text: str) -> str:
        if line in text:
            return text
        found = re.search(rf"(?m)^{anchor}\n", text)
        if not found:
            raise LabError(f"no line '{anchor}' to put '{line.strip()}' behind; is this a "
                           "kernel of today?")
        return text[:found.end()] + line + text[found.end():]
    return edit


def _ioctl_number(text: str) -> str:
    """A row of the table, in its columns."""
    row = re.search(r"(?m)^(0xAE  00-1F  linux/kvm\.h +)\S", text)
    column = len(row[1]) if row else 0
    return _after(r"0xCF  02 .*", f"{'0xD6  00-0F  linux/ivshmem.h':{column}}"
                  f"<mailto:{LIST}>\n")(text)


def _core(*names: str) -> tuple[str, ...]:
    return tuple(f"drivers/core/{name}" for name in names)


def _all(pattern: str) -> tuple[str, ...]:
    return tuple(sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)))


CORE = "drivers/virt/ivshmem/"
PARTS = [
    Part("format", _all("include/ivshmem/*.h"), maintained=("include/linux/ivshmem/",)),
    Part("device", ("include/uapi/linux/ivshmem.h",
                    *_core("core.h", "trace.h", "trace.c", "main.c", "pci.c",
                           "memory.c", "pat.c", "doorbell.c", "debugfs.c")),
         maintained=(CORE, "include/uapi/linux/ivshmem.h"),
         builds=CORE),
    Part("region", _core("ivshmem.h", "region.c", "format.c", "settings.c", "peer.c", "choice.c",
                         "node.c", "function.c"),
         maintained=("include/linux/ivshmem.h",), builds=CORE),
    Part("chardev", (*_core("chardev.c", "ioctl.c", "mmap.c", "dmabuf.c", "sysfs.c"),
                     "Documentation/ABI/testing/sysfs-class-ivshmem",
                     "Documentation/ABI/testing/sysfs-module-ivshmem"),
         files={f"{CORE}Kconfig": "Kconfig.virt"},
         edits={"drivers/virt/Kconfig": _after(
                    'source "drivers/virt/acrn/Kconfig"',
                    '\nsource "drivers/virt/ivshmem/Kconfig"\n'),
                "drivers/virt/Makefile": _after(
                    r"obj-\$\(CONFIG_ACRN_HSM\)\s.*", "obj-$(CONFIG_IVSHMEM)\t\t+= ivshmem/\n"),
                "Documentation/userspace-api/ioctl/ioctl-number.rst": _ioctl_number},
         maintained=("Documentation/ABI/testing/sysfs-class-ivshmem",
                     "Documentation/ABI/testing/sysfs-module-ivshmem")),
    Part("net", _all("drivers/net/*.[ch]"), files={"drivers/net/ivshmem/Kconfig": "Kconfig.net"},
         edits={"drivers/net/Kconfig": _after(
                    'source "drivers/net/hyperv/Kconfig"',
                    'source "drivers/net/ivshmem/Kconfig"\n'),
                "drivers/net/Makefile": _after(
                    r"obj-\$\(CONFIG_HYPERV_NET\) .*",
                    "obj-$(CONFIG_IVSHMEM_NET) += ivshmem/\n")},
         maintained=("drivers/net/ivshmem/",)),
    Part("blk", (*_all("drivers/blk/*.[ch]"),
                 "Documentation/ABI/testing/sysfs-bus-auxiliary-ivshmem-blk"),
         files={"drivers/block/ivshmem/Kconfig": "Kconfig.block"},
         edits={"drivers/block/Kconfig": _after(
                    'source "drivers/block/rnbd/Kconfig"',
                    '\nsource "drivers/block/ivshmem/Kconfig"\n'),
                "drivers/block/Makefile": _after(
                    r"obj-\$\(CONFIG_BLK_DEV_RNBD\)\s.*",
                    "obj-$(CONFIG_IVSHMEM_BLK)\t+= ivshmem/\n")},
         maintained=("Documentation/ABI/testing/sysfs-bus-auxiliary-ivshmem-blk",
                     "drivers/block/ivshmem/")),
    Part("documentation", ("Documentation/uapi.rst", "Documentation/wire-format.rst"),
         files={"Documentation/virt/ivshmem/index.rst": "index"},
         edits={"Documentation/virt/index.rst": _after("   hyperv/index", "   ivshmem/index\n")},
         maintained=("Documentation/virt/ivshmem/",)),
]
# The Kbuild of each folder with sources of these parts
KBUILDS = {"drivers/virt/ivshmem/": "drivers/core/Kbuild",
           "drivers/net/ivshmem/": "drivers/net/Kbuild",
           "drivers/block/ivshmem/": "drivers/blk/Kbuild"}


def edited() -> list[str]:
    """The files of the kernel that are changed."""
    return [MAINTAINERS, *(name for part in PARTS for name in part.edits)]


def check_complete() -> None:
    """Each source of the drivers has to be in a patch."""
    sorted_in = {name for part in PARTS for name in part.sources}
    lost = set(_all("drivers/core/*.[ch]")) - sorted_in
    if lost:
        raise LabError(f"{', '.join(sorted(lost))}: in no patch; correct PARTS in {__file__}")


def maintainers(text: str, names: list[str], maintainer: str) -> str:
    """MAINTAINERS with an entry for @names, where the alphabet has it."""
    text = re.sub(rf"(?m)^{TITLE}\n(?:.+\n)+\n", "", text)
    entry = "".join(f"{line}\n" for line in [
        TITLE, *([f"M:\t{maintainer}"] if maintainer else []),
        f"L:\t{LIST}", f"S:\t{'Maintained' if maintainer else 'Orphan'}",
        *(f"F:\t{name}" for name in sorted(names))])
    for found in re.finditer(r"(?m)(?<=\n\n)[0-9A-Z].*\n(?=[A-Z]:\t)", text):
        if found[0] > TITLE:
            return f"{text[:found.start()]}{entry}\n{text[found.start():]}"
    raise LabError("MAINTAINERS: no entry to put this one in front of")


def contents(upto: int, unifdef: Path) -> dict[str, str]:
    """Path and text of all new files that there are with the first @upto parts."""
    found: dict[str, str] = {}
    objects = set()
    for part in PARTS[:upto]:
        for name in part.sources:
            found[sources.place(name)] = sources.text(name, unifdef)
            objects.add(Path(name).with_suffix(".o").name)
        for name, own in part.files.items():
            found[name] = (FILES / own).read_text(encoding="utf-8")
    for folder, kbuild in KBUILDS.items():
        if any(name.startswith(folder) and name.endswith(".c") for name in found):
            found[f"{folder}Makefile"] = sources.makefile(kbuild, objects)
    return found


def changed(upto: int, read: Callable[[str], str], maintainer: str) -> dict[str, str]:
    """The same of files of the kernel, which @read has as they were."""
    names = [name for part in PARTS[:upto] for name in part.maintained]
    found = {MAINTAINERS: maintainers(read(MAINTAINERS), names, maintainer)}
    for part in PARTS[:upto]:
        for name, edit in part.edits.items():
            found[name] = edit(found.get(name) or read(name))
    return found
