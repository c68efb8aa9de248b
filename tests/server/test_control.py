# SPDX-License-Identifier: GPL-2.0-only
"""Asking the server how it is, over its control socket, and by the tool."""
import grp
import json
import os
import pwd
import re
import resource
import socket
import stat
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from random import Random

import pytest

from .client import Client, refusal
from .control import TOOL, ask, connect, read_all, status, tool
from .process import Server, refused, unprivileged
from .waiting import BOUND, wait_until


@pytest.fixture
def served(link, control) -> Server:
    """A server with a small link and a control socket."""
    return link('--control', control, peers=3, vectors=2, size='64K')


def test_status_of_an_idle_server(served, control):
    """The server, its configuration, and its link with nobody there."""
    answer = status(control)
    assert answer['pid'] == served.pid
    assert re.fullmatch(r'\d+\.\d+\.\d+', answer['version'])
    assert answer['configuration'] == {
        'loaded': answer['since'], 'reloads': 0, 'failures': 0, 'error': None}
    assert 0 < answer['descriptors']['needed'] <= answer['descriptors']['limit']
    link, = answer['links']
    assert re.fullmatch(r'\d{4}(-\d\d){2}T\d\d(:\d\d){2}Z', link.pop('since'))
    assert link == {
        'name': 'lab', 'state': 'serving', 'size': 65536, 'peers': 3,
        'socket': str(control.parent / 'lab.sock'), 'vectors': 2,
        'memory': 'memfd', 'layout': None, 'waiting': 0, 'slots': [],
        'counts': {'connects': 0, 'joins': 0, 'drops': 0, 'reclaimed': 0,
                   'crashes': 0},
        'refusals': dict.fromkeys(link['refusals'], 0)}
    assert {'full', 'permission', 'shutdown', 'exhausted'} <= \
        set(link['refusals'])


def test_status_of_a_busy_server(served, control):
    """Who is there, who was, and who was refused."""
    path = control.parent / 'lab.sock'
    began = datetime.now(timezone.utc).replace(microsecond=0)
    with Client(path).handshake(3, 2), Client(path), Client(path) as third:
        served.wait_log('slot 0: .* joined')
        third.handshake(3, 2)
        assert refusal(path) == -87
        assert refusal(path) == -87
        third.socket.send(b'garbage')
        served.wait_log('slot 2: .* was dropped')
        link, = status(control)['links']
    assert [slot['slot'] for slot in link['slots']] == [0, 1]
    for slot in link['slots']:
        assert (slot['pid'], slot['uid'], slot['gid']) == \
            (os.getpid(), os.geteuid(), os.getegid())
        since = datetime.fromisoformat(slot['since'].replace('Z', '+00:00'))
        assert began <= since <= datetime.now(timezone.utc)
        assert slot['state'] in ('joined', 'handshake')
    assert link['slots'][0]['state'] == 'joined'
    assert link['counts']['connects'] == 5
    assert link['counts']['joins'] >= 2
    assert (link['counts']['drops'], link['counts']['reclaimed']) == (1, 1)
    assert link['refusals']['full'] == 2
    assert sum(link['refusals'].values()) == 2


def test_client_in_its_handshake(link, control):
    """It is not said to have joined before it has been told everything."""
    server = link('--control', control, peers=32, vectors=64)
    with Client(control.parent / 'lab.sock') as slow:
        server.wait_idle()
        slot, = status(control)['links'][0]['slots']
        assert slot['state'] == 'handshake'
        slow.handshake(32, 64)
        server.wait_log('slot 0: .* joined')
        slot, = status(control)['links'][0]['slots']
        assert slot['state'] == 'joined'


def test_refusals_by_reason(link, control):
    """Each is counted as what it is."""
    link('--control', control, allow=os.geteuid() + 1)
    for _ in range(3):
        assert refusal(control.parent / 'lab.sock') == -13
    refusals = status(control)['links'][0]['refusals']
    assert refusals['permission'] == sum(refusals.values()) == 3


def test_formatted_region(link, control):
    """Its layout is there, as --check has it."""
    link('--control', control, size='1M', layout='raw=a:64K')
    layout = status(control)['links'][0]['layout']
    assert layout.startswith('raw=a:64K')


