# SPDX-License-Identifier: GPL-2.0-only
"""The series of patches, made by git in a repository with nothing but what they change."""

import re
import shutil
import subprocess
from pathlib import Path

from lab.log import LabError
from lab.paths import ROOT

from . import kernel, parts, sources

MESSAGES = Path(__file__).resolve().parent / "series"
REPOSITORY = kernel.HERE / "repository"
PATCHES = kernel.HERE / "series"
# Until a sender has told git who he is
NOBODY = ("Sender of the series", "sender@example.org")


def git(*words: str, cwd: Path = REPOSITORY, check: bool = True) -> str:
    """What a git command prints; hooks and keys of who runs it are for his own commits."""
    done = subprocess.run(["git", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false",
                           *words], cwd=cwd, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if check and done.returncode:
        raise LabError(f"git {' '.join(words)}: {done.stdout}")
    return done.stdout.strip() if not done.returncode else ""


def sender() -> tuple[str, str]:
    """Name and address that git has for who commits to the project; "" for none."""
    return (git("config", "user.name", cwd=ROOT, check=False),
            git("config", "user.email", cwd=ROOT, check=False))


def maintainer() -> str:
    """The same as MAINTAINERS has it."""
    name, address = sender()
    return f"{name} <{address}>" if name and address else ""


def message(part: parts.Part) -> Path:
    """The file of a patch's message."""
    return MESSAGES / part.name


def _commit(folder: Path, sign_off: bool) -> None:
    name, address = sender() if all(sender()) else NOBODY
    git("-c", f"user.name={name}", "-c", f"user.email={address}", "commit", "-q",
        # The first line of a message is a comment
        *(["--signoff"] if sign_off else []), "--cleanup=strip", "--file", str(folder))


def original(name: str) -> str:
    """A file of the kernel as it was before."""
    return (kernel.ORIGINALS / name).read_text(encoding="utf-8")


def write(folder: Path, files: dict[str, str]) -> list[str]:
    """Have @files in @folder, untouched where they are equal: what was written."""
    written = []
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(name)
    return written


def state(upto: int) -> dict[str, str]:
    """All files that are new or changed after @upto patches."""
    unifdef = sources.unifdef_of(kernel.tree())
    files = {name: original(name) for name in parts.edited()}
    if upto:
        files |= parts.changed(upto, original, maintainer())
    return files | parts.contents(upto, unifdef)


def make(sign_off: bool = False) -> list[Path]:
    """Write the series; its files, the cover letter first."""
    kernel.tree()
    parts.check_complete()
    shutil.rmtree(REPOSITORY, ignore_errors=True)
    REPOSITORY.mkdir(parents=True)
    git("init", "-q", "-b", "series")
    for upto in range(len(parts.PARTS) + 1):
        write(REPOSITORY, state(upto))
        git("add", "-A")
        if upto:
            _commit(message(parts.PARTS[upto - 1]), sign_off)
        else:
            git("-c", "user.name=base", "-c", "user.email=", "commit", "-q", "-m",
                f"Linux {kernel.version()}")
            git("tag", "base")
    shutil.rmtree(PATCHES, ignore_errors=True)
    name, address = sender() if all(sender()) else NOBODY
    git("-c", f"user.name={name}", "-c", f"user.email={address}",
        "format-patch", "-q", "--cover-letter", "--no-signature", "-o", str(PATCHES), "base")
    found = sorted(PATCHES.glob("*.patch"))
    _write_cover(found[0])
    return found


def _write_cover(path: Path) -> None:
    _, _, letter = (MESSAGES / "cover").read_text(encoding="utf-8").partition("\n")
    subject, _, body = letter.partition("\n\n")
    text = path.read_text(encoding="utf-8")
    text = text.replace("*** SUBJECT HERE ***", re.sub(r"\s+", " ", subject))
    path.write_text(text.replace("*** BLURB HERE ***", body.rstrip()), encoding="utf-8")


def apply(upto: int = len(parts.PARTS)) -> None:
    """Have the kernel's sources as they are after @upto patches."""
    wanted = state(upto)
    listed = kernel.HERE / "placed"
    known = set(listed.read_text().split()) if listed.exists() else set()
    for name in known - set(wanted):
        (kernel.tree() / name).unlink(missing_ok=True)
    listed.write_text("\n".join(sorted(set(wanted) - set(parts.edited()))))
    write(kernel.tree(), wanted)


def place(folder: Path) -> list[str]:
    """Have the drivers in a kernel tree of one's own: what was written there."""
    release = kernel.release_of(folder)
    if not release:
        raise LabError(f"{folder}: holds no sources of a kernel")
    floor = sources.newest()
    if tuple(int(number) for number in release.split(".")[:2]) < floor:
        raise LabError(f"{folder}: has Linux {release}; the drivers fit into {floor[0]}.{floor[1]} "
                       "and later; for others build the modules ('make modules')")
    parts.check_complete()
    every = len(parts.PARTS)

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    unifdef = sources.unifdef_of(folder)
    return write(folder, parts.changed(every, read, maintainer())
                 | parts.contents(every, unifdef))
