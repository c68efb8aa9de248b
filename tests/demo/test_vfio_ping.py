# SPDX-License-Identifier: GPL-2.0-only
"""vfio-ping: what it refuses and how to get it to work, in its own words."""

import json
import re
import subprocess
from typing import Any, Iterator

import pytest

from lab import VM, Process, ivshmem_doorbell, ivshmem_plain
from lab.agent import poll_until
from lab.paths import USERSPACE

from demo.demo import IOMMU, KERNEL_PARAMETERS

PROGRAM = USERSPACE / "demo/vfio-ping"
TOOL = USERSPACE / "tools/ivshmem/ivshmem"

# Where the devices of the machine with an IOMMU are plugged.
FIRST, SECOND, PLAIN, OTHER = (
    "0000:00:10.0", "0000:00:11.0", "0000:00:12.0", "0000:00:13.0")


@pytest.fixture(scope="module")
def vm(module_vms: Any, module_servers: Any, tmp_path_factory: Any) -> VM:
    """A machine with an IOMMU and all kinds of devices, bound to our driver."""
    folder = tmp_path_factory.mktemp("memory")
    server = module_servers(vectors=2)
    machine = module_vms("vfio", [
        IOMMU,
        ivshmem_doorbell(server, 2, id="first", addr="10"),
        ivshmem_doorbell(server, 2, id="second", addr="11"),
        ivshmem_plain(folder / "plain", "1M", id="plain", addr="12"),
        "-device edu,addr=13",
        "-device pcie-root-port,id=port20,chassis=20,slot=20,addr=14",
        "-device pcie-pci-bridge,id=bridge,bus=port20",
        ivshmem_plain(folder / "shared", "1M", id="shared", bus="bridge", addr="1"),
        "-device virtio-rng-pci,bus=bridge,addr=2",
    ], append=KERNEL_PARAMETERS)
    machine.load_driver()
    return machine


def run(vm: VM, arguments: str, status: int = 0) -> str:
    """Run the program in a guest; what it printed, or on failure its complaint."""
    result = vm.run(f"{PROGRAM} {arguments}", check=False)
    assert result.returncode == status, result
    return result.stderr if status else result.stdout


def bind(vm: VM, address: str) -> None:
    """Do what the program says is to be done."""
    advice = run(vm, f"{address} 1", 1)
    assert "instead of vfio-pci" in advice
    commands = re.findall(r"^\t(.*)$", advice, re.M)
    assert len(commands) == 4
    if "no driver" in advice:
        commands = [line for line in commands if "unbind" not in line]
    vm.run("set -e\n" + "\n".join(commands))


@pytest.fixture(scope="module")
def bound(vm: VM, answering: int) -> VM:
    """The same machine, its two doorbell devices handed over to VFIO."""
    bind(vm, FIRST)
    bind(vm, SECOND)
    return vm


