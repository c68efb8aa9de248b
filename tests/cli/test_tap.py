# SPDX-License-Identifier: GPL-2.0-only
"""ivshmem tap between namespaces of the host: what goes through, and who may come."""
import contextlib
import json
import os
import pwd
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import pytest

from lab import Server
from lab.namespace import Namespace, inside
from tests.server.test_systemd import expand, system_call_sets
from tests.server.waiting import wait_until

from .program import BOUND, Running, program, run
from .tap import Host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='only root may make a namespace')


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server whose link has a segment of four peers, and rings of 2 MiB."""
    return serve(peers=4, vectors=4, size='64M', layout='net=lan:48M')


@pytest.fixture
def hosts(server: Server) -> Iterator[Callable[..., Host]]:
    """Start hosts of the segment: hosts(1), hosts(2, '--busy-poll', 0)."""
    with contextlib.ExitStack() as stack:
        yield lambda number, *options, **more: stack.enter_context(
            Host(server.address, number, *options, **more))


@pytest.fixture
def pair(hosts) -> tuple[Host, Host]:
    """Two hosts that see each other."""
    first, second = hosts(1), hosts(2)
    return first.wait_carrier(), second.wait_carrier()


class Iperf:
    """An iperf3 server at a host; a context manager."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def __enter__(self) -> 'Iperf':
        self.server = subprocess.Popen(
            inside(self.host.namespace.fd, 'iperf3', '--server'),
            pass_fds=[self.host.namespace.fd], stdout=subprocess.DEVNULL)
        wait_until(lambda: '5201' in self.host.run('ss', '-Hltn'), 'iperf3 to listen', BOUND)
        return self

    def run(self, client: Host, *options: Any) -> dict[str, Any]:
        """Run a client; its report."""
        return json.loads(client.run('iperf3', '--json', '--client', self.host.address,
                                     *options))['end']

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self.server.wait()


def test_two_hosts_reach_each_other(pair: tuple[Host, Host]):
    first, second = pair
    for one, other in (pair, pair[::-1]):
        one.ping(other)
        one.ping6(other)
    seen = first.wait_peer(second.slot, state='up', rx_frames=12, tx_frames=12)
    assert seen['accepts']['address'] == second.mac
    assert seen['faults'] == seen['rx_bad'] == seen['tx_unfit'] == 0
    # To whom it went was known by the hellos; only what is for all was flooded.
    assert second.end()['flooded'] < 60


@pytest.mark.parametrize('busy', [0, 50])
def test_streams_in_both_directions(hosts, busy: int):
    """Uncut, as the first receiver that needs the packets cut would do it."""
    first, second = (hosts(n, '--busy-poll', busy) for n in (1, 2))
    first.wait_carrier(), second.wait_carrier()
    with Iperf(second) as iperf:
        for options in ([], ['--reverse'], ['-P', '4']):
            end = iperf.run(first, '--bytes', '200M', *options)
            assert end['sum_sent']['bytes'] >= 200_000_000
    seen = first.peer(second.slot)
    assert seen['rx_bytes'] > 200_000_000 and seen['tx_bytes'] > 400_000_000
    assert seen['tx_bytes'] / seen['tx_frames'] > 3000
    assert seen['sessions'] == 1 and seen['faults'] == 0


@pytest.mark.parametrize('mtu', [68, 576, 9000, 65500])
def test_every_mtu(hosts, mtu: int):
    first, second = hosts(1, up=False), hosts(2, up=False)
    for host in (first, second):
        host.run('ip', 'link', 'set', 'tap0', 'mtu', mtu, 'up')
        host.run('ip', 'address', 'add', f'{host.address}/24', 'dev', 'tap0')
        host.wait_carrier()
    for size in (mtu - 28, mtu - 27):
        first.ping(second, '-s', size)
    largest = mtu + 14
    seen = second.peer(first.slot)
    assert seen['rx_bad'] == seen['faults'] == 0
    assert seen['rx_bytes'] >= 3 * largest


def test_segments_are_cut_for_a_small_mtu(hosts):
    """The sender's packets are as long as they like."""
    first, second = hosts(1, mtu=9000), hosts(2, mtu=9000)
    first.wait_carrier(), second.wait_carrier()
    with Iperf(second) as iperf:
        end = iperf.run(first, '--bytes', '50M', '--set-mss', '1000')
        assert end['sum_received']['bytes'] > 0
    assert first.peer(second.slot)['tx_unfit'] == 0


def udp(host: Host) -> socket.socket:
    """A socket at a host."""
    return host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)


