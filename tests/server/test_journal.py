# SPDX-License-Identifier: GPL-2.0-only
"""What the journal gets when that is where the log goes: fields for what
happens to clients.  The journal is a socket of ours, at its usual place in a
mount namespace of the server's own."""
import os
import re
import socket
import struct
from pathlib import Path
from typing import Iterator

import pytest

from .client import Client, refusal
from .conftest import ROOT
from .waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0,
                                reason='only root can mount')

IDS = dict(re.findall(r'#define LOG_ID_(\w+)\s+"([0-9a-f]{32})"',
                      (ROOT / 'server/log.h').read_text()))

# Becomes the program, whose standard error is that of the journal's stream.
NAMESPACE = """
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
mount --bind "$1" /run/systemd/journal
shift
JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
export JOURNAL_STREAM
exec "$@"
"""


def parse(datagram: bytes) -> dict[str, str]:
    """An entry in the journal's own protocol."""
    fields = {}
    while datagram:
        name, _, rest = datagram.partition(b'\n')
        if b'=' in name:
            name, _, value = name.partition(b'=')
        else:
            length, = struct.unpack('<Q', rest[:8])
            value, rest = rest[8:8 + length], rest[8 + length + 1:]
        fields[name.decode()] = value.decode()
        datagram = rest
    return fields


class Journal:
    """The socket, and what has come so far."""

    def __init__(self, directory: Path):
        self.folder = directory / 'journal'
        self.folder.mkdir()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.folder / 'socket'))
        self.socket.settimeout(0.1)
        self.entries: list[dict[str, str]] = []

    def prefix(self) -> list[str]:
        """What comes before the program and its arguments."""
        return ['unshare', '--mount', 'sh', '-euc', NAMESPACE, 'sh',
                str(self.folder)]

    def wait(self, number: int) -> list[dict[str, str]]:
        """Wait until there are so many entries."""
        def come() -> bool:
            try:
                self.entries.append(parse(self.socket.recv(65536)))
            except TimeoutError:
                pass
            return len(self.entries) >= number
        wait_until(come, f'{number} entries in the journal')
        return self.entries


@pytest.fixture
def journal(directory: Path) -> Iterator[Journal]:
    """The journal; closed at the end."""
    result = Journal(directory)
    yield result
    result.socket.close()


def test_fields(link, journal, directory):
    """Of clients who join, who leave, who are dropped, and who are refused;
    what is about none is text with a priority, as before."""
    server = link(peers=2, vectors=1, options={'prefix': journal.prefix()})
    path = directory / 'lab.sock'
    with Client(path).handshake(2, 1):
        journal.wait(1)
        with Client(path).handshake(2, 1) as second:
            journal.wait(2)
            assert refusal(path) == -87
            journal.wait(3)
            second.socket.send(b'x')
            journal.wait(4)
    entries = journal.wait(5)
    for entry in entries:
        assert entry['IVSHMEM_LINK'] == 'lab'
        assert entry['IVSHMEM_PID'] == str(os.getpid())
        assert entry['IVSHMEM_UID'] == str(os.geteuid())
        assert entry['SYSLOG_IDENTIFIER'] == 'ivshmemd'
        assert entry['MESSAGE'].startswith('link lab: ')
        assert not any(name.startswith('CODE_') for name in entry)
    expected = [('JOIN', '0', '6', 'joined'), ('JOIN', '1', '6', 'joined'),
                ('REFUSAL', None, '4', 'was refused: all slots are taken'),
                ('LEAVE', '1', '4', 'was dropped: it sent data'),
                ('LEAVE', '0', '6', 'is gone')]
    assert [(entry['MESSAGE_ID'], entry.get('IVSHMEM_SLOT'),
             entry['PRIORITY']) for entry in entries] == \
        [(IDS[name], slot, priority) for name, slot, priority, _ in expected]
    for entry, (*_, text) in zip(entries, expected):
        assert text in entry['MESSAGE']
    # Each once, in one of the two places.
    assert server.log.startswith('<6>link lab: ')
    assert 'joined' not in server.log and 'refused' not in server.log


def test_journal_that_does_not_take_it(link, journal, directory):
    """An entry that cannot be sent is a line, as if there were no fields."""
    (journal.folder / 'socket').unlink()
    (journal.folder / 'socket').write_text('no socket')
    server = link(peers=2, vectors=1, options={'prefix': journal.prefix()})
    with Client(directory / 'lab.sock').handshake(2, 1):
        server.wait_log(r'<6>link lab: slot 0: pid \d+ \(uid \d+\) joined')
