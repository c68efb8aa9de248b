# SPDX-License-Identifier: GPL-2.0-only
"""Builds and runs the fuzzers, and keeps the inputs that have reached something."""

import json
import re
import subprocess
from pathlib import Path

from lab.paths import ROOT

FOLDER = ROOT / 'tests/fuzz'
# The longest input, and the runs that the tests make.
NAMES = {'ring': (400, 80000), 'region': (300, 30000), 'peer': (400, 100000),
         'link': (500, 15000)}


def build(name: str, folder: Path, headers: Path = ROOT / 'include') -> Path:
    """The fuzzer @name, compiled in @folder with the format in @headers."""
    program = folder / f'{name}_fuzz'
    subprocess.run(['clang', '-g', '-O1', '-fsanitize=fuzzer,address,undefined',
                    '-fno-sanitize-recover=all', '-Wall', '-Wextra', '-Werror',
                    '-DIVSHMEM_PORT=<hostile_port.h>', f'-I{FOLDER}',
                    f'-I{headers}', FOLDER / f'{name}_fuzz.c', '-o', program],
                   check=True)
    return program


def runs(output: str) -> int:
    """How many it has made, which may be one more than was asked for; 0 if it did not end."""
    done = re.search(r'^Done (\d+) runs', output, re.M)
    return int(done.group(1)) if done else 0


def write_corpus(name: str, folder: Path) -> Path:
    """The inputs that are kept, each in a file of its own."""
    folder.mkdir()
    inputs = json.loads((FOLDER / f'corpus/{name}.json').read_text())
    for number, text in enumerate(inputs):
        (folder / str(number)).write_bytes(bytes.fromhex(text))
    return folder


def read_corpus(name: str, folder: Path) -> int:
    """Keep the inputs in @folder, the shortest first; how many they are."""
    inputs = sorted((path.read_bytes().hex() for path in folder.iterdir()),
                    key=lambda text: (len(text), text))
    (FOLDER / f'corpus/{name}.json').write_text(json.dumps(inputs, indent=1) + '\n')
    return len(inputs)


def run(program: Path, *arguments: str | Path,
        seed: int = 1) -> subprocess.CompletedProcess:
    """Run a fuzzer; its complaints are in the output."""
    name = program.name.removesuffix('_fuzz')
    return subprocess.run([program, f'-seed={seed}', f'-max_len={NAMES[name][0]}',
                           f'-artifact_prefix={program.parent}/', *arguments],
                          check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


def fuzz(program: Path, corpus: Path, seed: int = 1) -> subprocess.CompletedProcess:
    """A run of the length that the tests make."""
    name = program.name.removesuffix('_fuzz')
    return run(program, f'-runs={NAMES[name][1]}', corpus, seed=seed)


def find(program: Path, corpus: Path) -> subprocess.CompletedProcess:
    """Runs until something is found; each goes on with the inputs of those before."""
    for seed in range(1, 9):
        done = fuzz(program, corpus, seed)
        if done.returncode:
            break
    return done
