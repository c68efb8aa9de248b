# SPDX-License-Identifier: GPL-2.0-only
"""What the stress tests see: orders between threads, sessions between processes."""

import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT
from proof.mutants import UNORDERED, Mutant

# Each order of the ring but the full barriers, which ThreadSanitizer does not know.
ORDERS = ['publish-relaxed', 'prod-relaxed', 'release-relaxed', 'cons-relaxed']


def compiled(source: str, folder: Path, mistake: Mutant, *flags: str) -> Path:
    """A stress test with a mistake in the format."""
    program = folder / 'stress'
    subprocess.run(['gcc', '-D_GNU_SOURCE', '-g', '-O1', '-pthread', *flags,
                    f'-I{mistake.make(folder)}', ROOT / source, '-o', program], check=True)
    return program


@pytest.mark.parametrize('name', ORDERS)
def test_a_missing_order_is_a_race_between_threads(tmp_path: Path, name: str):
    mistake = next(m for m in UNORDERED if m.name == name)
    program = compiled('tests/ring/stress.c', tmp_path, mistake, '-fsanitize=thread')
    done = subprocess.run([program, '--threads', '--seconds', '1', '--size', '4096'],
                          check=False, errors='replace', timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode != 0
    assert 'data race' in done.stdout, done.stdout[-3000:]


@pytest.mark.parametrize('mistake', [
    Mutant('session-ignored', '\t\treturn IVRING_STALE;', '\t\t(void)epoch;'),
    Mutant('epoch-known', 'ivpeer_fresh_epoch(random, link->last_epoch)', '7',
           header='link.h')], ids=lambda mistake: mistake.name)
def test_a_mistake_in_the_link_shows_when_sides_die(tmp_path: Path, mistake: Mutant):
    """When it does is chance, and a slow machine kills less often."""
    program = compiled('tests/region/link_stress.c', tmp_path, mistake)
    for seed in range(1, 13):
        done = subprocess.run([program, '--seconds', '30', '--seed', str(seed)], check=False,
                              errors='replace', timeout=300, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode:
            break
    assert done.returncode == 1, done.stdout
