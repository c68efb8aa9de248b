# SPDX-License-Identifier: GPL-2.0-only
"""What doctor finds on a host whose machines share nothing, or not with each other."""
import lzma
import os
import re
import shlex
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from lab.paths import USERSPACE

from .program import program
from .test_doctor import PLAIN, QEMU, examine, in_namespace, one, run_directory, verdicts

root_only = pytest.mark.skipif(os.geteuid() != 0, reason='needs another user')


def qemu(path: Path, size: str = '1M', name: str = 'm') -> str:
    """A command that starts a machine with a file."""
    return (f'{QEMU} -name {name} -object memory-backend-file,id=shm,size={size},'
            f'mem-path={path},share=on {PLAIN}\n')


def server(path: Path, before: str = '') -> str:
    """A command that starts a server, whose process is $! then."""
    return (f'{before} {USERSPACE}/server/ivshmemd --control none '
            f'--link lab,socket={path},size=1M 2>/dev/null & '
            # It is there before somebody listens.
            f'until {program()} info unix:{path} >/dev/null 2>&1; do :; done\n')


def machine(path: Path, more: str = '') -> str:
    """A command that starts a machine on the link there."""
    return (f'{QEMU} -name m -chardev socket,id=s,path={path}{more} '
            '-device ivshmem-doorbell,chardev=s,vectors=1\n')


def problem(findings: list[dict], check: str, verdict: str) -> dict:
    """The only finding of this kind that is not good, which is as bad as that."""
    found, = (finding for finding in findings
              if finding['check'] == check and finding['verdict'] != 'ok')
    assert found['verdict'] == verdict
    return found


def test_a_good_host(directory: Path):
    path = directory / 'memory'
    findings = examine(f'umask 117; {qemu(path, name="a")} {qemu(path, name="b")}', 0)
    assert verdicts(findings) == [('share', 'ok'), ('share', 'ok')]


def test_a_file_that_was_removed(directory: Path):
    path = directory / 'memory'
    found = problem(examine(f'{qemu(path)} rm {path}', 1), 'file', 'fail')
    assert f'{path} was removed' in found['text']


def test_a_file_that_is_another_one(directory: Path):
    path = directory / 'memory'
    findings = examine(f'umask 117; {qemu(path, name="a")} rm {path}\n {qemu(path, name="b")}', 1)
    assert problem(findings, 'file', 'fail')['subject'].startswith('a (process')


def test_sizes_that_differ(directory: Path):
    path = directory / 'memory'
    findings = examine(f'{qemu(path, "2M", "large")} {qemu(path, "1M", "small")}', 1)
    found = problem(findings, 'size', 'fail')
    assert '1 MiB' in found['text'] and '2 MiB' in found['text']
    assert 'large' in found['text'] + found['subject']


def test_sizes_of_those_that_share_alone(directory: Path):
    path = directory / 'memory'
    private = qemu(path, '2M', 'private').replace('share=on', 'share=off')
    findings = examine(f'umask 117; {private} {qemu(path)}', 1)
    assert sorted(verdicts(findings)) == [('share', 'fail'), ('share', 'ok')]


def test_a_file_that_was_made_smaller(directory: Path):
    path = directory / 'memory'
    findings = examine(f'umask 117; {qemu(path)} truncate -s 64K {path}', 1)
    found = problem(findings, 'file', 'fail')
    assert 'has 64 KiB' in found['text'] and 'SIGBUS' in found['text']


def test_a_size_in_tebibytes(directory: Path):
    path = directory / 'memory'
    findings = examine(f'umask 117; {qemu(path, "1T")} truncate -s 64K {path}', 1)
    assert 'size=1 TiB' in problem(findings, 'file', 'fail')['text']


def test_no_room_for_the_file(directory: Path):
    path = directory / 'shm'
    path.mkdir()
    findings = examine(f'mount -t tmpfs -o size=512K tmpfs {path}; umask 117\n'
                       f'{qemu(path / "memory")}', 1)
    found = problem(findings, 'file', 'fail')
    assert 'needs 1 MiB more' in found['text'] and '512 KiB left' in found['text']
    assert 'remount,size=' in found['remedy']


def test_a_file_for_everybody(directory: Path):
    path = directory / 'memory'
    found = problem(examine(f'{qemu(path)} chmod 666 {path}', 0), 'file', 'warn')
    assert 'every user of this host' in found['text'] and '0666' in found['text']


