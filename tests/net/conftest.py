# SPDX-License-Identifier: GPL-2.0-only
"""Three machines on one segment."""

import pytest

from .card import VECTORS, Card, device, meet, together

PEERS = 4
QUEUES = 2


@pytest.fixture(scope="module")
def server(module_servers):
    """A segment for four, with rings of 4 MiB."""
    return module_servers(size="128M", vectors=VECTORS, peers=PEERS,
                          layout=f"net=lan:100M:queues={QUEUES}")


@pytest.fixture(scope="module")
def trio(module_vms, server):
    """Three guests, each of which reaches the others."""
    machines = [module_vms(name, start=False, devices=[device(server)]) for name in "abc"]
    module_vms.start(*machines)
    cards = [Card(vm, number) for number, vm in enumerate(machines, 1)]
    together(Card.load, cards)
    meet(cards)
    return cards
