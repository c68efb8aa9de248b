# SPDX-License-Identifier: GPL-2.0-only
"""Kernels of our own are built when they have to be, and asked for by their names."""

import pytest

from lab import debugkernel, kernel, patience


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The releases that were built, which takes no time here."""
    releases = []

    def build(name):
        release = f"6.1.{len(releases)}-{name}"
        releases.append(release)
        (tmp_path / release).mkdir()
        (tmp_path / release / ".complete").write_text(
            f"{debugkernel._version() or '6.1-1'} {debugkernel._configuration(name)}\n")
        return release

    configuration = tmp_path / "configuration"
    configuration.mkdir()
    for path in debugkernel.CONFIGURATION.iterdir():
        (configuration / path.name).write_text(path.read_text())
    for name, value in {"KERNELS": tmp_path, "CONFIGURATION": configuration, "_build": build,
                        "SOURCE": tmp_path / "source"}.items():
        monkeypatch.setattr(debugkernel, name, value)
    return releases


def test_it_is_built_once(built):
    first = debugkernel.get("debug")
    assert debugkernel.get("debug") == first
    assert debugkernel.get("kcsan") != first
    assert built == ["6.1.0-debug", "6.1.1-kcsan"]


def test_another_configuration_is_another_kernel(built):
    debugkernel.get("debug")
    debugkernel.get("kcsan")
    with (debugkernel.CONFIGURATION / "debug.config").open("a") as config:
        config.write("CONFIG_DEBUG_RSEQ=y\n")
    assert debugkernel.get("debug").name == "6.1.2-debug"
    debugkernel.get("kcsan")
    assert len(built) == 3


def test_other_sources_are_another_kernel(built, monkeypatch):
    debugkernel.get("debug")
    monkeypatch.setattr(debugkernel, "_version", lambda: "6.1-2")
    assert debugkernel.get("debug").name == "6.1.1-debug"


@pytest.mark.parametrize("name", debugkernel.NAMES)
def test_modules_for_it_are_built_with_all_warnings(name, tmp_path):
    assert kernel.Kernel(tmp_path / f"6.1.0-{name}").make_arguments[0] == "W=1"
    assert not kernel.Kernel(tmp_path / "6.1.0-56-amd64").make_arguments


@pytest.mark.parametrize("name", debugkernel.NAMES)
def test_the_lab_waits_longer_for_it(name, monkeypatch):
    monkeypatch.delenv("KERNEL", raising=False)
    assert patience.patient(60) == 60
    monkeypatch.setenv("KERNEL", name)
    assert patience.patient(60) > 100
    monkeypatch.setenv("KERNEL", f"6.1.192-{name}")
    assert patience.patient(60) > 100


def test_settings_that_did_not_take_are_named():
    wanted = "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n# CONFIG_D is not set\n# CONFIG E\n"
    assert debugkernel._lacking(wanted, "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n") == []
    assert debugkernel._lacking(wanted, "CONFIG_A=y\nCONFIG_B=y\nCONFIG_D=y\n") == [
        "CONFIG_B=m", "CONFIG_D"]


def test_fragments_set_nothing_twice():
    for name in debugkernel.NAMES:
        settings = [line.replace("# ", "").split("=")[0].split(" is not")[0]
                    for path in debugkernel._fragments(name)
                    for line in path.read_text().splitlines() if "CONFIG_" in line]
        settings = [word for word in settings if word.startswith("CONFIG_")]
        assert len(settings) == len(set(settings)), name
