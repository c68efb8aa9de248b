# SPDX-License-Identifier: GPL-2.0-only
"""The device goes away while it is used: everybody is told, nothing is left."""

import re

import pytest

from lab import ivshmem_doorbell, ivshmem_plain

from .guest import (CLASS, DRIVER, Running, attribute, check, judge,
                    keep_descriptors_busy, node, nodes, program)

VECTORS = 4
PEERS = 2

ADDRESS = "00:10.0"
BDF = f"0000:{ADDRESS}"

# A device whose memory is a page of ones.
ONES = "00:11.0"

# What one device's eventfds, memory and connection take of QEMU's descriptors.
DESCRIPTORS = PEERS * VECTORS + 8


@pytest.fixture(scope="module")
def server(module_servers):
    """A server with a slot for a device that is there and one that comes."""
    return module_servers(size="2M", vectors=VECTORS, peers=PEERS)


@pytest.fixture(scope="module")
def vm(module_vms, server, tmp_path_factory):
    """A guest with a device that stays plugged."""
    ones = tmp_path_factory.mktemp("memory") / "ones"
    ones.write_bytes(b"\xff" * 4096)
    vm = module_vms("bound", devices=[
        ivshmem_doorbell(server, VECTORS, addr="0x10"),
        ivshmem_plain(ones, "4K", id="ones", addr="0x11")])
    vm.run(f"echo none > /sys/bus/pci/devices/0000:{ONES}/driver_override")
    vm.load_driver()
    return vm


@pytest.fixture(scope="module")
def plugged(module_vms, server):
    """A guest to plug devices into; it lives in memory, so that QEMU opens no
    files for it (see keep_descriptors_busy)."""
    vm = module_vms("plugged", root="memory", programs=[
        program(name) for name in ("removal", "event", "load", "plain", "asleep")])
    vm.load_driver()
    return vm


def plug(vm, arguments, slot=0):
    """Plug a device that the driver takes; its node."""
    before = set(nodes(vm))
    vm.add_device(arguments, slot=slot)
    vm.wait_for(f"test $(ls {CLASS} | wc -l) -gt {len(before)}")
    (new,) = set(nodes(vm)) - before
    vm.wait_for(f"test -e /dev/{new}")
    vm.run(f"chmod 0666 /dev/{new}")
    return f"/dev/{new}"


def use(vm, device):
    """Use a device in every way until it goes."""
    vm.run(f"chmod 0666 {device}")
    return Running(vm, "removal", device)


def start_load(vm):
    """Use all devices by many programs."""
    return vm.spawn([str(program("load"))])


