# SPDX-License-Identifier: GPL-2.0-only
"""The shared format compiles for every machine and language that it promises."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT
from proof.mutants import Mutant

SOURCE = ROOT / 'tests/ring/every_call.c'
FLAGS = ['-Wall', '-Wextra', '-Werror', '-Wconversion', '-Wshadow', '-Wundef',
         f'-I{ROOT}/include', '-O2']
# Debian's headers of the host serve every machine as far as the format goes.
HEADERS = '-I/usr/include/x86_64-linux-gnu'
# Bytes of the kernel's stack, which has 16 KiB, for each function of the format.
FRAME = 512


def compiled(tmp_path: Path, *command: str) -> str:
    """The assembly that a compiler makes of all of the format."""
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
    assert 'every_call_of_net' in compiled(tmp_path, *command.split())


def functions(text: str) -> dict[str, str]:
    """The code of each function in an assembly."""
    return {name: body for name, body in
            re.findall(r'^(every_call\w*):(.*?)^\.?Lfunc_end', text, re.M | re.S)}


@pytest.mark.parametrize('target, reversing', [
    ('s390x-linux-gnu', 'lrv'), ('powerpc64-linux-gnu', 'brx|rlwimi')])
def test_big_endian_machines_reverse_the_words(tmp_path: Path, target: str,
                                               reversing: str):
    found = functions(compiled(tmp_path, 'clang', f'--target={target}', HEADERS))
    assert len(found) == 6
    assert [name for name, body in found.items() if not re.search(reversing, body)] == []


def built_module(folder: Path, headers: str, mistake: Mutant | None = None
                 ) -> subprocess.CompletedProcess:
    """Build every_call.c in @folder as a module, watched by sparse."""
    source = mistake.make(folder) if mistake else ROOT / 'include'
    shutil.copytree(source / 'ivshmem', folder / 'ivshmem')
    shutil.copy(SOURCE.with_suffix('.h'), folder)
    (folder / 'Kbuild').write_text('obj-m := every_call.o\n'
                                   'ccflags-y := -I$(src) -Werror '
                                   f'-Wframe-larger-than={FRAME}\n')
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


@pytest.mark.parametrize('where, statement, complaint', [
    ('int ret;', 'c->cons = c->own->cons;', 'noderef|restricted'),
    ('int ret;', '*(__u8 *)memory = 1;', 'address space'),
    ('enum ivregion_error error;',
     'copy->magic = ((struct ivregion_superblock __ivshmem *)memory)->magic;', 'noderef'),
    ('enum ivregion_error error;', 'region->slots = copy->slots;', 'restricted'),
    ('enum ivpeer_event event;', 'memcpy(peer->name, memory, 4);', 'address space'),
    ('unsigned int events;', 'link->ack = link->peer->epoch;', 'noderef|restricted')])
def test_sparse_finds_memory_touched_past_the_accessors(
        tmp_path: Path, headers: str, where: str, statement: str, complaint: str):
    text = SOURCE.read_text().replace(f'\t{where}\n', f'\t{where}\n\n\t{statement}\n')
    assert text.count(statement) == 1
    (tmp_path / 'every_call.c').write_text(text)
    done = built_module(tmp_path, headers)
    assert any(word in done.stdout for word in complaint.split('|')), done.stdout


@pytest.mark.parametrize('header, statement, instead', [
    ('link.h', 'ivshmem_load32(&link->own->epoch) == link->epoch',
     'link->own->epoch == link->epoch'),
    ('wire.h', 'ivshmem_load32(&superblock->instance)', 'superblock->instance'),
    ('peer.h', 'ivshmem_load32(&line->heartbeat)', 'line->heartbeat')])
def test_sparse_watches_the_headers_themselves(tmp_path: Path, headers: str, header: str,
                                               statement: str, instead: str):
    shutil.copy(SOURCE, tmp_path)
    done = built_module(tmp_path, headers, Mutant('direct', statement, instead,
                                                  header=header))
    assert done.returncode != 0
    assert 'noderef' in done.stdout or 'restricted' in done.stdout, done.stdout


def test_a_large_frame_would_be_found(tmp_path: Path, headers: str):
    text = SOURCE.read_text().replace(
        '\tenum ivregion_error error;\n',
        '\tenum ivregion_error error;\n\tstruct ivregion_superblock mine;\n\n'
        '\tivregion_read((const struct ivregion_superblock __ivshmem *)memory, &mine);\n'
        '\t*copy = mine;\n')
    (tmp_path / 'every_call.c').write_text(text)
    done = built_module(tmp_path, headers)
    assert 'frame size' in done.stdout, done.stdout


def test_the_kernel_does_not_take_a_copy_for_an_overflow(tmp_path: Path, headers: str):
    """Copies that span members would warn when they run, if not before."""
    shutil.copy(SOURCE, tmp_path)
    assert built_module(tmp_path, headers).returncode == 0
    text = (tmp_path / 'every_call.o').read_bytes()
    assert b'field-spanning' not in text
