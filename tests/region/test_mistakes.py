# SPDX-License-Identifier: GPL-2.0-only
"""The unit tests of the format fail when there is a mistake in it."""

import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT
from proof.mutants import Mutant

from .mistakes import MISTAKES

FOLDER = ROOT / 'tests/region'


def compiled(name: str, folder: Path, headers: Path) -> Path:
    """The unit test @name with the format in @headers."""
    program = folder / name
    subprocess.run(['gcc', '-D_GNU_SOURCE', '-O1', f'-I{headers}',
                    FOLDER / f'{name}_test.c', '-lcmocka', '-o', program], check=True)
    return program


@pytest.mark.attack("A02", "A11")
@pytest.mark.parametrize('name, mistake', [
    pytest.param(name, mistake, id=f'{name}-{mistake.name}')
    for name, mistakes in MISTAKES.items() for mistake in mistakes])
def test_a_mistake_is_found(tmp_path: Path, name: str, mistake: Mutant):
    program = compiled(name, tmp_path, mistake.make(tmp_path))
    done = subprocess.run([program], check=False, timeout=300, errors='replace',
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode != 0, done.stdout


@pytest.mark.parametrize('name', MISTAKES)
def test_without_one_nothing_is_found(tmp_path: Path, name: str):
    subprocess.run([compiled(name, tmp_path, ROOT / 'include')], check=True)
