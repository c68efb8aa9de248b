# SPDX-License-Identifier: GPL-2.0-only
"""Guest kernels come from the host's own archives, and only once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import LabError, debian, kernel, matrix
from lab.paths import ROOT

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEZXYw
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib # inline
deb [arch=amd64 signed-by=/etc/k.gpg] http://mirror.example/debian-security bookworm-security main
deb-src http://source.example/debian bookworm main
deb http://vendor.example/apt stable vendor
"""


# A name space without any network; root needs no name space of users for it.
OFF_LINE = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net"]


def archives(tmp_path, one_line="", deb822=""):
    (tmp_path / "sources.list.d").mkdir(exist_ok=True)
    (tmp_path / "sources.list").write_text(one_line)
    (tmp_path / "sources.list.d/debian.sources").write_text(deb822)
    return [archive.line() for archive in debian.host_archives("bookworm", tmp_path)]


def test_archives_in_the_new_format(tmp_path):
    assert archives(tmp_path, deb822=DEB822) == [
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://mirror.example/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://mirror.example/debian bookworm-updates main contrib",
        "deb http://mirror.example/debian-security bookworm-security main",
    ]


def test_archives_in_the_old_format(tmp_path):
    assert archives(tmp_path, one_line=ONE_LINE) == [
        "deb http://mirror.example/debian bookworm main contrib",
        "deb [signed-by=/etc/k.gpg] http://mirror.example/debian-security "
        "bookworm-security main",
    ]


def test_archives_of_another_release(tmp_path, monkeypatch):
    """From where the host has its own, with backports."""
    archives(tmp_path, ONE_LINE)
    monkeypatch.setattr(debian, "codename", lambda: "bookworm")
    hosts = debian.host_archives("bookworm", tmp_path)
    monkeypatch.setattr(debian, "host_archives", lambda suite: hosts)
    assert [archive.line() for archive in debian.archives_of("trixie")] == [
        "deb http://mirror.example/debian trixie main contrib",
        "deb [signed-by=/etc/k.gpg] http://mirror.example/debian-security trixie-security main",
        "deb http://mirror.example/debian trixie-backports main contrib"]


def test_both_formats_together_name_each_archive_once(tmp_path):
    line = "deb http://mirror.example/debian bookworm main contrib\n"
    assert len(archives(tmp_path, line + line, DEB822)) == 4


def test_without_archive_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "SOURCES", tmp_path)
    monkeypatch.setattr(debian, "host_archives", lambda suite: [])
    with pytest.raises(LabError, match="no archive of .* is configured; add one"):
        debian.Apt(tmp_path / "apt").update()


def test_what_was_fetched_needs_no_network(guest_kernel):
    done = subprocess.run([*OFF_LINE, "scripts/fetch-kernel"], cwd=ROOT,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, check=True)
    assert done.stdout.strip() == guest_kernel.release
    assert done.stderr == ""


def test_a_guest_boots_without_network(guest_kernel):
    done = subprocess.run([*OFF_LINE, sys.executable, "-m", "lab", "run", "uname -r"],
                          cwd=ROOT, text=True, timeout=300, check=True,
                          stdout=subprocess.PIPE)
    assert done.stdout.strip() == guest_kernel.release


def test_nothing_was_installed(guest_kernel):
    assert not (Path("/boot") / f"vmlinuz-{guest_kernel.release}").exists()
    assert not (Path("/lib/modules") / guest_kernel.release).exists()


def test_modules_come_in_loading_order(guest_kernel):
    names = [path.name.split(".ko")[0]
             for path in guest_kernel.with_dependencies(["9pnet_virtio", "overlay"])]
    assert names.index("9pnet") < names.index("9pnet_virtio")
    assert len(names) == len(set(names))


def test_module_that_is_not_there_is_named(guest_kernel):
    with pytest.raises(LabError, match="has no module frobnicator"):
        guest_kernel.with_dependencies(["frobnicator"])


def test_configuration_can_be_asked(guest_kernel):
    assert guest_kernel.config("CONFIG_PCI") == "y"
    assert guest_kernel.config("CONFIG_NO_SUCH_OPTION") == ""


class Listed:
    """Archives with packages of some kernels."""

    def __init__(self, *releases):
        self.releases = releases

    def packages(self, prefix):
        return [prefix + release for release in self.releases
                if release not in self.lacking(prefix)]

    def lacking(self, prefix):
        # An image whose headers have been removed from the archives
        return ("7.4.1+deb13-amd64",) if prefix == "linux-headers-" else ()


@pytest.mark.parametrize("name, release", [
    ("6.12", "6.12.118+deb13-amd64"),
    ("6.12-arm64", "6.12.118+deb13-arm64"),
    ("newest", "7.3.4+deb13-amd64"),
    ("newest-rt", "7.2.13+deb13-rt-amd64"),
])
def test_newest_of_those_that_fit(name, release):
    """By numbers, of the flavour and the processor, and with headers to build for it."""
    apt = Listed("6.12.94+deb13-amd64", "6.12.118+deb13-amd64", "6.12.118+deb13-arm64",
                 "6.12.118+deb13-rt-arm64", "6.12.120+deb13-cloud-amd64", "7.3.4+deb13-amd64",
                 "7.2.13+deb13-amd64", "7.2.13+deb13-rt-amd64", "7.2.9+deb13-rt-amd64",
                 "7.4.1+deb13-amd64", "amd64", "6.1-amd64")
    assert kernel._newest(apt, matrix.KERNELS[name], name) == release


def test_kernel_that_is_not_there_is_named():
    with pytest.raises(LabError, match="kernel 6.12: not in the archives; there are 7.3"):
        kernel._newest(Listed("7.3.4+deb13-amd64"), matrix.KERNELS["6.12"], "6.12")


def test_kernel_is_chosen_by_the_environment(guest_kernel, monkeypatch):
    monkeypatch.setenv("KERNEL", guest_kernel.release)
    assert kernel.get().release == guest_kernel.release


def test_headers_are_where_they_say(guest_kernel):
    assert (guest_kernel.headers / "Makefile").exists()
    assert "/usr/src/" not in (guest_kernel.headers / "Makefile").read_text()


def test_private_apt_leaves_the_hosts_alone(tmp_path):
    """Its configuration names nothing of the host but the key ring."""
    apt = debian.Apt(tmp_path / "apt")
    apt.configure()
    done = subprocess.run(["apt-config", "dump"], text=True, check=True,
                          env=dict(os.environ, APT_CONFIG=str(apt.config)),
                          stdout=subprocess.PIPE)
    for setting in ("Dir::State ", "Dir::Cache ", "Dir::Etc::sourcelist "):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(setting)]
        assert str(tmp_path) in line
