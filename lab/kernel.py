# SPDX-License-Identifier: GPL-2.0-only
"""Guest kernels: fetched from Debian, unpacked below build/kernel/RELEASE.

Which kernel is used is said by the environment variable KERNEL (or an
argument): nothing means the kernel of the host's Debian release; "6.1-rt" or
"6.12-arm64" is one that is supported (lab/matrix.py); else "6.13" is the newest
of the host's archives that starts so, "6.13-rt" or "6.13-cloud" another flavour,
and a whole release ("6.1.0-56-amd64") exactly that one.  What was asked for is
remembered as a symbolic link beside the kernel, so that the network is needed
only once.
"debug" and "kcsan" are kernels that check themselves (lab/debugkernel.py).
"""

import lzma
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

from . import debugkernel, matrix
from .debian import Apt, codename, locked
from .log import LabError, say
from .matrix import Origin
from .paths import KERNELS

RELEASE = re.compile(r"(?P<version>\d[\w.+~-]*?)(?:-(?P<flavour>rt|cloud))?"
                     r"-(?P<architecture>amd64|arm64)")
# Beside a kernel's headers: the Debian release whose compilers build modules for it
TOOLCHAIN = ".toolchain"


class Kernel:
    """A guest kernel that has been fetched."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.release = root.name

    @property
    def boot_image(self) -> Path:
        """The image as Debian ships it."""
        for path in (self.root / "boot" / f"vmlinuz-{self.release}",
                     self.modules / "vmlinuz"):
            if path.exists():
                return path
        raise LabError(f"{self.root}: holds no kernel image; remove it and run "
                       "'make setup'")

    @property
    def image(self) -> Path:
        """What boots fastest: the kernel uncompressed, where that can be had.

        QEMU writes it to the guest's memory anew at every reset, and waking up
        is one: a guest that is to sleep needs the boot image.
        """
        uncompressed = self.root / "vmlinux"
        return uncompressed if uncompressed.exists() else self.boot_image

    @property
    def modules(self) -> Path:
        """What the guest sees as /lib/modules/RELEASE."""
        for lib in ("lib", "usr/lib"):
            path = self.root / lib / "modules" / self.release
            if path.is_dir():
                return path
        raise LabError(f"{self.root}: holds no modules; remove it and run "
                       "'make setup'")

    @property
    def headers(self) -> Path:
        """The directory to build modules in (KDIR)."""
        return self.root / "usr/src" / f"linux-headers-{self.release}"

    @property
    def architecture(self) -> str:
        """Debian's name of the processor that it is for."""
        return "arm64" if self.release.endswith("-arm64") else "amd64"

    @property
    def checks_itself(self) -> bool:
        """Whether it is one of those that debugkernel.py builds."""
        return debugkernel.slowness(self.release) > 1

    @property
    def finds_leaks(self) -> bool:
        """Whether it can look for memory that nothing refers to."""
        return self.config("CONFIG_DEBUG_KMEMLEAK") == "y"

    @property
    def make_arguments(self) -> list[str]:
        """What modules are built with for it to check all that it can."""
        return (["W=1", "UBSAN_SANITIZE=y", "KCOV_INSTRUMENT=y"] if self.checks_itself
                else [])

    @property
    def parameters(self) -> str:
        """What it has to be told at boot, to check all that it can."""
        if not self.checks_itself:
            return ""
        # It is so slow that on a busy host its trial of the timer finds none. In campaigns
        # tasks have waited minutes for a grace period, and no more since more callbacks of
        # RCU than ten are called after a pass of softirqs, which take long here.
        words = ["no_timer_check", "rcutree.blimit=2000", "rcutree.rcu_resched_ns=50000000"]
        if self.config("CONFIG_KASAN") == "y":
            # Silent after its first report otherwise
            words.append("kasan_multi_shot")
        if self.finds_leaks:
            words.append("kmemleak=on")
        return " ".join(words)

    def config(self, option: str) -> str:
        """Value of a configuration option: "y", "m", a string, or ""."""
        for path in (self.root / "boot" / f"config-{self.release}",
                     self.modules / "config"):
            if path.exists():
                found = re.search(rf"^{option}=(.*)$", path.read_text(), re.M)
                return found.group(1).strip('"') if found else ""
        return ""

    def with_dependencies(self, names: list[str]) -> list[Path]:
        """Files of the modules @names and all they need, in loading order.

        A name that is built into the kernel needs no file.
        """
        needs: dict[str, list[str]] = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
        by_name = {_module_name(path): path for path in needs}
        builtin = {_module_name(line) for line in
                   (self.modules / "modules.builtin").read_text().splitlines()}
        ordered: list[str] = []
        for name in names:
            if name in by_name:
                path = by_name[name]
                ordered += [*reversed(needs[path]), path]
            elif name not in builtin:
                raise LabError(f"kernel {self.release}: has no module {name}, "
                               "which the lab's guests need")
        return [self.modules / path for path in dict.fromkeys(ordered)]


