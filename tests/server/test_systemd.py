# SPDX-License-Identifier: GPL-2.0-only
"""Readiness, sockets that are passed, and the units."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from .client import Client, refusal
from .conftest import ROOT
from .process import program, run, unprivileged
from .waiting import BOUND, wait_until

PACKAGING = ROOT / 'packaging'


def test_readiness(link, directory):
    """READY comes when clients are served, not before; then the number of
    clients, and at the end STOPPING."""
    server = link(peers=2, vectors=1)
    assert server.notifications[0] == 'READY=1'
    with Client(directory / 'lab.sock').handshake(2, 1):
        server.wait_notification('STATUS=1 link, 1 client')
    server.wait_notification('STATUS=1 link, 0 clients')
    server.stop()
    server.wait_notification('STOPPING=1')


def test_watchdog(link):
    """The loop says that it runs, as often as the manager wants to hear it, with
    nobody there; not if it is another process that is meant."""
    server = link(options={'environment': {'WATCHDOG_USEC': '40000'}})

    def fed() -> int:
        return server.notifications.count('WATCHDOG=1')

    for _ in range(3):
        before = fed()
        wait_until(lambda: receive(server) and fed() > before, 'WATCHDOG=1')
    server.stop()

    for environment in ({}, {'WATCHDOG_USEC': '40000', 'WATCHDOG_PID': '1'}):
        server = link(options={'environment': environment})
        server.wait_notification('STATUS=1 link, 0 clients')
        server.wait_idle()
        assert 'WATCHDOG=1' not in server.notifications
        server.stop()
        server.wait_notification('STOPPING=1')
        assert 'WATCHDOG=1' not in server.notifications


def receive(server) -> bool:
    """Take the next notification, if there is one by now."""
    try:
        server.notifications.append(server.notify.recv(4096).decode())
    except TimeoutError:
        return False
    return True


def test_no_readiness_without_success(directory):
    """A server that cannot serve never says that it is ready."""
    (directory / 'busy').write_text('')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(directory / 'notify'))
        notify.setblocking(False)
        result = run('--link', f'lab,socket={directory}/busy', env=dict(
            os.environ, NOTIFY_SOCKET=str(directory / 'notify')))
        assert result.returncode == 1
        with pytest.raises(BlockingIOError):
            while True:
                assert b'READY=1' not in notify.recv(4096)


def test_abstract_notification_socket(directory):
    """A name that begins with @ is in the abstract name space."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(f'\0{directory}')
        notify.settimeout(BOUND)
        environment = dict(os.environ, NOTIFY_SOCKET=f'@{directory}')
        with subprocess.Popen(
                [program(), '--quiet', '--link', f'a,socket={directory}/s'],
                env=environment) as process:
            assert notify.recv(4096) == b'READY=1'
            assert notify.recv(4096) == b'STATUS=1 link, 0 clients'
            process.terminate()
            assert notify.recv(4096).startswith(b'STOPPING=1')


def test_manager_that_does_not_read(link, directory):
    """Clients who come and go cannot make the server wait for the manager,
    whose socket takes a few messages only."""
    server = link(peers=2, vectors=1)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.connect(str(directory / '0.notify'))
    notify.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            notify.send(b'X=1')
    with Client(directory / 'lab.sock').handshake(2, 1):
        server.wait_log('slot 0: .* joined')
    server.wait_log('slot 0: .* is gone')
    with Client(directory / 'lab.sock').handshake(2, 1) as client:
        assert client.id == 0
    notify.close()
    assert server.stop() == 0


def test_socket_activation(activation, directory):
    """Sockets go to the links of their names, whatever their order; a link
    without one gets its own.  Who connected before is served."""
    activation.listen('two')
    activation.listen('one')
    early = Client(directory / 'one.sock')
    activation.start(*map(activation.link, ('one', 'two', 'three')))
    assert early.handshake(2, 1).id == 0
    for name, expected in (('one', 1), ('two', 0), ('three', 0)):
        with Client(directory / f'{name}.sock').handshake(2, 1) as client:
            assert client.id == expected
    early.close()
    assert not (directory / 'one.sock.lock').exists()
    assert (directory / 'three.sock.lock').exists()


