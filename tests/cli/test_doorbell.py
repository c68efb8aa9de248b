# SPDX-License-Identifier: GPL-2.0-only
"""ring and wait over a link."""
import json
import signal
import subprocess

import pytest

from .program import program, run

WAITING = 'waiting on'


def test_a_doorbell_rings_at_the_right_peer_and_vector(link: str, join):
    first, second = join(link), join(link)
    run('ring', link, '1', '3')
    assert second.wait() == {3: 1}
    assert first.wait(0) == {}


def test_ring_often(link: str, join):
    peer = join(link)
    run('ring', link, '0', '1', '--count', '1000')
    assert peer.wait() == {1: 1000}


@pytest.mark.parametrize('peer, vector', [(4, 0), (0, 4), (65535, 255)])
def test_ring_nobody(link: str, peer: int, vector: int):
    assert 'no such peer or vector' in run('ring', link, peer, vector,
                                           status=1)


def test_wait_prints_the_doorbell_and_ends(link: str, join, start):
    waiter = start('wait', link).wait_said(WAITING)
    join(link).ring(0, 2)
    assert waiter.end() == 'vector 2: 1 doorbell\n'


def test_wait_counts(link: str, join, start):
    waiter = start('wait', link, '--count', '5', '--json').wait_said(WAITING)
    peer = join(link)
    for _ in range(5):
        peer.ring(0, 1)
    events = [json.loads(line) for line in waiter.end().splitlines()]
    assert {event['vector'] for event in events} == {1}
    assert sum(event['count'] for event in events) == 5


def test_wait_hears_chosen_vectors_only(link: str, join, start):
    waiter = start('wait', link, '--vector', '1', '--vector', '3',
                   '--count', '2').wait_said(WAITING)
    peer = join(link)
    for vector in (0, 2, 1):
        peer.ring(0, vector)
    assert waiter.line() == 'vector 1: 1 doorbell\n'
    peer.ring(0, 3)
    assert waiter.end() == 'vector 3: 1 doorbell\n'


def test_wait_for_a_vector_that_is_not_there(link: str):
    assert 'vector 4 does not exist; the highest is 3' in run(
        'wait', link, '--vector', '4', status=1)


def test_wait_gives_up(link: str):
    assert 'time-out; 0 doorbells' in run('wait', link, '--timeout', '0.05',
                                          status=1)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_wait_ends_on_a_signal_with_a_summary(link: str, join, start,
                                              number: int):
    waiter = start('wait', link, '--count', '0').wait_said(WAITING)
    join(link).ring(0, 0)
    assert waiter.line() == 'vector 0: 1 doorbell\n'
    waiter.interrupt(number)
    assert waiter.end() == ''
    assert 'interrupted; 1 doorbells were rung' in waiter.said


def test_an_unfinished_wait_fails_when_interrupted(link: str, start):
    waiter = start('wait', link).wait_said(WAITING)
    waiter.interrupt()
    assert waiter.end(1) == ''


def test_doorbells_go_on_without_the_server(serve, join, start):
    server = serve(peers=3, vectors=1)
    waiter = start('wait', server.address).wait_said(WAITING)
    peer = join(server.address)
    server.kill()
    peer.ring(0, 0)
    assert waiter.end() == 'vector 0: 1 doorbell\n'


def test_a_wait_without_a_terminal_is_silent(link: str):
    result = subprocess.run([program(), 'wait', link, '--timeout', '0'],
                            check=False, capture_output=True, text=True)
    assert WAITING not in result.stderr
    assert result.stdout == ''


def test_a_link_with_many_peers(serve, join):
    """It takes 64 x 32 descriptors, more than a process has by default."""
    link = serve(peers=64, vectors=32).address
    result = subprocess.run(
        ['prlimit', '--nofile=1024:8192', program(), 'info', link, '--json'],
        check=True, capture_output=True, text=True)
    assert len(json.loads(result.stdout)['peers']) == 63
    result = subprocess.run(
        ['prlimit', '--nofile=1024:1024', program(), 'info', link],
        check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert 'raise ulimit -n' in result.stderr
