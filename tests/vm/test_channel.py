# SPDX-License-Identifier: GPL-2.0-only
"""Files that go from machine to machine, whatever the other machines do."""

import json
import re
import subprocess

import pytest

from lab import ivshmem_doorbell, ivshmem_plain
from lab.paths import USERSPACE

from .guest import set_attribute

TOOL = USERSPACE / "tools/ivshmem/ivshmem"
VECTORS = 4
PEERS = 4
NODE = "/dev/ivshmem0"
MIB = 1 << 20
BOUND = 600

# Makes a file of so many MiB, no two of which are the same.
MAKE = """
import os, sys
base = os.urandom(1 << 20)
with open(sys.argv[1], "wb", buffering=0) as file:
    for number in range(int(sys.argv[2])):
        file.write(number.to_bytes(8, "little") + base[8:])
"""

# Writes so many MiB, which all have a number, some of them only once a file is there.
FEED = """
import fcntl, os, random, sys, time
base = random.Random(1).randbytes((1 << 20) - 8)
with open(sys.argv[1], "wb", buffering=0) as pipe:
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
    for number in range(int(sys.argv[2])):
        while number == int(sys.argv[3]) and not os.path.exists(sys.argv[4]):
            time.sleep(0.1)
        data = memoryview(number.to_bytes(8, "little") + base)
        while data:
            data = data[pipe.write(data):]
"""

# Compares each byte of what has arrived; how many MiB it is.
COMPARE = """
import random, sys
base = random.Random(1).randbytes((1 << 20) - 8)
with open(sys.argv[1], "rb", buffering=0) as file:
    number = 0
    while data := file.read(1 << 20):
        assert data == number.to_bytes(8, "little") + base, number
        number += 1
print(number)
"""

# A checksum by somebody else.
CHECK = """
import sys, zlib
with open(sys.argv[1], "rb", buffering=0) as file:
    value = length = 0
    while data := file.read(1 << 20):
        value, length = zlib.crc32(data, value), length + len(data)
print(value, length)
"""


@pytest.fixture(scope="module")
def server(module_servers):
    """A link whose region has a section for channels."""
    return module_servers(size="64M", vectors=VECTORS, peers=PEERS, layout="raw=lab:32M")


@pytest.fixture(scope="module")
def trio(module_vms, server):
    """Three guests, the third of which can be rebooted."""
    machines = [module_vms(name, start=False, memory="1700M" if name == "b" else "512M",
                           devices=[ivshmem_doorbell(server, VECTORS, addr="0x10")],
                           no_reboot=name != "c")
                for name in "abc"]
    module_vms.start(*machines)
    for vm in machines:
        vm.load_driver()
    return machines


def slot(vm):
    """The own slot of a guest."""
    return int(vm.run("cat /sys/class/ivshmem/ivshmem0/peer_id").stdout)


def make(vm, path, mebibytes):
    """Make a file; its checksum and length."""
    vm.run(["/usr/bin/python3", "-c", MAKE, path, str(mebibytes)], timeout=BOUND)
    return checksum(vm, path)


def checksum(vm, path):
    """Checksum and length of a file."""
    return vm.run(["/usr/bin/python3", "-c", CHECK, path], timeout=BOUND).stdout


def receive(vm, path, *arguments):
    """Start a receiver in a guest."""
    return vm.spawn([str(TOOL), "recv", NODE, "-o", path, "--json", *arguments])


def send(vm, *arguments, **options):
    """Send from a guest; what it printed."""
    return json.loads(vm.run([str(TOOL), "send", NODE, *arguments, "--json"],
                             timeout=BOUND, **options).stdout)


def received(process):
    """What a receiver printed, who has got all."""
    result = process.wait(BOUND)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def wait_peers(vm, count):
    """Wait until so many peers are alive, as a guest sees it."""
    vm.wait_for(f"{TOOL} peers {NODE} | grep -q '^{count} of'", timeout=120)


@pytest.mark.timeout(1800)
def test_a_gibibyte_arrives_while_the_third_machine_is_rebooted_twice(trio):
    """Its input holds the sender up, so that it lasts, whatever the speed."""
    a, b, c = trio
    wait_peers(a, 3)
    b.run("mount -o remount,size=1200M /dev/shm")
    receiver = receive(b, "/dev/shm/target")
    a.run("mkfifo /run/input")
    sender = a.spawn([str(TOOL), "send", NODE, str(slot(b)), "/run/input", "--json"])
    feeder = a.spawn(["/usr/bin/python3", "-c", FEED, "/run/input", "1024", "300",
                      "/run/rebooted"])
    # What has arrived has no name yet.
    b.wait_for("test $(df --output=used -k /dev/shm | tail -1) -gt 100000",
               timeout=BOUND)
    for _ in range(2):
        c.reset()
        c.load_driver()
        wait_peers(c, 3)
        wait_peers(a, 3)
    a.run("touch /run/rebooted")
    assert feeder.wait(BOUND).returncode == 0, feeder.stderr
    said = sender.wait(BOUND)
    assert said.returncode == 0, said.stderr
    heard = received(receiver)
    assert json.loads(said.stdout)["xxh64"] == heard["xxh64"]
    assert heard["bytes"] == 1024 * MIB
    assert b.run(["/usr/bin/python3", "-c", COMPARE, "/dev/shm/target"],
                 timeout=BOUND).stdout == "1024\n"
    a.run("rm /run/input /run/rebooted")
    b.run("rm /dev/shm/target")


