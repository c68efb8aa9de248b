# SPDX-License-Identifier: GPL-2.0-only
"""Clients that die, send garbage, do not read or come in hordes, and a
server that runs out of descriptors: the others notice nothing."""
import os
import resource
import signal
import socket
import subprocess
import sys
from random import Random

import pytest
from .client import (REFUSED_EXHAUSTED, REFUSED_FULL, REFUSED_PERMISSION,
                    REFUSED_SHUTDOWN, Client, refusal)
from .process import NOBODY, unprivileged
from .waiting import BOUND, wait_until


def healthy(path, peers: int, vectors: int, own_id: int) -> None:
    """A client joins, is rung and leaves as if nobody else was there."""
    with Client(path).handshake(peers, vectors) as client:
        assert client.id == own_id
        client.ring(own_id, vectors - 1)
        assert client.rung(vectors - 1) == 1


def test_client_makes_the_doorbells_block(link):
    """O_NONBLOCK belongs to everybody who holds an eventfd: QEMU clears it on
    all that it is sent. The server neither waits nor fails to empty them."""
    server = link(peers=2, vectors=3)
    path = server.directory / 'lab.sock'
    with Client(path).handshake(2, 3) as client:
        for fds in client.eventfds.values():
            for fd in fds:
                os.set_blocking(fd, True)
        client.ring(0, 1)
    server.wait_log('slot 0: .*is gone')
    with Client(path).handshake(2, 3) as client:
        assert client.id == 0
        for fd in client.eventfds[0]:
            os.set_blocking(fd, False)
        assert not any(client.rung(vector) for vector in range(3))
    healthy(path, 2, 3, 0)


@pytest.mark.parametrize('step', range(9))
def test_client_dies_in_the_handshake(link, step):
    """Wherever it stops reading and goes, its slot is free again."""
    server = link(peers=2, vectors=3)
    path = server.directory / 'lab.sock'
    client = Client(path)
    for _ in range(step):
        assert client.message()
    client.close()
    server.wait_log('slot 0: .* is gone')
    healthy(path, 2, 3, 0)


def test_death_is_logged(link):
    """Slot, process, user and since when, in one line."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    Client(path).handshake(2, 1).close()
    line = server.wait_log('slot 0: (.*) is gone').group(1)
    assert f'pid {os.getpid()} (uid {os.geteuid()})' in line
    assert 'connected since 20' in line


def test_killed_process_is_noticed(link):
    """kill -9 of a client frees its slot."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    code = ('import socket, sys, time\n'
            's = socket.socket(socket.AF_UNIX)\n'
            's.connect(sys.argv[1])\n'
            'time.sleep(1000)\n')
    with subprocess.Popen([sys.executable, '-c', code, path]) as process:
        server.wait_log(rf'slot 0: pid {process.pid} .*joined')
        process.kill()
        process.wait()
    server.wait_log(rf'slot 0: pid {process.pid} .* is gone')
    healthy(path, 2, 1, 0)


@pytest.mark.attack("A43")
@pytest.mark.parametrize('garbage', [b'\0', b'GET / HTTP/1.0\r\n\r\n',
                                     bytes(range(256)) * 300],
                         ids=['byte', 'request', 'flood'])
@pytest.mark.parametrize('read_first', [0, 5])
def test_garbage(link, garbage, read_first):
    """Any byte from a client drops it, and nobody else."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    with Client(path).handshake(2, 1) as witness, Client(path) as client:
        for _ in range(read_first):
            client.message()
        try:
            client.socket.sendall(garbage)
        except (BrokenPipeError, ConnectionResetError):
            pass    # dropped before it could finish
        server.wait_log('slot 1: .* was dropped: it sent data')
        while client.message():
            pass
        assert witness.nothing_comes()
        witness.ring(0, 0)
        assert witness.rung(0) == 1
    server.wait_log('slot 0: .* is gone')
    healthy(path, 2, 1, 0)


def test_descriptors_from_a_client(link):
    """What it sends along is not kept."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    server.wait_idle()
    before = server.descriptors()
    with Client(path).handshake(2, 1) as client:
        socket.send_fds(client.socket, [b'x'], [0, 1, 2])
        server.wait_log('slot 0: .* was dropped')
    wait_until(lambda: server.descriptors() == before,
               'all descriptors of the client to be closed')


