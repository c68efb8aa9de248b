# SPDX-License-Identifier: GPL-2.0-only
"""What the driver shows of itself: sysfs, debugfs, tracepoints."""

import contextlib
import re

import pytest

from lab import ivshmem_doorbell, ivshmem_plain

from .guest import CLASS, attribute, check, node, program, set_attribute

TRACING = "/sys/kernel/tracing"

# Maps a device until its input ends.
HOLD = ("import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDWR);"
        "m = mmap.mmap(f, 4096); open('/run/held', 'w').close(); os.close(f);"
        "open('/run/release').read()")


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """The file behind the plain device."""
    return tmp_path_factory.mktemp("memory") / "plain"


@pytest.fixture(scope="module")
def vm(module_vms, module_servers, memory):
    """A guest with a doorbell device and a plain one."""
    server = module_servers(size="2M", vectors=8, peers=2)
    vm = module_vms("sysfs", devices=[
        ivshmem_doorbell(server, 5, id="doorbell", addr="0x10"),
        ivshmem_plain(memory, "4M", id="plain", addr="0x11")])
    vm.load_driver()
    return vm


@pytest.fixture
def doorbell(vm):
    """The node of the device with doorbells."""
    return node(vm, "00:10.0")


@pytest.fixture
def plain(vm):
    """The node of the device without doorbells."""
    return node(vm, "00:11.0")


def test_facts_of_a_doorbell_device(vm, doorbell):
    shown = {name: attribute(vm, doorbell, name)
             for name in ("peer_id", "vectors", "memory_size", "revision", "cache_mode")}
    assert shown == {"peer_id": "0", "vectors": "5", "memory_size": str(2 << 20),
                     "revision": "1", "cache_mode": "wb"}


def test_facts_of_a_plain_device(vm, plain):
    shown = {name: attribute(vm, plain, name)
             for name in ("peer_id", "vectors", "memory_size", "revision", "cache_mode")}
    assert shown == {"peer_id": "0", "vectors": "0", "memory_size": str(4 << 20),
                     "revision": "1", "cache_mode": "wb"}


def test_facts_are_read_only(vm, doorbell):
    for name in ("peer_id", "vectors", "memory_size", "revision"):
        path = f"{CLASS}/{doorbell.removeprefix('/dev/')}/{name}"
        assert vm.run(f"stat -c %a {path}").stdout == "444\n"


def test_settings_are_for_root(vm, doorbell):
    for name in ("ring_rate", "irq_rate", "cache_mode"):
        path = f"{CLASS}/{doorbell.removeprefix('/dev/')}/{name}"
        assert vm.run(f"stat -c %a {path}").stdout == "644\n"
        refused = vm.run(f"setpriv --reuid=65534 bash -c 'echo 1 > {path}'", check=False)
        assert "Permission denied" in refused.stderr


def values_after(vm, device, name, values):
    """What an attribute reads after each of @values has been written to it."""
    path = f"{CLASS}/{device.removeprefix('/dev/')}/{name}"
    writes = "; ".join(f"echo -n '{value}' > {path}; cat {path}" for value in values)
    return vm.run(f"({writes}) 2>/dev/null").stdout.splitlines()


@pytest.mark.parametrize("name", ["ring_rate", "irq_rate"])
def test_rates(vm, doorbell, name):
    """Whole numbers up to 1000000000; what was refused changes nothing."""
    assert attribute(vm, doorbell, name) == "100000"
    good = ["0", "1", "1000000000", "100000"]
    assert values_after(vm, doorbell, name, good) == good
    bad = ["-1", "x", " ", "1 2", "1.5", "1000000001", "4294967296",
           "99999999999999999999"]
    assert values_after(vm, doorbell, name, bad) == ["100000"] * len(bad)
    assert "Invalid argument" in set_attribute(vm, doorbell, name, "x").stderr


