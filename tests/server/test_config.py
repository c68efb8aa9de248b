# SPDX-License-Identifier: GPL-2.0-only
"""The configuration: what is understood, and what is refused and how."""
import json
import os
import resource
import shlex
import subprocess
from xml.etree import ElementTree

import pytest

from .client import Client
from .process import program, refused, run

DEFAULTS = {'name': 'lab', 'socket': '/run/ivshmem/lab.sock',
            'size': 4 << 20, 'peers': 8, 'vectors': 4, 'memory': 'memfd',
            'mode': '0660', 'layout': None}


def links(*arguments: str) -> list[dict]:
    """The links as the program understands them."""
    result = run('--check', '--json', *arguments)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return json.loads(result.stdout)['links']


@pytest.fixture
def configure(directory):
    """Write a configuration file."""
    def write(text: str):
        path = directory / 'test.conf'
        path.write_text(text)
        return path
    return write


def test_defaults_are_the_same_everywhere(configure):
    """A link that is only named has the same settings both ways."""
    assert links('--link', 'lab') == [DEFAULTS]
    assert links('--config', configure('[link lab]\n')) == [DEFAULTS]


VALUES = {'socket': '/tmp/x.sock', 'size': '64K', 'peers': '3',
          'vectors': '17', 'memory': 'file:/tmp/x', 'mode': '0600',
          'layout': 'raw=a:8K:vector=16', 'layout-force': 'yes'}
UNDERSTOOD = {'name': 'lab', 'socket': '/tmp/x.sock', 'size': 65536,
              'peers': 3, 'vectors': 17, 'memory': 'file:/tmp/x',
              'mode': '0600',
              'layout': {'description': 'raw=a:8K:vector=16',
                         'sections': [{'name': 'a', 'type': 'raw',
                                       'offset': 5 * 4096, 'size': 8192,
                                       'vector': 16, 'queues': 1,
                                       'ring_size': 0}]}}


def test_all_keys_are_the_same_everywhere(configure):
    """File and option understand one language."""
    items = [f'{key}={value}' for key, value in VALUES.items()]
    assert links('--link', ','.join(['lab', *items])) == [UNDERSTOOD]
    text = '\n'.join(['[link lab]', *items])
    assert links('--config', configure(text)) == [UNDERSTOOD]


def test_file_layout(configure):
    """Comments, empty lines, spaces and indentation are the user's choice;
    every section begins a link, also one without keys."""
    path = configure('# A comment\n'
                     '\n'
                     '[server]\n'
                     'handshake-timeout = 3\n'
                     '[link one]\n'
                     '[link two]   \n'
                     '  size = 64K   ; remark\n'
                     '\tpeers=3\n'
                     '; another comment\n'
                     'vectors : 2\r\n'
                     '[link three]')
    result = run('--check', '--json', '--config', path)
    understood = json.loads(result.stdout)
    assert understood['handshake_timeout'] == 3
    assert [(link['name'], link['size'], link['peers'], link['vectors'])
            for link in understood['links']] == [
        ('one', 4 << 20, 8, 4), ('two', 65536, 3, 2), ('three', 4 << 20, 8, 4)]


def test_control_socket(configure):
    """The place of it, and that none is meant by none; without the default
    file there is none."""
    def control(*arguments):
        result = run('--check', '--json', *arguments)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)['control']

    path = configure('[server]\ncontrol=/tmp/c\n[link a]\n')
    assert control('--config', path) == '/tmp/c'
    assert control('--config', path, '--control', '/tmp/d') == '/tmp/d'
    assert control('--config', path, '--control', 'none') is None
    assert control('--config', configure('[link a]\n')) is None
    assert control('--link', 'a') is None
    assert control('--link', 'a', '--control', '/tmp/c') == '/tmp/c'


