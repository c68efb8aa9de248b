# SPDX-License-Identifier: GPL-2.0-only
"""format, info, peers and doctor over a link, with peers that come and die."""
import json
import re
import signal
import struct
import subprocess
from typing import Any, Callable

import pytest

from .hostile import handshake
from .peer import Peer
from .program import BOUND, Running, program, run, run_json

MIB = 1 << 20
LAYOUT = 'raw=lab:256K:vector=2,raw=two:128K:vector=1'
MAGIC = struct.pack('<I', 0x48535649)


def section(link: str, name: str) -> dict:
    """A section, as info shows it."""
    return next(section for section in run_json('info', link)['region']['sections']
                if section['name'] == name)


def directory_page(slot: int) -> int:
    """Where the page of a peer is."""
    return (2 + slot) * 4096


def next_event(watching: Running) -> dict:
    """The next line of `peers --watch --json`."""
    line = watching.line()
    assert line, watching.said
    return json.loads(line)


def wait_event(watching: Running, event: str, **expected: Any) -> dict:
    """Read on until this event of such a peer."""
    while True:
        seen = next_event(watching)
        if seen['event'] == event and expected.items() <= seen.items():
            return seen


@pytest.fixture
def formatted(link: str) -> str:
    """A link of four peers whose memory is formatted."""
    run('format', link, LAYOUT)
    return link


def test_format_shows_what_it_has_made(link: str):
    text = run('format', link, LAYOUT)
    lines = text.splitlines()
    assert lines[0] == 'memory   1 MiB'
    assert lines[1] == 'slots    4'
    assert re.fullmatch(r'uuid     [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}',
                        lines[2])
    assert lines[3].split() == ['SECTION', 'TYPE', 'OFFSET', 'SIZE', 'VECTOR',
                                'QUEUES', 'RING']
    assert lines[4].split()[:6] == ['lab', 'raw', '0x6000', '256', 'KiB', '2']
    assert lines[5].split()[:5] == ['two', 'raw', '0x46000', '128', 'KiB']
    assert lines[6].split() == ['unused', '616', 'KiB']
    assert text.split('uuid')[1] in run('info', link).replace(
        'own slot 0 (not joined)\n', '').replace('slots    4\n', '')


def test_format_as_json(link: str):
    made = run_json('format', link, LAYOUT, '--peers', 3)
    assert made == run_json('info', link)['region']
    assert made['state'] == 'formatted'
    assert made['version'] == '1.0'
    assert (made['slots'], made['slot'], made['joined']) == (3, 0, False)
    assert made['sections'][0] == {
        'name': 'lab', 'type': 'raw', 'offset': 5 * 4096, 'size': 256 << 10,
        'vector': 2, 'queues': 1, 'usable': True,
        'ring_size': made['sections'][0]['ring_size']}
    assert made['sections'][0]['ring_size'] >= 4096
    used = sum(section['size'] for section in made['sections'])
    assert made['unused'] == MIB - 5 * 4096 - used


def test_the_memory_holds_what_was_described(formatted: str, join):
    memory = join(formatted).memory
    assert bytes(memory[:4]) == MAGIC
    lab = section(formatted, 'lab')
    run('poke', formatted, lab['offset'], 'into the section')
    assert bytes(memory[lab['offset']:lab['offset'] + 16]) == b'into the section'


def test_format_again_keeps_slots_uuid_and_bytes(formatted: str, join):
    before = run_json('info', formatted)['region']
    memory = join(formatted).memory
    memory[MIB - 4:] = b'kept'
    after = run_json('format', formatted, 'raw=all')
    assert after['uuid'] == before['uuid']
    assert after['instance'] != before['instance']
    assert after['slots'] == before['slots']
    assert bytes(memory[MIB - 4:]) == b'kept'


def test_dry_run_changes_nothing(link: str):
    told = run_json('format', link, LAYOUT, '--dry-run')
    assert run_json('info', link)['region'] == {'state': 'unformatted'}
    made = run_json('format', link, LAYOUT)
    assert told['sections'] == made['sections']
    assert told['slots'] == made['slots']
    assert 'uuid' not in told


def test_dry_run_without_a_device():
    told = run_json('format', 'raw=a:16M,raw=b', '--dry-run', '--size', '64M',
                    '--peers', 2)
    first, second = told['sections']
    assert first['offset'] == 2 * MIB
    assert second['offset'] == 18 * MIB
    assert second['size'] == 46 * MIB
    assert told['slots'] == 2


