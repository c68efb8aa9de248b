# SPDX-License-Identifier: GPL-2.0-only
"""System sleep, and resets of the function, with the device in use."""

import re

import pytest

from lab import ivshmem_doorbell

from .guest import Running, check, judge, node, program

VECTORS = 4


@pytest.fixture(scope="module")
def vm(module_vms, module_servers):
    """A guest that can sleep, with one device."""
    server = module_servers(size="2M", vectors=VECTORS)
    vm = module_vms("sleeper", root="memory", append="no_console_suspend pm_debug_messages",
                    devices=[ivshmem_doorbell(server, VECTORS, addr="0x10")],
                    programs=[program("asleep"), program("event")])
    vm.load_driver()
    return vm


def test_suspend_to_memory(vm):
    """S3 takes the power: memory and mappings stay, each vector counts one."""
    user = Running(vm, "asleep", node(vm, "00:10.0"))
    vm.sleep()
    vm.wake()
    judge(user.wait())


def test_suspend_to_idle(vm):
    """So does s2idle, which a key of the keyboard ends."""
    user = Running(vm, "asleep", node(vm, "00:10.0"))
    vm.run("echo enabled > /sys/devices/platform/i8042/serio0/power/wakeup")
    before = vm.console.text().count("PM: suspend-to-idle")
    sleeper = vm.spawn("echo freeze > /sys/power/state")
    vm.wait_console(rf"(?s)(PM: suspend-to-idle.*){{{before + 1}}}")
    vm.qmp("send-key", keys=[{"type": "qcode", "data": "a"}])
    assert sleeper.wait().returncode == 0, sleeper.stderr
    judge(user.wait())


def test_doorbells_after_sleep(vm):
    """All of the contract holds for a device that has slept twice."""
    check(vm, "event", node(vm, "00:10.0"))


def test_unbound_and_bound_after_sleep(vm):
    """A device that has slept goes and comes like any other."""
    vm.run("echo 0000:00:10.0 > /sys/bus/pci/drivers/ivshmem/unbind")
    vm.run("echo 0000:00:10.0 > /sys/bus/pci/drivers/ivshmem/bind")
    check(vm, "event", node(vm, "00:10.0"))
    assert not re.search(r"ivshmem.*(fail|error)", vm.run(
        "dmesg | grep -v 'verification failed'").stdout)
