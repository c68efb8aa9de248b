# SPDX-License-Identifier: GPL-2.0-only
"""ivshmem top in a guest with a card and a disk, beside transfers that are known."""
import json
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from lab import BlkServer
from lab.paths import USERSPACE
from tests.blk.guest import module as disk_module
from tests.net.card import Card, device
from tests.net.frames import Header, ethernet
from tests.net.peer import NetPeer
from tests.server.waiting import wait_until

from .program import BOUND, run

TOOL = USERSPACE / 'tools/ivshmem/ivshmem'
LAYOUT = 'raw=lab:1M,,net=lan:8M,,blk:16M'
VECTORS = 4
OTHERS = 'setpriv --reuid 65534 --regid 65534 --clear-groups '
NODE = '/dev/ivshmem0'


class Guest:
    """The guest, a peer of its segment, and what top says there."""

    def __init__(self, card: Card, peer: NetPeer, address: str) -> None:
        self.card = card
        self.vm = card.vm
        self.peer = peer
        self.address = address

    def devices(self, prefix: str = '') -> list[dict]:
        """All that top shows."""
        said = self.vm.run(f'{prefix}{TOOL} top --json -n 1 -d 0.1').stdout
        return json.loads(said)['devices']

    def look(self, prefix: str = '') -> dict[str, Any]:
        """The only device."""
        found, = self.devices(prefix)
        return found

    def until(self, condition: Callable[[dict], Any]) -> dict[str, Any]:
        """The device, once it is as it should be."""
        seen: list[dict] = []

        def good() -> bool:
            seen.append(self.look())
            return bool(condition(seen[-1]))
        wait_until(good, 'top to show it', BOUND)
        return seen[-1]


def row(rows: list[dict], **keys: Any) -> dict[str, Any]:
    """The only one with these."""
    found, = (one for one in rows if keys.items() <= one.items())
    return found


@pytest.fixture(scope='module')
def guest(module_vms: Any, module_servers: Any,
          tmp_path_factory: Any) -> Iterator[Guest]:
    """A guest whose other peers are processes of the host."""
    server = module_servers(size='32M', vectors=VECTORS, peers=4, layout=LAYOUT)
    image: Path = tmp_path_factory.mktemp('disk') / 'image'
    with open(image, 'wb') as file:
        file.truncate(64 << 20)
    vm = module_vms('top', [*device(server)])
    card = Card(vm, 1).load()
    vm.run(f'insmod {disk_module(vm)}')
    with BlkServer(server, image), \
            NetPeer(server.socket, VECTORS, '10.88.0.2', section='lan') as peer:
        peer.wait_ready(card.slot)
        vm.wait_for('[ -b /dev/ivblk0 ]')
        yield Guest(card, peer, server.address)


def test_it_shows_all(guest: Guest):
    seen = guest.until(lambda seen: seen['disks'] and seen['disks'][0]['state'] == 'ready'
                       and len(seen['links']) == 2)
    assert (seen['device'], seen['region'], seen['lacks']) == (NODE, 'formatted', None)
    assert (seen['memory_size'], seen['slots'], seen['slot']) == (32 << 20, 4, guest.card.slot)
    assert {peer['slot'] for peer in seen['peers']} > {guest.card.slot, guest.peer.slot}
    assert [card['name'] for card in seen['cards']] == [guest.card.name]
    assert seen['disks'][0]['depth'] > 0
    for link in seen['links']:
        assert link['name'] == guest.card.name
        assert {link['from'], link['to']} == {guest.card.slot, guest.peer.slot}
        assert 0 <= link['fill'] <= link['ring_bytes'] > 65536


def test_frames_and_bytes(guest: Guest):
    card, peer = guest.card, guest.peer
    before = guest.look()
    frame = ethernet(card.station, peer.mac, 0x88b5, bytes(500))
    for _ in range(64):
        assert peer.send(card.slot, frame, Header())

    def arrived(seen: dict) -> dict:
        return row(seen['links'], **{'from': peer.slot})

    # One look reads the link's words, the driver's counters and the card's, each later.
    after = guest.until(lambda seen: (
        arrived(seen)['frames'] - arrived(before)['frames'] == 64 and not arrived(seen)['fill']
        and seen['cards'][0]['rx_frames'] - before['cards'][0]['rx_frames'] == 64))
    assert arrived(after)['bytes'] - arrived(before)['bytes'] == 64 * len(frame)


def sent(guest: Guest, seen: dict) -> dict | None:
    """The link on which the card sends to the peer, if it is up."""
    ends = {'from': guest.card.slot, 'to': guest.peer.slot}
    return next((link for link in seen['links'] if ends.items() <= link.items()), None)


