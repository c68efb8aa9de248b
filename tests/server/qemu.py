# SPDX-License-Identifier: GPL-2.0-only
"""A real QEMU without a guest, whose device is driven over its test port."""
import os
import shlex
import socket as sockets
import struct
import subprocess
import tempfile
from typing import Sequence

from lab.qmp import QMP

from .process import run
from .waiting import BOUND, wait_until

DOORBELL = 0x0c
IVPOSITION = 0x08

# Where the tests put the device's BARs, and messages of its interrupts.
REGISTERS = 0xfe000000
MSIX_TABLE = 0xfe100000
MEMORY = 0x100000000
MESSAGE = 0x2000

SLOT = 4


class Qemu:
    """One QEMU with one ivshmem-doorbell device that is attached to a link.

    @chardev is more of what the connection has, as in ",reconnect=1". A device that is
    not @plugged is only connected: plug() adds it, to a machine "pc".
    """

    def __init__(self, socket, vectors: int = 4, machine: str = 'q35',
                 program: Sequence[str] = ('qemu-system-x86_64',),
                 chardev: str = '', plugged: bool = True):
        arguments = shlex.split(
            run('--link', f'test,socket={socket},vectors={vectors}',
                '--show-qemu', 'test').stdout)
        assert arguments[0::2] == ['-chardev', '-device']
        arguments[1] += chardev
        arguments[3] += f',addr={SLOT}'
        self.device = arguments[3]
        self.errors = tempfile.TemporaryFile()
        monitor, far = sockets.socketpair()
        self.monitor = QMP(monitor)
        with far:
            self.process = subprocess.Popen(
                [*program, '-nodefaults', '-machine', machine,
                 '-m', '32', '-accel', 'tcg', '-S', '-display', 'none',
                 '-chardev', f'socket,id=monitor,fd={far.fileno()}',
                 '-qmp', 'chardev:monitor',
                 '-qtest', 'stdio', '-qtest-log', '/dev/null',
                 *arguments[:4 if plugged else 2]],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.errors, text=True, pass_fds=[far.fileno()])

    @property
    def log(self) -> str:
        """What it has complained about."""
        size = os.fstat(self.errors.fileno()).st_size
        return os.pread(self.errors.fileno(), size, 0).decode()

    def command(self, text: str) -> list[str]:
        """Run a command of the test port; the words of its answer."""
        try:
            self.process.stdin.write(text + '\n')
            self.process.stdin.flush()
            answer = self.process.stdout.readline().split()
        except BrokenPipeError:
            answer = []
        assert answer and answer[0] == 'OK', (text, answer, self.log)
        return answer[1:]

    def read(self, address: int) -> int:
        """Read 32 bits of the guest's physical address space."""
        return int(self.command(f'readl {address:#x}')[0], 16)

    def write(self, address: int, value: int) -> None:
        """Write 32 bits there."""
        self.command(f'writel {address:#x} {value:#x}')

    def write_config(self, offset: int, value: int) -> None:
        """Write 32 bits of the device's configuration space."""
        address = 0x80000000 | SLOT << 11 | offset
        self.command(f'outl 0xcf8 {address:#x}')
        self.command(f'outl 0xcfc {value:#x}')

    def read_config(self, offset: int) -> int:
        """Read 32 bits of the device's configuration space."""
        self.command(f'outl 0xcf8 {0x80000000 | SLOT << 11 | offset:#x}')
        return int(self.command('inl 0xcfc')[0], 16)

    def enable(self) -> 'Qemu':
        """Do what firmware and driver do: BARs, decoding, interrupts."""
        assert self.read_config(0) == 0x11101af4
        self.write_config(0x10, REGISTERS)
        self.write_config(0x14, MSIX_TABLE)
        self.write_config(0x18, MEMORY & 0xffffffff)
        self.write_config(0x1c, MEMORY >> 32)
        self.write_config(0x04, 0x6)
        # MSI-X capability at 0x40: enable.
        self.write_config(0x40, self.read_config(0x40) | 1 << 31)
        for vector in range((self.read_config(0x40) >> 16 & 0x7ff) + 1):
            entry = MSIX_TABLE + 16 * vector
            self.write(entry, MESSAGE + 4 * vector)
            self.write(entry + 4, 0)
            self.write(entry + 8, 1)
            self.write(entry + 12, 0)
        return self

    @property
    def id(self) -> int:
        """The ID that the server gave it."""
        return self.read(REGISTERS + IVPOSITION)

    def ring(self, peer: int, vector: int) -> None:
        """Write the doorbell register."""
        self.write(REGISTERS + DOORBELL, peer << 16 | vector)

    def rung(self, vector: int) -> bool:
        """Whether an interrupt came since the last look."""
        message = MESSAGE + 4 * vector
        came = self.read(message) == 1
        self.write(message, 0)
        return came

    def peek(self, offset: int, length: int) -> bytes:
        """Read from the shared memory."""
        words = range(MEMORY + offset, MEMORY + offset + length, 4)
        return b''.join(struct.pack('<I', self.read(word)) for word in words)

    def poke(self, offset: int, content: bytes) -> None:
        """Write to the shared memory."""
        for i, (word,) in enumerate(struct.iter_unpack('<I', content)):
            self.write(MEMORY + offset + 4 * i, word)

    def plug(self) -> 'Qemu':
        """Add the device; the connection has to be there."""
        kind, *properties = self.device.split(',')
        self.monitor.command('device_add', {'driver': kind, **{
            key: int(value) if key == 'vectors' else value
            for key, value in (one.split('=') for one in properties)}})
        return self

    @property
    def chardev(self) -> str:
        """The connection's name."""
        return self.device.split('chardev=')[1].split(',')[0]

    def connected(self) -> bool:
        """Whether QEMU knows of its connection, which is later than the server does."""
        return any(one['label'] == self.chardev and not one['filename'].startswith('disc')
                   for one in self.monitor.command('query-chardev', {}))

    def connect(self, path) -> None:
        """Replace the connection; there must be no device that uses it."""
        name = self.chardev
        self.monitor.command('chardev-remove', {'id': name})
        self.monitor.command('chardev-add', {'id': name, 'backend': {
            'type': 'socket', 'data': {'server': False, 'addr': {
                'type': 'unix', 'data': {'path': str(path)}}}}})

    def eject(self) -> None:
        """Unplug the device, as a guest of a machine "pc" does through ACPI:
        bus 0, the slot's bit."""
        self.command('outl 0xae10 0')
        self.command(f'outl 0xae08 {1 << SLOT:#x}')

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def wait_exit(self) -> int:
        """Wait until it has exited by itself; its status."""
        return self.process.wait(BOUND)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(BOUND)
        self.monitor.lines.sock.close()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


def ring_until(ring, rung, what: str) -> None:
    """Ring until it arrives: QEMU takes up the doorbells of peers late."""
    def arrived() -> bool:
        ring()
        return rung()
    wait_until(arrived, what)