def test_urgent_byte(link):
    """Out-of-band data, which an ordinary read skips, is garbage too."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    with Client(path).handshake(2, 1) as client:
        client.socket.send(b'x', socket.MSG_OOB)
        server.wait_log('slot 0: .* was dropped')
    server.wait_idle()
    healthy(path, 2, 1, 0)


@pytest.mark.attack("A43")
@pytest.mark.parametrize('read_first', [0, 5])
def test_half_close(link, read_first):
    """A client that closes its half has nothing left to say: it is gone."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    with Client(path) as client:
        for _ in range(read_first):
            client.message()
        client.socket.shutdown(socket.SHUT_WR)
        server.wait_log('slot 0: .* is gone')
        healthy(path, 2, 1, 0)
        while client.message():
            pass


def test_link_full(link):
    """One client too many gets a version that does not exist; one that leaves
    makes room."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    with Client(path).handshake(2, 1):
        with Client(path).handshake(2, 1):
            assert refusal(path) == REFUSED_FULL
            server.wait_log('was refused: all slots are taken; raise peers=')
        server.wait_log('slot 1: .* is gone')
        healthy(path, 2, 1, 1)


def test_refused_clients_that_stay(link):
    """Those who do not hang up after a refusal are hung up on, and do not
    pile up before that."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    members = [Client(path).handshake(2, 1) for _ in range(2)]
    server.wait_idle()
    before = len(server.descriptors())
    refused = [Client(path) for _ in range(50)]
    for client in refused:
        assert client.message() == (REFUSED_FULL, None)
    server.wait_idle()
    assert len(server.descriptors()) <= before + 8
    for client in refused:
        assert client.message() is None
        client.close()
    wait_until(lambda: len(server.descriptors()) == before,
               'the descriptors of refused clients to be closed')
    for client in members:
        client.close()


@pytest.mark.attack("A43")
def test_horde(link):
    """500 connections that are torn down at once cost nothing in the end."""
    server = link(peers=4, vectors=4)
    path = server.directory / 'lab.sock'
    server.wait_idle()
    before = server.descriptors()
    with Client(path).handshake(4, 4) as witness:
        for _ in range(500):
            Client(path).close()
        server.wait_idle()
        witness.ring(0, 0)
        assert witness.rung(0) == 1
    wait_until(lambda: server.descriptors() == before,
               'all descriptors of clients to be closed')
    healthy(path, 4, 4, 0)
    # The log is bounded, too: a burst, one line a second, and how many more
    # there would have been.
    server.wait_log(r'link lab: \d+ lines about clients were left out')
    assert server.log.count('\n') < 150


def test_not_permitted(link):
    """allow= keeps out who can open the socket."""
    server = link(allow=os.geteuid() + 1, mode='0666')
    assert refusal(server.directory / 'lab.sock') == REFUSED_PERMISSION
    server.wait_log(rf'pid {os.getpid()} .*was refused: allow=')


