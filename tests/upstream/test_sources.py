# SPDX-License-Identifier: GPL-2.0-only
"""The drivers' sources as they are placed into a kernel: none is left out, nor half changed."""

import re
import shutil
from pathlib import Path

import pytest

from lab.log import LabError
from upstream import parts, sources


@pytest.fixture(name="unifdef")
def fixture_unifdef():
    """Debian's, so that it takes no kernel."""
    program = shutil.which("unifdef")
    assert program, "unifdef: not found; 'make test' installs it"
    return Path(program)


def test_nothing_of_other_kernels_is_left(unifdef):
    """Neither versions, nor user space, nor paths that a kernel tree does not have."""
    own = re.compile(r"LINUX_VERSION_CODE|KERNEL_VERSION|compat/compat|__cplusplus|<ivshmem/|"
                     r"\bdrivers/(core|blk)/|\binclude/ivshmem/|In a kernel tree")
    parts.check_complete()
    new = parts.contents(len(parts.PARTS), unifdef)
    assert len(new) > 60
    found = {name: own.search(text) for name, text in new.items()}
    assert not [(name, match[0]) for name, match in found.items() if match]


def test_what_has_changed_is_noticed(unifdef, monkeypatch):
    """A passage of a source that is not there any more, a file that no patch has."""
    monkeypatch.setitem(sources.PASSAGES, "drivers/core/pci.c", [("not there", "")])
    with pytest.raises(LabError, match="has changed"):
        sources.text("drivers/core/pci.c", unifdef)
    monkeypatch.setattr(parts, "PARTS", parts.PARTS[:2])
    with pytest.raises(LabError, match="in no patch"):
        parts.check_complete()
