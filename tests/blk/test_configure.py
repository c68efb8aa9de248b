# SPDX-License-Identifier: GPL-2.0-only
"""What is exported, as it is said on the command line and in files; what is refused."""
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest

from lab import Server
from tests.server.waiting import wait_until

from .disk import BOUND, OK, BackEnd, FrontEnd, program, run

MISSING = Path('/nonexistent')


def test_help_and_version(directory: Path):
    assert 'Usage: ivshmem-blk-server' in run('--help')
    assert run('--version').startswith('ivshmem-blk-server 0.')


@pytest.mark.parametrize('arguments, why', [
    ([], 'FILE: is missing'),
    (['unix:/x.sock'], 'FILE: is missing'),
    (['a', 'b'], 'b: one file at a time'),
    (['unix:/x.sock', 'a', 'b'], 'b: one file at a time'),
    (['--nonsense', 'a'], '--nonsense: unknown option'),
    (['--section'], '--section: needs an argument'),
    (['--section', '', 'a'], '--section=: expected a text'),
    (['--block-size', '513', 'a'], 'expected 512, 1024, 2048 or 4096'),
    (['--block-size', '8192', 'a'], 'expected 512, 1024, 2048 or 4096'),
    (['--queues', '0', 'a'], 'expected a number from 1 to 16'),
    (['--queues', '17', 'a'], 'expected a number from 1 to 16'),
    (['--poll-us', '100001', 'a'], 'expected a number from 0 to 100000'),
    (['--direct=maybe', 'a'], 'expected auto, on or off'),
    (['--writers=2', 'a'], 'expected one or all'),
    (['--serial', 'x' * 21, 'a'], 'at most 20 printable characters'),
    (['--serial', 'é', 'a'], 'at most 20 printable characters'),
    (['--serial', 'a', '--serial', 'b', 'a'], 'set twice'),
    (['--read-only', '--writers=all', 'a'], 'exclude each other'),
    (['--config', MISSING, 'a'], 'the exports of a configuration have their options'),
    (['--config', MISSING, '--read-only'], 'have their options'),
    (['--config', MISSING], 'cannot open the configuration'),
])
def test_wrong_command_lines(arguments: list[Any], why: str):
    said = run(*arguments, status=2)
    assert why in said and said.count('\n') == 1


@pytest.mark.parametrize('text, why', [
    ('', 'defines no export'),
    ('file = a\n', 'is in no section; put [export NAME] before it'),
    ('[exports a]\n', ':1: unknown section [exports a]'),
    ('[export ]\n', ':1: an export needs a name'),
    ('[export a]\nfile\n', ':2: expected KEY = VALUE, [export NAME]'),
    ('[export a]\nfiles = a\n', ':2: unknown key "files"; an export has: link section'),
    ('[export a]\nread-only = perhaps\n', ':2: read-only=perhaps: expected yes or no'),
    ('[export a]\nlink = here\n', ':2: link=here: neither a device nor unix:'),
    ('[export a]\nserial = a\n', ':1: file= is missing'),
    ('[export a]\nfile = a\n[export a]\nfile = b\n', ':3: export a is already defined by'),
    ('[export a]\nfile = a\n[export b]\nfile = a\n', ':3: file=a is already that of a'),
    ('[export a]\nfile = a\nlink = unix:/l\nsection = s\n'
     '[export b]\nfile = b\nlink = unix:/l\nsection = s\n', 'section=s of that link is'),
])
def test_wrong_files(directory: Path, text: str, why: str):
    path = directory / 'blk.conf'
    path.write_text(text)
    said = run('--config', path, status=2)
    assert why in said and str(path) in said


def refused(server: Server, *arguments: Any) -> str:
    """What is said of an export that cannot be had."""
    return run(server.address, *arguments, status=1)


def test_files_that_cannot_be_exported(server: Server, directory: Path):
    path = directory / 'image'
    assert 'No such file' in (said := refused(server, path)) and 'truncate -s' in said
    assert 'is a directory' in refused(server, directory)
    os.mkfifo(directory / 'pipe')
    assert 'neither a file nor a block device' in refused(server, directory / 'pipe')
    path.write_bytes(b'')
    assert f'is empty; give it a size: truncate -s SIZE {path}' in refused(server, path)
    path.write_bytes(bytes(1000))
    said = refused(server, path)
    assert 'its size of 1000 bytes is no multiple of 512' in said
    # The remedy is one.
    subprocess.run(said.rpartition('round it up: ')[2].split(), check=True)
    assert path.stat().st_size == 1024
    assert 'no multiple of 4096' in refused(server, '--block-size', 4096, path)


