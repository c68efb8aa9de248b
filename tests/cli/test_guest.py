# SPDX-License-Identifier: GPL-2.0-only
"""The tool in a guest: on a doorbell device, on plain ones, and without."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from lab import VM, Process, Server, ivshmem_doorbell, ivshmem_plain
from lab.paths import USERSPACE

from .program import Running, run as run_on_host
from .program import run_json as json_on_host

SERVER = USERSPACE / 'server/ivshmemd'
TOOL = USERSPACE / 'tools/ivshmem/ivshmem'
HELLO = USERSPACE / 'examples/hello'
DOORBELL = '/dev/ivshmem0'
PLAIN = '/dev/ivshmem1'
PLAIN_TOO = '/dev/ivshmem2'
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

    def json(self, arguments: str, status: int = 0, prefix: str = '') -> Any:
        """Run the tool with --json; what it printed, parsed."""
        result = self.vm.run(f'{prefix}{TOOL} {arguments} --json', check=False)
        assert result.returncode == status, result
        return json.loads(result.stdout)

    def findings(self, arguments: str = '', failures: int = 0,
                 prefix: str = '') -> list[dict]:
        """What the doctor finds."""
        result = self.json(f'doctor {arguments}', 1 if failures else 0, prefix)
        assert result['failures'] == failures, result
        return result['findings']

    def start(self, arguments: str) -> Process:
        """Start the tool and wait until it has opened the device."""
        process = self.vm.spawn(f'exec {TOOL} {arguments}')
        # The pattern is not a name of the shell that looks.
        self.vm.wait_for(f'ls -l /proc/{process.pid}/fd | grep -q /dev/ivshm')
        return process


def one(findings: list[dict], check: str) -> dict:
    """The only finding of that kind."""
    found = [finding for finding in findings if finding['check'] == check]
    assert len(found) == 1, findings
    return found[0]


def pci_address(guest: Guest, node: str) -> str:
    """The device behind a node."""
    devices = guest.json('list')['devices']
    return next(device['pci'] for device in devices if device['node'] == node)


@pytest.fixture(scope='module')
def guest(module_vms: Any, tmp_path_factory: Any) -> Iterator[Guest]:
    """A VM with a doorbell device, and two plain ones on one memory."""
    memory = tmp_path_factory.mktemp('memory') / 'shared'
    with Server(size='1M', peers=4, vectors=4) as link:
        vm = module_vms('full', [ivshmem_doorbell(link, 4),
                                 ivshmem_plain(memory, '64K', id='one'),
                                 ivshmem_plain(memory, '64K', id='two')])
        vm.load_driver()
        yield Guest(vm, link)


@pytest.fixture(scope='module')
def bare(module_vms: Any) -> Guest:
    """A VM without any ivshmem device or driver."""
    return Guest(module_vms('bare'), None)


@pytest.fixture
def on_host(guest: Guest) -> Iterator[Callable[..., Running]]:
    """Start the tool on the host, on the guest's link."""
    programs: list[Running] = []

    def begin(command: str, *arguments: Any) -> Running:
        programs.append(Running(command, guest.link.address, *arguments))
        return programs[-1]

    yield begin
    for running in programs:
        running.remove()


def test_list(guest: Guest):
    doorbell, one_plain, other_plain = guest.json('list')['devices']
    assert doorbell == {
        'pci': doorbell['pci'], 'address': DOORBELL, 'node': DOORBELL,
        'driver': 'ivshmem',
        'memory_size': 1 << 20, 'doorbell': True, 'revision': 1,
        'peer_id': 0, 'vectors': 4, 'cache_mode': 'wb'}
    assert (one_plain['node'], other_plain['node']) == (PLAIN, PLAIN_TOO)
    assert one_plain['memory_size'] == 65536
    assert one_plain['doorbell'] is False
    assert one_plain['peer_id'] is None
    text = guest.run('list').splitlines()
    assert text[1].split() == [doorbell['pci'], DOORBELL, 'ivshmem', '1',
                               'MiB', 'doorbell', '4', '0', 'wb']


def test_info(guest: Guest):
    assert guest.json(f'info {DOORBELL}') == {
        'address': DOORBELL, 'kind': 'device', 'memory_size': 1 << 20,
        'cache_mode': 'wb', 'revision': 1, 'doorbell': True, 'peer_id': 0,
        'vectors': 4, 'region': {'state': 'unformatted'}}
    assert guest.json(f'info {PLAIN}') == {
        'address': PLAIN, 'kind': 'device', 'memory_size': 65536,
        'cache_mode': 'wb', 'revision': 1, 'doorbell': False,
        'peer_id': None, 'vectors': 0, 'region': {'state': 'unformatted'}}
    assert 'doorbell no\n' in guest.run(f'info {PLAIN}')


