# SPDX-License-Identifier: GPL-2.0-only
"""The units under a real systemd, in a virtual machine: what the sandbox is
made of, and that the server can do its work inside it.

systemd is the first process of a container in the guest, whose own first
process belongs to the lab.
"""
import json
import re

import pytest

from .conftest import ROOT

PROGRAM = ROOT / 'build/meson/server/ivshmemd'
TOOL = ROOT / 'build/meson/tools/ivshmem/ivshmem'
BLK_SERVER = ROOT / 'build/meson/blkserver/ivshmem-blk-server'
BLK_FRONT = ROOT / 'build/meson/tests/blk/blk_front'
LIBRARY = ROOT / 'build/meson/lib/libivshmem.so.0'

CONFIGURATION = '''
[link lab]
peers = 3
numa = 0
[link segment]
peers = 3
size = 16M
layout = net=lan:8M,blk=disk0:4M
[link kept]
memory = file:/var/lib/ivshmem/kept
size = 64K
group = ivshmem
'''

SET_UP = f'''
set -e
systemd-sysusers {ROOT}/packaging/sysusers.d/ivshmem.conf
cd /etc/systemd/system
# Nothing else is started, which under emulation takes its time.
rm -rf ./*.wants /lib/systemd/system/*.target.wants
# The sandbox hides some folders, and ours may be one of them.
install {PROGRAM} /usr/local/sbin/ivshmemd
install {TOOL} /usr/local/bin/ivshmem
install {BLK_SERVER} /usr/local/bin/
install {LIBRARY} /usr/local/lib/
ldconfig
sed 's|@sbindir@|/usr/local/sbin|' \\
    {ROOT}/packaging/systemd/ivshmemd.service.in >ivshmemd.service
cp {ROOT}/packaging/systemd/ivshmemd@.socket .
install -D -m 644 {ROOT}/packaging/apparmor/ivshmemd /etc/apparmor.d/ivshmemd
mount -t securityfs none /sys/kernel/security
apparmor_parser --replace --skip-cache /etc/apparmor.d/ivshmemd
sed 's|@bindir@|/usr/local/bin|' \\
    {ROOT}/packaging/systemd/ivshmem-tap@.service.in >ivshmem-tap@.service
sed 's|@bindir@|/usr/local/bin|' \\
    {ROOT}/packaging/systemd/ivshmem-blk-server@.service.in >ivshmem-blk-server@.service
cat >lab.target <<END
[Unit]
DefaultDependencies=no
Wants=systemd-journald.service
END
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
mkdir -p /etc/ivshmem
cat >/etc/ivshmem/ivshmemd.conf <<END
{CONFIGURATION}
END
mount -t cgroup2 none /sys/fs/cgroup
mount --make-rprivate /
# A process id file, since the container has its own numbers.
setsid unshare --fork --pid --mount --mount-proc env -i container=lab \\
    PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \\
    --unit=lab.target --log-target=null </dev/null >/dev/null 2>&1 &
'''

INSIDE = 'nsenter -t $(pgrep -x systemd | tail -n 1) -m -p -- '


class Container:
    """What is controlled by systemd in the guest."""

    def __init__(self, vm):
        self.vm = vm

    def run(self, script: str, check: bool = True) -> str:
        """Run a script beside systemd; what it prints."""
        return self.vm.run(INSIDE + f"sh -euc '{script}'", timeout=180,
                           check=check).stdout

    def show(self, *names: str) -> dict[str, str]:
        """Properties of the service."""
        output = self.run(f'systemctl show -p {",".join(names)} ivshmemd')
        return dict(line.split('=', 1) for line in output.splitlines())

    def wait_for(self, script: str) -> str:
        """Run a script until it succeeds; what it prints then."""
        return self.vm.wait_for(INSIDE + f"sh -euc '{script}'",
                                timeout=180).stdout

    def join(self, link: str) -> str:
        """Join a link as a host program, which has five seconds of patience
        with a server that is just being started; what it learns."""
        return self.wait_for(f'{TOOL} info unix:/run/ivshmem/{link}.sock')


