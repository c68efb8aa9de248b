# SPDX-License-Identifier: GPL-2.0-only
"""Runs a fuzzer for as long as wanted, and keeps the inputs that reach more.

Exit status: 0 nothing was found; 1 the fuzzer found something, and says where
the input is.
"""

import argparse
import sys
from pathlib import Path

from lab.paths import BUILD

from . import fuzzer


def empty(folder: Path) -> Path:
    """A folder without files."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog='python3 -m tests.fuzz', description=__doc__)
    parser.add_argument('name', choices=fuzzer.NAMES)
    parser.add_argument('--seconds', type=int, default=60)
    parser.add_argument('--keep', action='store_true',
                        help='the smallest set of inputs becomes the corpus')
    arguments = parser.parse_args()
    folder = BUILD / 'fuzz' / arguments.name
    corpus = empty(folder / 'corpus')
    corpus.rmdir()
    fuzzer.write_corpus(arguments.name, corpus)
    program = fuzzer.build(arguments.name, folder)
    done = fuzzer.run(program, f'-max_total_time={arguments.seconds}', corpus)
    print('\n'.join(done.stdout.splitlines()[-40 if done.returncode else -1:]))
    if done.returncode:
        return 1
    if arguments.keep:
        smallest = empty(folder / 'smallest')
        merged = fuzzer.run(program, '-merge=1', smallest, corpus)
        if merged.returncode:
            print(merged.stdout)
            return 1
        print(f'{fuzzer.read_corpus(arguments.name, smallest)} inputs are kept')
    return 0


if __name__ == '__main__':
    sys.exit(main())
