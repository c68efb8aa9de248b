# SPDX-License-Identifier: GPL-2.0-only
"""A virtual machine and the host on one segment: our driver, and `ivshmem tap`."""

import hashlib
import json
import os

import pytest

from lab import ivshmem_doorbell
from lab.paths import MODULES
from tests.cli.tap import Host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a namespace")

VECTORS = 3
GUEST = "10.77.0.100"
BRING_UP = """
set -e
insmod {module}
device=$(ls /sys/bus/auxiliary/devices/ivshmem.net.0/net)
ip address add {address}/24 dev $device
ip address add fd77::100/64 dev $device nodad
ip link set $device up
echo $device
"""


@pytest.fixture(scope="module")
def server(module_servers):
    """A link with a segment of three peers, each with two queues."""
    return module_servers(size="64M", vectors=VECTORS, peers=3,
                          layout="net=lan:48M:queues=2")


@pytest.fixture(scope="module")
def vm(module_vms, server):
    """A guest on the segment; its address is GUEST."""
    vm = module_vms("guest", devices=[ivshmem_doorbell(server, VECTORS)])
    vm.load_driver()
    vm.run(BRING_UP.format(
        module=MODULES / vm.kernel.release / "drivers/net/ivshmem_net.ko", address=GUEST))
    return vm


@pytest.fixture
def host(vm, server):
    """The host's end of the segment."""
    with Host(server.address, 1) as running:
        yield running.wait_carrier()


def stream(vm, host, *options):
    """A stream of the host to the guest, or back; bytes that arrived."""
    served = vm.spawn("iperf3 --server --one-off")
    vm.wait_for("ss -Hltn 'sport = 5201' | grep -q .")
    report = host.run("iperf3", "--json", "--client", GUEST, "--time", "3", *options)
    assert served.wait(timeout=60).returncode == 0
    return json.loads(report)["end"]["sum_received"]["bytes"]


def test_the_host_and_the_guest_reach_each_other(vm, host):
    for address in (GUEST, "fd77::100"):
        host.run("busybox", "ping", "-c", "5", "-W", "60", address)
    for address in (host.address, host.address6):
        vm.run(f"busybox ping -c 5 -W 60 {address}")


def test_streams_between_host_and_guest(vm, host):
    """In both directions, uncut, and whole at the end."""
    for options in ([], ["--reverse"], ["--parallel", "4"]):
        assert stream(vm, host, *options) > 1_000_000
    seen = host.report()["peers"][0]
    assert (seen["sessions"], seen["faults"], seen["rx_bad"]) == (1, 0, 0)
    assert seen["tx_bytes"] / seen["tx_frames"] > 1514


def test_the_guest_comes_back_to_a_host_that_crashed(vm, server):
    with Host(server.address, 1) as first:
        first.wait_carrier()
        vm.run(f"busybox ping -c 2 -W 60 {first.address}")
        first.kill()
        with Host(server.address, 1) as again:
            again.wait_carrier()
            vm.run(f"busybox ping -c 5 -W 60 {again.address}")
            assert again.report()["peers"][0]["faults"] == 0


def test_a_file_of_the_host_arrives_whole(vm, host, tmp_path):
    """Checksums that nobody completes are right when they are looked at."""
    data = os.urandom(8 << 20)
    receiver = vm.spawn("socat -u TCP-LISTEN:4001,reuseaddr OPEN:/tmp/file,creat,trunc")
    vm.wait_for("ss -Hltn 'sport = 4001' | grep -q .")
    (tmp_path / "file").write_bytes(data)
    host.run("socat", "-u", f"OPEN:{tmp_path}/file", f"TCP:{GUEST}:4001")
    assert receiver.wait(timeout=60).returncode == 0
    there = vm.run("sha256sum </tmp/file").stdout.split()[0]
    assert there == hashlib.sha256(data).hexdigest()
