# SPDX-License-Identifier: GPL-2.0-only
"""Kernels of our own that check themselves, built once of Debian's sources.

KERNEL=debug looks for wrong use of memory, locks and objects, and can let things fail;
KERNEL=kcsan looks for accesses that race. Their configurations are in lab/kernels, and
hold what guests and tests need and no more, so that they are soon built.

A kernel lies below build/kernel as Debian's do, and is built anew when its configuration
or the fetched sources have changed.
"""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from .debian import Apt, locked
from .log import LabError, say
from .paths import BUILD, KERNELS

# How many times as long as on Debian's kernel a guest takes at worst
SLOWNESS = {"debug": 6, "kcsan": 4}
NAMES = tuple(SLOWNESS)

# The compiler of a host that has another kernel may not be one for these sources.
PACKAGE = "linux-source-6.1"
CONFIGURATION = Path(__file__).resolve().parent / "kernels"
SOURCE = BUILD / "source" / PACKAGE
TREE = BUILD / "source" / f"{PACKAGE}.tree"
# Faults are to be injected where a module of ours is in the stack. Later versions allow
# it on this processor, too: what could not unwind a stack reliably is long gone there.
FILTER = ("lib/Kconfig.debug", "STACKTRACE_SUPPORT\n\tdepends on !X86_64\n", "STACKTRACE_SUPPORT\n")
# Seconds between two words about what is going on
SILENCE = 20

# What is needed to build a module: of the sources, and of what was made of them. It is
# what scripts/package/builddeb there puts into a package.
HEADERS = ("Makefile", "scripts", "include", "arch/x86/Makefile", "arch/x86/Makefile_32.cpu",
           "arch/x86/include")
MADE_HEADERS = (".config", "Module.symvers", "scripts", "include", "arch/x86/include",
                "tools/objtool/objtool")


def slowness(name: str) -> int:
    """How much more patience guests of the kernel KERNEL=@name need."""
    return next((factor for suffix, factor in SLOWNESS.items()
                 if name == suffix or name.endswith(f"-{suffix}")), 1)


def get(name: str) -> Path:
    """Where the kernel @name is, which is built if it is not there as it should be."""
    link = KERNELS / name
    if not _is_current(link, name):
        with locked(f"build-{name}"):
            if not _is_current(link, name):
                release = _build(name)
                link.unlink(missing_ok=True)
                link.symlink_to(release)
    return link.resolve()


def _is_current(link: Path, name: str) -> bool:
    """Without sources those that it was built of will do."""
    try:
        version, configuration = (link / ".complete").read_text().split()
    except (OSError, ValueError):
        return False
    return configuration == _configuration(name) and version == (_version() or version)


def _fragments(name: str) -> list[Path]:
    return [CONFIGURATION / "base.config", CONFIGURATION / f"{name}.config"]


def _configuration(name: str) -> str:
    """What tells configurations apart, and what is done to the sources."""
    key = hashlib.sha256()
    for path in [*_fragments(name), CONFIGURATION / "Kconfig"]:
        key.update(path.read_bytes())
    key.update(repr(FILTER).encode())
    return key.hexdigest()


def _version() -> str:
    """The version of the sources that have been fetched; "" without any."""
    try:
        with gzip.open(SOURCE / f"usr/share/doc/{PACKAGE}/changelog.Debian.gz", "rt") as log:
            return re.findall(r"\((\S+)\)", log.readline())[0]
    except (OSError, IndexError):
        return ""


def _build(name: str) -> str:
    """Build the kernel @name; its release."""
    if not _version():
        say(f"fetching the sources of the {name} kernel once (140 MB)")
        SOURCE.parent.mkdir(parents=True, exist_ok=True)
        Apt().unpack([PACKAGE], SOURCE)
    objects = KERNELS / f"build-{name}"
    with locked("build-kernel"):
        _unpack()
        _configure(name, objects)
        say(f"building the {name} kernel of {PACKAGE} {_version()} once: it took half an "
            "hour on two processors with other work")
        _compile(name, objects)
        release = (objects / "include/config/kernel.release").read_text().strip()
        _install(release, objects)
    (KERNELS / release / ".complete").write_text(f"{_version()} {_configuration(name)}\n")
    # Gigabytes, of which modules need little
    shutil.rmtree(objects)
    shutil.rmtree(TREE)
    return release


