# SPDX-License-Identifier: GPL-2.0-only
"""doctor, list and the default device on a host, with real QEMUs.

Where other machines of this host would disturb, the tool runs in process and
mount namespaces of its own.
"""
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .program import BOUND, program, run

QEMU = ('qemu-system-x86_64 -S -daemonize -nodefaults -no-user-config '
        '-display none -accel tcg -m 16 -machine q35 ')
PLAIN = '-device ivshmem-plain,memdev=shm'
# What this host has denied, and which users and sockets it has, is not the tests'.
ALONE = '''mount -t tmpfs tmpfs /run
for log in /dev/kmsg /var/log/audit/audit.log; do
  [ ! -e $log ] || mount --bind /dev/null $log
done
grep -v '^libvirt-qemu:\\|^qemu:' /etc/passwd >/run/passwd
mount --bind /run/passwd /etc/passwd
'''


def in_namespace(script: str, status: int = 0) -> str:
    """Run a shell script as the only thing in its world; what it printed."""
    command = ['unshare', '--mount', '--pid', '--fork', '--mount-proc',
               '--kill-child']
    if os.geteuid():
        command += ['--user', '--map-root-user']
    result = subprocess.run([*command, 'sh', '-eu', '-c', ALONE + script], check=False,
                            text=True, capture_output=True, timeout=BOUND,
                            stdin=subprocess.DEVNULL)
    assert result.returncode == status, (result.stdout, result.stderr)
    return result.stdout + result.stderr


def examine(script: str, failures: int, *arguments: str) -> list[dict]:
    """The findings in a world where the script has run."""
    doctor = ' '.join([str(program()), 'doctor', *arguments, '--json'])
    output = in_namespace(f'{script}\nexec {doctor}', 1 if failures else 0)
    result = json.loads(output)
    assert result['failures'] == failures
    for finding in result['findings']:
        assert (finding['remedy'] is None) == (finding['verdict'] == 'ok')
    return result['findings']


def verdicts(findings: list[dict]) -> list[tuple[str, str]]:
    """What was looked at, and how it is, but what is said of each machine, or to users alone."""
    return [(finding['check'], finding['verdict']) for finding in findings
            if finding['check'] not in ('migration', 'denials')]


def one(findings: list[dict], check: str) -> dict:
    """The only finding of that kind."""
    found = [finding for finding in findings if finding['check'] == check]
    assert len(found) == 1, findings
    return found[0]


def test_no_device_at_all():
    finding = one(examine('', 1), 'device')
    assert finding['verdict'] == 'fail'
    assert '1af4:1110' in finding['text']
    assert '-device ivshmem' in finding['remedy']


BACKENDS = {
    'memory-backend-ram,id=shm,size=1M': 'fail',
    'memory-backend-ram,id=shm,size=1M,share=on': 'ok',
    'memory-backend-ram,share=yes,size=1M,id=shm': 'ok',
    'memory-backend-file,id=shm,size=1M,mem-path=FILE': 'fail',
    'memory-backend-file,id=shm,size=1M,mem-path=FILE,share=off': 'fail',
    'memory-backend-file,id=shm,size=1M,mem-path=FILE,share=on': 'ok',
    'memory-backend-memfd,id=shm,size=1M': 'ok',
    'memory-backend-memfd,id=shm,size=1M,share=off': 'fail',
    'qom-type=memory-backend-ram,id=shm,size=1M,share=on': 'ok',
    '{"qom-type":"memory-backend-ram","id":"shm","size":1048576}': 'fail',
    '{"qom-type":"memory-backend-ram","id":"shm","size":1048576,'
    '"share":true}': 'ok',
}


@pytest.mark.parametrize('backend', BACKENDS)
def test_share(directory: Path, backend: str):
    verdict = BACKENDS[backend]
    backend = backend.replace('FILE', f'{directory}/memory')
    finding = one(examine(f"{QEMU} -name guest=m1 -object '{backend}' {PLAIN}",
                          verdict == 'fail'), 'share')
    assert finding['verdict'] == verdict
    assert finding['subject'].startswith('m1 (process ')
    if verdict == 'fail':
        assert 'share=on' in finding['remedy']
        assert ('as its mappings show' in finding['text']) == \
            ('file' in backend)


def test_share_of_the_right_backend():
    """The one of the device, not of the machine's other memory."""
    other = '-object memory-backend-ram,id=other,size=1M '
    mine = '-object memory-backend-ram,id=shm,size=1M,share=on '
    findings = examine(f'{QEMU} {other} {mine} {PLAIN}', 0)
    assert verdicts(findings) == [('share', 'ok')]


def test_json_device():
    device = '{"driver":"ivshmem-plain","id":"d","memdev":"shm"}'
    findings = examine(f"{QEMU} -name j -object "
                       f"memory-backend-ram,id=shm,size=1M -device '{device}'",
                       1)
    assert verdicts(findings) == [('share', 'fail')]


def test_comma_in_a_name(directory: Path):
    path = f'{directory}/a,b'
    findings = examine(f'{QEMU} -object memory-backend-file,id=shm,size=1M,'
                       f'mem-path={path.replace(",", ",,")},share=off '
                       f'{PLAIN}', 1)
    assert 'as its mappings show' in findings[0]['text']