@root_only
def test_a_file_of_somebody_else(directory: Path):
    path = directory / 'memory'
    said = in_namespace(f'{qemu(path)} chmod 600 {path}\n'
                        'exec setpriv --reuid 65534 --regid 65534 --clear-groups '
                        f'{program()} doctor')
    assert 'programs of yours cannot use it: owner root' in said
    assert f'chmod 660 {path}' in said


HUGE = Path('/sys/kernel/mm/hugepages/hugepages-2048kB')


@root_only
@pytest.mark.skipif(not HUGE.exists(), reason='huge pages of another size')
def test_no_huge_pages_left(directory: Path):
    pages = sum(int((HUGE / name).read_text())
                for name in ('nr_hugepages', 'nr_overcommit_hugepages')) + 1
    path = directory / 'huge'
    path.mkdir()
    command = qemu(path / 'memory', f'{2 * pages}M').replace('share=on', 'share=on,reserve=off')
    findings = examine(f'mount -t hugetlbfs -o pagesize=2M none {path}; umask 117\n'
                       f'{command}', 1)
    found = problem(findings, 'file', 'fail')
    assert f'needs {2 * pages} MiB more' in found['text']
    assert 'huge pages' in found['remedy']


def test_a_socket_that_is_gone(serve):
    link = serve(peers=2)
    found = problem(examine(f'{machine(link.socket)} rm {link.socket}', 1), 'socket', 'fail')
    assert 'none can join it any more' in found['text']


def test_a_socket_that_was_left_behind(directory: Path):
    path = directory / 'lab.sock'
    findings = examine(f'{server(path)} server=$!; {machine(path)} '
                       'exec 3>&2 2>/dev/null; kill -9 $server; wait $server || :; exec 2>&3', 1)
    found = problem(findings, 'socket', 'fail')
    assert f'nobody listens at {path} any more' in found['text']


def test_a_server_in_a_network_of_its_own(directory: Path):
    """As the unit for systemd has it."""
    path = directory / 'lab.sock'
    findings = examine(f'{server(path, "unshare --net")} {machine(path)}', 0)
    assert verdicts(findings) == [('share', 'ok')]


def test_a_machine_in_a_container(directory: Path):
    """What it has is seen where it is, whatever has these names outside."""
    path, box = directory / 'lab.sock', Path('/run/box')
    inside = (f'mount --bind {directory} {box}; {machine(box / "lab.sock")} umask 117; '
              f'{qemu(box / "memory", "2M", "inside")}')
    findings = examine(f'{server(path)} mkdir {box}\n unshare --mount sh -euc '
                       f'{shlex.quote(inside)}\n umask 117; {qemu(box / "memory")}', 0)
    assert verdicts(findings) == [('share', 'ok')] * 3


def test_a_machine_that_waits_for_ever(serve):
    link = serve(peers=2)
    command = machine(link.socket, ',reconnect=1').replace('-daemonize ', '').strip()
    findings = examine(f'{command} & until grep -q qemu-system /proc/$!/comm; do :; done', 1)
    assert 'reconnect=' in problem(findings, 'socket', 'fail')['text']


@root_only
def test_a_machine_that_may_not_join_again(serve):
    link = serve(mode='0666')
    link.socket.parent.chmod(0o755)
    nobody = 'setpriv --reuid 65534 --regid 65534 --clear-groups '
    findings = examine(f'{nobody} {machine(link.socket)} chmod 600 {link.socket}', 0)
    found = problem(findings, 'socket', 'warn')
    assert 'user nobody may not connect' in found['text'] and '0600' in found['text']


@root_only
def test_a_machine_that_may_not_search(serve):
    link = serve(mode='0666')
    link.socket.parent.chmod(0o755)
    nobody = 'setpriv --reuid 65534 --regid 65534 --clear-groups '
    findings = examine(f'{nobody} {machine(link.socket)} chmod 700 {link.socket.parent}', 0)
    found = problem(findings, 'socket', 'warn')
    assert f'{link.socket.parent} has group root, mode 0700' in found['text']
    assert found['remedy'].startswith(f'chmod o+x {link.socket.parent}')


@root_only
def test_a_machine_on_an_access_control_list(serve):
    link = serve(mode='0600')
    link.socket.parent.chmod(0o755)
    anybody = 0xffffffff
    entries = ((1, 6, anybody), (2, 6, 65534), (4, 0, anybody), (16, 6, anybody),
               (32, 0, anybody))
    os.setxattr(link.socket, 'system.posix_acl_access', struct.pack('<I', 2)
                + b''.join(struct.pack('<HHI', *entry) for entry in entries))
    nobody = 'setpriv --reuid 65534 --regid 65534 --clear-groups '
    assert verdicts(examine(f'{nobody} {machine(link.socket)}', 0)) == [('share', 'ok')]