def _module_name(path: str) -> str:
    return Path(path).name.split(".ko")[0].replace("-", "_")


def read_module(path: Path) -> bytes:
    """The contents of a module file, decompressed."""
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dqc", path], check=True,
                              stdout=subprocess.PIPE).stdout
    return path.read_bytes()


def _extract(image: bytes) -> bytes:
    """The ELF kernel within an x86 boot image; b"" if it cannot be had.

    Documentation/arch/x86/boot.rst in the kernel's sources describes the
    fields. Emulated guests would need seconds for the decompression.
    """
    sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = image[start:start + length]
    try:
        if payload.startswith(b"\xfd7zXZ"):
            elf = lzma.LZMADecompressor().decompress(payload)
        elif payload.startswith(b"\x28\xb5\x2f\xfd"):
            elf = subprocess.run(["zstd", "-dqc"], input=payload[:-4], check=True,
                                 stdout=subprocess.PIPE).stdout
        else:
            return b""
    except (lzma.LZMAError, OSError, subprocess.CalledProcessError):
        return b""
    return elf if elf.startswith(b"\x7fELF") else b""


def _newest(apt: Apt, wanted: Origin, name: str) -> str:
    """The newest release in the archives that @wanted, asked for as @name, stands for."""
    releases = []
    for package in apt.packages("linux-image-"):
        match = RELEASE.fullmatch(package.removeprefix("linux-image-"))
        if match and re.match(r"\d+[.]\d+[.]\d.*\w$", match["version"]):
            releases.append(match)
    chosen = [m[0] for m in releases if m[0] == name] or \
             [m[0] for m in releases
              if m["architecture"] == wanted.architecture
              and (m["flavour"] or "") == wanted.flavour
              and (not wanted.version
                   or re.match(rf"{re.escape(wanted.version)}(\D|$)", m["version"]))]
    headers = set(apt.packages("linux-headers-"))
    chosen = [release for release in chosen if f"linux-headers-{release}" in headers]
    if not chosen:
        known = sorted({".".join(m["version"].split(".")[:2]) for m in releases})
        raise LabError(f"kernel {name}: not in the archives; there are " + ", ".join(known))
    return max(chosen, key=_version_key)


