# SPDX-License-Identifier: GPL-2.0-only
"""scripts/check finds nothing in a sound tree, and each check can find something.

A small tree of every kind of source is checked as it is, then once for each
check with one thing made wrong.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "scripts" / "check"
GPL = "SPDX-License-Identifier: GPL-2.0-only"

MODULE = f"""\
// {GPL}
/*
 * A module that does nothing.
 */
#include <linux/module.h>

#include "frob.h"

static int __init frob_init(void)
{{
\treturn frob(FROB_NUMBER);
}}
module_init(frob_init);

MODULE_DESCRIPTION("Nothing");
MODULE_LICENSE("GPL");
"""

MODULE_HEADER = f"""\
/* {GPL} */
/*
 * The only function of the module.
 */
#ifndef _FROB_H
#define _FROB_H

#define FROB_NUMBER\t0

/**
 * frob() - return what was given
 * @number: any number
 *
 * Return: @number.
 */
static inline int frob(int number)
{{
\treturn number;
}}

#endif /* _FROB_H */
"""

PROGRAM = f"""\
/* {GPL} */
/*
 * A program that does nothing.
 */
#include <stdio.h>

#include "lib/include/frobnicate.h"

int main(void)
{{
\treturn puts(FROB_GREETING) < 0;
}}
"""

SOUND = {
    "CHANGELOG.md": "# Changes\n\n## [1.0] - 2024-01-01\n",
    "LICENSES/GPL-2.0-only.txt": "the text of the licence\n",
    "README.md": "# Sound\n\nSee [the text](Documentation/text.rst).\n"
                 "\n```c\nint frob(void);\n```\n",
    "Documentation/index.rst": f".. {GPL}\n\nIndex\n=====\n\n.. toctree::\n   :glob:\n\n   *\n"
                               "   assurance/*\n   ../README\n   ../CHANGELOG\n",
    "Documentation/assurance/report.rst": f".. {GPL}\n\nPromises\n========\n\nNone.\n",
    "Documentation/text.rst": f".. {GPL}\n\nText\n====\n\nSome text.\n",
    "Documentation/frob.1": f""".\\" {GPL}