@pytest.mark.parametrize('allow', ['{uid}', '1:{uid}', '@{gid}', '4:@{gid}'])
def test_permitted(link, allow):
    """By user or by group, alone or in a list."""
    names = {'uid': os.geteuid(), 'gid': os.getegid()}
    server = link(allow=allow.format(**names), peers=2, vectors=1)
    healthy(server.directory / 'lab.sock', 2, 1, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can change groups')
def test_permitted_by_supplementary_group(link):
    """Other groups of the client's count as well as its first one."""
    server = link(allow='@4242', mode='0666', peers=2, vectors=1)
    code = ('import socket, sys\n'
            's = socket.socket(socket.AF_UNIX)\n'
            's.connect(sys.argv[1])\n'
            'sys.exit(s.recv(8) != bytes(8))\n')
    command = ['/usr/bin/python3', '-c', code, server.directory / 'lab.sock']
    for groups, permitted in (([7, 4242], True), ([7], False)):
        result = subprocess.run(command, user=NOBODY, group=NOBODY,
                                extra_groups=groups, check=False)
        assert (result.returncode == 0) == permitted


@pytest.mark.attack("A43")
def test_client_that_never_reads(link):
    """It is dropped in the end; meanwhile others join as ever."""
    server = link('--handshake-timeout', '1', peers=32, vectors=64)
    path = server.directory / 'lab.sock'
    with Client(path) as sleeper:
        with Client(path).handshake(32, 64) as client:
            assert client.id == 1
        server.wait_log(r'slot 0: .* was dropped: it does not read .* in its '
                        r'handshake after \d+ of 2051 messages')
        count = 0
        while sleeper.message():
            count += 1
        assert 3 <= count < 2051
    server.wait_log('slot 1: .* is gone')
    healthy(path, 32, 64, 0)


def test_slow_reader_is_served(link):
    """Reading late is fine as long as it is read: nothing is lost."""
    server = link(peers=32, vectors=64)
    path = server.directory / 'lab.sock'
    with Client(path) as slow, Client(path).handshake(32, 64):
        server.wait_idle()
        assert 'slot 0: pid' not in server.log
        slow.handshake(32, 64)
        server.wait_log('slot 0: .* joined')


def test_sleepers_do_not_starve_others(link):
    """Descriptors in flight are limited for all clients together.  Without
    privileges and with little room, seven that never read leave enough for
    an eighth."""
    options = {'preexec_fn': lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (256, 256)), **unprivileged()}
    server = link(peers=8, vectors=16, options=options)
    path = server.directory / 'lab.sock'
    sleepers = [Client(path) for _ in range(7)]
    with Client(path).handshake(8, 16) as client:
        assert client.id == 7
    for client in sleepers:
        client.close()
    assert 'waits' not in server.log


# Takes the limit on descriptors in flight away from all of its user.
HOG = '''
import os, socket, sys
pairs = [socket.socketpair() for _ in range(3)]
for pair in pairs:
    socket.send_fds(pair[0], [b'x'], [0] * 200)
print('full', flush=True)
sys.stdin.read()
'''


def test_others_hold_all_descriptors_in_flight(link):
    """Who needs a descriptor has to wait, and is served once there is room;
    the server waits with it, without spinning."""
    options = {'preexec_fn': lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (256, 256)), **unprivileged()}
    server = link(peers=2, vectors=2, options=options)
    path = server.directory / 'lab.sock'
    with subprocess.Popen(['/usr/bin/python3', '-c', HOG],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          **unprivileged()) as hog:
        assert hog.stdout.readline() == b'full\n'
        with Client(path) as client:
            assert client.message() == (0, None)
            assert client.message() == (0, None)
            server.wait_log('slot 0: .* waits: Too many references')
            assert client.nothing_comes()
            hog.stdin.close()
            assert hog.wait(BOUND) == 0
            value, client.memory = client.message()
            assert value == -1 and client.memory is not None
            server.wait_log('slot 0: .* joined')
    assert server.log.count('waits') == 1


def test_handshake_that_cannot_be_completed(link):
    """QEMU would spin if the connection just closed before the memory came:
    it gets a number that makes it exit."""
    options = {'preexec_fn': lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (256, 256)), **unprivileged()}
    server = link('--handshake-timeout', '1', peers=2, vectors=2,
                  options=options)
    path = server.directory / 'lab.sock'
    with subprocess.Popen(['/usr/bin/python3', '-c', HOG],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          **unprivileged()) as hog:
        assert hog.stdout.readline() == b'full\n'
        with Client(path) as client:
            assert [client.message() for _ in range(4)] == [
                (0, None), (0, None), (65536, None), None]
        hog.stdin.close()


def limit_descriptors(server, limit: int) -> tuple[int, int]:
    """Set the soft limit of a running server; returns the old limits."""
    old = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, old[1]))
    return old


def test_no_descriptors_left(link):
    """Who comes is refused with the last one, and the server does not spin;
    those who are there stay."""
    server = link(peers=8, vectors=1)
    path = server.directory / 'lab.sock'
    with Client(path).handshake(8, 1) as witness:
        server.wait_idle()
        numbers = server.descriptors()
        free = min(set(range(len(numbers) + 1)) - set(numbers))
        old = limit_descriptors(server, free)
        for _ in range(20):
            assert refusal(path) == REFUSED_EXHAUSTED
        server.wait_log('was refused: Too many open files; raise LimitNOFILE')
        server.wait_idle()
        witness.ring(0, 0)
        assert witness.rung(0) == 1
        limit_descriptors(server, old[0])
        healthy(path, 8, 1, 1)


