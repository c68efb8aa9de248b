# SPDX-License-Identifier: GPL-2.0-only
"""What a source of this project is called and looks like in a kernel tree.

Paths are other ones there, kernels of before do not exist, nor does user space. All that
is replaced has to be found: a source that has changed is an error, never passed over.
"""

import re
import subprocess
from pathlib import Path

from lab.log import LabError
from lab.paths import BUILD, ROOT

FILES = Path(__file__).resolve().parent / "files"
COMPAT = ROOT / "drivers/compat/compat.h"
# Where patches to the shared parts of the kernel are talked about
LIST = "virtualization@lists.linux.dev"

FOLDERS = {
    "include/ivshmem/": "include/linux/ivshmem/",
    "include/uapi/linux/": "include/uapi/linux/",
    "drivers/core/": "drivers/virt/ivshmem/",
    "drivers/net/": "drivers/net/ivshmem/",
    "drivers/blk/": "drivers/block/ivshmem/",
    "Documentation/ABI/testing/": "Documentation/ABI/testing/",
    "Documentation/": "Documentation/virt/ivshmem/",
}
# Others than the folder's
PLACES = {"drivers/core/ivshmem.h": "include/linux/ivshmem.h"}

# In all sources: names of files, and of what compat.h has for the newest kernel
NAMES = [
    (r'#include "ivshmem\.h"', "#include <linux/ivshmem.h>"),
    (r"<ivshmem/", "<linux/ivshmem/"),
    (r"#include IVSHMEM_GSO_HEADER", "#include <net/gso.h>"),
    (r"#include IVSHMEM_PAGE_POOL_HEADER", "#include <net/page_pool/helpers.h>"),
    (r"#include IVSHMEM_QUEUES_HEADER", "#include <net/netdev_queues.h>"),
    (r"\bIVSHMEM_NS\b", '"IVSHMEM"'),
    (r"\bIVSHMEM_DMABUF_NS\b", '"DMA_BUF"'),
    (r"\bIVSHMEM_MQ_MERGE \| ", ""),
    (r"\bnetdev_set_stat_ops\((\w+), (&\w+)\)", r"\1->stat_ops = \2"),
    # Beyond what unifdef understands
    (r"#if defined\(__cplusplus\).*\\\n.*\n((?:.+\n)+?)#endif\n", r"\1"),
    # Of 7.0
    (r"\bk([mz])alloc\(sizeof\((\*[^()]+)\), ", r"k\1alloc_obj(\2, "),
    (r"\binclude/ivshmem/", "include/linux/ivshmem/"),
    (r"\bDocumentation/wire-format\.rst", "Documentation/virt/ivshmem/wire-format.rst"),
]

# In one source: what is written otherwise where there is no compat.h, or no project
PASSAGES = {
    "drivers/core/core.h": [
        # The other of the name is the interface for drivers of functions
        ("#include <linux/ivshmem.h>", "#include <uapi/linux/ivshmem.h>")],
    "drivers/core/dmabuf.c": [
        ("""\
/*
 * Who pins does not want to be told.  But a kernel that was built without
 * telling pins whatever is mapped, once, and importers are told all the same.
 * Who pins by himself does so a second time when he maps it: that fails.
 * Called with the reservation lock.
 */
static int ivshmem_buffer_pin(struct dma_buf_attachment *attach)
{
\tif (!IVSHMEM_DMABUF_PINS || attach->priv)
\t\treturn -EOPNOTSUPP;

\tattach->priv = attach;
\treturn 0;
}

static void ivshmem_buffer_unpin(struct dma_buf_attachment *attach)
{
\tattach->priv = NULL;
}
""", """\
/* Who pins does not want to be told */
static int ivshmem_buffer_pin(struct dma_buf_attachment *attach)
{
\treturn -EOPNOTSUPP;
}

static void ivshmem_buffer_unpin(struct dma_buf_attachment *attach)
{
}
""")],
    "drivers/blk/disk.c": [
        ("""\
\tdisk = ivshmem_alloc_disk(&ivblk->tags, &limits,
\t\t\t\t  info->features & IVBLK_FLUSH,
\t\t\t\t  info->features & IVBLK_FUA, ivblk);
""", """\
\tif (info->features & IVBLK_FLUSH)
\t\tlimits.features |= BLK_FEAT_WRITE_CACHE;
\tif (info->features & IVBLK_FUA)
\t\tlimits.features |= BLK_FEAT_FUA;

\tdisk = blk_mq_alloc_disk(&ivblk->tags, &limits, ivblk);
""")],
    "include/ivshmem/port.h": [
        ("""\
 * another machine may change at any time, and barriers that hold between
 * machines.  For the Linux kernel, for C11 and C++11, and for the checkers,
 * which define IVSHMEM_PORT and bring their own.
""", """\
 * another machine may change at any time, and barriers that hold between
 * machines.
""")],
    "include/ivshmem/link.h": [
        ("""\
 * Documentation/wire-format.rst specifies it; proof/link.pml is the model that
 * was searched, and the marks [A1] to [U2] are the same in all three.
""", """\
 * Documentation/wire-format.rst specifies it; the marks [A1] to [U2] are the same
 * in both.
""")],
    "Documentation/uapi.rst": [
        ("The pieces of C below are one source file and are compiled by ``make check``:",
         "The pieces of C below are one source file:"),
        ("`wire-format.rst <wire-format.rst>`_", "Documentation/virt/ivshmem/wire-format.rst")],
    "Documentation/wire-format.rst": [
        (".. only:: html\n\n   .. graphviz:: diagrams/region.dot\n"
         "      :caption: A region of three slots, from left to right ever closer\n\n", ""),
        (".. only:: html\n\n   .. graphviz:: diagrams/link.dot\n"
         "      :caption: The states of one side of a link\n\n"
         ".. only:: not html\n\n   ::\n\n"
         "    DOWN --start--> ANNOUNCE --[A1]..[A3]--> WAIT --[W4]--> UP\n"
         "                       ^                      |              |\n"
         "                       +---------[A1]---------+--------------+\n"
         "                              the session is over\n",
         "::\n\n"
         "\tDOWN --start--> ANNOUNCE --[A1]..[A3]--> WAIT --[W4]--> UP\n"
         "\t                   ^                      |              |\n"
         "\t                   +---------[A1]---------+--------------+\n"
         "\t                          the session is over\n")],
}
# What a kernel's build says of itself, and what each supported header has
KNOWN = ("-D__KERNEL__", "-UIVSHMEM_PORT", "-U__cplusplus", "-DVIRTIO_NET_HDR_GSO_UDP_L4")