def test_rings_that_are_too_small_for_packets_of_64_kib(serve):
    """The kernel cuts them."""
    link = serve(peers=4, vectors=1, size='2M', layout='net=lan:1M').address
    with Host(link, 1) as first, Host(link, 2) as second:
        first.wait_carrier(), second.wait_carrier()
        with Iperf(second) as iperf:
            assert iperf.run(first, '--bytes', '30M')['sum_received']['bytes'] > 20_000_000
        seen = first.peer(second.slot)
        assert seen['accepts']['max_frame'] < 65_000
        assert seen['tx_unfit'] == seen['faults'] == 0


def test_udp_of_all_sizes(pair: tuple[Host, Host]):
    """What has arrived is what was sent: checksums are right when they are needed."""
    first, second = pair
    with udp(second) as receiver, \
            udp(first) as sender:
        receiver.bind((second.address, 4000))
        receiver.settimeout(BOUND)
        for size in (0, 1, 17, 18, 19, 1471, 1472, 1473, 8999, 30001, 65507):
            data = os.urandom(size)
            sender.sendto(data, (second.address, 4000))
            assert receiver.recv(70000) == data


def test_three_hosts(hosts):
    """Each reaches each; one that leaves does not disturb the others."""
    three = [hosts(n) for n in (1, 2, 3)]
    for one in three:
        for other in three:
            if one is not other:
                one.wait_peer(other.slot, state='up')
                one.ping(other)
                one.ping6(other)
    three[2].end()
    three[0].wait_peer(three[2].slot, state='down')
    three[0].ping(three[1])
    # What two say to each other the third one does not hear.
    assert three[0].wait_carrier().peer(three[1].slot)['sessions'] == 1


def test_the_cable_is_there_while_a_peer_is(hosts):
    first = hosts(1).wait_carrier(False)
    second = hosts(2)
    first.wait_carrier()
    second.end()
    first.wait_carrier(False)
    assert 'tap0' in first.run('ip', 'link')


def test_a_crash_and_return(hosts, server: Server):
    """The others' connections live through it, and it comes back by itself."""
    first, second, third = hosts(1), hosts(2), hosts(3)
    for one, other in ((first, second), (first, third), (second, third)):
        one.wait_peer(other.slot, state='up')
    with Iperf(second):
        client = subprocess.Popen(
            inside(first.namespace.fd, 'iperf3', '--json', '--client', second.address,
                   '--time', '6'), text=True,
            pass_fds=[first.namespace.fd], stdout=subprocess.PIPE)
        for _ in range(3):
            first.ping(third)
            third.kill()
            first.wait_peer(third.slot, state='down')
            third.running = Running(
                'tap', server.address, '--tap', 'tap0', '--address', third.mac, '--json',
                prefix=inside(third.namespace.fd), pass_fds=[third.namespace.fd])
            assert json.loads(third.running.line())['slot'] == third.slot
            third.bring_up()
            first.wait_peer(third.slot, state='up')
        output, _ = client.communicate(timeout=2 * BOUND)
        assert client.returncode == 0, output
        assert json.loads(output)['end']['sum_received']['bytes'] > 0
    first.ping(third)
    assert first.peer(third.slot)['sessions'] == 4
    assert first.peer(second.slot)['sessions'] == 1


def test_it_goes_on_without_the_server(pair: tuple[Host, Host], server: Server):
    first, second = pair
    server.kill()
    first.ping(second)
    second.kill()
    # Nobody tells now: its heart stands still, and it may resume.
    first.wait_peer(second.slot, state='up')
    assert first.end()['carrier']


def test_a_region_formatted_anew(pair: tuple[Host, Host], server: Server):
    first, second = pair
    run('format', server.address, 'raw=before:1M,net=other:32M', '--force')
    first.running.wait_said('the region was formatted anew')
    for host in pair:
        wait_until(lambda host=host: host.report()['section'] == 'other',
                   'the new section', BOUND)
        host.wait_carrier()
    first.ping(second)
    run('format', server.address, '--erase', '--force')
    first.wait_carrier(False)
    assert not first.report()['attached']
    run('format', server.address, 'net:32M', '--force')
    for host in pair:
        host.wait_carrier()
    second.ping(first)


def test_the_address_of_the_interface_is_what_it_says(pair: tuple[Host, Host]):
    """Also when somebody gives it another one meanwhile."""
    first, second = pair
    assert first.show()['address'] == first.mac
    first.run('ip', 'link', 'set', 'tap0', 'address', '02:00:00:00:00:77')

    def changed() -> bool:
        accepts = second.peer(first.slot)['accepts']
        return bool(accepts) and accepts['address'] == '02:00:00:00:00:77'
    wait_until(changed, 'the new address', BOUND)
    first.ping(second)


