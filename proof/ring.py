# SPDX-License-Identifier: GPL-2.0-only
"""Proves the ring: by CBMC for every value of shared memory, by Relacy for every
order of it.  Both must find the mistakes of the mutants."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT

from .cbmc import cbmc
from .mutants import Mutant

SOURCE = ROOT / "proof/ring_cbmc.c"
PROOFS = re.findall(r"^void (prove_\w+)\(void\)", SOURCE.read_text(), re.M)
BOUND = 600
ORDERS = ROOT / "proof/ring_relacy.cc"
# The proof that a mistake breaks, where it is not that of ivring_peek().
BREAKS = {"prod": "prove_want_data", "cons": "prove_want_space",
          "reserve": "prove_reserve_commit"}
# Takes minutes to be found here; the fuzzer finds it in seconds.
FUZZED_ONLY = {"kind-read-twice"}


@dataclass(frozen=True)
class Verdict:
    """What CBMC says of one proof."""

    holds: bool
    properties: int
    output: str


def prove(proof: str, headers: Path = ROOT / "include") -> Verdict:
    """Run one proof of ring_cbmc.c, with the ring in @headers."""
    done = cbmc(SOURCE, "--function", proof, f"-I{headers}", f"-I{ROOT}/proof",
                "-DIVSHMEM_PORT=<cbmc_port.h>", "--bounds-check", "--pointer-check",
                "--pointer-overflow-check", "--div-by-zero-check",
                "--undefined-shift-check", "--conversion-check", "--unwind", "3",
                "--unwinding-assertions", "--drop-unused-functions",
                timeout=BOUND)
    counted = re.search(r"\*\* (\d+) of (\d+) failed", done.stdout)
    if not counted:
        raise RuntimeError(f"{proof}: CBMC did not get to a result:\n{done.stdout}")
    return Verdict(done.returncode == 0 and counted[1] == "0", int(counted[2]),
                   done.stdout)


def broken_proof(mutant: Mutant) -> str:
    """The proof that @mutant must not pass."""
    return BREAKS.get(mutant.name.split("-", 1)[0], "prove_peek_advance")


def prove_orders(folder: Path, headers: Path = ROOT / "include") -> Verdict:
    """Run Relacy over the ring in @headers; its program is left in @folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "ring_relacy"
    # Relacy itself is not free of warnings.
    subprocess.run(["g++", "-w", "-O2", "-std=c++11", "-DIVSHMEM_PORT=<relacy_port.hpp>",
                    f"-I{ROOT}/proof", f"-I{headers}", ORDERS, "-o", program], check=True)
    done = subprocess.run([program], check=False, text=True, timeout=BOUND,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told = re.findall(r"^(.*: (?:holds|FAILS), \d+ executions)$", done.stdout, re.M)
    if not told:
        raise RuntimeError(f"{program}: did not get to a result:\n{done.stdout}")
    return Verdict(done.returncode == 0, len(told), "\n".join(told))
