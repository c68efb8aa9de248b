# SPDX-License-Identifier: GPL-2.0-only
"""The fuzzer of the ring: finds nothing in it, and finds what is put there."""

import json
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT
from proof.mutants import UNCHECKED

FOLDER = ROOT / 'tests/fuzz'
RUNS = 200000
# Each way in which a hostile peer could get hold of the other side.
SEEDED = ['length-any', 'length-across-end', 'length-unpublished',
          'length-read-twice', 'kind-read-twice', 'pad-unpublished', 'prod-jumps',
          'prod-read-twice', 'cons-jumps', 'cons-read-twice']


def fuzzer(folder: Path, headers: Path) -> Path:
    """The fuzzer, compiled with the ring in @headers."""
    program = folder / 'ring_fuzz'
    subprocess.run(['clang', '-g', '-O1', '-fsanitize=fuzzer,address,undefined',
                    '-fno-sanitize-recover=all', '-Wall', '-Wextra', '-Werror',
                    '-DIVSHMEM_PORT=<hostile_port.h>', f'-I{FOLDER}',
                    f'-I{headers}', FOLDER / 'ring_fuzz.c', '-o', program],
                   check=True)
    return program


def fuzz(program: Path, corpus: Path) -> subprocess.CompletedProcess:
    """A run that is the same each time."""
    return subprocess.run([program, f'-runs={RUNS}', '-seed=1', '-max_len=400',
                           f'-artifact_prefix={program.parent}/', corpus],
                          check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """The inputs that are kept, each in a file of its own."""
    folder = tmp_path / 'corpus'
    folder.mkdir()
    inputs = json.loads((FOLDER / 'corpus/ring.json').read_text())
    for number, text in enumerate(inputs):
        (folder / str(number)).write_bytes(bytes.fromhex(text))
    return folder


def test_the_fuzzer_finds_nothing(tmp_path: Path, corpus: Path):
    done = fuzz(fuzzer(tmp_path, ROOT / 'include'), corpus)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f'Done {RUNS} runs' in done.stdout


@pytest.mark.parametrize('name', SEEDED)
def test_the_fuzzer_finds_what_is_wrong(tmp_path: Path, corpus: Path, name: str):
    mutant = next(m for m in UNCHECKED if m.name == name)
    done = fuzz(fuzzer(tmp_path, mutant.make(tmp_path)), corpus)
    assert done.returncode != 0
    assert 'not true' in done.stdout or 'Sanitizer' in done.stdout
