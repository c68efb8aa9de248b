# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own network selftests on cards of ours.

Which of them apply, and why others do not, is in Documentation/network.rst.
"""

import re
import time
from contextlib import contextmanager

import pytest

from lab.debian import unpacked
from lab.paths import TOOLS
from lab.testing import build_modules

from .kselftest import BOUND, FAR, FAR6, NEAR, NEAR6, QUEUES, Selftests, devices, passed, region

# Seconds for which net/lib/csum listens, and a sender has to send in: the next, if it was late
WINDOWS = (4, 16, 64)
TRIES = 20
FAMILIES = {"4": (NEAR, FAR), "6": (NEAR6, FAR6)}


@pytest.fixture(scope="module")
def selftests(module_vms, module_servers):
    """A guest of the kernel that the tests are of, with two cables."""
    server = module_servers(**region(2))
    return Selftests(module_vms("programs", kernel=build_modules("6.12"), smp=QUEUES,
                                devices=devices(server, 2)))


@pytest.fixture(scope="module")
def cable(selftests):
    """A cable between the namespaces "near" and "far"."""
    selftests.connect(selftests.cables[0])
    return selftests.cables[0]


@contextmanager
def _settings(selftests, cable, changes, defaults):
    """Commands in both namespaces, {card} being the one that is there; others at the end."""
    def apply(commands):
        for place, card in (("near", cable.near), ("far", cable.far)):
            selftests.vm.run(["ip", "netns", "exec", place, "sh", "-ec",
                              commands.format(card=card)])
        selftests.wait_for_frames()

    try:
        apply(changes)
        yield
    finally:
        apply(defaults)


# drivers/net

@pytest.mark.parametrize("program, lacking", [
    ("ping.py", []),
    ("queues.py", []),
    # Memory neither asks for pauses nor corrects errors.
    ("stats.py", ["stats.check_pause # XFAIL", "stats.check_fec # XFAIL"]),
], ids=["ping", "queues", "stats"])
def test_driver(selftests, cable, program, lacking):
    """Each of them names its own cases."""
    passed(selftests.spawn("drivers/net", f"./{program}", NETIF=cable.near, LOCAL_V4=NEAR,
                           REMOTE_V4=FAR, LOCAL_V6=NEAR6, REMOTE_V6=FAR6,
                           REMOTE_TYPE="netns", REMOTE_ARGS="far").wait(BOUND), *lacking)


# net: programs that have a near and a far end

@pytest.mark.parametrize("variant", ["-t", "-t -E", "", "-E"])
def test_checksums_of_what_is_received(selftests, cable, variant):
    """Right ones and wrong ones of TCP and UDP, as drivers/net/hw/csum.py tries them."""
    _csum(selftests, cable, variant, "far", "near")


def test_checksums_of_what_is_sent(selftests, cable):
    """They are there on the wire when the receiver does not accept frames without."""
    with _settings(selftests, cable, "ethtool -K {card} rx off", "ethtool -K {card} rx on"):
        _csum(selftests, cable, "-U", "near", "far")
        _csum(selftests, cable, "-U -Z", "near", "far")


def _csum(selftests, cable, variant, source, target):
    """Both families at a time, as a receiver listens to the end of its window."""
    cards = {"near": cable.near, "far": cable.far}
    words = []
    for family, ends in FAMILIES.items():
        ends = dict(zip(cards, ends))
        words.append(f"-{family} -S {ends[source]} -D {ends[target]} -n 100 {variant}")
    # A checksum that is zero is that of a certain frame. Others are of any frames, but of
    # the same each time: 1 would stand for the time of day, and now and then a frame's
    # checksum is 0, whose complement, meant to be wrong, is right as well.
    seed = "" if "-Z" in variant else "-r 2"
    for window in WINDOWS:
        end = time.monotonic() + window
        receivers = [selftests.spawn("net/lib", f"./csum -i {cards[target]} {word} -L {window} -R",
                                     target) for word in words]
        for family in FAMILIES:
            selftests.listens(target, f"-u{family}", 34000)
        results = [selftests.spawn("net/lib", f"./csum -i {cards[source]} {word} {seed} -T",
                                   source).wait(BOUND) for word in words]
        in_time = time.monotonic() < end
        results += [receiver.wait(BOUND) for receiver in receivers]
        if in_time:
            break
    for result in results:
        passed(result)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_gro(selftests, cable, family):
    """Frames that belong together are merged, others are not."""
    station = selftests.stations
    common = f"--{family} --dmac {station[cable.near]} --smac {station[cable.far]} --verbose"
    with _settings(selftests, cable,
                   "ip link set {card} mtu 4500; ethtool -C {card} rx-usecs 0;"
                   "echo 20000000 >/sys/class/net/{card}/gro_flush_timeout",
                   "ip link set {card} mtu 1500; ethtool -C {card} rx-usecs 50;"
                   "echo 0 >/sys/class/net/{card}/gro_flush_timeout"):
        for case in ("data", "ack", "flags", "tcp", "ip", "large"):
            _gro(selftests, cable, f"{common} --test {case}")


def _gro(selftests, cable, words):
    """One case, until it passes: frames that a slow sender sends at another tick of the
    receiver's clock are not merged, for which net/gro.sh tries it again, too."""
    for _ in range(TRIES):
        receiver = selftests.spawn("net", f"./gro {words} --rx --iface {cable.near}")
        selftests.listens("near", "-0")
        selftests.run("net", f"./gro {words} --iface {cable.far}", "far")
        result = receiver.wait(BOUND)
        if result.returncode == 0:
            break
    passed(result)


