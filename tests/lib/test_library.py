# SPDX-License-Identifier: GPL-2.0-only
"""The library as users meet it: symbols, header, pkg-config, manual."""
import os
import re
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT, USERSPACE

HEADER = ROOT / 'lib/include/libivshmem.h'
LIBRARY = USERSPACE / 'lib/libivshmem.so'

CALLS = re.findall(r'^LIBIVSHMEM_API [^(]*?\*?(ivshmem_\w+)\(',
                   HEADER.read_text(), re.M)


@pytest.fixture(scope='module', autouse=True)
def built() -> None:
    """The library, up to date."""
    subprocess.run([ROOT / 'scripts/build-userspace'], check=True,
                   stdout=subprocess.DEVNULL)


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Environment that finds an installed library below tmp_path."""
    subprocess.run(['meson', 'install', '--no-rebuild', '-C', USERSPACE,
                    '--destdir', tmp_path], check=True, capture_output=True)
    config = next(tmp_path.rglob('libivshmem.pc'))
    library = next(tmp_path.rglob('libivshmem.so.0'))
    return {**os.environ, 'PKG_CONFIG_PATH': str(config.parent),
            'PKG_CONFIG_SYSROOT_DIR': str(tmp_path),
            'LD_LIBRARY_PATH': str(library.parent), 'HOME': str(tmp_path)}


def page_name(call: str) -> str:
    """The manual page of a call."""
    return ('libivshmem-channel.3' if call.startswith('ivshmem_channel_')
            else 'libivshmem.3')


def exported() -> set[str]:
    """The symbols that the library defines for others, with their versions."""
    output = subprocess.run(['nm', '-D', '--defined-only', LIBRARY], check=True,
                            capture_output=True, text=True).stdout
    return {line.split()[2] for line in output.splitlines()
            if line.split()[1] != 'A'}


def test_exactly_the_calls_of_the_header_are_exported():
    assert len(CALLS) >= 10
    assert exported() == {f'{call}@@IVSHMEM_0.1' for call in CALLS}


def test_the_soname_is_that_of_version_0():
    output = subprocess.run(['objdump', '-p', LIBRARY], check=True,
                            capture_output=True, text=True).stdout
    assert re.search(r'SONAME\s+libivshmem\.so\.0$', output, re.M)


@pytest.mark.parametrize('call', CALLS)
def test_the_manual_describes_each_call(call: str):
    page = (ROOT / 'Documentation/man' / page_name(call)).read_text()
    assert f'{call}(' in page.split('.SH DESCRIPTION')[0]
    assert re.search(rf'\.BR? {call} \(\)', page), 'it is not described'


@pytest.mark.parametrize('name', ['libivshmem.3', 'libivshmem-channel.3'])
def test_the_manual_is_well_formed(name: str):
    page = ROOT / 'Documentation/man' / name
    result = subprocess.run(['man', '--warnings', '-E', 'UTF-8', '-Tutf8',
                             '-Z', '-l', page], check=True,
                            capture_output=True, text=True)
    assert not result.stderr


@pytest.mark.parametrize('compiler, suffix', [('cc', 'c'), ('c++', 'cc')])
def test_an_installed_library_is_found(installed: dict[str, str],
                                       tmp_path: Path, compiler: str,
                                       suffix: str):
    source = tmp_path / f'user.{suffix}'
    source.write_text('#include <libivshmem.h>\n#include <stdio.h>\n'
                      'int main(void) { puts(ivshmem_version()); '
                      'return 0; }\n')
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'libivshmem'],
                           check=True, capture_output=True, text=True,
                           env=installed).stdout.split()
    subprocess.run([compiler, '-Wall', '-Wextra', '-Werror', '-pedantic',
                    source, '-o', tmp_path / 'user', *flags], check=True,
                   env=installed)
    version = subprocess.run(['pkg-config', '--modversion', 'libivshmem'],
                             check=True, capture_output=True, env=installed)
    output = subprocess.run([tmp_path / 'user'], check=True, env=installed,
                            capture_output=True)
    assert output.stdout == version.stdout


def test_each_call_has_a_page(installed: dict[str, str]):
    folder = next(Path(installed['HOME']).rglob('man3'))
    for call in CALLS:
        assert (folder / f'{call}.3').samefile(folder / page_name(call))
