# SPDX-License-Identifier: GPL-2.0-only
"""Emulated guests know how fast their clock runs, and need not measure it."""

import pytest

from lab import accel, clock


def test_guest_takes_the_hosts_frequency(vms, guest_kernel):
    if accel.choose(guest_kernel)[0] != "tcg":
        pytest.skip("guests on KVM have a clock of their own")
    vm = vms()
    told = vm.run("grep -o 'tsc_early_khz=[0-9]*' /proc/cmdline").stdout
    khz = int(told.strip().partition("=")[2])
    assert abs(khz - clock.tsc_khz()) <= khz / 1000
    detected = vm.run("dmesg | grep 'tsc: Detected'").stdout
    assert f"Detected {khz // 1000}.{khz % 1000:03} MHz" in detected