@pytest.fixture(scope='module')
def container(module_vms, userspace):
    """A guest with systemd, our units installed and nothing started."""
    vm = module_vms('systemd')
    vm.run(SET_UP)
    result = Container(vm)
    result.wait_for('systemctl show -P Version')
    return result


def test_service(container):
    """It comes up with one start, and serves; the sandbox is there."""
    joined = container.run(f'''systemctl start ivshmemd
        {TOOL} info unix:/run/ivshmem/lab.sock
        {TOOL} info unix:/run/ivshmem/kept.sock''')
    assert 'peers    1 (4 vectors), 2 (4 vectors)\n' in joined
    assert 'memory   64 KiB' in joined

    status, user = container.run('''
        cat /proc/$(systemctl show -P MainPID ivshmemd)/status
        echo =; id -u ivshmem''').split('=\n')
    fields = dict(line.split(':\t', 1) for line in status.splitlines()
                  if ':\t' in line)
    assert set(fields['Uid'].split()) == {user.strip()} != {'0'}
    assert fields['CapEff'] == fields['CapBnd'] == '0' * 16
    assert (fields['NoNewPrivs'], fields['Seccomp']) == ('1', '2')
    assert container.run('cat /proc/$(systemctl show -P MainPID ivshmemd)/attr/current') == \
        'ivshmemd (enforce)\n'

    files = container.run('stat -c "%n %a %U %G" /run/ivshmem/[kls]*.sock '
                          '/var/lib/ivshmem/kept')
    assert files.splitlines() == [
        '/run/ivshmem/kept.sock 660 ivshmem ivshmem',
        '/run/ivshmem/lab.sock 660 ivshmem ivshmem',
        '/run/ivshmem/segment.sock 660 ivshmem ivshmem',
        '/var/lib/ivshmem/kept 600 ivshmem ivshmem']

    ids = dict(re.findall(r'#define LOG_ID_(\w+)\s+"([0-9a-f]{32})"',
                          (ROOT / 'server/log.h').read_text()))
    # The client was ours: root's.
    entry = json.loads(container.run(f'''
        journalctl -q -o json -n 1 -u ivshmemd IVSHMEM_LINK=lab \\
            MESSAGE_ID={ids["JOIN"]}'''))
    assert (entry['IVSHMEM_SLOT'], entry['IVSHMEM_UID']) == ('0', '0')
    assert entry['MESSAGE'].endswith(f'pid {entry["IVSHMEM_PID"]} (uid 0) joined')

    warnings, everything = container.run('''
        journalctl -q -o cat -u ivshmemd -p warning; echo =
        journalctl -q -o cat -u ivshmemd''').split('=\n', 1)
    assert 'clients can shrink the file' in warnings
    assert 'joined' not in warnings
    assert 'slot 0: pid' in everything and 'joined' in everything


def test_reload(container):
    """A link is added in the drop-in folder and is there without a restart; a
    mistake makes the reload fail, and is in the status.  The control socket is
    there, and for the group of the server."""
    before = container.show('MainPID', 'NRestarts')
    container.run('''mkdir -p /etc/ivshmem/ivshmemd.conf.d
        echo "[link added]" >/etc/ivshmem/ivshmemd.conf.d/added.conf
        systemctl reload ivshmemd''')
    assert 'own id   0' in container.join('added')
    assert container.wait_for('''systemctl show -P StatusText ivshmemd |
        grep "4 links"''')
    server = json.loads(container.run('ivshmem server status --json'))
    assert [link['name'] for link in server['links']] == \
        ['lab', 'segment', 'kept', 'added']
    assert str(server['pid']) == before['MainPID']
    assert container.run('stat -c "%a %U %G" /run/ivshmem/control.sock') == \
        '660 ivshmem ivshmem\n'
    assert 'ivshmemd_links 4\n' in container.run('ivshmem server metrics')

    container.run('''
        echo "size = 3M" >>/etc/ivshmem/ivshmemd.conf.d/added.conf
        ! systemctl reload ivshmemd
        systemctl kill --signal=HUP --kill-who=main ivshmemd''')
    assert 'added.conf:2: size=3M: not a power' in container.wait_for(
        'systemctl show -P StatusText ivshmemd | grep "not reloaded"')
    assert container.show('ActiveState') == {'ActiveState': 'active'}
    container.run('''rm /etc/ivshmem/ivshmemd.conf.d/added.conf
        systemctl reload ivshmemd''')
    container.wait_for('systemctl show -P StatusText ivshmemd | grep "^3 links"')
    assert container.show('MainPID', 'NRestarts') == before
    container.wait_for('test ! -e /run/ivshmem/added.sock')


