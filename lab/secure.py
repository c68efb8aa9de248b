# SPDX-License-Identifier: GPL-2.0-only
"""A virtual machine whose firmware starts nothing that is not signed.

Debian's own chain, of which nothing is changed: the firmware knows Microsoft's keys and
starts shim, which starts GRUB, which starts the kernel, both signed by Debian.
"""

import shutil
from pathlib import Path
from typing import Any

from .agent import poll_until
from .debian import Apt, locked
from .paths import TOOLS
from .vm import BOOT_TIMEOUT, VM

PACKAGES = ["ovmf", "shim-signed", "shim-helpers-amd64-signed", "grub-efi-amd64-signed"]
UNPACKED = TOOLS / "secure-boot"

# Where each looks for the next one, and what that is in the packages
LOADERS = {
    "EFI/BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed",
    "EFI/BOOT/mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
    "EFI/BOOT/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
}
GRUB = """\
linux /vmlinuz {parameters}
initrd /initrd
boot
"""


def _packages() -> Path:
    """Where the packages are unpacked, fetched on the first call."""
    if not UNPACKED.exists():
        with locked("fetch"):
            if not UNPACKED.exists():
                TOOLS.mkdir(parents=True, exist_ok=True)
                Apt().unpack(PACKAGES, UNPACKED)
    return UNPACKED


class SecureVM(VM):
    """A guest under Secure Boot; the firmware's variables are its own, and outlive resets.

    Once its owner's keys are to be enrolled, it takes answers from the keyboard.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Only in system management mode can variables be written
        super().__init__(*args, machine=",smm=on", no_reboot=False, **kwargs)

    def _boot(self, initrd: Path, parameters: str) -> list[str]:
        firmware = _packages() / "usr/share/OVMF"
        variables = self.directory / "variables"
        shutil.copy(firmware / "OVMF_VARS_4M.ms.fd", variables)
        disk = self._system_partition(initrd, parameters)
        return ["-global", "driver=cfi.pflash01,property=secure,value=on",
                "-drive", "if=pflash,unit=0,format=raw,readonly=on,"
                          f"file={firmware}/OVMF_CODE_4M.secboot.fd",
                "-drive", f"if=pflash,unit=1,format=raw,file={variables}",
                # QEMU makes a FAT file system of the folder
                "-drive", f"if=none,id=esp,format=raw,readonly=on,file=fat:{disk}",
                # Behind the channel of the guest agent, which the guest knows by its number
                "-device", "virtio-blk-pci,drive=esp,bootindex=0,addr=0x1e"]

    def _system_partition(self, initrd: Path, parameters: str) -> Path:
        """A folder with all that the firmware and what it starts read."""
        disk = self.directory / "esp"
        for place, source in LOADERS.items():
            (disk / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(_packages() / source, disk / place)
        shutil.copy(self.kernel.boot_image, disk / "vmlinuz")
        shutil.copy(initrd, disk / "initrd")
        (disk / "EFI/debian").mkdir()
        (disk / "EFI/debian/grub.cfg").write_text(GRUB.format(parameters=parameters))
        return disk

    def enroll(self, password: str) -> None:
        """Restart, and confirm to MokManager the key that mokutil was given.

        That was told to wait for an answer for ever (mokutil --timeout -1).
        """
        self.forget_events("RESET")
        seen = len(self.console.text())
        self.qmp("system_reset")
        self.wait_event("RESET")
        for screen, keys in (("Enroll hash from disk", ["down", "ret"]),
                             ("View key 0", ["down", "ret"]),
                             ("Enroll the key(s)?", ["down", "ret"]),
                             ("Password:", [*password, "ret"]),
                             ("Reboot", ["ret"])):
            seen = self._wait_screen(screen, seen)
            self._type(keys)
        self.wait_reset()

    def _wait_screen(self, words: str, seen: int) -> int:
        """Wait until the console has printed @words behind what was @seen; where they end."""
        found = poll_until(lambda: self.console.text().find(words, seen) + 1, BOOT_TIMEOUT,
                           f"{self.name}: screen: {words}")
        return found + len(words)

    def _type(self, keys: list[str]) -> None:
        """Press keys; no more than a keyboard can remember for a slow machine."""
        assert len(keys) <= 6
        for key in keys:
            self.qmp("send-key", keys=[{"type": "qcode", "data": key}])
