# SPDX-License-Identifier: GPL-2.0-only
"""Proves functions of the shipped headers for every value of shared memory.

Each function prove_*() of a file *_cbmc.c is one proof by CBMC, the bounded model
checker: all that it does not fix is arbitrary. In Debian from 13 on.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.paths import ROOT

from .packages import Program

# Where a proof has a simpler function in place of one of the header.
REPLACED: dict[str, list[str]] = {
    "prove_ring_size": ["ivregion_outbox_size:replaced_outbox_sizes"],
    "prove_parse_entry": ["ivregion_ring_size:replaced_ring_size"],
    "prove_outboxes_apart": ["ivregion_outbox_size:replaced_outbox_size"],
    "prove_parts_owned": ["ivregion_outbox_offset:replaced_outbox_offset"],
    "prove_parts_apart": ["ivregion_outbox_offset:replaced_outbox_offset"],
    "prove_parse": ["ivregion_parse_entry:replaced_parse_entry",
                    "ivregion_all_zero:replaced_all_zero"],
    "prove_write": ["ivregion_outbox_size:replaced_outbox_size"],
}
# CBMC runs the host's preprocessor; everything else is in these.
PACKAGES = ("cbmc", "libc6", "libstdc++6", "libgcc-s1", "minisat")
CBMC, COMPILER, REPLACER = (Program("trixie", PACKAGES, f"usr/bin/{name}")
                            for name in ("cbmc", "goto-cc", "goto-instrument"))
# Seconds, for who cannot end: the longest take minutes, and more where others work, too.
BOUND = 3600
# How often loops run at most, where it is not 2: CBMC proves that, too.
UNWIND = {
    "ivblk_clear.0": 21,
    "ivblk_parse_disk.0": 20,
    "ivlink_end.0": 9,
    "ivnet_parse_hello.0": 6,
    "ivpeer_take_name.0": 40,
    "name_good.0": 41,
    "ivregion_all_zero.0": 40,
    "ivregion_clear.0": 4,
    "ivregion_clear.1": 1,
    "ivregion_name_valid.0": 32,
    "ivregion_parse.0": 16,
    "ivregion_parse_entry.0": 32,
    "ivregion_parse_sections.0": 2,
    "ivregion_parse_sections.1": 2,
    "ivregion_ring_size.0": 20,
    "ivregion_same_name.0": 32,
    "ivregion_unused_zero.0": 32,
    "prove_outbox_size.0": 20,
    "prove_parse_disk_hello.0": 20,
    "prove_parse_hello.0": 6,
    "prove_parts_apart.0": 16,
    "prove_parts_owned.0": 16,
    "prove_ring_size.0": 20,
    "prove_ring_size.1": 20,
    "replaced_outbox_sizes.0": 20,
}
UNWINDSET = ",".join(f"{loop}:{times + 1}" for loop, times in UNWIND.items())
# Where no arithmetic may wrap. Elsewhere that of indices does.
NO_WRAP = {"wire_cbmc.c"}


@dataclass(frozen=True)
class Verdict:
    """What CBMC says of one proof."""

    holds: bool
    properties: int
    output: str

    def failures(self) -> str:
        """The properties that do not hold, a line each."""
        return "\n".join(line for line in self.output.splitlines()
                         if line.endswith("FAILURE"))


def proofs() -> dict[str, Path]:
    """The names of all proofs, and where they are."""
    found = {}
    for source in sorted((ROOT / "proof").glob("*_cbmc.c")):
        for name in re.findall(r"^void (prove_\w+)\(void\)", source.read_text(), re.M):
            found[name] = source
    return found


def _compile(proof: str, source: Path, headers: Path, folder: Path) -> Path:
    """The program to prove, with the functions replaced that REPLACED names."""
    program = folder / "proof.gb"
    done = COMPILER.run("-c", source, "--function", proof, f"-I{headers}",
                        f"-I{ROOT}/proof", "-DIVSHMEM_PORT=<cbmc_port.h>",
                        "-o", program, timeout=BOUND)
    if done.returncode == 0 and proof in REPLACED:
        replaced = folder / "replaced.gb"
        options = [option for pair in REPLACED[proof]
                   for option in ("--replace-calls", pair)]
        done = REPLACER.run(*options, program, replaced, timeout=BOUND)
        program = replaced
    if done.returncode:
        raise RuntimeError(f"{proof}: does not compile:\n{done.stdout}")
    return program


def prove(proof: str, headers: Path = ROOT / "include") -> Verdict:
    """Run one proof, with the headers in @headers."""
    source = proofs()[proof]
    options = ["--unsigned-overflow-check"] if source.name in NO_WRAP else []
    with TemporaryDirectory() as folder:
        program = _compile(proof, source, headers, Path(folder))
        done = CBMC.run(program, "--function", proof, "--bounds-check",
                        "--pointer-check", "--pointer-overflow-check",
                        "--div-by-zero-check", "--undefined-shift-check",
                        "--conversion-check", "--unwind", "3", "--unwindset", UNWINDSET,
                        "--unwinding-assertions", "--drop-unused-functions", *options,
                        timeout=BOUND)
    counted = re.search(r"\*\* (\d+) of (\d+) failed", done.stdout)
    if not counted:
        raise RuntimeError(f"{proof}: CBMC did not get to a result:\n{done.stdout}")
    return Verdict(done.returncode == 0 and counted[1] == "0", int(counted[2]),
                   done.stdout)