def test_each_guest_sends_to_the_next_at_the_same_time(trio):
    """Three channels in one section, and both ways of none are mixed up."""
    sums = [make(vm, "/run/source", 16) for vm in trio]
    receivers = [receive(vm, "/run/target", str(slot(trio[number - 1])))
                 for number, vm in enumerate(trio)]
    senders = [vm.spawn([str(TOOL), "send", NODE, str(slot(trio[(number + 1) % 3])),
                         "/run/source"])
               for number, vm in enumerate(trio)]
    for process in senders:
        result = process.wait(BOUND)
        assert result.returncode == 0, result.stderr
    for number, process in enumerate(receivers):
        received(process)
        assert checksum(trio[number], "/run/target") == sums[number - 1]


@pytest.mark.parametrize("size", [0, 1, 33 * MIB + 5])
def test_guest_and_host_send_to_each_other(trio, server, tmp_path, size):
    """The same commands on both sides."""
    guest = trio[0]
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(bytes(range(251)) * (size // 251) + bytes(size % 251))
    process = receive(guest, "/run/target", "host")
    subprocess.run([TOOL, "send", server.address, "a", source, "--name", "host"],
                   check=True, timeout=BOUND)
    received(process)
    with subprocess.Popen([TOOL, "recv", server.address, "-o", target, "--name", "host"]
                          ) as receiver:
        send(guest, "host", "/run/target")
        assert receiver.wait(BOUND) == 0
    assert target.read_bytes() == source.read_bytes()


def test_one_end_of_a_channel_is_for_one_program(trio):
    """Whichever of the two nodes they have opened."""
    vm = trio[0]
    peer = str(slot(trio[1]))
    waiting = vm.spawn([str(TOOL), "recv", NODE, peer])
    vm.wait_for(f"ls -l /proc/{waiting.pid}/fd | grep -q {NODE}.lab")
    for device in (NODE, f"{NODE}.lab"):
        result = vm.run(f"{TOOL} recv {device} {peer} --timeout 20", check=False)
        assert result.returncode == 1
        assert "another program of this machine uses the channel" in result.stderr
    # Other channels are free.
    assert "did not come in time" in vm.run(
        f"{TOOL} recv {NODE}.lab {slot(trio[2])} --timeout 0.1", check=False).stderr
    waiting.kill("INT")
    assert waiting.wait().returncode == 1
    assert "did not come in time" in vm.run(
        f"{TOOL} recv {NODE}.lab {peer} --timeout 0.1", check=False).stderr


def test_the_node_of_the_section_is_enough(trio):
    """For somebody who may use nothing else."""
    a, b, _ = trio
    a.run(f"chmod 666 {NODE}.lab; install -m 666 /dev/null /run/small; echo hi >/run/small")
    process = receive(b, "/run/target")
    a.run("setpriv --reuid 65534 --regid 65534 --clear-groups "
          f"{TOOL} send {NODE}.lab {slot(b)} /run/small")
    received(process)
    assert b.run("cat /run/target").stdout == "hi\n"
    assert "permission denied" in a.run(
        "setpriv --reuid 65534 --regid 65534 --clear-groups "
        f"{TOOL} send {NODE} {slot(b)} /run/small", check=False).stderr


def test_a_program_survives_the_removal_of_the_device(trio):
    """It says what has happened."""
    vm = trio[2]
    process = vm.spawn([str(TOOL), "recv", NODE, str(slot(trio[0]))])
    vm.wait_for(f"ls -l /proc/{process.pid}/fd | grep -q {NODE}.lab")
    vm.run("echo 0000:00:10.0 >/sys/bus/pci/drivers/ivshmem/unbind")
    result = process.wait()
    assert result.returncode == 1
    assert "gone" in result.stderr
    vm.run("echo 0000:00:10.0 >/sys/bus/pci/drivers/ivshmem/bind")
    wait_peers(trio[0], 3)


@pytest.fixture
def doomed(vms, server, trio):
    """A fourth guest, that will not live long."""
    vm = vms("doomed", devices=[ivshmem_doorbell(server, VECTORS, addr="0x10")])
    vm.load_driver()
    wait_peers(trio[0], 4)
    return vm


@pytest.mark.parametrize("sends", [True, False], ids=["sender", "receiver"])
def test_a_machine_that_is_killed_is_told_of(trio, doomed, sends):
    """With how much had arrived, and soon."""
    survivor = trio[0]
    if sends:
        words = "recv -o /dev/null"
        doomed.spawn(f"exec {TOOL} send {NODE} {slot(survivor)} /dev/zero")
    else:
        words = f"send {slot(doomed)} /dev/zero"
        doomed.spawn(f"exec {TOOL} recv {NODE} -o /dev/null")
    process = survivor.spawn(f"exec {TOOL} {words} --progress 2>/run/said")
    # It is in full swing.
    survivor.wait_for("grep -q iB/s /run/said")
    doomed.kill()
    assert process.wait().returncode == 1
    said = survivor.run("cat /run/said").stdout
    assert re.search("peer doomed: the transfer broke off: .*; start both sides again", said), said


@pytest.fixture(scope="module")
def plain(module_vms, tmp_path_factory):
    """Two guests that share a file, and have no doorbells."""
    path = tmp_path_factory.mktemp("plain") / "memory"
    with open(path, "wb") as memory:
        memory.truncate(16 * MIB)
    pair = [module_vms(f"plain-{number}", start=False,
                       devices=[ivshmem_plain(path, "16M", addr="0x10")])
            for number in range(2)]
    module_vms.start(*pair)
    for number, vm in enumerate(pair):
        vm.load_driver()
        if not number:
            vm.run(f"{TOOL} format {NODE} raw=lab:8M --peers 2")
        assert set_attribute(vm, NODE, "slot", str(number)).returncode == 0
    return pair


def test_no_doorbells_are_needed(plain):
    a, b = plain
    wait_peers(a, 2)
    before = make(a, "/run/source", 16)
    process = receive(b, "/run/target")
    send(a, "1", "/run/source")
    received(process)
    assert checksum(b, "/run/target") == before