def test_reloads(serve, directory, control):
    """How often, whether the last one was refused and why; links that come
    and go; the socket itself stays where it is."""
    path = directory / 'test.conf'

    def configuration(name: str, *server: str) -> str:
        return '\n'.join(['[server]', f'control={control}', *server,
                          f'[link {name}]', f'socket={directory}/{name}.sock',
                          ''])

    path.write_text(configuration('a'))
    server = serve('--config', path)
    assert stat.S_IMODE(control.stat().st_mode) == 0o660
    path.write_text(configuration('b', 'control-mode=0600'))
    server.process.send_signal(1)
    server.wait_log('reloaded: ')
    assert [link['name'] for link in status(control)['links']] == ['b']
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    path.write_text('nonsense')
    server.process.send_signal(1)
    server.wait_log('not reloaded')
    answer = status(control)['configuration']
    assert (answer['reloads'], answer['failures']) == (2, 1)
    assert answer['error'].startswith(f'{path}:1: expected ')
    assert f'not reloaded: {path}:1: expected' in \
        tool('status', '--control', control)
    path.write_text(configuration('b').replace(str(control), 'none'))
    server.process.send_signal(1)
    server.wait_log('control=none: cannot change while the server runs, it '
                    f'stays {control}; restart the server')
    answer = status(control)['configuration']
    assert (answer['reloads'], answer['error']) == (3, None)
    assert stat.S_IMODE(control.stat().st_mode) == 0o660


def test_link_that_is_leaving(serve, directory, control):
    """It is still there as long as somebody is in the handshake."""
    path = directory / 'test.conf'
    text = f'[server]\ncontrol={control}\n[link a]\nsocket={directory}/a\n'
    path.write_text(text + f'[link b]\nsocket={directory}/b\npeers=32\n'
                    'vectors=64\n')
    server = serve('--config', path)
    with Client(directory / 'b'):
        server.wait_idle()
        path.write_text(text)
        server.process.send_signal(1)
        server.wait_log('reloaded: ')
        links = {link['name']: link['state']
                 for link in status(control)['links']}
        assert links in ({'a': 'serving', 'b': 'leaving'}, {'a': 'serving'})
        wait_until(lambda: len(status(control)['links']) == 1,
                   'the link to have left')


def test_permissions(link, control, other_group):
    """Not everybody may ask, and the socket goes when the server does."""
    path = control.parent / 'test.conf'
    path.write_text(f'[server]\ncontrol-mode=0606\ncontrol-group={other_group}'
                    '\n')
    server = link('--control', control, '--config', path)
    found = control.stat()
    assert stat.S_IMODE(found.st_mode) == 0o606
    assert grp.getgrgid(found.st_gid).gr_name == other_group
    assert server.stop() == 0
    assert not list(control.parent.glob('control.sock*'))


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can change users')
def test_stranger(served, control):
    """Others than the owner and the group are not told who is connected."""
    assert 'permission denied; run as root or as a member' in \
        tool('status', '--control', control, code=1, **unprivileged())
    assert served.process.poll() is None


def test_control_socket_in_use(link, directory, control):
    """Two servers cannot have one; the second does not come up."""
    server = link('--control', control)
    reason = refused('--link', f'b,socket={directory}/b.sock', '--control',
                     control, status=1)
    assert f'{control}: another ivshmemd serves it (pid {server.pid}); stop ' \
        'that one, or name another with control=' in reason
    assert not list(directory.glob('b.sock*'))
    assert status(control)['pid'] == server.pid


@pytest.mark.parametrize('request_', [
    b'\n', b'nonsense\n', b'status \n', b'STATUS\n', b'status\r\n',
    b'\0\n', b'status\0x\n', b'x' * 32, b'x' * 31 + b'\n', b'\xff' * 100,
    b'{"status": 1}\n', b'statusstatus\n',
])
def test_unknown_request(served, control, request_):
    """It is answered, whatever it is."""
    answer = ask(control, request_)
    if request_ == b'status\0x\n':
        assert json.loads(answer)['pid'] == served.pid
    else:
        assert json.loads(answer) == {'error': 'there is no such request'}
    assert status(control)['pid'] == served.pid