def test_not_even_a_last_descriptor(link):
    """With no way to answer, who comes waits until there is one."""
    server = link(peers=8, vectors=1)
    path = server.directory / 'lab.sock'
    old = limit_descriptors(server, 3)
    with Client(path) as client:
        waits = 'a client waits: Too many open files; raise LimitNOFILE'
        server.wait_log(waits)
        ticks = server.processor_ticks()
        # It looks again now and then, which the log shows, at no cost.
        server.wait_log(waits, count=5)
        assert server.processor_ticks() - ticks < 10
        limit_descriptors(server, old[0])
        client.handshake(8, 1)
        assert client.id == 0


def test_stop_refuses_who_waits(link):
    """Who has connected but was not accepted yet when the server stops is
    told so: a plain end of the connection makes QEMU spin."""
    server = link(peers=2, vectors=1)
    path = server.directory / 'lab.sock'
    server.process.send_signal(signal.SIGSTOP)
    with Client(path) as client:
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        # Accepted first or refused, depending on which event comes first.
        first = client.message()
        assert first in [(0, None), (REFUSED_SHUTDOWN, None)]
        if first == (0, None):
            assert [client.message()[0] for _ in range(4)] == [0, -1, 1, 0]
        assert client.message() is None
    assert server.process.wait(BOUND) == 0


def test_stop_completes_handshakes(link):
    """A client that is reading its handshake gets all of it."""
    server = link(peers=32, vectors=64)
    path = server.directory / 'lab.sock'
    with Client(path) as client:
        server.wait_idle()
        server.process.send_signal(signal.SIGTERM)
        client.handshake(32, 64)
        assert client.message() is None
    assert server.process.wait(BOUND) == 0


def test_stop_does_not_wait_for_sleepers(link):
    """A client that never reads cannot keep the server from stopping."""
    server = link(peers=32, vectors=64)
    with Client(server.directory / 'lab.sock'):
        server.wait_idle()
        assert server.stop() == 0


@pytest.mark.parametrize('seed', range(4))
def test_any_sequence(link, seed):
    """Clients that do whatever they like in any order: after each step the
    slots are what they should be, and doorbells reach whom they should."""
    random = Random(seed)
    peers, vectors = random.randrange(2, 7), random.randrange(1, 4)
    server = link('--verbose', peers=peers, vectors=vectors)
    path = server.directory / 'lab.sock'
    slots: dict[int, Client] = {}
    ended = [0] * peers

    def leave(slot: int) -> None:
        """The client in this slot goes, in one way or another."""
        client = slots.pop(slot)
        way = random.choice(['close', 'half', 'garbage'])
        if way == 'half':
            client.socket.shutdown(socket.SHUT_WR)
        elif way == 'garbage':
            client.socket.send(bytes(random.randrange(1, 100)))
        else:
            client.close()
        ended[slot] += 1
        server.wait_log(rf'slot {slot}: .*(is gone|was dropped)',
                        count=ended[slot])
        client.close()

    def come() -> None:
        """One more joins, if there is room; not all get to the end."""
        free = [slot for slot in range(peers) if slot not in slots]
        if not free:
            assert refusal(path) == REFUSED_FULL
            return
        client = Client(path)
        if random.random() < 0.3:
            for _ in range(random.randrange(3 + peers * vectors)):
                client.message()
        else:
            client.handshake(peers, vectors)
            assert client.id == free[0]
            assert not any(client.rung(v) for v in range(vectors))
        slots[free[0]] = client

    for _ in range(80):
        if slots and random.random() < 0.45:
            leave(random.choice(list(slots)))
        else:
            come()
        complete = [c for c in slots.values() if c.eventfds]
        if complete:
            sender, receiver = random.choices(complete, k=2)
            vector = random.randrange(vectors)
            sender.ring(receiver.id, vector)
            assert receiver.rung(vector) == 1
    for slot in list(slots):
        leave(slot)