@pytest.mark.parametrize('layout, size', [
    ('raw=a:1G', '64M'), ('fish', '64M'), ('raw=a,raw=a', '64M'),
    ('raw=a:vector=300', '64M'), ('net', '64K'), ('auto', '3M'), ('', '1M'),
])
def test_a_layout_that_cannot_be_is_refused(layout: str, size: str):
    complaint = run('format', layout, '--dry-run', '--size', size, status=1)
    assert complaint.startswith('ivshmem: ')
    assert complaint.count('\n') == 1
    assert len(complaint) > 30


def test_erase(formatted: str):
    assert run('format', formatted, '--erase') == ''
    assert run_json('info', formatted)['region'] == {'state': 'unformatted'}
    assert 'belongs to programs' in run('info', formatted)
    assert run_json('format', formatted, '--erase') == {'state': 'unformatted'}


def test_peers_of_an_unformatted_link(link: str):
    assert 'ivshmem format' in run('peers', link, status=1)
    assert 'ivshmem format' in run('peers', link, '--join', status=1)


def test_nobody_is_there(formatted: str):
    assert run('peers', formatted) == '0 of 4 slots are taken\n'
    assert run_json('peers', formatted) == {'slots': 4, 'peers': []}


def test_who_has_joined_is_shown(formatted: str, start):
    first = start('peers', formatted, '--watch', '--join', '--name', 'eva 1',
                  '--json')
    epoch = wait_event(first, 'joined', slot=0)['epoch']
    peers = run_json('peers', formatted)
    assert peers == {'slots': 4, 'peers': [
        {'slot': 0, 'state': 'alive', 'own': False, 'epoch': epoch,
         'generation': peers['peers'][0]['generation'], 'vectors': 4,
         'joins': 1, 'name': 'eva?1'}]}
    text = run('peers', formatted, '--join', '--name', 'adam').splitlines()
    assert text[1].split() == ['0', 'alive', epoch, '4', '1', 'eva?1']
    assert text[2].split()[:2] == ['1', 'alive']
    assert text[2].endswith(' adam (own)')
    assert text[3] == '2 of 4 slots are taken'
    first.interrupt()
    first.end(0)
    assert run_json('peers', formatted)['peers'] == []


def test_watch_prints_a_line_for_each_change(formatted: str, start):
    watching = start('peers', formatted, '--watch').wait_said('Ctrl-C ends')
    stamp = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}'
    assert re.fullmatch(stamp + r'  region  formatted \(4 slots, 2 sections\)\n',
                        watching.line())
    guest = start('peers', formatted, '--watch', '--join', '--name', 'guest')
    assert re.match(stamp + r'  slot 1  joined +guest \(epoch \w+, 4 vectors\)',
                    watching.line())
    guest.interrupt()
    guest.end(0)
    assert re.match(stamp + '  slot 1  left +guest ', watching.line())
    run('format', formatted, '--erase')
    assert re.fullmatch(stamp + '  region  unformatted\n', watching.line())
    watching.interrupt()
    assert watching.end(0) == ''


def test_the_name_is_that_of_the_host(formatted: str, start):
    joined = start('peers', formatted, '--watch', '--join', '--json')
    name = wait_event(joined, 'joined', slot=0)['name']
    assert name == run_host_name()[:40]


def run_host_name() -> str:
    """The name of this host."""
    with open('/proc/sys/kernel/hostname', encoding='ascii') as file:
        return file.read().strip()


def test_one_that_is_killed_and_comes_back(formatted: str, start):
    watching = start('peers', formatted, '--watch', '--json')
    wait_event(watching, 'formatted')
    victim = start('peers', formatted, '--watch', '--join', '--name', 'victim')
    first = wait_event(watching, 'joined', slot=1)
    victim.interrupt(signal.SIGKILL)
    victim.end(-signal.SIGKILL)
    # Known by the server's word, before its heartbeat stands still for long.
    assert next_event(watching)['event'] == 'died'
    again = start('peers', formatted, '--watch', '--join', '--name', 'again')
    while True:
        second = next_event(watching)
        if second['event'] in ('joined', 'returned'):
            break
    assert second['name'] == 'again'
    assert second['slot'] == 1
    assert second['epoch'] != first['epoch']
    again.interrupt()
    again.end(0)
    assert wait_event(watching, 'left')['slot'] == 1


def test_a_region_in_use_is_not_formatted(formatted: str, start):
    user = start('peers', formatted, '--watch', '--join', '--name', 'user',
                 '--json')
    before = wait_event(user, 'joined', slot=0)
    complaint = run('format', formatted, 'raw=other', status=1)
    assert 'peers are there: 0 (user)' in complaint
    assert '--force' in complaint
    assert 'peers are there' in run('format', formatted, '--erase', status=1)
    assert section(formatted, 'lab')

    made = run_json('format', formatted, 'raw=other', '--force')
    assert [section['name'] for section in made['sections']] == ['other']
    # It has noticed, and is there again, in the new one.
    wait_event(user, 'formatted', sections=1)
    after = wait_event(user, 'joined', slot=0)
    assert after['epoch'] != before['epoch']
    assert run_json('peers', formatted)['peers'][0]['name'] == 'user'


