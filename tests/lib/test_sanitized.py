# SPDX-License-Identifier: GPL-2.0-only
"""The library's tests with hostile peers again, under sanitizers."""
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT

BOUND = 300


@pytest.mark.parametrize('name', ['hostile_region', 'region', 'peers'])
def test_under_sanitizers(name: str, tmp_path: Path):
    program = tmp_path / name
    subprocess.run(['cc', '-g', '-O1', '-fsanitize=address,undefined',
                    '-fno-sanitize-recover=all', '-D_GNU_SOURCE',
                    '-DLIBIVSHMEM_VERSION="0.0.0"', '-Iinclude',
                    '-Iinclude/uapi', '-Ilib/include', '-Ilib',
                    *sorted(ROOT.glob('lib/*.c')),
                    f'tests/lib/{name}_test.c', 'tests/lib/scripted_server.c',
                    '-lcmocka', '-pthread', '-o', program],
                   check=True, cwd=ROOT)
    result = subprocess.run([program], check=False, capture_output=True,
                            text=True, timeout=BOUND)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'PASSED' in result.stdout + result.stderr
