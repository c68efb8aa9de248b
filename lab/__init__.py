# SPDX-License-Identifier: GPL-2.0-only
"""The lab: boots virtual machines with ivshmem devices, on KVM or without."""

from .devices import ivshmem_doorbell, ivshmem_plain
from .log import LabError
from .network import Network, Port
from .server import BlkServer, Server
from .vm import VM, CommandFailed, Process, Result, VMDied

__all__ = ["VM", "BlkServer", "CommandFailed", "LabError", "Network", "Port", "Process",
           "Result", "Server", "VMDied", "ivshmem_doorbell", "ivshmem_plain"]
