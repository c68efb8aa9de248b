# SPDX-License-Identifier: GPL-2.0-only
"""Metrics in Prometheus' text format, as Prometheus itself reads them."""
import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from lab import debian
from lab.paths import TOOLS

from .client import Client, refusal
from .control import ask, tool
from .process import unprivileged
from .waiting import BOUND, wait_until

SAMPLE = re.compile(r'(\w+)(?:\{(.*)\})? (\d+)')


def check(text: str) -> None:
    """Prometheus understands it, and finds no fault with its names."""
    # Unpacked only: the package would start a server on this machine.
    promtool = debian.unpacked('prometheus', TOOLS / 'prometheus',
                               'usr/bin/promtool')
    result = subprocess.run([promtool, 'check', 'metrics'], input=text,
                            text=True, capture_output=True, timeout=BOUND,
                            check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


def samples(text: str) -> dict[str, int]:
    """The values by name and labels."""
    found = {}
    for line in text.splitlines():
        if not line.startswith('#'):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            key = f'{name}{{{labels}}}' if labels else name
            assert key not in found
            found[key] = int(value)
    return found


@pytest.fixture
def file(directory: Path) -> Path:
    """Where the metrics are written to."""
    return directory / 'ivshmemd.prom'


@pytest.fixture
def configured(serve, directory, control, file):
    """Start a server with two links, control socket and file."""
    def start(*lines: str, **options):
        path = directory / 'test.conf'
        path.write_text('\n'.join([
            '[server]', f'control={control}', f'metrics-file={file}', *lines,
            '[link lab]', f'socket={directory}/lab.sock', 'peers=2',
            'vectors=1', 'size=64K', '[link other.link_2-b]',
            f'socket={directory}/other.sock', 'peers=3', 'vectors=1', '']))
        return serve('--config', path, **options)
    return start


def test_prometheus_understands_them(configured, control, file):
    """Of an idle server and of one to which something has happened; the same
    over the socket, by the tool, and in the file."""
    server = configured()
    for text in (ask(control, b'metrics\n').decode(),
                 tool('metrics', '--control', control), file.read_text()):
        check(text)
        values = samples(text)
        assert values['ivshmemd_links'] == 2
        assert values['ivshmemd_link_slots{link="other.link_2-b"}'] == 3
        assert values['ivshmemd_link_memory_bytes{link="lab"}'] == 65536
    lab = control.parent / 'lab.sock'
    with Client(lab).handshake(2, 1), Client(lab).handshake(2, 1) as second:
        assert refusal(lab) == -87
        second.socket.send(b'x')
        server.wait_log('slot 1: .* was dropped')
        text = ask(control, b'metrics\n').decode()
    check(text)
    values = samples(text)
    for name, value in (('connects', 3), ('joins', 2), ('drops', 1),
                        ('slots_reclaimed', 1), ('crashes', 0)):
        assert values[f'ivshmemd_link_{name}_total{{link="lab"}}'] == value
        assert values[f'ivshmemd_link_{name}_total'
                      '{link="other.link_2-b"}'] == 0
    clients = 'ivshmemd_link_clients{link="lab",state="%s"}'
    assert values[clients % 'joined'] == 1
    assert values[clients % 'handshake'] == 0
    reason = 'ivshmemd_link_refusals_total{link="lab",reason="%s"}'
    assert values[reason % 'full'] == 1
    assert values[reason % 'permission'] == 0


def test_promtool_finds_faults():
    """The check above can fail."""
    for text in ('# HELP a x\n# TYPE a counter\na 1\n', 'a_total 1\n',
                 'a{b=c} 1\n', 'a_total x\n'):
        with pytest.raises(AssertionError):
            check(text)


def test_file_follows(configured, control, file):
    """Whatever happens is in it soon, and whoever reads it finds all of it."""
    configured()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    clients = 'ivshmemd_link_clients{link="lab",state="joined"}'

    def joined() -> int:
        text = file.read_text()
        assert text.startswith('# HELP') and text.endswith('\n')
        return samples(text)[clients]

    assert joined() == 0
    with Client(control.parent / 'lab.sock').handshake(2, 1):
        wait_until(lambda: joined() == 1, 'the client to be in the file')
    wait_until(lambda: joined() == 0, 'the client to be out of it again')
    check(file.read_text())
    assert not file.with_suffix('.prom.tmp').exists()


def test_file_goes_with_the_server(configured, file):
    """Nobody takes it for what is."""
    server = configured()
    assert file.exists()
    assert server.stop() == 0
    assert not list(file.parent.glob('*.prom*'))


def test_file_for_others(configured, file):
    """The collector is another user, even if the server is careful."""
    configured(preexec_fn=lambda: os.umask(0o077))
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_nothing_is_written_through_links(configured, file):
    """Where the file is made, something may be in the way."""
    precious = file.parent / 'precious'
    precious.write_text('mine')
    file.with_suffix('.prom.tmp').symlink_to(precious)
    file.symlink_to(precious)
    configured()
    assert precious.read_text() == 'mine'
    assert not file.is_symlink()
    check(file.read_text())


def test_file_that_cannot_be_written(configured, file):
    """That is said once, and links are served all the same."""
    file.mkdir()
    (file / 'x').touch()
    server = configured(**unprivileged())
    with Client(file.parent / 'lab.sock').handshake(2, 1):
        server.wait_log('slot 0: .* joined')
    server.wait_log('slot 0: .* is gone')
    assert server.log.count(f'metrics-file={file}: cannot write it') == 1
    assert not file.with_suffix('.prom.tmp').exists()


def test_file_that_changes(configured, file, control):
    """At a reload: the old one goes, the new one comes; reloads are counted,
    and a mistake shows."""
    server = configured()
    path = file.parent / 'test.conf'
    text = path.read_text()
    moved = file.with_name('moved.prom')

    def reload(wanted: str, log: str) -> None:
        path.write_text(wanted)
        server.process.send_signal(signal.SIGHUP)
        server.wait_log(log)

    reload(text.replace(str(file), str(moved)), 'reloaded: ')
    wait_until(lambda: moved.exists() and not file.exists(),
               'the file to be where it is wanted')
    values = samples(moved.read_text())
    result = 'ivshmemd_config_reloads_total{result="%s"}'
    assert values[result % 'success'] == 1
    assert values['ivshmemd_config_last_reload_successful'] == 1

    reload('nonsense', 'not reloaded')
    values = samples(ask(control, b'metrics\n').decode())
    assert values[result % 'success'] == values[result % 'failure'] == 1
    assert values['ivshmemd_config_last_reload_successful'] == 0

    path.write_text(text.replace(str(file), 'none'))
    server.process.send_signal(signal.SIGHUP)
    server.wait_log('reloaded: ', count=2)
    wait_until(lambda: not moved.exists(), 'the file to be gone')


def test_links_that_come_and_go(configured, control):
    """A link that is gone has no metrics; one that comes back starts anew."""
    server = configured()
    path = control.parent / 'test.conf'
    text = path.read_text()
    with Client(control.parent / 'lab.sock').handshake(2, 1):
        server.wait_log('slot 0: .* joined')
    name = 'ivshmemd_link_joins_total{link="lab"}'
    assert samples(ask(control, b'metrics\n').decode())[name] == 1
    for count, wanted in enumerate((text[:text.index('[link lab]')] +
                                    text[text.index('[link other'):], text), 1):
        path.write_text(wanted)
        server.process.send_signal(signal.SIGHUP)
        server.wait_log('reloaded: ', count)
        values = samples(ask(control, b'metrics\n').decode())
        assert values.get(name) == (None, 0)[count - 1]
