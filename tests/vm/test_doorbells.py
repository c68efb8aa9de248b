# SPDX-License-Identifier: GPL-2.0-only
"""Doorbells between virtual machines: none that had to wake is lost."""

import itertools
import random
import re

import pytest

from lab import ivshmem_doorbell

from .guest import Running, attribute, check, node, program, set_attribute

VECTORS = 32
PEERS = 8

# Four devices in each of two guests: eight clients of one server.
ADDRESSES = ["00:10.0", "00:11.0", "00:12.0", "00:13.0"]

DOORBELLS = 100_000

# Which run of two partners it is, for what an earlier one left in the memory.
SESSIONS = itertools.count(random.randrange(1, 1 << 31))


@pytest.fixture(scope="module")
def server(module_servers):
    """The server of both guests."""
    return module_servers(size="4M", vectors=VECTORS, peers=PEERS)


@pytest.fixture(scope="module")
def pair(module_vms, server):
    """Two guests with four devices each, all on one server."""
    guests = [module_vms(name, start=False, no_reboot=False, devices=[
        ivshmem_doorbell(server, VECTORS, id=f"peer{number}", addr=f"0x{0x10 + number:x}")
        for number in range(len(ADDRESSES))]) for name in "ab"]
    module_vms.start(*guests)
    for vm in guests:
        vm.load_driver()
    return guests


def start_partners(pair, name, roles, *, lane, vector, rounds):
    """A program in each of two guests, which meet in the shared memory."""
    session = next(SESSIONS)
    return [vm.spawn([str(program(name)), node(vm, ADDRESSES[0]), role, str(lane),
                      str(vector), str(session), str(rounds)])
            for vm, role in zip(pair, roles)]


def finish(partners, timeout):
    """Both have ended well; what they said."""
    results = [partner.wait(timeout) for partner in partners]
    for result in results:
        assert result.returncode == 0, f"{result.command}: {result.stderr}"
    return [result.stdout for result in results]


def counted(output):
    """The number that a partner's last line begins with."""
    return int(re.search(r"^(\d+) \w+ \w+$", output, re.M)[1])


def test_every_client_has_its_own_id(pair):
    ids = [attribute(vm, node(vm, address), "peer_id") for vm in pair
           for address in ADDRESSES]
    assert sorted(ids) == [str(number) for number in range(PEERS)]


def test_100000_doorbells_each_way_one_at_a_time(pair):
    """Each one wakes the other side and is counted as exactly one."""
    partners = start_partners(pair, "pingpong", ("ping", "pong"), lane=0, vector=0,
                              rounds=DOORBELLS)
    assert [counted(said) for said in finish(partners, 400)] == [DOORBELLS, DOORBELLS]


def test_vectors_rest_only_in_a_storm(pair):
    """Doorbells at a pace that irq_rate allows are never held back, however many
    have been before."""
    partners = start_partners(pair, "pingpong", ("ping", "pong"), lane=0, vector=0,
                              rounds=2000)
    finish(partners, 60)
    for vm in pair:
        name = node(vm, ADDRESSES[0]).removeprefix("/dev/")
        state = vm.run(f"cat /sys/kernel/debug/ivshmem/{name}/state").stdout
        assert re.search(r"^storms: 0$", state, re.M), state
        assert int(re.search(r"^vector 0: .*count (\d+)", state, re.M)[1]) > DOORBELLS


def test_100000_doorbells_each_way_at_once(pair):
    """In a burst doorbells run together; the last message is always told of."""
    to_b = start_partners(pair, "burst", ("send", "receive"), lane=1, vector=1,
                          rounds=DOORBELLS)
    to_a = start_partners(pair, "burst", ("receive", "send"), lane=2, vector=2,
                          rounds=DOORBELLS)
    sent, received = map(counted, finish(to_b, 300))
    assert sent == DOORBELLS and 1 <= received <= DOORBELLS
    received, sent = map(counted, finish(to_a, 300))
    assert sent == DOORBELLS and 1 <= received <= DOORBELLS


def test_rested_vectors_lose_no_doorbell(pair):
    """With few interrupts a second a burst is told of by few, the last included."""
    receiver = node(pair[1], ADDRESSES[0])
    assert set_attribute(pair[1], receiver, "irq_rate", "100").returncode == 0
    partners = start_partners(pair, "burst", ("send", "receive"), lane=5, vector=5,
                              rounds=20_000)
    sent, received = map(counted, finish(partners, 120))
    assert sent == 20_000 and 1 <= received < 10_000
    assert set_attribute(pair[1], receiver, "irq_rate", "100000").returncode == 0


def test_8_clients_with_32_vectors_each(pair):
    """Every peer reaches every other one on every vector, and is answered."""
    nodes = [[node(vm, address) for address in ADDRESSES] for vm in pair]
    answering = [Running(vm, "mesh", "answer", *own) for vm, own in zip(pair, nodes)]
    for vm, own in zip(pair, nodes):
        asked = vm.run([str(program("mesh")), "ask", str(PEERS), *own], timeout=180)
        assert counted(asked.stdout) == len(ADDRESSES) * (PEERS - 1) * VECTORS
    answered = 0
    for running in answering:
        running.stop()
        result = running.wait()
        assert result.returncode == 0, result.stdout
        answered += int(re.search(r"^(\d+) answers$", result.stdout, re.M)[1])
    assert answered == PEERS * (PEERS - 1) * VECTORS


def test_reset_of_one_guest_while_the_other_rings(pair):
    """A guest that is rung all through its reset comes back and works."""
    a, b = pair
    target = attribute(b, node(b, ADDRESSES[0]), "peer_id")
    ringer = a.spawn(["/usr/bin/python3", "-c", RING_ALL, node(a, ADDRESSES[0]), target])
    a.wait_for("test -e /run/ringing")
    b.reset()
    b.load_driver()
    check(b, "rights", node(b, ADDRESSES[1]))
    partners = start_partners(pair, "pingpong", ("ping", "pong"), lane=3, vector=31,
                              rounds=1000)
    finish(partners, 60)
    ringer.kill("TERM")
    assert ringer.wait().returncode == 0, ringer.stderr


# Rings all vectors but the last one of a peer until SIGTERM.
RING_ALL = f"""
import fcntl, os, signal, struct, sys
device = os.open(sys.argv[1], os.O_RDWR)
go_on = True
def end(*_):
    global go_on
    go_on = False
signal.signal(signal.SIGTERM, end)
open("/run/ringing", "w").close()
while go_on:
    for vector in range({VECTORS - 1}):
        fcntl.ioctl(device, 0xd603, struct.pack("4I", 16, 0, int(sys.argv[2]), vector))
"""


def test_clients_go_on_without_the_server(pair, server):
    """The server is killed; its clients still ring each other."""
    assert server.alive
    server.kill()
    partners = start_partners(pair, "pingpong", ("ping", "pong"), lane=4, vector=4,
                              rounds=5000)
    assert [counted(said) for said in finish(partners, 120)] == [5000, 5000]
    check(pair[0], "event", node(pair[0], ADDRESSES[3]))
