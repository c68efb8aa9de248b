# SPDX-License-Identifier: GPL-2.0-only
"""Checks by the kernel's tools: checkpatch, kernel-doc, W=1 and sparse."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from lab.kernel import get as get_kernel
from lab.log import LabError

from .base import CannotRun, Finding, Outcome, check, count, located, need, run_tool
from .kernel_tools import kernel_script
from .memory import Memory
from .tree import Tree

# Rules of checkpatch that do not fit some files, and why.
IGNORED = {
    "user space": [
        # Advice to use what only the kernel has.
        "ARRAY_SIZE", "BIT_MACRO", "CONSTANT_CONVERSION", "CONST_STRUCT", "ENOSYS",
        "NAKED_SSCANF", "PREFER_DEFINED_ATTRIBUTE_MACRO", "PREFER_FALLTHROUGH",
        "PREFER_KERNEL_TYPES", "SSCANF_TO_KSTRTO", "STRCPY", "STRLCPY", "STRNCPY",
        "USE_RELATIVE_PATH", "VOLATILE",
        # Polling wants the pause instruction of each architecture.
        "ARCH_DEFINES",
        # A function may be called as the thing of which a message speaks.
        "EMBEDDED_FUNCTION_NAME",
        # Macros make tables of initialisers, and log lines of plain pointers.
        "COMPLEX_MACRO", "MACRO_ARG_REUSE",
        # An argv[] is not constant; sets of characters are not messages.
        "STATIC_CONST_CHAR_ARRAY", "QUOTED_WHITESPACE_BEFORE_NEWLINE",
        # PRIu64 and the test library's names are what they are.
        "CAMELCASE",
        # Texts of several lines: for people, not one message to be searched for.
        "SPLIT_STRING", "MISSING_SPACE",
        # Its form is the kernel's own; the check "spdx" looks at all files.
        "SPDX_LICENSE_TAG"],
    "driver": [
        # Networking code may be commented as everything else is.
        "NETWORKING_BLOCK_COMMENT_STYLE",
        # What a lock guards is said in the kernel-doc comment of its structure.
        "UNCOMMENTED_DEFINITION"],
    # TRACE_EVENT() is laid out as the kernel's own trace headers do.
    "trace": ["OPEN_ENDED_LINE", "PARENTHESIS_ALIGNMENT"],
    "compat": ["CONSTANT_COMPARISON", "LINUX_VERSION_CODE",
               # What describes a module stands outside of functions.
               "MULTISTATEMENT_MACRO_USE_DO_WHILE"],
    # For user space, too: no types and macros of the kernel.
    "shared": ["BIT_MACRO", "PREFER_KERNEL_TYPES"],
    # Wraps the barriers; their partners are where they are used.
    "kept": ["MEMORY_BARRIER"],
}

# Headers of an older version of the format, which are never changed: as when they were here
KEPT = re.compile(r"tests/upgrade/wire-[\d.]+/")


def _kinds(name: str) -> tuple[str, ...]:
    """The keys of IGNORED that a file comes under."""
    if KEPT.match(name):
        return "driver", "shared", "kept"
    if name.startswith("drivers/compat/"):
        return "driver", "compat"
    if name.startswith("drivers/") and name.endswith("/trace.h"):
        return "driver", "trace"
    if name.startswith("include/ivshmem/"):
        return "driver", "shared"
    if name.startswith(("drivers/", "include/")):
        return ("driver",)
    return ("user space",)


# What checkpatch takes for something else: the rule, and the source line.
MISTAKEN = [
    # A compound literal of an array: "(int[2]){ 1, 2 }".
    ("ERROR:SPACING: space required before the open brace", re.compile(r"\]\)\{")),
    # A pointer into the region, which sparse keeps apart: "__le32 __ivshmem *p".
    ("CHECK:SPACING: spaces preferred around that '*'", re.compile(r"__ivshmem \*")),
    ("WARNING:LINE_SPACING: Missing a blank line after declarations",
     re.compile(r"__ivshmem \*\w+;"))]


@check("checkpatch", "the kernel's checkpatch.pl --strict finds nothing in C sources")
def checkpatch(tree: Tree) -> Outcome:
    """Kernel coding style, less the rules that do not fit (IGNORED)."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in tree.c:
        groups.setdefault(_kinds(name), []).append(name)
    findings = []
    for kinds, names in groups.items():
        ignored = ",".join(rule for kind in kinds for rule in IGNORED[kind])
        findings += _checkpatch(tree, names, ignored)
    return Outcome(count(tree.c), findings)