.TH FROB 1 2024-01-01
.SH NAME
frob \\- do nothing
""",
    "Documentation/uapi.rst": f".. {GPL}\n\nErrors\n======\n\nEINVAL: it is invalid.\n",
    "include/uapi/linux/ivshmem.h": f"/* {GPL} WITH Linux-syscall-note */\n"
                                    "#define IVSHMEM_ERROR\tEINVAL\n"
                                    "extern const int ivshmem;\n",
    "LICENSES/Linux-syscall-note.txt": "the text of the note\n",
    "drivers/Kbuild": f"# {GPL}\nobj-m += core/\n",
    "drivers/core/Kbuild": f"# {GPL}\nobj-m := frob.o\n",
    "drivers/core/frob.c": MODULE,
    "drivers/core/frob.h": MODULE_HEADER,
    "lib/include/frobnicate.h": f"/* {GPL} */\n#define FROB_GREETING \"frob\"\n"
                                "extern const int frob;\n",
    ".clang-tidy": (ROOT / ".clang-tidy").read_text(),
    "meson.build": f"# {GPL}\nproject('sound', 'c',\n  version: '1.0',\n  license: 'none')\n"
                   "executable('frob', 'tools/frob.c',\n"
                   "  include_directories: include_directories('.'))\n",
    "tools/frob.c": PROGRAM,
    "tools/frob.py": f"# {GPL}\n\"\"\"Does nothing.\"\"\"\n",
    "tools/frob.sh": f"#!/bin/sh\n# {GPL}\necho nothing\n",
}


def program(body: str, *headers: str) -> str:
    """A main() with @body, including @headers."""
    lines = "".join(f"#include <{header}>\n" for header in headers)
    return PROGRAM.replace("#include <stdio.h>\n", "#include <stdio.h>\n" + lines) \
        .replace("\treturn puts(FROB_GREETING) < 0;\n", body)


# check: the file that is made wrong, what is in it then, what the check says.
WRONG = {
    "whitespace": ("tools/frob.sh", SOUND["tools/frob.sh"].replace("nothing", "nothing "),
                   r"tools/frob\.sh:3: trailing white space"),
    "spdx": ("tools/frob.py", "# SPDX-License-Identifier: MIT\n",
             r"tools/frob\.py:1: MIT: there is no text"),
    "unfinished": ("tools/frob.py", SOUND["tools/frob.py"] + "# TO" "DO: all\n",
                   r"tools/frob\.py:3: TO" r"DO: finish it"),
    "names": ("tools/utils.py", SOUND["tools/frob.py"], r"tools/utils\.py: says nothing"),
    "length": ("tools/long.py", SOUND["tools/frob.py"] + "NUMBER = 1\n" * 900,
               r"tools/long\.py: 902 lines, more than 900"),
    "includes": ("tools/frob.c", PROGRAM.replace("lib/include/frobnicate.h",
                                                 "drivers/core/frob.h"),
                 r"tools/frob\.c:7: includes drivers/core/frob\.h: user space must not"),
    "versions": ("drivers/core/frob.c",
                 MODULE + "#if LINUX_VERSION_CODE > 1\n#endif\n",
                 r"drivers/core/frob\.c:17: LINUX_VERSION_CODE"),
    "fatal": ("drivers/core/frob.c", MODULE.replace("return frob(", "BUG_ON("),
              r"drivers/core/frob\.c:11: BUG_ON\(\): return an error"),
    "python": ("tools/frob.py", SOUND["tools/frob.py"] + "import os\n",
               r"tools/frob\.py:3: 'os' imported but unused"),
    "shell": ("tools/frob.sh", SOUND["tools/frob.sh"] + "rm $1\n",
              r"tools/frob\.sh:4: note: Double quote"),
    "man": ("Documentation/frob.1", SOUND["Documentation/frob.1"] + ".Xx\n",
            r"Documentation/frob\.1:5: .*skipping unknown macro"),
    "docs": ("Documentation/text.rst", SOUND["Documentation/text.rst"] + "\nLong title\n====\n",
            r"Documentation/text\.rst:9: .*underline too short"),
    "links": ("README.md", "# Sound\n\nSee [the text](Documentation/none.rst).\n",
              r"README\.md:3: link to Documentation/none\.rst: there is no such file"),
    "version": ("CHANGELOG.md", SOUND["CHANGELOG.md"].replace("1.0", "1.1"),
                r"CHANGELOG\.md:3: 1\.1: the version is 1\.0"),
    "snippets": ("Documentation/text.rst", SOUND["Documentation/text.rst"] +
                 "\n.. code-block:: c\n\n   int frob(void)\n   {\n           frobnicate();\n   }\n",
                 r"Documentation/text\.rst:12: error: implicit declaration"),
    "uapi": ("Documentation/uapi.rst", f".. {GPL}\n\nEINVAL and EFAULT\n",
             r"include/uapi/linux/ivshmem\.h: EFAULT: Documentation/uapi\.rst has it"),
    "evidence": ("Documentation/assurance/report.rst",
                 f".. {GPL}\n\n``tests/test_frob.py::test_none``\n",
                 r"Documentation/assurance/report\.rst:3: tests/test_frob\.py: there is no such"),
    "attacks": ("Documentation/assurance/attacks.rst", f".. {GPL}\n\n**A01** It is hit.\n",
                r"Documentation/assurance/attacks\.rst: A01 has no test"),
    "headers": ("lib/include/frobnicate.h", f"/* {GPL} */\nuint32_t frob(void);\n",
                r"lib/include/frobnicate\.h:2: c: error: unknown type name .uint32_t"),
    "clang-tidy": ("tools/frob.c", program("\tint *p = NULL;\n\n\treturn *p;\n", "stddef.h"),
                   r"tools/frob\.c:\d+: error: Dereference of null pointer"),
    "cppcheck": ("tools/frob.c",
                 program("\tint fd = open(\"/frob\", O_RDONLY);\n\n"
                         "\tif (fd < 0)\n\t\treturn 1;\n\treturn 0;\n", "fcntl.h"),
                 r"tools/frob\.c:\d+: error: Resource leak: fd"),
    "checkpatch": ("drivers/core/frob.h", MODULE_HEADER.replace("(int number)", "(int  number )"),
                   r"drivers/core/frob\.h:\d+: ERROR:SPACING"),
    "kernel-doc": ("drivers/core/frob.h", MODULE_HEADER.replace("@number: any", "@digit: any"),
                   r"drivers/core/frob\.h:\d+: warning: .*'number' not described"),
    "modules": ("drivers/core/frob.h",
                MODULE_HEADER.replace("FROB_NUMBER\t0", "FROB_NUMBER\t(0 < 1u - 2 && unknown)"),
                r"drivers/core/frob\.h:8: error: .unknown. undeclared"),
    "sparse": ("drivers/core/frob.h",
               MODULE_HEADER.replace("FROB_NUMBER\t0", "FROB_NUMBER\t((__force int)1 + "
                                     "(int)(__le32)1)"),
               r"drivers/core/frob\.[ch]:\d+: warning: cast (to|from) restricted __le32"),
}
# A mistake for the compiler's own warnings, not its errors.
WARNED = MODULE.replace("{\n", "{\n\tint unused;\n\n")


def plant(root: Path, files: dict[str, str]) -> Path:
    """Write @files below @root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def run_check(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run scripts/check."""
    return subprocess.run([CHECK, *map(str, arguments)], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL="C.UTF-8", **environment))


def all_checks() -> list[str]:
    """The names that --list shows."""
    done = run_check("--list")
    assert done.returncode == 0
    return [line.split()[0] for line in done.stdout.splitlines()]


def test_sound_tree(tmp_path):
    """All checks run, and none finds anything."""
    done = run_check("--tree", plant(tmp_path, SOUND))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(all_checks())} run, all clean" in done.stdout
    assert not re.search(r" 0 (files|pages)", done.stdout), "a check had nothing to look at"


def test_every_check_is_tried():
    """No check is without its wrong tree."""
    assert sorted(all_checks()) == sorted(WRONG)


@pytest.mark.parametrize("name", WRONG)
def test_finds(name, tmp_path):
    """Each check names file and line of what is wrong, and fails."""
    path, text, said = WRONG[name]
    done = run_check("--tree", plant(tmp_path, SOUND | {path: text}), name)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"^    {said}", done.stdout, re.M), done.stdout
    assert f"1 run, 1 not clean: {name}" in done.stdout


def test_modules_finds_warnings(tmp_path):
    """What only warns in a usual build is an error here."""
    tree = plant(tmp_path, SOUND | {"drivers/core/frob.c": WARNED})
    done = run_check("--tree", tree, "modules")
    assert done.returncode == 1
    assert re.search(r"drivers/core/frob\.c:11: error: unused variable", done.stdout)


@pytest.mark.parametrize("name, text", [
    ("Documentation/man/frob.1", '.TH FROB 1 2024-01-01 "ivshmem {}" Frob\n'),
    ("debian/changelog", "frob (1:{}-2) unstable; urgency=medium\n\nfrob (0.9-1) stable\n"),
    ("packaging/rpm/frob.spec", "Name: frob\nVersion:        {}\nRelease: 7\n"),
    ("packaging/arch/PKGBUILD", "pkgver={}\npkgrel=7\n"),
    ("packaging/dkms.conf", 'PACKAGE_NAME="frob"\nPACKAGE_VERSION="{}"\n'),
])
def test_each_place_of_the_version(name, text, tmp_path):
    """Whatever tells a version has the right one, or is filled in later."""
    plant(tmp_path, SOUND)
    for told, status in (("1.0", 0), ("@VERSION@", 0), ("1.0.1", 1)):
        done = run_check("--tree", plant(tmp_path, {name: text.format(told)}), "version")
        assert done.returncode == status, done.stdout
    assert re.search(rf"{name}:\d: 1\.0\.1: the version is 1\.0$", done.stdout, re.M)
    plant(tmp_path, {name: "frob\n"})
    assert f"{name}: tells no version" in run_check("--tree", tmp_path, "version").stdout


@pytest.mark.parametrize("name, text, path", [
    ("include/ivshmem/ring.h", "#include <linux/slab.h>", "<linux/slab.h>"),
    ("drivers/net/tx.c", '#include "../core/core.h"', "drivers/core/core.h"),
    ("drivers/net/tx.c", '#include "../blk/ivblk.h"', "drivers/blk/ivblk.h"),
    ("drivers/core/main.c", '#include "../net/ivnet.h"', "drivers/net/ivnet.h"),
    ("lib/open.c", '#include "../drivers/core/ivshmem.h"', "drivers/core/ivshmem.h"),
])
def test_each_layer(name, text, path, tmp_path):
    """Each direction that the dependency rule forbids."""
    headers = ("drivers/core/core.h", "drivers/core/ivshmem.h", "drivers/net/ivnet.h",
               "drivers/blk/ivblk.h")
    plant(tmp_path, dict.fromkeys(headers, "\n"))
    done = run_check("--tree", plant(tmp_path, {name: text + "\n"}), "includes")
    assert done.returncode == 1
    assert f"{name}:1: includes {path}: " in done.stdout


def test_permitted_layers(tmp_path):
    """What the dependency rule permits."""
    done = run_check("--tree", plant(tmp_path, {
        "drivers/core/ivshmem.h": "#include <linux/pci.h>\n",
        "include/ivshmem/port.h": "#include <stdatomic.h>\n",
        "include/ivshmem/ring.h": '#include <stdint.h>\n#include "port.h"\n',
        "include/uapi/linux/ivshmem.h": "#include <linux/types.h>\n",
        "drivers/net/tx.c": '#include "../core/ivshmem.h"\n#include <ivshmem/ring.h>\n',
        "drivers/core/chardev.c": "#include <linux/ivshmem.h>\n",
        "lib/ring.c": "#include <ivshmem/ring.h>\n#include <linux/ivshmem.h>\n",
    }), "includes")
    assert done.returncode == 0, done.stdout


def test_memory_of_clean_files_hides_nothing(tmp_path):
    """What was found clean before is looked at again once it, or a header, changes."""
    plant(tmp_path, SOUND)
    slow = ("--tree", tmp_path, "clang-tidy", "checkpatch")
    assert run_check(*slow).returncode == 0
    name, text, said = WRONG["checkpatch"]
    plant(tmp_path, {name: text, "lib/include/frobnicate.h":
                     SOUND["lib/include/frobnicate.h"].replace('"frob"', "(*(char **)0)")})
    for _ in range(2):
        done = run_check(*slow)
        assert re.search(r"tools/frob\.c:\d+: error: Dereference of null", done.stdout)
        assert re.search(said, done.stdout)
    assert run_check("--tree", plant(tmp_path, SOUND), *slow[2:]).returncode == 0


def test_missing_tool_is_no_success(tmp_path):
    """Without its tool a check fails and says what to install."""
    done = run_check("--tree", plant(tmp_path, SOUND), "shell", PATH="/nonexistent")
    assert done.returncode == 1
    assert "shellcheck is not installed; scripts/setup installs it" in done.stdout


def test_git_ignores_are_respected(tmp_path):
    """In a git work tree, only what git tracks or would track is looked at."""
    plant(tmp_path, SOUND | {".gitignore": "/ignored/\n", "ignored/x.sh": "rm $1\n",
                             "tools/new.sh": "#!/bin/sh\nrm $1\n"})
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "tools/frob.sh"], check=True)
    done = run_check("--tree", tmp_path, "shell")
    assert "tools/new.sh:2: " in done.stdout
    assert "ignored/" not in done.stdout
    assert re.search(r"1 found +2 files", done.stdout)


def test_usage():
    """A check that does not exist is a mistake of usage."""
    done = run_check("frobnicate")
    assert done.returncode == 2
    assert "frobnicate: there is no such check; --list names them" in done.stderr
