# SPDX-License-Identifier: GPL-2.0-only
"""The kernels that are supported: all tests of them ask this table, by their names here.

The name is what KERNEL= takes.  A new one is a line here; CONTRIBUTING.md says the rest.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where a kernel is, and what it is built with."""

    # Debian release whose archives have it, and whose compilers build its modules
    suite: str
    # How its version starts; "" for the newest
    version: str
    flavour: str = ""
    architecture: str = "amd64"
    # Whether it may be one of the release's backports
    backports: bool = False

    @property
    def suffix(self) -> str:
        """How the names of its packages end."""
        return "".join(f"-{word}" for word in (self.flavour, self.architecture) if word)


KERNELS = {
    "6.1": Origin("bookworm", "6.1"),
    "6.1-rt": Origin("bookworm", "6.1", "rt"),
    "6.1-cloud": Origin("bookworm", "6.1", "cloud"),
    "6.12": Origin("trixie", "6.12"),
    "newest": Origin("trixie", "", backports=True),
    "newest-rt": Origin("trixie", "", "rt", backports=True),
    "6.12-arm64": Origin("trixie", "6.12", architecture="arm64"),
}