@pytest.mark.parametrize('control, expected', [
    ('/tmp/a.sock', 'control=/tmp/a.sock is the socket of link a, defined by'),
    ('/' + 'x' * 110, 'longer than the 107 characters'),
    ('a', 'control=a: expected an absolute path'),
])
def test_control_socket_that_cannot_be(control, expected):
    """As with sockets of links."""
    assert expected in refused('--link', 'a,socket=/tmp/a.sock', '--control',
                               control, status=2)


def test_file_and_options_together(configure):
    """Links add up; the command line wins over the file."""
    path = configure('[server]\nhandshake-timeout=5\n[link one]\n')
    result = run('--config', path, '--link', 'two', '--handshake-timeout', 7,
                 '--check', '--json')
    understood = json.loads(result.stdout)
    assert understood['handshake_timeout'] == 7
    assert {link['name'] for link in understood['links']} == {'one', 'two'}


@pytest.mark.parametrize('text, line, expected', [
    ('size=4M\n', 1, '"size" is in no section; put [server] or [link NAME]'),
    ('[link lab]\nsize\n', 2, 'expected KEY = VALUE, [server] or [link'),
    ('[link lab]\n\n\nnonsense here\nsize=4M\n', 4, 'expected KEY = VALUE'),
    ('[link lab\nsize=4M\n', 1, 'expected [server] or [link NAME]'),
    ('[link lab] x\n', 1, 'expected [server] or [link NAME]'),
    ('[]\n', 1, 'unknown section []'),
    ('[links lab]\n', 1, 'unknown section [links lab]; expected [server]'),
    ('[link]\n', 1, 'unknown section [link]; expected [server] or [link'),
    ('[link ]\n', 1, 'link name "": expected 1 to 32 letters'),
    ('[link  a b]\n', 1, 'link name "a b": expected 1 to 32 letters'),
    ('[link ../x]\n', 1, 'link name "../x": expected'),
    (f'[link {"x" * 33}]\n', 1, 'expected 1 to 32 letters'),
    (f'[link {"x" * 90}]\n', 1, 'expected 1 to 32 letters'),
    ('[link a]\n[link b]\n[link a]\n', 3, 'link a is already defined by'),
    ('[link lab]\n=4M\n', 2, 'unknown key ""'),
    ('[link lab]\nsizes=4M\n', 2,
     'unknown key "sizes"; a link has: socket size peers'),
    ('[link lab]\nSize=4M\n', 2, 'unknown key "Size"'),
    ('[link lab]\nsize=4M\nsize=4M\n', 3, 'size= is set twice for link lab'),
    ('[link lab]\nsize=\n', 2, 'size=: expected a power of two'),
    ('[link lab]\nsize=3M\n', 2, 'size=3M: not a power of two'),
    ('[link lab]\n  size=4M\n  size=4M\n', 3, 'is set twice'),
    ('[link lab]\npeers=1\n', 2, 'peers=1: expected a number from 2 to 64'),
    ('[link lab]\npeers=65\n', 2, 'peers=65: expected a number'),
    ('[link lab]\npeers=8 # many\n', 2, 'peers=8 # many: expected'),
    ('[link lab]\npeers=-2\n', 2, 'expected a number'),
    ('[link lab]\npeers=4294967298\n', 2, 'expected a number'),
    ('[link lab]\nvectors=0\n', 2, 'vectors=0: expected a number from 1'),
    ('[link lab]\nvectors=257\n', 2, 'vectors=257: expected a number'),
    ('[link lab]\nvectors=two\n', 2, 'vectors=two: expected a number'),
    ('[link lab]\npeers=64\nvectors=65\n', 1,
     'peers=64 times vectors=65 is more than 4096 doorbells'),
    ('[link lab]\nsocket=lab.sock\n', 2, 'expected an absolute path'),
    ('[link lab]\nsocket=/tmp/\n', 2, 'expected an absolute path of a file'),
    ('[link lab]\nsocket=\n', 2, 'expected an absolute path'),
    ('[link lab]\nmemory=shm\n', 2, 'memory=shm: expected memfd, hugetlb,'),
    ('[link lab]\nmemory=file:x\n', 2, 'expected an absolute path'),
    ('[link lab]\nmemory=hugetlb:3M\n', 2, 'the size of a huge page'),
    ('[link lab]\nmode=rw\n', 2, 'mode=rw: expected an octal mode'),
    ('[link lab]\nmode=0888\n', 2, 'expected an octal mode'),
    ('[link lab]\nmode=01777\n', 2, 'expected an octal mode'),
    ('[link lab]\nmode=0444\n', 2, 'with which somebody may write'),
    ('[link lab]\nuser=no such\n', 2, 'user=no such: there is no such user'),
    ('[link lab]\ngroup=no such\n', 2, 'there is no such group'),
    ('[link lab]\ngroup=4294967295\n', 2, 'there is no such group'),
    ('[link lab]\nallow=root:no such\n', 2, 'there is no such user: "no such'),
    ('[link lab]\nallow=@no such\n', 2, 'there is no such group: "@no such'),
    ('[link lab]\nallow=\n', 2, 'there is no such user: ""'),
    ('[link lab]\nclients-per-user=0\n', 2, 'expected a number from 1 to 64'),
    ('[link lab]\nclients-per-user=all\n', 2, 'clients-per-user=all: expected'),
    ('[link lab]\nconnects-per-second=100001\n', 2,
     'expected a number from 1 to 100000'),
    ('[server]\nsize=4M\n', 2, 'unknown key "size"; the server has:'),
    ('[server]\ncontrol=here\n', 2, 'control=here: expected an absolute path'),
    ('[server]\ncontrol=/x\ncontrol=none\n', 3, 'control is set twice'),
    ('[server]\ncontrol-mode=0444\n', 2, 'control-mode=0444: expected'),
    ('[server]\ncontrol-group=no such\n', 2, 'there is no such group'),
    ('[server]\nmetrics-file=x\n', 2, 'metrics-file=x: expected an absolute'),
    ('[server]\nhandshake-timeout=0\n', 2, 'expected a number from 1 to 3600'),
    ('[server]\nhandshake-timeout=1\nhandshake-timeout=1\n', 3, 'twice'),
    ('[link a]\nsocket=/x\n[link b]\nsocket=/x\n', 3,
     'socket=/x is already that of link a'),
    ('[link a]\nmemory=file:/x\n[link b]\nmemory=file:/x\n', 3,
     'memory=file:/x is already that of link a'),
    ('[link lab]\nsocket=/' + 'x' * 300 + '\n', 2, 'the line is longer than'),
    ('[link lab]\nsize=4M\0\n', 2, 'contains a NUL character'),
])
def test_malformed_line(configure, text, line, expected):
    """File and line are named, and what was expected there."""
    path = configure(text)
    for arguments in (['--config', path], ['--config', path, '--check']):
        reason = refused(*arguments, status=2)
        assert reason.startswith(f'ivshmemd: {path}:{line}: ')
        assert expected in reason