@root_only
@pytest.mark.parametrize('user', ['libvirt-qemu', 'qemu'])
def test_libvirt_may_not_join(serve, directory: Path, user: str):
    link = serve(mode='0660')
    users = directory / 'passwd'
    users.write_text('root:x:0:0::/:/bin/sh\n'
                     + f'{user}:x:64055:65534::/:/usr/sbin/nologin\n')
    findings = examine(f'{run_directory(link.socket.parent)}; '
                       f'mount --bind {users} /etc/passwd', 0)
    found = problem(findings, 'socket', 'warn')
    assert found['subject'] == 'libvirt' and f'user {user} ' in found['text']


def test_a_qemu_without_the_device(directory: Path):
    path = '/usr/bin/qemu-system-x86_64'
    findings = examine(f'umask 117; {qemu(directory / "memory")} mount --bind /bin/true {path}', 0)
    # Other names may be links to it.
    found, = (finding for finding in findings if finding['subject'] == path)
    assert found['verdict'] == 'warn' and 'built without the device' in found['text']


def test_qemus_example_server(directory: Path):
    shutil.copy('/bin/sleep', directory / 'ivshmem-server')
    findings = examine(f'umask 117; {qemu(directory / "memory")}'
                       f'{directory}/ivshmem-server 1000 &\n'
                       'until grep -q ivshmem-server /proc/$!/comm; do :; done', 0)
    assert 'example server' in problem(findings, 'server', 'warn')['text']


def test_what_was_denied_lately(directory: Path):
    now = int(time.time())

    def record(age: int, name: str) -> str:
        return (f'type=AVC msg=audit({now - age}.123:7): apparmor="DENIED" operation="connect" '
                f'profile="libvirt-m" name="{name}" pid=7 comm="qemu-system-x86"\n')

    log = directory / 'log'
    log.write_text(record(7200, '/run/a.sock') + record(600, '/run/b.sock')
                   + record(7200, '/run/c.sock') + record(180, '/run/b.sock')
                   + record(60, '/run/c.sock'))
    findings = examine('mount -t tmpfs tmpfs /var/log; mkdir /var/log/audit\n'
                       f'cp {log} /var/log/audit/audit.log; {QEMU}-name none', 1)
    first, second = (finding['text'] for finding in findings if finding['check'] == 'denied')
    assert re.fullmatch(r'AppArmor denied libvirt-m: connect of /run/b\.sock '
                        r'\(2 times, last \d+ minutes ago\)', first)
    assert '/run/c.sock (1 time, last ' in second


@pytest.mark.parametrize('more, said', [('', 'cannot be migrated or saved'),
                                        (',master=off', 'cannot be migrated or saved'),
                                        (',master=on', 'takes the memory along')])
def test_migration(directory: Path, more: str, said: str):
    """Of a machine that is well all the same; once, however many devices it has."""
    command = qemu(directory / 'memory').strip() + more
    found = one(examine(f'umask 117; {command}', 0), 'migration')
    assert found['verdict'] == 'ok' and said in found['text']
    other = '-object memory-backend-memfd,id=two,size=1M -device ivshmem-plain,memdev=two'
    found = one(examine(f'umask 117; {command} {other}', 0), 'migration')
    assert 'cannot be migrated or saved' in found['text']


def test_slow_doorbells(serve):
    command = machine(serve(peers=2).socket).strip()
    found = problem(examine(f'{command},ioeventfd=off', 0), 'doorbells', 'warn')
    assert 'ioeventfd=off' in found['text'] and 'leave out' in found['remedy']
    assert not [found for found in examine(f'{command},ioeventfd=on', 0)
                if found['check'] == 'doorbells']


@pytest.mark.parametrize('vectors, first', [(1, 1), (4, 2), (2, 0)])
def test_vectors_that_differ(serve, vectors: int, first: int):
    link = serve(peers=3, vectors=2)
    command = machine('/run/ivshmem/' + link.socket.name).replace('vectors=1',
                                                                  f'vectors={vectors}')
    findings = examine(f'{run_directory(link.socket.parent)}; {command}', 0)
    if not first:
        assert all(found['verdict'] == 'ok' for found in findings)
        return
    found = problem(findings, 'vectors', 'warn')
    assert f'vectors={vectors}, but its link has 2' in found['text']
    assert f'on vector {first} and above' in found['text']


