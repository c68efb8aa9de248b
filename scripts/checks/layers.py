# SPDX-License-Identifier: GPL-2.0-only
"""Checks of who knows whom: includes, kernel versions, ways to crash.

Knowledge flows one way: the core knows PCI, memory and doorbells; net and blk
know the core's interface and the shared format; the format knows nothing;
user space knows nothing of the driver's inside.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from .base import Finding, Outcome, check, count
from .tree import Tree

INCLUDE = re.compile(r'^\s*#\s*include\s*(?P<mark>[<"])(?P<name>[^>"]+)[>"]')
# Where the compilers of this tree look, besides the file's own folder.
INCLUDE_PATH = ("", "drivers", "drivers/core", "drivers/net", "drivers/blk",
                "include", "include/uapi", "lib/include", "lib")
CORE_INTERFACE = "drivers/core/ivshmem.h"
USER_SPACE = ("lib/", "tools/", "server/", "blkserver/", "demo/", "examples/", "tests/", "bench/")


@dataclass(frozen=True)
class Layer:
    """Files below @folders must not include files that @forbidden accepts."""

    folders: tuple[str, ...]
    forbidden: Callable[[str], bool]
    reason: str


def _inside_of_core(path: str) -> bool:
    return path.startswith("drivers/core/") and path != CORE_INTERFACE


LAYERS = [
    Layer(("drivers/net/", "drivers/blk/", "drivers/test/"), _inside_of_core,
          f"drivers of functions may know {CORE_INTERFACE} and include/ivshmem/ only"),
    Layer(("drivers/net/",), lambda path: path.startswith("drivers/blk/"),
          "net must not know blk"),
    Layer(("drivers/blk/",), lambda path: path.startswith("drivers/net/"),
          "blk must not know net"),
    Layer(("drivers/core/",),
          lambda path: path.startswith(("drivers/net/", "drivers/blk/", "drivers/test/")),
          "the core must not know net or blk"),
    Layer(("drivers/", "include/"), lambda path: path.startswith(USER_SPACE),
          "the kernel's side must not know user space"),
    Layer(("include/ivshmem/",),
          lambda path: not path.startswith("include/ivshmem/"),
          "the shared format must not know anything else of this tree"),
    Layer(USER_SPACE, lambda path: path.startswith("drivers/"),
          "user space must not know the driver's inside"),
    Layer(("lib/", "examples/"), lambda path: path.startswith(("tools/", "server/", "blkserver/")),
          "the library must not know the programs"),
]

# What the shared format may take from outside: types of fixed width.  Its
# port.h, which adapts it to kernel and user space, may take what it needs.
FIXED_WIDTH = {"linux/types.h", "stdint.h", "stddef.h", "stdbool.h"}


@check("includes", "core, net, blk, shared format and user space include only "
                   "what their layer may know")
def includes(tree: Tree) -> Outcome:
    """The dependency rule."""
    present = set(tree.files)
    findings = [f for name in tree.c for f in _includes(tree, name, present)]
    return Outcome(count(tree.c), findings)


def _includes(tree: Tree, name: str, present: set[str]) -> Iterator[Finding]:
    layers = [layer for layer in LAYERS if name.startswith(layer.folders)]
    for number, line in enumerate(tree.lines(name), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        path = _resolve(name, match["name"], present)
        for layer in layers:
            if path and layer.forbidden(path):
                yield Finding(name, number, f"includes {path}: {layer.reason}")
        if not path and name.startswith("include/ivshmem/") \
                and PurePath(name).name != "port.h" and match["name"] not in FIXED_WIDTH:
            yield Finding(name, number, f"includes <{match['name']}>: the shared format "
                                        "may know port.h and types of fixed width only")


def _resolve(name: str, included: str, present: set[str]) -> str:
    """The file of this tree that an include means, or ""."""
    for folder in (os.path.dirname(name), *INCLUDE_PATH):
        path = os.path.normpath(os.path.join(folder, included))
        if path in present:
            return path
    return ""


VERSION = re.compile(r"\b(LINUX_VERSION_\w+|KERNEL_VERSION|RHEL_\w+)\b|<linux/version\.h>")


@check("versions", "no test of the kernel's version outside drivers/compat/")
def versions(tree: Tree) -> Outcome:
    """The sources are written for the newest kernel; compat adapts the others."""
    names = [n for n in tree.kernel_c if not n.startswith("drivers/compat/")]
    findings = [Finding(name, number, f"{match[0]}: adapt older kernels in drivers/compat/")
                for name in names
                for number, line in _code(tree, name)
                if (match := VERSION.search(line))]
    return Outcome(count(names), findings)


FATAL = re.compile(r"\b((?:VM_)?BUG(?:_ON)?(?:_\w+)?|panic)\s*\(")


@check("fatal", "nothing in drivers/ stops the kernel (BUG, BUG_ON, panic)")
def fatal(tree: Tree) -> Outcome:
    """A driver with hostile peers must be able to go on."""
    names = [n for n in tree.kernel_c if n.startswith("drivers/")]
    findings = [Finding(name, number, f"{match[1]}(): return an error instead")
                for name in names
                for number, line in _code(tree, name)
                if (match := FATAL.search(line))]
    return Outcome(count(names), findings)


COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)


def _code(tree: Tree, name: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of C without comments and strings."""
    def blank(match: re.Match) -> str:
        return re.sub(r"[^\n]", " ", match[0])
    return enumerate(COMMENT_OR_STRING.sub(blank, tree.text(name)).split("\n"), 1)
