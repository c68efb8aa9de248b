# SPDX-License-Identifier: GPL-2.0-only
"""How a VM begins, goes on and ends."""

import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from lab import LabError, VMDied, agent
from lab.paths import ROOT


def runs(pid):
    """Whether the process exists and is more than a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_several_boot_at_once(vms, capsys):
    pair = [vms(name, start=False) for name in "ab"]
    vms.start(*pair)
    names = [vm.run("hostname").stdout.strip() for vm in pair]
    assert names == ["a", "b"]
    with capsys.disabled():
        print(f" [boot: {', '.join(f'{vm.boot_seconds:.1f} s' for vm in pair)}]", end="")


def test_kill_is_a_power_failure(vms):
    vm = vms()
    pid = vm.pid
    vm.kill()
    assert not vm.alive and not runs(pid)
    with pytest.raises(VMDied, match="ended by SIGKILL"):
        vm.run("true")


def test_powerdown_is_in_order(vms):
    vm = vms()
    vm.powerdown()
    assert not vm.alive
    assert "Power down" in vm.console.text()


def test_paused_guest_stands_still(vms):
    vm = vms()
    counter = vm.spawn("while :; do echo >> /mnt/share/ticks; done")
    vm.wait_for("test -s /mnt/share/ticks")
    vm.pause()
    assert vm.qmp("query-status")["status"] == "paused"
    before = (vm.share / "ticks").stat().st_size
    assert (vm.share / "ticks").stat().st_size == before
    vm.cont()
    vm.wait_for(f"test $(stat -c %s /mnt/share/ticks) -gt {before + 10}")
    counter.kill()


def test_an_agent_that_is_late_is_understood(vms, monkeypatch):
    """It answers each time that it was asked whether it is there; none is another's answer."""
    vm = vms()
    vm.run("true")
    monkeypatch.setattr(agent, "PATIENCE", 0.1)
    monkeypatch.setattr(vm._agent, "in_step", False)
    vm.pause()
    late = threading.Timer(2, vm.cont)
    late.start()
    assert vm.run("echo there").stdout == "there\n"
    late.join()


def test_reset_boots_again(vms):
    vm = vms(no_reboot=False)
    vm.run("touch /run/before")
    vm.reset()
    assert vm.run("test -e /run/before", check=False).returncode == 1


def test_reset_needs_a_vm_that_may_reboot(vms):
    vm = vms()
    with pytest.raises(LabError, match="no_reboot"):
        vm.reset()


def test_sleep_and_wake_repeatedly(vms):
    vm = vms(root="memory")
    process = vm.spawn("read -r line < <(sleep 0.1; echo still here); echo $line")
    for _ in range(2):
        vm.sleep()
        assert vm.qmp("query-status")["status"] == "suspended"
        vm.wake()
    assert process.wait().stdout == "still here\n"


@pytest.mark.console_expects("Kernel panic|Call Trace|sysrq")
def test_panic_ends_the_vm_and_is_told(vms):
    vm = vms()
    with pytest.raises(VMDied, match="Kernel panic - not syncing"):
        vm.run("echo c > /proc/sysrq-trigger")
        vm.run("true")


def test_qemu_that_refuses_its_arguments_is_told(vms):
    with pytest.raises(VMDied, match="'no-such-device' is not a valid device"):
        vms(devices=["-device no-such-device"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_the_process_that_started_it(guest_kernel, tmp_path, how):
    """However the test run ends, no QEMU stays behind."""
    script = ("import sys; from pathlib import Path; from lab import VM\n"
              f"vm = VM('orphan', directory=Path({str(tmp_path / 'vm')!r}))\n"
              "vm.start(); print(vm.pid, flush=True); vm.run('sleep 1000', 2000)")
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        qemu = int(process.stdout.readline())
        assert runs(qemu)
        handle = os.pidfd_open(qemu)
        process.send_signal(how)
        process.communicate(timeout=60)
    # Readable once the process has ended.
    assert select.select([handle], [], [], 60)[0]
    os.close(handle)
