# SPDX-License-Identifier: GPL-2.0-only
"""What comes with the program says the same as the program."""
import re
import subprocess
import tempfile

import pytest

from .conftest import ROOT
from .process import run

MAN = ROOT / 'Documentation/man'
COMPLETION = ROOT / 'completions/ivshmemd'


def options() -> set[str]:
    """The options that the program accepts, by its own table."""
    found = set(re.findall(r'--[a-z-]+', run('--help').stdout))
    assert len(found) == 12
    for option in found:
        # An option that does not exist is called unknown.
        assert 'unknown option' not in run(option, '/nonexistent').stderr
    return found


def keys() -> set[str]:
    """The keys of a link, as the program lists them."""
    listed = run('--link', 'lab,no=1').stderr.split('a link has:')[1]
    return set(listed.split())


def server_keys() -> set[str]:
    """The keys of the server, likewise."""
    with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
        file.write('[server]\nno=1\n')
        file.flush()
        listed = run('--config', file.name).stderr
    return set(listed.split('the server has:')[1].split())


def page(name: str) -> str:
    """A man page as a reader sees it, without line breaks."""
    result = subprocess.run(['man', '--warnings', '-E', 'ascii', '-l',
                             MAN / name], text=True, capture_output=True,
                            check=True, env={'MANWIDTH': '1000',
                                             'PATH': '/usr/bin:/bin'})
    assert not result.stderr
    return re.sub('.\b', '', result.stdout)


def test_man_page_mentions_every_option():
    """Each of them has a paragraph."""
    text = page('ivshmemd.8')
    for option in options():
        assert re.search(rf'^ +.*{option}\b', text, re.MULTILINE), option
    for key in keys():
        assert re.search(rf'\b{key}\b', text), key


def test_man_page_mentions_every_key():
    """Each of them has a paragraph."""
    text = page('ivshmemd.conf.5')
    for key in keys() | server_keys():
        assert re.search(rf'^ +.*\b{key} = ', text, re.MULTILINE), key


def test_man_page_has_the_message_ids():
    """Those of the source, which nobody sees otherwise."""
    source = (ROOT / 'server/log.h').read_text()
    ids = re.findall(r'#define LOG_ID_\w+\s+"([0-9a-f]{32})"', source)
    assert len(set(ids)) == 3
    assert all(message_id in page('ivshmemd.8') for message_id in ids)


def test_help_mentions_every_key():
    """In the summary as well."""
    text = run('--help').stdout
    assert all(f'{key}=' in text for key in keys())


def test_examples_of_the_man_page_work(tmp_path):
    """They can be copied."""
    text = (MAN / 'ivshmemd.conf.5').read_text()
    example = re.search(r'\.EX\n(.*?)\.EE', text, re.DOTALL).group(1)
    path = tmp_path / 'example.conf'
    path.write_text(example.replace('\\-', '-').replace(':backup', '')
                    .replace('kvm', 'root'))
    result = run('--config', path, '--check')
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('link ') == 2


def test_example_configuration(tmp_path):
    """What it shows commented out are the defaults."""
    text = (ROOT / 'packaging/ivshmemd.conf').read_text()
    path = tmp_path / 'example.conf'
    path.write_text(text)
    as_it_is = run('--config', path, '--check', '--json')
    assert as_it_is.returncode == 0, as_it_is.stderr
    shown = re.findall(r'^;([a-z-]+) = ', text, re.MULTILINE)
    assert set(shown) == keys() | server_keys()
    # Those of this machine, and what only the default file has.
    path.write_text(re.sub('^;(?!user|group|allow|control)', '', text,
                           flags=re.MULTILINE))
    uncommented = run('--config', path, '--check', '--json')
    assert uncommented.returncode == 0, uncommented.stderr
    assert uncommented.stdout == as_it_is.stdout


def complete(line: str, directory) -> set[str]:
    """What bash offers at the end of this line."""
    # Bash splits words at these before it asks.
    words = re.findall(r'[=:]|[^\s=:]+', line)
    if line.endswith((' ', '=', ':')):
        words.append('')
    script = (f'source {COMPLETION}\n'
              'compopt() { :; }\n'
              'COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; shift\n'
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
              '_ivshmemd\n'
              'printf "%s\\n" "${COMPREPLY[@]}"\n')
    result = subprocess.run(['bash', '-c', script, 'bash', line, *words],
                            text=True, capture_output=True, check=True,
                            cwd=directory)
    assert not result.stderr
    return set(result.stdout.split())


def test_completion_of_options(directory):
    """All of them, and none that does not exist."""
    assert complete('ivshmemd --', directory) == options()
    assert complete('ivshmemd --sh', directory) == {'--show-qemu',
                                                    '--show-libvirt'}


def test_completion_of_keys(directory):
    """All keys of a link, after its name and after each other key."""
    offered = complete('ivshmemd --link lab,', directory)
    assert offered == {f'lab,{key}=' for key in keys()}
    # Bash takes what is behind the = for the word to complete.
    assert complete('ivshmemd --link lab,size=4M,pe', directory) == \
        {'4M,peers='}


@pytest.mark.parametrize('line, expected', [
    ('ivshmemd -l lab,memory=', {'memfd', 'hugetlb', 'file:'}),
    ('ivshmemd -l lab,memory=hu', {'hugetlb'}),
    ('ivshmemd -l lab,peers=3,memory=hugetlb:', {'2M', '1G'}),
    ('ivshmemd -l lab,size=', set()),
    ('ivshmemd -l lab,layout=', {'auto', 'none', 'raw', 'net', 'blk'}),
    ('ivshmemd -l lab,layout=auto,layout-force=', {'yes', 'no'}),
    ('ivshmemd -l lab,clients-per-user=', {'none'}),
    ('ivshmemd --handshake-timeout ', set()),
    ('ivshmemd --control no', {'none'}),
    ('ivshmemd --config test.conf --show-qemu ', {'one', 'two', 'three'}),
    ('ivshmemd -c test.conf --show-libvirt tw', {'two'}),
    ('ivshmemd --config test.c', {'test.conf', 'test.conf.d'}),
])
def test_completion_of_values(directory, line, expected):
    """Values where they are known, the links of the configuration."""
    (directory / 'test.conf').write_text('[server]\n[link one]\n'
                                         'size = 4K\n[link two]\n')
    (directory / 'test.conf.d').mkdir()
    (directory / 'test.conf.d/more.conf').write_text('[link three]\n')
    assert complete(line, directory) == expected