def test_frames_from_a_bridge(hosts):
    """Stations behind the TAP device, of which no hello tells."""
    first, second = hosts(1), hosts(2, up=False)
    with Namespace() as behind:
        second.run('ip', 'link', 'add', 'br0', 'type', 'bridge')
        second.run('ip', 'link', 'set', 'tap0', 'master', 'br0', 'up')
        second.run('ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1',
                   'netns', f'/proc/{os.getpid()}/fd/{behind.fd}')
        second.run('ip', 'link', 'set', 'v0', 'master', 'br0', 'up')
        second.run('ip', 'link', 'set', 'br0', 'up')
        behind.run('ip', 'address', 'add', '10.77.0.9/24', 'dev', 'v1')
        behind.run('ip', 'link', 'set', 'v1', 'up')
        first.wait_carrier()
        first.run('busybox', 'ping', '-c', 20, '-i', '0.1', '10.77.0.9')
        # Learned by the first answer: not all were flooded.
        assert first.report()['flooded'] < 15
        assert first.peer(second.slot)['rx_frames'] >= 20


# What comes before a command that is to have no privileges
NOBODY = ['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups',
          '--inh-caps=-all']


@pytest.mark.parametrize('kind', [[], ['vnet_hdr'], ['multi_queue', 'vnet_hdr']],
                         ids=['plain', 'vnet_hdr', 'multi_queue'])
def test_without_privileges(hosts, server: Server, kind: list[str]):
    """A user whose TAP device was prepared needs none."""
    server.socket.chmod(0o666)
    server.socket.parent.chmod(0o755)
    with Namespace() as home:
        home.run('ip', 'tuntap', 'add', 'tap0', 'mode', 'tap', 'user', 'nobody', *kind)
        before = json.loads(home.run('ip', '-json', 'link', 'show', 'tap0'))[0]['address']
        first = hosts(1)
        second = hosts(2, namespace=home, own=False, prefix=NOBODY)
        assert Path(f'/proc/{second.pid}').stat().st_uid == pwd.getpwnam('nobody').pw_uid
        assert second.begun['address'] == before
        first.wait_carrier()
        first.ping(second)
        second.end()
        # It was there before, and stays.
        second.wait_carrier(False)


