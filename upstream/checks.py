# SPDX-License-Identifier: GPL-2.0-only
"""What a maintainer's machine would say of the series, by the kernel's own tools."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.log import LabError, say

from . import kernel, parts, series
from .kernel import BUILDS, TREE, Build

FOLDERS = ("drivers/virt/ivshmem/", "drivers/net/ivshmem/", "drivers/block/ivshmem/")
# Debian's sparse does not know what kernels since 6.15 use; the qualifier does not matter
SPARSE = ("C=2", "CHECK=sparse -D__typeof_unqual__=__typeof__")
# It does not know either that strlen() of a string is a constant, as MODULE_INFO() has it
# since 6.18: in any module
UNKNOWN_TO_SPARSE = r"error: bad constant expression"

# What checkpatch says of the patches for a reason: its rule, and the line it is about
EXPLAINED = {
    # Only who sends the series can sign it; see --signoff
    "ERROR:MISSING_SIGN_OFF": r"",
    # It takes the marked pointers into the region for a multiplication, or for a statement
    "CHECK:SPACING: spaces preferred around that '*'": r"__ivshmem \*",
    "WARNING:LINE_SPACING: Missing a blank line after declarations": r"__ivshmem \*\w+;",
    # TRACE_EVENT() is laid out as in all trace headers of the kernel
    "CHECK:OPEN_ENDED_LINE": r"^\+\s*(TRACE_EVENT|DECLARE_EVENT_CLASS|DEFINE_EVENT|TP_\w+|.*\w\()",
    "CHECK:PARENTHESIS_ALIGNMENT": r"^\+\t+(TP_|__)",
    # The kernel-doc comment of the structure has it
    "CHECK:UNCOMMENTED_DEFINITION": r"^\+\t(struct mutex|spinlock_t) \w+;",
    # git's own words in the cover letter
    "WARNING:COMMIT_LOG_LONG_LINE": r"^ create mode ",
    # The format is of fixed width, whatever BIT() is of
    "CHECK:BIT_MACRO": r"\b1U << 31\b",
}


def checkpatch(patches: list[Path]) -> list[str]:
    """What checkpatch.pl --strict finds in patches, less what is explained."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return [line for found in threads.map(_checkpatch, patches) for line in found]


def _checkpatch(patch: Path) -> list[str]:
    lines = patch.read_text(encoding="utf-8").splitlines()
    done = subprocess.run(
        ["perl", TREE / "scripts/checkpatch.pl", "--strict", "--terse", "--show-types",
         "--no-summary", patch], cwd=TREE, text=True, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    findings = []
    for line in done.stdout.splitlines():
        located = re.match(r".*?:(\d+): (.*)", line)
        if not located:
            findings.append(f"{patch.name}: {line}")
        elif not _is_explained(located[2], lines[int(located[1]) - 1]):
            findings.append(f"{patch.name}:{located[1]}: {located[2]}")
    return findings


def _is_explained(finding: str, line: str) -> bool:
    return any(finding.startswith(rule) and re.search(pattern, line)
               for rule, pattern in EXPLAINED.items())


def kernel_doc() -> list[str]:
    """What kernel-doc finds in all new sources."""
    names = [name for name in series.state(len(parts.PARTS)) if name.endswith((".c", ".h"))]
    done = subprocess.run(["scripts/kernel-doc", "-none", "-Wall", *names], cwd=TREE, text=True,
                          check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode and not done.stdout:
        raise LabError(f"kernel-doc: failed with status {done.returncode}")
    return done.stdout.splitlines()


def prepare(build: Build) -> None:
    """Configure a build, and make what each object of the kernel needs."""
    kernel.configure(build)
    say(f"{build.name}: making the kernel's own tools")
    kernel.make(build, ["modules_prepare"])


def objects(build: Build, folders: tuple[str, ...] = FOLDERS) -> list[str]:
    """What W=1 and sparse find in the objects of the drivers' folders."""
    say(f"{build.name}: building the drivers, with W=1 and sparse")
    said = kernel.make(build, [*SPARSE, *folders], warn=True)
    if "sparse is not available" in said:
        raise LabError("sparse: cannot be run by this kernel; see its scripts/checker-valid.sh")
    return _findings(said) + _divisions(build, folders)


def _findings(said: str) -> list[str]:
    return [line for line in said.splitlines()
            if re.search(r"\b(warning|error):", line) and not _is_of_sparse(line)]


def _divisions(build: Build, folders: tuple[str, ...]) -> list[str]:
    """Divisions of 64 bits by the compiler's library, which a kernel of 32 bits has not.

    They would be noticed when a whole kernel is linked.
    """
    if build.architecture != "i386":
        return []
    made = [path for folder in folders for path in (build.objects / folder).glob("*.o")]
    said = subprocess.run(["nm", "-A", "-u", *made], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return re.findall(r".*\b__u?(?:div|mod|divmod)di[34]\b", said)


def _is_of_sparse(line: str) -> bool:
    """Whether sparse cannot know better: in the line of a MODULE_INFO()."""
    located = re.match(r"(.*?):(\d+):\d+: (.*)", line)
    if not located or not re.fullmatch(UNKNOWN_TO_SPARSE, located[3]):
        return False
    source = Path(located[1]).read_text(encoding="utf-8").splitlines()[int(located[2]) - 1]
    return bool(re.match(r"\s*(MODULE_\w+|module_param\w*)\(", source))


def modules() -> None:
    """Link the modules, with all of the kernel that they can need: modpost's errors."""
    build = BUILDS["modules"]
    kernel.configure(build)
    say("modules: building a kernel and the modules; minutes the first time")
    kernel.make(build, ["vmlinux", "modules"])
    for folder, name in zip(FOLDERS, ("ivshmem", "ivshmem_net", "ivshmem_blk")):
        if not (build.objects / folder / f"{name}.ko").exists():
            raise LabError(f"{name}.ko: was not made")


def documents() -> list[str]:
    """What Sphinx, as the kernel runs it, finds in the documents."""
    say("documents: rendering them")
    said = kernel.make(BUILDS["modules"], ["htmldocs", "SPHINXDIRS=virt/ivshmem"])
    return [line for line in said.splitlines() if re.search(r"ivshmem.*\b(WARNING|ERROR)\b", line)
            or re.search(r"\b(WARNING|ERROR):.*ivshmem", line)]


def each_patch(build: Build) -> list[str]:
    """What W=1 and sparse find in what can be built after each patch."""
    findings = []
    try:
        for number, part in enumerate(parts.PARTS, 1):
            say(f"patch {number} of {len(parts.PARTS)}: {part.name}")
            series.apply(number)
            findings += [f"patch {number}: {line}" for line in _patch(build, part)]
    finally:
        series.apply()
    return findings


def _patch(build: Build, part: parts.Part) -> list[str]:
    there = [number for number, folder in enumerate(FOLDERS)
             if (TREE / folder / "Kconfig").exists()]
    kernel.configure(build, tuple(kernel.DRIVERS[number] for number in there))
    if part.builds:
        # Nothing leads to the folder yet, but it can be built
        return _findings(kernel.make(
            build, [*SPARSE, f"CONFIG_IVSHMEM={build.kind}", part.builds], warn=True))
    return objects(build, tuple(FOLDERS[number] for number in there)) if there else []
