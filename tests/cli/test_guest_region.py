# SPDX-License-Identifier: GPL-2.0-only
"""Regions in guests: format, info, peers and doctor, beside a peer on the host."""
import json
from dataclasses import dataclass
from typing import Any, Iterator

import pytest

from lab import VM, Server, ivshmem_doorbell, ivshmem_plain
from lab.paths import USERSPACE

from .program import Running, run as run_on_host, run_json as json_on_host

TOOL = USERSPACE / 'tools/ivshmem/ivshmem'
NODE = '/dev/ivshmem0'
PLAIN = '/dev/ivshmem1'
LAYOUT = 'raw=lab:256K:vector=2,raw=two:128K:vector=1'
NOBODY = 'setpriv --reuid 65534 --regid 65534 --clear-groups '


@dataclass
class Guest:
    """A VM and the link that its doorbell device is on."""
    vm: VM
    link: Server

    def run(self, arguments: str, status: int = 0, prefix: str = '') -> str:
        """Run the tool; what it printed, or on failure its complaint."""
        result = self.vm.run(f'{prefix}{TOOL} {arguments}', check=False)
        assert result.returncode == status, result
        return result.stderr if status else result.stdout

    def json(self, arguments: str) -> Any:
        """Run the tool with --json; what it printed, parsed."""
        return json.loads(self.run(f'{arguments} --json'))

    def region(self, node: str = NODE) -> dict:
        """The format, as info shows it."""
        return self.json(f'info {node}')['region']

    def finding(self, check: str, node: str = NODE) -> dict:
        """What the doctor says about that."""
        result = self.vm.run(f'{TOOL} doctor {node} --json', check=False)
        found = [finding for finding in json.loads(result.stdout)['findings']
                 if finding['check'] == check]
        assert len(found) == 1, result.stdout
        return found[0]


@pytest.fixture(scope='module')
def booted(module_vms: Any, tmp_path_factory: Any) -> Iterator[Guest]:
    """A VM with a doorbell device and a plain one."""
    memory = tmp_path_factory.mktemp('memory') / 'plain'
    with Server(size='1M', peers=4, vectors=4) as link:
        vm = module_vms('region', [ivshmem_doorbell(link, 4),
                                   ivshmem_plain(memory, '1M', id='plain')])
        vm.load_driver()
        yield Guest(vm, link)


@pytest.fixture
def guest(booted: Guest) -> Guest:
    """The VM; its memories are unformatted."""
    for node in (NODE, PLAIN):
        booted.run(f'format {node} --erase --force')
    return booted


@pytest.fixture
def formatted(guest: Guest) -> Guest:
    """The VM, its link's memory formatted by itself."""
    guest.run(f'format {NODE} {LAYOUT} --peers 4')
    return guest


@pytest.fixture
def watching(formatted: Guest) -> Iterator[Running]:
    """Somebody on the host who watches the link."""
    running = Running('peers', formatted.link.address, '--watch', '--json')
    yield running
    running.remove()


def wait_event(watcher: Running, event: str, **expected: Any) -> dict:
    """Read on until this event of such a peer."""
    while True:
        line = watcher.line()
        assert line, watcher.said
        seen = json.loads(line)
        if seen['event'] == event and expected.items() <= seen.items():
            return seen


def test_guest_and_host_see_one_format(formatted: Guest):
    here, there = formatted.region(), \
        json_on_host('info', formatted.link.address)['region']
    assert (here['slot'], here['joined']) == (0, True)
    assert there['joined'] is False
    for of_one in ('slot', 'joined'):
        del here[of_one], there[of_one]
    assert here == there
    assert [section['name'] for section in here['sections']] == ['lab', 'two']


def test_what_the_host_formats_the_guest_uses(guest: Guest):
    assert guest.region() == {'state': 'unformatted'}
    run_on_host('format', guest.link.address, 'raw=fromhost', '--peers', 4)
    guest.vm.wait_for(f'test -c {NODE}.fromhost')
    assert guest.region()['joined']
    assert guest.region()['sections'][0]['name'] == 'fromhost'


def test_the_guest_is_a_peer_for_the_host(formatted: Guest, watching: Running):
    name = formatted.vm.run('uname -n').stdout.strip()
    seen = wait_event(watching, 'joined', slot=0)
    assert seen['name'] == name
    assert seen['vectors'] == 4
    formatted.run(f'format {NODE} --erase --force')
    wait_event(watching, 'unformatted')
    formatted.run(f'format {NODE} {LAYOUT} --peers 4')
    assert wait_event(watching, 'joined', slot=0)['epoch'] != seen['epoch']


