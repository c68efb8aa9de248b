# SPDX-License-Identifier: GPL-2.0-only
"""Reports of kernels that check themselves are told apart, and ours from the kernel's own.

The texts in reports/ are what these kernels said of the flaws of tests/debug/planted.
Lines wider than a source may be are left out, or cut.
"""

import re
from pathlib import Path

import pytest

from lab.checkup import is_leak
from lab.console import Console
from lab.reports import parse

TEXTS = Path(__file__).with_name("reports")
KINDS = {
    "out-of-bounds": "KASAN", "use-after-free": "KASAN", "shift": "UBSAN",
    "sleep-in-atomic": "atomic sleep", "lock-order": "lockdep", "free-active": "ODEBUG",
    "underflow": "refcount", "leak": "kmemleak", "double-fetch": "KCSAN",
}


def text(name):
    """What a kernel said."""
    return (TEXTS / f"{name}.txt").read_text()


def foreign():
    """A race without a module of ours."""
    return text("double-fetch").replace(" [ivshmem_planted]", "")


@pytest.fixture
def console(tmp_path):
    """Makes a console that has said something."""
    def make(said):
        (tmp_path / "console.log").write_text(said)
        return Console(tmp_path / "console.log")
    return make


@pytest.mark.parametrize("name", KINDS)
def test_kind(name):
    found, = parse(text(name).splitlines())
    assert (found.kind, found.complete) == (KINDS[name], True)
    assert not found.title.startswith("[")
    assert found.ours or name == "leak"


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"leak"}))
def test_a_report_is_an_alarm_as_a_whole(console, name):
    """From its first line to its last, with nothing of what the kernel said before."""
    said = text(name)
    found, = parse(said.splitlines())
    watched = console("[    0.100000] all is well\n" * 10 + said + "[   99.000000] all is well\n")
    alarms = watched.alarms()
    assert found.text in alarms and alarms.count("all is well") <= 2
    assert watched.reports == {KINDS[name]: 1}
    assert watched.alarms() == ""


def test_an_expected_report_is_none(console):
    watched = console(text("out-of-bounds"))
    assert watched.alarms(["KASAN: slab-out-of-bounds"]) == ""
    assert not watched.reports


def test_what_follows_an_expected_line_is_still_an_alarm(console):
    watched = console("[ 1.0] WARNING: on purpose\n[ 1.1] Oops: 0002 [#1] SMP\n")
    assert "Oops" in watched.alarms(["on purpose"])


def test_reports_that_follow_each_other(console):
    names = sorted(set(KINDS) - {"leak"})
    watched = console("".join(map(text, names)))
    watched.alarms()
    assert sorted(watched.reports.elements()) == sorted(KINDS[name] for name in names)


def test_races_of_the_kernels_own_are_counted(console):
    watched = console(foreign() + text("double-fetch") + foreign())
    alarms = watched.alarms()
    assert alarms.count("BUG: KCSAN") == 1 and "double_fetch" in alarms
    assert watched.reports == {"KCSAN": 1, "KCSAN of the kernel's own": 2}


def test_a_race_is_judged_when_all_of_it_was_said(console, tmp_path):
    """Our module may be in the second stack only."""
    said = text("double-fetch")
    watched = console(said[:said.index("\n") + 1])
    assert watched.alarms(final=False) == "" and not watched.reports
    (tmp_path / "console.log").write_text(said)
    assert "double_fetch" in watched.alarms(final=False)
    assert watched.reports == {"KCSAN": 1}


def test_whose_memory_was_lost():
    """A module's stays its own when it is gone, and its addresses are only numbers."""
    found, = parse(text("leak").splitlines())
    assert is_leak(found)
    gone = re.sub(r"0xffffffff[a-f]\w{7}$|\S+ \[ivshmem\w*\]$", "0xffffffffc0001234",
                  text("leak"), flags=re.M)
    assert is_leak(parse(gone.splitlines())[0])
    others = re.sub(r"0xffffffff[a-f]\w{7}$|\S+ \[ivshmem\w*\]$", "do_one_initcall+0x5e/0x250",
                    text("leak"), flags=re.M)
    assert not is_leak(parse(others.splitlines())[0])


def test_a_name_that_the_kernel_lost_is_its_own():
    """Where a class cannot be registered Linux forgets its name, whoever asked for it."""
    name = """unreferenced object 0xffff888008c8a258 (size 8):
  comm "python3", pid 98, jiffies 4294911982
  backtrace:
    [<000000009e835e14>] kobject_set_name_vargs+0x3f/0x110
    [<000000009a089289>] kobject_set_name+0x96/0xb0
    [<00000000901aafa9>] __class_register+0x114/0x440
    [<000000000758bfe8>] 0xffffffffa002a745
"""
    found, = parse(name.splitlines())
    assert not is_leak(found)
    found, = parse(name.replace("__class_register", "dev_set_name").splitlines())
    assert is_leak(found)
