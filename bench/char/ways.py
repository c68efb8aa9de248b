# SPDX-License-Identifier: GPL-2.0-only
"""The ways in which programs use the device, and the two machines that do."""

import json
from contextlib import ExitStack
from dataclasses import dataclass

from demo.demo import start_vms
from lab import VM, Server, accel
from lab.kernel import Kernel
from lab.paths import BUILD, USERSPACE

FOLDER = BUILD / "bench/char"
TOOL = USERSPACE / "tools/ivshmem/ivshmem"
NODE = "/dev/ivshmem0"
PCI = "/sys/bus/pci"
VECTORS = 4
# The section for pings holds them, and no channel.
SIZE, LAYOUT = "32M", "raw=bench:16M,,raw=ping:32K"

OURS, VFIO, POLLING = "driver", "vfio", "polling"
# The way -> the driver that the device is bound to
DRIVERS = {OURS: "ivshmem", VFIO: "vfio-pci", POLLING: ""}

# In a guest: gives the device to a driver, or to none.
HAND_OVER = """
set -e
device={PCI}/devices/{place}
modprobe vfio-pci
[ ! -e $device/driver ] || echo {place} >$device/driver/unbind
echo '{driver}' >$device/driver_override
[ -z '{driver}' ] || echo {place} >{PCI}/drivers_probe
"""


@dataclass
class End:
    """A machine with the device: where that is, and its peer id."""

    vm: VM
    place: str
    peer_id: int
    sections: dict[str, int]

    def address(self, way: str) -> str:
        """The device as the library takes it."""
        return {OURS: NODE, VFIO: f"vfio:{self.place}", POLLING: f"pci:{self.place}"}[way]

    def ping_place(self, way: str) -> list[str]:
        """The same for pings, and where their section is."""
        if way == OURS:
            return [f"{NODE}.ping"]
        return [self.address(way), "--offset", str(self.sections["ping"])]

    def hand_over(self, way: str) -> None:
        """Have the device driven that way from now on."""
        self.vm.run(HAND_OVER.format(PCI=PCI, place=self.place, driver=DRIVERS[way]))
        if way == OURS:
            self.vm.wait_for(f"test -c {NODE}.ping && test -c {NODE}.bench")


def load(vm: VM) -> End:
    """Load our driver, and ask it about the device."""
    vm.load_driver()
    vm.wait_for(f"test -c {NODE}.ping")
    about = json.loads(vm.run(f"{TOOL} info {NODE} --json").stdout)
    device = json.loads(vm.run(f"{TOOL} list --json").stdout)["devices"][0]
    return End(vm, device["pci"], about["peer_id"],
               {section["name"]: section["offset"]
                for section in about["region"]["sections"]})


def start(guest_kernel: Kernel, cleanup: ExitStack) -> list[End]:
    """Both machines, with the driver loaded."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    server = cleanup.enter_context(Server(name="bench", peers=2, vectors=VECTORS, size=SIZE,
                                          layout=LAYOUT, directory=FOLDER))
    vms = start_vms(server, guest_kernel, accel.choose(guest_kernel)[0], FOLDER, cleanup)
    return [load(vm) for vm in vms]