@pytest.mark.parametrize("mode", ["wc", "uc", "wb"])
def test_memory_is_the_same_in_every_cache_mode(vm, plain, memory, mode):
    """Guest and host see each other's writes, however the guest maps."""
    done = set_attribute(vm, plain, "cache_mode", mode)
    if mode == "uc" and vm.kernel.architecture != "amd64":
        assert "not supported" in done.stderr and attribute(vm, plain, "cache_mode") != mode
        return
    assert done.returncode == 0
    assert attribute(vm, plain, "cache_mode") == mode
    vm.run([str(program("pattern")), plain, "write", "7"])
    words = memory.read_bytes()
    assert len(words) == 4 << 20
    for index in range(0, len(words) // 4, 257):
        word = int.from_bytes(words[4 * index:4 * index + 4], "little")
        assert word == (index * 2654435761 + 7) & 0xffffffff, f"word {index}"
    with open(memory, "r+b") as file:
        file.write(b"".join(((i * 2654435761 + 8) & 0xffffffff).to_bytes(4, "little")
                            for i in range(len(words) // 4)))
    vm.run([str(program("pattern")), plain, "check", "8"])
    check(vm, "plain", plain)


@pytest.mark.parametrize("word", ["", "WB", "write-back", "wbb", "w", "0", "wb uc"])
def test_unknown_cache_mode(vm, plain, word):
    """EINVAL, and the mode stays."""
    refused = set_attribute(vm, plain, "cache_mode", word)
    assert not word or "Invalid argument" in refused.stderr
    assert attribute(vm, plain, "cache_mode") == "wb"


@contextlib.contextmanager
def mapped(vm, device):
    """While somebody has @device mapped (and its file closed)."""
    vm.run("rm -f /run/held /run/release; mkfifo /run/release")
    holder = vm.spawn(["/usr/bin/python3", "-c", HOLD, device])
    vm.wait_for("test -e /run/held")
    try:
        yield
    finally:
        vm.run("echo > /run/release")
        assert holder.wait().returncode == 0, holder.stderr


def test_mapped_memory_keeps_its_cache_mode(vm, plain):
    """EBUSY while a program has it mapped; afterwards it can be changed."""
    with mapped(vm, plain):
        refused = set_attribute(vm, plain, "cache_mode", "wc")
        assert "Device or resource busy" in refused.stderr
        assert attribute(vm, plain, "cache_mode") == "wb"
    assert set_attribute(vm, plain, "cache_mode", "wc").returncode == 0
    assert set_attribute(vm, plain, "cache_mode", "wb").returncode == 0


def test_sysfs_cannot_go_round_the_driver(vm, doorbell):
    """The driver holds the BARs: neither registers nor memory can be mapped."""
    check_map = ("import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDWR);"
                 "mmap.mmap(f, 256)")
    for bar in (0, 1, 2):
        path = f"{CLASS}/{doorbell.removeprefix('/dev/')}/device/resource{bar}"
        refused = vm.run(["/usr/bin/python3", "-c", check_map, path], check=False)
        assert "Invalid argument" in refused.stderr or "PermissionError" in refused.stderr


def test_debugfs_shows_the_state(vm, doorbell):
    """Vectors and what they counted, for root alone."""
    path = f"/sys/kernel/debug/ivshmem/{doorbell.removeprefix('/dev/')}/state"
    assert vm.run(f"stat -c %a {path}").stdout == "400\n"
    before = vm.run(f"cat {path}").stdout
    check(vm, "event", doorbell)
    after = vm.run(f"cat {path}").stdout
    count = re.compile(r"^vector (\d+): .*\bcount (\d+)", re.M)
    assert [vector for vector, _ in count.findall(after)] == list("01234")
    for (_, earlier), (_, later) in zip(count.findall(before), count.findall(after)):
        assert int(later) > int(earlier)
    assert str(2 << 20) in after


def test_tracepoints_tell_the_truth(vm, doorbell):
    """A doorbell to oneself: rung, interrupted, woken, mapped, in that trace."""
    name = doorbell.removeprefix("/dev/")
    events = f"{TRACING}/events/ivshmem"
    assert set(vm.run(f"ls -d {events}/*/").stdout.split()) >= {
        f"{events}/ivshmem_{event}/" for event in ("probe", "irq", "ring", "map", "wait")}
    vm.run(f"echo > {TRACING}/trace; echo 1 > {events}/enable")
    vm.run([str(program("rights")), doorbell])
    vm.run([str(program("event")), doorbell])
    vm.run(f"echo 0 > {events}/enable")
    trace = vm.run(f"cat {TRACING}/trace").stdout
    assert re.search(rf"ivshmem_ring: {name} peer=0 vector=0\b", trace)
    assert re.search(rf"ivshmem_ring: {name} peer=65535 vector=255\b", trace)
    assert re.search(rf"ivshmem_irq: {name} vector=0 count=\d+", trace)
    assert re.search(rf"ivshmem_map: {name} offset=0 length=4096\b", trace)
    assert re.search(rf"ivshmem_wait: {name}\b", trace)


def test_probe_is_traced(vm, doorbell):
    name = doorbell.removeprefix("/dev/")
    vm.run(f"echo > {TRACING}/trace; echo 1 > {TRACING}/events/ivshmem/enable")
    vm.run("echo 0000:00:10.0 > /sys/bus/pci/drivers/ivshmem/unbind")
    vm.run("echo 0000:00:10.0 > /sys/bus/pci/drivers/ivshmem/bind")
    trace = vm.run(f"echo 0 > {TRACING}/events/ivshmem/enable; "
                   f"cat {TRACING}/trace").stdout
    assert re.search(rf"ivshmem_probe: {name} peer_id=0 vectors=5 size={2 << 20}\b", trace)