@pytest.mark.parametrize("protocol", ["", "-u", "-r", "-R"], ids=["tcp", "udp", "raw", "hdrincl"])
def test_transmit_timestamps(selftests, cable, protocol):
    """A frame that is sent gets one, whatever kind of socket it is from."""
    servers = [selftests.spawn("net", f"socat -u TCP{family}-LISTEN:900{family},fork /dev/null",
                               "far") for family in FAMILIES if not protocol]
    for family, (_, address) in FAMILIES.items():
        if servers:
            selftests.listens("far", f"-t{family}", int(f"900{family}"))
        selftests.run("net", f"./txtimestamp -{family} {protocol} -F -t 100000000 "
                      f"-p 900{family} {address}")
    for server in servers:
        server.kill()


@pytest.mark.parametrize("protocol, family", [("tcp", "4"), ("tcp", "6"), ("udp", "4")])
def test_zero_copy(selftests, cable, protocol, family):
    """The sender is told that all its pages are its own again."""
    near, far = FAMILIES[family]
    words = f"-{family} -S {near} -D {far} -z"
    receiver = selftests.spawn("net", f"./msg_zerocopy {words} -i {cable.far} -t 3 -r {protocol}",
                               "far")
    selftests.listens("far", f"-{protocol[0]}{family}")
    said = selftests.run("net", f"./msg_zerocopy {words} -i {cable.near} -t 1 {protocol}")
    sent = re.search(r"tx=(\d+) .*txc=(\d+) zc=(\w)", said)
    assert sent and sent[1] == sent[2] != "0", said
    # TCP's segments are what the card takes, and no copy was made of one.
    assert protocol == "udp" or sent[3] == "y", said
    assert not re.search(r"\brx=0 ", passed(receiver.wait(BOUND)))


@pytest.mark.parametrize("sent, received", [
    ("-S 1452", "-n 1 -l 14520 -S 1452"),
    ("-S 500", "-n 1 -l 14520 -S 500"),
])
def test_udp_segments(selftests, cable, sent, received):
    """What was sent as one is received as one, as in net/udpgro.sh."""
    _udp(selftests, f"-M 1 -s 14520 {sent}", received)


def test_udp_segments_are_not_merged(selftests, cable):
    """Without generic receive offload, as in net/udpgro.sh."""
    with _settings(selftests, cable, "ethtool -K {card} gro off", "ethtool -K {card} gro on"):
        _udp(selftests, "-M 10 -s 1400", "-n 10 -l 1400")
        _udp(selftests, "-M 10 -s 1400", "-n 10 -l 1400 -S -1")


def _udp(selftests, sent, received):
    for family, (address, _) in FAMILIES.items():
        only = "-4" if family == "4" else ""
        receiver = selftests.spawn(
            "net", f"./udpgso_bench_rx -C 60000 -R 1000 -G -r {only} {received}")
        selftests.listens("near", "-u", 8000)
        selftests.run("net", f"./udpgso_bench_tx -l 4 -{family} -D {address} {sent}", "far")
        passed(receiver.wait(BOUND))


@pytest.mark.parametrize("family", FAMILIES)
def test_udp_segments_are_audited(selftests, cable, family):
    """Each is acknowledged to the sender, with a timestamp, as in net/udpgso_bench.sh."""
    receiver = selftests.spawn("net", "./udpgso_bench_rx")
    selftests.listens("near", "-u", 8000)
    said = selftests.run("net", f"./udpgso_bench_tx -l 1 -{family} -D {FAMILIES[family][0]} "
                         "-S 0 -a -z -T", "far")
    receiver.kill()
    assert "udp tx" in said


def test_netdevice(selftests):
    """Up, down, another address, and each feature off and on."""
    selftests.plug("alone", selftests.cables[1].near)
    # What it does not try: a dump of registers, and an address, of which it knows none.
    said = passed(selftests.spawn("net", "./netdevice.sh", "alone").wait(BOUND),
                  "ethtool dump", "set IP address")
    assert said.count("PASS") > 10, said


# net/forwarding: p1 and p2 are the ends of a cable, p3 and p4 those of another. Most of
# the time they sleep.

@pytest.fixture(scope="module")
def lanes(module_vms, module_servers):
    """A guest of the usual kernel, and two namespaces of it with two cables each."""
    guest = Selftests(module_vms("forwarding", smp=QUEUES,
                                 devices=devices(module_servers(**region(4)), 4)))
    lanes = {place: [card for cable in guest.cables[first:first + 2]
                     for card in (cable.near, cable.far)]
             for first, place in ((0, "left"), (2, "right"))}
    for place, cards in lanes.items():
        guest.plug(place, *cards)
    return guest, lanes


@pytest.fixture(scope="module")
def router_settings():
    """For net/forwarding/lib.sh: it makes no cards of its own; the router of multicast."""
    # Nobody wants its service on the host, which comes with the package.
    program = unpacked("smcroute", TOOLS / "smcroute", "usr/sbin/smcrouted")
    return {"NETIF_CREATE": "no", "WAIT_TIME": "1", "MCD": str(program),
            "MC_CLI": str(program.with_name("smcroutectl"))}


@pytest.mark.parametrize("scripts", [("bridge_vlan_unaware.sh", "bridge_vlan_aware.sh"),
                                     ("router.sh", "min_max_mtu.sh")], ids=" ".join)
def test_forwarding(lanes, router_settings, scripts):
    """Bridges and routers of four cards, two scripts at a time."""
    guest, lanes = lanes
    running = [guest.spawn("net/forwarding", f"./{script} {' '.join(cards)}", place,
                           **router_settings)
               for script, (place, cards) in zip(scripts, lanes.items())]
    results = [process.wait(BOUND) for process in running]
    for result in results:
        assert "[ OK ]" in passed(result)