def test_the_device_must_be_named_if_there_are_several(guest: Guest):
    complaint = guest.run('info', 1)
    assert 'more than one device; name one of these:' in complaint
    for node in (DOORBELL, PLAIN, PLAIN_TOO):
        assert node in complaint


def test_memory_is_shared_with_the_host(guest: Guest):
    guest.run(f'poke {DOORBELL} 0xfffff !')
    guest.run(f'poke {DOORBELL} 8K "Hello host"')
    link = guest.link.address
    assert 'Hello host' in run_on_host('dump', link, '--offset', '8K')
    assert json_on_host('dump', link, '--offset', '1048575', '--length',
                        '1')['hex'] == '21'
    run_on_host('poke', link, '8K', 'Hello guest')
    assert 'Hello guest' in guest.run(f'dump {DOORBELL} --offset 8K')
    assert 'not inside the memory' in guest.run(f'poke {DOORBELL} 1M x', 1)


def test_memory_is_shared_between_plain_devices(guest: Guest):
    guest.run(f'poke {PLAIN} 40K "Hello neighbour"')
    assert guest.run(f'dump {PLAIN_TOO} --offset 40K --length 15 --raw') == \
        'Hello neighbour'


def test_the_guest_rings_the_host(guest: Guest, on_host):
    waiter = on_host('wait', '--count', '3', '--json').wait_said('waiting on')
    host = json_on_host('info', guest.link.address)['peer_id'] - 1
    assert host == 1
    guest.run(f'ring {DOORBELL} {host} 2 --count 3')
    counts = [json.loads(line) for line in waiter.end().splitlines()]
    assert {event['vector'] for event in counts} == {2}
    assert sum(event['count'] for event in counts) == 3


def test_the_host_rings_the_guest(guest: Guest):
    waiter = guest.start(f'wait {DOORBELL} --vector 1 --vector 3')
    # Until it listens; a doorbell from before it opened does not count.
    while waiter.poll() is None:
        run_on_host('ring', guest.link.address, 0, 3)
    assert waiter.returncode == 0
    assert waiter.stdout.startswith('vector 3: ')


def test_a_doorbell_to_nobody(guest: Guest):
    guest.run(f'ring {DOORBELL} 65535 255')


def test_wait_gives_up(guest: Guest):
    assert 'time-out' in guest.run(f'wait {DOORBELL} --timeout 0.1', 1)
    assert 'vector 4 does not exist' in guest.run(
        f'wait {DOORBELL} --vector 4', 1)


@pytest.mark.parametrize('command', ['wait', 'ring'])
def test_a_plain_device_has_no_doorbells(guest: Guest, command: str):
    arguments = {'wait': PLAIN, 'ring': f'{PLAIN} 0 0'}[command]
    complaint = guest.run(f'{command} {arguments}', 1)
    assert 'there are no doorbells; use ivshmem-doorbell' in complaint


@pytest.mark.parametrize('way', ['', '--poll'])
def test_the_host_pings_the_guest(guest: Guest, way: str):
    listener = guest.start(f'ping {DOORBELL} --listen --count 101')
    result = json_on_host('ping', guest.link.address, 0, '--count', 100,
                          *way.split(), '--timeout', 30)
    assert (result['count'], result['lost'], result['late']) == (100, 0, 0)
    assert listener.wait().returncode == 0
    assert listener.stdout.startswith('101 answered')


@pytest.mark.parametrize('way', ['', '--poll'])
def test_the_guest_pings_the_host(guest: Guest, on_host, way: str):
    on_host('ping', '--listen').wait_said('peer 1 listens on')
    result = guest.json(f'ping {DOORBELL} 1 --count 100 --timeout 30 {way}')
    assert (result['count'], result['lost'], result['late']) == (100, 0, 0)
    assert result['rtt_us']['min'] > 0


def test_plain_devices_ping_by_polling(guest: Guest):
    listener = guest.start(f'ping {PLAIN} --listen --id 5')
    result = guest.json(f'ping {PLAIN_TOO} 5 --poll --id 6 --count 20 '
                        '--timeout 30')
    assert (result['mode'], result['lost']) == ('poll', 0)
    listener.kill('INT')
    assert listener.wait().returncode == 0
    assert listener.stdout.startswith('21 answered')


