# SPDX-License-Identifier: GPL-2.0-only
"""Fetches Debian packages and unpacks them beside the build.

Nothing is installed and the host's package state is not touched: apt runs
unprivileged on a private root of its own, with the archives and the keys that
the host itself is configured to use.
"""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Iterable, Iterator

from .log import LabError, say
from .paths import BUILD

SOURCES = Path("/etc/apt")


@dataclass(frozen=True)
class Archive:
    """One suite of one archive, as the host is configured to use it."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self, kind: str = "deb") -> str:
        """The entry of a one-line sources list for this suite, of packages or sources."""
        option = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"{kind} {option}{self.uri} {self.suite} {' '.join(self.components)}"


def codename() -> str:
    """The host's Debian suite ("bookworm"); LabError elsewhere."""
    release = {}
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        release[key] = value.strip('"')
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise LabError(
            f"guest kernel: this is {release.get('PRETTY_NAME', 'not Debian')}; "
            "the lab fetches its guest kernel from the archives of a Debian "
            "host (12 or 13)")
    return release["VERSION_CODENAME"]


def parse_one_line(text: str) -> list[Archive]:
    """Archives in the one-line format ("deb [options] URI suite component...")."""
    found = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if not match:
            continue
        options, uri, suite, components = match.groups()
        key = re.search(r"signed-by=(\S+)", options or "")
        found.append(Archive(uri, suite, tuple(components.split()),
                             key.group(1) if key else ""))
    return found


def parse_deb822(text: str) -> list[Archive]:
    """Archives in the deb822 format (stanzas of "Field: values")."""
    found = []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = {}
        for name, value in re.findall(r"^([\w-]+):(.*(?:\n[ \t].*)*)", stanza, re.M):
            fields[name.lower()] = value.split()
        if "deb" not in fields.get("types", []):
            continue
        if fields.get("enabled", ["yes"])[0].lower() in ("no", "false", "0"):
            continue
        key = fields.get("signed-by", [""])
        # An armoured key within the stanza: apt's own key ring serves as well.
        signed_by = key[0] if key and key[0].startswith("/") else ""
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                found.append(Archive(uri, suite,
                                     tuple(fields.get("components", [])), signed_by))
    return found


def host_archives(suite: str, sources: Path = SOURCES) -> list[Archive]:
    """The archives of Debian itself that the host uses for @suite."""
    archives = []
    for path in [sources / "sources.list",
                 *sorted((sources / "sources.list.d").glob("*.list"))]:
        if path.is_file():
            archives += parse_one_line(path.read_text())
    for path in sorted((sources / "sources.list.d").glob("*.sources")):
        archives += parse_deb822(path.read_text())
    wanted = (suite, f"{suite}-updates", f"{suite}-security", f"{suite}/updates",
              "stable", "stable-updates", "stable-security")
    return [a for a in dict.fromkeys(archives)
            if a.suite in wanted and "main" in a.components]


