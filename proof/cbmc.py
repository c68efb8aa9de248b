# SPDX-License-Identifier: GPL-2.0-only
"""Proves functions of the shipped headers for every value of shared memory.

Each function prove_*() of a file *_cbmc.c is one proof by CBMC, the bounded model
checker: all that it does not fix is arbitrary. In Debian from 13 on.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT

from .packages import Program

# CBMC runs the host's preprocessor; everything else is in these.
CBMC = Program("trixie", ("cbmc", "libc6", "libstdc++6", "libgcc-s1", "minisat"),
               "usr/bin/cbmc")
BOUND = 600
# How often loops run at most, where it is not 2: CBMC proves that, too.
UNWIND: dict[str, int] = {}
# Where no arithmetic may wrap. Elsewhere that of indices does.
NO_WRAP: set[str] = set()


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


def prove(proof: str, headers: Path = ROOT / "include") -> Verdict:
    """Run one proof, with the headers in @headers."""
    source = proofs()[proof]
    options = ["--unsigned-overflow-check"] if source.name in NO_WRAP else []
    done = CBMC.run(source, "--function", proof, f"-I{headers}", f"-I{ROOT}/proof",
                    "-DIVSHMEM_PORT=<cbmc_port.h>", "--bounds-check", "--pointer-check",
                    "--pointer-overflow-check", "--div-by-zero-check",
                    "--undefined-shift-check", "--conversion-check", "--unwind",
                    str(UNWIND.get(proof, 2) + 1), "--unwinding-assertions",
                    "--drop-unused-functions", *options, timeout=BOUND)
    counted = re.search(r"\*\* (\d+) of (\d+) failed", done.stdout)
    if not counted:
        raise RuntimeError(f"{proof}: CBMC did not get to a result:\n{done.stdout}")
    return Verdict(done.returncode == 0 and counted[1] == "0", int(counted[2]),
                   done.stdout)
