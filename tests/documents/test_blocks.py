# SPDX-License-Identifier: GPL-2.0-only
"""What the documents show and cannot be run here is right at least in its form."""

import os
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Iterator
from xml.etree import ElementTree

import pytest

from lab.paths import ROOT, USERSPACE

from .blocks import DOCUMENTS, Block, blocks, differs, everywhere, marked
from .world import OWN

PROGRAMS = {"ivshmem": USERSPACE / "tools/ivshmem/ivshmem",
            "ivshmemd": USERSPACE / "server/ivshmemd",
            "ivshmem-blk-server": USERSPACE / "blkserver/ivshmem-blk-server"}
# Python is Debian's, whatever else this user has
DEBIANS = dict(os.environ, PATH=f"/usr/bin:{os.environ['PATH']}")
COMMAND = re.compile(r"^\s*(?:[#$] |sudo |\S.*?[|;&] ?|)(?:sudo |chrt --fifo \d+ )*"
                     r"(ivshmem(?:d|-blk-server)?)\s+([^|;&#>]*)", re.M)
MAKE = re.compile(r"(?:^|&& )\s*(?:sudo )?make ([a-z -]+)([^#&\n]*)", re.M)
# Of each command of a shell
FIRST_WORD = re.compile(r"(?:^|[|;&(`]|\b(?:do|then|while|if)\b)[ \t]*(?:! *)?([\w.-]+)", re.M)
# Where users have them, these are not in the PATH of one
ROOTS = ("ivshmemd", "modprobe", "rmmod", "insmod", "mount", "umount")
FINDING = re.compile(r"^(OK|WARN|FAIL) +(\w+) +\S.*?: (.*)$", re.M)
CALL = re.compile(r"\bfound\(findings,(.*?)\);\n", re.S)
LITERALS = re.compile(r'"(?:[^"\\]|\\.)*"(?:\s*(?:PRI\w+|IVSHMEM_\w+|"(?:[^"\\]|\\.)*"))*')
FORMAT = re.compile(r"%(?:\.\*|[-\d.l]*)[a-z]")


def inline() -> list[Block]:
    """Commands of ours that the text of documents has between quotes."""
    return [Block(path.name, " ".join(text.split()))
            for path in sorted([*DOCUMENTS.rglob("*.rst"), *ROOT.glob("*.md")])
            for _, text in re.findall(r"(`{1,2})((?:sudo )?(?:make|ivshmem(?:d|-blk-server)?)"
                                      r"\s[^`]+)\1", path.read_text())]


def commands() -> Iterator[tuple[Block, str, list[str]]]:
    """Calls of our programs in all documents: the program, its words."""
    for block in [*everywhere(), *inline()]:
        for match in COMMAND.finditer(block.text.replace("\\\n", " ")):
            yield block, match[1], match[2].split()


def subcommand(program: str, words: list[str]) -> tuple[str, ...]:
    """What the options belong to: those of ivshmem have their own."""
    if program != "ivshmem" or not words or not re.fullmatch(r"[a-z]+", words[0]):
        return (program,)
    return (program, *words[:2 if words[0] == "server" else 1])


