# SPDX-License-Identifier: GPL-2.0-only
"""The fuzzer of the ring: finds nothing in it, and finds what is put there."""

from pathlib import Path

import pytest

from proof.mutants import UNCHECKED

from . import fuzzer
from .mutants import RING

# Each way in which a hostile peer could get hold of the other side.
SEEDED = ['length-any', 'length-across-end', 'length-unpublished',
          'length-read-twice', 'kind-read-twice', 'pad-unpublished', 'prod-jumps',
          'prod-read-twice', 'cons-jumps', 'cons-read-twice']
MUTANTS = {m.name: m for m in [*UNCHECKED, *RING]}


@pytest.mark.attack('A11', 'A12', 'A13', 'A14', 'A21')
def test_the_fuzzer_finds_nothing(tmp_path: Path):
    done = fuzzer.fuzz(fuzzer.build('ring', tmp_path),
                       fuzzer.write_corpus('ring', tmp_path / 'corpus'))
    assert done.returncode == 0, done.stdout[-3000:]
    assert fuzzer.runs(done.stdout) >= fuzzer.NAMES['ring'][1]


@pytest.mark.parametrize('name', [*SEEDED, *(m.name for m in RING)])
def test_the_fuzzer_finds_what_is_wrong(tmp_path: Path, name: str):
    program = fuzzer.build('ring', tmp_path, MUTANTS[name].make(tmp_path))
    done = fuzzer.find(program, fuzzer.write_corpus('ring', tmp_path / 'corpus'))
    assert done.returncode != 0
    assert 'not true' in done.stdout or 'Sanitizer' in done.stdout
