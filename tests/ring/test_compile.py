# SPDX-License-Identifier: GPL-2.0-only
"""The ring compiles for every machine and language that it promises."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT

SOURCE = ROOT / 'tests/ring/every_call.c'
FLAGS = ['-Wall', '-Wextra', '-Werror', '-Wconversion', '-Wshadow', '-Wundef',
         f'-I{ROOT}/include', '-O2']
# Debian's headers of the host serve every machine as far as the ring goes.
HEADERS = '-I/usr/include/x86_64-linux-gnu'


def compiled(tmp_path: Path, *command: str) -> str:
    """The assembly that a compiler makes of all of the ring."""
    output = tmp_path / 'ring.s'
    subprocess.run([*command, *FLAGS, '-S', SOURCE, '-o', output], check=True)
    return output.read_text()


@pytest.mark.parametrize('command', [
    'gcc -std=c99 -pedantic', 'gcc -std=c11 -pedantic', 'gcc -std=gnu2x',
    'g++ -x c++ -std=c++11 -pedantic', 'g++ -x c++ -std=c++17 -pedantic',
    'gcc -m32 -std=c11', 'g++ -m32 -x c++ -std=c++17',
    'clang -std=c11', 'clang -x c++ -std=c++17', 'clang -m32 -std=c11',
    f'clang --target=aarch64-linux-gnu {HEADERS}'])
def test_it_compiles_without_a_warning(tmp_path: Path, command: str):
    assert 'every_call' in compiled(tmp_path, *command.split())


@pytest.mark.parametrize('target, reversing', [
    ('s390x-linux-gnu', 'lrv'), ('powerpc64-linux-gnu', 'wbrx|rlwimi')])
def test_big_endian_machines_reverse_the_words(tmp_path: Path, target: str,
                                               reversing: str):
    text = compiled(tmp_path, 'clang', f'--target={target}', HEADERS)
    assert re.search(reversing, text)


def built_module(folder: Path, headers: str) -> subprocess.CompletedProcess:
    """Build every_call.c in @folder as a module, watched by sparse."""
    shutil.copytree(ROOT / 'include/ivshmem', folder / 'ivshmem')
    (folder / 'Kbuild').write_text('obj-m := every_call.o\n'
                                   'ccflags-y := -I$(src) -Werror\n')
    return subprocess.run(
        ['make', '-C', headers, f'M={folder}', 'W=1', 'C=2',
         'CF=-D__CHECK_ENDIAN__ -Wsparse-error', 'modules'], check=False,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope='module')
def headers() -> str:
    """Folder of the kernel headers that the lab has."""
    return subprocess.run(['/usr/bin/python3', '-m', 'lab', 'kernel', '--headers'],
                          cwd=ROOT, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def test_it_compiles_in_the_kernel_and_sparse_is_content(tmp_path: Path,
                                                         headers: str):
    shutil.copy(SOURCE, tmp_path)
    done = built_module(tmp_path, headers)
    assert done.returncode == 0, done.stdout
    assert 'CHECK' in done.stdout


@pytest.mark.parametrize('statement, complaint', [
    ('c->cons = c->own->cons;', 'noderef|restricted'),
    ('*(__u8 *)memory = 1;', 'address space')])
def test_sparse_finds_memory_touched_past_the_accessors(
        tmp_path: Path, headers: str, statement: str, complaint: str):
    text = SOURCE.read_text().replace('\tint ret;\n', f'\tint ret;\n\n\t{statement}\n')
    assert statement in text
    (tmp_path / 'every_call.c').write_text(text)
    done = built_module(tmp_path, headers)
    assert any(word in done.stdout for word in complaint.split('|')), done.stdout