@pytest.fixture
def drop_in(directory):
    """Write a file of the drop-in folder."""
    def write(name: str, text: str):
        path = directory / 'test.conf.d' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path
    return write


def test_drop_ins_add_up(configure, drop_in):
    """After the file, those of its folder by their names; no others."""
    path = configure('[link main]\n')
    drop_in('20-second.conf', '[link second]\n')
    drop_in('10-first.conf', '[server]\nhandshake-timeout = 4\n'
                             '[link first]\nsize = 64K\n')
    drop_in('B.conf', '[link upper]\n')
    drop_in('a.conf', '[link lower]\n')
    drop_in('README', 'not a configuration')
    drop_in('30-old.conf~', 'what an editor left')
    drop_in('.hidden.conf', 'nor this')
    result = run('--config', path, '--check', '--json')
    assert result.returncode == 0, result.stderr
    understood = json.loads(result.stdout)
    assert [link['name'] for link in understood['links']] == [
        'main', 'first', 'second', 'upper', 'lower']
    assert understood['handshake_timeout'] == 4
    assert understood['links'][1]['size'] == 65536


def test_links_in_drop_ins_only(configure, drop_in):
    """The file itself may be empty, but not missing if it is named."""
    path = configure('# See the folder.\n')
    drop_in('lab.conf', '[link lab]\n')
    assert links('--config', path) == [DEFAULTS]
    path.unlink()
    assert f'{path}: cannot open the configuration: No such file' in \
        refused('--config', path, status=2)