def test_a_socket_for_everybody(serve):
    """Every user, that is, not who is let in by a group, and only if it can be reached."""
    link = serve(peers=3, mode='0666')
    link.socket.parent.chmod(0o755)
    script = f'{run_directory(link.socket.parent)}\n'
    found = problem(examine(script, 0), 'trust', 'warn')
    assert 'every user of this host may connect' in found['text'] and '0666' in found['text']
    elsewhere = machine(link.socket)
    found = problem(examine(elsewhere + elsewhere, 0), 'trust', 'warn')
    assert found['subject'] == str(link.socket)
    for path, mode in ((link.socket, 0o660), (link.socket.parent, 0o700)):
        before = path.stat().st_mode & 0o7777
        path.chmod(mode)
        for world in (script, elsewhere):
            assert all(found['check'] != 'trust' for found in examine(world, 0))
        path.chmod(before)


# As a host with libvirt has it, whether or not this one does
LIBVIRT = '''mkdir -p /run/etc/libvirt/qemu; cp -a /etc/passwd /etc/group /etc/ld.so* /run/etc
cp %s /run/etc/libvirt/qemu.conf; cp %s /run/etc/libvirt/qemu; mount --bind /run/etc /etc
'''
DOMAIN = '''<qemu:arg value='{&quot;id&quot;:&quot;m&quot;,
&quot;mem-path&quot;:&quot;/dev/zero&quot;,&quot;size&quot;:1}'/>
<qemu:arg value='memory-backend-file,id=n,mem-path=/dev/shm,size=1'/>
'''


@root_only
@pytest.mark.parametrize('configuration, listed', [
    ('', False), ('#cgroup_device_acl = [ "/dev/zero" ]\n', False),
    ('cgroup_device_acl = [ "/dev/zero1",\n "/dev/null"\n]\nother = [ "/dev/zero" ]\n', False),
    ('cgroup_device_acl = [\n  "/dev/null", # ]\n  "/dev/zero"\n]\n', True)])
def test_device_nodes_that_libvirt_keeps_back(directory: Path, configuration: str, listed: bool):
    (directory / 'qemu.conf').write_text(configuration)
    (directory / 'm.xml').write_text(DOMAIN)
    # Whether a QEMU could use such memory does not matter.
    shutil.copy('/bin/sh', directory / 'qemu-system-none')
    script = (f'{LIBVIRT % (directory / "qemu.conf", directory / "m.xml")}'
              # One that waits without another process, which would look like it for a moment
              f'mkfifo /run/never; {directory}/qemu-system-none -c ": </run/never" sh '
              '-object memory-backend-file,id=m,mem-path=/dev/zero,share=on '
              '-device ivshmem-plain,memdev=m &\n'
              'until grep -q qemu-system /proc/$!/comm; do :; done')
    found = [found for found in examine(script, 0) if found['check'] == 'cgroup']
    assert [entry['subject'].split()[0] for entry in found] == (
        [] if listed else ['qemu-system-none', '/etc/libvirt/qemu/m.xml'])
    for entry in found:
        assert entry['verdict'] == 'warn' and '/dev/zero is a device node' in entry['text']
        assert entry['remedy'].startswith('add "/dev/zero" to cgroup_device_acl')


# A guest with two devices and our driver, as far as sysfs and udev tell
DEVICES = '''mkdir /run/dev; mknod -m 666 /run/dev/null c 1 3; mount -t tmpfs tmpfs /dev
cp -a /run/dev/null /dev/null; mkdir -p /dev/ivshmem/by-path /dev/ivshmem/by-name
mount -t tmpfs tmpfs /sys/bus/pci/devices; mkdir /run/ivshmem-driver; n=0
for address in 0000:00:10.0 0000:00:11.0; do
  cd /sys/bus/pci/devices; mkdir -p $address/ivshmem/ivshmem$n; cd $address
  echo 0x1af4 >vendor; echo 0x1110 >device; ln -s /none/ivshmem driver
  printf '%s\\n' '0x10 0x1f 0' '0x0 0x0 0' '0x100000 0x1fffff 0' >resource; n=$((n + 1))
done
cd /; ln -s ../../ivshmem0 /dev/ivshmem/by-path/pci-0000:00:10.0
'''