def test_a_refused_region_is_explained(formatted: str, join):
    memory = join(formatted).memory
    memory[8:12] = struct.pack('<I', 7)
    region = run_json('info', formatted)['region']
    assert region['state'] == 'refused'
    assert region['version'] == '7.0'
    assert 'version 7.0' in region['reason']
    text = run('info', formatted)
    assert 'format   refused: ' in text
    assert 'remedy   use the version of ivshmem that formatted it' in text
    assert 'refused' in run('peers', formatted, status=1)
    assert '--force' in run('format', formatted, LAYOUT, status=1)
    run('format', formatted, LAYOUT, '--force')
    assert run_json('info', formatted)['region']['state'] == 'formatted'


@pytest.mark.parametrize('offset, value, text', [
    (4, 1, 'checksum'), (8, 2, 'version'), (64, 9, 'checksum'),
])
def test_the_doctor_finds_a_bad_format(formatted: str, join: Callable,
                                       offset: int, value: int, text: str):
    peer: Peer = join(formatted)
    peer.memory[offset:offset + 4] = struct.pack('<I', value)
    finding = findings(formatted, 'format', status=1)[0]
    assert finding['verdict'] == 'fail'
    assert text in finding['text']
    assert 'ivshmem format --force' in finding['remedy']


def findings(link: str, check: str, status: int = 0) -> list[dict]:
    """What the doctor says about that."""
    result = subprocess.run([program(), 'doctor', link, '--json'], check=False,
                            capture_output=True, timeout=BOUND)
    assert result.returncode == status, result.stdout
    return [finding for finding in json.loads(result.stdout)['findings']
            if finding['check'] == check]


def test_the_doctor_of_a_good_format(formatted: str):
    assert findings(formatted, 'format')[0]['text'] == \
        'formatted, version 1.0, 2 sections'
    assert findings(formatted, 'slot')[0]['text'] == 'slot 0 of 4'
    assert findings(formatted, 'peers')[0]['verdict'] == 'ok'
    assert 'nobody else' in findings(formatted, 'peers')[0]['text']


def test_the_doctor_finds_a_peer_without_a_slot(formatted: str, join):
    run('format', formatted, LAYOUT, '--peers', 2)
    # They take the slots that there are.
    assert [join(formatted).id, join(formatted).id] == [0, 1]
    finding = findings(formatted, 'slot')[0]
    assert finding['verdict'] == 'warn'
    assert '--peers 3' in finding['remedy']
    assert 'ivshmem doctor' in run('peers', formatted, '--join', status=1)
    assert 'own slot none' in run('info', formatted)
    assert run_json('info', formatted)['region']['slot'] is None


def test_the_doctor_counts_other_peers(formatted: str, start):
    joined = start('peers', formatted, '--watch', '--join', '--json')
    wait_event(joined, 'joined', slot=0)
    assert findings(formatted, 'peers')[0]['text'] == '1 other'


def test_the_doctor_misses_a_server_that_counts(hostile: Callable):
    server = hostile(*handshake(MIB), stays=True)
    run('format', server.address, 'raw', '--peers', 2)
    finding = findings(server.address, 'directory')[0]
    assert finding['verdict'] == 'warn'
    assert 'ivshmemd' in finding['remedy']


def test_the_server_counts_for_the_doctor(formatted: str):
    assert findings(formatted, 'directory') == []


def test_one_that_stands_still(formatted: str, start):
    watching = start('peers', formatted, '--watch', '--json')
    wait_event(watching, 'formatted')
    frozen = start('peers', formatted, '--watch', '--join', '--name', 'cold')
    epoch = wait_event(watching, 'joined', slot=1)['epoch']
    frozen.interrupt(signal.SIGSTOP)
    assert next_event(watching)['event'] == 'silent'
    frozen.interrupt(signal.SIGCONT)
    back = next_event(watching)
    assert (back['event'], back['epoch']) == ('resumed', epoch)


@pytest.mark.attack('A08', 'A46')
def test_nonsense_in_the_directory(formatted: str, join):
    """Everything answers, whatever a peer has written."""
    memory = join(formatted).memory
    memory[4096:directory_page(4)] = b'\xff' * (directory_page(4) - 4096)
    peers = run_json('peers', formatted)['peers']
    assert all(peer['vectors'] <= 256 for peer in peers)
    run('peers', formatted)
    findings(formatted, 'peers')
    run('format', formatted, LAYOUT, '--force')
    assert run_json('peers', formatted)['peers'] == []