STREAM = '''
link=unix:/run/ivshmem/lab.sock
ivshmem format $link raw >/dev/null
mkfifo /run/pipe
ivshmem recv $link -o /run/got --name bob >/dev/null 2>&1 & receiver=$!
ivshmem send $link bob --name alice </run/pipe >/dev/null 2>&1 & sender=$!
exec 3>/run/pipe
more() { head -c 1M /dev/urandom | tee -a /run/source >&3; }
wait_resumed() {
    until [ $(journalctl -q -o cat -u ivshmemd |
              grep -c "link lab: goes on .* with 2 clients") = $1 ]; do sleep 0.1; done
}
until [ $(journalctl -q -o cat -u ivshmemd | grep -c "link lab: slot [01]: .* joined") -ge 4 ]
do sleep 0.1; done
more
systemctl restart ivshmemd
wait_resumed 1
more
systemctl kill --signal=KILL ivshmemd
wait_resumed 2
more
exec 3>&-
wait $sender
wait $receiver
cmp /run/source /run/got
until journalctl -q -o cat -u ivshmemd | grep "link lab: slot [01]: .* gone" >/dev/null
do sleep 0.1; done
'''


def test_restart(container):
    """Who has joined stays so when the server is restarted, or killed: a stream between
    two of them is whole, and their ends are noticed."""
    container.run(STREAM)
    container.run('systemctl stop ivshmemd')


def test_socket_unit(container):
    """The first client starts the server; a killed server comes back, and the
    socket has been there all the time."""
    before = container.run('''systemctl stop ivshmemd
        ls /run/ivshmem
        systemctl start ivshmemd@lab.socket
        systemctl is-active ivshmemd || true''')
    assert before == 'inactive\n'
    assert 'own id   0' in container.join('lab')
    after = container.run('systemctl is-active ivshmemd; ls /run/ivshmem')
    assert after.split() == ['active', 'control.sock', 'control.sock.lock',
                             'kept.sock', 'kept.sock.lock',
                             'lab.sock', 'segment.sock',
                             'segment.sock.lock']

    container.run('systemctl kill --signal=KILL ivshmemd')
    assert 'own id   0' in container.join('lab')
    assert container.show('NRestarts') == {'NRestarts': '1'}
    assert 'own id   0' in container.join('kept')
    container.run('systemctl stop ivshmemd@lab.socket ivshmemd')


def test_tap_unit(container):
    """It makes the TAP device, works it without privileges, and leaves it there."""
    # The mode is udev's work, which does not run.
    container.vm.run('modprobe tun && chmod 666 /dev/net/tun')
    status = container.run('''
        systemctl start ivshmem-tap@segment || {
            journalctl -q -o cat -u ivshmem-tap@segment; exit 1; }
        cat /proc/$(systemctl show -P MainPID ivshmem-tap@segment)/status
        ip link set segment up''')
    fields = dict(line.split(':\t', 1) for line in status.splitlines() if ':\t' in line)
    assert set(fields['Uid'].split()) == {container.run('id -u ivshmem').strip()} != {'0'}
    assert fields['CapEff'] == fields['CapBnd'] == '0' * 16
    assert (fields['NoNewPrivs'], fields['Seccomp']) == ('1', '2')

    # A second one, by hand, is the peer that plugs the cable in.
    container.run('''ivshmem tap unix:/run/ivshmem/segment.sock --tap other \\
        >/dev/null 2>&1 & echo $! >/run/other''')
    container.wait_for('ip link set other up && grep -qx 1 /sys/class/net/segment/carrier '
                       '/sys/class/net/other/carrier')
    container.run('''systemctl kill --signal=KILL ivshmem-tap@segment
        kill $(cat /run/other)''')
    container.wait_for('systemctl is-active ivshmem-tap@segment')
    assert container.run('systemctl show -P NRestarts ivshmem-tap@segment') == '1\n'
    container.run('''systemctl stop ivshmem-tap@segment ivshmemd
        ip link delete segment''')
    assert 'error' not in container.run('journalctl -q -o cat -u ivshmem-tap@segment -p err')