@root_only
def test_which_device_is_which():
    """The names of each that stay, of itself and its sections."""
    findings = examine(f'{DEVICES}\n ln -s ../../ivshmem0.1 /dev/ivshmem/by-name/camera\n'
                       'ln -s ../../ivshmem11 /dev/ivshmem/by-path/pci-0000:00:1b.0\n', 2)
    first, second = (found for found in findings if found['check'] == 'name')
    assert (first['subject'], first['verdict']) == ('/dev/ivshmem0', 'ok')
    assert first['text'].endswith(': /dev/ivshmem/by-name/camera, '
                                  '/dev/ivshmem/by-path/pci-0000:00:10.0')
    assert (second['subject'], second['verdict']) == ('/dev/ivshmem1', 'warn')
    assert 'is 0000:00:11.0, but no link' in second['text']
    assert 'udev rule' in second['remedy']


@root_only
def test_one_device_needs_no_name():
    findings = examine(f'{DEVICES} rm -r /sys/bus/pci/devices/0000:00:11.0', 1)
    assert 'name' not in [found['check'] for found in findings]


@root_only
@pytest.mark.parametrize('headers', [True, False])
def test_the_module_of_another_kernel(directory: Path, headers: bool):
    """Who has dkms does not build by hand."""
    (directory / 'ivshmem.ko').write_bytes(b'vermagic=5.5.5 SMP\0')
    script = ('mount -t tmpfs tmpfs /var/lib; mkdir /run/upper /run/work\n'
              'mount -t overlay -o lowerdir=/usr/lib,upperdir=/run/upper,workdir=/run/work '
              'lib /usr/lib; mkdir -p /lib/modules; mount -t tmpfs tmpfs /lib/modules\n'
              f'mkdir -p /lib/modules/$(uname -r)/{"build" if headers else ""}\n')
    arguments = 2, '--module', f'{directory}/ivshmem.ko'
    found = problem(examine(script, *arguments), 'module', 'fail')
    assert 'make modules install KDIR=' in found['remedy']
    found = problem(examine(f'{script} mkdir -p /var/lib/dkms/ivshmem', *arguments), 'module',
                    'fail')
    assert 'dkms status -m ivshmem' in found['remedy']
    assert ('apt install linux-headers-$(uname -r)' in found['remedy']) != headers
    unbound = f'{DEVICES} rm /sys/bus/pci/devices/*/driver; {script} mkdir -p /var/lib/dkms/ivshmem'
    there = 'mkdir -p /lib/modules/5.5.5/extra; touch /lib/modules/5.5.5/extra/ivshmem.ko'
    for world in (unbound, f'{unbound}\n{there}'):
        for found in examine(world, 4):
            assert found['check'] != 'module' or 'dkms status' in found['remedy']


@root_only
def test_what_cannot_be_read_is_said():
    """Without the right to it, and not that all is well."""
    script = ('touch /run/secret; chmod 600 /run/secret\n'
              'mount -t tmpfs -o mode=711 tmpfs /var/log; mkdir -m 700 /var/log/audit\n'
              'mount --bind /run/secret /dev/kmsg\n'
              f'exec setpriv --reuid 65534 --regid 65534 --clear-groups {program()} doctor')
    said = in_namespace(script, 1)
    assert "WARN  denials     log: the kernel's and auditd's cannot be read" in said
    assert 'run it as root' in said
    assert 'denials' not in in_namespace('touch /run/log; mount --bind /run/log /dev/kmsg\n'
                                         'mount -t tmpfs tmpfs /var/log\n'
                                         f'exec {program()} doctor', 1)


def signed(folder: Path, release: str) -> Path:
    """What modinfo takes for a module, signed as dkms does it."""
    key = ('req -new -x509 -nodes -newkey rsa:2048 -days 9 -subj "/CN=key of nobody" '
           '-keyout key -out pem')
    sign = ('cms -sign -binary -nocerts -noattr -md sha256 -signer pem -inkey key -outform DER '
            '-in ivshmem.ko -out signature')
    subprocess.run(f"printf 'vermagic={release} SMP\\0' >info; gcc -c -x c /dev/null -o ivshmem.ko"
                   ' && objcopy --add-section .modinfo=info ivshmem.ko'
                   f' && openssl {key} && openssl {sign}', shell=True, check=True, cwd=folder,
                   stderr=subprocess.DEVNULL)
    signature = (folder / 'signature').read_bytes()
    path = folder / 'ivshmem.ko'
    # PKCS#7, and how long it is
    path.write_bytes(path.read_bytes() + signature + bytes([0, 0, 2]) + bytes(5)
                     + struct.pack('>L', len(signature)) + MARK)
    return path