def test_a_file_without_permission(server: Server, directory: Path):
    path = directory / 'image'
    path.write_bytes(bytes(4096))
    path.chmod(0o444)
    user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] \
        if not os.geteuid() else []
    server.socket.parent.chmod(0o755)
    server.socket.chmod(0o666)
    said = subprocess.run([*user, program(), server.address, path], text=True, check=False,
                          capture_output=True, timeout=BOUND)
    assert said.returncode == 1 and 'or export it read-only' in said.stderr
    with BackEnd('--read-only', server.address, path, prefix=user) as back, \
            FrontEnd(server.address) as front:
        assert front.hello()['features'] == 1
        assert front.read(0, 512) == bytes(512)
        assert pwd.getpwuid(os.stat(f'/proc/{back.pid}').st_uid).pw_name != 'root'


@pytest.mark.parametrize('layout, arguments, why', [
    ('net', [], 'there is no section of type blk; `ivshmem format` with blk: makes one'),
    ('net=n', ['--section', 'n'], 'section n is not of type blk'),
    ('blk=b', ['--section', 'c'], 'there is no section c; `ivshmem info` lists them'),
    ('blk=a:16M,,blk=b:16M', [], 'several sections are of type blk; name one'),
])
def test_wrong_sections(serve, image: Path, layout: str, arguments: list[str], why: str):
    server = serve(size='64M', layout=layout)
    assert why in refused(server, *arguments, image)


def test_a_region_without_a_format(serve, image: Path):
    assert 'the memory is not formatted; `ivshmem format`' in refused(serve(), image)


def test_nobody_serves_the_link(directory: Path, image: Path):
    said = run(f'unix:{directory}/none.sock', image, status=1)
    assert 'no such socket; start ivshmemd' in said


def test_one_of_several_sections(serve, image: Path):
    server = serve(size='64M', layout='blk=a:16M,,blk=b:16M')
    with BackEnd('--section', 'b', server.address, image) as back, \
            FrontEnd(server.address, 'b') as front:
        assert back.told['section'] == 'b'
        assert front.read(2, 512) if front.hello() else False


def configure(path: Path, exports: dict[str, dict[str, Any]]) -> Path:
    """Write a configuration file."""
    path.write_text(''.join(
        f'[export {name}]\n' + ''.join(f'{k} = {v}\n' for k, v in keys.items())
        for name, keys in exports.items()))
    return path


@pytest.fixture
def two(serve, directory: Path, image: Path) -> tuple[Server, Path]:
    """A link with two sections, and a configuration that exports two files in them."""
    server = serve(size='64M', layout='blk=a:24M,,blk=b:24M', peers=6)
    other = directory / 'other.img'
    other.write_bytes(b'o' * 8192)
    return server, configure(directory / 'blk.conf', {
        'first': {'file': image, 'link': server.address, 'section': 'a', 'serial': 'one'},
        'second': {'file': other, 'link': server.address, 'section': 'b',
                   'read-only': 'yes'}})


def test_several_exports_in_a_process(two: tuple[Server, Path]):
    server, path = two
    with BackEnd('--config', path, exports=2) as back, \
            FrontEnd(server.address, 'a') as first, FrontEnd(server.address, 'b') as second:
        assert first.hello()['serial'] == 'one' and second.hello()['features'] == 1
        assert first.read(7, 512).startswith(b'sector 7 ')
        assert first.write(7, bytes(512)) == OK
        assert second.read(3, 512) == b'o' * 512
        assert {r['export'] for r in back.reports()} == {'first', 'second'}
        assert len(back.end()) == 2


def test_all_exports_or_none(two: tuple[Server, Path], directory: Path):
    """At the start; one that is wrong ends the others."""
    (directory / 'other.img').unlink()
    said = run('--config', two[1], status=1)
    assert 'other.img: No such file' in said


def test_an_export_that_fails_later_ends_alone(two: tuple[Server, Path], directory: Path):
    server, path = two
    with BackEnd('--config', path, exports=2) as back, FrontEnd(server.address, 'a') as front:
        front.hello()
        os.truncate(directory / 'other.img', 0)
        back.wait_log('second: ')
        assert front.read(1, 512).startswith(b'sector 1 ')


def test_readiness(two: tuple[Server, Path], directory: Path,
                   notifications: Callable[[Path], Any]):
    """READY comes once all serve, STOPPING at the end."""
    notify = notifications(directory / 'notify')
    with BackEnd('--config', two[1], exports=2, env=dict(
            os.environ, NOTIFY_SOCKET=str(directory / 'notify'))) as back:
        assert notify.recv(4096) == b'READY=1'
        back.end()
        assert notify.recv(4096).startswith(b'STOPPING=1')


def test_without_json_it_says_one_line(server: Server, image: Path, stack):
    with subprocess.Popen([program(), server.address, image], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        stack.callback(process.kill)
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith('disk.img: 8388608 bytes of ')
        front = stack.enter_context(FrontEnd(server.address))
        front.hello()
        wait_until(lambda: front.sessions() == 1, 'a session')
        process.send_signal(10)
        assert process.stdout.readline() == line
        assert process.stdout.readline().startswith('SLOT STATE   WRITES')
        assert process.stdout.readline().startswith('1    up      yes')
        process.terminate()
        assert process.wait(BOUND) == 0