DISK = '''
[export scratch]
file = /var/lib/ivshmem-blk/scratch.img
link = unix:/run/ivshmem/segment.sock
'''


def test_disk_unit(container):
    """It exports a file of its own without privileges, and comes back when killed."""
    status = container.run(f'''
        install -d -o ivshmem -g ivshmem -m 700 /var/lib/ivshmem-blk
        truncate -s 1M /var/lib/ivshmem-blk/scratch.img
        chown ivshmem:ivshmem /var/lib/ivshmem-blk/scratch.img
        echo "{DISK}" >/etc/ivshmem/blk-disk.conf
        systemctl start ivshmem-blk-server@disk || {{
            journalctl -q -o cat -u ivshmem-blk-server@disk; exit 1; }}
        cat /proc/$(systemctl show -P MainPID ivshmem-blk-server@disk)/status''')
    fields = dict(line.split(':\t', 1) for line in status.splitlines() if ':\t' in line)
    assert set(fields['Uid'].split()) == {container.run('id -u ivshmem').strip()} != {'0'}
    assert fields['CapEff'] == fields['CapBnd'] == '0' * 16
    assert (fields['NoNewPrivs'], fields['Seccomp']) == ('1', '2')

    write = ['hello', 'write 0 0 746865206469736b', 'request 0 1 1 1 512 8 0', 'push',
             'answers 1']
    read = ['hello', 'request 0 2 0 0 512 8 0', 'push', 'answers 1', 'read 0 0 8']
    said = container.run(front_end(write))
    assert 'answer 0 1 0' in said, said
    container.run('systemctl kill --signal=KILL ivshmem-blk-server@disk')
    container.wait_for('systemctl is-active ivshmem-blk-server@disk')
    said = container.run(front_end(read))
    assert '746865206469736b' in said, said
    assert container.run('systemctl show -P NRestarts ivshmem-blk-server@disk') == '1\n'
    container.run('systemctl stop ivshmem-blk-server@disk ivshmemd')
    assert 'error' not in container.run(
        'journalctl -q -o cat -u ivshmem-blk-server@disk -p err')


def front_end(lines: list[str]) -> str:
    """A script that has a front end of the disk do this."""
    return f'''printf "%s\\n" {' '.join(f'"{line}"' for line in lines)} |
        {BLK_FRONT} unix:/run/ivshmem/segment.sock disk0'''


def test_nothing_was_denied(container):
    """By AppArmor, in all that was done before."""
    denied = container.vm.run('dmesg | grep "apparmor=.DENIED.*profile=.ivshmemd"',
                              check=False).stdout
    assert not denied


def test_mistake_in_the_configuration(container):
    """It fails once, is not tried again, and the journal has the line."""
    assert container.run('''
        echo peers = 99 >>/etc/ivshmem/ivshmemd.conf
        ! systemctl start ivshmemd && echo refused''') == 'refused\n'
    assert container.show('ExecMainStatus', 'ActiveState', 'NRestarts') == {
        'ExecMainStatus': '2', 'ActiveState': 'failed', 'NRestarts': '0'}
    line = len(CONFIGURATION.splitlines()) + 2
    assert f'/etc/ivshmem/ivshmemd.conf:{line}: peers=99: expected a number ' \
        'from 2 to 64' in container.run(
            'journalctl -q -o cat -u ivshmemd -p err')