def refuse(*arguments: Any, namespace: Namespace, status: int = 1,
           prefix: Sequence[str] = ()) -> str:
    """Start what must not come up, in a namespace; what it says."""
    done = subprocess.run(
        inside(namespace.fd, *prefix, program(), 'tap', *arguments),
        pass_fds=[namespace.fd], text=True, capture_output=True, timeout=BOUND,
        check=False)
    assert done.returncode == status, done.stderr
    assert not done.stdout
    return done.stderr


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace without interfaces."""
    with Namespace() as made:
        yield made


def test_what_is_wrong_with_a_tap_device_is_said(server: Server, namespace: Namespace):
    link = server.address
    assert 'ip tuntap add tap7 mode tap user USER' in \
        refuse(link, '--tap', 'tap7', namespace=namespace, prefix=NOBODY)
    namespace.run('ip', 'tuntap', 'add', 'tun0', 'mode', 'tun')
    assert 'it is an interface, but no TAP device' in \
        refuse(link, '--tap', 'tun0', namespace=namespace)
    assert 'no TAP device' in refuse(link, '--tap', 'lo', namespace=namespace)
    with Host(link, 1, namespace=namespace):
        assert 'another program uses it' in refuse(link, '--tap', 'tap0',
                                                   namespace=namespace)


@pytest.mark.parametrize('layout, options, said', [
    ('raw=a:1M', [], 'there is no section of type net'),
    ('raw=a:1M,,net=b:1M', ['--section', 'a'], 'section a is not of type net'),
    ('net=b:1M', ['--section', 'c'], 'there is no section c; `ivshmem info` lists them'),
    ('net=b:1M,,net=c:1M', [], 'several sections are of type net; name one by --section')])
def test_what_is_wrong_with_a_section_is_said(serve, namespace: Namespace, layout: str,
                                              options: list[str], said: str):
    link = serve(peers=2, vectors=2, size='4M', layout=layout).address
    assert said in refuse(link, *options, namespace=namespace)
    # It did not stay among the peers, nor its interface.
    assert '0 of 2 slots' in run('peers', link)
    assert 'tap' not in namespace.run('ip', 'link')


def test_a_region_without_a_format(link: str, namespace: Namespace):
    run('format', link, '--erase')
    assert '`ivshmem format` does it' in refuse(link, namespace=namespace)


@pytest.mark.parametrize('options', [
    ['--address', '02:00:00:00:00'], ['--address', '03:00:00:00:00:01'],
    ['--address', '00:00:00:00:00:00'], ['--address', '02-00-00-00-00-01'],
    ['--address', '02:00:00:00:00:0g'], ['--address', '02:00:00:00:00:001'],
    ['--tap', ''], ['--tap', 'sixteen-letters-'], ['--section', ''], ['--name', ''],
    ['--busy-poll', '100001'], ['--busy-poll', '-1'], ['--queues', '2'], ['lab'],
    ['unix:/a', 'unix:/b']])
def test_wrong_arguments(namespace: Namespace, options: list[str]):
    refuse(*options, namespace=namespace, status=2)


def test_one_of_several_sections(serve, namespace: Namespace):
    link = serve(peers=2, vectors=2, size='8M', layout='net=b:2M,,net=c:2M').address
    with Host(link, 1, '--section', 'c') as first, Host(link, 2, '--section', 'c') as second:
        assert first.wait_carrier().begun['section'] == 'c'
        first.ping(second)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_in_order(pair: tuple[Host, Host], number: int):
    first, second = pair
    first.running.interrupt(number)
    first.running.end(0)
    second.wait_peer(first.slot, state='down', reason='stale')
    assert 'tap0' not in first.run('ip', 'link')


def test_a_device_that_is_deleted_ends_it(pair: tuple[Host, Host]):
    first, second = pair
    first.run('ip', 'link', 'delete', 'tap0')
    first.running.end(1)
    assert 'tap0: the TAP device was deleted' in first.running.said
    second.wait_carrier(False)


def test_without_json_it_says_one_line(server: Server, namespace: Namespace, start):
    running = start('tap', server.address, '--address', '02:00:00:00:00:01',
                    prefix=inside(namespace.fd), pass_fds=[namespace.fd])
    assert running.line() == 'tap0: address 02:00:00:00:00:01, slot 0 of section lan\n'
    with Host(server.address, 2) as other:
        other.wait_carrier()
        running.process.send_signal(signal.SIGUSR1)
        assert running.line().startswith('tap0: address')
        assert running.line().split()[:3] == ['SLOT', 'STATE', 'ADDRESS']
        assert running.line().split()[:3] == ['1', 'up', other.mac]
    running.interrupt()
    assert running.end() == ''


def test_readiness(server: Server, namespace: Namespace, directory: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(directory / 'notify'))
        notify.settimeout(BOUND)
        with Host(server.address, 1, env=dict(os.environ, NOTIFY_SOCKET=str(
                directory / 'notify'))) as host:
            assert notify.recv(4096) == b'READY=1'
            host.running.process.terminate()
            assert notify.recv(4096) == b'STOPPING=1'


def test_a_device_that_takes_nothing_for_a_while(hosts, directory: Path):
    """Frames wait in the ring, and none is lost."""
    first = hosts(1)
    second = hosts(2, prefix=[
        'strace', '-f', '-o', directory / 'trace', '-e', 'trace=write', '-e',
        'inject=write:error=EAGAIN:when=40..60'])
    first.wait_carrier(), second.wait_carrier()
    first.ping(second, count=60)
    assert 'EAGAIN' in (directory / 'trace').read_text()
    assert second.peer(first.slot)['rx_refused'] == 0


UNIT = 'ivshmem-tap@.service.in'


@pytest.fixture
def unit(directory: Path) -> Path:
    """The unit as it is installed, for the program under test."""
    text = (Path(__file__).resolve().parents[2] / 'packaging/systemd' / UNIT).read_text()
    assert '@bindir@/ivshmem tap ' in text
    path = directory / 'ivshmem-tap@lab.service'
    path.write_text(text.replace('@bindir@/ivshmem ', f'{program()} '))
    return path


def test_the_unit_is_valid_and_confined(unit: Path):
    done = subprocess.run(['systemd-analyze', 'verify', '--man=no', unit], text=True,
                          capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')
    said = subprocess.run(
        ['systemd-analyze', 'security', '--offline=yes', '--threshold=10', '--no-pager',
         unit], text=True, capture_output=True, check=True).stdout
    exposure = re.search(r'exposure level for \S+: ([0-9.]+)', said)
    assert exposure and float(exposure[1]) <= 1.0


def test_the_unit_allows_what_the_program_does(server: Server, unit: Path, directory: Path):
    """No system call of a session is one that the unit's filter forbids."""
    trace = directory / 'trace'
    with Host(server.address, 1) as first, \
            Host(server.address, 2, prefix=['strace', '-f', '-s', '0', '-o', trace]) as second:
        second.wait_carrier()
        first.ping(second)
        second.report()
        subprocess.run(['kill', str(second.pid)], check=True)
        second.running.end()
    used = set(re.findall(r'^\d+ +([a-z0-9_]+)\(', trace.read_text(), re.MULTILINE))
    assert {'epoll_wait', 'ioctl', 'timer_create'} <= used
    sets = system_call_sets()
    allowed = expand(sets, '@default')
    for forbidden, names in re.findall('^SystemCallFilter=(~?)(.*)$', unit.read_text(),
                                       re.MULTILINE):
        calls = set().union(*(expand(sets, name) for name in names.split()))
        allowed = allowed - calls if forbidden else allowed | calls
    assert 'ptrace' not in allowed
    # The limit is the unit's matter; that it cannot be raised does no harm.
    assert used - allowed <= {'prlimit64'}
