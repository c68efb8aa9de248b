# SPDX-License-Identifier: GPL-2.0-only
"""Ethernet between guests over the host's TAPs and bridge, and what is left of it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import LabError, Network, network
from lab.paths import ROOT

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a bridge")


def devices() -> set[str]:
    """The network devices that this process sees."""
    return set(os.listdir("/sys/class/net"))


@ROOT_ONLY
def test_two_guests_talk_over_the_bridge(vms):
    with Network(2) as segment:
        pair = [vms(name, ports=[port], start=False)
                for name, port in zip("ab", segment.ports)]
        vms.start(*pair)
        for vm, port in zip(pair, segment.ports):
            port.bring_up(vm)
        there = segment.ports[1].address
        assert "0% packet loss" in pair[0].run(f"busybox ping -c 3 {there}").stdout

        server = pair[1].spawn(f"iperf3 --server --one-off --bind {there}")
        pair[1].wait_for("ss -Hltn 'sport = 5201' | grep -q .")
        sent = 64 << 20
        report = json.loads(pair[0].run(
            f"iperf3 --json --client {there} --bytes {sent}", timeout=300).stdout)
        assert report["end"]["sum_sent"]["bytes"] >= sent
        # The client ends the test with what is still on its way.
        received = report["end"]["sum_received"]["bytes"]
        assert received >= sent / 2
        assert server.wait(timeout=120).returncode == 0
        # It went over the bridge, in frames longer than the wire would take:
        # segments are cut nowhere, for nobody needs that.
        port = json.loads(segment.run("ip", "-json", "-statistics", "link", "show",
                                      "port1"))[0]["stats64"]["rx"]
        assert port["bytes"] >= received
        assert port["bytes"] / port["packets"] > 1514


@ROOT_ONLY
def test_nothing_of_the_hosts_network_changes():
    before = devices()
    with Network(3) as segment:
        assert devices() == before
        names = {link["ifname"] for link in json.loads(segment.run("ip", "-json", "link"))}
        assert {"lab", "port1", "port2", "port3"} <= names
        other = Network(1).start()
        assert "port2" not in other.run("ip", "link")
        other.close()
    assert devices() == before


def namespaces() -> set[str]:
    """The network namespaces that are in use on this machine."""
    found = set()
    for link in (*Path("/proc").glob("[0-9]*/fd/*"), *Path("/proc").glob("[0-9]*/ns/net")):
        try:
            found.add(os.readlink(link))
        except OSError:
            continue
    return {name for name in found if name.startswith("net:")}


@ROOT_ONLY
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_however_the_process_ends(how):
    script = ("import os, time; from lab import Network\n"
              "with Network(2) as segment:\n"
              "    print(os.readlink('/proc/self/fd/%d' % segment.namespace), flush=True)\n"
              "    time.sleep(1000)")
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        name = process.stdout.readline().strip()
        assert name in namespaces()
        process.send_signal(how)
        process.communicate(timeout=60)
    assert name not in namespaces()


def test_a_user_without_rights_is_told(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="only root may make a bridge and TAPs"):
        Network().start()


@ROOT_ONLY
def test_a_host_without_taps_is_told(monkeypatch):
    monkeypatch.setattr(network, "TUN", "/dev/net/no-such-file")
    with pytest.raises(LabError, match="no-such-file: .*; load the kernel's module tun"):
        Network().start()


def test_an_unknown_card_is_told():
    with pytest.raises(LabError, match="ne2k_pci: .* there are virtio-net-pci, e1000e"):
        Network(model="ne2k_pci")
