# SPDX-License-Identifier: GPL-2.0-only
"""The fuzzers of superblock, directory and links find what is put there, only."""

from pathlib import Path

import pytest

from proof.mutants import Mutant

from . import fuzzer
from .mutants import LINK, PEER, REGION

MISTAKES = {'region': REGION, 'peer': PEER, 'link': LINK}


@pytest.mark.attack('A01', 'A02', 'A03', 'A07', 'A08', 'A10')
@pytest.mark.parametrize('name', MISTAKES)
def test_the_fuzzer_finds_nothing(tmp_path: Path, name: str):
    done = fuzzer.fuzz(fuzzer.build(name, tmp_path),
                       fuzzer.write_corpus(name, tmp_path / 'corpus'))
    assert done.returncode == 0, done.stdout[-3000:]
    assert fuzzer.runs(done.stdout) >= fuzzer.NAMES[name][1]


@pytest.mark.parametrize('name, mistake', [
    pytest.param(name, mistake, id=f'{name}-{mistake.name}')
    for name, mistakes in MISTAKES.items() for mistake in mistakes])
def test_the_fuzzer_finds_what_is_wrong(tmp_path: Path, name: str, mistake: Mutant):
    program = fuzzer.build(name, tmp_path, mistake.make(tmp_path))
    done = fuzzer.find(program, fuzzer.write_corpus(name, tmp_path / 'corpus'))
    assert done.returncode != 0
    assert 'not true' in done.stdout or 'Sanitizer' in done.stdout