@pytest.fixture
def listener(bound: VM) -> Iterator[Process]:
    """The program, answering pings on the second device."""
    process = bound.spawn([str(PROGRAM), SECOND, "--listen", "--json"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def answering(vm: VM) -> int:
    """The peer id of the second device, as the driver knew it."""
    node = vm.run(f"ls /sys/bus/pci/devices/{SECOND}/ivshmem").stdout.strip()
    return json.loads(vm.run(f"{TOOL} info /dev/{node} --json").stdout)["peer_id"]


@pytest.mark.parametrize("arguments, complaint", [
    ("", "PCI address of a device is needed"),
    ("/dev/ivshmem0 1", "/dev/ivshmem0: not a PCI address"),
    ("00:04.0", "one peer is needed"),
    ("00:04.0 64", "64: not a peer id of 0 to 63"),
    ("00:04.0 -1", "usage:"),
    ("00:04.0 1 2", "one peer is needed"),
    ("00:04.0 --listen 1", "1: --listen answers all peers"),
    ("00:04.0 1 --count 0", "--count 0: malformed or out of range"),
    ("00:04.0 1 --count 1x", "--count 1x: malformed or out of range"),
    ("00:04.0 1 --vector 256", "--vector 256: malformed or out of range"),
    ("00:04.0 1 --offset 3", "--offset 3: malformed or out of range"),
    ("00:04.0 1 --timeout 0", "--timeout 0: malformed or out of range"),
    ("00:04.0 1 --timeout 3601", "--timeout 3601: malformed or out of range"),
    ("00:04.0 1 --poll", "unrecognized option"),
])
def test_wrong_usage(userspace, arguments, complaint):
    done = subprocess.run([PROGRAM, *arguments.split()], capture_output=True, text=True)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not done.stdout


def test_help_and_version(userspace):
    for option, expected in (("--help", "usage: vfio-ping"), ("--version", "vfio-ping ")):
        done = subprocess.run([PROGRAM, option], capture_output=True, text=True)
        assert done.returncode == 0
        assert done.stdout.startswith(expected)


def test_no_such_device(userspace):
    done = subprocess.run([PROGRAM, "ffff:ff:1f.7", "1"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ffff:ff:1f.7: no such PCI device; `lspci" in done.stderr


def test_without_an_iommu(vms, servers):
    vm = vms("bare", ivshmem_doorbell(servers(), addr="10"))
    assert "is behind no IOMMU; give the VM one" in run(vm, f"{FIRST} 1", 1)


def test_bound_to_the_driver(vm):
    advice = run(vm, f"{PLAIN} 1", 1)
    assert f"{PLAIN}: is bound to ivshmem instead of vfio-pci" in advice


def test_not_an_ivshmem_device(vm):
    bind(vm, OTHER)
    assert "is 1234:11e8 and no ivshmem device" in run(vm, f"{OTHER} 1", 1)


def test_without_doorbells(vm):
    bind(vm, PLAIN)
    assert "has no MSI-X" in run(vm, f"{PLAIN} 1", 1)


def test_not_alone_in_its_group(vm):
    address = vm.run("for d in /sys/bus/pci/drivers/ivshmem/0*; do "
                     "r=$(readlink -f $d); case $r in */0000:00:1[0-9].0) ;; "
                     "*) basename $r;; esac; done").stdout.strip()
    bind(vm, address)
    assert "other devices of this group are in use" in run(vm, f"{address} 1", 1)


def test_out_of_range(bound):
    assert "vector 2 does not exist; the highest is 1" in run(
        bound, f"{FIRST} 1 --vector 2", 1)
    assert "are not inside the memory, which has 4194304" in run(
        bound, f"{FIRST} 1 --offset {4194304 - 32764}", 1)
    assert "are not inside the memory" in run(
        bound, f"{FIRST} 1 --offset {2 ** 64 - 4}", 1)


def test_nobody_answers(bound):
    complaint = run(bound, f"{FIRST} 7 --timeout 1", 1)
    assert "peer 7 does not answer; run `vfio-ping --listen`" in complaint


def test_round_trips_between_two_devices(bound, listener, answering):
    pinged = json.loads(run(bound, f"{FIRST} {answering} --count 300 --vector 1 "
                                   "--timeout 60 --json"))
    rtt = pinged.pop("rtt_us")
    assert pinged == {"peer": answering, "mode": "doorbell", "count": 300, "lost": 0,
                      "late": 0}
    assert 0 < rtt["min"] <= rtt["p50"] <= rtt["p90"] <= rtt["p99"] <= rtt["max"]
    shown = run(bound, f"{FIRST} {answering} --count 20 --timeout 60")
    assert f"peer {answering}: 20 sent, 20 answered, 0 lost, 0 late" in shown
    assert "round trip us: min" in shown
    # The first contact of each run is answered, too.
    listener.kill("INT")
    result = listener.wait()
    assert result.returncode == 0
    assert json.loads(result.stdout)["answered"] == 322


def test_listener_ends_after_its_count(bound, answering):
    listener = bound.spawn([str(PROGRAM), SECOND, "--listen", "--count", "6"])
    run(bound, f"{FIRST} {answering} --count 5 --timeout 60")
    result = listener.wait()
    assert result.returncode == 0
    assert "6 answered" in result.stdout


def test_listener_without_pings_ends_in_time(bound):
    result = bound.run(f"{PROGRAM} {SECOND} --listen --timeout 1", check=False)
    assert (result.returncode, result.stderr) == (1, "")
    assert "0 answered" in result.stdout


def test_device_in_use(bound, listener):
    def is_held() -> bool:
        assert listener.poll() is None, listener.stderr
        return "anon_inode:[vfio-device]" in bound.run(
            f"ls -l /proc/{listener.pid}/fd").stdout
    poll_until(is_held, 60, "the listener opens its device")
    assert "another process drives the device" in run(bound, f"{SECOND} 1", 1)


def test_driver_takes_the_device_back(bound):
    bound.run(f"set -e; cd /sys/bus/pci/devices/{FIRST}; echo >driver_override; "
              f"echo {FIRST} >driver/unbind; echo {FIRST} >/sys/bus/pci/drivers_probe")
    driver = bound.run(f"readlink /sys/bus/pci/devices/{FIRST}/driver").stdout.strip()
    assert driver.endswith("/drivers/ivshmem")
    assert "is bound to ivshmem" in run(bound, f"{FIRST} 1", 1)
