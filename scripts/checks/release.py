# SPDX-License-Identifier: GPL-2.0-only
"""A check of what a release needs: one version, everywhere."""

import re
from collections.abc import Iterator

from .base import Finding, Outcome, check, count
from .tree import Tree

SOURCE = "meson.build"
VERSION = re.compile(r"^  version: '([^']+)',$", re.M)

# Files that tell the version and cannot ask for it, and the line that does: the newest
# entry of those that have many. One that begins with no digit is filled in later.
PLACES = {
    r"Documentation/man/": r'\.TH .* "ivshmem (\S+)"',
    r"CHANGELOG\.md$": r"## \[([^]]+)\]",
    r"debian/changelog$": r"\S+ \((?:\d+:)?([^)]+?)(?:-[^-)]+)?\)",
    r"(.*/)?[\w-]+\.spec(\.in)?$": r"Version:\s*(\S+)",
    r"(.*/)?PKGBUILD(\.in)?$": r"pkgver=(\S+)",
    r"(.*/)?dkms\.conf(\.in)?$": r'PACKAGE_VERSION="?([^"\s]+)',
}


@check("version", f"what tells a version tells that of {SOURCE}")
def version(tree: Tree) -> Outcome:
    """Manual pages, the log of changes, packages."""
    match = VERSION.search(tree.text(SOURCE)) if SOURCE in tree.files else None
    if not match:
        return Outcome("0 places", [Finding(SOURCE, 0, "has no version")])
    places = [(name, line) for name in tree.files for file, line in PLACES.items()
              if re.match(file, name)]
    return Outcome(count(places, "place"), [
        finding for name, line in places for finding in _other(tree, name, line, match[1])])


def _other(tree: Tree, name: str, pattern: str, wanted: str) -> Iterator[Finding]:
    for number, line in enumerate(tree.lines(name), 1):
        match = re.match(pattern, line)
        if match:
            if match[1][0].isdigit() and match[1] != wanted:
                yield Finding(name, number, f"{match[1]}: the version is {wanted}")
            return
    yield Finding(name, 0, f"tells no version; it is {wanted}")
