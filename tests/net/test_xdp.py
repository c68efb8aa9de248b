# SPDX-License-Identifier: GPL-2.0-only
"""XDP programs in the driver itself: tests/net/xdp_programs.c has them."""

import pytest

from .card import Stream, programs, transfer

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

# Counts what comes to PORT until "end" comes there.
COUNT = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", int(sys.argv[1])))
open("/run/counts", "w").close()
count = 0
while sock.recv(100) != b"end":
    count += 1
print(count)
"""


def attach(card, program, path=""):
    """Attach a program in the driver."""
    path = path or programs(card.vm)
    card.ip(f"xdpdrv obj {path} program xdp_{program}")
    assert "prog" in card.vm.run(f"ip -details link show {card.name}").stdout
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
    for card in trio:
        # "off" has to be the last word
        card.configure("mtu 1500 xdpdrv off")


def echo(card, address, sizes="1 18 19 100 999 1472"):
    """Whatever goes to the port of the programs comes back."""
    card.vm.run(["/usr/bin/python3", "-c", ECHO, address, "7", *sizes.split()], timeout=150)


def test_pass(trio):
    """Traffic as without, both ways, of all kinds."""
    a, b, c = trio
    attach(b, "pass")
    a.reach(b.address, 3)
    transfer(a, b, 4 * MIB)
    transfer(b, a, 4 * MIB)
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
    ports = {}
    for port in (7, 8):
        b.vm.run("rm -f /run/counts")
        ports[port] = b.vm.spawn(["/usr/bin/python3", "-c", COUNT, str(port)])
        b.vm.wait_for("[ -e /run/counts ]")
    a.vm.run(f"for n in $(seq 20); do echo -n $n > /dev/udp/{b.address}/7; "
             f"echo -n $n > /dev/udp/{b.address}/8; done")
    a.vm.run(f"echo -n end > /dev/udp/{b.address}/8")
    assert ports[8].wait().stdout == "20\n"
    after = counted(b)
    assert after["drops"] == before["drops"] + 20
    assert after["packets"] >= before["packets"] + 41
    detach(b)
    a.reach(b.address)
    a.vm.run(f"echo -n end > /dev/udp/{b.address}/7")
    assert ports[7].wait().stdout == "0\n"
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
    b.vm.wait_for(f"[ $(cat /sys/class/net/{b.name}/statistics/tx_packets) -ge "
                  f"{before + 100} ]")
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
        ip link set outside up && ip -n inner link set inside up && rm -f /run/counts""")
    outside = b.vm.run("cat /sys/class/net/outside/ifindex").stdout.strip()
    attach(b, "away", programs(b.vm, int(outside)))
    a.reach(b.address)
    counter = b.vm.spawn(["ip", "netns", "exec", "inner", "/usr/bin/python3", "-c", COUNT, "7"])
    b.vm.wait_for("[ -e /run/counts ]")
    a.vm.run(f"for n in $(seq 20); do echo -n $n > /dev/udp/{b.address}/7; done; "
             f"echo -n end > /dev/udp/{b.address}/7")
    assert counter.wait().stdout == "20\n"
    b.vm.run("ip netns del inner")


def test_mtu_that_does_not_fit(trio):
    """Refused with a reason, whichever comes first."""
    _, b, _ = trio
    path = programs(b.vm)
    b.ip("mtu 9000")
    said = b.refused(f"ip link set dev {b.name} xdpdrv obj {path} program xdp_pass")
    assert "mtu" in said.lower(), said
    assert "xdp" not in b.link() or not b.link()["xdp"].get("mode")
    b.ip("mtu 1500")
    attach(b, "pass")
    said = b.refused(f"ip link set dev {b.name} mtu 9000")
    assert b.link()["mtu"] == 1500
    b.ip("mtu 3000")


def test_attached_and_detached_under_traffic(trio):
    """Again and again, while a stream runs, which outlives it."""
    a, b, _ = trio
    path = programs(b.vm)
    index = b.index
    stream = Stream(a, b, "-t 5")
    rounds = 0
    while stream.running():
        attach(b, "tx" if rounds % 2 else "pass", path)
        before = b.statistics()["rx_packets"]
        b.vm.wait_for(f"[ $(cat /sys/class/net/{b.name}/statistics/rx_packets) -gt {before} ]")
        detach(b)
        rounds += 1
    assert rounds > 1
    assert stream.result()["end"]["sum_received"]["bytes"] > MIB
    assert b.index == index
    transfer(a, b, MIB)


def test_replaced_and_kept_over_down_and_up(trio):
    """Another program takes the place of one; it is still there after a pause."""
    a, b, _ = trio
    attach(b, "drop")
    b.vm.run(f"ip -force link set dev {b.name} xdpdrv obj {programs(b.vm)} program xdp_tx")
    b.vm.run(f"ip link set {b.name} down && ip link set {b.name} up")
    b.wait_carrier()
    a.reach(b.address)
    echo(a, b.address, "100")