def test_plain_devices_need_an_id_and_polling(guest: Guest):
    assert 'give it one that no other peer uses: --id' in guest.run(
        f'ping {PLAIN} 1 --poll', 1)
    assert 'there are no doorbells; use --poll' in guest.run(
        f'ping {PLAIN} 1 --id 2', 1)
    assert 'it has an id of its own, 0' in guest.run(
        f'ping {DOORBELL} 1 --id 2', 1)


def test_ctrl_c_ends_a_listener(guest: Guest):
    listener = guest.start(f'ping {DOORBELL} --listen --json')
    listener.kill('INT')
    assert listener.wait().returncode == 0
    assert json.loads(listener.stdout)['answered'] == 0


def test_the_example_greets_the_host(guest: Guest):
    first = guest.vm.spawn(f'exec {HELLO} {DOORBELL} 1')
    guest.vm.wait_for(f'ls -l /proc/{first.pid}/fd | grep -q /dev/ivshm')
    second = subprocess.run([HELLO, guest.link.address, '0'], check=True,
                            text=True, capture_output=True, timeout=60)
    assert second.stdout == \
        'vector 0 was rung, peer 0 says: Hello from peer 0\n'
    assert first.wait().stdout == \
        'vector 0 was rung, peer 1 says: Hello from peer 1\n'


def test_no_permission(guest: Guest):
    complaint = guest.run(f'info {DOORBELL}', 1, NOBODY)
    assert 'permission denied; join the group ivshmem' in complaint
    finding = one(guest.findings(DOORBELL, 1, NOBODY), 'permission')
    assert 'not readable and writable for you: mode 0600, group root' in \
        finding['text']
    assert '70-ivshmem.rules' in finding['remedy']


@pytest.fixture
def grouped(guest: Guest) -> Iterator[int]:
    """The node as the udev rule makes it; the id of the group."""
    guest.vm.run('getent group ivshmem || groupadd -r ivshmem; '
                 f'chgrp ivshmem {DOORBELL}; chmod 0660 {DOORBELL}')
    yield int(guest.vm.run(f'stat -c %g {DOORBELL}').stdout)
    guest.vm.run(f'chgrp root {DOORBELL}; chmod 0600 {DOORBELL}')


def test_the_group_may(guest: Guest, grouped: int):
    member = f'setpriv --reuid 65534 --regid 65534 --groups {grouped} '
    assert 'own id   0' in guest.run(f'info {DOORBELL}', prefix=member)
    findings = guest.findings(DOORBELL, prefix=member)
    assert {finding['verdict'] for finding in findings} == {'ok'}
    finding = one(guest.findings(DOORBELL, 1, NOBODY), 'permission')
    assert 'join the group' in finding['remedy']
    guest.vm.run(f'chmod 0666 {DOORBELL}')
    finding = one(guest.findings(DOORBELL), 'permission')
    assert finding['verdict'] == 'warn'
    assert 'every user may access it' in finding['text']


def test_doctor_on_a_good_device(guest: Guest):
    findings = guest.findings(DOORBELL)
    assert [finding['check'] for finding in findings] == [
        'device', 'driver', 'permission', 'node', 'mapping', 'interrupts',
        'format']
    assert one(findings, 'interrupts')['text'] == \
        'rang itself on 4 vectors, all arrived'
    assert one(findings, 'mapping')['text'] == 'cached (write-back)'


def test_doctor_on_a_plain_device(guest: Guest):
    finding = one(guest.findings(PLAIN), 'interrupts')
    assert finding['verdict'] == 'warn'
    assert 'no MSI-X, so no doorbells' in finding['text']
    assert 'ivshmem-doorbell' in finding['remedy']


def test_doctor_on_all_devices(guest: Guest):
    findings = guest.findings()
    assert [finding['text'] for finding in findings
            if finding['check'] == 'device'] == [
        'doorbell device with 1 MiB of memory',
        'plain device with 64 KiB of memory',
        'plain device with 64 KiB of memory']
    text = guest.run('doctor')
    assert 'WARN  interrupts' in text
    assert 'remedy: ' in text


