# SPDX-License-Identifier: GPL-2.0-only
"""The files of a tree, and what kind of file each is."""

import re
import subprocess
from functools import cached_property
from pathlib import Path

MAN_PAGE = re.compile(r"\.[1-8](\.in)?$")


class Tree:
    """The sources below @root: what git tracks, and new files that it would.

    Outside a git work tree, every file that is not below build/.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @cached_property
    def files(self) -> list[str]:
        """Names relative to the root, sorted; links are left out."""
        if (self.root / ".git").exists():
            listing = subprocess.run(
                ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                cwd=self.root, check=True, stdout=subprocess.PIPE, text=True).stdout
            names = listing.split("\0")
        else:
            names = [str(path.relative_to(self.root)) for path in self.root.rglob("*")]
        return sorted(name for name in set(names)
                      if name and self._is_source(name))

    def _is_source(self, name: str) -> bool:
        path = self.root / name
        if name.startswith("build/") or "__pycache__" in name:
            return False
        return path.is_file() and not path.is_symlink()

    def text(self, name: str) -> str:
        """Contents of a file; bytes that are not UTF-8 are replaced."""
        return (self.root / name).read_text(errors="replace")

    def lines(self, name: str) -> list[str]:
        """Lines of a file, without their ends."""
        return self.text(name).split("\n")

    def below(self, *folders: str) -> list[str]:
        """Files in these folders (of the root), at any depth."""
        return [name for name in self.files if name.startswith(folders)]

    def _shebang(self, name: str) -> str:
        with open(self.root / name, "rb") as file:
            first = file.readline(100)
        return first.decode(errors="replace") if first.startswith(b"#!") else ""

    @cached_property
    def text_files(self) -> list[str]:
        """All files without NUL bytes."""
        return [name for name in self.files
                if b"\0" not in (self.root / name).read_bytes()]

    @cached_property
    def c(self) -> list[str]:
        """C sources and headers."""
        return [name for name in self.files if name.endswith((".c", ".h"))]

    @cached_property
    def kernel_c(self) -> list[str]:
        """C that is compiled into modules, or that the kernel shares."""
        return [name for name in self.c if name.startswith(("drivers/", "include/"))]

    @cached_property
    def user_c(self) -> list[str]:
        """C of user space."""
        return [name for name in self.c if name not in self.kernel_c]

    @cached_property
    def python(self) -> list[str]:
        """Python sources, programs without a suffix included."""
        return [name for name in self.files
                if name.endswith(".py") or "python" in self._shebang(name)]

    @cached_property
    def shell(self) -> list[str]:
        """Shell scripts, bash completions, and what is sourced by makepkg."""
        return [name for name in self.files if name.endswith((".sh", ".bash", "PKGBUILD"))
                or re.search(r"\b(ba|da)?sh\b", self._shebang(name))]

    @cached_property
    def man_pages(self) -> list[str]:
        """Manual pages."""
        return [name for name in self.files
                if MAN_PAGE.search(name) and ".so." not in name]
