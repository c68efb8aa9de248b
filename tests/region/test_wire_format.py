# SPDX-License-Identifier: GPL-2.0-only
"""The document of the format says what the headers say."""

import re
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT

DOCUMENT = (ROOT / 'Documentation/wire-format.rst').read_text()
HEADERS = {name: (ROOT / f'include/ivshmem/{name}.h').read_text()
           for name in ('ring', 'wire', 'peer', 'slot', 'link', 'net', 'blk')}
ALL_HEADERS = '\n'.join(HEADERS.values())
# Structures that lie in the region, and the parts that have their tables.
TABLES = {'ivregion_superblock': 'The superblock',
          'ivregion_entry': 'The entry of a section',
          'ivregion_server_line': 'The line of the server',
          'ivregion_peer_line': 'The line of a peer',
          'ivlink_line': 'Links',
          'ivring_tx': 'The line of the producer',
          'ivring_rx': 'The line of the consumer',
          'ivring_record': 'The header of a record',
          'ivnet_hello': 'The hello',
          'ivnet_frame': 'The header of a frame',
          'ivblk_hello': 'The hello of a disk',
          'ivblk_request': 'A request',
          'ivblk_response': 'A response'}
# Enumerations whose values are in the region, or whose order is told.
ON_WIRE = ('ivregion_type', 'ivregion_status')
MARKS = ('A1', 'A2', 'A3', 'W0', 'W1', 'W2', 'W3', 'W4', 'U1', 'U2')


def part(title: str) -> str:
    """The text below a title, up to the next one."""
    match = re.search(rf'^{re.escape(title)}\n[-=]+\n(.*?)(?=^[^\n]+\n[-=]{{5,}}\n\n|\Z)',
                      DOCUMENT, re.M | re.S)
    assert match, f'no part "{title}"'
    return match[1]