def test_request_in_pieces(served, control):
    """Bytes may come one by one, and more after the line does not matter."""
    with connect(control) as connection:
        for byte in b'status\n':
            connection.send(bytes([byte]))
            served.wait_idle()
        assert connection.recv(9) == b'{ "version'[:9]
    assert json.loads(ask(control, b'status\n' + b'status\n')
                      )['pid'] == served.pid


def large(link, control) -> Server:
    """A server whose status does not fit into the buffer of a socket."""
    many = [f'--link={i:032},socket={control.parent}/{i:070},size=4K,peers=2,'
            'vectors=1' for i in range(500)]
    return link('--control', control, *many, '--quiet', peers=2, vectors=1)


def test_visitors_that_do_not_read(link, control):
    """They are hung up on after a while, keep nobody else from asking, and
    clients of links do not notice."""
    server = large(link, control)
    server.wait_idle()
    before = server.descriptors()
    answer = ask(control, b'status\n')
    assert len(answer) > 212992 and len(json.loads(answer)['links']) == 501
    sleepers = [connect(control) for _ in range(20)]
    for sleeper in sleepers:
        try:
            sleeper.send(b'status\n')
        except BrokenPipeError:
            pass    # there are more than eight
    server.wait_idle()
    # Eight are kept, and not one of them keeps others out.
    assert len(server.descriptors()) <= len(before) + 8
    assert len(json.loads(ask(control, b'status\n'))['links']) == 501
    with Client(control.parent / 'lab.sock').handshake(2, 1) as client:
        assert client.id == 0
    wait_until(lambda: server.descriptors() == before,
               'those who do not read to be hung up on')
    for sleeper in sleepers:
        sleeper.close()


def test_visitors_that_say_nothing(served, control):
    """The same."""
    served.wait_idle()
    before = served.descriptors()
    silent = [connect(control) for _ in range(30)]
    served.wait_idle()
    assert len(served.descriptors()) <= len(before) + 8
    assert status(control)['pid'] == served.pid
    wait_until(lambda: served.descriptors() == before,
               'those who say nothing to be hung up on')
    for one in silent:
        one.close()


def test_visitors_in_any_order(served, control):
    """Whatever they do, the next one is answered and nothing is left."""
    random = Random(7)
    served.wait_idle()
    before = served.descriptors()
    present: list[socket.socket] = []
    for _ in range(300):
        what = random.randrange(5)
        if what == 0 or not present:
            present.append(connect(control))
        elif what == 1:
            present.pop(random.randrange(len(present))).close()
        else:
            try:
                one = random.choice(present)
                if what == 2:
                    one.send(random.randbytes(random.randrange(1, 40)))
                elif what == 3:
                    one.send(b'status\n')
                else:
                    one.shutdown(socket.SHUT_WR)
            except OSError:
                pass    # it was hung up on
    assert status(control)['pid'] == served.pid
    for one in present:
        one.close()
    wait_until(lambda: served.descriptors() == before,
               'the descriptors of visitors to be closed')