@pytest.mark.parametrize('text, line, expected', [
    ('[link lab]\nnonsense\n', 2, 'expected KEY = VALUE'),
    ('[server]\nsize=4M\n', 2, 'unknown key "size"; the server has:'),
    ('size=4M\n', 1, '"size" is in no section'),
    ('[server]\nhandshake-timeout=7\n', 2, 'handshake-timeout is set twice'),
    ('\n[link main]\n', 2, 'link main is already defined by {main}:3; give'),
    ('[link b]\nsocket=/x\n', 1,
     'socket=/x is already that of link main, defined by {main}:3; give'),
    ('[link b]\nmemory=file:/m\n', 1,
     'memory=file:/m is already that of link main, defined by {main}:3; give'),
])
def test_mistake_in_a_drop_in(configure, drop_in, text, line, expected):
    """Its name and the line are said, and for what is there twice both."""
    path = configure('[server]\nhandshake-timeout=3\n'
                     '[link main]\nsocket=/x\nmemory=file:/m\n')
    drop_in('10-good.conf', '[link good]\n')
    wrong = drop_in('20-wrong.conf', text)
    reason = refused('--config', path, '--check', status=2)
    assert reason.startswith(f'ivshmemd: {wrong}:{line}: ')
    assert expected.format(main=path) in reason


def test_drop_in_folder_that_cannot_be_read(configure, directory):
    """What is there and cannot be used is not passed over."""
    path = configure('[link lab]\n')
    (directory / 'test.conf.d').write_text('')
    assert f'{path}.d: cannot read the drop-in folder: Not a directory' in \
        refused('--config', path, status=2)
    (directory / 'test.conf.d').unlink()
    (directory / 'test.conf.d/x.conf').mkdir(parents=True)
    assert f'{path}.d/x.conf: cannot read: Is a directory' in \
        refused('--config', path, status=2)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can mount')
def test_default_file_and_folder():
    """The folder in /etc counts, also without the file beside it."""
    script = f"""mount -t tmpfs none /etc
        mkdir -p /etc/ivshmem/ivshmemd.conf.d
        echo '[link dropped]' >/etc/ivshmem/ivshmemd.conf.d/a.conf
        {program()} --check
        echo '[link main]' >/etc/ivshmem/ivshmemd.conf
        {program()} --check
        {program()} --check --json | grep -o '"control": [^,]*'
        {program()} --check --json --control none | grep -o '"control": [^,]*'
        echo '[server]' >>/etc/ivshmem/ivshmemd.conf
        echo 'control=/c' >>/etc/ivshmem/ivshmemd.conf
        {program()} --check --json | grep -o '"control": [^,]*'"""
    result = subprocess.run(['unshare', '--mount', 'sh', '-euc', script],
                            text=True, capture_output=True, check=True)
    assert [line.split(':')[0] for line in result.stdout.splitlines()] == [
        'link dropped', 'link main', 'link dropped', '"control"', '"control"',
        '"control"']
    assert [line.split(': ')[1] for line in result.stdout.splitlines()[3:]] \
        == ['"/run/ivshmem/control.sock"', 'null', '"/c"']


def test_first_mistake_is_reported(configure):
    """One at a time, from the top."""
    path = configure('[link a]\nbad\n[link b]\nsize=3\nworse\n')
    assert f'{path}:2: ' in refused('--config', path, status=2)


