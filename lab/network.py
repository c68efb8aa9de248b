# SPDX-License-Identifier: GPL-2.0-only
"""An Ethernet segment of the host for virtual machines: TAPs on a Linux bridge.

This is what our own ways between machines are held to. Bridge and TAPs are in a
network namespace of their own, which nothing of the host's network sees; no
name, file or process keeps it alive, only descriptors of this process and of
its QEMUs do. So nothing is left behind, however they end::

    with Network(2) as network:
        machines = [VM(name, ports=[port])
                    for name, port in zip("ab", network.ports)]
        ...
        for vm, port in zip(machines, network.ports):
            port.bring_up(vm)
        machines[0].run(f"ping -c 1 {network.ports[1].address}")
"""

import fcntl
import os
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .log import LabError
from .namespace import enter_new, in_thread, inside

if TYPE_CHECKING:
    from .vm import VM

BRIDGE = "lab"
SUBNET = "10.77.0"

TUN = "/dev/net/tun"
TUNSETIFF = 0x400454ca
# Whole frames, preceded by what virtio says about checksums and segmentation:
# without it both guests would do in software what the host's stack does not need.
TAP_FLAGS = 0x0002 | 0x1000 | 0x4000    # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR

# The driver in the guest for each model of QEMU's network cards.
DRIVERS = {"virtio-net-pci": "virtio_net", "e1000e": "e1000e"}

BRING_UP = """
modprobe {driver} || exit
for device in /sys/class/net/*; do
    if [ "$(cat "$device/address")" = {mac} ]; then
        ip address add {address}/24 dev "${{device##*/}}" &&
            ip link set "${{device##*/}}" up
        exit
    fi
done
echo "no network device has the address {mac}" >&2
exit 1
"""


@dataclass(frozen=True)
class Port:
    """A TAP on the bridge, for one VM at a time; the VM's addresses on it."""

    number: int
    fd: int
    model: str

    @property
    def mac(self) -> str:
        """The Ethernet address that the VM has."""
        return f"52:54:00:77:00:{self.number:02x}"

    @property
    def address(self) -> str:
        """The IPv4 address that the VM gets from bring_up()."""
        return f"{SUBNET}.{self.number}"

    @property
    def arguments(self) -> list[str]:
        """What QEMU, which inherits the descriptor, is told."""
        name = f"port{self.number}"
        return ["-netdev", f"tap,id={name},fd={self.fd}",
                "-device", f"{self.model},netdev={name},mac={self.mac},romfile="]

    def bring_up(self, vm: "VM") -> None:
        """Load the driver in the guest, which has the host's files, and set it up."""
        vm.run(BRING_UP.format(driver=DRIVERS[self.model], mac=self.mac,
                               address=self.address))


class Network:
    """A bridge with @count ports; a context manager.

    Needs root, TAPs and bridges; LabError says what is missing. All VMs have to
    be ended before it is used by others: a port has one QEMU at a time.
    """

    def __init__(self, count: int = 2, model: str = "virtio-net-pci") -> None:
        if model not in DRIVERS:
            raise LabError(f"{model}: not a network card that the lab knows; there are "
                           + ", ".join(DRIVERS))
        self.count = count
        self.model = model
        self.ports: list[Port] = []
        # A descriptor of the network namespace
        self.namespace = -1

    def start(self) -> "Network":
        """Make bridge and ports."""
        if os.geteuid():
            raise LabError("network: only root may make a bridge and TAPs")
        try:
            in_thread(self._make)
        except BaseException:
            self.close()
            raise
        return self

    def _make(self) -> None:
        """In a thread of its own: the namespace is that of the thread."""
        self.namespace = enter_new()
        _ip("link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0",
            remedy="load the kernel's module bridge")
        _ip("link", "set", BRIDGE, "up")
        for number in range(1, self.count + 1):
            self.ports.append(Port(number, _tap(f"port{number}"), self.model))
            _ip("link", "set", f"port{number}", "master", BRIDGE, "up")

    def run(self, *command: str) -> str:
        """Run a program of the host in the network; what it printed."""
        return subprocess.run(
            inside(self.namespace, *command), pass_fds=[self.namespace], check=True,
            text=True, stdout=subprocess.PIPE).stdout

    def close(self) -> None:
        """Let go of it; it is gone once no QEMU uses it either."""
        for port in self.ports:
            os.close(port.fd)
        self.ports.clear()
        if self.namespace >= 0:
            os.close(self.namespace)
        self.namespace = -1

    def __enter__(self) -> "Network":
        return self if self.ports else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def _ip(*arguments: str, remedy: str = "") -> None:
    try:
        done = subprocess.run(["ip", *arguments], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        raise LabError("ip: not found; install iproute2") from None
    if done.returncode:
        raise LabError(f"network: ip {' '.join(arguments)}: {done.stdout.strip()}"
                       + (f"; {remedy}" if remedy else ""))


def _tap(name: str) -> int:
    """A TAP in the namespace of this thread; it lives as long as its descriptor."""
    try:
        fd = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        raise LabError(f"{TUN}: {error.strerror}; load the kernel's module tun") from error
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP_FLAGS))
    except OSError as error:
        os.close(fd)
        raise LabError(f"{TUN}: no TAP can be made: {error.strerror}") from error
    return fd
