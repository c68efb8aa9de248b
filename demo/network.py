# SPDX-License-Identifier: GPL-2.0-only
"""The network of the demo: Ethernet through shared memory, and through the host."""

import json
import re
import statistics
from typing import Any, Callable

from lab import VM, Network, Server, ivshmem_doorbell
from lab.paths import MODULES

from .peers import DemoError

SUBNET = "10.78.0"
IDENT = "net"
VECTORS = 2
LAYOUT = "net=lan:64M"
SIZE = "128M"

ROUNDS = 3
SECONDS = 2
PINGS = 200
PORT = 5201

BRING_UP = """
insmod {module} || exit
for device in /sys/bus/auxiliary/devices/ivshmem.net.*/net/*; do
    name=${{device##*/}}
    ip address add {address}/24 dev "$name" && ip link set "$name" up && echo "$name"
    exit
done
echo "no function ivshmem.net in the region" >&2
exit 1
"""


def server(folder: Any) -> Server:
    """A link whose region has a NET section."""
    return Server(name=IDENT, size=SIZE, peers=2, vectors=VECTORS, layout=LAYOUT,
                  directory=folder / "network")


def device(link: Server) -> list[str]:
    """The device of a machine on it."""
    return ivshmem_doorbell(link, VECTORS, id=IDENT)


def bring_up(vm: VM, number: int) -> str:
    """Load the driver; the name of the interface."""
    return vm.run(BRING_UP.format(
        module=MODULES / vm.kernel.release / "drivers/net/ivshmem_net.ko",
        address=f"{SUBNET}.{number}")).stdout.strip()


def ping(vm: VM, address: str) -> float:
    """The median round trip in microseconds."""
    said = vm.run(f"busybox ping -A -c {PINGS} {address}").stdout
    times = [float(time) * 1000 for time in re.findall(r"time=([\d.]+) ms", said)]
    if len(times) != PINGS:
        raise DemoError(f"{vm.name}: {PINGS - len(times)} of {PINGS} pings to {address} "
                        "were lost")
    return statistics.median(times)


def stream(vm: VM, address: str) -> float:
    """Gbit/s of one TCP stream."""
    said = vm.run(f"iperf3 --json --time {SECONDS} --client {address}", timeout=120).stdout
    return json.loads(said)["end"]["sum_received"]["bits_per_second"] / 1e9


def measure(vms: list[VM], network: Network | None, show: Callable[[str], None]
            ) -> dict[str, Any]:
    """Both ways in turn, between the two machines."""
    ways = {"": f"{SUBNET}.2"}
    if network:
        ways["virtio_"] = network.ports[1].address
    figures: dict[str, list[float]] = {}
    served = vms[1].spawn(f"iperf3 --server --port {PORT}")
    vms[1].wait_for(f"ss -Hltn 'sport = {PORT}' | grep -q .")
    for number in range(1, ROUNDS + 1):
        for way, address in ways.items():
            rtt, rate = ping(vms[0], address), stream(vms[0], address)
            figures.setdefault(f"{way}rtt_us", []).append(rtt)
            figures.setdefault(f"{way}tcp_gbit_s", []).append(rate)
            show(f"round {number}, {'virtio-net' if way else 'ivshmem':<10}: "
                 f"{rtt:.0f} us, {rate:.2f} Gbit/s")
    served.kill()

    found: dict[str, Any] = {name: round(statistics.median(figures[name]), 3)
                             if name in figures else None
                             for name in ("tcp_gbit_s", "rtt_us", "virtio_tcp_gbit_s",
                                          "virtio_rtt_us")}
    found["ratio"] = round(found["tcp_gbit_s"] / found["virtio_tcp_gbit_s"], 2) \
        if network else None
    return found


def table(net: dict[str, Any]) -> str:
    """The outcome for people."""
    lines = [f"{'network':<34}{'TCP Gbit/s':>12}{'ping us':>10}",
             f"{'ivshmem: shared memory':<34}{net['tcp_gbit_s']:>12.2f}"
             f"{net['rtt_us']:>10.0f}"]
    if net["ratio"] is not None:
        lines += [f"{'virtio-net: TAP and bridge of host':<34}"
                  f"{net['virtio_tcp_gbit_s']:>12.2f}{net['virtio_rtt_us']:>10.0f}",
                  f"TCP over shared memory is {net['ratio']:.2f} times as fast"]
    return "\n".join(lines)