def test_each_device_of_each_machine(serve):
    link = serve(peers=4)
    machine = (f'{QEMU} -name NAME -chardev socket,id=s,path={link.socket} '
               '-device ivshmem-doorbell,chardev=s,vectors=1 '
               '-object memory-backend-ram,id=shm,size=1M ' + PLAIN)
    findings = examine('\n'.join([machine.replace('NAME', 'one'),
                                  machine.replace('NAME', 'two'),
                                  QEMU + '-name none']), 2)
    assert sorted((finding['subject'].split()[0], finding['verdict'])
                  for finding in findings if finding['check'] == 'share') == [
        ('one', 'fail'), ('one', 'ok'), ('two', 'fail'), ('two', 'ok')]


def run_directory(source: Path) -> str:
    """Script that makes the sockets there those of running servers."""
    return ('mount -t tmpfs tmpfs /run; mkdir /run/ivshmem; '
            f'mount --bind {source} /run/ivshmem')


def test_servers_of_the_host(serve, directory: Path):
    good = serve(peers=2)
    stale = directory / 'stale.sock'
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    os.rename(good.socket, directory / 'good.sock')
    findings = examine(run_directory(directory), 1)
    assert verdicts(findings) == [('server', 'ok'), ('mapping', 'ok'),
                                  ('interrupts', 'ok'), ('format', 'ok'),
                                  ('server', 'fail')]
    assert findings[0]['subject'] == 'unix:/run/ivshmem/good.sock'
    assert 'start ivshmemd again' in findings[-1]['remedy']


def test_list_and_default_device(directory: Path, serve):
    server = serve(peers=2)
    os.rename(server.socket, directory / 'good.sock')
    # No link's: the server is asked there how it is.
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(directory / 'control.sock'))
    script = run_directory(directory) + f'; {program()} '
    assert 'unix:/run/ivshmem/good.sock' in in_namespace(script + 'list')
    assert json.loads(in_namespace(script + 'list --json')) == {
        'devices': [], 'servers': ['unix:/run/ivshmem/good.sock']}
    complaint = in_namespace(script + 'info', 1)
    assert 'no /dev/ivshmem*; name one of these:' in complaint
    assert 'unix:/run/ivshmem/good.sock' in complaint


def test_nothing_to_list():
    script = 'mount -t tmpfs tmpfs /run; '
    assert 'No ivshmem device' in in_namespace(f'{script}{program()} list')
    assert '`ivshmem doctor` tells what is missing' in in_namespace(
        f'{script}{program()} dump', 1)


def doctor(*arguments: Any, failures: int, **options: Any) -> list[dict]:
    """The findings in this world."""
    result = subprocess.run([program(), 'doctor', '--json',
                             *map(str, arguments)], check=False, text=True,
                            capture_output=True, timeout=BOUND, **options)
    assert result.returncode == (1 if failures else 0), result
    findings = json.loads(result.stdout)
    assert findings['failures'] == failures
    return findings['findings']


def test_one_server(link: str):
    findings = doctor(link, failures=0)
    assert verdicts(findings) == [('server', 'ok'), ('mapping', 'ok'),
                                  ('interrupts', 'ok'), ('format', 'ok')]
    assert 'rang itself on 4 vectors, all arrived' in findings[2]['text']
    text = run('doctor', link)
    assert text.endswith('4 findings, 0 warnings, 0 failures\n')
    assert text.startswith('OK    server')


def test_a_full_link_is_a_warning(serve, join):
    link = serve(peers=2).address
    join(link)
    join(link)
    findings = doctor(link, failures=0)
    assert verdicts(findings) == [('server', 'warn')]
    assert 'every slot of the link is taken' in findings[0]['remedy']


def test_no_server(directory: Path):
    (directory / 'file.sock').touch()
    for path, text in (('file.sock', 'not a socket'),
                       ('none.sock', 'No such file or directory')):
        findings = doctor(f'unix:{directory}/{path}', failures=1)
        assert findings[0]['text'] == text
    assert 'remedy: ' in run_failing(f'unix:{directory}/none.sock')


def run_failing(address: str) -> str:
    """The text of a doctor that finds a failure."""
    result = subprocess.run([program(), 'doctor', address], check=False,
                            capture_output=True, text=True, timeout=BOUND)
    assert result.returncode == 1
    return result.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason='needs another user')
def test_no_permission(serve):
    link = serve(mode='0600')
    link.socket.parent.chmod(0o755)
    findings = doctor(link.address, failures=1, user=65534, group=65534,
                      extra_groups=[])
    assert 'which user and group may join' in findings[0]['remedy']


def test_servers_that_are_no_good(hostile):
    for server in (hostile(1), hostile(0, 1), hostile(b'\xff' * 64)):
        findings = doctor(server.address, failures=1)
        assert 'does not speak the protocol' in findings[0]['remedy']


def test_what_is_no_module(directory: Path):
    (directory / 'ivshmem.ko').write_text('nothing')
    finding = one(examine('', 2, '--module', f'{directory}/ivshmem.ko'),
                  'module')
    assert finding['text'] == 'not a kernel module'
    finding = one(examine('', 2, '--module', f'{directory}/none.ko'), 'module')
    assert finding['text'] == 'No such file or directory'
