# SPDX-License-Identifier: GPL-2.0-only
"""Secure Boot: the driver is loaded once the key is enrolled by which dkms has signed it.

A machine with Debian's firmware, shim, GRUB and kernel, none of them changed, in which the
commands of Documentation/secure-boot.rst are run. dkms builds on the host, which is faster.
"""

import os
import re
import shutil
import subprocess

import pytest

from lab import ivshmem_doorbell
from lab.paths import ROOT
from lab.secure import SecureVM
from tests.documents.blocks import DOCUMENTS, blocks, differs

# Kernels that the lab has built itself are not signed
pytestmark = [pytest.mark.kernel(""), pytest.mark.timeout(3600)]

GUIDE = DOCUMENTS / "secure-boot.rst"
SUDO = ROOT / "tests/documents/bin"
KEYS = "/var/lib/dkms"
# One that the keyboard of a slow machine remembers
PASSWORD = "mok"


def build(folder, kernel):
    """Modules as dkms makes them, signed by the key that it makes for that."""
    subprocess.run([ROOT / "scripts/install-dkms", folder, "/usr"], check=True)
    (folder / "dkms").mkdir()
    (source,) = (folder / "usr/src").iterdir()
    name, version = source.name.split("-")
    done = subprocess.run(
        ["dkms", "build", f"{name}/{version}", "-k", kernel.release, "--kernelsourcedir",
         kernel.headers, "--sourcetree", source.parent, "--dkmstree", folder / "dkms"],
        env=dict(os.environ, sign_file=str(kernel.headers / "scripts/sign-file"),
                 mok_signing_key=str(folder / "mok.key"),
                 mok_certificate=str(folder / "mok.pub")),
        text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return folder.glob(f"dkms/{name}/{version}/{kernel.release}/*/module/*.ko")


@pytest.fixture(scope="module", name="machine")
def _machine(module_vms, module_servers, tmp_path_factory):
    """A machine under Secure Boot that has the modules and the certificate, but loads none."""
    server = module_servers(vectors=4)
    vm = module_vms("secure", kind=SecureVM, start=False,
                    devices=[ivshmem_doorbell(server, 4, addr="0x10")])
    vm.start(wait=False)
    folder = tmp_path_factory.mktemp("dkms")
    modules = vm.share / "lib/modules" / vm.kernel.release
    (modules / "updates/dkms").mkdir(parents=True)
    for path in build(folder, vm.kernel):
        shutil.copy(path, modules / "updates/dkms")
    # Those of the kernel itself are not among them
    for name in ("modules.order", "modules.builtin"):
        (modules / name).touch()
    subprocess.run(["/usr/sbin/depmod", "-b", vm.share, vm.kernel.release], check=True)
    shutil.copy(folder / "mok.pub", vm.share)
    shutil.copy(vm.module, vm.share / "unsigned.ko")
    prepare(vm.wait_ready())
    return vm


def prepare(vm):
    """What an installed system has: its certificate, its modules, its file systems."""
    vm.run(f"""
        mkdir -p {KEYS} && cp /mnt/share/mok.pub {KEYS}/ &&
        mount -t securityfs securityfs /sys/kernel/security &&
        mount -t efivarfs efivarfs /sys/firmware/efi/efivars &&
        mount -o bind /mnt/share/lib/modules/$(uname -r) /lib/modules/$(uname -r)""")


def follow(vm, place, stdin=""):
    """Do what the guide says for a place, and see what it shows."""
    here, printed = False, ""
    for block in blocks(GUIDE):
        if block.mark == "run":
            here = block.argument == place
            if here:
                printed = vm.run(f"PATH={SUDO}:$PATH\n{block.text}", stdin=stdin).stdout
        elif block.mark == "shows" and here:
            wrong = differs(block.text, printed)
            assert not wrong, f"{block}: {wrong}\nwas not printed, but\n{printed}"


@pytest.fixture(scope="module", name="enrolled")
def _enrolled(machine):
    """The same after its owner has done what the guide says."""
    follow(machine, "machine", stdin=f"{PASSWORD}\n{PASSWORD}\n")
    machine.run("mokutil --timeout -1")
    machine.enroll(PASSWORD)
    prepare(machine)
    return machine


def test_only_what_is_signed_is_loaded(machine):
    """Neither a module without a signature is, nor one of a key that is not known."""
    assert "[integrity]" in machine.run("cat /sys/kernel/security/lockdown").stdout
    guide = " ".join(GUIDE.read_text().split())
    for command, what in (("insmod /mnt/share/unsigned.ko", "unsigned module"),
                          ("modprobe ivshmem", "module with unavailable key")):
        done = machine.run(command, check=False)
        assert done.returncode and "Key was rejected by service" in done.stderr, done
        machine.wait_console(f"Loading of {what} is rejected")
        assert f"oading of {what}" in guide
    assert done.stderr.strip() in guide
    said = machine.run("ivshmem doctor", check=False).stdout
    assert re.search(r"FAIL +module .*/updates/dkms/ivshmem\.ko: signed by DKMS module signing "
                     r"key, but the kernel has refused a 'module with unavailable key'", said), said
    assert f"sudo mokutil --import {KEYS}/mok.pub" in said


def test_programs_do_not_drive_the_device(machine):
    """The kernel refuses it, and the tool says why."""
    done = machine.run("ivshmem info pci:0000:00:10.0", check=False)
    assert done.returncode and "locked down" in done.stderr, done


def test_module_of_enrolled_key_works(enrolled):
    """It is loaded, and each doorbell of the device rings; without a signature it is not."""
    assert "Key was rejected" in enrolled.run("insmod /mnt/share/unsigned.ko", check=False).stderr
    follow(enrolled, "enrolled")
    said = enrolled.run("ivshmem doctor").stdout
    assert "rang itself on 4 vectors, all arrived" in said, said
    enrolled.run("modprobe ivshmem_net && modprobe ivshmem_blk")
