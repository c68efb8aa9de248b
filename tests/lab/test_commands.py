# SPDX-License-Identifier: GPL-2.0-only
"""Commands in a guest: what comes back, and what the guest sees of the host."""

import threading

import pytest

from lab import CommandFailed, agent
from lab.paths import ROOT


@pytest.fixture(scope="module")
def vm(module_vms):
    return module_vms("commands")


def test_status_and_output_come_back_apart(vm):
    result = vm.run("echo out; echo err >&2; exit 7", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "err\n")


def test_failure_raises_with_all_that_was_said(vm):
    with pytest.raises(CommandFailed, match="(?s)exit status 3.*to see"):
        vm.run("echo something to see; exit 3")


def test_death_by_signal_is_a_negative_status(vm):
    assert vm.run("kill -SEGV $$", check=False).returncode == -11


def test_list_is_run_as_it_is(vm):
    assert vm.run(["printf", "%s|", "a b", "$HOME", "*"]).stdout == "a b|$HOME|*|"


def test_input_and_environment_are_given(vm):
    result = vm.run('tr a-z A-Z; echo "$COLOUR"', stdin="typed\n", env={"COLOUR": "red"})
    assert result.stdout == "TYPED\nred\n"


def test_megabytes_of_output_arrive_whole(vm):
    result = vm.run("seq 1 300000")
    assert result.stdout == "".join(f"{n}\n" for n in range(1, 300001))


def test_timeout_kills_the_command_and_its_children(vm):
    with pytest.raises(TimeoutError, match="sleep 7654"):
        vm.run("sleep 7654 & sleep 7654; wait", timeout=1)
    vm.wait_for("! pgrep -f '^sleep 7654'")


def test_spawn_leaves_the_caller_free(vm):
    vm.run("mkfifo /run/pipe")
    process = vm.spawn("echo begun; read -r word < /run/pipe; echo $word")
    assert process.poll() is None
    vm.run("echo over > /run/pipe")
    assert process.wait().stdout == "begun\nover\n"
    assert process.returncode == 0


def test_spawned_process_can_be_signalled(vm):
    process = vm.spawn("trap 'echo told; exit 5' TERM; echo > /run/trapped; "
                       "while :; do sleep 0.1; done")
    vm.wait_for("test -e /run/trapped")
    process.kill("TERM")
    result = process.wait()
    assert (result.returncode, result.stdout) == (5, "told\n")


def test_wait_for_returns_once_it_is_true(vm):
    process = vm.spawn("mkdir /run/late")
    vm.wait_for("test -d /run/late")
    process.wait()
    with pytest.raises(TimeoutError, match="test -e /nowhere"):
        vm.wait_for("test -e /nowhere", timeout=0.5)


@pytest.mark.parametrize("tool", ["bash", "ip", "lspci", "ethtool", "iperf3", "fio",
                                  "python3", "insmod"])
def test_guest_has_the_tools_of_the_host(vm, tool):
    assert vm.run(f"command -v {tool}").stdout.strip()


def test_guest_is_furnished(vm):
    assert vm.run("hostname").stdout == "commands\n"
    assert "LOWER_UP" in vm.run("ip link show lo").stdout
    vm.run("test -d /sys/kernel/debug/tracing -a -e /sys/kernel/tracing/events")
    vm.run("modprobe vfio && lsmod | grep -q ^vfio")


def test_what_the_guest_writes_is_its_own(vm):
    vm.run("echo changed > /etc/hostname; rm /etc/os-release; touch /usr/bin/new; "
           "echo x > /dev/shm/x; echo x > /tmp/x; echo x > /root/x")
    assert (ROOT / "/etc/os-release").exists()
    assert not (ROOT / "/usr/bin/new").exists()


def test_tree_is_at_its_own_path_and_read_only(vm):
    assert vm.run(f"head -n 1 {ROOT}/Makefile").stdout.startswith("# SPDX")
    assert vm.run(f"touch {ROOT}/Makefile", check=False).returncode == 1


def test_tree_follows_the_host(vm):
    changing = ROOT / "build/lab/changing"
    changing.write_text("before")
    assert vm.run(["cat", changing.as_posix()]).stdout == "before"
    changing.write_text("and after")
    assert vm.run(["cat", changing.as_posix()]).stdout == "and after"
    changing.unlink()


def test_share_is_written_from_both_sides(vm):
    (vm.share / "down").write_text("from the host")
    assert vm.run("cat /mnt/share/down").stdout == "from the host"
    vm.run("echo from the guest > /mnt/share/up")
    assert (vm.share / "up").read_text() == "from the guest\n"
    (vm.share / "down").write_text("changed")
    assert vm.run("cat /mnt/share/down").stdout == "changed"


def test_slow_guest_is_waited_for(vm):
    """No answer for a while means neither a loss nor an answer out of step."""
    vm.pause()
    threading.Timer(2.5 * agent.PATIENCE, vm.cont).start()
    assert vm.run("echo patience").stdout == "patience\n"
    assert vm.run("echo in step").stdout == "in step\n"