def test_doctor_on_names_that_stay(guest: Guest):
    """These machines have no udev, and so none, but what is made here."""
    guest.vm.run('mkdir -p /dev/ivshmem/by-path && '
                 f'ln -s ../..{PLAIN.removeprefix("/dev")} /dev/ivshmem/by-path/pci-mine')
    try:
        found = {finding['subject']: finding for finding in guest.findings()
                 if finding['check'] == 'name'}
    finally:
        guest.vm.run('rm -r /dev/ivshmem')
    assert {node: finding['verdict'] for node, finding in found.items()} == {
        DOORBELL: 'warn', PLAIN: 'ok', PLAIN_TOO: 'warn'}
    assert found[PLAIN]['text'].endswith(': /dev/ivshmem/by-path/pci-mine')
    assert pci_address(guest, DOORBELL) in found[DOORBELL]['text']


def test_doctor_on_programs_that_may_disturb_each_other(guest: Guest):
    """Two that have it open are one too many while nothing divides the memory."""
    listeners = [guest.start(f'ping {PLAIN} --listen --id 3')]
    try:
        assert 'users' not in [found['check'] for found in guest.findings(PLAIN)]
        listeners.append(guest.start(f'ping {PLAIN} --listen --id 4'))
        found = one(guest.findings(PLAIN), 'users')
    finally:
        for listener in listeners:
            listener.kill()
            listener.wait()
    assert found['verdict'] == 'warn'
    assert 'unformatted, and 2 programs have it open' in found['text']
    assert f'ivshmem ({listeners[0].pid})' in found['text']
    assert f'ivshmem format {PLAIN} raw=' in found['remedy']


def test_doctor_on_a_slow_mapping(guest: Guest):
    attribute = '/sys/class/ivshmem/ivshmem0/cache_mode'
    guest.vm.run(f'echo uc > {attribute}')
    try:
        finding = one(guest.findings(DOORBELL), 'mapping')
    finally:
        guest.vm.run(f'echo wb > {attribute}')
    assert finding['verdict'] == 'warn'
    assert finding['text'].startswith('uncached: reads are')
    assert f'echo wb > {attribute}' in finding['remedy']


def test_doctor_on_lost_interrupts(guest: Guest):
    """MSI-X is switched off behind the driver's back."""
    config = f'/sys/bus/pci/devices/{pci_address(guest, DOORBELL)}/config'
    write = f'dd of={config} bs=1 seek=$((0x43)) conv=notrunc status=none'
    guest.vm.run(f"printf '\\000' | {write}")
    try:
        finding = one(guest.findings(DOORBELL, 1), 'interrupts')
    finally:
        guest.vm.run(f"printf '\\200' | {write}")
    assert '4 of 4 own doorbells did not arrive within a second' in \
        finding['text']
    assert 'has the server as many vectors' in finding['remedy']
    guest.findings(DOORBELL)


def test_a_missing_node(guest: Guest):
    guest.vm.run(f'mv {PLAIN_TOO} /dev/elsewhere')
    try:
        complaint = guest.run(f'info {PLAIN_TOO}', 1)
        finding = one(guest.findings(PLAIN_TOO, 1), 'node')
    finally:
        guest.vm.run(f'mv /dev/elsewhere {PLAIN_TOO}')
    assert 'no such device; `ivshmem doctor`' in complaint
    assert 'udevadm trigger' in finding['remedy']


def test_a_device_that_goes_away(guest: Guest):
    """Whoever waits or looks is told."""
    address = pci_address(guest, PLAIN_TOO)
    bind = '/sys/bus/pci/drivers/ivshmem'
    looker = guest.start(f'ping {PLAIN_TOO} --listen --id 3')
    # It has mapped the memory, and looks at it a thousand times a second.
    guest.vm.wait_for(f'grep -q {PLAIN_TOO} /proc/{looker.pid}/maps')
    guest.vm.run(f'echo {address} > {bind}/unbind')
    try:
        assert looker.wait().returncode == 1
        assert 'the shared memory is gone' in looker.stderr
        finding = next(finding for finding in guest.findings(failures=1)
                       if finding['verdict'] == 'fail')
        assert 'no driver is bound although the module is loaded' in \
            finding['text']
        assert f'echo {address} > {bind}/bind' in finding['remedy']
    finally:
        guest.vm.run(f'echo {address} > {bind}/bind')


