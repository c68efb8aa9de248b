# SPDX-License-Identifier: GPL-2.0-only
"""What the tool says about itself, and what it thinks of wrong arguments."""
import re
import subprocess
from pathlib import Path

import pytest

from .program import program, run

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ['list', 'info', 'format', 'peers', 'ring', 'wait', 'dump', 'poke',
            'ping', 'send', 'recv', 'tap', 'top', 'server', 'doctor']
MAN = (ROOT / 'Documentation/man/ivshmem.1').read_text().replace('\\-', '-')


def options(command: str) -> set[str]:
    """The options that --help shows."""
    return set(re.findall(r'^  (--[a-z-]+)', run(command, '--help'), re.M))


def complete(line: str) -> list[str]:
    """What bash offers after this line."""
    script = (f'source {ROOT}/completions/ivshmem; COMP_LINE=$1; '
              'COMP_POINT=${#1}; _ivshmem; printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(['bash', '-c', script, 'bash', line], check=True,
                            capture_output=True, text=True)
    assert not result.stderr
    return result.stdout.split()


def test_help_lists_the_commands():
    text = run('--help')
    assert re.findall(r'^  ([a-z]+) ', text, re.M) == COMMANDS
    assert run('help') == text


def test_version():
    assert re.fullmatch(r'ivshmem (\d+\.\d+\.\d+) \(libivshmem \1\)\n',
                        run('--version'))


@pytest.mark.parametrize('command', COMMANDS)
def test_each_command_explains_itself(command: str):
    text = run(command, '--help')
    assert text.startswith(f'usage: ivshmem {command}')
    assert run('help', command) == text
    assert '--help' in options(command)


@pytest.mark.parametrize('command', COMMANDS)
def test_the_manual_knows_each_option(command: str):
    assert f'.SS ivshmem {command}' in MAN
    for option in options(command):
        assert option in MAN, f'{command} {option}'


@pytest.mark.parametrize('command', COMMANDS)
def test_completion_knows_each_option(command: str):
    assert set(complete(f'ivshmem {command} --')) == options(command)


def test_completion_of_commands():
    assert set(COMMANDS) < set(complete('ivshmem '))
    assert complete('ivshmem do') == ['doctor']
    assert set(complete('ivshmem help d')) == {'dump', 'doctor'}
    assert complete('ivshmem fo') == ['format']


def test_completion_of_drivers():
    assert set(complete('ivshmem --driver ')) == {'ivshmem', 'vfio', 'pci'}
    assert set(complete('ivshmem --driver vfio d')) == {'dump', 'doctor'}
    assert '--poll' in complete('ivshmem --driver vfio ping --')


def test_completion_of_devices(directory: Path):
    (directory / 'a.sock').touch()
    (directory / 'b.sock').touch()
    # After the colon a word begins for bash.
    assert complete(f'ivshmem info unix:{directory}/a') == \
        [f'{directory}/a.sock']
    assert len(complete(f'ivshmem ping --poll unix:{directory}/')) == 2
    # What these want is a number.
    for option in ('-d', '--delay', '-n'):
        assert complete(f'ivshmem top {option} unix:{directory}/') == []


def test_the_manual_is_well_formed():
    page = ROOT / 'Documentation/man/ivshmem.1'
    result = subprocess.run(['man', '--warnings', '-E', 'UTF-8', '-Tutf8',
                             '-Z', '-l', page], check=True,
                            capture_output=True, text=True)
    assert not result.stderr


@pytest.mark.parametrize('arguments', [
    (),
    ('nonsense',),
    ('help', 'nonsense'),
    ('list', 'something'),
    ('list', '--nonsense'),
    ('info', 'a', 'b'),
    ('format',),
    ('format', 'unix:/x', 'auto', 'more'),
    ('format', 'auto', '--peers', '1'),
    ('format', 'auto', '--peers', '65'),
    ('format', 'auto', '--vectors', '257'),
    ('format', 'auto', '--size', '1M'),
    ('format', 'auto', '--size', '0', '--dry-run'),
    ('format', 'unix:/x', 'auto', '--size', '1M', '--dry-run'),
    ('format', 'unix:/x', 'auto', '--erase'),
    ('format', '--erase', '--dry-run'),
    ('peers', 'a', 'b'),
    ('peers', '--name', 'x'),
    ('peers', '--join', '--name', ''),
    ('ring',),
    ('ring', '1'),
    ('ring', 'unix:/x', '65536', '0'),
    ('ring', 'unix:/x', '0', '256'),
    ('ring', 'unix:/x', '-1', '0'),
    ('ring', 'unix:/x', '1', '0', '--count', '0'),
    ('ring', 'unix:/x', '1', '0', '--count', 'many'),
    ('top', '-d', '0'),
    ('top', '-d', '1h'),
    ('top', '-d', '3601'),
    ('top', '-n', '0'),
    ('wait', '--vector', '256'),
    ('wait', '--timeout', '-1'),
    ('wait', '--timeout', '1x'),
    ('wait', '--timeout', 'nan'),
    ('wait', '--count'),
    ('wait', 'a', 'b'),
    ('dump', '--offset', '1E'),
    ('dump', '--offset', '0x'),
    ('dump', '--offset', '99999999999999999999'),
    ('dump', '--offset', '17179869184G'),
    ('dump', '--length', '0'),
    ('dump', 'a', 'b'),
    ('poke',),
    ('poke', 'unix:/x', '0'),
    ('poke', 'unix:/x', 'there', 'x'),
    ('poke', 'unix:/x', '0', ''),
    ('poke', 'unix:/x', '0', 'abc', '--hex'),
    ('poke', 'unix:/x', '0', 'xy', '--hex'),
    ('poke', 'unix:/x', '0', ' ', '--hex'),
    ('ping',),
    ('ping', 'unix:/x', '64'),
    ('ping', 'unix:/x', '1', '2'),
    ('ping', 'unix:/x', '1', '--count', '0'),
    ('ping', 'unix:/x', '1', '--count', '10000001'),
    ('ping', 'unix:/x', '1', '--timeout', '0'),
    ('ping', 'unix:/x', '1', '--offset', '2'),
    ('ping', 'unix:/x', '1', '--vector', '256'),
    ('ping', 'unix:/x', '1', '--id', '64'),
    ('ping', '--listen', 'a', 'b'),
    ('server',),
    ('server', 'nonsense'),
    ('server', 'status', 'more'),
    ('server', 'metrics', '--json'),
    ('doctor', 'a', 'b'),
    ('format', 'unix:/x'),
], ids=' '.join)
def test_wrong_usage(arguments: tuple[str, ...]):
    complaint = run(*arguments, status=2)
    assert 'usage: ivshmem' in complaint


def test_a_full_disk_is_noticed(link: str):
    with open('/dev/full', 'w', encoding='ascii') as full:
        result = subprocess.run([program(), 'dump', link, '--length', '64K',
                                 '--raw'], check=False, stdout=full, text=True,
                                stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert 'No space left' in result.stderr


@pytest.mark.parametrize('arguments', [['--version'], ['help'],
                                       ['info', '--help']])
def test_output_that_cannot_be_written_is_noticed(arguments: list[str]):
    with open('/dev/full', 'w', encoding='ascii') as full:
        result = subprocess.run([program(), *arguments], check=False,
                                text=True, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert 'standard output: No space left on device' in result.stderr