@pytest.mark.parametrize('argument, expected', [
    ('', 'link name "": expected 1 to 32'),
    ('a/b', 'link name "a/b": expected'),
    ('-a', 'link name "-a": expected'),
    ('.a', 'link name ".a": expected'),
    ('lab,', '"": expected KEY=VALUE'),
    ('lab,size', '"size": expected KEY=VALUE'),
    ('lab,,size=4M', 'link name "lab,size=4M": expected'),
    ('lab,size=4M,size=4M', 'size= is set twice'),
    ('lab,colour=red', 'unknown key "colour"'),
    ('lab,size=3M', 'size=3M: not a power of two'),
])
def test_malformed_link_option(argument, expected):
    """The option is named, and what was expected."""
    reason = refused('--link', argument, status=2)
    assert reason.startswith('ivshmemd: --link')
    assert expected in reason


def test_comma_in_a_value():
    """It is written twice, as in QEMU's options."""
    assert links('--link', 'lab,socket=/a,,b,,,,c')[0]['socket'] == '/a,b,,c'


def test_two_links_of_one_name():
    """The first one is not silently replaced."""
    assert 'link lab is already defined by --link lab' in \
        refused('--link', 'lab', '--link', 'lab', status=2)


def test_missing_file(directory):
    """Also the default one, which nobody named."""
    path = directory / 'none.conf'
    assert f'{path}: cannot open the configuration: No such file' in \
        refused('--config', path, status=2)
    assert f'{directory}: cannot read: Is a directory' in \
        refused('--config', directory, status=2)


@pytest.mark.skipif(os.path.exists('/etc/ivshmem/ivshmemd.conf'),
                    reason='this machine has a configuration of its own')
def test_default_file():
    """Without --link the file in /etc counts."""
    assert '/etc/ivshmem/ivshmemd.conf: cannot open' in refused(status=2)


def test_no_link(configure):
    """A server with nothing to serve is a mistake."""
    path = configure('[server]\nhandshake-timeout=3\n')
    assert f'{path}: defines no link; add a section [link NAME]' in \
        refused('--config', path, status=2)


@pytest.mark.parametrize('arguments, expected', [
    (['--colour'], '--colour: unknown option; see ivshmemd --help'),
    (['-x'], '-x: unknown option'),
    (['--link'], '--link: needs an argument'),
    (['lab'], 'lab: not an option; links are given with --link'),
    (['--link', 'lab', '--check', '--show-qemu', 'lab'], 'exclude each other'),
    (['--link', 'lab', '--json'], '--json goes with --check'),
    (['--link', 'lab', '--handshake-timeout', 'soon'],
     'handshake-timeout=soon: expected a number from 1 to 3600'),
])
def test_wrong_command_line(arguments, expected):
    """What is wrong, in one line, and status 2."""
    assert expected in refused(*arguments, status=2)


def test_too_many_descriptors():
    """The configuration is checked against the limit of the process, and the
    soft limit is raised as far as possible first."""
    arguments = ['--check', '--link', 'lab,peers=64,vectors=16']
    need = refused(*arguments, status=2, preexec_fn=lambda: limit(1000, 1000))
    assert 'the links need 1141 descriptors, but this process may have 1000; ' \
        'raise the limit (LimitNOFILE= in the unit, ulimit -n' in need
    assert run(*arguments,
               preexec_fn=lambda: limit(64, 1141)).returncode == 0


