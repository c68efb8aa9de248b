# SPDX-License-Identifier: GPL-2.0-only
"""scripts/setup and the builds: quick when there is nothing to do, clear if not."""

import os
import re
import shutil
import subprocess

import pytest

from lab.paths import ROOT


def setup(*arguments, **env):
    return subprocess.run([ROOT / "scripts/setup", *arguments], text=True, timeout=60,
                          env=dict(os.environ, **env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def test_nothing_is_said_when_nothing_is_missing():
    done = setup()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_other_distribution_gets_one_message(tmp_path):
    release = tmp_path / "os-release"
    release.write_text('ID=fedora\nPRETTY_NAME="Fedora Linux 43"\n')
    # A PATH without QEMU and the compiler.
    for tool in ("sh", "awk", "dirname", "paste", "sed", "python3", "xz"):
        (tmp_path / tool).symlink_to(shutil.which(tool, path="/usr/bin:/bin"))
    done = setup("build", SETUP_OS_RELEASE=str(release), PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    (message,) = done.stderr.splitlines()
    assert "this is Fedora Linux 43" in message
    missing = re.search("Missing here: ([^.]*)", message)[1].split(", ")
    assert {"command gcc", "command meson", "library json-c"} <= set(missing)
    assert "command xz" not in missing


@pytest.mark.parametrize("group", ["test", "package"])
def test_package_of_two_groups_is_wanted_by_each(tmp_path, group):
    release = tmp_path / "os-release"
    release.write_text("ID=other\n")
    for tool in ("sh", "awk", "dirname", "paste", "sed"):
        (tmp_path / tool).symlink_to(shutil.which(tool, path="/usr/bin:/bin"))
    done = setup(group, SETUP_OS_RELEASE=str(release), PATH=str(tmp_path))
    assert "command systemd-analyze" in done.stderr


def test_unknown_group_is_wrong_usage():
    done = setup("kitchen")
    assert done.returncode == 2
    assert "kitchen: unknown group" in done.stderr


def test_list_is_sorted_and_whole():
    lines = [line for line in (ROOT / "scripts/packages").read_text().splitlines()
             if line and not line.startswith("#")]
    names = [line.split()[0] for line in lines]
    assert names == sorted(names) and len(set(names)) == len(names)
    for line in lines:
        assert set(line.split()[1].split(",")) <= {"build", "lab", "test", "check", "docs",
                                                   "debug", "upstream", "package", "machine"}, line


def test_make_help_describes_every_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, text=True, check=True,
                          stdout=subprocess.PIPE)
    for target in ("demo", "test", "check", "modules", "install", "shell"):
        assert re.search(rf"^  make {target}\s+\S", done.stdout, re.M)


@pytest.fixture
def tree(tmp_path):
    """A small tree with one module, to build."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/build-modules", "scripts/version", "meson.build"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "include").mkdir()
    (tmp_path / "include/number.h").write_text("#define NUMBER 1\n")
    (tmp_path / "drivers/core").mkdir(parents=True)
    (tmp_path / "drivers/Kbuild").write_text("obj-y += core/\n")
    (tmp_path / "drivers/core/Kbuild").write_text(
        "ccflags-y := -I$(src)/../../include\nobj-m += one.o two.o\n")
    for name in ("one", "two"):
        (tmp_path / f"drivers/core/{name}.c").write_text(
            "#include <linux/module.h>\n#include <number.h>\n"
            f"int {name}(void);\nint {name}(void) {{ return NUMBER; }}\n"
            'MODULE_DESCRIPTION("a test");\nMODULE_LICENSE("GPL");\n')
    return tmp_path


def build(tree, kdir):
    return subprocess.run([tree / "scripts/build-modules", str(kdir)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def test_modules_are_built_outside_of_the_sources(tree, guest_kernel):
    before = sorted(tree.rglob("*"))
    done = build(tree, guest_kernel.headers)
    folder = tree / f"build/modules/{guest_kernel.release}/drivers"
    assert done.stdout == f"{folder}\n", done.stderr
    assert (folder / "core/one.ko").exists()
    assert [path for path in sorted(tree.rglob("*"))
            if tree / "build" not in (path, *path.parents)] == before


def test_only_what_changed_is_built_again(tree, guest_kernel):
    build(tree, guest_kernel.headers)
    folder = tree / f"build/modules/{guest_kernel.release}/drivers/core"

    def times():
        return [(folder / f"{name}.o").stat().st_mtime_ns for name in ("one", "two")]

    first = times()
    build(tree, guest_kernel.headers)
    assert times() == first
    with open(tree / "drivers/core/one.c", "a") as source:
        source.write("/* changed */\n")
    build(tree, guest_kernel.headers)
    assert times()[0] > first[0] and times()[1] == first[1]
    (tree / "include/number.h").write_text("#define NUMBER 2\n")
    second = times()
    build(tree, guest_kernel.headers)
    assert times()[0] > second[0] and times()[1] > second[1]


def test_removed_source_leaves_nothing_behind(tree, guest_kernel):
    build(tree, guest_kernel.headers)
    (tree / "drivers/core/two.c").unlink()
    (tree / "drivers/core/Kbuild").write_text(
        "ccflags-y := -I$(src)/../../include\nobj-m += one.o\n")
    build(tree, guest_kernel.headers)
    folder = tree / f"build/modules/{guest_kernel.release}/drivers/core"
    assert sorted(path.name for path in folder.glob("*.ko")) == ["one.ko"]
    assert not (folder / "two.c").exists()


def test_compiler_errors_are_shown(tree, guest_kernel):
    (tree / "drivers/core/one.c").write_text("this is not C\n")
    done = build(tree, guest_kernel.headers)
    assert done.returncode == 1
    assert "one.c:1:1: error" in done.stderr
    assert "the modules do not build" in done.stderr


def test_missing_headers_are_named(tree):
    done = build(tree, "/nowhere")
    assert done.returncode == 1
    assert "/nowhere: no kernel headers there" in done.stderr


def test_install_below_a_destination(userspace, guest_kernel, tmp_path):
    subprocess.run(["make", "install", f"KDIR={guest_kernel.headers}",
                    f"DESTDIR={tmp_path}"], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    release = guest_kernel.release
    for name in ("usr/local/bin/ivshmem", "usr/local/sbin/ivshmemd",
                 "usr/local/include/libivshmem.h", "usr/local/lib/**/libivshmem.so.0",
                 "usr/local/lib/**/libivshmem.pc", "usr/local/lib/udev/rules.d/*.rules",
                 "usr/local/lib/sysusers.d/ivshmem.conf", "usr/local/share/man/man1/*",
                 f"lib/modules/{release}/updates/ivshmem.ko"):
        assert list(tmp_path.glob(name)), name