def newest() -> tuple[int, int]:
    """The kernel from which on compat.h adds nothing."""
    numbers = re.findall(r"KERNEL_VERSION\((\d+), (\d+), 0\)", COMPAT.read_text())
    return max((int(major), int(minor)) for major, minor in numbers)


def place(name: str) -> str:
    """Where a source of the project is in a kernel tree."""
    if name in PLACES:
        return PLACES[name]
    folder = max((f for f in FOLDERS if name.startswith(f)), key=len)
    return FOLDERS[folder] + name.removeprefix(folder)


def text(name: str, unifdef: Path) -> str:
    """What a source of the project says there."""
    found = (ROOT / name).read_text(encoding="utf-8")
    for before, after in PASSAGES.get(name, []):
        if found.count(before) != 1:
            raise LabError(f"{name}: has changed; correct PASSAGES in {__file__}: {before}")
        found = found.replace(before, after)
    if name.startswith("Documentation/ABI/"):
        return re.sub(r"(?m)^Contact:.*", f"Contact:\t{LIST}", found)
    for pattern, replacement in NAMES:
        found = re.sub(pattern, replacement, found)
    if name.endswith((".c", ".h")):
        found = _without_conditions(found, unifdef)
        _refuse_compat(name, found)
    return found


def _without_conditions(found: str, unifdef: Path) -> str:
    done = subprocess.run([unifdef, *KNOWN], input=found, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode not in (0, 1):
        raise LabError(f"unifdef: {done.stderr}")
    return re.sub(r"\n\n\n+", "\n\n", done.stdout)


def _refuse_compat(name: str, found: str) -> None:
    """A name of compat.h that the newest kernel does not have must not be left."""
    own = set(re.findall(r"\b(?:IVSHMEM_\w+|ivshmem_\w+|netdev_set_stat_ops)\b",
                         COMPAT.read_text())) - {"_IVSHMEM_COMPAT_H"}
    left = own & set(re.findall(r"\w+", found))
    if left:
        raise LabError(f"{name}: uses {', '.join(left)} of compat.h; add what it is in the "
                       f"newest kernel to {__file__}")


def makefile(name: str, objects: set[str] | None = None) -> str:
    """The Makefile that a folder's Kbuild is in a kernel tree; of some objects only."""
    found = (ROOT / name).read_text(encoding="utf-8")
    found = re.sub(r"(?m)^# In a kernel tree: .*\n", "", found)
    found = re.sub(r"(?m)^ccflags-y .*\$\(src\)/\.\./core\n\n", _flags, found)
    found = found.replace("again, by path: this one, not the core's.", "again, by path")
    # Options are called as the modules are
    found = re.sub(r"(?m)^obj-m := (\w+)\.o$",
                   lambda match: f"obj-$(CONFIG_{match[1].upper()}) := {match[1]}.o", found)
    if objects is None:
        return found
    return "".join(line for line in found.splitlines(keepends=True)
                   if not re.match(r"ivshmem\S* [+:]= ", line) or line.split()[-1] in objects)


def _flags(match: re.Match) -> str:
    """Without the core's folder, whose header is where all look."""
    flags = match[0].replace(" -I$(src)/../core", "").rstrip()
    return "" if flags.endswith("+=") else flags + "\n\n"


def unifdef_of(tree: Path) -> Path:
    """The kernel's own unifdef, built."""
    program = BUILD / "upstream/unifdef"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O1", "-w", "-o", program, tree / "scripts/unifdef.c"], check=True)
    return program