def test_a_ring_that_nobody_empties(guest: Guest):
    card, peer = guest.card, guest.peer

    def filled(seen: dict) -> bool:
        link = sent(guest, seen)
        return bool(link and 8 * 1000 < link['fill'] < link['ring_bytes'])

    with peer.lock:
        card.send((peer.mac + card.station + bytes.fromhex('88b5')).hex() + '00' * 1000 + '*8')
        guest.until(filled)
    guest.until(lambda seen: (sent(guest, seen) or {}).get('fill') == 0)


def test_an_index_that_cannot_be(guest: Guest):
    """The driver looks at it when it has sent something, and ends the session: once more."""
    segment, memory = guest.peer.segment, guest.peer.memory
    places = [segment.rx(guest.card.slot, guest.peer.slot, queue)
              for queue in range(segment.queues)]

    def bounded() -> bool:
        with guest.peer.lock:
            right = [memory.word(place) for place in places]
            for place, index in zip(places, right):
                memory.store(place, (index + 64) % 2 ** 32)
            link = sent(guest, guest.look())
            for place, index in zip(places, right):
                memory.store(place, index)
        return bool(link and link['fill'] == link['ring_bytes'])

    wait_until(bounded, 'a ring that is full', BOUND)
    guest.until(lambda seen: len(seen['links']) == 2)


def test_blocks_and_doorbells(guest: Guest):
    was = guest.look()
    guest.vm.run('dd if=/dev/ivblk0 of=/dev/null bs=64k count=32 iflag=direct status=none && '
                 'dd if=/dev/zero of=/dev/ivblk0 bs=64k count=16 oflag=direct status=none && '
                 f'{TOOL} ring 3 3 --count 25')
    now = guest.look()
    before, after = was['disks'][0], now['disks'][0]
    assert after['read_bytes'] - before['read_bytes'] == 2 << 20
    assert after['written_bytes'] - before['written_bytes'] == 1 << 20
    assert after['reads'] - before['reads'] >= 32
    assert after['busy'] == 0
    assert now['rung'] >= was['rung'] + 25


def test_a_section_by_another_name(guest: Guest):
    """As udev makes them: it is known all the same of which device it is."""
    guest.vm.run(f'ln -s {NODE}.lab /dev/camera')
    seen, = json.loads(guest.vm.run(f'{TOOL} top --json -n 1 -d 0.1 /dev/camera').stdout)['devices']
    assert seen['device'] == '/dev/camera' and seen['rung'] is not None
    assert [card['name'] for card in seen['cards']] == [guest.card.name]
    assert len(seen['disks']) == 1


def test_who_may_see_what(guest: Guest):
    vm = guest.vm
    vm.run(f'chgrp 65534 {NODE} && chmod 660 {NODE}')
    seen = guest.look(OTHERS)
    assert seen['lacks'] == 'doorbells rung: for root only'
    assert seen['rung'] is None and seen['received'] is not None
    assert len(seen['links']) == 2 and seen['disks'][0]['reads'] > 0
    vm.run(f'chmod 600 {NODE}')
    seen = guest.look(OTHERS)
    assert seen['lacks'].startswith('permission denied; join the group ivshmem')
    assert (seen['region'], seen['memory_size']) == ('formatted', 32 << 20)
    assert seen['cards'] and seen['received'] is None


def test_the_host_sees_the_same_links(guest: Guest):
    found, = json.loads(run('top', '--json', '-n', '1', '-d', '0.1', guest.address))['devices']
    pairs = {(link['name'], link['from'], link['to']) for link in found['links']
             if link['state'] == 'up'}
    card, peer = guest.card.slot, guest.peer.slot
    assert {('lan', card, peer), ('lan', peer, card)} < pairs
    assert {name for name, _, _ in pairs} == {'lan', 'blk'}


@pytest.mark.attack('A41', 'A46')
def test_it_goes_on_while_a_device_goes_and_returns(guest: Guest):
    vm = guest.vm
    top = vm.spawn(f'exec {TOOL} top --json -d 0.2 > /run/top')
    vm.wait_for(f'grep -q {NODE} /run/top')
    run('ring', guest.address, guest.card.slot, '0', '--count', '3')
    vm.wait_for("grep -q '\"received\": [1-9]' /run/top")
    place = vm.run('readlink -f /sys/class/ivshmem/ivshmem0/device').stdout.strip()
    vm.run(f'echo 1 > {place}/remove', 60)
    vm.wait_for("tail -n 1 /run/top | grep -q '\"devices\": \\[ \\]'")
    vm.run('echo 1 > /sys/bus/pci/rescan')
    vm.wait_for('tail -n 1 /run/top | grep -q \'"region": "formatted"\'')
    top.kill('INT')
    assert top.wait().returncode == 0