def test_passed_socket_outlives_the_server(activation, directory):
    """At the end it stays, and who connects waits for the next server."""
    activation.listen('one')
    server = activation.start(activation.link('one'))
    with Client(directory / 'one.sock').handshake(2, 1):
        pass
    assert server.stop() == 0
    assert (directory / 'one.sock').is_socket()
    waiting = Client(directory / 'one.sock')
    activation.start(activation.link('one'))
    assert waiting.handshake(2, 1).id == 0
    waiting.close()


def test_passed_socket_of_no_link(activation):
    """A name that is no link's is a mistake in the units."""
    activation.listen('other')
    reason = activation.refused(activation.link('one'))
    assert 'passes a socket named "other", but there is no link of that ' \
        'name; define it, or set FileDescriptorName=' in reason


def test_two_sockets_for_one_link(activation, directory):
    """One is what a link has."""
    activation.listen('one')
    activation.listen('second')
    activation.names[1] = 'one'
    assert 'link one: the service manager passes two sockets' in \
        activation.refused(activation.link('one'))


def test_passed_socket_of_another_kind(activation):
    """Datagrams cannot carry the protocol."""
    activation.listen('one', socket.SOCK_DGRAM)
    assert 'is no listening UNIX stream socket; use ListenStream=' in \
        activation.refused(activation.link('one'))


def test_passed_socket_elsewhere(activation, directory):
    """It is served, but what --show-qemu prints would be wrong."""
    activation.listen('one')
    server = activation.start(f'--link=one,socket={directory}/elsewhere')
    assert f'the service manager listens on {directory}/one.sock, but ' \
        f'socket={directory}/elsewhere; make them agree' in server.log
    with Client(directory / 'one.sock').handshake(8, 4):
        pass


def test_journal(directory):
    """In the journal lines have priorities instead of the program's name."""
    with open(directory / 'journal', 'w+', encoding='utf-8') as journal:
        status = os.fstat(journal.fileno())
        result = subprocess.run(
            [program(), '--link', f'lab,socket={directory}/none/s'],
            stderr=journal, check=False, env=dict(
                os.environ, JOURNAL_STREAM=f'{status.st_dev}:{status.st_ino}'))
        assert result.returncode == 1
        journal.seek(0)
        assert re.fullmatch('<3>.*its directory does not exist.*\n',
                            journal.read())


@pytest.fixture
def units(directory):
    """The units as they are installed, for the program under test."""
    service = (PACKAGING / 'systemd/ivshmemd.service.in').read_text()
    assert 'ExecStart=@sbindir@/ivshmemd\n' in service
    assert 'ExecReload=@sbindir@/ivshmemd --check\n' in service
    service = service.replace('@sbindir@/ivshmemd', str(program()))
    (directory / 'ivshmemd.service').write_text(service)
    shutil.copy(PACKAGING / 'systemd/ivshmemd@.socket',
                directory / 'ivshmemd@lab.socket')
    return directory


def test_units_are_valid(units):
    """systemd understands every line of them."""
    result = subprocess.run(
        ['systemd-analyze', 'verify', '--man=no', units / 'ivshmemd.service',
         units / 'ivshmemd@lab.socket'], text=True, capture_output=True,
        check=False)
    assert (result.returncode, result.stderr) == (0, '')


