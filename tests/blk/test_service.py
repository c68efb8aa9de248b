# SPDX-License-Identifier: GPL-2.0-only
"""The back end as a service: its unit, its completion, and how it ends."""
import os
import re
import subprocess
from pathlib import Path

import pytest

from lab import Server
from tests.server.test_systemd import expand, system_call_sets

from .disk import DISCARD, FLUSH, FUA, OK, ZEROES, BackEnd, FrontEnd, program

ROOT = Path(__file__).resolve().parents[2]
UNIT = 'ivshmem-blk-server@.service'


@pytest.fixture
def unit(directory: Path) -> Path:
    """The unit as it is installed, of the program under test."""
    text = (ROOT / f'packaging/systemd/{UNIT}.in').read_text()
    assert '@bindir@/ivshmem-blk-server ' in text
    path = directory / 'ivshmem-blk-server@lab.service'
    path.write_text(text.replace('@bindir@/ivshmem-blk-server ', f'{program()} '))
    return path


def test_the_unit_is_valid_and_confined(unit: Path):
    done = subprocess.run(['systemd-analyze', 'verify', '--man=no', unit], text=True,
                          capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')
    said = subprocess.run(
        ['systemd-analyze', 'security', '--offline=yes', '--threshold=20', '--no-pager',
         unit], text=True, capture_output=True, check=True).stdout
    exposure = re.search(r'exposure level for \S+: ([0-9.]+)', said)
    assert exposure and float(exposure[1]) <= 1.5


def test_the_unit_allows_what_the_program_does(server: Server, unit: Path, directory: Path,
                                               image: Path):
    """No system call of a session is one that the unit's filter forbids."""
    trace = directory / 'trace'
    with BackEnd(server.address, image,
                 prefix=['strace', '-f', '-s', '0', '-o', trace],
                 # Two tracers at once are too many.
                 env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0')) as back, \
            FrontEnd(server.address) as front:
        front.hello()
        assert front.write(0, bytes(4096), flags=FUA) == OK
        assert front.ask(FLUSH) == OK
        for operation in (DISCARD, ZEROES):
            assert front.ask(operation, length=4096) == OK
        back.send(1)
        back.report()
        back.end()
    used = set(re.findall(r'^\d+ +([a-z0-9_]+)\(', trace.read_text(), re.MULTILINE))
    assert {'io_uring_setup', 'io_uring_enter', 'fallocate'} <= used
    sets = system_call_sets()
    allowed = expand(sets, '@default')
    for forbidden, names in re.findall('^SystemCallFilter=(~?)(.*)$', unit.read_text(),
                                       re.MULTILINE):
        calls = set().union(*(expand(sets, name) for name in names.split()))
        allowed = allowed - calls if forbidden else allowed | calls
    assert 'ptrace' not in allowed
    assert used <= allowed


def test_the_example_says_all_keys_and_their_defaults(directory: Path, image: Path,
                                                      server: Server):
    """With every key taken out of its comment it is what the defaults are."""
    text = (ROOT / 'packaging/blk.conf').read_text()
    keys = set(re.findall(r'^;?([a-z-]+) = ', text, re.MULTILINE))
    path = directory / 'wrong.conf'
    path.write_text('[export a]\nnonsense = 1\n')
    said = subprocess.run([program(), '--config', path], text=True, check=False,
                          capture_output=True).stderr
    assert keys == set(said.rpartition('an export has: ')[2].split())
    text = re.sub(r'^;', '', text, flags=re.MULTILINE)
    text = re.sub(r'^file = .*', f'file = {image}', text, flags=re.MULTILINE)
    text = re.sub(r'^link = .*', f'link = {server.address}', text, flags=re.MULTILINE)
    text = re.sub(r'^section = .*', 'section = disk0', text, flags=re.MULTILINE)
    path.write_text(text)
    with BackEnd('--config', path) as back:
        assert back.told['export'] == 'root' and back.told['block_size'] == 512


def test_the_manual_has_every_option():
    page = (ROOT / 'Documentation/man/ivshmem-blk-server.8').read_text().replace('\\-', '-')
    options = subprocess.run([program(), '--help'], text=True, check=True,
                             stdout=subprocess.PIPE).stdout
    for option in re.findall(r'--[a-z-]+', options):
        assert option in page, option


def complete(*words: str) -> list[str]:
    """What bash offers for the last word."""
    script = f'''
        . {ROOT}/completions/ivshmem-blk-server
        COMP_WORDS=({' '.join(f"'{w}'" for w in words)})
        COMP_CWORD={len(words) - 1}
        COMP_LINE="{' '.join(words)}"
        COMP_POINT=${{#COMP_LINE}}
        _ivshmem_blk_server
        printf '%s\\n' "${{COMPREPLY[@]}}"
    '''
    done = subprocess.run(['bash', '-c', script], text=True, capture_output=True, check=True)
    return done.stdout.split()


def test_completion():
    assert complete('ivshmem-blk-server', '--block') == ['--block-size']
    assert complete('ivshmem-blk-server', '--direct', '') == ['auto', 'on', 'off']
    assert set(complete('ivshmem-blk-server', '--')) == set(
        re.findall(r'--[a-z-]+', subprocess.run([program(), '--help'], text=True, check=True,
                                                stdout=subprocess.PIPE).stdout))
    assert '/etc/passwd' in complete('ivshmem-blk-server', 'x', '/etc/passw')
