# SPDX-License-Identifier: GPL-2.0-only
"""Checks of user-space C: headers that stand alone, clang-tidy, cppcheck.

Two analysers, because they find different things: clang-tidy follows paths
through the code and knows the compiler's view of it; cppcheck (under a second)
knows which calls of POSIX hand out descriptors and memory, and is asked about
those only, since it is wrong about most of the rest.
"""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .base import CannotRun, Finding, Outcome, check, count, located, need, run_tool
from .memory import Memory
from .tree import Tree

PUBLIC = ("include/", "lib/include/")


@check("headers", "public headers compile alone, as C and as C++")
def headers(tree: Tree) -> Outcome:
    """A program may include any of them first."""
    names = [n for n in tree.below(*PUBLIC) if n.endswith(".h")]
    findings = []
    for name in names:
        for language, standard in (("c", "c99"), ("c++", "c++11")):
            done = subprocess.run(
                [need("g++" if language == "c++" else "gcc"),
                 "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic",
                 "-Werror", "-Iinclude/uapi", "-Iinclude", "-Ilib/include",
                 "-fsyntax-only", name],
                cwd=tree.root, text=True, stderr=subprocess.PIPE, check=False,
                env=dict(os.environ, LC_ALL="C"))
            findings += [Finding(f.path, f.line, f"{language}: {f.text}")
                         for f in located(done.stderr, tree.root) if "error:" in f.text]
    return Outcome(count(names), list(dict.fromkeys(findings)))


def _database(tree: Tree) -> Path:
    """Folder of the compile commands, made by meson from what is there now.

    Not the folder of the usual build, which is not touched here.
    """
    folder = tree.root / "build" / "check" / "meson"
    again = ["--reconfigure"] if (folder / "build.ninja").exists() else []
    done = subprocess.run([need("meson"), "setup", *again, folder],
                          cwd=tree.root, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise CannotRun(f"meson setup failed in {folder}: {'; '.join(said)}")
    return folder


def _compiled(tree: Tree, database: Path) -> list[str]:
    """Sources that the build compiles, but for tests.

    Those do wrong things on purpose, and are judged by being run.
    """
    commands = json.loads((database / "compile_commands.json").read_text())
    paths = {os.path.relpath(os.path.normpath(os.path.join(c["directory"], c["file"])),
                             tree.root) for c in commands}
    return [name for name in tree.user_c
            if name in paths and "tests" not in Path(name).parts]


@check("clang-tidy", "clang-tidy finds nothing in user space (.clang-tidy says what)")
def clang_tidy(tree: Tree) -> Outcome:
    """Mistakes on all paths through each source."""
    if "meson.build" not in tree.files:
        return Outcome("0 files")
    program = need("clang-tidy")
    database = _database(tree)
    names = _compiled(tree, database)
    version = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True)
    memory = Memory(tree, "clang-tidy", version.stdout, Path(__file__).read_bytes(),
                    (database / "compile_commands.json").read_bytes(),
                    *(tree.text(n) for n in tree.files
                      if n.endswith((".h", ".clang-tidy"))))

    def tidy(name: str) -> list[Finding]:
        found = run_tool([program, "-p", database, "--quiet",
                          # What only gcc knows.
                          "--extra-arg=-Wno-unknown-warning-option", name], tree, parse)
        if not found:
            memory.remember([name])
        return found

    def parse(output: str, root: Path) -> list[Finding]:
        # Some paths are relative to where the compiler would run.
        return [Finding(os.path.relpath(os.path.normpath(
                            (database if f.path.startswith("../") else root) / f.path),
                            root), f.line, f.text)
                for f in located(output, root) if f.text.startswith(("error:", "warning:"))]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = [f for result in pool.map(tidy, memory.unknown(names)) for f in result]
    return Outcome(count(names), list(dict.fromkeys(findings)))


LEAKS = ("resourceLeak", "memleak", "memleakOnRealloc", "leakReturnValNotUsed",
         "leakNoVarFunctionCall", "doubleFree", "deallocuse", "useClosedFile",
         "mismatchAllocDealloc")


@check("cppcheck", "cppcheck finds no lost descriptor or memory in user space")
def cppcheck(tree: Tree) -> Outcome:
    """What is opened or allocated is closed or freed, once."""
    if "meson.build" not in tree.files:
        return Outcome("0 files")
    program = need("cppcheck")
    database = _database(tree)
    names = _compiled(tree, database)

    def parse(output: str, root: Path) -> list[Finding]:
        return [f for f in located(output, root) if f.path in names
                and f.text.endswith(tuple(f"[{leak}]" for leak in LEAKS))]

    findings = run_tool(
        [program, f"--project={database}/compile_commands.json", "--quiet",
         "--library=posix", "--library=gnu", "--inline-suppr",
         "--template={file}:{line}: {severity}: {message} [{id}]"], tree, parse)
    return Outcome(count(names), findings)