def test_unit_is_confined(units):
    """On systemd's scale from 0 (safe) to 10 it is at most 1."""
    result = subprocess.run(
        ['systemd-analyze', 'security', '--offline=yes', '--threshold=10',
         '--no-pager', units / 'ivshmemd.service'], text=True,
        capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    exposure = re.search('exposure level for ivshmemd.service: ([0-9.]+)',
                         result.stdout)
    assert float(exposure.group(1)) <= 1.0


def system_call_sets() -> dict[str, list[str]]:
    """systemd's groups of system calls."""
    output = subprocess.run(['systemd-analyze', 'syscall-filter'], text=True,
                            capture_output=True, check=True).stdout
    sets: dict[str, list[str]] = {}
    for line in output.splitlines():
        if line.startswith('@'):
            sets[line.strip()] = []
        elif line.strip() and not line.lstrip().startswith('#') and sets:
            list(sets.values())[-1].append(line.strip())
    return sets


def expand(sets: dict[str, list[str]], name: str) -> set[str]:
    """All system calls of a group."""
    if not name.startswith('@'):
        return {name}
    return set().union(*(expand(sets, member) for member in sets[name]))


def test_unit_allows_what_the_program_does(directory):
    """No system call of a session is one that the unit's filter forbids."""
    trace = directory / 'trace'
    configuration = directory / 'a.conf'
    configuration.write_text(f'[link a]\nsocket={directory}/a\n'
                             'peers=2\nvectors=2\nmode=0600\n'
                             f'group={os.getegid()}\nallow={os.geteuid()}\n')
    command = ['strace', '-f', '-s', '0', '-o', trace, program(),
               '--config', configuration,
               '--link', f'b,socket={directory}/b,memory=file:{directory}/m',
               '--handshake-timeout', '1']
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(directory / 'notify'))
        notify.settimeout(BOUND)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(
                # Two tracers at once are too many.
                os.environ, ASAN_OPTIONS='detect_leaks=0',
                NOTIFY_SOCKET=str(directory / 'notify'))) as tracer:
            assert notify.recv(4096) == b'READY=1'
            pid = int((directory / 'a.lock').read_text())
            with Client(directory / 'a').handshake(2, 2), \
                    Client(directory / 'a').handshake(2, 2) as second:
                assert refusal(directory / 'a') == -87
                second.socket.send(b'x')
                assert second.message() is None
            configuration.write_text(
                configuration.read_text().replace('0600', '0660') +
                f'[link c]\nsocket={directory}/c\n')
            os.kill(pid, signal.SIGHUP)
            while b'READY=1' not in notify.recv(4096):
                pass
            os.kill(pid, signal.SIGTERM)
            assert tracer.wait(BOUND) == 0
    used = set(re.findall(r'^\d+ +([a-z0-9_]+)\(', trace.read_text(),
                          re.MULTILINE))
    assert 'accept4' in used and 'eventfd2' in used

    sets = system_call_sets()
    allowed = expand(sets, '@default')
    service = (PACKAGING / 'systemd/ivshmemd.service.in').read_text()
    for forbidden, names in re.findall('^SystemCallFilter=(~?)(.*)$', service,
                                       re.MULTILINE):
        for name in names.split():
            calls = expand(sets, name)
            allowed = allowed - calls if forbidden else allowed | calls
    assert 'ptrace' not in allowed and 'setuid' not in allowed
    assert not used - allowed, sorted(used - allowed)


def test_user_and_group(directory):
    """The file for systemd-sysusers makes both."""
    (directory / 'etc').mkdir()
    subprocess.run(['systemd-sysusers', f'--root={directory}',
                    PACKAGING / 'sysusers.d/ivshmem.conf'], check=True,
                   capture_output=True)
    for file in ('passwd', 'group'):
        assert re.search('^ivshmem:', (directory / 'etc' / file).read_text(),
                         re.MULTILINE)


def test_runs_without_privileges(serve, directory):
    """Everything works as an ordinary user, which is what the unit makes of
    the server."""
    serve('--link', f'lab,socket={directory}/lab.sock,mode=0666',
          **unprivileged())
    with Client(directory / 'lab.sock').handshake(8, 4) as client:
        client.map()[0:1] = b'x'
