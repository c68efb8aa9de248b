# SPDX-License-Identifier: GPL-2.0-only
"""Links come and go while somebody is held up at a step of it, one step after the other.

Each function that moves a link's state or takes something down is called, and left, with
a delay in which others get between. What was to come of it comes all the same.
"""

import time
from contextlib import ExitStack
from typing import Any, Callable, Iterator

import pytest

from lab import VM, Server
from lab.agent import poll_until
from lab.testing import count
from tests.blk.guest import Disk, folder
from tests.net.card import FUNCTIONS, VECTORS, Card, device, meet, together
from tests.net.peer import NetPeer
from tests.net.wire import UP
from tests.vm.guest import DRIVER, program

BOUND = 180
PEERS = 4
# Seconds, less than whoever comes is held up
LIE = 0.008
BDF = "0000:00:10.0"
DELAY = "/sys/module/ivshmem_delay/parameters"

NET = """
    ivnet_carrier ivnet_event ivnet_links_restart ivnet_links_stop ivnet_links_work
    ivnet_link_lost ivnet_link_stop ivnet_open ivnet_poll ivnet_probe ivnet_queues_reset
    ivnet_quiesce ivnet_remove ivnet_send_hello ivnet_start_xmit ivnet_stop
    """.split()
BLK = """
    ivblk_add_work ivblk_disk_remove ivblk_event ivblk_finish ivblk_links_stop
    ivblk_links_work ivblk_probe ivblk_queue_rq ivblk_reap ivblk_remove ivblk_run
    ivblk_session_begin ivblk_session_end ivblk_write_request
    """.split()
CORE = """
    ivblk_peer ivnet_peer ivshmem_function_close ivshmem_function_open
    ivshmem_function_release ivshmem_functions_add ivshmem_functions_event
    ivshmem_functions_remove ivshmem_irq ivshmem_link_stop ivshmem_nodes_add
    ivshmem_nodes_remove ivshmem_peers_look ivshmem_probe ivshmem_region_detach
    ivshmem_region_enter ivshmem_region_exit ivshmem_region_leave ivshmem_region_look
    ivshmem_region_stop ivshmem_remove ivshmem_self_publish
    """.split()
NODE = """
    ivshmem_buffers_revoke ivshmem_chardev_add
    ivshmem_device_kill ivshmem_device_release ivshmem_doorbell_hangup
    ivshmem_eventfd_bind ivshmem_file_drain ivshmem_ioctl ivshmem_memory_put ivshmem_mmap
    ivshmem_mmap_revoke ivshmem_open ivshmem_poll ivshmem_probe ivshmem_release
    ivshmem_remove ivshmem_vm_fault
    """.split()


REBIND = f"cd {DRIVER} && echo {BDF} > unbind && echo {BDF} > bind"


def rebind(card: Card, name: str) -> None:
    """Take a function from its driver and give it back."""
    card.vm.run(f"""
        cd {FUNCTIONS}/ivshmem.{name}.0/driver &&
        echo ivshmem.{name}.0 > unbind && echo ivshmem.{name}.0 > bind""", BOUND)


class Rig:
    """Two guests on a segment, the first of which has a disk, too."""

    def __init__(self, server: Server, cards: list[Card], disk: Disk) -> None:
        self.server = server
        self.a, self.b = self.cards = cards
        self.disk = disk

    def net(self) -> None:
        """Links end and begin from either side, by configuration and by removal."""
        a, b = self.cards
        flood = [card.vm.spawn(f"exec ping -q -i 0.01 10.88.0.{3 - card.number}")
                 for card in self.cards]
        a.vm.run(f"ip link set {a.name} down && ip link set {a.name} up")
        together(lambda card: rebind(card, "net"), self.cards)
        for process in flood:
            process.kill("INT")
        for card in self.cards:
            card.find()
            card.configure()
        b.vm.run(f"ip link set {b.name} down && ip link set {b.name} up")
        b.configure()
        a.vm.run(f"ethtool -K {a.name} rx off && ethtool -K {a.name} rx on")
        meet(self.cards)

    def blk(self) -> None:
        """The back end dies and returns below requests, the driver goes and comes."""
        writer = self.a.vm.spawn(
            "dd if=/dev/urandom of=/run/new bs=64k count=16 status=none && "
            "dd if=/run/new of=/dev/ivblk0 bs=16k oflag=direct status=none")
        self.disk.kill()
        self.disk.serve(self.disk.image)
        assert writer.wait(BOUND).returncode == 0, writer.stderr
        self.disk.wait()
        self.a.vm.run("cmp -n 1M /run/new /dev/ivblk0", BOUND)
        reader = self.a.vm.spawn("dd if=/dev/ivblk0 of=/dev/null bs=4k iflag=direct status=none")
        rebind(self.a, "blk")
        reader.wait(BOUND)
        self.disk.wait()
        self.a.vm.run("cmp -n 1M /run/new /dev/ivblk0", BOUND)

    def core(self) -> None:
        """The device of one, then of the other goes and comes below its functions."""
        for card in reversed(self.cards):
            card.vm.run(REBIND, BOUND)
        for card in self.cards:
            card.find()
            card.configure()
        meet(self.cards)
        self.disk.wait()


