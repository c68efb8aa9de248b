# SPDX-License-Identifier: GPL-2.0-only
"""Programs that were built with an earlier library work with this one."""
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT

HEADER = ROOT / 'lib/include/libivshmem.h'
# The interface of the last release, or until there is one, of what comes to be it
RELEASED = ROOT / 'lib/libivshmem.abi'


def differences(header: Path, folder: Path) -> str:
    """What of the last release is another one with a header; more calls are none."""
    present = folder / 'present.abi'
    with open(present, 'wb') as output:
        subprocess.run([ROOT / 'scripts/describe-abi', header], check=True, stdout=output)
    done = subprocess.run(['abidiff', '--no-added-syms', RELEASED, present], check=False,
                          capture_output=True, text=True)
    assert not done.returncode & 3, done.stderr
    return done.stdout if done.returncode else ''


def test_nothing_is_gone_or_changed(tmp_path: Path):
    assert not differences(HEADER, tmp_path)


@pytest.mark.parametrize('old, new, found', [
    ('\tuint64_t memory_size;', '\tuint64_t memory_size;\n\tuint32_t more;', 'uint32_t more'),
    ('uint32_t peer,\n\t\t\t\tuint32_t vector);', 'uint32_t peer);', 'ivshmem_ring'),
    ('int ivshmem_wait(', 'int ivshmem_wait_long(', 'ivshmem_wait'),
], ids=['structure', 'parameter', 'call'])
def test_a_change_is_found(tmp_path: Path, old: str, new: str, found: str):
    changed = tmp_path / 'changed.h'
    text = HEADER.read_text().replace(old, new)
    assert text != HEADER.read_text()
    changed.write_text(text)
    assert found in differences(changed, tmp_path)