def test_the_host_is_a_peer_for_the_guest(formatted: Guest):
    process = formatted.vm.spawn(f'exec {TOOL} peers {NODE} --watch > /tmp/seen')
    formatted.vm.wait_for('grep -q formatted /tmp/seen')
    peer = Running('peers', formatted.link.address, '--watch', '--join',
                   '--name', 'host')
    try:
        formatted.vm.wait_for('grep -q "slot 1 .*joined .*host" /tmp/seen')
        peers = formatted.json(f'peers {NODE}')['peers']
        assert [(peer['slot'], peer['state'], peer['own']) for peer in peers] \
            == [(0, 'alive', True), (1, 'alive', False)]
        assert formatted.finding('peers')['text'] == '1 other'
        assert 'peers are there' in formatted.run(f'format {NODE} raw', 1)
    finally:
        peer.remove()
    # Killed, it said nothing; the server did.
    formatted.vm.wait_for('grep -q "slot 1 .*died .*host" /tmp/seen')
    process.kill()


def test_the_node_of_a_section(formatted: Guest):
    node = f'{NODE}.lab'
    formatted.vm.wait_for(f'test -c {node}')
    formatted.run(f'poke {node} 0 "in the section"')
    lab = formatted.region()['sections'][0]
    host = json_on_host('dump', formatted.link.address, '--offset',
                        lab['offset'], '--length', 14)
    assert bytes.fromhex(host['hex']) == b'in the section'
    info = formatted.json(f'info {node}')
    assert info['memory_size'] == 256 << 10
    assert info['region']['sections'][0] == lab
    assert info['region']['unused'] is None
    assert 'name that of the device' in formatted.run(f'format {node} raw', 1)
    assert '/dev/ivshmemN.NAME' in formatted.run(f'dump {NODE}', 1)


def test_the_default_device_is_none_of_a_section(formatted: Guest):
    complaint = formatted.run('info', 1)
    assert f'{NODE}\n' in complaint
    assert f'{NODE}.lab' not in complaint


def test_joining_in_a_guest_asks_for_a_slot_only(formatted: Guest):
    assert '(own)' in formatted.run(f'peers {NODE} --join')
    assert formatted.json(f'peers {NODE}')['peers'][0]['own']


def test_a_plain_device_chooses_a_slot_unless_told_otherwise(guest: Guest):
    guest.run(f'format {PLAIN} raw=p --peers 2')
    guest.vm.run('echo none > /sys/class/ivshmem/ivshmem1/slot')
    assert guest.region(PLAIN)['slot'] is None
    assert 'echo auto' in guest.finding('slot', PLAIN)['remedy']
    assert guest.finding('slot', PLAIN)['verdict'] == 'warn'
    guest.run(f'peers {PLAIN} --join', 1)
    guest.vm.run('echo auto > /sys/class/ivshmem/ivshmem1/slot')
    guest.vm.wait_for(f'{TOOL} info {PLAIN} | grep "own slot [01]$"')
    assert guest.region(PLAIN)['joined']
    assert guest.finding('slot', PLAIN)['verdict'] == 'ok'
    guest.run(f'peers {PLAIN} --join')
    assert 'ivshmemd' in guest.finding('directory', PLAIN)['remedy']
    guest.vm.run('echo 1 > /sys/class/ivshmem/ivshmem1/slot')
    assert guest.region(PLAIN)['slot'] == 1
    guest.vm.run('echo auto > /sys/class/ivshmem/ivshmem1/slot')


def test_only_root_formats_again(formatted: Guest):
    formatted.vm.run(f'chmod 666 {NODE}')
    complaint = formatted.run(f'format {NODE} raw=mine', 1, NOBODY)
    assert 'root' in complaint
    formatted.vm.run(f'chmod 600 {NODE}')


def test_a_refused_region(formatted: Guest):
    run_on_host('poke', formatted.link.address, 8, '07000000', '--hex')
    run_on_host('poke', formatted.link.address, 28, '01020304', '--hex')
    formatted.vm.wait_for(f'{TOOL} info {NODE} | grep -q "format   refused"')
    assert formatted.region()['version'] == '7.0'
    assert formatted.finding('format')['verdict'] == 'fail'
    assert '--force' in formatted.run(f'format {NODE} {LAYOUT}', 1)
    formatted.run(f'format {NODE} {LAYOUT} --force')
    assert formatted.region()['state'] == 'formatted'