def _checkpatch(tree: Tree, names: list[str], ignored: str) -> list[Finding]:
    program = kernel_script("checkpatch.pl")
    memory = Memory(tree, "checkpatch", program.read_bytes(), ignored,
                    Path(__file__).read_bytes())
    names = memory.unknown(names)
    if not names:
        return []
    findings = run_tool(
        [need("perl"), program, "--no-tree", "--root=.", "--strict", "--terse",
         "--show-types", "--no-summary", "--ignore", ignored, "--file", *names],
        tree, cwd=_window(tree))
    findings = [f for f in findings if not _is_mistaken(tree, f)]
    bad = {f.path for f in findings}
    memory.remember([name for name in names if name not in bad])
    return findings


def _is_mistaken(tree: Tree, finding: Finding) -> bool:
    return any(finding.text.startswith(rule) and
               pattern.search(tree.lines(finding.path)[finding.line - 1])
               for rule, pattern in MISTAKEN)


def _window(tree: Tree) -> Path:
    """A folder that shows the tree's top level by links.

    checkpatch leaves a cache in the folder that it runs in, and goes by names
    relative to it.
    """
    window = tree.root / "build" / "check" / "checkpatch"
    window.mkdir(parents=True, exist_ok=True)
    for top in {name.split("/")[0] for name in tree.c}:
        link = window / top
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(tree.root / top, window))
    return window


@check("kernel-doc", "the kernel's kernel-doc understands the comments of drivers/ "
                     "and include/")
def kernel_doc(tree: Tree) -> Outcome:
    """Comments that name every parameter and member that there is."""
    if not tree.kernel_c:
        return Outcome("0 files")
    findings = run_tool([need("perl"), kernel_script("kernel-doc"), "-none",
                         "-Wall", *tree.kernel_c], tree)
    return Outcome(count(tree.kernel_c), findings)


@check("modules", "the modules build with W=1 without a warning, for the lab's kernel")
def modules(tree: Tree) -> Outcome:
    """The compiler's and modpost's warnings."""
    return _kbuild(tree)


@check("sparse", "sparse finds nothing in the modules, byte order included")
def sparse(tree: Tree) -> Outcome:
    """Address spaces, byte order, locks."""
    return _kbuild(tree, "C=2", f"CHECK={need('sparse')}",
                   "CF=-D__CHECK_ENDIAN__")


def _kbuild(tree: Tree, *arguments: str) -> Outcome:
    names = tree.below("drivers/", "include/")
    sources = [n for n in names if n.endswith(".c")]
    if "drivers/Kbuild" not in names:
        return Outcome("0 files")
    try:
        kernel = get_kernel()
    except LabError as error:
        raise CannotRun(f"no kernel to build for: {error}") from error
    copy = tree.root / "build" / "check" / "modules" / kernel.release
    _mirror(tree, names, copy)
    done = subprocess.run(
        ["make", "-C", kernel.headers, f"M={copy}/drivers", "W=1", "KCFLAGS=-Werror",
         # Their type information needs pahole, and nobody loads these modules.
         "CONFIG_DEBUG_INFO_BTF_MODULES=", *arguments, "modules"],
        env=dict(os.environ, LC_ALL="C"), text=True, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    findings = _compiler_findings(done.stdout, copy)
    if done.returncode and not findings:
        raise CannotRun(f"make failed:\n{done.stdout.strip()}")
    return Outcome(f"{count(sources)}, {kernel.release}", findings)


def _compiler_findings(output: str, copy: Path) -> list[Finding]:
    """Warnings and errors of compiler, sparse and modpost, without repetition."""
    found = [Finding(os.path.normpath(f.path), f.line, f.text)
             for f in located(output, copy)
             if re.search(r"\b(warning|error):", f.text)]
    found += [Finding("drivers", 0, line) for line in output.splitlines()
              if re.match(r"(WARNING|ERROR): modpost", line)]
    return list(dict.fromkeys(found))


def _mirror(tree: Tree, names: list[str], copy: Path) -> None:
    """Make @copy hold exactly these sources, untouched where they are equal.

    A module is built beside its sources: here, so that the tree stays clean.
    """
    for name in names:
        source, target = tree.root / name, copy / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for path in copy.rglob("*"):
        if path.suffix in (".c", ".h") and not path.name.endswith(".mod.c") \
                and str(path.relative_to(copy)) not in names:
            path.unlink()
