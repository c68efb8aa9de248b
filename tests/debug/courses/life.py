# SPDX-License-Identifier: GPL-2.0-only
"""Modules are loaded, and devices bound."""

import errno

from tests.debug.sweep import Phase

from .devices import PEERS, VECTORS, Device, Modules


def load(modules: Modules) -> list[Phase]:
    """Loading and unloading, without a device, of those that take more than one step."""
    return [Phase(f"load {module.name}", module.load, {errno.ENOMEM, errno.EBUSY},
                  module.loaded, module.unload) for module in (modules.core, modules.blk)]


def probe(modules: Modules) -> list[Phase]:
    """A device in a formatted region, whose functions nobody drives."""
    modules.core.load()
    device = Device(PEERS[0], VECTORS)
    return [Phase("probe", device.bind, {errno.ENOMEM, errno.EBUSY, errno.EIO},
                  device.whole, device.unbind, device.doorbells),
            Phase("programs", device.reattach, whole=device.whole, works=device.doorbells)]