@pytest.fixture(scope="module")
def rig(module_vms: Any, module_servers: Any, delays: Any) -> Iterator[Rig]:
    """All is up, and the first guest can hold up whom it is told."""
    server = module_servers(size="128M", vectors=VECTORS, peers=PEERS,
                            layout="net=lan:40M:queues=2,,blk=disk0:40M:queues=2,,raw=lab:1M")
    machines = [module_vms(name, start=False, smp=2, devices=[device(server)]) for name in "ab"]
    module_vms.start(*machines)
    cards = [Card(vm, number) for number, vm in enumerate(machines, 1)]
    together(Card.load, cards)
    meet(cards)
    with folder() as directory, ExitStack() as stack:
        disk = Disk(server, machines[0], directory, 64 << 20)
        stack.callback(disk.stop)
        disk.load()
        disk.serve(disk.image)
        disk.wait()
        machines[0].run(f"insmod {delays}")
        yield Rig(server, cards, disk)


def hold_up(vm: VM, functions: list[str], action: Callable[[], None]) -> None:
    """Do it once for each function, in which somebody has to be held up."""
    never = []
    for function in functions:
        vm.run(f"echo {function} > {DELAY}/at")
        action()
        hits = vm.run(f"cat {DELAY}/hits; echo > {DELAY}/at").stdout.split()
        count("delays", sum(map(int, hits)))
        never += [function] if "0" in hits else []
    assert not never


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part, functions", [("net", NET), ("blk", BLK), ("core", CORE)])
def test_functions(rig: Rig, part: str, functions: list[str]) -> None:
    """Of the card, the disk and the device below both."""
    hold_up(rig.a.vm, functions, getattr(rig, part))


@pytest.mark.timeout(1800)
@pytest.mark.attack("A11")
def test_session_that_seems_to_be_over(rig: Rig) -> None:
    """By the word of a peer, which is right again once nobody uses the rings any more."""
    victim = rig.a
    with NetPeer(rig.server.socket, VECTORS, "10.88.0.99") as peer:
        peer.wait_ready(victim.slot, timeout=BOUND)
        peer.ping(victim.address)
        link = peer.links[victim.slot]
        victim.vm.run(f"echo ivnet_quiesce > {DELAY}/at")

        def held_up() -> bool:
            with peer.lock:
                if link.state == UP:
                    word = peer.words.load(link.own)
                    peer.words.store(link.own, word ^ 1)
                    time.sleep(LIE)
                    peer.words.store(link.own, word)
            return "0" not in victim.vm.run(f"cat {DELAY}/hits").stdout.split()

        poll_until(held_up, BOUND, "a look at the wrong moment")
        victim.vm.run(f"echo > {DELAY}/at")
        peer.wait_ready(victim.slot, timeout=BOUND)
        peer.ping(victim.address)


@pytest.mark.timeout(1800)
def test_node(vms: Any, servers: Any, delays: Any) -> None:
    """The device goes and comes below programs that use its node in every way."""
    vm = vms(devices=[device(servers(size="2M", vectors=VECTORS, peers=PEERS))], smp=2)
    vm.load_driver()
    vm.run(f"insmod {delays}")
    load = vm.spawn([str(program("load"))])
    hold_up(vm, NODE, lambda: vm.run(REBIND, BOUND))
    load.kill("TERM")
    result = load.wait(BOUND)
    assert result.returncode == 0, result.stdout + result.stderr