def end_load(load):
    """What the load has done, by kind; it saw no error but those of removal."""
    load.kill("TERM")
    result = load.wait(60)
    assert result.returncode == 0, result.stdout + result.stderr
    return {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", result.stdout)}


def bind(vm, bdf=BDF):
    """Bind the driver to the device again; its node."""
    vm.run(f"echo {bdf} > {DRIVER}/bind")
    return node(vm, bdf.removeprefix("0000:"))


def test_no_device(plugged):
    """Without a device the module loads, makes no node, and goes again."""
    assert nodes(plugged) == []
    plugged.run("rmmod ivshmem")
    plugged.load_driver()
    said = plugged.run("dmesg | grep ivshmem", check=False).stdout
    assert not re.search("error|warn|fail", re.sub("verification failed.*", "", said))


def test_unplugged_and_plugged_under_load(plugged, tmp_path):
    """Devices come and go while programs open, map and close what is there."""
    load = start_load(plugged)
    for number in range(5):
        ident = f"plain{number}"
        device = plug(plugged, ivshmem_plain(tmp_path / ident, "1M", id=ident), slot=1)
        check(plugged, "plain", device)
        plugged.remove_device(ident)
        plugged.wait_for(f"! test -e {device}")
    done = end_load(load)
    assert done["gone"] > 0 and done["mapped"] > 0


@pytest.mark.attack("A41")
def test_unplugged_in_use(plugged, server):
    """Waiters get ENODEV, pollers HUP, mappings SIGBUS; another one can come."""
    device = plug(plugged, ivshmem_doorbell(server, VECTORS, id="first"))
    user = use(plugged, device)
    plugged.remove_device("first")
    keep_descriptors_busy(plugged, DESCRIPTORS)
    judge(user.wait())
    assert nodes(plugged) == []
    assert plugged.run("ls /dev | grep ivshmem", check=False).stdout == ""

    device = plug(plugged, ivshmem_doorbell(server, VECTORS, id="second"))
    check(plugged, "event", device)


def test_reset_in_use(plugged):
    """A reset of the function: memory and mappings stay, each vector counts one."""
    (name,) = nodes(plugged)
    user = Running(plugged, "asleep", f"/dev/{name}")
    plugged.run(f"echo 1 > {CLASS}/{name}/device/reset")
    judge(user.wait())
    check(plugged, "event", f"/dev/{name}")


@pytest.mark.attack("A41")
def test_unbound_in_use(vm):
    """echo > unbind does not wait for programs: they are told to go."""
    user = use(vm, node(vm, ADDRESS))
    vm.run(f"echo {BDF} > {DRIVER}/unbind")
    judge(user.wait())
    check(vm, "event", bind(vm))


@pytest.mark.attack("A37", "A41")
def test_unbound_and_bound_50_times_under_load(vm):
    """Each time the load has rung the device, it is taken away and given back."""
    load = start_load(vm)
    vm.run(f"""
        for round in $(seq 50); do
            until grep -qs '^rung: [1-9]' /sys/kernel/debug/ivshmem/*/state; do :; done
            echo {BDF} > {DRIVER}/unbind || exit 1
            echo {BDF} > {DRIVER}/bind || exit 2
        done""", timeout=120)
    done = end_load(load)
    assert done.pop("surprises") == 0 and all(done.values()), done
    assert done["gone"] >= 50
    check(vm, "event", node(vm, ADDRESS))


def test_module_in_use_stays(vm):
    """rmmod is refused while a file is open or only a mapping is left."""
    device = node(vm, ADDRESS)
    hold = ("import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDWR)\n"
            "m = mmap.mmap(f, 4096); os.close(f) if sys.argv[2] == 'mapping' else m.close()\n"
            "open('/run/held', 'w').close(); open('/run/release').read()")
    for kind in ("file", "mapping"):
        vm.run("rm -f /run/held /run/release; mkfifo /run/release")
        holder = vm.spawn(["/usr/bin/python3", "-c", hold, device, kind])
        vm.wait_for("test -e /run/held")
        refused = vm.run("rmmod ivshmem", check=False)
        assert refused.returncode != 0 and "in use" in refused.stderr, kind
        vm.run("echo > /run/release")
        assert holder.wait().returncode == 0, holder.stderr
    vm.run("rmmod ivshmem")
    assert not vm.run("ls /dev | grep ivshmem", check=False).stdout
    vm.load_driver()


def test_module_loaded_and_removed_20_times(vm):
    """Nothing is left behind that would be in the way the next time."""
    vm.run("rmmod ivshmem")
    vm.run(f"""
        for round in $(seq 20); do
            insmod {vm.module} || exit 1
            test -e {CLASS}/ivshmem0/dev || exit 2
            test "$(cat {CLASS}/ivshmem0/vectors)" = {VECTORS} || exit 3
            rmmod ivshmem || exit 4
            test -e {CLASS} && exit 5
        done; true""")
    vm.load_driver()
    check(vm, "event", node(vm, ADDRESS))


def test_device_that_no_longer_answers(vm):
    """Reads of all ones mean removal; bound anew, the device works again.

    QEMU's empty addresses read as zero. So the registers are moved away, and
    the memory of another device, full of ones, is moved to where they were.
    """
    device = node(vm, ADDRESS)
    user = use(vm, device)
    bar0, low, high = vm.run(f"""
        setpci -s {ADDRESS} BASE_ADDRESS_0
        setpci -s {ONES} BASE_ADDRESS_2 BASE_ADDRESS_3
        setpci -s {ONES} COMMAND=2:2""").stdout.split()
    elsewhere = f"{int(bar0, 16) ^ 0x100000:08x}"
    vm.run(f"""
        setpci -s {ADDRESS} BASE_ADDRESS_0={elsewhere}
        setpci -s {ONES} BASE_ADDRESS_2={bar0} BASE_ADDRESS_3=0""")
    judge(user.wait())
    gone = vm.run(f"cat {CLASS}/{device.removeprefix('/dev/')}/peer_id", check=False)
    assert "No such device" in gone.stderr
    vm.wait_console(rf"ivshmem {device.removeprefix('/dev/')}: .*not answer.*rebind")

    vm.run(f"""
        setpci -s {ONES} BASE_ADDRESS_2={low} BASE_ADDRESS_3={high}
        setpci -s {ADDRESS} BASE_ADDRESS_0={bar0}
        echo {BDF} > {DRIVER}/unbind""")
    device = bind(vm)
    assert attribute(vm, device, "vectors") == str(VECTORS)
    check(vm, "event", device)
    check(vm, "rights", device)