def limit(soft: int, hard: int) -> None:
    """Set the descriptor limits of this process."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_check_prints_the_links(configure):
    """One line for each, as at the start of the server."""
    path = configure('[link one]\n[link two]\nsize=1G\npeers=2\nvectors=1\n'
                     'memory=file:/tmp/two\n')
    result = run('--config', path, '--check')
    assert result.returncode == 0
    assert result.stdout == (
        'link one: /run/ivshmem/one.sock, size 4M, peers 8, vectors 4, '
        'memfd\n'
        'link two: /run/ivshmem/two.sock, size 1G, peers 2, vectors 1, '
        'file:/tmp/two\n')


def test_json_is_escaped():
    """Whatever is in a path, the output is JSON."""
    socket = '/tmp/"quoted\\\t'
    assert links('--link', f'lab,socket={socket}')[0]['socket'] == socket


@pytest.mark.parametrize('argument', ['--help', '-h'])
def test_help(argument):
    """It names every key and every option, on standard output."""
    result = run(argument)
    assert result.returncode == 0 and not result.stderr
    for word in ('--link', '--config', '--check', '--json', '--show-qemu',
                 '--show-libvirt', '--handshake-timeout', '--verbose',
                 '--quiet', '--version', 'socket=', 'size=', 'peers=',
                 'vectors=', 'memory=', 'mode=', 'user=', 'group=', 'allow='):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) < 80


def test_version():
    """Name and version."""
    result = run('--version')
    assert result.returncode == 0
    assert result.stdout.startswith('ivshmemd ')


def test_output_that_cannot_be_written():
    """A full disk is a failure, not silence."""
    with open('/dev/full', 'w', encoding='ascii') as full:
        result = run_to(full, '--link', 'lab', '--check')
    assert result.returncode == 1
    assert 'standard output: cannot write' in result.stderr


def run_to(output, *arguments: str):
    """Run with another standard output."""
    return subprocess.run([program(), *arguments], stdout=output,
                          stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize('socket', ['/run/ivshmem/lab.sock', '/tmp/a,b.sock',
                                    "/tmp/it's here/a,b", '/tmp/$HOME`x`'])
def test_show_qemu(socket):
    """The path survives shell and QEMU."""
    link = f'lab,vectors=7,socket={socket.replace(",", ",,")}'
    result = run('--link', link, '--show-qemu', 'lab')
    assert result.returncode == 0
    assert result.stdout.count('\n') == 1
    path = socket.replace(',', ',,')
    assert shlex.split(result.stdout) == [
        '-chardev', f'socket,id=ivshmem-lab,path={path}',
        '-device', 'ivshmem-doorbell,chardev=ivshmem-lab,vectors=7']


@pytest.mark.parametrize('socket', ['/run/ivshmem/lab.sock',
                                    "/tmp/<&>'\".sock"])
def test_show_libvirt(socket):
    """An element as libvirt documents it: server, vectors, and no size,
    which libvirt does not take for memory of a server's."""
    result = run('--link', f'lab,vectors=7,socket={socket}', '--show-libvirt',
                 'lab')
    assert result.returncode == 0
    shmem = ElementTree.fromstring(result.stdout)
    assert (shmem.tag, shmem.get('name')) == ('shmem', 'ivshmem-lab')
    assert shmem.find('model').get('type') == 'ivshmem-doorbell'
    assert shmem.find('server').get('path') == socket
    assert shmem.find('msi').attrib == {'vectors': '7', 'ioeventfd': 'on'}
    assert shmem.find('size') is None


@pytest.mark.parametrize('option', ['--show-qemu', '--show-libvirt'])
def test_show_unknown_link(option):
    """A link that is not defined is named."""
    assert 'link other: there is none of that name' in \
        refused('--link', 'lab', option, 'other', status=2)


def test_show_from_file(configure):
    """The same configuration as for serving."""
    path = configure('[link one]\nvectors=9\n')
    assert 'vectors=9' in run('--config', path, '--show-qemu', 'one').stdout


def test_start_lines(serve, directory):
    """What is served is said at the start, unless --quiet; --verbose says
    more than usual."""
    link = ['--link', f'lab,socket={directory}/lab.sock,peers=2,vectors=1']
    line = (f'ivshmemd: link lab: {directory}/lab.sock, size 4M, peers 2, '
            'vectors 1, memfd\n')
    for option, expected in ([], line), (['--quiet'], ''):
        server = serve(*link, *option)
        assert server.log == expected
        server.stop()
    server = serve(*link, '--verbose')
    assert server.log.endswith(line) and 'descriptors needed' in server.log
    with Client(directory / 'lab.sock').handshake(2, 1):
        server.wait_log(r'slot 0: pid \d+ \(uid \d+\) connected')
        server.wait_log('slot 0: .* joined')