def _version_key(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def _default(apt: Apt) -> str:
    """The release that Debian's own meta package installs."""
    for package in apt.depends("linux-image-amd64"):
        if package.startswith("linux-image-"):
            return package.removeprefix("linux-image-")
    raise LabError("linux-image-amd64: names no kernel in the host's archives")


def _relocate(root: Path) -> None:
    """Make the headers usable where they are, wherever that is.

    Debian's have absolute names of their place below /usr/src; relative ones
    survive a move of the project.
    """
    for makefile in root.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text()
        if len(text) < 1000:
            here = "$(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))"
            text = text.replace("include /usr/src/", f"include {here}/../")
            text = text.replace("=/usr/src/", f"={here}/../")
            makefile.write_text(text)


def _fetch(apt: Apt, release: str) -> None:
    image, headers = f"linux-image-{release}", f"linux-headers-{release}"
    packages = [image, headers]
    for package in apt.depends(headers):
        if package.startswith("linux-headers-"):
            packages.append(package)
        elif package.startswith("linux-kbuild-"):
            # Programs that run here, whatever they build for
            packages.append(package.partition(":")[0] + ":amd64")
    packages += [p for p in apt.depends(image)
                 if re.match(r"linux-(base|binary|modules)-", p)]
    target = KERNELS / release
    say(f"fetching guest kernel {release} into {target} (nothing is installed)")
    KERNELS.mkdir(parents=True, exist_ok=True)
    apt.unpack(packages, target)
    _relocate(target)
    kernel = Kernel(target)
    kernel.modules.joinpath("build").unlink(missing_ok=True)
    kernel.modules.joinpath("source").unlink(missing_ok=True)
    if kernel.config("CONFIG_PVH") == "y":
        vmlinux = _extract(kernel.boot_image.read_bytes())
        if vmlinux:
            (target / "vmlinux").write_bytes(vmlinux)
    base = target if kernel.modules.is_relative_to(target / "lib") else target / "usr"
    depmod = shutil.which("depmod", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not depmod:
        raise LabError("depmod: not found; install kmod")
    subprocess.run([depmod, "-b", base, release], check=True)


def real_time() -> str:
    """What stands for the PREEMPT_RT flavour of the guests' kernel."""
    return ".".join(get().release.split(".")[:2]) + "-rt"


def get(wanted: str | None = None) -> Kernel:
    """The kernel that @wanted stands for, fetched if that was not done yet.

    Without an argument the environment variable KERNEL decides.
    """
    if wanted is None:
        wanted = os.environ.get("KERNEL", "")
    if wanted in debugkernel.NAMES:
        return Kernel(debugkernel.get(wanted))
    link = KERNELS / (wanted or "default")
    origin = matrix.KERNELS.get(wanted)
    if not _is_there(link, origin):
        with locked("fetch"):
            if not _is_there(link, origin):
                _provide(link, wanted, origin)
    return Kernel(link.resolve())


def _is_there(link: Path, origin: Origin | None) -> bool:
    """Whether a kernel has been fetched, and of the release that it is to be of now."""
    if not (link / ".complete").exists():
        return False
    if not origin:
        return True
    marker = Kernel(link.resolve()).headers / TOOLCHAIN
    return (marker.read_text().strip() if marker.exists() else "") == _toolchain(origin)


def _toolchain(origin: Origin) -> str:
    """Whose compilers are needed; "" if those of the host will do."""
    if origin.suite == codename() and origin.architecture == "amd64":
        return ""
    return origin.suite


def _provide(link: Path, wanted: str, origin: Origin | None) -> None:
    """Fetch what is wanted, if it was not by another name, and remember it."""
    toolchain = _toolchain(origin) if origin else ""
    own = not toolchain and not (origin and origin.backports)
    apt = Apt.of(origin.suite, origin.architecture) if origin and not own else Apt()
    if origin:
        release = _newest(apt, origin, wanted)
    elif wanted:
        version, _, flavour = wanted.partition("-")
        release = _newest(apt, Origin(codename(), version, flavour), wanted)
    else:
        release = _default(apt)
    if not (KERNELS / release / ".complete").exists():
        _fetch(apt, release)
        (KERNELS / release / ".complete").touch()
    if origin:
        # Also of one that was fetched for a host of another release
        marker = Kernel(KERNELS / release).headers / TOOLCHAIN
        marker.unlink(missing_ok=True)
        if toolchain:
            marker.write_text(toolchain + "\n")
    if link.name != release:
        link.unlink(missing_ok=True)
        link.symlink_to(release)
