# SPDX-License-Identifier: GPL-2.0-only
"""ping: both ways, its numbers, and peers that do not play by the rules."""
import json
import os
import random
import resource
import struct
import threading
from pathlib import Path

import pytest

from .program import BOUND, Running, run, run_json

NOBODY = 65534
OUTBOX = 512
MAGIC = int.from_bytes(b'PING', 'little')
WAYS = [(), ('--poll',)]
# Where no answer may be lost, be the machine ever so busy.
PATIENT = ('--timeout', BOUND // 2)


def listen(start, link: str, *arguments: str) -> Running:
    """A listener that is ready."""
    return start('ping', link, '--listen', *arguments).wait_said('listens on')


def check_numbers(result: dict, count: int) -> None:
    """Numbers that fit together."""
    rtt = result['rtt_us']
    assert result['count'] == count
    assert 0 < rtt['min'] <= rtt['p50'] <= rtt['p90'] <= rtt['p99'] <= \
        rtt['p99.9']
    assert count >= 1000 or rtt['p99.9'] == rtt['max']
    buckets = result['histogram']
    assert sum(bucket['count'] for bucket in buckets) == count - result['lost']
    assert all(bucket['to_us'] == pytest.approx(2 * bucket['from_us'])
               for bucket in buckets)
    assert buckets[0]['from_us'] <= rtt['min'] < buckets[0]['to_us']
    assert buckets[-1]['from_us'] <= rtt['max'] < buckets[-1]['to_us']


@pytest.mark.parametrize('way', WAYS, ids=['doorbell', 'poll'])
def test_round_trips(link: str, start, way: tuple[str, ...]):
    listen(start, link)
    result = run_json('ping', link, '0', '--count', '500', *PATIENT,
                      *way)
    assert result['peer'] == 0
    assert result['mode'] == ('poll' if way else 'doorbell')
    assert (result['lost'], result['late']) == (0, 0)
    check_numbers(result, 500)


def test_text(link: str, start):
    listen(start, link)
    text = run('ping', link, '0', '--count', '100', *PATIENT).splitlines()
    assert text[0] == 'peer 0: 100 sent, 100 answered, 0 lost, 0 late'
    assert text[1].startswith('round trip us: min ')
    assert all('|#' in line or line.endswith(' 0') for line in text[2:])
    assert sum(int(line.split()[-1]) for line in text[2:]) == 100


def test_other_vector_and_offset(link: str, start, join):
    listen(start, link, '--offset', '64K')
    bystander = join(link)
    run('ping', link, '0', '--vector', '3', '--offset', '64K', '--count', '9',
        *PATIENT)
    assert bystander.memory[:65536] == bytes(65536)
    assert any(bystander.memory[65536:98304])
    assert bystander.memory[98304:] == bytes(len(bystander.memory) - 98304)


def test_many_peers_ping_one_listener(link: str, start):
    listener = listen(start, link)
    pings = [start('ping', link, '0', '--count', '300', '--json',
                   *PATIENT, *way)
             for way in ((), ('--poll',), ())]
    for ping in pings:
        assert json.loads(ping.end())['lost'] == 0
    listener.interrupt()
    # Each of them calls at least once before it begins to count.
    assert int(listener.end().split()[0]) >= 3 * 301


def test_listener_ends_after_its_count(link: str, start):
    listener = listen(start, link, '--count', '11', '--json')
    run('ping', link, '0', '--count', '10', *PATIENT)
    assert json.loads(listener.end())['answered'] == 11


def test_listener_ends_when_nobody_pings(link: str):
    assert 'no ping came in time' in run('ping', link, '--listen',
                                         '--timeout', '0.05', status=1)


def locked_kib(process: int) -> int:
    """Memory of a process that stays resident."""
    status = Path(f'/proc/{process}/status').read_text()
    return int(status.split('VmLck:')[1].split()[0])


def test_memory_stays_when_told_to(link: str, start):
    free = listen(start, link)
    assert locked_kib(free.process.pid) == 0
    held = listen(start, link, '--mlockall')
    assert locked_kib(held.process.pid) > 0
    assert run_json('ping', link, '1', '--mlockall', '--count', '50',
                    *PATIENT)['lost'] == 0


def test_memory_that_may_not_stay():
    complaint = run('ping', 'unix:/nowhere', '--listen', '--mlockall',
                    status=1, preexec_fn=lambda: resource.setrlimit(
                        resource.RLIMIT_MEMLOCK, (0, 0)),
                    **({} if os.geteuid() else
                       {'user': NOBODY, 'group': NOBODY}))
    assert '--mlockall: ' in complaint and 'ulimit -l' in complaint


def test_nobody_listens(link: str):
    complaint = run('ping', link, '2', '--timeout', '0.02', status=1)
    assert 'peer 2 does not answer; run `ivshmem ping --listen`' in complaint


@pytest.mark.parametrize('way', WAYS, ids=['doorbell', 'poll'])
def test_ctrl_c_shows_what_there_is(link: str, start, way: tuple[str, ...]):
    listener = listen(start, link)
    ping = start('ping', link, '0', '--count', '10000000', *PATIENT,
                 *way)
    # It has begun to count when it shows its progress.
    ping.wait_said(' of 10000000')
    ping.interrupt()
    assert ' answered, 0 lost, 0 late\n' in ping.end()
    listener.interrupt()
    assert ' answered, ' in listener.end()


def test_a_peer_beyond_the_link(link: str):
    assert 'no such peer' in run('ping', link, '9', status=1)


def test_a_vector_beyond_the_link(link: str):
    assert 'vector 4 does not exist' in run('ping', link, '1', '--vector',
                                            '4', status=1)


def test_a_memory_that_is_too_small(serve):
    link = serve(size='4K', peers=2).address
    assert 'not inside the memory' in run('ping', link, '1', status=1)


def test_the_server_gives_ids(link: str):
    assert 'it has an id of its own, 0' in run('ping', link, '1', '--id', '2',
                                               status=1)


class Answerer(threading.Thread):
    """A peer that answers as a test wants."""

    def __init__(self, peer, rings: bool, answers: bool) -> None:
        super().__init__(daemon=True)
        self.peer = peer
        self.rings = rings
        self.answers = answers
        self.answered_unrung = threading.Event()
        self.done = False

    def run(self) -> None:
        """Copy sequence numbers until told to end."""
        memory = self.peer.memory.cast('I')
        words = OUTBOX // 4
        while not self.done:
            if not self.peer.wait(0.05):
                continue
            for client in range(4):
                way, target = memory[client * words + 1:client * words + 3]
                if way == 0 or target != self.peer.id:
                    continue
                if self.answers:
                    memory[self.peer.id * words + 16 + client] = \
                        memory[client * words + 5]
                if self.rings:
                    self.peer.ring(client, memory[client * words + 3])
                elif self.answers:
                    self.answered_unrung.set()
        memory.release()

    def end(self) -> None:
        """Let it end."""
        self.done = True
        self.join(BOUND)


@pytest.fixture
def answerer(link: str, join):
    """Peer 0, answering in its own way."""
    threads = []

    def begin(**how: bool) -> Answerer:
        threads.append(Answerer(join(link), **how))
        threads[-1].start()
        return threads[-1]

    yield begin
    for thread in threads:
        thread.end()


def test_the_layout_is_what_it_says(link: str, answerer):
    answerer(rings=True, answers=True)
    assert run_json('ping', link, '0', '--count', '50',
                    *PATIENT)['lost'] == 0


def test_an_answer_without_a_doorbell_is_late(link: str, answerer):
    answerer(rings=False, answers=True)
    result = run_json('ping', link, '0', '--count', '3', '--timeout', '0.3')
    assert (result['count'], result['lost'], result['late']) == (3, 0, 3)
    # They were found when the time was over.
    assert result['rtt_us']['min'] >= 300000


def test_an_answer_is_not_late_when_ctrl_c_came_first(link: str, start,
                                                      answerer):
    peer = answerer(rings=True, answers=True)
    ping = start('ping', link, '0', '--count', '10000000', *PATIENT)
    ping.wait_said(' of 10000000')
    peer.rings = False
    assert peer.answered_unrung.wait(BOUND)
    ping.interrupt()
    assert ' answered, 0 lost, 0 late\n' in ping.end()


def test_a_doorbell_without_an_answer_is_lost(link: str, answerer):
    answerer(rings=True, answers=False)
    assert 'does not answer' in run('ping', link, '0', '--timeout', '0.05',
                                    status=1)


def test_a_listener_is_told_apart_from_its_answers_of_before(link: str, join):
    """Numbers left from an earlier run are no answers."""
    peer = join(link)
    peer.memory[:] = os.urandom(len(peer.memory))
    assert 'does not answer' in run('ping', link, '0', '--timeout', '0.05',
                                    status=1)


@pytest.mark.parametrize('vector, way', [(256, 1), (0xffffffff, 1), (0, 1),
                                         (5, 1)])
def test_the_listener_survives_clients_that_cannot_be_rung(
        link: str, start, join, vector: int, way: int):
    listener = listen(start, link, '--count', '1', '--json')
    peer = join(link)
    outbox = struct.pack('<6I', MAGIC, way, 0, vector, 77, 78)
    peer.memory[OUTBOX:OUTBOX + len(outbox)] = outbox
    peer.ring(0, 0)
    result = json.loads(listener.end())
    assert result['answered'] == 1
    assert result['unrung'] == (1 if vector > 3 else 0)
    assert struct.unpack_from('<I', peer.memory, 64 + 4)[0] == 78


@pytest.mark.parametrize('way', WAYS, ids=['doorbell', 'poll'])
def test_garbage_hangs_nobody(link: str, start, join, way: tuple[str, ...]):
    """A peer that writes everywhere, all the time, and rings as well."""
    listener = listen(start, link)
    vandal = join(link)
    ping = start('ping', link, '0', '--count', '300', '--timeout', '0.01',
                 *way)
    generator = random.Random(7)
    for _ in range(3000):
        place = generator.randrange(0, 64 * OUTBOX - 64)
        vandal.memory[place:place + 64] = generator.randbytes(64)
        vandal.ring(generator.randrange(0, 3), generator.randrange(0, 4))
    output, _ = ping.process.communicate(timeout=BOUND)
    assert ping.process.returncode in (0, 1)
    assert ' sent, ' in output
    listener.interrupt()
    assert ' answered, ' in listener.end()