MARK = b'~Module signature appended~\n'
SIGNATURES = '''mount -t tmpfs tmpfs /sys/module; mkdir -p /sys/module/module/parameters
echo Y >/sys/module/module/parameters/sig_enforce
'''
REFUSED = '5,7,1,-;Loading of module with unavailable key is rejected'


@root_only
@pytest.mark.parametrize('log, verdict', [(REFUSED, 'fail'), ('', 'warn'),
                                          (REFUSED.replace('5', '13', 1), 'warn')])
def test_a_module_of_a_key_that_is_not_enrolled(directory: Path, log: str, verdict: str):
    """The log of the kernel tells, and not what a program has written there."""
    module = signed(directory, os.uname().release)
    (directory / 'log').write_text(log)
    findings = examine(f'{SIGNATURES} mount --bind {directory}/log /dev/kmsg\n'
                       'mount -t tmpfs tmpfs /var/lib',
                       1 + (verdict == 'fail'), '--module', str(module))
    found = problem(findings, 'module', verdict)
    assert 'signed by key of nobody' in found['text']
    assert 'mokutil --import /var/lib/dkms/mok.pub' in found['remedy']
    if verdict == 'warn':
        assert 'Key was rejected by service' in found['text']


@root_only
def test_a_compressed_module(directory: Path):
    """It is told from one without a signature."""
    module = signed(directory, os.uname().release)
    packed = directory / 'ivshmem.ko.xz'
    packed.write_bytes(lzma.compress(module.read_bytes(), check=lzma.CHECK_CRC32))
    found = problem(examine(SIGNATURES, 1, '--module', str(packed)), 'module', 'warn')
    assert 'signed by key of nobody' in found['text']
    plain = module.read_bytes().removesuffix(MARK)
    packed.write_bytes(lzma.compress(plain, check=lzma.CHECK_CRC32))
    found = problem(examine(SIGNATURES, 2, '--module', str(packed)), 'module', 'fail')
    assert 'not signed' in found['text']


@root_only
def test_a_signed_module_that_is_loaded(directory: Path):
    """The kernel knows its key."""
    module = signed(directory, os.uname().release)
    findings = examine(f'{SIGNATURES} mkdir /sys/module/ivshmem', 1, '--module', str(module))
    assert one(findings, 'module')['verdict'] == 'ok'


def test_names_do_not_write_to_the_terminal(directory: Path):
    path = directory / 'memory'
    script = qemu(path, name='"$(printf \'a\\033[2J\\nFAIL b\')"')
    said = in_namespace(f'{script}exec {program()} doctor')
    assert 'a?[2J?FAIL b (process' in said
    assert all(letter == '\n' or ' ' <= letter <= '~' for letter in said)


@pytest.mark.parametrize('name', ['a;reboot', 'a\nFAIL  b', 'a\t$(reboot)'])
def test_names_are_no_commands(directory: Path, name: str):
    path = directory / 'memory'
    script = f'{qemu(path)} chmod 666 {path}\n'.replace(str(path), shlex.quote(f'{path}{name}'))
    found = problem(examine(script, 0), 'file', 'warn')
    assert found['subject'] == ''.join(
        letter if ' ' <= letter <= '~' else '?' for letter in f'{path}{name}')
    assert found['remedy'].startswith('chmod o= FILE, and')


def test_ids_are_no_commands(directory: Path):
    identity = '"$(printf \'a\\n\\tb;reboot\')"'
    # QEMU refuses such a name, but whoever is called as it is may have it.
    shutil.copy('/bin/sh', directory / 'qemu-system-none')
    script = (f'cd {directory}; mkfifo never; ./qemu-system-none -c ": <never" sh '
              f'-object memory-backend-ram,id={identity} '
              f'-device ivshmem-plain,memdev={identity} &\n'
              'until grep -q qemu-system /proc/$!/comm; do :; done')
    found = problem(examine(script, 1), 'share', 'fail')
    assert 'a??b;reboot is private' in found['text']
    assert 'reboot' not in found['remedy'] and '\n' not in found['remedy']


def test_a_kernel_that_is_too_old():
    said = in_namespace(f'exec setarch --uname-2.6 {program()} doctor', 1)
    assert 'too old for the driver, which needs 6.1' in said
    assert one(examine('', 1), 'device')