def test_no_descriptors_left(served, control):
    """Who asks waits until there is one, and the server does not spin."""
    served.wait_idle()
    old = resource.prlimit(served.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(served.pid, resource.RLIMIT_NOFILE, (3, old[1]))
    with connect(control) as connection:
        connection.send(b'status\n')
        ticks = served.processor_ticks()
        # It looks after somebody else as often, which the log shows.
        with Client(control.parent / 'lab.sock'):
            served.wait_log('a client waits: Too many open files', count=5)
        assert served.processor_ticks() - ticks < 10
        resource.prlimit(served.pid, resource.RLIMIT_NOFILE, old)
        assert json.loads(read_all(connection))['pid'] == served.pid


def test_table(served, control):
    """What a person reads: the link, and the process with its user."""
    path = control.parent / 'lab.sock'
    with Client(path).handshake(3, 2):
        served.wait_log('slot 0: .* joined')
        text = tool('status', '--control', control)
    lines = text.splitlines()
    assert lines[0].startswith(f'ivshmemd {status(control)["version"]}, '
                               f'pid {served.pid}, since 20')
    link = next(line for line in lines if line.startswith('lab '))
    assert link.split()[1:4] == ['serving', '1/3', '64'] and str(path) in link
    slot = [line for line in lines if line.startswith('lab ')][1].split()
    user = pwd.getpwuid(os.geteuid()).pw_name
    program = Path('/proc/self/comm').read_text().strip()
    assert slot[:6] == ['lab', '0', 'joined', str(os.getpid()),
                        str(os.geteuid()), user]
    assert slot[6] == program.split()[0]


def test_table_of_refusals(link, control):
    """They are listed by reason where there were any."""
    link('--control', control, allow=os.geteuid() + 1)
    assert 'refused on' not in tool('status', '--control', control)
    refusal(control.parent / 'lab.sock')
    assert 'refused on lab: permission 1\n' in \
        tool('status', '--control', control)


def test_json_of_the_tool(served, control):
    """What the server says, with the names of user and program."""
    with Client(control.parent / 'lab.sock').handshake(3, 2):
        served.wait_log('slot 0: .* joined')
        answer = json.loads(tool('status', '--json', '--control', control))
        plain = status(control)
    slot = answer['links'][0]['slots'][0]
    assert slot.pop('user') == pwd.getpwuid(os.geteuid()).pw_name
    assert slot.pop('program') == Path('/proc/self/comm').read_text().strip()
    assert answer == plain


def test_program_with_an_odd_name(served, control):
    """What a process calls itself does not reach the terminal."""
    code = ('import socket, sys\n'
            'open("/proc/self/comm", "w").write("a\\033[31mb")\n'
            's = socket.socket(socket.AF_UNIX)\n'
            's.connect(sys.argv[1])\n'
            'print(flush=True)\n'
            'sys.stdin.read()\n')
    with subprocess.Popen(['/usr/bin/python3', '-c', code,
                           control.parent / 'lab.sock'], text=True,
                          stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == '\n'
        served.wait_log('slot 0: .* joined')
        text = tool('status', '--control', control)
        process.stdin.close()
    assert 'a?[31mb' in text and '\033' not in text


def test_no_server(directory):
    """The reason is said, and what to do."""
    path = directory / 'none.sock'
    assert f'{path}: no ivshmemd answers there; is it running' in \
        tool('status', '--control', path, code=1)
    assert 'File name too long' in \
        tool('status', '--control', '/' + 'x' * 200, code=1)


def status_of(directory, answer: bytes) -> subprocess.CompletedProcess:
    """What the tool makes of an answer that no server of ours gives."""
    path = directory / 'other.sock'
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with subprocess.Popen([TOOL, 'server', 'status', '--control', path], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            connection, _ = listener.accept()
            connection.recv(64)
            connection.sendall(answer)
            connection.close()
            said = process.communicate(timeout=BOUND)
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


@pytest.mark.parametrize('answer', [
    b'', b'\n', b'{', b'{}\n', b'[]\n', b'null\n', b'{"links": 7}\n',
    b'{"links": []}\n', b'\0\n', b'{"links": [1]}', b'[' * 10000 + b'\n',
])
def test_something_else_answers(directory, answer):
    """The tool does not believe what it does not understand."""
    done = status_of(directory, answer)
    assert done.returncode == 1
    assert 'the answer is not one of ivshmemd\'s' in done.stderr


@pytest.mark.parametrize('answer', [
    b'{"links": [1]}\n', b'{"links": [{"slots": [1, {"pid": "x"}]}]}\n',
    b'{"links": [{"refusals": 3, "counts": [], "name": "\\u001b[2J"}]}\n',
    b'{"links": [{"state": "\\u001b[2J", "slots": [{"state": "\\u001b[2J"}]}]}\n',
])
def test_something_else_answers_alike(directory, answer):
    """What is missing is left out, and nothing worse happens."""
    done = status_of(directory, answer)
    assert done.returncode == 0
    assert 'LINK' in done.stdout and '\033' not in done.stdout
