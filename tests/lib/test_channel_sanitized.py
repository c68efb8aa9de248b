# SPDX-License-Identifier: GPL-2.0-only
"""The tests of channels once more, built with the sanitizers."""
import os
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT, USERSPACE

TESTS = ROOT / 'tests/lib'
SERVER = USERSPACE / 'server/ivshmemd'
BOUND = 300
FLAGS = ['-g', '-O1', '-std=gnu11', '-D_GNU_SOURCE', '-pthread', '-Wno-missing-field-initializers',
         f'-DIVSHMEMD="{SERVER}"', '-DLIBIVSHMEM_VERSION="0.1.0"', f'-I{ROOT}/include',
         f'-I{ROOT}/include/uapi', f'-I{ROOT}/lib', f'-I{ROOT}/lib/include']


@pytest.fixture(scope='module', autouse=True)
def built() -> None:
    """The server, up to date."""
    subprocess.run([ROOT / 'scripts/build-userspace'], check=True,
                   stdout=subprocess.DEVNULL)


@pytest.fixture(scope='module', params=['address,undefined', 'thread'])
def library(request: pytest.FixtureRequest,
            tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The library with a sanitizer, and the flags for whoever is linked with it."""
    folder = tmp_path_factory.mktemp('sanitized')
    # What it does not know are fences; they order what is in shared memory only.
    flags = [*FLAGS, f'-fsanitize={request.param}', '-fno-sanitize-recover=all']
    if request.param == 'thread':
        flags.append('-Wno-tsan')
    sources = sorted((ROOT / 'lib').glob('*.c'))
    subprocess.run(['gcc', *flags, '-fPIC', '-shared', '-o', folder / 'libivshmem.so',
                    *sources], check=True)
    return folder, flags


@pytest.mark.parametrize('name', ['channel', 'channel_session'])
def test_channels(library: tuple[Path, list[str]], name: str):
    folder, flags = library
    subprocess.run(['gcc', *flags, '-o', folder / name, TESTS / f'{name}_test.c',
                    TESTS / 'channel_fixture.c', f'-L{folder}', '-livshmem', '-lcmocka',
                    f'-Wl,-rpath,{folder}'], check=True)
    done = subprocess.run([folder / name], check=False, text=True, timeout=BOUND,
                          capture_output=True,
                          env={**os.environ, 'TSAN_OPTIONS': 'halt_on_error=1'})
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Sanitizer' not in done.stderr, done.stderr