def _unpack() -> None:
    """The sources, with our words for what has no prompt."""
    if TREE.exists():
        shutil.rmtree(TREE)
    say(f"unpacking {PACKAGE} {_version()}")
    partial = TREE.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    _run(["tar", "-x", "--use-compress-program=xz -T0", "--strip-components=1",
          "-f", next(SOURCE.glob("usr/src/linux-source-*.tar.xz")), "-C", partial])
    name, before, after = FILTER
    text = (partial / name).read_text()
    if before not in text:
        raise LabError(f"{PACKAGE}: {name} has changed; correct FILTER in {__file__}")
    (partial / name).write_text(text.replace(before, after))
    shutil.copy(CONFIGURATION / "Kconfig", partial / "Kconfig.lab")
    with (partial / "Kconfig").open("a") as top:
        top.write('\nsource "Kconfig.lab"\n')
    partial.rename(TREE)


def _configure(name: str, objects: Path) -> None:
    """The least that there is, and what the fragments say."""
    shutil.rmtree(objects, ignore_errors=True)
    objects.mkdir(parents=True)
    wanted = objects / "wanted"
    wanted.write_text("".join(path.read_text() for path in _fragments(name)))
    _run(["make", "-s", f"O={objects}", f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig"], cwd=TREE)
    lacking = _lacking(wanted.read_text(), (objects / ".config").read_text())
    if lacking:
        raise LabError(f"{name} kernel: cannot be configured with {', '.join(lacking)}; "
                       f"correct {CONFIGURATION}")


def _lacking(wanted: str, config: str) -> list[str]:
    """Settings of @wanted that a configuration does not have."""
    lines = set(config.splitlines())
    return ([line for line in re.findall(r"^CONFIG_\w+=.+$", wanted, re.M) if line not in lines]
            + [name for name in re.findall(r"^# (CONFIG_\w+) is not set$", wanted, re.M)
               if re.search(rf"^{name}=", config, re.M)])


def _compile(name: str, objects: Path) -> None:
    log = objects / "log"
    jobs = len(os.sched_getaffinity(0))
    command = ["make", f"-j{jobs}", "bzImage", "modules"]
    start = said = time.monotonic()
    with log.open("w") as copy, subprocess.Popen(
            command, cwd=objects, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as make:
        assert make.stdout
        for number, line in enumerate(make.stdout):
            copy.write(line)
            if time.monotonic() > said + SILENCE:
                said = time.monotonic()
                say(f"{name} kernel: {(said - start) / 60:.1f} minutes, {number} steps; "
                    + " ".join(line.split()))
    if make.returncode:
        raise LabError(f"{name} kernel: does not build; see {log}\n"
                       + "".join(log.read_text().splitlines(keepends=True)[-15:]))


def _install(release: str, objects: Path) -> None:
    """What Debian's packages of a kernel have, in the places where they have it."""
    target = KERNELS / release
    partial = target.with_name(f"{release}.partial")
    say(f"installing {release} into {target}")
    shutil.rmtree(partial, ignore_errors=True)
    headers = partial / f"usr/src/linux-headers-{release}"
    for folder in (partial / "boot", headers):
        folder.mkdir(parents=True)
    shutil.copy(objects / "arch/x86/boot/bzImage", partial / f"boot/vmlinuz-{release}")
    shutil.copy(objects / ".config", partial / f"boot/config-{release}")
    # What comes first when it is started uncompressed does not know of KASAN's shadow
    if "CONFIG_KASAN=y" not in (objects / ".config").read_text().splitlines():
        shutil.copy(objects / "arch/x86/boot/compressed/vmlinux.bin", partial / "vmlinux")
    _run(["make", "-s", f"INSTALL_MOD_PATH={partial}", "modules_install"], cwd=objects,
         env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
    for link in ("build", "source"):
        (partial / "lib/modules" / release / link).unlink(missing_ok=True)
    _run(["cp", "-r", "--parents", *HEADERS, headers], cwd=TREE)
    _run(["cp", "-r", "--parents", *MADE_HEADERS, headers], cwd=objects)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _run(command: list[str | Path], **options: Any) -> None:
    done = subprocess.run(command, text=True, check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise LabError(f"{' '.join(map(str, command))}: failed; is all of "
                       f"'scripts/setup debug' installed?\n{done.stdout[-2000:]}")