def run_c(tmp_path: Path, body: str, before: str = '') -> list[int]:
    """The numbers that a program prints, which knows all headers."""
    source = tmp_path / 'values.c'
    source.write_text('#include <stdio.h>\n#include <ivshmem/link.h>\n'
                      '#include <ivshmem/net.h>\n#include <ivshmem/blk.h>\n'
                      f'{before}\nint main(void)\n{{\n{body}\treturn 0;\n}}\n')
    subprocess.run(['gcc', f'-I{ROOT}/include', source, '-o', tmp_path / 'values'],
                   check=True)
    output = subprocess.run([tmp_path / 'values'], check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    return [int(line) for line in output.split()]


def printed(expressions: list[str]) -> str:
    """Statements that print the values of @expressions, one a line."""
    return ''.join(f'\tprintf("%llu\\n", (unsigned long long)({e}));\n'
                   for e in expressions)


def members(struct: str) -> list[str]:
    """Names of the members of a structure, in order."""
    body = re.search(rf'^struct {struct} \{{\n(.*?)^\}};', ALL_HEADERS, re.M | re.S)
    return re.findall(r'(\w+)(?:\[\w+\])?;', body[1])


def enumerators(enum: str) -> list[str]:
    """Names of an enumeration, in order."""
    body = re.search(rf'^enum {enum} \{{\n(.*?)^\}};', ALL_HEADERS, re.M | re.S)
    return re.findall(r'^\t(\w+)[ ,]', body[1], re.M)


def rows(text: str, name: str) -> dict[str, int]:
    """Of the tables in @text: names that match, and the numbers behind them."""
    return {n: int(v) for n, v in re.findall(rf'^``({name})`` +(\d+) ', text, re.M)}


def test_every_structure_of_the_region_has_its_table():
    """Those of little-endian words are in the region, all others are private."""
    shared = {name for name, body in
              re.findall(r'^struct (\w+) \{\n(.*?)^\};', ALL_HEADERS, re.M | re.S)
              if re.search(r'^\t__le(?:16|32) \w', body, re.M)}
    assert shared == set(TABLES)


@pytest.mark.attack("A18")
@pytest.mark.parametrize('struct, title', TABLES.items())
def test_the_tables_have_the_offsets_and_sizes_of_the_headers(
        tmp_path: Path, struct: str, title: str):
    table = re.findall(r'^(\d+) +(\d+) +``(\w+)``', part(title), re.M)
    assert [name for _, _, name in table] == members(struct)
    values = run_c(tmp_path, printed([
        *(f'offsetof(struct {struct}, {name})' for _, _, name in table),
        *(f'sizeof(((struct {struct} *)0)->{name})' for _, _, name in table),
        f'sizeof(struct {struct})']))
    assert values[:len(table)] == [int(offset) for offset, _, _ in table]
    assert values[len(table):-1] == [int(size) for _, size, _ in table]
    assert values[-1] == sum(int(size) for _, size, _ in table)
    assert f'{values[-1]} bytes' in part(title)


@pytest.mark.parametrize('header, title, prefix', [
    ('ring', 'Constants', 'IVRING'),
    ('wire', 'Constants of the region', 'IVREGION'),
    ('peer', 'The line of a peer', 'IVPEER'),
    ('link', 'Faults and rests', 'IVLINK'), ('net', 'The hello', 'IVNET'),
    ('blk', 'The hello of a disk', 'IVBLK')])
def test_the_constants_are_those_of_the_headers(tmp_path: Path, header: str,
                                                title: str, prefix: str):
    told = rows(part(title), rf'{prefix}_\w+')
    defined = set(re.findall(r'^#define (IV\w+)\t', HEADERS[header], re.M))
    assert set(told) == defined
    assert run_c(tmp_path, printed(list(told))) == list(told.values())


@pytest.mark.parametrize('enum', ON_WIRE)
def test_values_in_the_region_are_those_of_the_headers(tmp_path: Path, enum: str):
    names = enumerators(enum)
    told = {name: value for name, value in rows(DOCUMENT, r'IVREGION_\w+').items()
            if name in names}
    assert list(told) == names
    assert run_c(tmp_path, printed(names)) == list(told.values())


@pytest.mark.parametrize('enum, title', [
    ('ivregion_error', 'Reading'), ('ivring_fault', 'Values that cannot be'),
    ('ivpeer_state', 'A look at a slot'), ('ivpeer_event', 'A look at a slot'),
    ('ivlink_state', 'The states'), ('ivlink_event', 'Faults and rests')])
def test_every_state_event_and_reason_is_in_its_part(enum: str, title: str):
    names = enumerators(enum)
    assert len(names) > 2
    assert [n for n in names if not re.search(rf'\b{n}\b', part(title))] == []


def test_each_name_in_the_document_is_in_the_headers():
    words = set(re.findall(r'\bIV(?:RING|REGION|PEER|LINK|NET)_\w+', DOCUMENT))
    assert [w for w in sorted(words) if not re.search(rf'\b{w}\b', ALL_HEADERS)] == []


def test_the_reasons_are_told_in_the_order_of_the_checks():
    """What is wrong first is what a reader reports; the checks of sections last."""
    order = re.findall(r'return (IVREGION_(?!OK)\w+);', HEADERS['wire'])
    entry = order[:order.index('IVREGION_SAME_NAME')]
    whole = order[order.index('IVREGION_NO_MAGIC'):]
    told = re.findall(r'^``(IVREGION_\w+)``', part('Reading'), re.M)
    assert told == [*whole, *entry, 'IVREGION_SAME_NAME', 'IVREGION_NO_ROOM',
                    'IVREGION_OK']


def test_the_marks_of_a_link_are_those_of_the_header():
    code = set(re.findall(r'\[([A-Z]\d)\]', HEADERS['link']))
    table = re.findall(r'^\[([A-Z]\d)\]  ', part('The states'), re.M)
    assert code == set(MARKS)
    assert tuple(table) == MARKS


def test_the_checksum_is_that_of_the_header(tmp_path: Path):
    told = re.search(r'"123456789" it is 0x([0-9a-f]{8})', part('The checksum'))
    assert run_c(tmp_path, printed(['ivshmem_crc32("123456789", 9)'])) == [
        int(told[1], 16)]


def example() -> str:
    """The example's superblock, as a C initialiser of what its text says."""
    text = part('An example')
    number = {name: re.search(pattern, text)[1] for name, pattern in (
        ('size_log2', r'``size_log2`` (\d+)'), ('slots', r'(\d+) slots'),
        ('instance', r'``instance`` (0x[0-9a-f]+)'))}
    uuid = re.search(r'``uuid``\n([0-9a-f-]+)', text)[1].replace('-', '')
    entries = re.findall(r'^(\w+) +(\d+) +(\d+) +(\d+) +(\d+)$', text, re.M)
    assert len(entries) == 3
    sections = ''.join(
        f'\t{{ .type = {t}, .pages = {p}, .vector = {v}, .queues = {q}, '
        f'.name = "{name}" }},\n' for name, t, p, v, q in entries)
    return ('static struct ivregion_superblock s = {\n'
            '\t.magic = IVREGION_MAGIC, .major = IVREGION_MAJOR,\n'
            + ''.join(f'\t.{name} = {value},\n' for name, value in number.items())
            + '\t.uuid = { '
            + ', '.join(f'0x{uuid[i:i + 2]}' for i in range(0, 32, 2)) + ' },\n'
            f'\t.sections = {len(entries)},\n\t.section = {{\n{sections}\t}},\n}};\n'
            'static struct ivregion r;\n')


def expression(what: str) -> str:
    """The call of the header for a row of the example's table."""
    names = ('net0', 'lab', 'big')
    patterns = [
        (r'``checksum``', lambda m: 's.checksum'),
        (r'end of the directory', lambda m: 'ivregion_control_size(r.slots)'),
        (r'(server|peer) line of slot (\d)',
         lambda m: f'ivregion_{m[1]}_offset({m[2]})'),
        (r'(offset|ring) of (\w+)', lambda m: f'r.sections[{names.index(m[2])}].'
         + {'offset': 'offset', 'ring': 'ring_size'}[m[1]]),
        (r'block of net0', lambda m: 'ivregion_block_size(r.sections[0].queues)'),
        (r'blocks of net0',
         lambda m: 'ivregion_blocks_size(r.slots, r.sections[0].queues)'),
        (r'outbox of (\w+)', lambda m: 'ivregion_outbox_size(r.slots, '
         f'r.sections[{names.index(m[1])}].queues, '
         f'r.sections[{names.index(m[1])}].ring_size)'),
        (r'net0: outbox of slot (\d)',
         lambda m: f'ivregion_outbox_offset(&r, &r.sections[0], {m[1]})'),
        (r'net0: (\w+)\(([\d, ]+)\)',
         lambda m: f'ivregion_{m[1]}_offset(&r, &r.sections[0], {m[2]})')]
    for pattern, make in patterns:
        match = re.fullmatch(pattern, what)
        if match:
            return make(match)
    raise ValueError(what)


def test_the_example_is_what_the_headers_compute(tmp_path: Path):
    table = re.findall(r'^(\S.*?)  +(\d+)$', part('An example'), re.M)
    table = [(what, int(value)) for what, value in table if not re.match(
        r'(net0|lab|big) ', what)]
    assert len(table) == 21
    values = run_c(tmp_path, '\ts.checksum = ivregion_checksum(&s);\n'
                   '\tif (ivregion_parse(&s, 1ULL << 26, &r))\n\t\treturn 1;\n'
                   + printed([expression(what) for what, _ in table]), example())
    assert list(zip([what for what, _ in table], values)) == table
    told = re.search(r'example below has the checksum (0x\w+)', part('The checksum'))
    assert values[0] == int(told[1], 16)


@pytest.mark.parametrize('slots, queues, size', [
    (2, 1, 1 << 20), (5, 3, 3 << 20), (64, 16, 1 << 30)])
def test_the_formulas_are_those_of_the_headers(tmp_path: Path, slots: int,
                                               queues: int, size: int):
    """Evaluated as they are written."""
    formula = dict(re.findall(r'^    (\S[^=\n]*?)   +(\S.*)$', part('The layout'), re.M))
    names = {'slots': slots, 'queues': queues,
             'up': lambda x, a: (x + a - 1) // a * a,
             'block': lambda q: eval(formula['block(queues)'], {'queues': q})}
    names['blocks'] = eval(formula['blocks'], names)

    def outbox(ring: int) -> int:
        return eval(formula['outbox(ring)'], {**names, 'ring': ring})

    ring = next(2 ** n for n in range(31, 11, -1) if slots * outbox(2 ** n) <= size)
    assert run_c(tmp_path, printed([
        f'ivregion_block_size({queues})', f'ivregion_blocks_size({slots}, {queues})',
        f'ivregion_ring_size({size}ULL, {slots}, {queues})',
        f'ivregion_outbox_size({slots}, {queues}, {ring}U)'])) == [
            names['block'](queues), names['blocks'], ring, outbox(ring)]


def test_the_limits_of_a_record_are_those_of_the_header(tmp_path: Path):
    told = re.search(r'less (\d+) bytes of payload: (\d+) bytes in the\s+smallest ring, '
                     r'1 GiB less (\d+) bytes', part('Limits'))
    assert run_c(tmp_path, printed([
        'IVRING_HEADER', 'ivring_max_length(IVRING_SIZE_MIN)',
        '(1U << 30) - ivring_max_length(IVRING_SIZE_MAX)'])) == [
            int(value) for value in told.groups()]