def test_a_waiter_is_told_that_the_device_is_gone(guest: Guest):
    address = pci_address(guest, DOORBELL)
    bind = '/sys/bus/pci/drivers/ivshmem'
    waiter = guest.start(f'wait {DOORBELL}')
    guest.vm.run(f'echo {address} > {bind}/unbind')
    try:
        assert waiter.wait().returncode == 1
        assert 'the device is gone' in waiter.stderr
    finally:
        guest.vm.run(f'echo {address} > {bind}/bind')


def test_no_device(bare: Guest):
    assert 'No ivshmem device' in bare.run('list')
    assert '`ivshmem doctor` tells what is missing' in bare.run('info', 1)
    finding = one(bare.findings(failures=1), 'device')
    assert '1af4:1110' in finding['text']


@pytest.fixture
def unbound(bare: Guest, tmp_path: Path) -> Iterator[str]:
    """A plain device, in a guest without our module; its address."""
    device = bare.vm.add_device(ivshmem_plain(tmp_path / 'memory', '64K'))
    bare.vm.wait_for(f'{TOOL} list | grep -q plain')
    yield bare.json('list')['devices'][0]['pci']
    bare.vm.remove_device(device)


def test_no_driver(bare: Guest, unbound: str):
    device = bare.json('list')['devices'][0]
    assert (device['node'], device['driver']) == (None, None)
    assert (device['memory_size'], device['doorbell']) == (65536, False)
    findings = bare.findings(failures=2)
    assert one(findings, 'device')['verdict'] == 'ok'
    assert 'modprobe ivshmem' in one(findings, 'driver')['remedy']
    assert 'not installed for any kernel' in one(findings, 'module')['text']


def test_the_only_device_need_not_be_named(bare: Guest, unbound: str):
    bare.vm.load_driver()
    try:
        bare.run('poke 0 Hello')
        assert bare.run('dump --length 5 --raw') == 'Hello'
        assert bare.json('info')['address'] == '/dev/ivshmem0'
        assert 'there are no doorbells' in bare.run('ring 1 0', 1)
        findings = bare.findings()
    finally:
        bare.vm.run('rmmod ivshmem')
    assert one(findings, 'driver')['text'] == 'bound to the driver ivshmem'


def test_huge_pages(bare: Guest):
    """Their mappings begin and end on one; ours need not."""
    bare.vm.run('echo 4 > /proc/sys/vm/nr_hugepages')
    server = bare.vm.spawn(f'exec {SERVER} --link big,socket=/run/big.sock,'
                           'size=4M,peers=2,memory=hugetlb:2M')
    bare.vm.wait_for(f'{TOOL} info unix:/run/big.sock')
    for offset, text in (('2M', 'second page'), ('12345', 'first page'),
                         ('2097150', 'both')):
        bare.run(f'poke unix:/run/big.sock {offset} "{text}"')
        assert bare.run(f'dump unix:/run/big.sock --offset {offset} --raw '
                        f'--length {len(text)}') == text
    findings = bare.findings('unix:/run/big.sock')
    assert [finding['verdict'] for finding in findings] == ['ok'] * 4
    made = bare.json('format unix:/run/big.sock raw=lab:1M,raw=rest')
    assert [section['size'] for section in made['sections']] == \
        [1 << 20, 2 << 20]
    assert 'me (own)' in bare.run('peers unix:/run/big.sock --join --name me')
    server.kill('TERM')
    assert server.wait().returncode == 0


def test_held_by_another_driver(bare: Guest, unbound: str):
    path = f'/sys/bus/pci/devices/{unbound}'
    bare.vm.run(f'modprobe pci-stub; echo pci-stub > {path}/driver_override; '
                f'echo {unbound} > /sys/bus/pci/drivers_probe')
    assert bare.json('list')['devices'][0]['driver'] == 'pci-stub'
    finding = one(bare.findings(failures=1), 'driver')
    assert finding['text'] == 'held by the driver pci-stub'
    # The remedy is one.
    bare.vm.run(finding['remedy'].removeprefix('give it back: '))
    assert bare.json('list')['devices'][0]['driver'] is None


@pytest.fixture
def modules(bare: Guest) -> Iterator[str]:
    """An empty /lib/modules; the command that installs our real module."""
    bare.vm.run('mount -t tmpfs modules /lib/modules')
    yield (f'install -D -m 644 {bare.vm.module} '
           '/lib/modules/{release}/{place}/ivshmem.ko')
    bare.vm.run('umount /lib/modules')