def archives_of(suite: str) -> list[Archive]:
    """Those of another release with its backports, from where the host has its own."""
    host = codename()
    found = [replace(archive, suite=re.sub(rf"^({host}|stable)\b", suite, archive.suite))
             for archive in host_archives(host)]
    return found + [replace(archive, suite=f"{suite}-backports")
                    for archive in found if archive.suite == suite]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time within the section called @name.

    "fetch" is for what apt fetches: two that use one of its roots would fail.
    """
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / f".{name}.lock", "w") as lock:
        flock(lock, LOCK_EX)
        yield


class Apt:
    """apt on a private root below build/, with the host's archives, or others.

    @kind is "deb", or "deb-src" for source packages, whether or not the host uses them.
    """

    def __init__(self, root: Path = BUILD / "apt", kind: str = "deb",
                 archives: list[Archive] | None = None, architecture: str = "amd64") -> None:
        self.root = root
        self.kind = kind
        self.archives = archives
        self.architecture = architecture
        self.config = root / "apt.conf"
        self.updated = False

    @classmethod
    def of(cls, suite: str, architecture: str = "amd64") -> "Apt":
        """The same with the archives of a release and its backports."""
        name = f"apt-{suite}" + (f"-{architecture}" if architecture != "amd64" else "")
        return cls(BUILD / name, archives=archives_of(suite), architecture=architecture)

    def configure(self) -> None:
        """Write the configuration of the private root."""
        suite = codename()
        archives = self.archives or host_archives(suite)
        if not archives:
            raise LabError(f"{SOURCES}: no archive of {suite} is configured; add "
                           "one (see sources.list(5)), the guest kernel comes "
                           "from there")
        for folder in ("lists/partial", "cache/archives/partial", "state", "parts"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "state/status").write_text("")
        (self.root / "sources.list").write_text(
            "".join(a.line(self.kind) + "\n" for a in archives))
        self.config.write_text(
            f'Dir::Etc::sourcelist "{self.root}/sources.list";\n'
            f'Dir::Etc::sourceparts "{self.root}/parts";\n'
            f'Dir::Etc::preferences "/dev/null";\n'
            f'Dir::Etc::preferencesparts "{self.root}/parts";\n'
            f'Dir::State "{self.root}/state";\n'
            f'Dir::State::lists "{self.root}/lists";\n'
            f'Dir::State::status "{self.root}/state/status";\n'
            f'Dir::Cache "{self.root}/cache";\n'
            f'APT::Architecture "{self.architecture}";\n'
            # The tools that come with a kernel's headers run here
            f'APT::Architectures {{ "{self.architecture}"; "amd64"; }};\n'
            'APT::Sandbox::User "";\n'
            'Acquire::Languages "none";\n'
            'APT::Update::Post-Invoke-Success "";\n'
            '#clear APT::Update::Post-Invoke-Success;\n'
            '#clear APT::Update::Post-Invoke;\n'
            '#clear DPkg::Post-Invoke;\n')

    def _run(self, *command: str, cwd: Path | None = None, show: bool = False) -> str:
        env = dict(os.environ, APT_CONFIG=str(self.config), LC_ALL="C")
        done = subprocess.run(command, env=env, cwd=cwd, text=True, check=False,
                              stdin=subprocess.DEVNULL,
                              stdout=sys.stderr if show else subprocess.PIPE,
                              stderr=None if show else subprocess.PIPE)
        if done.returncode:
            raise LabError(f"{' '.join(command)}: failed"
                           + (f": {done.stderr.strip()}" if done.stderr else "")
                           + "; is the network reachable?")
        return done.stdout or ""

    def update(self) -> None:
        """Fetch the package lists, once per object."""
        if self.updated:
            return
        say("fetching the package lists of "
            + (", ".join(dict.fromkeys(archive.suite for archive in self.archives))
               if self.archives else "the host's archives") + " (private apt root)")
        self.configure()
        self._run("apt-get", "-qq", "update")
        self.updated = True

    def packages(self, prefix: str) -> list[str]:
        """Names of all packages that start with @prefix."""
        self.update()
        return self._run("apt-cache", "pkgnames", prefix).split()

    def depends(self, package: str) -> list[str]:
        """Names of the packages that @package depends on directly."""
        self.update()
        text = self._run("apt-cache", "depends", "--no-recommends",
                         "--no-suggests", "--no-conflicts", "--no-breaks",
                         "--no-replaces", "--no-enhances", package)
        return re.findall(r"^\s*\|?(?:Pre)?Depends: (\S+)", text, re.M)

    def unpack(self, packages: list[str], target: Path) -> None:
        """Download @packages and make @target their unpacked contents.

        The folder appears complete or not at all.
        """
        self.update()
        partial = target.with_name(target.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        downloads = partial / "downloads"
        downloads.mkdir(parents=True)
        say(f"downloading {', '.join(packages)}")
        self._run("apt-get", "-q", "download", *packages, cwd=downloads, show=True)
        for deb in sorted(downloads.glob("*.deb")):
            say(f"unpacking {deb.name.split('_')[0]}")
            subprocess.run(["dpkg-deb", "-x", deb, partial], check=True)
        shutil.rmtree(downloads)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def unpack_closure(self, packages: Iterable[str], target: Path) -> None:
        """The same for packages and all that they depend on, the C library included."""
        self.update()
        partial = target.with_name(target.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self._run("apt-get", "-qq", "--yes", "--download-only", "--no-install-recommends",
                  "install", *packages, show=True)
        downloads = sorted((self.root / "cache/archives").glob("*.deb"))
        say(f"unpacking {len(downloads)} packages")
        for deb in downloads:
            subprocess.run(["dpkg-deb", "-x", deb, partial], check=True)
            deb.unlink()
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def download_source(self, package: str, target: Path) -> None:
        """Download the files of a source package into a new folder @target."""
        self.update()
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        self._run("apt-get", "-q", "source", "--download-only", package, cwd=target,
                  show=True)


def unpacked(package: str, target: Path, program: str) -> Path:
    """The file @program of @package, fetched into @target on the first call."""
    path = target / program
    if not path.exists():
        with locked("fetch"):
            if not path.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                Apt().unpack([package], target)
    return path
