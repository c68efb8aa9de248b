# SPDX-License-Identifier: GPL-2.0-only
"""Devices that programs of a guest drive themselves, through VFIO or sysfs, beside a
process of the host and a guest with our driver."""

import hashlib
import json
import os
import re
import select
import subprocess

import pytest

from lab import ivshmem_doorbell, ivshmem_plain
from lab.agent import poll_until
from lab.paths import USERSPACE

from demo.demo import IOMMU, KERNEL_PARAMETERS
from tests.documents.blocks import commands

from .peer import Peer

TOOL = USERSPACE / "tools/ivshmem/ivshmem"
VECTORS = 4
PEERS = 6
BOUND = 300
MIB = 1 << 20

FIRST, SECOND, PLAIN, OTHER_PLAIN = (
    "0000:00:10.0", "0000:00:11.0", "0000:00:12.0", "0000:00:13.0")
VFIO, SYSFS, NODE = f"vfio:{FIRST}", f"pci:{SECOND}", "/dev/ivshmem0"
# The document's, of the first one: to VFIO, and back to the driver
HAND_OVER, GIVE_BACK = commands("user-space.rst", "vm/test_vfio")
PAIR = f"pci:{PLAIN},slot=0", f"pci:{OTHER_PLAIN},slot=1"


@pytest.fixture(scope="module")
def server(module_servers):
    """A link whose region has a section for channels."""
    return module_servers(size="32M", vectors=VECTORS, peers=PEERS,
                          layout="raw=lab:16M,,raw=ping:64K")


@pytest.fixture(scope="module")
def guests(module_vms, server, tmp_path_factory):
    """One behind an IOMMU with two devices, and one without an IOMMU."""
    shared = tmp_path_factory.mktemp("plain") / "memory"
    driven = module_vms("driven", [
        IOMMU, ivshmem_doorbell(server, VECTORS, id="first", addr="0x10"),
        ivshmem_doorbell(server, VECTORS, id="second", addr="0x11"),
        "-device pcie-root-port,id=port20,chassis=20,slot=20,addr=0x14",
        "-device pcie-pci-bridge,id=bridge,bus=port20",
        ivshmem_plain(shared, "16M", id="grouped", bus="bridge", addr="0x1"),
        "-device virtio-rng-pci,bus=bridge,addr=0x2",
    ], append=KERNEL_PARAMETERS, start=False)
    neighbour = module_vms("neighbour", [
        ivshmem_doorbell(server, VECTORS, addr="0x10"),
        ivshmem_plain(shared, "16M", id="plain", addr="0x12"),
        ivshmem_plain(shared, "16M", id="other", addr="0x13"),
    ], start=False)
    module_vms.start(driven, neighbour)
    for vm in (driven, neighbour):
        vm.load_driver()
    return driven, neighbour


def tool(vm, words, status=0, **options):
    """Run the tool in a guest; what it printed, or on failure its complaint."""
    result = vm.run(f"{TOOL} {words}", check=False, timeout=BOUND, **options)
    assert result.returncode == status, result
    return result.stderr if status else result.stdout


def ask(vm, words):
    """What the tool says in a guest, as JSON."""
    return json.loads(tool(vm, f"{words} --json"))