def test_module_for_another_kernel(bare: Guest, unbound: str, modules: str):
    """It is installed, but not where this kernel looks for it."""
    bare.vm.run(modules.format(release='5.4.0-1-other', place='extra'))
    bare.vm.run(modules.format(release='5.5.0', place='updates/dkms'))
    release = bare.vm.kernel.release
    finding = one(bare.findings(failures=2), 'module')
    assert finding['text'] == ('installed for kernel 5.4.0-1-other, 5.5.0, '
                               f'but this one is {release}')
    assert f'make modules install KDIR=/lib/modules/{release}/build' in finding['remedy']


def test_module_built_for_another_kernel(bare: Guest, unbound: str,
                                         modules: str):
    """It is in the right place, but of another kernel."""
    release = bare.vm.kernel.release
    module = f'/lib/modules/{release}/updates/dkms/ivshmem.ko'
    for other, verdict in (('1' + release[1:], 'fail'),
                           (release[:-1] + '!', 'warn')):
        bare.vm.run(modules.format(release=release, place='updates/dkms'))
        bare.vm.run(f'sed -i s/vermagic={release}/vermagic={other}/ {module}')
        finding = one(bare.findings(failures=2 if verdict == 'fail' else 1),
                      'module')
        assert finding['verdict'] == verdict
        assert finding['subject'] == module
        assert finding['text'].startswith(
            f'built for kernel {other}, but this one is {release}')


def test_module_without_modinfo(bare: Guest, unbound: str, modules: str):
    """The tool can read plain modules by itself."""
    release = bare.vm.kernel.release
    bare.vm.run(modules.format(release=release, place='extra'))
    bare.vm.run('mount --bind /dev/null /usr/bin/kmod')
    try:
        assert bare.vm.run('modinfo vfio', check=False).returncode
        finding = one(bare.findings(failures=1), 'module')
    finally:
        bare.vm.run('umount /usr/bin/kmod')
    assert finding['text'] == f'built for this kernel, {release}'


def test_module_for_this_kernel(bare: Guest, unbound: str, modules: str):
    release = bare.vm.kernel.release
    bare.vm.run(modules.format(release=release, place='extra'))
    finding = one(bare.findings(failures=1), 'module')
    assert finding['verdict'] == 'ok'
    assert finding['text'] == f'built for this kernel, {release}'
    finding = one(bare.findings(f'--module {bare.vm.module}', 1), 'module')
    assert finding['subject'] == str(bare.vm.module)


PROFILE = '''
profile libvirt-4711 {
  /{,usr/}bin/** mrix,
  /{,usr/}lib{,64}/** mr,
  /etc/ld.so.* r,
}
'''


def needs(guest: Guest, option: str) -> None:
    """Skip the test where the kernel, one that checks itself, is built without that."""
    if guest.vm.kernel.config(option) != 'y':
        pytest.skip(f'{guest.vm.kernel.release} has no {option}')


def test_doctor_finds_what_apparmor_has_denied(bare: Guest):
    """To a machine of libvirt, twice, and something that is no concern of ours."""
    needs(bare, 'CONFIG_SECURITY_APPARMOR')
    bare.vm.run('mount -t securityfs none /sys/kernel/security || :; mkdir -p /run/ivshmem; '
                'touch /run/ivshmem/lab /run/other')
    bare.vm.run('apparmor_parser --replace --skip-cache', stdin=PROFILE)
    assert not [finding for finding in bare.findings('', 1) if finding['check'] == 'denied']
    for path in ('/run/ivshmem/lab', '/run/ivshmem/lab', '/run/other'):
        assert bare.vm.run(f'aa-exec -p libvirt-4711 cat {path}', check=False).returncode
    found = one(bare.findings('', 1), 'denied')
    assert found['verdict'] == 'warn'
    assert re.fullmatch('AppArmor denied libvirt-4711: open of /run/ivshmem/lab '
                        r'\(2 times, last \d+ minutes ago\)', found['text']), found
    assert 'libvirt-qemu' in found['remedy']


def test_doctor_says_that_modules_have_to_be_signed(bare: Guest):
    """The last one on this machine: nothing takes that back."""
    needs(bare, 'CONFIG_MODULE_SIG')
    module = bare.vm.module
    bare.vm.run('echo Y > /sys/module/module/parameters/sig_enforce')
    assert bare.vm.run(f'insmod {module}', check=False).returncode
    found = one(bare.findings(f'--module {module}', 2), 'module')
    assert 'not signed, and this kernel loads signed modules only' in found['text']
    assert 'mokutil' in found['remedy']
