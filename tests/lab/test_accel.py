# SPDX-License-Identifier: GPL-2.0-only
"""KVM is used only where a guest was seen to run under it."""

import json
import subprocess
import sys
import time

import pytest

from lab import LabError, accel
from lab.paths import ROOT


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A lab that remembers nothing, and is not told what to use."""
    monkeypatch.setattr(accel, "LAB", tmp_path)
    monkeypatch.delenv("LAB_ACCEL", raising=False)
    return tmp_path / "accel"


def test_trial_is_made_once_and_remembered(fresh, guest_kernel, capsys):
    first = accel.choose(guest_kernel)
    assert first[0] in ("kvm", "tcg")
    (memory,) = fresh.iterdir()
    assert json.loads(memory.read_text())["accel"] == first[0]
    capsys.readouterr()
    assert accel.choose(guest_kernel) == first
    assert "trying KVM" not in capsys.readouterr().err


def test_trial_is_bounded(guest_kernel):
    start = time.monotonic()
    accel.prove_kvm(guest_kernel)
    assert time.monotonic() - start < 4 * accel.BUDGET


def test_damaged_memory_is_made_anew(fresh, guest_kernel):
    first = accel.choose(guest_kernel)
    (memory,) = fresh.iterdir()
    memory.write_text("{")
    assert accel.choose(guest_kernel) == first


@pytest.mark.parametrize("wanted", ["kvm", "tcg"])
def test_environment_decides_without_a_trial(fresh, guest_kernel, monkeypatch, wanted):
    monkeypatch.setenv("LAB_ACCEL", wanted)
    assert accel.choose(guest_kernel)[0] == wanted
    assert not fresh.exists()


def test_unknown_environment_is_refused(guest_kernel, monkeypatch):
    monkeypatch.setenv("LAB_ACCEL", "xen")
    with pytest.raises(LabError, match="LAB_ACCEL=xen: unknown; use kvm or tcg"):
        accel.choose(guest_kernel)


def test_guest_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(accel, "SILENCE", 0.5)
    # -S: its CPUs are never started.
    trouble = accel.boots([accel.QEMU, "-S", "-nodefaults", "-display", "none",
                           "-serial", "stdio"])
    assert trouble == "its guest said nothing for 0.5 s"


def test_qemu_that_ends_early_is_told():
    trouble = accel.boots([accel.QEMU, "-accel", "no-such-thing"])
    assert "no-such-thing" in trouble


def test_emulated_guests_are_coherent():
    """A guest that can never have a second CPU gets no atomic operations."""
    arguments = " ".join(accel.arguments("tcg", 1))
    assert "thread=multi" in arguments and "-smp 1,maxcpus=2" in arguments
    assert "-smp 2" in " ".join(accel.arguments("tcg", 2))


def test_command_says_which_one_and_why(guest_kernel):
    done = subprocess.run([sys.executable, "-m", "lab", "accel"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, check=True)
    assert done.stdout.startswith(("kvm: ", "tcg: "))


def test_machine_may_be_told(vms, monkeypatch):
    monkeypatch.setenv("LAB_ACCEL", "kvm")
    vm = vms("a", mode="tcg")
    assert " -accel tcg," in (vm.directory / "command").read_text()
