# SPDX-License-Identifier: GPL-2.0-only
"""The document of the format says what the headers say."""

import re
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT

DOCUMENT = (ROOT / 'Documentation/wire-format.rst').read_text()
HEADER = (ROOT / 'include/ivshmem/ring.h').read_text()
TABLES = {'ivring_tx': 'The line of the producer',
          'ivring_rx': 'The line of the consumer',
          'ivring_record': 'The header of a record'}


def section(title: str) -> str:
    """The text below a title, up to the next one."""
    match = re.search(rf'^{re.escape(title)}\n[-=]+\n(.*?)(?=^[^\n]+\n[-=]{{5,}}\n\n|\Z)',
                      DOCUMENT, re.M | re.S)
    assert match, f'no section "{title}"'
    return match[1]


def compiled_values(tmp_path: Path, expressions: list[str]) -> list[int]:
    """What the compiler makes of expressions about the headers."""
    lines = ''.join(f'\tprintf("%llu\\n", (unsigned long long)({e}));\n'
                    for e in expressions)
    source = tmp_path / 'values.c'
    source.write_text('#include <stdio.h>\n#include <ivshmem/ring.h>\n'
                      f'int main(void)\n{{\n{lines}\treturn 0;\n}}\n')
    subprocess.run(['gcc', f'-I{ROOT}/include', source, '-o', tmp_path / 'values'],
                   check=True)
    output = subprocess.run([tmp_path / 'values'], check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    return [int(line) for line in output.split()]


def members(struct: str) -> list[str]:
    """Names of the members of a structure, in order."""
    body = re.search(rf'^struct {struct} \{{\n(.*?)^\}};', HEADER, re.M | re.S)
    return re.findall(r'(\w+)(?:\[\d+\])?;', body[1])


@pytest.mark.parametrize('struct, title', TABLES.items())
def test_the_tables_have_the_offsets_and_sizes_of_the_header(
        tmp_path: Path, struct: str, title: str):
    rows = re.findall(r'^(\d+) +(\d+) +``(\w+)``', section(title), re.M)
    assert [name for _, _, name in rows] == members(struct)
    values = compiled_values(tmp_path, [
        *(f'offsetof(struct {struct}, {name})' for _, _, name in rows),
        *(f'sizeof(((struct {struct} *)0)->{name})' for _, _, name in rows),
        f'sizeof(struct {struct})'])
    assert values[:len(rows)] == [int(offset) for offset, _, _ in rows]
    assert values[len(rows):-1] == [int(size) for _, size, _ in rows]
    assert values[-1] == sum(int(size) for _, size, _ in rows)
    assert f'{values[-1]} bytes' in section(title)


def test_the_constants_are_those_of_the_header(tmp_path: Path):
    rows = dict(re.findall(r'^``(IVRING_\w+)`` +(\d+)', section('Constants'), re.M))
    assert set(rows) == set(re.findall(r'^#define (IVRING_\w+)\t', HEADER, re.M))
    assert compiled_values(tmp_path, list(rows)) == [int(v) for v in rows.values()]


def test_each_reason_is_in_the_document():
    named = set(re.findall(r'IVRING_(?:BAD_\w+|TAMPERED)', section('Values that cannot be')))
    assert named == set(re.findall(r'^\t(IVRING_(?:BAD_\w+|TAMPERED)),', HEADER, re.M))
