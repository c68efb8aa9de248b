# SPDX-License-Identifier: GPL-2.0-only
"""XDP programs in the driver itself: tests/net/xdp_programs.c has them."""

import re

import pytest

from .card import Stream, Witness, exchange, programs, transfer, until

MIB = 1 << 20

# Sends to ADDRESS, PORT what must come back from there: bytes of each SIZE.
ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((sys.argv[1], int(sys.argv[2])))
sock.settimeout(1)
for number, size in enumerate(map(int, sys.argv[3:])):
    data = bytes((number + at) % 251 for at in range(size))
    for _ in range(20):
        sock.send(data)
        try:
            found = sock.recv(1 << 16)
        except TimeoutError:
            continue
        assert found == data, (size, len(found))
        break
    else:
        sys.exit(f"{size}: nothing came back")
"""

# Counts what comes to each PORT until "end" comes there, one after the other.
COUNT = """
import socket, sys
socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in sys.argv[1:]]
for sock, port in zip(socks, sys.argv[1:]):
    sock.bind(("", int(port)))
said = open("/run/counts", "w")
for sock in socks:
    print("waits", file=said, flush=True)
    count = 0
    while sock.recv(100) != b"end":
        count += 1
    print(count, flush=True)
print("ends", file=said, flush=True)
"""


class Counter:
    """COUNT in a guest."""

    def __init__(self, card, *ports, prefix=()):
        self.vm = card.vm
        self.vm.run("rm -f /run/counts")
        self.process = self.vm.spawn([*prefix, "/usr/bin/python3", "-c", COUNT,
                                      *map(str, ports)])
        self.wait_lines(1)

    def wait_lines(self, count):
        """Wait until it waits for this one of the ports."""
        until(self.vm, f"[ $(grep -cs . /run/counts) -ge {count} ]")

    def result(self):
        """What it has counted."""
        found = self.process.wait()
        assert found.returncode == 0, found.stderr
        return [int(line) for line in found.stdout.split()]


def attach(card, program, path=""):
    """Attach a program in the driver."""
    path = path or programs(card.vm)
    card.vm.run(f"""
        ip link set dev {card.name} xdpdrv obj {path} program xdp_{program} &&
        ip -details link show {card.name} | grep -q prog/xdp""")
    card.wait_carrier()


def counted(card):
    """What the programs have done, all queues together."""
    found = card.counters()
    return {name: sum(value for key, value in found.items()
                      if key.startswith("queue") and key.endswith(f"_xdp_{name}"))
            for name in ("packets", "tx", "redirects", "drops")}


def detach(card):
    """Let it go."""
    card.ip("xdpdrv off")


@pytest.fixture(autouse=True)
def restored(trio):
    """No program, and the usual MTU."""
    yield
    # "off" has to be the last word
    trio[1].configure("mtu 1500 xdpdrv off")


def echo(card, address, sizes="1 18 19 100 999 1472"):
    """Whatever goes to the port of the programs comes back."""
    card.vm.run(["/usr/bin/python3", "-c", ECHO, address, "7", *sizes.split()], timeout=150)


def test_pass(trio):
    """Traffic as without, both ways, of all kinds."""
    a, b, c = trio
    attach(b, "pass")
    a.reach(b.address, 3)
    exchange(a, b, 4 * MIB)
    b.reach(c.address6)
    transfer(b, c, MIB, c.address6)
    assert Stream(a, b, "-u -t 1 -b 2M -l 1000").result()["end"]["sum"]["packets"] > 10


@pytest.mark.parametrize("program", ["drop", "abort", "unknown"])
def test_drop(trio, program):
    """What is to be dropped does not arrive, and all else does."""
    a, b, _ = trio
    attach(b, program)
    a.reach(b.address)
    before = counted(b)
    counter = Counter(b, 8, 7)
    a.vm.run(f"""
        for n in $(seq 20); do
            echo -n $n > /dev/udp/{b.address}/7; echo -n $n > /dev/udp/{b.address}/8
        done
        echo -n end > /dev/udp/{b.address}/8""")
    counter.wait_lines(2)
    after = counted(b)
    assert after["drops"] == before["drops"] + 20
    assert after["packets"] >= before["packets"] + 41
    detach(b)
    a.reach(b.address)
    a.vm.run(f"echo -n end > /dev/udp/{b.address}/7")
    assert counter.result() == [20, 0]
    # Nothing of what was dropped is left behind.
    transfer(a, b, MIB)


@pytest.mark.parametrize("program", ["tx", "back", "moved"])
def test_turned(trio, program):
    """Frames go back before the stack sees them: sent by the driver, or redirected."""
    a, b, _ = trio
    attach(b, program)
    a.reach(b.address)
    echo(a, b.address)
    transfer(a, b, MIB)
    # Several at once
    before = b.statistics()["tx_packets"]
    turned = sum(counted(b)[name] for name in ("tx", "redirects"))
    a.vm.run(f"for n in $(seq 100); do echo -n $n > /dev/udp/{b.address}/7; done")
    b.wait_statistic("tx_packets", before + 100)
    assert sum(counted(b)[name] for name in ("tx", "redirects")) == turned + 100


def test_redirect_to_another_interface(trio):
    """From our card to one of a virtual pair: a socket at its other end gets them."""
    a, b, _ = trio
    b.vm.run(f"""
        modprobe veth && ip netns add inner &&
        ip link add outside type veth peer name inside netns inner &&
        ip -n inner link set inside address {b.mac} &&
        ip -n inner address add {b.address}/24 dev inside &&
        ip -n inner link set inside xdpdrv obj {programs(b.vm)} program xdp_pass &&
        ip link set outside up && ip -n inner link set inside up""")
    outside = b.vm.run("cat /sys/class/net/outside/ifindex").stdout.strip()
    attach(b, "away", programs(b.vm, int(outside)))
    a.reach(b.address)
    counter = Counter(b, 7, prefix=["ip", "netns", "exec", "inner"])
    a.vm.run(f"for n in $(seq 20); do echo -n $n > /dev/udp/{b.address}/7; done; "
             f"echo -n end > /dev/udp/{b.address}/7")
    assert counter.result() == [20]
    b.vm.run("ip netns del inner")


def test_mtu_that_does_not_fit(trio):
    """Refused with a reason, whichever comes first."""
    _, b, _ = trio
    path = programs(b.vm)
    b.ip("mtu 9000")
    said = b.refused(f"ip link set dev {b.name} xdpdrv obj {path} program xdp_pass")
    assert "MTU is too large for a program" in said, said
    assert not b.link().get("xdp", {}).get("mode")
    b.ip("mtu 1500")
    attach(b, "pass")
    b.refused(f"ip link set dev {b.name} mtu 9000")
    # The kernel gives a driver no other way to say why.
    most = int(re.findall(rf"{b.name}: MTU must not exceed (\d+) with an XDP program",
                          b.vm.run("dmesg").stdout)[-1])
    assert b.link()["mtu"] == 1500
    b.refused(f"ip link set dev {b.name} mtu {most + 1}")
    b.ip(f"mtu {most}")


def test_attached_and_detached_under_traffic(trio):
    """Again and again, while a stream runs, which outlives it."""
    a, b, _ = trio
    path = programs(b.vm)
    index = b.index
    stream = Witness(a, b, words="")
    for program in ("pass", "tx", "pass"):
        attach(b, program, path)
        stream.goes_on()
        detach(b)
        stream.goes_on()
    stream.stop()
    assert b.index == index
    transfer(a, b, MIB)


def test_replaced_and_kept_over_down_and_up(trio):
    """Another program takes the place of one; it is still there after a pause."""
    a, b, _ = trio
    attach(b, "drop")
    b.vm.run(f"""
        ip -force link set dev {b.name} xdpdrv obj {programs(b.vm)} program xdp_tx &&
        ip link set {b.name} down && ip link set {b.name} up""")
    a.reach(b.address)
    echo(a, b.address, "100")