def on_host(*words, status=0):
    """Run the tool on the host; what it printed, or on failure its complaint."""
    done = subprocess.run([TOOL, *map(str, words)], check=False, timeout=BOUND,
                          capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def follow(vm, advice):
    """Do what a message says is to be done: the lines that begin with a tab."""
    commands = re.findall(r"^\t(.*)$", advice, re.M)
    assert commands, advice
    vm.run("set -e\n" + "\n".join(commands))


def refusals(vm, address, text):
    """Both ways refuse a device; what they say."""
    complaint = tool(vm, f"info {address}", 1)
    assert text in complaint
    return complaint


@pytest.fixture(scope="module")
def ids(guests):
    """Peer ids, as the driver has told: of the first and second device, the neighbour."""
    driven, neighbour = guests

    def peer_id(vm, address):
        device = next(one for one in ask(vm, "list")["devices"] if one["pci"] == address)
        return device["peer_id"]
    return peer_id(driven, FIRST), peer_id(driven, SECOND), peer_id(neighbour, FIRST)


@pytest.fixture(scope="module")
def driven(guests, ids):
    """The first device is handed over to VFIO, the second to nobody."""
    vm = guests[0]
    follow(vm, refusals(vm, VFIO, "bound to the driver ivshmem instead of vfio-pci"))
    follow(vm, refusals(vm, SYSFS, "bound to the driver ivshmem, which does not expect"))
    return vm


@pytest.fixture(scope="module")
def offset(driven):
    """Where the section for pings begins."""
    sections = ask(driven, f"info {VFIO}")["region"]["sections"]
    return next(section["offset"] for section in sections if section["name"] == "ping")


def test_a_device_that_a_driver_has_is_refused(guests, driven):
    neighbour = guests[1]
    for way in "vfio", "pci":
        refusals(neighbour, f"{way}:{FIRST}", "bound to the driver ivshmem")
        assert ask(neighbour, f"info {NODE}")["kind"] == "device"
    # Neither way takes the other's.
    refusals(driven, f"pci:{FIRST}", "bound to the driver vfio-pci")
    refusals(driven, f"vfio:{SECOND}", "vfio-pci is not bound to it")


@pytest.mark.parametrize("address, text", [
    ("vfio:0000:00:1e.7", "no such PCI device"),
    ("pci:0000:00:1e.7", "no such PCI device"),
    ("pci:0000:00:00.0", "not an ivshmem device"),
    ("vfio:00:10.0", "not the place of a PCI device"),
    ("pci:0000:00:10.0x", "not the place of a PCI device"),
    ("pci:../../etc/passwd", "not the place of a PCI device"),
    (f"{VFIO},slot=1", "if it has no doorbells"),
    (f"{SYSFS},slot=64", "if it has no doorbells"),
    ("vfio:", "not the place of a PCI device"),
])
def test_addresses_that_are_wrong(driven, address, text):
    assert text in tool(driven, f"info {address}", 1)


def test_what_it_is(driven, ids):
    for address, kind, vectors, own in ((VFIO, "vfio", VECTORS, ids[0]),
                                        (SYSFS, "pci", 0, ids[1])):
        said = ask(driven, f"info {address}")
        assert said["address"] == address
        region = said.pop("region")
        assert said == {"address": address, "kind": kind, "memory_size": 32 * MIB,
                        "cache_mode": "uc", "revision": 1, "doorbell": True,
                        "peer_id": own, "vectors": vectors}
        assert (region["state"], region["slot"], region["slots"]) == ("formatted", own, PEERS)
        assert ask(driven, f"--driver {kind} info {address.partition(':')[2]}") == {
            **said, "region": region}


def test_which_ones_there_are(driven):
    first, second, third = ask(driven, "list")["devices"]
    assert (first["address"], first["node"], first["driver"]) == (VFIO, None, "vfio-pci")
    assert (second["address"], second["node"], second["driver"]) == (None, None, None)
    assert VFIO in tool(driven, "list")
    for way in "vfio", "pci":
        complaint = tool(driven, f"--driver {way} info", 1)
        assert f"\t{way}:{FIRST}\n\t{way}:{SECOND}\n\t{way}:{third['pci']}" in complaint
    assert "expected ivshmem, vfio or pci" in tool(driven, "--driver uio info", 2)
    assert "--driver is for PCI devices" in tool(driven, "--driver pci info /dev/null", 1)


def test_a_device_that_is_not_alone_in_its_group(driven):
    place = ask(driven, "list")["devices"][2]["pci"]
    follow(driven, refusals(driven, f"vfio:{place}", "bound to the driver ivshmem"))
    refusals(driven, f"vfio:{place}", "other devices of its IOMMU group have drivers")


@pytest.fixture
def host(server):
    """A process of the host, as a peer."""
    with Peer(server.socket) as joined:
        joined.learn(PEERS, VECTORS)
        yield joined


@pytest.mark.parametrize("address", [VFIO, SYSFS])
def test_the_host_is_rung(driven, host, address):
    tool(driven, f"ring {address} {host.id} 2 --count 3")
    assert os.eventfd_read(host.doorbells[host.id][2]) == 3
    # A vector of the peer's is meant, never another one.
    tool(driven, f"ring {address} {host.id} 255")
    assert not select.select(host.doorbells[host.id], [], [], 0)[0]


def test_the_host_rings(driven, host, ids):
    waiter = driven.spawn(f"exec {TOOL} wait {VFIO} --vector 1 --vector 3")
    # Until it listens; a doorbell from before it opened does not count.
    while waiter.poll() is None:
        os.eventfd_write(host.doorbells[ids[0]][3], 1)
    assert waiter.returncode == 0, waiter.stderr
    assert waiter.stdout.startswith("vector 3: ")
    assert "vector 4 does not exist" in tool(driven, f"wait {VFIO} --vector 4", 1)
    assert "time-out" in tool(driven, f"wait {VFIO} --timeout 0.1", 1)


def test_nobody_is_rung_through_sysfs(driven):
    assert "there are no doorbells" in tool(driven, f"wait {SYSFS}", 1)
    assert "there are no doorbells; use --poll" in tool(driven, f"ping {SYSFS} 0", 1)


@pytest.mark.parametrize("vfio_listens", [False, True])
def test_round_trips_with_the_driver(guests, driven, ids, offset, vfio_listens):
    neighbour = guests[1]
    ends = ([driven, VFIO, offset, ids[0]], [neighbour, f"{NODE}.ping", 0, ids[2]])
    far, near = reversed(ends) if not vfio_listens else ends
    listener = far[0].spawn(f"exec {TOOL} ping {far[1]} --listen --json "
                            f"--offset {far[2]}")
    said = ask(near[0], f"ping {near[1]} {far[3]} --count 200 --vector 1 --timeout 60 "
                        f"--offset {near[2]}")
    assert (said["count"], said["lost"], said["late"]) == (200, 0, 0)
    listener.kill("INT")
    assert listener.wait().returncode == 0
    assert json.loads(listener.stdout)["unrung"] == 0


def make(vm, path):
    """Make a file; its checksum."""
    vm.run(f"head -c {3 * MIB + 5} /dev/urandom >{path}")
    return checksum(vm, path)


def checksum(vm, path):
    """The checksum of a file in a guest, by somebody else."""
    return vm.run(["/usr/bin/sha256sum", path]).stdout.split()[0]


def transfer(sender, receiver):
    """Send a file; both are a guest, an address, a name, and what is before it."""
    (vm, address, name), (other, other_address, other_name) = sender, receiver
    before = make(vm, "/run/source")
    process = other.spawn(f"exec {TOOL} recv {other_address} -o /run/target --json "
                          f"--section lab --name {other_name} {name}")
    sent = ask(vm, f"send {address} {other_name} /run/source --section lab --name {name}")
    result = process.wait(BOUND)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["xxh64"] == sent["xxh64"]
    assert checksum(other, "/run/target") == before


@pytest.mark.parametrize("address", [VFIO, SYSFS])
def test_a_channel_with_the_driver(guests, driven, address):
    """The same channels: by doorbells, or by polling at one end."""
    own, other = (driven, address, "user"), (guests[1], NODE, "neighbour")
    transfer(own, other)
    transfer(other, own)


def test_a_channel_between_both_ways(driven):
    transfer((driven, VFIO, "one"), (driven, SYSFS, "two"))


@pytest.mark.parametrize("address", [VFIO, SYSFS])
def test_a_channel_with_the_host(driven, server, tmp_path, address):
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(os.urandom(3 * MIB + 5))
    process = driven.spawn(f"exec {TOOL} recv {address} -o /run/target --section lab "
                          "--name user host")
    on_host("send", server.address, "user", source, "--section", "lab", "--name", "host")
    assert process.wait(BOUND).returncode == 0, process.stderr
    assert checksum(driven, "/run/target") == hashlib.sha256(source.read_bytes()).hexdigest()
    with subprocess.Popen([TOOL, "recv", server.address, "-o", target, "--section", "lab",
                           "--name", "host"]) as receiver:
        tool(driven, f"send {address} host /run/target --section lab --name user")
        assert receiver.wait(BOUND) == 0
    assert target.read_bytes() == source.read_bytes()


NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"


def test_who_may_use_it(driven):
    """Root, and whom it has given the files to; nothing else is needed."""
    group = driven.run(f"basename $(readlink /sys/bus/pci/devices/{FIRST}/iommu_group)").stdout
    files = {VFIO: f"/dev/vfio/{group.strip()}",
             SYSFS: f"/sys/bus/pci/devices/{SECOND}/resource[02]"}
    driven.run(f"echo 1 >/sys/bus/pci/devices/{SECOND}/enable")
    for address, given in files.items():
        refused = driven.run(f"{NOBODY} {TOOL} info {address}", check=False)
        assert refused.returncode == 1
        assert "permission denied" in refused.stderr
        driven.run(f"chown 65534 {given}")
        allowed = driven.run(f"{NOBODY} {TOOL} peers {address} --join --name nobody")
        assert "nobody (own)" in allowed.stdout


def joined(vm, address):
    """A program that takes part, once it does."""
    vm.run("rm -f /run/said")
    process = vm.spawn(f"exec {TOOL} peers {address} --join --name user --watch >/run/said")
    vm.wait_for("grep -q user /run/said")
    return process


@pytest.mark.parametrize("address", [VFIO, SYSFS])
def test_one_program_at_a_time(driven, address):
    process = joined(driven, address)
    assert "another process drives the device" in tool(driven, f"peers {address} --join", 1)
    process.kill("INT")
    assert process.wait().returncode == 0, process.stderr


def test_several_may_look_through_sysfs(driven, ids):
    process = joined(driven, SYSFS)
    assert ask(driven, f"info {SYSFS}")["peer_id"] == ids[1]
    process.kill("INT")
    assert process.wait().returncode == 0, process.stderr


def test_programs_that_are_killed_are_noticed(guests, driven, ids):
    """Their machine is still connected; but their hearts stand still."""
    def wait_states(how):
        for peer_id in ids[:2]:
            guests[1].wait_for(f"grep -q '^{peer_id} {how} ' "
                               "/sys/class/ivshmem/ivshmem0/peers", timeout=120)

    processes = [joined(driven, address) for address in (VFIO, SYSFS)]
    wait_states("alive")
    for process in processes:
        process.kill("KILL")
        assert process.wait().returncode == -9
    wait_states("silent")
    # The slots are as good as before, and so are the devices.
    processes = [joined(driven, address) for address in (VFIO, SYSFS)]
    wait_states("alive")
    for process in processes:
        process.kill("INT")
        assert process.wait().returncode == 0, process.stderr
    # Those who have left are not listed.
    guests[1].wait_for(f"! grep -q '^[{ids[0]}{ids[1]}] ' "
                       "/sys/class/ivshmem/ivshmem0/peers", timeout=120)


def findings(vm, address):
    """What the doctor finds: check -> finding."""
    said = ask(vm, f"doctor {address}")
    assert said["failures"] == 0
    return {one["check"]: one for one in said["findings"]}


def test_what_the_doctor_says(driven):
    found = findings(driven, VFIO)
    assert found["interrupts"]["text"] == "rang itself on 4 vectors, all arrived"
    assert "polling" not in found
    assert "the driver ivshmem" in found["mapping"]["remedy"]
    found = findings(driven, SYSFS)
    assert "nobody can wake it" in found["interrupts"]["text"]
    cost = re.search(r"takes (\d+) us and ([\d.]+) us of processor time",
                     found["polling"]["text"])
    assert cost and int(cost[1]) >= 50 and float(cost[2]) > 0
    whole = json.loads(driven.run(f"{TOOL} doctor --json", check=False).stdout)
    text = next(one["text"] for one in whole["findings"]
                if one["check"] == "driver" and one["subject"] == FIRST)
    assert VFIO in text


@pytest.fixture(scope="module")
def plain(guests):
    """Two devices without doorbells on one memory, bound to nobody, in one guest."""
    vm = guests[1]
    vm.run("set -e; for d in {PLAIN} {OTHER}; do "
           "echo $d >/sys/bus/pci/drivers/ivshmem/unbind; done".format(
               PLAIN=PLAIN, OTHER=OTHER_PLAIN))
    tool(vm, f"format pci:{PLAIN} raw=lab:8M --peers 2")
    return vm


def test_devices_without_doorbells(plain):
    """Slots are named; without, one can look and write, but not take part."""
    said = ask(plain, f"info pci:{PLAIN}")
    assert (said["doorbell"], said["peer_id"], said["region"]["slot"]) == (False, None, None)
    assert "no slot" in tool(plain, f"peers pci:{PLAIN} --join", 1)
    assert ask(plain, f"info {PAIR[0]}")["region"]["slot"] == 0
    transfer((plain, PAIR[0], "zero"), (plain, PAIR[1], "one"))


def test_without_an_iommu(plain):
    """What is missing is said; where the kernel can do without, it works."""
    modules = plain.run("modprobe vfio-pci; ls /sys/module/vfio/parameters || :").stdout
    complaint = tool(plain, f"info vfio:{PLAIN}", 1)
    if plain.kernel.config("CONFIG_VFIO_NOIOMMU") == "y":
        follow(plain, complaint)
        assert ask(plain, f"info vfio:{PLAIN}")["kind"] == "vfio"
        return
    assert "enable_unsafe_noiommu_mode" not in modules
    assert "behind no IOMMU" in complaint
    assert "CONFIG_VFIO_NOIOMMU, which this one has not" in complaint
    assert f"pci:{PLAIN}" in complaint


def test_a_device_that_is_removed(driven, tmp_path):
    """Whoever drives it is told, and lets it go."""
    def places():
        return {one["pci"] for one in ask(driven, "list")["devices"]}

    before = places()
    device = driven.add_device(ivshmem_plain(tmp_path / "memory", "1M", id="plugged"))
    place, = poll_until(lambda: places() - before, 60, "the device is there")
    driven.run(f"d=/sys/bus/pci/devices/{place}; echo vfio-pci >$d/driver_override; "
               f"[ ! -e $d/driver ] || echo {place} >$d/driver/unbind; "
               f"echo {place} >/sys/bus/pci/drivers_probe")
    tool(driven, f"format vfio:{place} raw=lab --peers 2")
    process = joined(driven, f"vfio:{place},slot=1")
    driven.remove_device(device)
    assert process.wait().returncode == 1
    assert "the device is gone" in process.stderr


def test_it_goes_to_and_fro(driven):
    """By the commands of the document."""
    for commands_of, driver in ((GIVE_BACK, "ivshmem"), (HAND_OVER, "vfio-pci")):
        driven.run(f"set -e\n{commands_of}")
        first = ask(driven, "list")["devices"][0]
        assert (first["pci"], first["driver"]) == (FIRST, driver)
        assert ask(driven, f"info {first['address']}")["region"]["state"] == "formatted"