@cache
def help_of(program: str, *words: str) -> str:
    """What a program says about its options, or those of its subcommand."""
    command = [PROGRAMS[program], *words]
    done = subprocess.run([*command, "--help"], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


@pytest.mark.parametrize("shown, printed, wrong", [
    ("slot 1 of 8", "slot 2 of 16\n", ""),
    ("slot 1 of 8", "no slot\n", "slot 1 of 8"),
    ("one\n...\nfour", "one\ntwo\nthree\nfour\n", ""),
    ("one\n...", "one\ntwo\n", ""),
    ("one\n...\nfour", "one\ntwo\n", "four"),
    ("one", "one\ntwo\n", "two (is not shown)"),
    ("uuid   ...", "uuid 7c9f\n", ""),
])
def test_what_is_shown_is_compared(shown, printed, wrong):
    """Numbers may be others, words and lines may not."""
    assert differs(shown, printed) == wrong


@pytest.mark.parametrize("name, mark", [
    ("guide.rst", ".. rnu: host\n\n::\n\n\ttrue"), ("guide.rst", ".. run: host\n\nNo block."),
    ("README.md", "<!-- rnu: host -->\n```\ntrue\n```"),
])
def test_marks_are_not_overlooked(name, mark, tmp_path):
    """A word that is misspelt, or leads to nothing, would hide a command."""
    path = tmp_path / name
    path.write_text(mark + "\n")
    with pytest.raises(AssertionError):
        blocks(path)


@pytest.mark.parametrize("name, text", [
    ("guide.rst", ".. run: host\n\n::\n\n\ttrue\n\n::\n\n\tfalse\n\n.. code-block:: text\n\n\tno"),
    ("README.md", "<!-- run: host -->\n```\ntrue\n```\n```\nfalse\n```\n```text\nno\n```"),
])
def test_what_is_found(name, text, tmp_path):
    """Commands with a mark and without, and what is none."""
    path = tmp_path / name
    path.write_text(text + "\n")
    assert [(block.text.strip(), block.mark, block.argument, block.language)
            for block in blocks(path)] == \
        [("true", "run", "host", ""), ("false", "", "", ""), ("no", "", "", "text")]


def test_options_exist(userspace):
    """Each command and option of our programs that a document shows is one."""
    seen = 0
    for block, program, words in commands():
        options = {word.partition("=")[0] for word in words
                   if re.fullmatch(r"--[a-z-]+(=.*)?", word)}
        known = help_of(*subcommand(program, words))
        for option in options - {"--help"}:
            assert re.search(rf"{option}\b", known), f"{block}: {program}: {option}"
        seen += len(options)
    assert seen > 30


def test_make_targets_exist():
    """Likewise those of make, and its variables."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.M))
    for block in [*everywhere(), *inline()]:
        # Not those of a kernel
        if "cd ~/linux" in block.text:
            continue
        for words, variables in MAKE.findall(block.text):
            assert set(words.split()) <= targets, block
            for name in re.findall(r"\b([A-Z]+)=", variables):
                assert f"$({name})" in makefile, f"{block}: {name}"


@pytest.mark.parametrize("block", marked("run") + marked("not run"), ids=str)
def test_root_is_asked_for(block):
    """Who is not root needs sudo for what only root may write, or finds in his PATH."""
    text = block.text.replace("\\\n", " ")
    if block.as_root:
        assert "as root" in (DOCUMENTS / block.document).read_text().replace("\n", " ")
        return
    assert not re.search(r">\s*/(sys|proc)/", text)
    for word in FIRST_WORD.findall(text):
        assert word not in ROOTS and (shutil.which(word, path="/usr/bin:/bin") or
                                      not shutil.which(word, path="/usr/sbin:/sbin")), word


@pytest.mark.parametrize("block", marked("check"), ids=str)
def test_form(block, tmp_path, userspace):
    """XML is well-formed, a configuration is accepted, QEMU has what it is given."""
    CHECKS[block.argument](block.text, tmp_path)


def _xml(text: str, _: Path) -> None:
    element = ElementTree.fromstring(text)
    assert element.find("model").get("type") in ("ivshmem-doorbell", "ivshmem-plain")


def _python(text: str, _: Path) -> None:
    compile(text, "document", "exec")


def _configuration(text: str, folder: Path) -> None:
    for theirs, ours in OWN.items():
        text = text.replace(theirs.replace("=", " = "), ours.replace("=", " = "))
    path = folder / "ivshmemd.conf"
    path.write_text(text)
    subprocess.run([PROGRAMS["ivshmemd"], "--config", path, "--check"], check=True)


@pytest.mark.parametrize("block", marked("not run"), ids=str)
def test_what_is_not_run_could_be(block):
    """It is a shell's, and what it names of ours is there, with the options that it has."""
    subprocess.run(["bash", "-n", "-c", block.text], check=True)
    for name in re.findall(r"tests/[\w/.-]+", block.text):
        assert (ROOT / name).exists(), name
    for program, options in re.findall(r"(python3 -m tests\.\w+ [a-z]+|scripts/[\w-]+)(.*)",
                                       block.text):
        known = subprocess.run([*program.split(), "--help"], env=DEBIANS, cwd=ROOT, check=True,
                               text=True, stdout=subprocess.PIPE).stdout
        assert all(option in known for option in re.findall(r"--[a-z-]+", options)), program


def _qemu(text: str, _: Path) -> None:
    words = shlex.split(text)
    for option, value in zip(words[::2], words[1::2]):
        name, *properties = value.split(",")
        assert option in ("-chardev", "-object", "-device")
        if option == "-chardev":
            continue
        shown = subprocess.run(["qemu-system-x86_64", option, f"{name},help"], text=True,
                               check=True, stdout=subprocess.PIPE).stdout
        for word in properties:
            key = word.partition("=")[0]
            assert key == "id" or re.search(rf"^\s+{key}=", shown, re.M), f"{value}: {key}"


CHECKS = {"xml": _xml, "python": _python, "ivshmemd.conf": _configuration, "qemu": _qemu}


def findings() -> Iterator[tuple[set[str], str, list[str]]]:
    """All that the doctor can find: verdicts, check, texts."""
    for path in sorted((ROOT / "tools/ivshmem").glob("*.c")):
        for call in CALL.findall(path.read_text()):
            literals = LITERALS.findall(call)
            texts = [re.sub(r"PRI\w+|IVSHMEM_\w+", '"u"', text) for text in literals[1:]]
            yield (set(re.findall(r"VERDICT_(\w+)", call)), literals[0].strip('"'),
                   ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)) for text in texts])


def test_lines_of_the_doctor_are_its_own():
    """Troubleshooting shows what ivshmem doctor prints."""
    text = (DOCUMENTS / "troubleshooting.rst").read_text()
    # Longer ones go on below their text
    text = re.sub(r"^\t", "", re.sub(r"\n\t {10,}", " ", text), flags=re.M)
    shown = FINDING.findall(text)
    assert len(shown) > 10
    known = list(findings())
    for verdict, check, line in shown:
        assert any(verdict in verdicts and check == name and
                   any(_prints(form, line) for form in texts)
                   for verdicts, name, texts in known), f"{verdict} {check}: {line}"


def _prints(form: str, line: str) -> bool:
    parts = [re.escape(part) for part in FORMAT.split(form.replace("%%", "%"))]
    return len("".join(parts)) > 2 and bool(re.fullmatch("(.*)".join(parts), line))
