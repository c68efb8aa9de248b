# SPDX-License-Identifier: GPL-2.0-only
"""info, dump and poke over a link."""
import subprocess

import pytest

from .program import program, run, run_json

SIZE = 1 << 20


def raw(link: str, *arguments: str) -> bytes:
    """What `dump --raw` writes."""
    return subprocess.run([program(), 'dump', link, '--raw', *arguments],
                          check=True, capture_output=True).stdout


def test_info(link: str):
    assert run_json('info', link) == {
        'address': link, 'kind': 'server', 'memory_size': SIZE,
        'cache_mode': 'wb', 'doorbell': True, 'peer_id': 0, 'vectors': 4,
        'peers': [{'id': id, 'vectors': 4} for id in (1, 2, 3)],
        'region': {'state': 'unformatted'}}
    text = run('info', link)
    assert 'memory   1 MiB\n' in text
    assert 'own id   0\n' in text
    assert '1 (4 vectors)' in text


def test_each_connection_has_an_id_of_its_own(link: str, join):
    assert join(link).id == 0
    assert join(link).id == 1
    assert run_json('info', link)['peer_id'] == 2


def test_what_is_poked_is_seen_by_others(link: str, join):
    peer = join(link)
    run('poke', link, '0x1000', 'Hello world')
    assert bytes(peer.memory[4096:4108]) == b'Hello world\0'
    peer.memory[8:12] = b'\xde\xad\xbe\xef'
    assert run_json('dump', link, '--offset', '8', '--length', '4') == {
        'offset': 8, 'length': 4, 'hex': 'deadbeef'}


def test_dump_shows_hexadecimal_and_ascii(link: str):
    run('poke', link, '4093', 'Hello\x01world, how are you?')
    assert run('dump', link, '--offset', '0xff0', '--length', '0x30') == (
        '00000ff0  00 00 00 00 00 00 00 00  00 00 00 00 00 48 65 6c  '
        '|.............Hel|\n'
        '00001000  6c 6f 01 77 6f 72 6c 64  2c 20 68 6f 77 20 61 72  '
        '|lo.world, how ar|\n'
        '00001010  65 20 79 6f 75 3f 00 00  00 00 00 00 00 00 00 00  '
        '|e you?..........|\n'
        '00001020\n')


def test_dump_shows_repeated_lines_once(link: str):
    zeroes = '00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00'
    assert run('dump', link) == (f'00000000  {zeroes}  |................|\n'
                                 '*\n00000100\n')
    assert run('dump', link, '--length', '20').splitlines()[1].startswith(
        '00000010  00 00 00 00     ')


def test_dump_ends_with_the_memory(link: str):
    assert run('dump', link, '--offset', '1048570').endswith('\n00100000\n')
    assert len(raw(link, '--offset', '1023K', '--length', '1K')) == 1024


@pytest.mark.parametrize('arguments', [
    ('--offset', '1M'), ('--offset', '1M', '--length', '1'),
    ('--length', '1048577'), ('--offset', '1048570', '--length', '7'),
    ('--offset', '0xffffffffffffffff', '--length', '2'),
    ('--length', '0xffffffffffffffff')])
def test_dump_outside_of_the_memory(link: str, arguments: tuple[str, ...]):
    assert 'not inside the memory, which has 1048576 bytes' in run(
        'dump', link, *arguments, status=1)


def test_the_whole_memory_goes_through(link: str):
    content = bytes(range(256)) * (SIZE // 256)
    subprocess.run([program(), 'poke', link, '0', '-'], check=True,
                   input=content)
    assert raw(link, '--length', '1M') == content


@pytest.mark.parametrize('text', ['deadbeef', 'de ad be ef', 'DE:AD:be:ef',
                                  ' dead beef '])
def test_poke_hexadecimal(link: str, text: str):
    assert run_json('poke', link, '1K', text, '--hex') == {
        'offset': 1024, 'length': 4}
    assert raw(link, '--offset', '1K', '--length', '5') == \
        b'\xde\xad\xbe\xef\0'


def test_poke_writes_all_or_nothing(link: str):
    assert 'not inside' in run('poke', link, '1048573', 'four', status=1)
    assert 'not inside' in run('poke', link, '1M', 'x', status=1)
    assert 'not inside' in run('poke', link, '0xffffffffffffffff', 'xx',
                               status=1)
    assert 'not inside' in run('poke', link, '0', '-', status=1,
                               input='x' * (SIZE + 1))
    assert raw(link, '--length', '1M') == bytes(SIZE)


def test_poke_without_input(link: str):
    assert 'nothing to write' in run('poke', link, '0', '-', status=1)
